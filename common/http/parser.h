#pragma once
/*
 * parser - one HTTP/1.x request head, bytes in, verdict out; no I/O, no allocation
 *
 * RFC 9112 without its leniencies. The verdict depends on the bytes alone, never on how they were
 * cut into reads: call again with the same bytes and more behind them. Positions are offsets into
 * the bytes given.
 */
#include "common/base/base.h"
#include "common/http/http.h"

/* X(id, status, metric label, what the client is told) */
#define HTTP_ERRORS(X)                                                                             \
	X(REQUEST_LINE, 400, "request_line", "the request line is malformed")                     \
	X(METHOD, 405, "method", "this method is not known here")                                 \
	X(TARGET, 400, "target", "the target must be an absolute path without bad escapes")       \
	X(TARGET_LONG, 414, "target_long", "the target is too long")                              \
	X(VERSION, 505, "version", "only HTTP/1.1 and HTTP/1.0 are spoken here")                  \
	X(LINE_END, 400, "line_end", "lines must end with CR LF")                                 \
	X(FIELD, 400, "field", "a header field is malformed")                                     \
	X(FOLD, 400, "fold", "header fields must not be folded")                                  \
	X(FIELDS, 431, "fields", "too many header fields")                                        \
	X(HEAD_LARGE, 431, "head_large", "the header is too large")                               \
	X(HOST, 400, "host", "exactly one valid Host field is needed")                            \
	X(LENGTH, 400, "length", "Content-Length must be given once, as digits")                  \
	X(ENCODING, 501, "encoding", "the one transfer coding known here is chunked")             \
	X(FRAMING, 400, "framing", "Transfer-Encoding can't be combined this way")                \
	X(EXPECT, 417, "expect", "the one expectation known here is 100-continue")                \
	X(CHUNK, 400, "chunk", "the chunked body is malformed")                                   \
	X(BODY_LARGE, 413, "body_large", "the body is too large")

enum http_parse {
	HTTP_PARSE_DONE,
	HTTP_PARSE_MORE, /* not at the end yet */
	HTTP_PARSE_DATA, /* http_chunked_next() alone */
#define X(id, status, label, text) HTTP_ERROR_##id,
	HTTP_ERRORS(X)
#undef X
	HTTP_PARSE_N
};

struct http_error_info {
	int status;
	const char *label, *text;
};
/* of an HTTP_ERROR_* */
const struct http_error_info *http_error_info(enum http_parse e);

struct http_field {
	uint32_t name, name_len, value, value_len; /* value without the blanks around it */
};

struct http_parser {
	/* limits, set by the caller */
	size_t head_max, target_max;
	size_t fields_max;
	struct http_field *fields; /* fields_max, the caller's */
	/* where the parser stands */
	size_t line; /* start of the line under way */
	size_t scanned; /* no LF between line and here */
	bool in_fields; /* behind the request line */
	/* results; valid after HTTP_PARSE_DONE */
	size_t head_len;
	size_t fields_n;
	enum http_method method;
	unsigned minor; /* HTTP/1.minor */
	uint32_t path, path_len, query, query_len; /* query without '?' */
	uint64_t content_length; /* 0 without has_length */
	bool has_length, chunked, host, encoding;
	bool close; /* asked for by Connection */
	bool expect_continue;
};

/* forgets all but the limits */
void http_parser_reset(struct http_parser *p);
/* data: from the first byte of the head on, the same bytes each time; MORE, DONE or an error */
enum http_parse http_parser_head(struct http_parser *p, const char *data, size_t len);

/* Limits of a chunked body beside its size, bytes each */
#define HTTP_CHUNK_LINE_MAX 256 /* size and extensions of one chunk */
#define HTTP_CHUNK_EXTENSIONS_MAX 4096 /* all extensions of a body */
#define HTTP_TRAILERS_MAX 4096 /* all trailer fields */

struct http_chunked { /* zeroed but for max: at the start of a body */
	size_t max; /* of the body */
	size_t total; /* body bytes announced so far */
	size_t left; /* of the chunk under way */
	size_t extensions, trailers; /* bytes so far */
	unsigned line; /* bytes of the size line so far */
	unsigned digits;
	unsigned state;
};

/*
 * Reads on in a chunked body. DATA: *ret_data is a run of the body, inside in. MORE: all of in was
 * used. DONE: the body ends behind *ret_used. Extensions and trailers are checked and dropped.
 */
enum http_parse http_chunked_next(struct http_chunked *d, const char *in, size_t len,
				  size_t *ret_used, struct bytes *ret_data);
