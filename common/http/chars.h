#pragma once
/*
 * chars - the byte classes of RFC 9110, 9112 and 3986 that the parsers ask for
 */
#include "common/base/base.h"

enum {
	CHAR_TOKEN = 1, /* field name, method */
	CHAR_VALUE = 2, /* field value: visible, blank, tab, 0x80 and up */
	CHAR_PATH = 4, /* pchar or '/' */
	CHAR_QUERY = 8, /* CHAR_PATH, '?', and what browsers leave unescaped */
	CHAR_HOST = 16, /* name, address in brackets, port */
};

extern const uint8_t http_chars[256];

static inline bool http_char_is(char c, unsigned class)
{
	return http_chars[(uint8_t)c] & class;
}

/* all bytes of s are of the class */
static inline bool http_chars_are(const char *s, size_t len, unsigned class)
{
	for (size_t i = 0; i < len; i++)
		if (!http_char_is(s[i], class))
			return false;
	return true;
}

/* -1: no hexadecimal digit */
static inline int http_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
