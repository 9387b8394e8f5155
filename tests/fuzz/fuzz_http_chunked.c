/*
 * fuzz_http_chunked - the decoder of chunked bodies: no fault, no more than was allowed, and the
 * same end and length when the bytes come in pieces (the first byte says how)
 */
#include "common/http/parser.h"

#define BODY_LIMIT 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct end {
	enum http_parse verdict;
	size_t used, body;
};

static struct end decode(const char *s, size_t len, size_t step)
{
	struct http_chunked d = { .max = BODY_LIMIT };
	struct end e = { .verdict = HTTP_PARSE_DATA };
	size_t have = MIN(step, len);

	for (;;) {
		struct bytes run = { 0 };
		size_t used;

		e.verdict = http_chunked_next(&d, s + e.used, have - e.used, &used, &run);
		assert(used <= have - e.used);
		if (e.verdict == HTTP_PARSE_DATA) {
			assert(run.len && (const char *)run.data + run.len == s + e.used + used);
			e.body += run.len;
		} else if (e.verdict == HTTP_PARSE_MORE) {
			assert(used == have - e.used);
			if (have == len)
				break;
			have = MIN(have + step, len);
		} else {
			e.used += used;
			break;
		}
		e.used += used;
	}
	assert(e.body <= BODY_LIMIT);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *s = (const char *)data + 1;
	struct end whole, cut;

	if (len < 2)
		return 0;
	whole = decode(s, len - 1, len - 1);
	cut = decode(s, len - 1, data[0] + 1u);
	assert(whole.verdict == cut.verdict && whole.body == cut.body);
	assert(whole.verdict != HTTP_PARSE_DONE || whole.used == cut.used);
	return 0;
}
