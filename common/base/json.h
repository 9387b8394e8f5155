#pragma once
/*
 * json - append-only writer; reading is jansson's (json_loadb with JSON_REJECT_DUPLICATES)
 *
 * Commas are set by the writer. Nesting of 32 at most. Failures stay in the buf. No name here is
 * one of jansson's (json_object, json_array, json_real, json_null are): both headers fit one file.
 */
#include "common/base/buf.h"

struct json {
	struct buf *out;
	unsigned depth;
	bool comma[33];
	bool key; /* a key was written, its value is next */
};

void json_init(struct json *j, struct buf *out);
void json_object_begin(struct json *j); /* { */
void json_object_end(struct json *j);
void json_array_begin(struct json *j); /* [ */
void json_array_end(struct json *j);
void json_key(struct json *j, const char *key);
void json_str(struct json *j, const char *s); /* NULL: null */
void json_strn(struct json *j, const char *s, size_t len); /* valid UTF-8 */
void json_int(struct json *j, int64_t v);
void json_id(struct json *j, int64_t id); /* decimal, as a string */
void json_double(struct json *j, double v); /* shortest of 9 digits: 41.385063889 */
void json_bool(struct json *j, bool v);
void json_none(struct json *j);
/* key and value */
void json_kstr(struct json *j, const char *key, const char *s);
void json_kint(struct json *j, const char *key, int64_t v);
void json_kid(struct json *j, const char *key, int64_t id);
void json_kreal(struct json *j, const char *key, double v);
void json_kbool(struct json *j, const char *key, bool v);
void json_ktime(struct json *j, const char *key, int64_t at_us); /* ISO 8601, Z; 0: null */
