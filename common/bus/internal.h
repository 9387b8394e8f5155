#pragma once
/*
 * internal - what the files of bus share: the context and its sockets
 */
#include <zmq.h>
#include "common/base/list.h"
#include "common/base/metrics.h"
#include "common/bus/bus.h"
#include "common/bus/zap.h"

struct monitor;

struct bus {
	struct loop *loop;
	void *zmq;
	struct list socks;
	uint32_t drop; /* share of the frames that SUB sockets lose on purpose */
	char secret[BUS_KEY_TEXT + 1], public[BUS_KEY_TEXT + 1]; /* "": no CURVE */
	struct metrics *metrics; /* with secret */
	int metric; /* base of them */
	struct zap *zap; /* NULL: no socket needs it yet */
};

struct bus_sock {
	struct list link;
	struct bus *bus;
	void *zmq;
	struct loop_io *io;
	enum bus_kind kind;
	bus_fn fn;
	void *ctx;
	int turn_max, heartbeat_ms;
	bool paused, inside, dead; /* dead: freed inside its own callback */
	struct bus_counts counts;
	struct zap_domain domain; /* name NULL: no CURVE; the rest is for CURVE */
	struct monitor *monitor;
	char bound[BUS_ENDPOINT_MAX]; /* where */
	struct loop_timer *rebind;
	unsigned rebind_ms; /* until the next try */
};

enum { METRIC_ID_HANDSHAKES, METRIC_ID_REBINDS, METRIC_ID_BOUND };

/* bus.c: sending, binding and the like may have eaten the descriptor's edge: looks on the next turn */
void bus_look_again(struct bus_sock *s);
/* curve.c: takes back what bus_serve() made but the binding */
void bus_unprotect(struct bus_sock *s);

/*
 * monitor.c: counts handshakes on a socket that ended before the handler was asked. Freed before the
 * socket is closed.
 */
int monitor_new(struct monitor **ret, struct bus_sock *s) _must_check_;
void monitor_free(struct monitor *m);
