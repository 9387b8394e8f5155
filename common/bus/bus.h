#pragma once
/*
 * bus - ZeroMQ sockets on the loop
 *
 * One module owns every socket. ZMQ_FD is edge-triggered: after each wake-up receiving goes
 * on until nothing is left or the budget of one turn is used up (then the next turn is asked for);
 * what was sent is followed by a turn, too. All limits are set before bind or connect; linger
 * is finite; heartbeats are on. ipc:// folders are made 0750 by their owner, not here.
 *
 * What leaves the machine is under CURVE: a tcp:// socket is bound by bus_serve() alone, which asks
 * the daemon for each connection whose key it is, and each message brings that answer along.
 *
 * For tests, CENTRALETA_BUS_DROP (0 … 1) drops that share of the frames that SUB sockets receive.
 */
#include "common/base/base.h"
#include "common/loop/loop.h"

struct bus; /* one ZeroMQ context */
struct bus_sock;

enum bus_kind { BUS_PUB, BUS_SUB, BUS_ROUTER, BUS_DEALER };
enum { BUS_E_FULL = 1, BUS_E_GONE, BUS_E_BARE, BUS_E_SILENT, BUS_E_OPEN };

enum {
	BUS_ENDPOINT_MAX = 256,
	BUS_KEY_TEXT = 40, /* a CURVE key in Z85 */
	BUS_USER_MAX = 64, /* a user id with its NUL */
};

struct bus_limits {
	int send_hwm, receive_hwm; /* messages; 0: 1,000 */
	int64_t message_max; /* bytes; 0: 262,144 */
	int linger_ms; /* 0: 200 */
	/*
	 * 0: 3,000. A peer that is silent for twice that is dropped. Over ipc twenty times as long: the
	 * kernel tells of a peer's end there, and only one that is stopped is found so.
	 */
	int heartbeat_ms;
	int turn_max; /* messages received in one turn of the loop; 0: 128 */
};

int bus_new(struct bus **ret, struct loop *l) _must_check_;
void bus_free(struct bus *b);
DEFINE_CLEANUP(struct bus *, bus_free)

/*
 * One message was received. id: of ROUTER the peer's routing id, of SUB the topic, else empty.
 * user: whom the connection's key was taken for when it came in, "" without CURVE; that key may have
 * been revoked since. All are borrowed until it returns. Only two-part (ROUTER, SUB) or one-part
 * (DEALER) messages come here; others are counted and dropped. The socket may be freed inside.
 */
typedef void (*bus_fn)(void *ctx, struct bus_sock *s, struct bytes id, const char *user,
		       struct bytes body);

int bus_sock_new(struct bus_sock **ret, struct bus *b, enum bus_kind kind,
		 const struct bus_limits *limits, bus_fn fn, void *ctx) _must_check_;
void bus_sock_free(struct bus_sock *s);
DEFINE_CLEANUP(struct bus_sock *, bus_sock_free)

/*
 * -EADDRINUSE and the like; BUS_E_BARE: not ipc:// or inproc://, that is for bus_serve().
 * ret_endpoint (of BUS_ENDPOINT_MAX or NULL) gets the real one of tcp://…:*
 */
int bus_bind(struct bus_sock *s, const char *endpoint, char *ret_endpoint) _must_check_;
int bus_connect(struct bus_sock *s, const char *endpoint) _must_check_;
int bus_disconnect(struct bus_sock *s, const char *endpoint) _must_check_;
int bus_subscribe(struct bus_sock *s, const char *topic) _must_check_;

/*
 * Never blocks. id: of ROUTER the peer, of PUB the topic, else empty. Copied before return.
 * 0; BUS_E_FULL: the peer's queue is full, nothing was sent (PUB: drops without a word);
 * BUS_E_GONE: ROUTER knows no such peer.
 */
int bus_send(struct bus_sock *s, struct bytes id, struct bytes body) _must_check_;

/* stop and go on receiving, for back-pressure */
void bus_pause(struct bus_sock *s, bool paused);
struct bus_counts {
	uint64_t received, sent, full, gone, malformed, dropped;
};
void bus_counts(const struct bus_sock *s, struct bus_counts *ret);

/* ---- CURVE (curve.c) ---------------------------------------------------------------------- */

/* true: ipc:// or inproc://, which never leaves the machine */
bool bus_local(const char *endpoint);
/*
 * The key pair of this process's tcp:// sockets; secret in Z85. Adds metrics of its own to m, which
 * outlives b. -EINVAL: that is no secret key.
 */
struct metrics;
int bus_curve(struct bus *b, const char *secret, struct metrics *m) _must_check_;
const char *bus_curve_public(const struct bus *b); /* Z85; "": there is none */

enum bus_verdict {
	BUS_ADMITTED,
	BUS_UNKNOWN, /* no such key, or not for this socket */
	BUS_REVOKED,
	BUS_NOT_YET, /* the keys aren't loaded: the client comes again by itself */
};
/*
 * Whose key (Z85) is it? From the loop, at each handshake and each bus_recheck(): a look-up, nothing
 * that waits. ret_user is set where it is admitted: not empty, and the same for the same key.
 */
typedef enum bus_verdict (*bus_admit_fn)(void *ctx, const char *key, char ret_user[static BUS_USER_MAX]);

/*
 * bus_serve() - bind a fresh socket to tcp:// under CURVE
 * @domain:	constant name of the socket, its label in metrics; one socket each
 *
 * Before the first one the handler that asks fn is opened and tested with a key that nobody knows.
 *
 * Return: 0; -errno; BUS_E_BARE: no bus_curve(), or a local endpoint; BUS_E_SILENT: the handler
 * doesn't answer; BUS_E_OPEN: the unknown key got in. Then nothing is bound, and the process must not
 * go on.
 */
int bus_serve(struct bus_sock *s, const char *endpoint, const char *domain, bus_admit_fn fn, void *ctx,
	      char *ret_endpoint) _must_check_;
/* one sentence on a code that bus_bind() or bus_serve() gave */
const char *bus_reason(int r);
/*
 * Keys have changed, or are there at last. If one that came in is no longer admitted, or one was told
 * BUS_NOT_YET (ZeroMQ would keep it waiting for seconds), all connections of the socket are
 * closed and it is bound again: libzmq can't close a single one. The others come back by themselves,
 * as new connections; what they had not taken yet is lost.
 * May be called inside bus_fn.
 */
void bus_recheck(struct bus_sock *s);
/*
 * Did ZeroMQ itself make up this routing id? One of the client's choosing could be that of another
 * client which has just left, and get what is sent to it.
 */
static inline bool bus_id_given(struct bytes id)
{
	return id.len == 5 && !id.data[0];
}
