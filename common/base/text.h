#pragma once
/*
 * text - UTF-8 at the door, and slugs
 */
#include "common/base/base.h"

/* valid UTF-8 (RFC 3629: no surrogates, no overlong forms, up to U+10FFFF) and no NUL */
bool text_valid(const char *s, size_t len);
/* code points of valid UTF-8 */
size_t text_length(const char *s, size_t len);
/* true if there is a line break (CR, LF) or another C0/C1 control but TAB */
bool text_has_control(const char *s, size_t len);
/* bytes that hold the first n code points of valid UTF-8 */
size_t text_prefix(const char *s, size_t len, size_t n);
/* [a-z0-9-]{1,63}, no '-' first */
bool text_is_slug(const char *s);
/* accents off, others to '-', cut to 63; "x" where nothing is left; ret of 64 bytes */
void text_to_slug(const char *s, char ret[static 64]);
/* edit distance for "did you mean", both under 64 bytes */
unsigned text_distance(const char *a, const char *b);
/* constant time */
bool text_equal_secret(const void *a, const void *b, size_t len);
/* decimal int64 that is the whole string; false otherwise, also on overflow, sign '+', spaces */
bool text_to_i64(const char *s, size_t len, int64_t *ret);
/* decimal floating number that is the whole string, "C" locale, finite */
bool text_to_double(const char *s, size_t len, double *ret);
