/*
 * connection - one peer: bytes in, one exchange after the other, bytes out
 *
 * A connection runs one exchange at a time; what is pipelined behind it waits in the input buffer,
 * which stops reading at INPUT_MAX. So answers are in order by themselves, and the exchange can
 * live inside the connection: no allocation a request. Output is written at once from here, and
 * only what the socket didn't take waits for the loop; bufferevent's own way costs two calls of
 * epoll_ctl an answer.
 *
 * One timer a connection. A deadline that moves away only notes it; the timer looks when it fires.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/http/internal.h"

#define INPUT_MAX (64u << 10)
#define LINGER_MS 2000
#define EXCHANGES_A_TURN 256

static void set_deadline(struct http_connection *c, unsigned after_ms)
{
	uint64_t now = clock_mono_ms();

	c->deadline_ms = now + after_ms;
	if (c->deadline_ms < c->armed_ms) {
		c->armed_ms = c->deadline_ms;
		loop_timer_set(c->timer, after_ms);
	}
}

static struct evbuffer *input(const struct http_connection *c)
{
	return bufferevent_get_input(c->bev);
}

static struct evbuffer *output(const struct http_connection *c)
{
	return bufferevent_get_output(c->bev);
}

static size_t output_len(const struct http_connection *c)
{
	return evbuffer_get_length(output(c));
}

/* ---- end ------------------------------------------------------------------------------------- */

void http_connection_free(void *p)
{
	struct http_connection *c = p;

	loop_timer_free(c->timer);
	http_request_fini(&c->request);
	free(c);
}

/* the handler will hear no more of its request */
static void tell_gone(struct http_connection *c)
{
	struct http_request *r = &c->request;
	void (*gone)(void *ctx) = r->gone;

	if (!gone)
		return;
	r->gone = NULL;
	r->owed = false;
	gone(r->gone_ctx);
}

/* at once: libevent would close it only when the bufferevent's finalizer runs */
static void close_socket(struct http_connection *c)
{
	int fd = bufferevent_getfd(c->bev);

	bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	bufferevent_free(steal(c->bev));
	close(fd);
}

void http_connection_close(struct http_connection *c)
{
	struct http_server *s = c->server;

	if (c->state == HTTP_CLOSED)
		return;
	if (c->request.owed)
		http_count(s->m.refused[HTTP_REFUSED_GONE]);
	c->state = HTTP_CLOSED;
	list_del(&c->node);
	s->connections_n--;
	if (s->m.connections)
		series_set(s->m.connections, (double)s->connections_n);
	loop_timer_stop(c->timer);
	close_socket(c);
	tell_gone(c);
	if (c->request.owed || c->abandoned) /* no hook: kept until the handler answers */
		list_add_tail(&s->orphans, &c->node);
	else
		loop_defer_free(s->loop, http_connection_free, c);
}

void http_connection_abort(struct http_connection *c, enum http_refusal why)
{
	http_count(c->server->m.refused[why]);
	http_connection_close(c);
}

/* the last answer is out */
static void finish(struct http_connection *c)
{
	if (!c->linger || c->eof) {
		http_connection_close(c);
		return;
	}
	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
	evbuffer_drain(input(c), evbuffer_get_length(input(c)));
	c->state = HTTP_LINGERING;
	set_deadline(c, LINGER_MS);
}

void http_connection_drain(struct http_connection *c)
{
	if (c->state == HTTP_HEAD_IN && !c->request.owed && !c->parser.scanned && !output_len(c) &&
	    !evbuffer_get_length(input(c)))
		http_connection_close(c);
}

/* ---- output ---------------------------------------------------------------------------------- */

/* an answer larger than output_max is given as many times the time */
static unsigned output_ms(const struct http_connection *c)
{
	const struct http_limits *l = &c->server->limits;
	uint64_t ms = (uint64_t)l->answer_ms * (1 + output_len(c) / l->output_max);

	return (unsigned)MIN(ms, UINT32_MAX);
}

/*
 * The socket took no more: the loop goes on with it. Only a further answer gives the peer more
 * time; its own bytes don't. False: the connection is gone.
 */
static bool wait_for_output(struct http_connection *c)
{
	if (c->queued && (c->state == HTTP_CLOSING || c->state == HTTP_HEAD_IN))
		set_deadline(c, output_ms(c));
	c->queued = false;
	if (!bufferevent_enable(c->bev, EV_WRITE))
		return true;
	http_connection_abort(c, HTTP_REFUSED_MEMORY);
	return false;
}

/* false: the connection is gone */
static bool flush(struct http_connection *c)
{
	struct evbuffer *out = output(c);
	int n;

	if (!evbuffer_get_length(out))
		return true;
	if (!(bufferevent_get_enabled(c->bev) & EV_WRITE)) {
		evbuffer_unfreeze(out, 1);
		n = evbuffer_write(out, bufferevent_getfd(c->bev));
		evbuffer_freeze(out, 1);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			http_connection_close(c);
			return false;
		}
	}
	return !evbuffer_get_length(out) || wait_for_output(c);
}

static void on_write(_unused_ struct bufferevent *bev, void *ctx)
{
	struct http_connection *c = ctx;

	bufferevent_disable(c->bev, EV_WRITE);
	if (c->state == HTTP_HEAD_IN)
		set_deadline(c, c->head_began ? c->server->limits.head_ms : c->server->limits.idle_ms);
	http_connection_run(c);
}

/* ---- exchanges ------------------------------------------------------------------------------- */

static void refuse(struct http_connection *c, enum http_parse e)
{
	const struct http_error_info *info = http_error_info(e);

	http_count(c->server->m.errors[e]);
	http_reply_error(c, info->status, info->text);
}

/* the contents of the exchange are over; the next may begin, or the connection ends */
static void next_exchange(struct http_connection *c)
{
	http_request_end(&c->request);
	http_parser_reset(&c->parser);
	c->discard = false;
	c->state = HTTP_HEAD_IN;
	c->head_began = evbuffer_get_length(input(c)) > 0;
	set_deadline(c, c->head_began ? c->server->limits.head_ms : c->server->limits.idle_ms);
}

void http_connection_answered(struct http_connection *c, bool close, bool linger)
{
	c->request.gone = NULL;
	c->request.owed = false;
	c->queued = true;
	if (close) {
		c->linger = linger || evbuffer_get_length(input(c)) > 0;
		c->state = HTTP_CLOSING;
		set_deadline(c, output_ms(c));
	} else if (c->state == HTTP_BODY_IN && (c->parser.chunked || c->body_left)) {
		c->discard = true;
		c->chunked.max = HTTP_DISCARD_MAX;
		set_deadline(c, c->server->limits.body_ms);
	} else {
		next_exchange(c);
	}
}

/* the whole request is in */
static void handle(struct http_connection *c)
{
	struct http_server *s = c->server;

	if (c->discard) {
		next_exchange(c);
		return;
	}
	if (c->request.body.err) {
		http_count(s->m.refused[HTTP_REFUSED_MEMORY]);
		http_reply_error(c, 503, "out of memory, try again later");
		return;
	}
	c->state = HTTP_HANDLING;
	c->request.owed = true;
	set_deadline(c, s->limits.answer_ms);
	s->ops.handle(s->ctx, &c->request);
}

/* false: a body of this size isn't taken */
static bool begin_body(struct http_connection *c)
{
	const struct http_parser *p = &c->parser;

	if (p->content_length > c->request.body_max) {
		refuse(c, HTTP_ERROR_BODY_LARGE);
		return false;
	}
	c->chunked.max = c->request.body_max;
	if (p->expect_continue && !evbuffer_get_length(input(c)) && (p->chunked || c->body_left))
		evbuffer_add(output(c), "HTTP/1.1 100 Continue\r\n\r\n", 25);
	set_deadline(c, c->server->limits.body_ms);
	return true;
}

/* the head is in: asks whether it is wanted */
static void on_head(struct http_connection *c, const char *head)
{
	struct http_server *s = c->server;
	struct http_request *r = &c->request;
	bool failed = http_request_begin(r, head, &c->parser);

	evbuffer_drain(input(c), c->parser.head_len);
	if (failed) {
		http_connection_abort(c, HTTP_REFUSED_MEMORY);
		return;
	}
	r->began_us = s->m.seconds ? clock_mono_us() : 0;
	r->body_max = s->limits.body_max;
	c->body_left = c->parser.content_length;
	c->chunked = (struct http_chunked){ .max = 0 };
	c->state = HTTP_BODY_IN;
	if (s->ops.admit) {
		r->in_admit = r->owed = true;
		s->ops.admit(s->ctx, r);
		r->in_admit = false;
		if (c->state != HTTP_BODY_IN || c->discard)
			return; /* answered */
		r->owed = false;
	}
	if (begin_body(c) && !c->body_left && !c->parser.chunked)
		handle(c);
}

/* Gives the first n bytes of the input in one piece */
static const char *piece(struct http_connection *c, size_t n)
{
	return (const char *)evbuffer_pullup(input(c), (ssize_t)n);
}

/* false: wait for more */
static bool read_head(struct http_connection *c)
{
	size_t total = evbuffer_get_length(input(c));
	size_t have = evbuffer_get_contiguous_space(input(c));
	enum http_parse r = HTTP_PARSE_MORE;
	const char *data = NULL;

	if (c->server->draining && !total && !c->eof)
		c->eof = true; /* nothing under way */
	if (!total || output_len(c) > c->server->limits.output_max)
		return false;
	for (int pass = 0; pass < 2 && r == HTTP_PARSE_MORE; pass++) {
		if (pass && have == total)
			return false;
		have = pass ? MIN(total, c->server->limits.head_max) : have;
		data = piece(c, have);
		if (!data) {
			http_connection_abort(c, HTTP_REFUSED_MEMORY);
			return false;
		}
		r = http_parser_head(&c->parser, data, have);
	}
	if (r == HTTP_PARSE_MORE)
		return false;
	if (r == HTTP_PARSE_DONE)
		on_head(c, data);
	else
		refuse(c, r);
	return true;
}

static bool read_sized_body(struct http_connection *c)
{
	size_t n = MIN(evbuffer_get_length(input(c)), c->body_left);
	struct buf *body = &c->request.body;

	if (!n)
		return false;
	if (c->discard) {
		evbuffer_drain(input(c), n);
	} else {
		char *to = buf_reserve(body, n + 1);

		if (to) {
			evbuffer_copyout(input(c), to, n);
			to[n] = '\0';
			body->len += n;
		}
		evbuffer_drain(input(c), n);
	}
	c->body_left -= n;
	if (!c->body_left)
		handle(c);
	return true;
}

static bool read_chunked_body(struct http_connection *c)
{
	size_t have = evbuffer_get_contiguous_space(input(c));
	const char *data = have ? piece(c, have) : NULL;
	struct bytes run = { 0 };
	enum http_parse r;
	size_t used;

	if (!data)
		return false;
	r = http_chunked_next(&c->chunked, data, have, &used, &run);
	if (r == HTTP_PARSE_DATA && !c->discard)
		buf_add(&c->request.body, run.data, run.len);
	evbuffer_drain(input(c), used);
	if (r == HTTP_PARSE_DONE)
		handle(c);
	else if (r > HTTP_PARSE_DATA && c->discard)
		http_connection_close(c); /* the one answer is out */
	else if (r > HTTP_PARSE_DATA)
		refuse(c, r);
	return true;
}

/* false: nothing to be done until something happens */
static bool step(struct http_connection *c)
{
	switch (c->state) {
	case HTTP_HEAD_IN:
		return read_head(c);
	case HTTP_BODY_IN:
		return c->parser.chunked ? read_chunked_body(c) : read_sized_body(c);
	default:
		return false;
	}
}

/* the peer sends no more: what is complete is answered, what isn't never will be */
static void settle_eof(struct http_connection *c)
{
	bool partial = c->parser.scanned || (c->state == HTTP_BODY_IN && !c->discard);

	if (c->state != HTTP_HEAD_IN && c->state != HTTP_BODY_IN)
		return;
	if (c->state == HTTP_HEAD_IN && !partial && evbuffer_get_length(input(c)))
		return; /* waits for output to be taken */
	if (partial)
		http_count(c->server->m.refused[HTTP_REFUSED_TRUNCATED]);
	c->state = HTTP_CLOSING; /* what is queued still goes out */
	set_deadline(c, output_ms(c));
}

/* a head was left alone for the sake of output that is out now */
static bool waits_no_more(const struct http_connection *c)
{
	return c->state == HTTP_HEAD_IN && !c->parser.scanned && evbuffer_get_length(input(c)) &&
	       output_len(c) <= c->server->limits.output_max;
}

void http_connection_run(struct http_connection *c)
{
	int steps = 0;
	bool more = true;

	if (c->running || c->state == HTTP_CLOSED)
		return;
	c->running = true;
	while (more && steps++ < EXCHANGES_A_TURN)
		more = step(c);
	c->running = false;
	if (c->state == HTTP_CLOSED || !flush(c))
		return;
	if (more || waits_no_more(c)) { /* others get their turn first */
		c->armed_ms = 0;
		loop_timer_set(c->timer, 0);
		return;
	}
	if (c->eof)
		settle_eof(c);
	if (c->state == HTTP_CLOSING && !output_len(c))
		finish(c);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_read(_unused_ struct bufferevent *bev, void *ctx)
{
	struct http_connection *c = ctx;

	if (c->state == HTTP_LINGERING || c->state == HTTP_CLOSING) {
		evbuffer_drain(input(c), evbuffer_get_length(input(c)));
		return;
	}
	if (c->state == HTTP_HEAD_IN && !c->head_began) {
		c->head_began = true;
		if (!output_len(c)) /* else the time to take the answer runs, and head_ms after it */
			set_deadline(c, c->server->limits.head_ms);
	}
	http_connection_run(c);
}

static void on_event(_unused_ struct bufferevent *bev, short what, void *ctx)
{
	struct http_connection *c = ctx;

	if (what & BEV_EVENT_ERROR || c->state == HTTP_LINGERING) {
		http_connection_close(c);
		return;
	}
	c->eof = true;
	http_connection_run(c);
}

static void on_deadline(struct http_connection *c)
{
	switch (c->state) {
	case HTTP_HEAD_IN:
		if (output_len(c)) {
			http_connection_abort(c, HTTP_REFUSED_OUTPUT_TIME);
		} else if (!evbuffer_get_length(input(c))) {
			http_connection_close(c); /* idle */
		} else {
			http_count(c->server->m.refused[HTTP_REFUSED_HEAD_TIME]);
			http_reply_error(c, 408, "the header took too long");
		}
		break;
	case HTTP_BODY_IN:
		http_count(c->server->m.refused[HTTP_REFUSED_BODY_TIME]);
		if (c->discard)
			http_connection_close(c);
		else
			http_reply_error(c, 408, "the body took too long");
		break;
	case HTTP_HANDLING:
		http_count(c->server->m.refused[HTTP_REFUSED_ANSWER_TIME]);
		http_reply_error(c, 503, "no answer in time, try again later");
		break;
	case HTTP_CLOSING:
		http_connection_abort(c, HTTP_REFUSED_OUTPUT_TIME);
		break;
	default:
		http_connection_close(c);
	}
}

static void on_timer(void *ctx)
{
	struct http_connection *c = ctx;
	uint64_t now = clock_mono_ms();
	bool turn = !c->armed_ms; /* set to go on in this turn */

	c->armed_ms = UINT64_MAX;
	if (now >= c->deadline_ms)
		on_deadline(c);
	else
		set_deadline(c, (unsigned)(c->deadline_ms - now));
	if (turn || c->state == HTTP_CLOSING)
		http_connection_run(c);
}

/* ---- start ----------------------------------------------------------------------------------- */

void http_peer_key(const struct sockaddr_storage *peer, uint8_t ret_key[static 16],
		   char ret_text[static 48])
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;

	memset(ret_key, 0, 16);
	strcpy(ret_text, "unix");
	if (peer->ss_family == AF_INET) {
		ret_key[10] = ret_key[11] = 0xff;
		memcpy(ret_key + 12, &in->sin_addr, 4);
		inet_ntop(AF_INET, &in->sin_addr, ret_text, 48);
	} else if (peer->ss_family == AF_INET6) {
		memcpy(ret_key, &in6->sin6_addr, 8); /* who has one address has its whole /64 */
		memset(ret_key + 8, 0xff, 8);
		inet_ntop(AF_INET6, &in6->sin6_addr, ret_text, 48);
	}
}

static int open_bufferevent(struct http_connection *c, int fd)
{
	struct event_base *base = loop_base(c->server->loop);

	c->bev = bufferevent_socket_new(base, fd, 0);
	if (!c->bev)
		return err_here(-ENOMEM);
	bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, MAX(INPUT_MAX, 2 * c->server->limits.head_max));
	bufferevent_disable(c->bev, EV_WRITE);
	if (bufferevent_enable(c->bev, EV_READ)) {
		bufferevent_free(steal(c->bev));
		return err_here(-ENOMEM);
	}
	return 0;
}

int http_connection_new(struct http_server *s, int fd, const struct sockaddr_storage *peer)
{
	struct http_connection *c;
	int r;

	c = calloc(1, sizeof(*c) + s->limits.fields_max * sizeof(c->fields[0]));
	if (!c)
		return err_here(-ENOMEM);
	c->server = s;
	c->armed_ms = UINT64_MAX;
	c->head_began = true; /* a new connection has head_ms, not idle_ms, to say something */
	c->parser = (struct http_parser){
		.head_max = s->limits.head_max,
		.target_max = s->limits.target_max,
		.fields_max = s->limits.fields_max,
		.fields = c->fields,
	};
	http_peer_key(peer, c->address, c->peer);
	r = loop_timer_new(&c->timer, s->loop, on_timer, c);
	if (!r)
		r = open_bufferevent(c, fd);
	if (r) {
		http_connection_free(c);
		return r;
	}
	/* from here on the descriptor is the bufferevent's */
	list_add_tail(&s->connections, &c->node);
	s->connections_n++;
	if (s->m.connections)
		series_set(s->m.connections, (double)s->connections_n);
	set_deadline(c, s->limits.head_ms);
	return 0;
}
