/*
 * core_text - a table look-up, and the filling in of a text's places
 */
#include "services/intake/core_text.h"
#include "common/base/text.h"

static const char *const names[LANG_N] = { "ca", "es", "en" };

bool lang_parse(const char *s, size_t len, enum lang *ret)
{
	if (len < LANG_NAME_LEN || (len > LANG_NAME_LEN && s[2] != '-' && s[2] != '_'))
		return false;
	for (unsigned i = 0; i < LANG_N; i++) {
		if ((s[0] | 0x20) == names[i][0] && (s[1] | 0x20) == names[i][1]) {
			*ret = (enum lang)i;
			return true;
		}
	}
	return false;
}

const char *lang_name(enum lang l)
{
	return names[l];
}

/* the q of "es;q=0.8", in thousandths; 1,000 where there is none or it can't be read */
static unsigned quality(const char *s, size_t len)
{
	const char *q = memmem(s, len, "q=", 2);
	double v;

	if (!q)
		return 1000;
	q += 2;
	size_t n = strspn(q, "0123456789.");
	if (n > (size_t)(s + len - q))
		n = (size_t)(s + len - q);
	if (!text_to_double(q, n, &v) || v < 0 || v > 1)
		return 1000;
	return (unsigned)(v * 1000);
}

enum lang lang_accept(const char *s, enum lang fallback)
{
	enum lang best = fallback, l;
	unsigned best_q = 0;

	while (s && *s) {
		size_t len;

		s += strspn(s, ", \t");
		len = strcspn(s, ",");
		size_t tag = strcspn(s, ",; \t");
		unsigned q = quality(s + tag, len - tag);

		if (q > best_q && lang_parse(s, tag, &l)) {
			best = l;
			best_q = q;
		}
		s += len;
	}
	return best;
}

const char *text_get(enum lang l, enum text_id id)
{
	assert(l < LANG_N && id < TEXT_N);
	return texts[l][id];
}

static void fill(struct buf *out, const char *t, const char *const args[2],
		 void (*add)(struct buf *, const char *, size_t))
{
	for (const char *hole; (hole = strchr(t, '{')); t = hole + 3) {
		buf_add(out, t, (size_t)(hole - t));
		assert((hole[1] == '0' || hole[1] == '1') && hole[2] == '}');
		const char *a = args[hole[1] - '0'];

		if (a)
			add(out, a, strlen(a));
	}
	buf_str(out, t);
}

static void add_plain(struct buf *out, const char *s, size_t len)
{
	buf_add(out, s, len);
}

void text_fill(struct buf *out, enum lang l, enum text_id id, const char *a0, const char *a1)
{
	fill(out, text_get(l, id), (const char *const[2]){ a0, a1 }, add_plain);
}

void text_fill_html(struct buf *out, enum lang l, enum text_id id, const char *a0, const char *a1)
{
	fill(out, text_get(l, id), (const char *const[2]){ a0, a1 }, html_escape);
}

void html_escape(struct buf *out, const char *s, size_t len)
{
	size_t from = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		const char *as = c == '&' ? "&amp;"
				 : c == '<' ? "&lt;"
				 : c == '>' ? "&gt;"
				 : c == '"' ? "&quot;"
				 : c == '\'' ? "&#39;"
				 : c < 0x20 && c != '\n' && c != '\t' && c != '\r' ? "\xef\xbf\xbd"
				 : c == 0x7f ? "\xef\xbf\xbd"
					     : NULL;

		if (!as)
			continue;
		buf_add(out, s + from, i - from);
		buf_str(out, as);
		from = i + 1;
	}
	buf_add(out, s + from, len - from);
}
