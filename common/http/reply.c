/*
 * reply - writes answers: status line, fields and body in one go
 *
 * Every answer carries Date, Content-Length (where there may be a body), nosniff, and, unless the
 * handler set them, a Content-Security-Policy that allows nothing and no-store: forgetting must be
 * the safe way.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>
#include "common/base/clock.h"
#include "common/http/chars.h"
#include "common/http/internal.h"

const char *http_status_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" },
		{ 422, "Unprocessable Content" },
		{ 428, "Precondition Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};

	FOREACH(r, reasons)
		if (r->status == status)
			return r->reason;
	return "Status"; /* any phrase will do */
}

/* IMF-fixdate, made anew once a second; strftime() would follow a locale */
static const char *date(struct http_server *s)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int64_t now = clock_wall_us() / 1000000;
	time_t t = (time_t)now;
	struct tm tm;

	if (now == s->date_at)
		return s->date;
	gmtime_r(&t, &tm);
	s->date_at = now;
	snprintf(s->date, sizeof(s->date), "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
		 days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, (tm.tm_year + 1900) % 10000,
		 tm.tm_hour, tm.tm_min, tm.tm_sec);
	return s->date;
}

static bool has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

/* the head of an answer into s->scratch; r may be NULL */
static void write_head(struct http_server *s, const struct http_request *r, int status,
		       const char *content_type, size_t len, bool close)
{
	struct buf *o = &s->scratch;

	buf_reset(o);
	buf_str(o, "HTTP/1.1 ");
	buf_u64(o, (uint64_t)status);
	buf_ch(o, ' ');
	buf_str(o, http_status_reason(status));
	buf_str(o, "\r\nDate: ");
	buf_str(o, date(s));
	if (has_body(status)) {
		if (content_type) {
			buf_str(o, "\r\nContent-Type: ");
			buf_str(o, content_type);
		}
		buf_str(o, "\r\nContent-Length: ");
		buf_u64(o, len);
	}
	buf_str(o, "\r\nX-Content-Type-Options: nosniff\r\n");
	if (!r || !r->extra_csp)
		buf_str(o, "Content-Security-Policy: default-src 'none'\r\n");
	if (!r || !r->extra_cache)
		buf_str(o, "Cache-Control: no-store\r\n");
	if (close)
		buf_str(o, "Connection: close\r\n");
	if (r && r->extra.len)
		buf_add(o, r->extra.data, r->extra.len);
	buf_str(o, "\r\n");
}

void http_reply_header(struct http_request *r, const char *name, const char *value)
{
	struct buf *o = &r->extra;

	assert(name[0] && http_chars_are(name, strlen(name), CHAR_TOKEN));
	if (!strcasecmp(name, "X-Content-Type-Options"))
		return; /* always there */
	r->extra_csp |= !strcasecmp(name, "Content-Security-Policy");
	r->extra_cache |= !strcasecmp(name, "Cache-Control");
	buf_str(o, name);
	buf_str(o, ": ");
	for (; *value; value++) /* nothing in a value can end it */
		buf_ch(o, http_char_is(*value, CHAR_VALUE) ? *value : ' ');
	buf_str(o, "\r\n");
}

/* false: out of memory, the connection is gone */
static bool send_answer(struct http_connection *c, int status, const char *content_type,
			const void *body, size_t len, bool close)
{
	struct http_server *s = c->server;
	struct http_request *r = &c->request;
	struct evbuffer *out = bufferevent_get_output(c->bev);
	bool with_body = len && has_body(status) && c->parser.method != HTTP_HEAD;

	write_head(s, r, status, content_type, len, close);
	if (buf_err(&s->scratch) || buf_err(&r->extra) ||
	    evbuffer_add(out, s->scratch.data, s->scratch.len) ||
	    (with_body && evbuffer_add(out, body, len))) {
		http_connection_abort(c, HTTP_REFUSED_MEMORY);
		return false;
	}
	http_count(s->m.status[status / 100 % 6]);
	if (s->m.seconds && r->path)
		series_observe(s->m.seconds, (double)(clock_mono_us() - r->began_us) / 1e6);
	return true;
}

/* the peer is gone, or was told something in the handler's place: drops the handler's answer */
static bool is_late(struct http_connection *c)
{
	if (!c->abandoned && c->state != HTTP_CLOSED)
		return false;
	c->abandoned = c->request.owed = false;
	if (c->state == HTTP_CLOSED) {
		list_del(&c->node);
		loop_defer_free(c->server->loop, http_connection_free, c);
	}
	return true;
}

void http_reply(struct http_request *r, int status, const char *content_type, const void *body,
		size_t len)
{
	struct http_connection *c = http_connection_of(r);
	const struct http_parser *p = &c->parser;
	bool unread = r->in_admit && (p->chunked || p->content_length);
	bool skippable = !p->expect_continue && p->content_length <= HTTP_DISCARD_MAX;
	bool close = p->close || p->minor == 0 || c->server->draining || (unread && !skippable);

	assert(r->owed || c->abandoned);
	if (is_late(c) || !send_answer(c, status, content_type, body, len, close))
		return;
	http_connection_answered(c, close, unread);
	http_connection_run(c);
}

/* the body of the surface's own form, or plain text; the content type */
static const char *error_body(struct http_server *s, const char *path, int status,
			      const char *reason, struct buf *out)
{
	if (s->ops.error_body)
		return s->ops.error_body(s->ctx, path, status, reason, out);
	buf_str(out, reason);
	buf_ch(out, '\n');
	return "text/plain; charset=utf-8";
}

void http_reply_error(struct http_connection *c, int status, const char *reason)
{
	_cleanup_(buf_fini) struct buf body = BUF_INIT;
	struct http_request *r = &c->request;
	const char *path = r->path ? r->path : "";
	const char *type = error_body(c->server, path, status, reason, &body);
	void (*gone)(void *ctx) = r->gone;
	bool owed = r->owed;

	buf_reset(&r->extra); /* what the handler had begun */
	r->extra_csp = r->extra_cache = false;
	if (status == 405)
		http_reply_header(r, "Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
	if (status == 503)
		http_reply_header(r, "Retry-After", "1");
	if (!send_answer(c, status, type, body.data, body.len, true))
		return;
	http_connection_answered(c, true, true);
	if (gone)
		gone(r->gone_ctx);
	else
		c->abandoned = owed;
}

void http_refuse(struct http_server *s, int fd, const char *reason)
{
	_cleanup_(buf_fini) struct buf body = BUF_INIT;
	const char *type = error_body(s, "", 503, reason, &body);
	char unread[4096];
	ssize_t n;

	write_head(s, NULL, 503, type, body.len, true);
	buf_add(&s->scratch, body.data, body.len);
	if (buf_err(&s->scratch) || buf_err(&body))
		return;
	http_count(s->m.status[5]);
	/* best effort: unread bytes would turn the close into a reset, which may overtake the answer */
	n = send(fd, s->scratch.data, s->scratch.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0 && !shutdown(fd, SHUT_WR))
		n = recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
	(void)n; /* either way the descriptor is closed next */
}
