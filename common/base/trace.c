/*
 * trace - W3C trace context (https://www.w3.org/TR/trace-context/), the header traceparent only
 */
#include <sodium.h>
#include <stdio.h>
#include "common/base/trace.h"

static bool all_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
			return false;
	}
	return true;
}

static unsigned nibble(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

bool trace_parse(const char *s, size_t len, struct trace *ret)
{
	static const char zeros[] = "00000000000000000000000000000000";
	struct trace t;

	if (len < 55 || !all_hex(s, 2) || s[2] != '-' || !all_hex(s + 3, 32) || s[35] != '-' ||
	    !all_hex(s + 36, 16) || s[52] != '-' || !all_hex(s + 53, 2))
		return false;
	if (!memcmp(s, "ff", 2))
		return false;
	if (len > 55 && (!memcmp(s, "00", 2) || s[55] != '-'))
		return false;
	if (!memcmp(s + 3, zeros, 32) || !memcmp(s + 36, zeros, 16))
		return false;
	for (size_t i = 0; i < sizeof(t.id); i++)
		t.id[i] = (uint8_t)(nibble(s[3 + 2 * i]) << 4 | nibble(s[4 + 2 * i]));
	*ret = t;
	return true;
}

/* random bytes are a system call: drawn for many at once */
static void draw(uint8_t ret[static 16])
{
	static _Thread_local uint8_t drawn[64][16];
	static _Thread_local size_t left;

	if (!left) {
		randombytes_buf(drawn, sizeof(drawn));
		left = ARRAY_SIZE(drawn);
	}
	memcpy(ret, drawn[--left], 16);
}

void trace_new(struct trace *ret)
{
	do
		draw(ret->id);
	while (sodium_is_zero(ret->id, sizeof(ret->id)));
}

void trace_hex(const struct trace *t, char ret[static 33])
{
	sodium_bin2hex(ret, 33, t->id, sizeof(t->id));
}

void trace_parent(const struct trace *t, char ret[static 56])
{
	char id[33], span[17];
	uint8_t raw[8];

	trace_hex(t, id);
	randombytes_buf(raw, sizeof(raw));
	raw[0] |= 1; /* all zero would be no span */
	sodium_bin2hex(span, sizeof(span), raw, sizeof(raw));
	snprintf(ret, 56, "00-%s-%s-01", id, span);
}
