/*
 * smtp - mails to one mail server
 *
 * A connection is a libcurl handle of the kind CONNECT_ONLY: libcurl brings it to where EHLO is
 * answered, then curl_easy_send() and curl_easy_recv() carry MAIL, RCPT, DATA and the message. An
 * idle connection is listened to, so that a server that closes it is noticed before the next mail.
 * After a refusal the connection is closed: refusals are rare, and a fresh one has no past.
 */
#include "services/notification/smtp.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "services/notification/core_talk.h"

struct smtp {
	struct loop *loop;
	struct loop_timer *timer; /* libcurl's */
	struct loop_timer *idle_timer;
	CURLM *multi;
	struct smtp_options options; /* url is ours */
	struct list connections;
	size_t n;
};

struct connection {
	struct list link;
	struct smtp *smtp;
	CURL *easy;
	curl_socket_t fd; /* while libcurl connects */
	struct loop_io *io; /* NULL: libcurl still connects */
	struct smtp_transfer *transfer; /* NULL: idle */
	struct reply reply;
	struct buf out; /* not sent yet */
	unsigned mails; /* that were handed over */
	uint64_t idle_since_ms;
};

struct smtp_transfer {
	struct connection *connection;
	struct loop_timer *timer;
	char *from, *to;
	struct buf mail;
	struct smtp_end end;
	uint64_t started_us;
	const struct smtp_ops *ops;
	void *ctx;
};

/* ---- ends ---------------------------------------------------------------------------------------- */

static void transfer_free(struct smtp_transfer *t)
{
	if (!t)
		return;
	loop_timer_free(t->timer);
	buf_fini(&t->mail);
	free(t->from);
	free(t->to);
	free(t);
}

/* libcurl says QUIT by itself only where it did not come to EHLO, see on_debug() */
static void connection_free(struct connection *c)
{
	struct smtp *s = c->smtp;
	size_t sent;

	if (c->io && !c->transfer)
		(void)curl_easy_send(c->easy, "QUIT\r\n", 6, &sent); /* its answer interests nobody */
	loop_io_free(c->io);
	curl_multi_remove_handle(s->multi, c->easy);
	curl_easy_cleanup(c->easy);
	buf_fini(&c->out);
	list_del(&c->link);
	s->n--;
	free(c);
}

static void rest(struct connection *c)
{
	c->transfer = NULL;
	c->idle_since_ms = clock_mono_ms();
	if (!loop_timer_armed(c->smtp->idle_timer))
		loop_timer_set(c->smtp->idle_timer, c->smtp->options.idle_ms);
}

/* why: what broke, where the server said nothing */
static void finish(struct smtp_transfer *t, const char *why)
{
	struct connection *c = t->connection;
	const struct smtp_ops *ops = t->ops;
	struct smtp_end end = t->end;
	void *ctx = t->ctx;
	double seconds = (double)(clock_mono_us() - t->started_us) / 1e6;
	char detail[64];

	if (end.withheld)
		snprintf(detail, sizeof(detail), "withheld");
	else if (end.complete || end.code >= 400)
		snprintf(detail, sizeof(detail), "%s %d %.15s", smtp_stage_name(end.stage), end.code,
			 c->reply.status);
	else
		snprintf(detail, sizeof(detail), "%s: %.48s", smtp_stage_name(end.stage), why);
	if (end.complete)
		rest(c);
	else
		connection_free(c);
	transfer_free(t);
	ops->ended(ctx, &end, detail, seconds);
}

/* the connection is of no more use */
static void broken(struct connection *c, const char *why)
{
	if (c->transfer)
		finish(c->transfer, why);
	else
		connection_free(c);
}

static void on_late(void *ctx)
{
	finish(ctx, "timeout");
}

static void on_idle_time(void *ctx)
{
	struct smtp *s = ctx;
	struct connection *c;
	uint64_t now = clock_mono_ms(), next = UINT64_MAX;

	list_for_each(c, &s->connections, link) {
		if (c->transfer || !c->io)
			continue;
		uint64_t at = c->idle_since_ms + s->options.idle_ms;

		if (at <= now)
			connection_free(c);
		else
			next = MIN(next, at);
	}
	if (next != UINT64_MAX)
		loop_timer_set(s->idle_timer, next - now);
}

/* ---- the conversation ------------------------------------------------------------------------------ */

/* false: the connection broke and is gone */
static bool flush(struct connection *c)
{
	size_t sent = 0;
	CURLcode r = CURLE_OK;

	while (c->out.len && r == CURLE_OK) {
		r = curl_easy_send(c->easy, c->out.data, c->out.len, &sent);
		if (r == CURLE_OK)
			buf_consume(&c->out, sent);
	}
	if (r == CURLE_OK || r == CURLE_AGAIN)
		r = loop_io_want(c->io, LOOP_READ | (c->out.len ? LOOP_WRITE : 0)) ? CURLE_OUT_OF_MEMORY : CURLE_OK;
	if (r != CURLE_OK)
		broken(c, curl_easy_strerror(r));
	return r == CURLE_OK;
}

static void command(struct smtp_transfer *t, enum smtp_stage stage)
{
	struct buf *out = &t->connection->out;

	t->end.stage = stage;
	t->end.code = 0;
	if (stage == SMTP_MAIL)
		buf_printf(out, "MAIL FROM:<%s>\r\n", t->from);
	else if (stage == SMTP_RCPT)
		buf_printf(out, "RCPT TO:<%s>\r\n", t->to);
	else if (stage == SMTP_DATA)
		buf_str(out, "DATA\r\n");
	else
		talk_message(out, t->mail.data, t->mail.len);
}

/* what follows a good answer */
static bool go_on(struct smtp_transfer *t)
{
	struct connection *c = t->connection;

	if (t->end.stage == SMTP_BODY) {
		t->end.complete = true;
		c->mails++;
		finish(t, "");
		return true;
	}
	if (t->end.stage == SMTP_DATA && !t->ops->may_begin(t->ctx)) {
		t->end.withheld = true;
		finish(t, "");
		return false;
	}
	command(t, t->end.stage + 1);
	if (buf_err(&c->out)) {
		finish(t, "no memory");
		return false;
	}
	return flush(c);
}

/* false: the connection is gone */
static bool answered(struct connection *c)
{
	struct smtp_transfer *t = c->transfer;
	int good = t && t->end.stage == SMTP_DATA ? 3 : 2;

	if (!t || c->out.len) { /* nobody had asked */
		if (t && c->reply.code >= 400)
			t->end.code = c->reply.code;
		broken(c, "an answer to no question");
		return false;
	}
	t->end.code = c->reply.code;
	if (c->reply.code / 100 == good)
		return go_on(t);
	finish(t, "an unexpected answer");
	return false;
}

/* false: the connection is gone */
static bool hear(struct connection *c, const char *data, size_t len)
{
	while (len) {
		size_t used = 0;
		enum reply_result r = reply_read(&c->reply, data, len, &used);

		if (r == REPLY_BAD) {
			broken(c, "not an SMTP reply");
			return false;
		}
		data += used;
		len -= used;
		if (r == REPLY_DONE && !answered(c))
			return false;
	}
	return true;
}

static void on_talk(void *ctx, unsigned ready)
{
	struct connection *c = ctx;
	char data[4096];
	size_t n;

	if (ready & LOOP_WRITE && !flush(c))
		return;
	for (;;) {
		CURLcode r = curl_easy_recv(c->easy, data, sizeof(data), &n);

		if (r == CURLE_AGAIN)
			return;
		if (r != CURLE_OK || !n) {
			broken(c, r == CURLE_OK ? "closed by the server" : curl_easy_strerror(r));
			return;
		}
		if (!hear(c, data, n))
			return;
	}
}

/* ---- connecting ------------------------------------------------------------------------------------ */

static int on_socket_made(void *ctx, curl_socket_t fd, curlsocktype purpose _unused_)
{
	((struct connection *)ctx)->fd = fd;
	return CURL_SOCKOPT_OK;
}

/* keeps stage and reply while libcurl speaks */
static int on_debug(CURL *easy _unused_, curl_infotype type, char *data, size_t len, void *ctx)
{
	struct connection *c = ctx;
	struct smtp_transfer *t = c->transfer;
	struct reply heard = { 0 };
	size_t used;

	if (type == CURLINFO_HEADER_OUT && len >= 4 && !memcmp(data, "QUIT", 4))
		shutdown(c->fd, SHUT_RDWR); /* libcurl would wait for the answer in a blocking way */
	else if (type == CURLINFO_HEADER_OUT && t)
		t->end.stage = SMTP_HELLO;
	if (type == CURLINFO_HEADER_IN && t && reply_read(&heard, data, len, &used) == REPLY_DONE) {
		t->end.code = heard.code;
		c->reply = heard;
	}
	return 0;
}

static size_t on_write(char *data _unused_, size_t size, size_t n, void *ctx _unused_)
{
	return size * n; /* replies were noted already; libcurl's default prints them */
}

static void connected(struct connection *c)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	curl_easy_getinfo(c->easy, CURLINFO_ACTIVESOCKET, &fd);
	if (fd == CURL_SOCKET_BAD || loop_io_new(&c->io, c->smtp->loop, fd, on_talk, c)) {
		broken(c, "no socket");
		return;
	}
	command(c->transfer, SMTP_MAIL);
	(void)flush(c);
}

static void collect(struct smtp *s)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(s->multi, &left))) {
		CURLcode result = m->data.result;
		struct connection *c;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		if (result == CURLE_OK)
			connected(c);
		else
			broken(c, curl_easy_strerror(result));
	}
}

struct watch { /* a socket while libcurl connects */
	struct smtp *smtp;
	struct loop_io *io;
	curl_socket_t fd;
};

static void on_connecting(void *ctx, unsigned ready)
{
	struct watch *w = ctx;
	struct smtp *s = w->smtp;
	int flags = (ready & LOOP_READ ? CURL_CSELECT_IN : 0) | (ready & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
	int running;

	curl_multi_socket_action(s->multi, w->fd, flags, &running); /* may free w */
	collect(s);
}

static void on_time(void *ctx)
{
	struct smtp *s = ctx;
	int running;

	curl_multi_socket_action(s->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(s);
}

static int on_timer(CURLM *multi _unused_, long timeout_ms, void *ctx)
{
	struct smtp *s = ctx;

	if (timeout_ms < 0)
		loop_timer_stop(s->timer);
	else
		loop_timer_set(s->timer, (uint64_t)timeout_ms);
	return 0;
}

static struct watch *watch_new(struct smtp *s, curl_socket_t fd)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->smtp = s;
	w->fd = fd;
	if (loop_io_new(&w->io, s->loop, fd, on_connecting, w) ||
	    curl_multi_assign(s->multi, fd, w) != CURLM_OK) {
		loop_io_free(w->io);
		free(w);
		return NULL;
	}
	return w;
}

static int on_socket(CURL *easy _unused_, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct smtp *s = ctx;
	struct watch *w = socket_ctx;
	unsigned want = (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);

	if (what == CURL_POLL_REMOVE) {
		if (w)
			loop_io_free(w->io);
		free(w);
		return 0;
	}
	if (!w)
		w = watch_new(s, fd);
	return w && !loop_io_want(w->io, want) ? 0 : -1;
}

static void set_up(struct connection *c)
{
	const struct smtp_options *o = &c->smtp->options;

	curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
	curl_easy_setopt(c->easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(c->easy, CURLOPT_PROXY, ""); /* none, whatever the environment says */
	curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(c->easy, CURLOPT_VERBOSE, 1L);
	curl_easy_setopt(c->easy, CURLOPT_DEBUGFUNCTION, on_debug);
	curl_easy_setopt(c->easy, CURLOPT_DEBUGDATA, c);
	curl_easy_setopt(c->easy, CURLOPT_SOCKOPTFUNCTION, on_socket_made);
	curl_easy_setopt(c->easy, CURLOPT_SOCKOPTDATA, c);
	curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_ms);
	curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, (long)o->connect_ms);
}

static int connection_new(struct connection **ret, struct smtp *s)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		return err_here(-ENOMEM);
	c->easy = curl_easy_init();
	if (!c->easy) {
		free(c);
		return err_here(-ENOMEM);
	}
	c->smtp = s;
	c->fd = CURL_SOCKET_BAD;
	list_init(&c->link);
	set_up(c);
	if (curl_easy_setopt(c->easy, CURLOPT_URL, s->options.url) != CURLE_OK ||
	    curl_multi_add_handle(s->multi, c->easy) != CURLM_OK) {
		curl_easy_cleanup(c->easy);
		free(c);
		return err_here(-ENOMEM);
	}
	list_add_tail(&s->connections, &c->link);
	s->n++;
	*ret = c;
	return 0;
}

/* ---- a mail ---------------------------------------------------------------------------------------- */

static struct connection *idle_one(struct smtp *s)
{
	struct connection *c;

	list_for_each(c, &s->connections, link)
		if (!c->transfer && c->io)
			return c;
	return NULL;
}

static int transfer_new(struct smtp_transfer **ret, struct smtp *s, const char *from, const char *to)
{
	struct smtp_transfer *t = calloc(1, sizeof(*t));
	int r = t ? 0 : err_here(-ENOMEM);

	if (!r)
		r = loop_timer_new(&t->timer, s->loop, on_late, t);
	if (!r && (!(t->from = strdup(from)) || !(t->to = strdup(to))))
		r = err_here(-ENOMEM);
	if (r)
		transfer_free(t);
	else
		*ret = t;
	return r;
}

int smtp_send(struct smtp *s, const char *from, const char *to, struct buf *mail,
	      const struct smtp_ops *ops, void *ctx, struct smtp_transfer **ret)
{
	struct connection *c = idle_one(s);
	bool fresh = !c;
	struct smtp_transfer *t;
	int r = transfer_new(&t, s, from, to);

	if (!r && fresh) {
		r = connection_new(&c, s);
		if (r)
			transfer_free(t);
	}
	if (r)
		return r;
	t->mail = *mail;
	*mail = BUF_INIT;
	t->started_us = clock_mono_us();
	t->ops = ops;
	t->ctx = ctx;
	t->connection = c;
	t->end.reused = c->mails > 0;
	c->transfer = t;
	loop_timer_set(t->timer, s->options.transfer_ms);
	if (!fresh) { /* leaves on the loop's next turn; a failure is told there */
		command(t, SMTP_MAIL);
		loop_io_active(c->io, LOOP_WRITE);
	}
	*ret = t;
	return 0;
}

bool smtp_begun(const struct smtp_transfer *t)
{
	return t->end.stage >= SMTP_BODY;
}

void smtp_cancel(struct smtp_transfer *t)
{
	connection_free(t->connection);
	transfer_free(t);
}

/* ---- its life ------------------------------------------------------------------------------------- */

size_t smtp_connections(const struct smtp *s)
{
	return s->n;
}

int smtp_configure(struct smtp *s, const struct smtp_options *o)
{
	char *url = strdup(o->url);
	struct connection *c;

	if (!url)
		return err_here(-ENOMEM);
	free((char *)s->options.url);
	s->options = *o;
	s->options.url = url;
	list_for_each(c, &s->connections, link) /* perhaps another server is meant now */
		if (!c->transfer)
			connection_free(c);
	return 0;
}

int smtp_new(struct smtp **ret, struct loop *l, const struct smtp_options *o)
{
	_cleanup_(smtp_freep) struct smtp *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_here(-ENOMEM);
	s->loop = l;
	list_init(&s->connections);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_here(-ENOMEM);
	s->multi = curl_multi_init();
	if (!s->multi)
		return err_here(-ENOMEM);
	r = loop_timer_new(&s->timer, l, on_time, s);
	if (!r)
		r = loop_timer_new(&s->idle_timer, l, on_idle_time, s);
	if (!r)
		r = smtp_configure(s, o);
	if (r)
		return r;
	curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s);
	curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s);
	*ret = steal(s);
	return 0;
}

void smtp_free(struct smtp *s)
{
	struct connection *c;

	if (!s)
		return;
	list_for_each(c, &s->connections, link) {
		struct smtp_transfer *t = c->transfer;

		connection_free(c);
		transfer_free(t);
	}
	if (s->multi)
		curl_multi_cleanup(s->multi); /* its sockets are given back through on_socket() */
	loop_timer_free(s->timer);
	loop_timer_free(s->idle_timer);
	free((char *)s->options.url);
	free(s);
}
