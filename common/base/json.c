/*
 * json - append-only writer
 *
 * Strings are escaped by runs: what needs no escape is copied in one piece.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/real.h"

void json_init(struct json *j, struct buf *out)
{
	*j = (struct json){ .out = out };
}

/* before each value: the comma, unless a key has just been written */
static void value(struct json *j)
{
	if (j->key) {
		j->key = false;
		return;
	}
	if (j->comma[j->depth])
		buf_ch(j->out, ',');
	j->comma[j->depth] = true;
}

static void begin(struct json *j, char c)
{
	value(j);
	if (j->depth + 1 >= ARRAY_SIZE(j->comma)) {
		if (!j->out->err)
			j->out->err = -E2BIG;
		return;
	}
	buf_ch(j->out, c);
	j->comma[++j->depth] = false;
}

static void end(struct json *j, char c)
{
	assert(j->depth > 0 || buf_err(j->out));
	if (j->depth)
		j->depth--;
	buf_ch(j->out, c);
}

void json_object_begin(struct json *j)
{
	begin(j, '{');
}

void json_object_end(struct json *j)
{
	end(j, '}');
}

void json_array_begin(struct json *j)
{
	begin(j, '[');
}

void json_array_end(struct json *j)
{
	end(j, ']');
}

static void escape(struct buf *out, uint8_t c)
{
	switch (c) {
	case '"':
		buf_str(out, "\\\"");
		break;
	case '\\':
		buf_str(out, "\\\\");
		break;
	case '\n':
		buf_str(out, "\\n");
		break;
	case '\r':
		buf_str(out, "\\r");
		break;
	case '\t':
		buf_str(out, "\\t");
		break;
	default:
		buf_printf(out, "\\u%04x", c);
	}
}

static void quoted(struct buf *out, const char *s, size_t len)
{
	size_t from = 0;

	buf_ch(out, '"');
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)s[i];

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		buf_add(out, s + from, i - from);
		escape(out, c);
		from = i + 1;
	}
	buf_add(out, s + from, len - from);
	buf_ch(out, '"');
}

void json_key(struct json *j, const char *key)
{
	value(j);
	quoted(j->out, key, strlen(key));
	buf_ch(j->out, ':');
	j->key = true;
}

void json_strn(struct json *j, const char *s, size_t len)
{
	value(j);
	quoted(j->out, s, len);
}

void json_str(struct json *j, const char *s)
{
	if (s)
		json_strn(j, s, strlen(s));
	else
		json_none(j);
}

void json_int(struct json *j, int64_t v)
{
	value(j);
	buf_i64(j->out, v);
}

void json_id(struct json *j, int64_t id)
{
	value(j);
	buf_ch(j->out, '"');
	buf_i64(j->out, id);
	buf_ch(j->out, '"');
}

void json_double(struct json *j, double v)
{
	char text[REAL_TEXT_MAX];

	value(j);
	if (isfinite(v))
		buf_str(j->out, real_format(v, text));
	else
		buf_str(j->out, "null");
}

void json_bool(struct json *j, bool v)
{
	value(j);
	buf_str(j->out, v ? "true" : "false");
}

void json_none(struct json *j)
{
	value(j);
	buf_str(j->out, "null");
}

void json_kstr(struct json *j, const char *key, const char *s)
{
	json_key(j, key);
	json_str(j, s);
}

void json_kint(struct json *j, const char *key, int64_t v)
{
	json_key(j, key);
	json_int(j, v);
}

void json_kid(struct json *j, const char *key, int64_t id)
{
	json_key(j, key);
	json_id(j, id);
}

void json_kreal(struct json *j, const char *key, double v)
{
	json_key(j, key);
	json_double(j, v);
}

void json_kbool(struct json *j, const char *key, bool v)
{
	json_key(j, key);
	json_bool(j, v);
}

void json_ktime(struct json *j, const char *key, int64_t at_us)
{
	char text[32];

	json_key(j, key);
	if (!at_us) {
		json_none(j);
		return;
	}
	clock_format_utc(at_us, text);
	json_str(j, text);
}
