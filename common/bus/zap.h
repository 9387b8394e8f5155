#pragma once
/*
 * zap - who may come in: answers ZeroMQ's question at each handshake under CURVE
 *
 * One handler a context, at inproc://zeromq.zap.01, bound before any tcp:// socket. Each protected
 * socket is a domain that knows whom to ask. It fails closed: an unknown domain, another mechanism,
 * a request that isn't understood, keys that aren't loaded are refused; where no handler runs,
 * ZeroMQ refuses (ZMQ_ZAP_ENFORCE_DOMAIN). Every answer is counted by its cause.
 *
 * What waits is bounded by the connections: each asks once, and is dropped when it isn't answered
 * within ZMQ_HANDSHAKE_IVL.
 */
#include "common/base/list.h"
#include "common/bus/bus.h"

struct zap;

struct zap_domain { /* of the socket's owner */
	struct list link;
	const char *name; /* constant; as in ZMQ_ZAP_DOMAIN */
	bus_admit_fn fn;
	void *ctx;
	char (*admitted)[BUS_KEY_TEXT + 1]; /* keys that came in; as many as fn knows, at most */
	size_t n_admitted, cap_admitted;
	bool too_early; /* somebody was told BUS_NOT_YET: ZeroMQ keeps him waiting for ZMQ_HANDSHAKE_IVL */
};

/* metric: METRIC_ID_HANDSHAKES of m */
int zap_new(struct zap **ret, void *zmq_context, struct loop *l, struct metrics *m, int metric) _must_check_;
void zap_free(struct zap *z);
DEFINE_CLEANUP(struct zap *, zap_free)
int zap_add(struct zap *z, struct zap_domain *d) _must_check_; /* -EEXIST: there is one of this name */
void zap_remove(struct zap_domain *d); /* forgets who came in; right twice */
/*
 * true: the connections should end, as a key that came in is no longer admitted, or somebody came too
 * early. Then the next call knows of nobody any more.
 */
bool zap_recheck(struct zap_domain *d);

/* ---- for zap_check.c and tests: the loop does it otherwise -------------------------------- */
void *zap_socket(const struct zap *z); /* ZeroMQ's, to wait for requests */
unsigned zap_serve(struct zap *z); /* answers some that wait; how many */
/*
 * Is the door closed? Blocks for a few milliseconds, at the start. secret and public: of the server.
 * 0; BUS_E_SILENT, BUS_E_OPEN; -errno.
 */
int zap_check(struct zap *z, void *zmq_context, const char *secret, const char *public) _must_check_;
