/*
 * chunked - decoder of `Transfer-Encoding: chunked`, see parser.h
 *
 * A byte at a time outside the data: sizes are plain hexadecimal, at most 15 digits, so nothing
 * overflows; no blanks around them; CR LF after size, data and trailers, nothing less. Extensions
 * and trailers mean nothing here and are bounded.
 */
#include "common/http/chars.h"
#include "common/http/parser.h"

enum {
	SIZE, /* 0: also the start */
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER, /* start of a line */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,
};

static enum http_parse on_size(struct http_chunked *d, char c)
{
	int digit = http_hex(c);

	if (digit >= 0) {
		if (++d->digits > 15)
			return HTTP_ERROR_CHUNK;
		d->left = d->left << 4 | (size_t)digit;
		return HTTP_PARSE_MORE;
	}
	if (!d->digits || (c != '\r' && c != ';'))
		return HTTP_ERROR_CHUNK;
	d->state = c == ';' ? EXTENSION : SIZE_LF;
	return HTTP_PARSE_MORE;
}

static enum http_parse on_extension(struct http_chunked *d, char c)
{
	if (c == '\r') {
		d->state = SIZE_LF;
		return HTTP_PARSE_MORE;
	}
	if (!http_char_is(c, CHAR_VALUE) || ++d->line > HTTP_CHUNK_LINE_MAX ||
	    ++d->extensions > HTTP_CHUNK_EXTENSIONS_MAX)
		return HTTP_ERROR_CHUNK;
	return HTTP_PARSE_MORE;
}

static enum http_parse on_size_end(struct http_chunked *d, char c)
{
	if (c != '\n')
		return HTTP_ERROR_CHUNK;
	if (d->left > d->max - d->total)
		return HTTP_ERROR_BODY_LARGE;
	d->total += d->left;
	d->state = d->left ? DATA : TRAILER;
	d->line = d->digits = 0;
	return HTTP_PARSE_MORE;
}

static enum http_parse on_trailer(struct http_chunked *d, char c)
{
	bool start = d->state == TRAILER;

	if (++d->trailers > HTTP_TRAILERS_MAX)
		return HTTP_ERROR_CHUNK;
	if (d->state == TRAILER_VALUE) {
		if (c == '\r')
			d->state = TRAILER_LF;
		else if (!http_char_is(c, CHAR_VALUE))
			return HTTP_ERROR_CHUNK;
		return HTTP_PARSE_MORE;
	}
	if (start && c == '\r')
		d->state = END_LF;
	else if (!start && c == ':')
		d->state = TRAILER_VALUE;
	else if (http_char_is(c, CHAR_TOKEN))
		d->state = TRAILER_NAME;
	else
		return HTTP_ERROR_CHUNK;
	return HTTP_PARSE_MORE;
}

static enum http_parse expect(struct http_chunked *d, char c, char want, unsigned next)
{
	if (c != want)
		return HTTP_ERROR_CHUNK;
	d->state = next;
	return HTTP_PARSE_MORE;
}

/* one byte outside the data */
static enum http_parse on_byte(struct http_chunked *d, char c)
{
	switch (d->state) {
	case SIZE:
		return on_size(d, c);
	case EXTENSION:
		return on_extension(d, c);
	case SIZE_LF:
		return on_size_end(d, c);
	case DATA_CR:
		return expect(d, c, '\r', DATA_LF);
	case DATA_LF:
		return expect(d, c, '\n', SIZE);
	case TRAILER_LF:
		return expect(d, c, '\n', TRAILER);
	case END_LF:
		return c == '\n' ? HTTP_PARSE_DONE : HTTP_ERROR_CHUNK;
	default:
		return on_trailer(d, c);
	}
}

enum http_parse http_chunked_next(struct http_chunked *d, const char *in, size_t len,
				  size_t *ret_used, struct bytes *ret_data)
{
	enum http_parse r = HTTP_PARSE_MORE;
	size_t i = 0;

	while (i < len && d->state != DATA && r == HTTP_PARSE_MORE)
		r = on_byte(d, in[i++]);
	if (r == HTTP_PARSE_MORE && i < len) {
		size_t n = MIN(d->left, len - i);

		*ret_data = (struct bytes){ (const uint8_t *)in + i, n };
		i += n;
		d->left -= n;
		if (!d->left)
			d->state = DATA_CR;
		r = HTTP_PARSE_DATA;
	}
	*ret_used = i;
	return r;
}
