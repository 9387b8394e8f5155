#pragma once
/*
 * bus - ZeroMQ sockets on the loop
 *
 * One module owns every socket. ZMQ_FD is edge-triggered: after each wake-up receiving goes
 * on until nothing is left or the budget of one turn is used up (then the next turn is asked for);
 * what was sent is followed by a turn, too. All limits are set before bind or connect; linger
 * is finite; heartbeats are on. ipc:// folders are made 0750 by their owner, not here.
 *
 * For tests, CENTRALETA_BUS_DROP (0 … 1) drops that share of the frames that SUB sockets receive.
 */
#include "common/base/base.h"
#include "common/loop/loop.h"

struct bus; /* one ZeroMQ context */
struct bus_sock;

enum bus_kind { BUS_PUB, BUS_SUB, BUS_ROUTER, BUS_DEALER };
enum { BUS_E_FULL = 1, BUS_E_GONE };

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
 * Both are borrowed until it returns. Only two-part (ROUTER, SUB) or one-part (DEALER) messages
 * come here; others are counted and dropped. The socket may be freed inside.
 */
typedef void (*bus_fn)(void *ctx, struct bus_sock *s, struct bytes id, struct bytes body);

int bus_sock_new(struct bus_sock **ret, struct bus *b, enum bus_kind kind,
		 const struct bus_limits *limits, bus_fn fn, void *ctx) _must_check_;
void bus_sock_free(struct bus_sock *s);
DEFINE_CLEANUP(struct bus_sock *, bus_sock_free)

/* -EADDRINUSE and the like. ret_endpoint (of 256 bytes or NULL) gets the real one of tcp://…:0 */
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
