/*
 * options - one table, so that no socket of the project can lack a limit
 *
 * Without them ZeroMQ waits for ever at close, queues without bound for peers that never come
 * (IMMEDIATE = 0), tells nobody of a router's unknown peer, and keeps dead connections.
 */
#include <errno.h>
#include <zmq.h>
#include "common/base/err.h"
#include "common/bus/options.h"

/* Debian's header calls it a draft and hides it; the library has it, and without it a socket whose
 * handler doesn't run is open to everybody. */
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

enum {
	HWM = 1000,
	MESSAGE_MAX = 262144,
	LINGER_MS = 200,
	HEARTBEAT_MS = 3000,
	HEARTBEAT_IPC_FACTOR = 20,
	HANDSHAKE_MS = 5000,
	RECONNECT_MS = 50,
	RECONNECT_MAX_MS = 2000,
	TCP_GIVE_UP_MS = 10000,
};

static int either(int given, int fallback)
{
	return given ? given : fallback;
}

static int set_int(void *zsock, int option, int v)
{
	return zmq_setsockopt(zsock, option, &v, sizeof(v)) ? err_here(-errno) : 0;
}

static int set_message_max(void *zsock, int64_t v)
{
	v = v ? v : MESSAGE_MAX;
	return zmq_setsockopt(zsock, ZMQ_MAXMSGSIZE, &v, sizeof(v)) ? err_here(-errno) : 0;
}

static int set_of_kind(void *zsock, enum bus_kind kind)
{
	int r = 0;

	switch (kind) {
	case BUS_ROUTER:
		r = set_int(zsock, ZMQ_ROUTER_MANDATORY, 1);
		return r ? r : set_int(zsock, ZMQ_ROUTER_HANDOVER, 0);
	case BUS_DEALER:
		return set_int(zsock, ZMQ_IMMEDIATE, 1);
	case BUS_PUB:
	case BUS_SUB:
		break;
	}
	return r;
}

int bus_options_heartbeat(void *zsock, const char *endpoint, int heartbeat_ms)
{
	int ms = either(heartbeat_ms, HEARTBEAT_MS), r;

	if (!strncmp(endpoint, "ipc://", 6))
		ms *= HEARTBEAT_IPC_FACTOR;
	r = set_int(zsock, ZMQ_HEARTBEAT_IVL, ms);
	r = r ? r : set_int(zsock, ZMQ_HEARTBEAT_TIMEOUT, ms * 2);
	return r ? r : set_int(zsock, ZMQ_HEARTBEAT_TTL, ms * 3);
}

int bus_options_set(void *zsock, enum bus_kind kind, const struct bus_limits *limits)
{
	static const struct bus_limits none;
	const struct bus_limits *l = limits ? limits : &none;
	const struct {
		int option, v;
	} options[] = {
		{ ZMQ_SNDHWM, either(l->send_hwm, HWM) },
		{ ZMQ_RCVHWM, either(l->receive_hwm, HWM) },
		{ ZMQ_LINGER, either(l->linger_ms, LINGER_MS) },
		{ ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS },
		{ ZMQ_RECONNECT_IVL, RECONNECT_MS },
		{ ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS },
		{ ZMQ_TCP_MAXRT, TCP_GIVE_UP_MS },
	};
	int r = set_message_max(zsock, l->message_max);

	r = r ? r : bus_options_heartbeat(zsock, "", l->heartbeat_ms);
	FOREACH(o, options)
		r = r ? r : set_int(zsock, o->option, o->v);
	return r ? r : set_of_kind(zsock, kind);
}

static int set_text(void *zsock, int option, const char *v, size_t len)
{
	return zmq_setsockopt(zsock, option, v, len) ? err_here(-errno) : 0;
}

/* with its NUL: that is what tells Z85 from binary */
static int set_key(void *zsock, int option, const char *key)
{
	return set_text(zsock, option, key, BUS_KEY_TEXT + 1);
}

int bus_options_curve(void *zsock, const char *secret, const char *domain)
{
	int r = set_text(zsock, ZMQ_ZAP_DOMAIN, domain, strlen(domain));

	r = r ? r : set_int(zsock, ZMQ_ZAP_ENFORCE_DOMAIN, 1);
	r = r ? r : set_int(zsock, ZMQ_CURVE_SERVER, 1);
	return r ? r : set_key(zsock, ZMQ_CURVE_SECRETKEY, secret);
}

int bus_options_curve_client(void *zsock, const char *public, const char *secret, const char *server)
{
	int r = set_key(zsock, ZMQ_CURVE_PUBLICKEY, public);

	r = r ? r : set_key(zsock, ZMQ_CURVE_SECRETKEY, secret);
	return r ? r : set_key(zsock, ZMQ_CURVE_SERVERKEY, server);
}
