/*
 * form - percent escapes and application/x-www-form-urlencoded; pure
 *
 * All of a form's text lies in one allocation: decoding never makes it longer.
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/http/chars.h"
#include "common/http/http.h"

/* Decodes one run into out, which holds len bytes; the length, or -1: bad escape */
static ssize_t decode(const char *s, size_t len, bool plus, char *out)
{
	char *o = out;

	for (size_t i = 0; i < len; i++) {
		char c = s[i];

		if (c == '+' && plus) {
			c = ' ';
		} else if (c == '%') {
			int high = len - i > 2 ? http_hex(s[i + 1]) : -1;
			int low = len - i > 2 ? http_hex(s[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -1;
			c = (char)(high << 4 | low);
			i += 2;
		}
		*o++ = c;
	}
	return o - out;
}

bool http_decode(const char *s, size_t len, bool plus, struct buf *out)
{
	char *o = buf_reserve(out, len + 1);
	ssize_t n;

	if (!o)
		return false;
	n = decode(s, len, plus, o);
	o[MAX(n, 0)] = '\0'; /* also after a failure, which has written behind the length */
	if (n < 0)
		return false;
	out->len += (size_t)n;
	return true;
}

static size_t count_pairs(const char *s, size_t len)
{
	size_t n = 1;

	for (size_t i = 0; i < len; i++)
		n += s[i] == '&';
	return n;
}

/* one name or value into the form's memory at *m, NUL-terminated */
static bool take(const char *s, size_t len, char **m, const char **ret, size_t *ret_len)
{
	ssize_t n = decode(s, len, true, *m);

	if (n < 0)
		return false;
	(*m)[n] = '\0';
	*ret = *m;
	*ret_len = (size_t)n;
	*m += n + 1;
	return true;
}

static bool take_pair(struct http_pair *pair, const char *s, size_t len, char **m)
{
	const char *eq = memchr(s, '=', len);
	size_t name_len = eq ? (size_t)(eq - s) : len;
	size_t value_len = eq ? len - name_len - 1 : 0;

	return take(s, name_len, m, &pair->name, &pair->name_len) &&
	       take(s + len - value_len, value_len, m, &pair->value, &pair->value_len);
}

int http_form_parse(struct http_form *ret, const char *s, size_t len, size_t pairs_max)
{
	size_t pairs = count_pairs(s, len);
	struct http_form f = { 0 };
	const char *end = s + len;
	char *m;

	if (pairs > pairs_max)
		return -E2BIG;
	f.memory = malloc(pairs * sizeof(*f.pairs) + len + 2 * pairs);
	if (!f.memory)
		return err_here(-ENOMEM);
	f.pairs = (struct http_pair *)f.memory;
	m = f.memory + pairs * sizeof(*f.pairs);
	while (s < end) {
		const char *amp = memchr(s, '&', (size_t)(end - s));
		const char *stop = amp ? amp : end;

		if (stop > s && !take_pair(&f.pairs[f.n++], s, (size_t)(stop - s), &m)) {
			free(f.memory);
			return -EINVAL;
		}
		s = amp ? amp + 1 : end;
	}
	*ret = f;
	return 0;
}

void http_form_fini(struct http_form *f)
{
	free(f->memory);
	*f = (struct http_form){ 0 };
}

const struct http_pair *http_form_get(const struct http_form *f, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < f->n; i++)
		if (f->pairs[i].name_len == len && !memcmp(f->pairs[i].name, name, len))
			return &f->pairs[i];
	return NULL;
}
