#pragma once
/*
 * options - every limit of a ZeroMQ socket, set before it binds or connects
 */
#include "common/bus/bus.h"

/* 0, -errno; zsock is a fresh ZeroMQ socket of that kind */
int bus_options_set(void *zsock, enum bus_kind kind, const struct bus_limits *limits) _must_check_;
/* for what binds or connects next; heartbeat_ms as in struct bus_limits */
int bus_options_heartbeat(void *zsock, const char *endpoint, int heartbeat_ms) _must_check_;
