/*
 * fuzz_http_form - forms and escapes: no fault, everything NUL-terminated and no longer than the
 * input; a form without '&' and '=' says what http_decode() says
 */
#include <errno.h>
#include "common/http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_form(const char *s, size_t len)
{
	struct http_form f;
	size_t total = 0;
	int r = http_form_parse(&f, s, len, 50);

	assert(r == 0 || r == -EINVAL || r == -E2BIG);
	if (r)
		return;
	for (size_t i = 0; i < f.n; i++) {
		const struct http_pair *p = &f.pairs[i];

		assert(!p->name[p->name_len] && !p->value[p->value_len]);
		assert(http_form_get(&f, p->name) || strlen(p->name) != p->name_len);
		total += p->name_len + p->value_len;
	}
	assert(total <= len);
	http_form_fini(&f);
}

static void check_decode(const char *s, size_t len)
{
	struct buf b = BUF_INIT;
	bool ok = http_decode(s, len, true, &b);
	struct http_form f;

	assert(b.len <= len);
	if (len && !memchr(s, '&', len) && !memchr(s, '=', len)) {
		assert((http_form_parse(&f, s, len, 1) == 0) == ok);
		if (ok) {
			assert(f.n == 1 && f.pairs[0].name_len == b.len);
			assert(!memcmp(f.pairs[0].name, b.data, b.len));
			http_form_fini(&f);
		}
	}
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check_form((const char *)data, len);
	check_decode((const char *)data, len);
	return 0;
}
