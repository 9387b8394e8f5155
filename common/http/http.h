#pragma once
/*
 * http - HTTP/1.1 server on bufferevents, strict and bounded
 *
 * Framing follows RFC 9112 without its leniencies: one Host, one all-digit Content-Length,
 * Transfer-Encoding only `chunked` and never with Content-Length, CRLF only, no obs-fold, no
 * space before a colon, no NUL. A framing error is answered and closes the connection; nothing
 * behind it is executed. Pipelined requests are answered in order. Times for head and body are
 * total, not idle. Above output_max no further request of a peer is run, and a peer that takes an
 * answer slower than output_max in answer_ms is dropped. A connection runs one request at a time.
 */
#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/base/metrics.h"
#include "common/loop/loop.h"

struct http_server;
struct http_request; /* one exchange; ends with its answer */

struct http_limits { /* 0: the default */
	size_t head_max; /* 16 KiB */
	size_t fields_max; /* 100 */
	size_t target_max; /* 2 KiB */
	size_t body_max; /* 1 MiB; admit() may lower or raise it for one request */
	size_t output_max; /* 1 MiB not read by the peer; one answer may be larger */
	unsigned head_ms; /* 10,000 */
	unsigned body_ms; /* 30,000 */
	unsigned answer_ms; /* 30,000: a request not answered by then gets 503 */
	unsigned idle_ms; /* 75,000 between requests */
	unsigned connections_max; /* 1,024; further ones get 503 and are closed */
	unsigned per_address_max; /* 256, IPv6 by its /64; Unix peers are not counted */
};

struct http_ops {
	/*
	 * The head is in, the body is not read yet. Answer now with http_reply() to refuse, or
	 * return to go on. May be NULL.
	 */
	void (*admit)(void *ctx, struct http_request *r);
	/* The whole request is in. Answer now or later, exactly once. */
	void (*handle)(void *ctx, struct http_request *r);
	/*
	 * An answered-by-itself error (framing, limits, time): write the body in the surface's own
	 * format for this path (may be NULL: plain text). Return the content type.
	 */
	const char *(*error_body)(void *ctx, const char *path, int status, const char *reason,
				  struct buf *out);
};

/*
 * listen: "127.0.0.1:8080", "[::1]:0", "unix:/run/x.sock" (0660; a socket file on which nobody
 * answers is replaced). Proxy headers (X-Forwarded-…, Forwarded, X-Real-IP) count only from Unix
 * peers: http_header() doesn't show them from others. limits and metrics may be NULL.
 * 0; -EINVAL: listen has no such form; -EADDRINUSE; -EEXIST: the path is no socket; -errno.
 */
int http_server_new(struct http_server **ret, struct loop *l, const char *listen,
		    const struct http_limits *limits, const struct http_ops *ops, void *ctx,
		    struct metrics *metrics, const char *metrics_label) _must_check_;
/* requests not answered yet are dead after it: their hooks are called */
void http_server_free(struct http_server *s);
DEFINE_CLEANUP(struct http_server *, http_server_free)
/* the real address: "127.0.0.1:40123"; borrowed */
const char *http_server_address(const struct http_server *s);
/* no new connections; answers under way go out with Connection: close */
void http_server_drain(struct http_server *s);
size_t http_server_connections(const struct http_server *s);

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_OPTIONS, HTTP_PATCH };

enum http_method http_method(const struct http_request *r);
const char *http_path(const struct http_request *r); /* raw, still percent-encoded, without query */
const char *http_query(const struct http_request *r); /* raw; "" if none */
/* first field of this name, case-insensitive; NULL: none; several of one name are joined by ", " */
const char *http_header(const struct http_request *r, const char *name);
struct bytes http_body(const struct http_request *r);
const char *http_peer(const struct http_request *r); /* address for limits; never in a log */
void http_set_body_max(struct http_request *r, size_t max); /* in admit() */
/*
 * Answers 304 and the like have no body; HEAD's body is left out by the server. Date,
 * Content-Length, Connection and X-Content-Type-Options: nosniff are the server's; so are
 * Content-Security-Policy: default-src 'none' and Cache-Control: no-store, unless the handler sets
 * these two. name: a token; controls in value become blanks.
 */
void http_reply_header(struct http_request *r, const char *name, const char *value); /* before reply */
void http_reply(struct http_request *r, int status, const char *content_type, const void *body,
		size_t len);
/*
 * Called if the peer is gone, or was answered for the handler (answer_ms): r is dead after it. A
 * handler without a hook may still answer late; that answer is dropped. A peer that only stopped
 * sending is not gone.
 */
void http_on_gone(struct http_request *r, void (*fn)(void *ctx), void *ctx);
const char *http_status_reason(int status);

/* ---- pure helpers ---------------------------------------------------------------------------- */

/* %XX and, if plus, '+' as space; false: bad escape. The result may hold any bytes, NUL too. */
bool http_decode(const char *s, size_t len, bool plus, struct buf *out);

/* application/x-www-form-urlencoded, of a body or a query */
struct http_pair {
	const char *name, *value; /* NUL-terminated, decoded; lengths count */
	size_t name_len, value_len;
};
struct http_form {
	struct http_pair *pairs;
	size_t n;
	char *memory;
};
/* 0; -EINVAL: bad escape; -E2BIG: over pairs_max */
int http_form_parse(struct http_form *ret, const char *s, size_t len, size_t pairs_max) _must_check_;
void http_form_fini(struct http_form *f);
/* first of this name; NULL: none */
const struct http_pair *http_form_get(const struct http_form *f, const char *name);
