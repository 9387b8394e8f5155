#pragma once
/*
 * options - every limit of a ZeroMQ socket, set before it binds or connects
 */
#include "common/bus/bus.h"

/* 0, -errno; zsock is a fresh ZeroMQ socket of that kind */
int bus_options_set(void *zsock, enum bus_kind kind, const struct bus_limits *limits) _must_check_;
