/*
 * fuzz_http_head - the head parser: no fault, all results inside the head, and the same verdict
 * when the bytes come in two or more pieces (the first byte says how)
 */
#include "common/http/parser.h"

#define FIELDS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct http_parser parser(struct http_field *fields)
{
	return (struct http_parser){
		.head_max = 1024, .target_max = 128, .fields_max = FIELDS, .fields = fields
	};
}

static void check(const struct http_parser *p, size_t len)
{
	assert(p->head_len <= len && p->head_len <= p->head_max);
	assert(p->path_len && p->path + p->path_len < p->head_len);
	assert(p->query + p->query_len < p->head_len);
	assert(p->path_len + p->query_len <= p->target_max);
	assert(!(p->chunked && p->has_length));
	assert(p->host || !p->minor);
	for (size_t i = 0; i < p->fields_n; i++) {
		const struct http_field *f = &p->fields[i];

		assert(f->name_len && f->name + f->name_len < f->value + f->value_len + 1u);
		assert(f->value + f->value_len + 2 <= p->head_len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct http_field fields[2][FIELDS];
	struct http_parser whole = parser(fields[0]), cut = parser(fields[1]);
	enum http_parse a, b = HTTP_PARSE_MORE;
	const char *s = (const char *)data + 1;
	size_t step;

	if (!len)
		return 0;
	step = data[0] + 1u;
	len--;
	a = http_parser_head(&whole, s, len);
	for (size_t n = 0; b == HTTP_PARSE_MORE; n = MIN(n + step, len)) {
		b = http_parser_head(&cut, s, n);
		if (n == len)
			break;
	}
	assert(a == b && a != HTTP_PARSE_DATA);
	if (a == HTTP_PARSE_DONE) {
		check(&whole, len);
		assert(whole.head_len == cut.head_len && whole.fields_n == cut.fields_n);
		assert(!memcmp(fields[0], fields[1], whole.fields_n * sizeof(fields[0][0])));
	}
	return 0;
}
