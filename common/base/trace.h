#pragma once
/*
 * trace - W3C trace context: one id follows a request through all daemons
 */
#include "common/base/base.h"

struct trace {
	uint8_t id[16]; /* all zero is no trace */
};

/* traceparent, version 00 (later versions by the same first fields); false: malformed or zero */
bool trace_parse(const char *s, size_t len, struct trace *ret);
void trace_new(struct trace *ret);
void trace_hex(const struct trace *t, char ret[static 33]);
/* "00-<id>-<random span>-01" */
void trace_parent(const struct trace *t, char ret[static 56]);
