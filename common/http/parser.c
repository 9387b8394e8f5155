/*
 * parser - see parser.h
 *
 * The head is taken line by line: a line is looked at once, when its LF is there, so a slow sender
 * costs no rescanning and every split gives the same verdict. Whatever has two readings between
 * servers is refused.
 */
#include "common/http/parser.h"
#include <strings.h>
#include "common/http/chars.h"

const struct http_error_info *http_error_info(enum http_parse e)
{
	static const struct http_error_info infos[HTTP_PARSE_N] = {
#define X(id, status, label, text) [HTTP_ERROR_##id] = { status, label, text },
		HTTP_ERRORS(X)
#undef X
	};

	assert(e > HTTP_PARSE_DATA && e < HTTP_PARSE_N);
	return &infos[e];
}

void http_parser_reset(struct http_parser *p)
{
	*p = (struct http_parser){
		.head_max = p->head_max,
		.target_max = p->target_max,
		.fields_max = p->fields_max,
		.fields = p->fields,
	};
}

/* ---- request line ---------------------------------------------------------------------------- */

static enum http_parse parse_method(struct http_parser *p, const char *s, size_t len)
{
	static const struct {
		const char *name;
		enum http_method method;
	} methods[] = {
		{ "POST", HTTP_POST }, { "GET", HTTP_GET },	    { "HEAD", HTTP_HEAD },
		{ "PUT", HTTP_PUT },   { "DELETE", HTTP_DELETE },   { "OPTIONS", HTTP_OPTIONS },
		{ "PATCH", HTTP_PATCH },
	};

	if (!len || !http_chars_are(s, len, CHAR_TOKEN))
		return HTTP_ERROR_REQUEST_LINE;
	FOREACH(m, methods)
		if (strlen(m->name) == len && !memcmp(m->name, s, len)) {
			p->method = m->method;
			return HTTP_PARSE_DONE;
		}
	return HTTP_ERROR_METHOD;
}

/* every '%' starts an escape, and none stands for NUL */
static bool escapes_ok(const char *s, size_t len)
{
	const char *end = s + len;

	while ((s = memchr(s, '%', (size_t)(end - s)))) {
		if (end - s < 3 || http_hex(s[1]) < 0 || http_hex(s[2]) < 0)
			return false;
		if (s[1] == '0' && s[2] == '0')
			return false;
		s += 3;
	}
	return true;
}

/* origin-form, and "*" for OPTIONS; at: where s stands in the head */
static enum http_parse parse_target(struct http_parser *p, const char *s, size_t len, size_t at)
{
	const char *q = memchr(s, '?', len);
	size_t path_len = q ? (size_t)(q - s) : len;

	if (len > p->target_max)
		return HTTP_ERROR_TARGET_LONG;
	p->path = (uint32_t)at;
	p->path_len = (uint32_t)path_len;
	p->query = (uint32_t)(q ? at + path_len + 1 : at + len);
	p->query_len = (uint32_t)(q ? len - path_len - 1 : 0);
	if (len == 1 && s[0] == '*' && p->method == HTTP_OPTIONS)
		return HTTP_PARSE_DONE;
	if (!len || s[0] != '/' || !http_chars_are(s, path_len, CHAR_PATH) ||
	    !escapes_ok(s, path_len))
		return HTTP_ERROR_TARGET;
	if (q && !http_chars_are(q + 1, p->query_len, CHAR_QUERY))
		return HTTP_ERROR_TARGET;
	return HTTP_PARSE_DONE;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static enum http_parse parse_version(struct http_parser *p, const char *s, size_t len)
{
	if (len != 8 || memcmp(s, "HTTP/", 5) || !is_digit(s[5]) || s[6] != '.' || !is_digit(s[7]))
		return HTTP_ERROR_REQUEST_LINE;
	if (s[5] != '1' || s[7] > '1')
		return HTTP_ERROR_VERSION;
	p->minor = s[7] == '1';
	return HTTP_PARSE_DONE;
}

static enum http_parse parse_request_line(struct http_parser *p, const char *s, size_t len)
{
	const char *end = s + len;
	const char *sp = memchr(s, ' ', len);
	const char *target = sp ? sp + 1 : end;
	const char *sp2 = memchr(target, ' ', (size_t)(end - target));
	enum http_parse r;

	if (!sp || !sp2)
		return HTTP_ERROR_REQUEST_LINE;
	r = parse_version(p, sp2 + 1, (size_t)(end - sp2 - 1));
	if (!r)
		r = parse_method(p, s, (size_t)(sp - s));
	if (!r)
		r = parse_target(p, target, (size_t)(sp2 - target), (size_t)(target - s));
	return r;
}

/* ---- fields ---------------------------------------------------------------------------------- */

static bool is(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && !strncasecmp(s, word, len);
}

/* takes the blanks off both ends */
static void trim(const char **s, const char **end, const char *blanks)
{
	while (*s < *end && strchr(blanks, **s))
		++*s;
	while (*end > *s && strchr(blanks, (*end)[-1]))
		--*end;
}

static enum http_parse on_host(struct http_parser *p, const char *s, size_t len)
{
	if (p->host || !len || !http_chars_are(s, len, CHAR_HOST) || memmem(s, len, "..", 2))
		return HTTP_ERROR_HOST;
	p->host = true;
	return HTTP_PARSE_DONE;
}

static enum http_parse on_content_length(struct http_parser *p, const char *s, size_t len)
{
	if (p->has_length || !len || len > 18)
		return HTTP_ERROR_LENGTH;
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(s[i]))
			return HTTP_ERROR_LENGTH;
		p->content_length = p->content_length * 10 + (uint64_t)(s[i] - '0');
	}
	p->has_length = true;
	return HTTP_PARSE_DONE;
}

static enum http_parse on_transfer_encoding(struct http_parser *p, const char *s, size_t len)
{
	if (p->encoding)
		return HTTP_ERROR_FRAMING;
	p->encoding = true;
	p->chunked = is(s, len, "chunked");
	return p->chunked ? HTTP_PARSE_DONE : HTTP_ERROR_ENCODING;
}

static enum http_parse on_connection(struct http_parser *p, const char *s, size_t len)
{
	const char *end = s + len;

	while (s < end) {
		const char *comma = memchr(s, ',', (size_t)(end - s));
		const char *stop = comma ? comma : end;

		trim(&s, &stop, " \t");
		p->close |= is(s, (size_t)(stop - s), "close");
		s = comma ? comma + 1 : end;
	}
	return HTTP_PARSE_DONE;
}

static enum http_parse on_expect(struct http_parser *p, const char *s, size_t len)
{
	if (!is(s, len, "100-continue"))
		return HTTP_ERROR_EXPECT;
	p->expect_continue = true;
	return HTTP_PARSE_DONE;
}

/*
 * The fields that decide where the message ends and what comes after it. Their values come without
 * the spaces around them, but with tabs: some servers don't take a tab for a blank there.
 */
static enum http_parse on_field(struct http_parser *p, const char *name, size_t name_len,
				const char *value, size_t len)
{
	static const struct {
		const char *name;
		enum http_parse (*fn)(struct http_parser *p, const char *s, size_t len);
	} fields[] = {
		{ "host", on_host },
		{ "content-length", on_content_length },
		{ "transfer-encoding", on_transfer_encoding },
		{ "connection", on_connection },
		{ "expect", on_expect },
	};

	FOREACH(f, fields)
		if (is(name, name_len, f->name))
			return f->fn(p, value, len);
	return HTTP_PARSE_DONE;
}

/* at: where s stands in the head */
static enum http_parse parse_field(struct http_parser *p, const char *s, size_t len, size_t at)
{
	const char *colon = memchr(s, ':', len);
	const char *value, *end = s + len;
	size_t name_len;
	enum http_parse r;

	if (s[0] == ' ' || s[0] == '\t')
		return HTTP_ERROR_FOLD;
	if (!colon || colon == s || !http_chars_are(s, (size_t)(colon - s), CHAR_TOKEN) ||
	    !http_chars_are(colon + 1, (size_t)(end - colon - 1), CHAR_VALUE))
		return HTTP_ERROR_FIELD;
	if (p->fields_n == p->fields_max)
		return HTTP_ERROR_FIELDS;
	name_len = (size_t)(colon - s);
	value = colon + 1;
	trim(&value, &end, " ");
	r = on_field(p, s, name_len, value, (size_t)(end - value));
	trim(&value, &end, " \t");
	p->fields[p->fields_n++] = (struct http_field){
		.name = (uint32_t)at,
		.name_len = (uint32_t)name_len,
		.value = (uint32_t)(at + (size_t)(value - s)),
		.value_len = (uint32_t)(end - value),
	};
	return r;
}

/* ---- head ------------------------------------------------------------------------------------ */

/* what only the whole head can tell */
static enum http_parse finish(struct http_parser *p)
{
	if (!p->host && p->minor == 1)
		return HTTP_ERROR_HOST;
	if (p->encoding && (p->has_length || p->minor == 0))
		return HTTP_ERROR_FRAMING;
	if (p->minor == 0)
		p->expect_continue = false; /* RFC 9110, 10.1.1 */
	return HTTP_PARSE_DONE;
}

/* line: without its CR LF */
static enum http_parse parse_line(struct http_parser *p, const char *line, size_t len, size_t at)
{
	enum http_parse r;

	if (!p->in_fields) {
		r = parse_request_line(p, line, len);
		p->in_fields = true;
		return r ? r : HTTP_PARSE_MORE;
	}
	if (len) {
		r = parse_field(p, line, len, at);
		return r ? r : HTTP_PARSE_MORE;
	}
	return finish(p);
}

enum http_parse http_parser_head(struct http_parser *p, const char *data, size_t len)
{
	size_t end = MIN(len, p->head_max);

	for (;;) {
		const char *lf = memchr(data + p->scanned, '\n', end - p->scanned);
		size_t at = p->line, next;
		enum http_parse r;

		if (!lf) {
			p->scanned = end;
			if (end < p->head_max)
				return HTTP_PARSE_MORE;
			return p->in_fields ? HTTP_ERROR_HEAD_LARGE : HTTP_ERROR_TARGET_LONG;
		}
		next = (size_t)(lf - data) + 1;
		if (next - at < 2 || lf[-1] != '\r')
			return HTTP_ERROR_LINE_END;
		p->line = p->scanned = next;
		r = parse_line(p, data + at, next - at - 2, at);
		if (r != HTTP_PARSE_MORE) {
			p->head_len = next;
			return r;
		}
	}
}
