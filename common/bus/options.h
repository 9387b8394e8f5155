#pragma once
/*
 * options - every limit of a ZeroMQ socket, set before it binds or connects
 */
#include "common/bus/bus.h"

/* 0, -errno; zsock is a fresh ZeroMQ socket of that kind */
int bus_options_set(void *zsock, enum bus_kind kind, const struct bus_limits *limits) _must_check_;
/* for what binds or connects next; heartbeat_ms as in struct bus_limits */
int bus_options_heartbeat(void *zsock, const char *endpoint, int heartbeat_ms) _must_check_;
/*
 * CURVE, before bind or connect; keys in Z85. A server's socket with a domain whose handler doesn't
 * answer, or doesn't run at all, lets nobody in.
 */
int bus_options_curve(void *zsock, const char *secret, const char *domain) _must_check_;
int bus_options_curve_client(void *zsock, const char *public, const char *secret,
			     const char *server) _must_check_;
