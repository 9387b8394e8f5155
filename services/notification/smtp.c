/*
 * smtp - mails to one mail server
 *
 * libcurl tells only its result code, and the same code (CURLE_SEND_ERROR) for a refused sender, a
 * refused recipient and a broken pipe. So the debug callback, which sees every command and reply,
 * keeps the stage and the newest reply code; the read callback, which is asked for the message only
 * behind a 354, marks the first byte.
 */
#include "services/notification/smtp.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"

struct smtp {
	struct loop *loop;
	struct loop_timer *timer;
	CURLM *multi;
	struct smtp_options options; /* url is ours */
	struct list transfers;
	struct list idle; /* transfers whose handle is used again */
	size_t idle_n;
};

struct smtp_transfer {
	struct smtp *smtp;
	struct list link;
	CURL *easy;
	struct curl_slist *to;
	struct buf mail;
	size_t given;
	bool quitting; /* QUIT was said: what is answered now concerns no mail */
	struct smtp_end end;
	char status[16]; /* enhanced status of the newest reply, "5.1.1" */
	uint64_t started_us;
	const struct smtp_ops *ops;
	void *ctx;
};

struct smtp_socket {
	struct smtp *smtp;
	struct loop_io *io;
	curl_socket_t fd;
};

/* ---- what libcurl asks and tells ---------------------------------------------------------------- */

static size_t on_read(char *to, size_t size, size_t n, void *ctx)
{
	struct smtp_transfer *t = ctx;
	size_t len = MIN(size * n, t->mail.len - t->given);

	if (t->end.stage < SMTP_BODY && !t->ops->may_begin(t->ctx)) {
		t->end.withheld = true;
		return CURL_READFUNC_ABORT;
	}
	t->end.stage = SMTP_BODY;
	memcpy(to, t->mail.data + t->given, len);
	t->given += len;
	return len;
}

static void note_command(struct smtp_transfer *t, const char *line, size_t len)
{
	static const struct {
		const char verb[5];
		enum smtp_stage stage;
	} verbs[] = {
		{ "EHLO", SMTP_HELLO }, { "HELO", SMTP_HELLO }, { "STAR", SMTP_HELLO }, { "AUTH", SMTP_HELLO },
		{ "MAIL", SMTP_MAIL },	{ "RCPT", SMTP_RCPT },	{ "DATA", SMTP_DATA },
	};

	if (len >= 4 && !memcmp(line, "QUIT", 4))
		t->quitting = true;
	FOREACH(v, verbs)
		if (len >= 4 && !memcmp(line, v->verb, 4) && t->end.stage < SMTP_BODY)
			t->end.stage = v->stage;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void note_reply(struct smtp_transfer *t, const char *line, size_t len)
{
	size_t n = 0;

	if (t->quitting || len < 4 || !is_digit(line[0]) || !is_digit(line[1]) || !is_digit(line[2]) || line[3] != ' ')
		return; /* not the last line of a reply */
	t->end.code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
	while (4 + n < len && n < sizeof(t->status) - 1 && (is_digit(line[4 + n]) || line[4 + n] == '.')) {
		t->status[n] = line[4 + n];
		n++;
	}
	t->status[n] = 0;
}

static int on_debug(CURL *easy _unused_, curl_infotype type, char *data, size_t len, void *ctx)
{
	if (type == CURLINFO_HEADER_OUT)
		note_command(ctx, data, len);
	else if (type == CURLINFO_HEADER_IN)
		note_reply(ctx, data, len);
	return 0;
}

static size_t on_write(char *data _unused_, size_t size, size_t n, void *ctx _unused_)
{
	return size * n; /* replies were noted already; libcurl's default prints them */
}

/* ---- ends ---------------------------------------------------------------------------------------- */

static void describe(const struct smtp_transfer *t, CURLcode result, char *to, size_t size)
{
	if (t->end.withheld)
		snprintf(to, size, "withheld");
	else if (t->end.complete || t->end.code >= 400)
		snprintf(to, size, "%s %d %s", smtp_stage_name(t->end.stage), t->end.code, t->status);
	else
		snprintf(to, size, "%s: %s", smtp_stage_name(t->end.stage), curl_easy_strerror(result));
}

static void transfer_free(struct smtp_transfer *t)
{
	if (t->easy)
		curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->to);
	buf_fini(&t->mail);
	free(t);
}

/* out of the multi; its handle waits for the next mail */
static void retire(struct smtp_transfer *t)
{
	struct smtp *s = t->smtp;

	curl_multi_remove_handle(s->multi, t->easy);
	list_del(&t->link);
	curl_slist_free_all(t->to);
	t->to = NULL;
	buf_fini(&t->mail);
	if (s->idle_n >= s->options.connections) {
		transfer_free(t);
		return;
	}
	list_add_head(&s->idle, &t->link);
	s->idle_n++;
}

static void finish(struct smtp_transfer *t, CURLcode result)
{
	const struct smtp_ops *ops = t->ops;
	void *ctx = t->ctx;
	struct smtp_end end;
	char detail[64];
	long connects = 0;
	double seconds = (double)(clock_mono_us() - t->started_us) / 1e6;

	t->end.complete = result == CURLE_OK;
	curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
	t->end.reused = !connects && t->end.stage > SMTP_CONNECT;
	describe(t, result, detail, sizeof(detail));
	end = t->end;
	retire(t);
	ops->ended(ctx, &end, detail, seconds);
}

static void collect(struct smtp *s)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(s->multi, &left))) {
		struct smtp_transfer *t;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		finish(t, m->data.result);
	}
}

/* ---- sockets and time ----------------------------------------------------------------------------- */

static void on_ready(void *ctx, unsigned ready)
{
	struct smtp_socket *k = ctx;
	struct smtp *s = k->smtp;
	int flags = (ready & LOOP_READ ? CURL_CSELECT_IN : 0) | (ready & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
	int running;

	curl_multi_socket_action(s->multi, k->fd, flags, &running); /* may free k */
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

static struct smtp_socket *watch(struct smtp *s, curl_socket_t fd)
{
	struct smtp_socket *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->smtp = s;
	k->fd = fd;
	if (loop_io_new(&k->io, s->loop, fd, on_ready, k) ||
	    curl_multi_assign(s->multi, fd, k) != CURLM_OK) {
		loop_io_free(k->io);
		free(k);
		return NULL;
	}
	return k;
}

static int on_socket(CURL *easy _unused_, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct smtp *s = ctx;
	struct smtp_socket *k = socket_ctx;
	unsigned want = (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);

	if (what == CURL_POLL_REMOVE) {
		if (k)
			loop_io_free(k->io);
		free(k);
		return 0;
	}
	if (!k)
		k = watch(s, fd);
	return k && !loop_io_want(k->io, want) ? 0 : -1;
}

/* ---- starting ------------------------------------------------------------------------------------- */

static int make_handle(struct smtp *s, struct smtp_transfer **ret)
{
	struct smtp_transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return err_here(-ENOMEM);
	t->smtp = s;
	list_init(&t->link);
	t->easy = curl_easy_init();
	if (!t->easy) {
		free(t);
		return err_here(-ENOMEM);
	}
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(t->easy, CURLOPT_PROXY, ""); /* none, whatever the environment says */
	curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(t->easy, CURLOPT_VERBOSE, 1L);
	curl_easy_setopt(t->easy, CURLOPT_DEBUGFUNCTION, on_debug);
	curl_easy_setopt(t->easy, CURLOPT_DEBUGDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_MAXAGE_CONN, 20L); /* servers drop idle ones */
	*ret = t;
	return 0;
}

static int get_handle(struct smtp *s, struct smtp_transfer **ret)
{
	if (list_empty(&s->idle))
		return make_handle(s, ret);
	*ret = list_entry(s->idle.next, struct smtp_transfer, link);
	list_del(&(*ret)->link);
	s->idle_n--;
	return 0;
}

static int aim(struct smtp_transfer *t, const char *from, const char *to)
{
	const struct smtp_options *o = &t->smtp->options;

	t->to = curl_slist_append(NULL, to);
	if (!t->to || curl_easy_setopt(t->easy, CURLOPT_URL, o->url) != CURLE_OK ||
	    curl_easy_setopt(t->easy, CURLOPT_MAIL_FROM, from) != CURLE_OK ||
	    curl_easy_setopt(t->easy, CURLOPT_MAIL_RCPT, t->to) != CURLE_OK)
		return err_here(-ENOMEM);
	curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_ms);
	curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)o->transfer_ms);
	return 0;
}

int smtp_send(struct smtp *s, const char *from, const char *to, struct buf *mail,
	      const struct smtp_ops *ops, void *ctx, struct smtp_transfer **ret)
{
	struct smtp_transfer *t = NULL;
	int r = get_handle(s, &t);

	if (r)
		return r;
	r = aim(t, from, to);
	if (!r && curl_multi_add_handle(s->multi, t->easy) != CURLM_OK)
		r = err_here(-ENOMEM);
	if (r) {
		transfer_free(t);
		return r;
	}
	t->mail = *mail;
	*mail = BUF_INIT;
	t->given = 0;
	t->quitting = false;
	t->end = (struct smtp_end){ 0 };
	t->status[0] = 0;
	t->started_us = clock_mono_us();
	t->ops = ops;
	t->ctx = ctx;
	list_add_tail(&s->transfers, &t->link);
	*ret = t;
	return 0;
}

bool smtp_begun(const struct smtp_transfer *t)
{
	return t->end.stage >= SMTP_BODY;
}

void smtp_cancel(struct smtp_transfer *t)
{
	retire(t);
}

/* ---- its life ------------------------------------------------------------------------------------- */

int smtp_configure(struct smtp *s, const struct smtp_options *o)
{
	char *url = strdup(o->url);

	if (!url)
		return err_here(-ENOMEM);
	free((char *)s->options.url);
	s->options = *o;
	s->options.url = url;
	curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, (long)o->connections);
	return 0;
}

int smtp_new(struct smtp **ret, struct loop *l, const struct smtp_options *o)
{
	_cleanup_(smtp_freep) struct smtp *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_here(-ENOMEM);
	s->loop = l;
	list_init(&s->transfers);
	list_init(&s->idle);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_here(-ENOMEM);
	s->multi = curl_multi_init();
	if (!s->multi)
		return err_here(-ENOMEM);
	r = loop_timer_new(&s->timer, l, on_time, s);
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
	struct smtp_transfer *t;

	if (!s)
		return;
	list_for_each(t, &s->transfers, link) {
		curl_multi_remove_handle(s->multi, t->easy);
		transfer_free(t);
	}
	list_for_each(t, &s->idle, link)
		transfer_free(t);
	if (s->multi)
		curl_multi_cleanup(s->multi); /* its sockets are given back through on_socket() */
	loop_timer_free(s->timer);
	free((char *)s->options.url);
	free(s);
}
