#pragma once
/*
 * internal - what the server's own files share; no other folder includes this
 *
 * listen.c opens sockets, server.c accepts and counts, connection.c reads and runs one exchange
 * after the other, request.c is the handler's side of an exchange, reply.c writes answers.
 */
#include <sys/socket.h>
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/metrics.h"
#include "common/http/http.h"
#include "common/http/parser.h"
#include "common/loop/loop.h"

struct bufferevent;

/* X(id, label): why a connection or an exchange ended other than by its answer */
#define HTTP_REFUSALS(X)                                                                \
	X(CONNECTIONS, "connections") /* over connections_max */                        \
	X(ADDRESS, "address") /* over per_address_max */                                \
	X(DESCRIPTORS, "descriptors") /* the process has none left */                   \
	X(HEAD_TIME, "head_time")                                                       \
	X(BODY_TIME, "body_time")                                                       \
	X(ANSWER_TIME, "answer_time") /* the handler took too long */                   \
	X(OUTPUT_TIME, "output_time") /* the peer doesn't read */                       \
	X(TRUNCATED, "truncated") /* the peer left in the middle of a request */        \
	X(GONE, "gone") /* the peer left before its answer */                           \
	X(MEMORY, "memory")

enum http_refusal {
#define X(id, label) HTTP_REFUSED_##id,
	HTTP_REFUSALS(X)
#undef X
	HTTP_REFUSED_N
};

struct http_metrics { /* all NULL without metrics */
	struct series *status[6]; /* by first digit */
	struct series *errors[HTTP_PARSE_N];
	struct series *refused[HTTP_REFUSED_N];
	struct series *connections;
	struct series *seconds;
};

int http_metrics_init(struct http_metrics *m, struct metrics *metrics, const char *label)
	_must_check_;
static inline void http_count(struct series *s)
{
	if (s)
		series_add(s, 1);
}

/* ---- listen ---------------------------------------------------------------------------------- */

struct http_listener {
	int fd; /* -1: none */
	bool is_unix;
	char address[128]; /* "127.0.0.1:40123", "unix:/run/x.sock" */
	dev_t dev; /* the socket file that is ours */
	ino_t ino;
};
/* 0; -EINVAL: no such form of address; -EADDRINUSE; -EEXIST: the path is no socket; -errno */
int http_listener_open(struct http_listener *ret, const char *listen) _must_check_;
void http_listener_close(struct http_listener *li); /* right twice */

/* ---- server ---------------------------------------------------------------------------------- */

struct http_server {
	struct loop *loop;
	struct http_limits limits;
	struct http_ops ops;
	void *ctx;
	struct http_metrics m;
	struct http_listener listener;
	struct loop_io *accept_io;
	struct loop_timer *pause; /* the listener is off until then */
	int reserve_fd; /* given up to turn connections away when there is no other */
	struct list connections; /* with a peer */
	struct list orphans; /* without a peer; the handler still owes an answer */
	size_t connections_n;
	bool draining;
	struct buf scratch; /* the answer head being written */
	int64_t date_at; /* second that date shows */
	char date[40];
};

/* ---- connection ------------------------------------------------------------------------------ */

struct http_joined; /* request.c: values of several fields of one name */

struct http_request {
	struct buf head; /* a copy, with NULs behind names, values, path and query */
	struct buf body;
	struct buf extra; /* fields by http_reply_header() */
	const char *path, *query; /* into head */
	struct http_joined *joined;
	void (*gone)(void *ctx);
	void *gone_ctx;
	size_t body_max;
	uint64_t began_us;
	bool in_admit;
	bool owed; /* the handler has it and has not answered */
	bool extra_csp, extra_cache; /* fields that the handler set itself */
	char peer[48]; /* "": not asked for yet */
};

#define HTTP_DISCARD_MAX (64u << 10) /* of a body whose answer is out before it */

enum http_state {
	HTTP_HEAD_IN, /* waiting for a head, or in one */
	HTTP_BODY_IN,
	HTTP_HANDLING,
	HTTP_CLOSING, /* the last answer is on its way out */
	HTTP_LINGERING, /* it is out; what the peer still sends is dropped, so that no RST eats it */
	HTTP_CLOSED,
};

struct http_connection {
	struct list node; /* in server->connections or ->orphans */
	struct http_server *server;
	struct bufferevent *bev; /* NULL: closed */
	struct loop_timer *timer;
	uint64_t deadline_ms, armed_ms; /* monotonic; the timer fires at armed_ms <= deadline_ms */
	enum http_state state;
	uint8_t address[16]; /* what is counted: IPv4 mapped, IPv6 its /64; zero for Unix peers */
	char peer[48];
	bool head_began; /* its time runs */
	bool running; /* in run(): don't run again from inside */
	bool discard; /* the body is answered already: read over it */
	bool linger;
	bool queued; /* an answer was added to the output since it was last written */
	bool eof; /* the peer sends no more, but may still read */
	bool abandoned; /* answered in the handler's place; its own answer will be dropped */
	struct http_parser parser;
	struct http_chunked chunked;
	uint64_t body_left; /* by Content-Length */
	struct http_request request; /* the exchange under way */
	struct http_field fields[]; /* limits.fields_max */
};

/* takes fd on success only; peer: as accept4() gave it */
int http_connection_new(struct http_server *s, int fd, const struct sockaddr_storage *peer)
	_must_check_;
/* what counts as one peer, and its text */
void http_peer_key(const struct sockaddr_storage *peer, uint8_t ret_key[static 16],
		   char ret_text[static 48]);
void http_connection_close(struct http_connection *c); /* at once, telling the handler */
void http_connection_drain(struct http_connection *c);
void http_connection_abort(struct http_connection *c, enum http_refusal why);
/* the exchange has been answered, r's contents are over */
void http_connection_answered(struct http_connection *c, bool close, bool linger);
/* writes what is out, starts the next exchange */
void http_connection_run(struct http_connection *c);
void http_connection_free(void *p); /* closed, in no list */

/* ---- request --------------------------------------------------------------------------------- */

static inline struct http_connection *http_connection_of(const struct http_request *r)
{
	return container_of(r, struct http_connection, request);
}
int http_request_begin(struct http_request *r, const char *head, const struct http_parser *p)
	_must_check_;
void http_request_end(struct http_request *r); /* keeps some memory for the next */
void http_request_fini(struct http_request *r);

/* ---- reply ----------------------------------------------------------------------------------- */

/* An answer that the server gives by itself; closes the connection behind it. */
void http_reply_error(struct http_connection *c, int status, const char *reason);
/* the same for a peer without a connection object; best effort */
void http_refuse(struct http_server *s, int fd, const char *reason);
