/* covers common/http/form.c */
#include <errno.h>
#include "common/http/http.h"
#include "tests/lib/test.h"

TEST(decodes_escapes)
{
	static const struct {
		const char *in;
		bool plus;
		const char *want; /* NULL: refused */
	} cases[] = {
		{ "", false, "" },
		{ "a+b", false, "a+b" },
		{ "a+b", true, "a b" },
		{ "%41%6a%6A%2B", true, "Ajj+" },
		{ "%e2%82%ac", false, "\xe2\x82\xac" },
		{ "100%25", false, "100%" },
		{ "%2525", false, "%25" }, /* once */
		{ "%", false, NULL },
		{ "%4", false, NULL },
		{ "a%4g", false, NULL },
		{ "%+1", true, NULL },
	};

	FOREACH(c, cases) {
		struct buf b = BUF_INIT;

		buf_str(&b, ">");
		ASSERT_EQ(http_decode(c->in, strlen(c->in), c->plus, &b), c->want != NULL);
		ASSERT_STR_EQ(b.data + 1, c->want ? c->want : "");
		buf_fini(&b);
	}
}

TEST(a_decoded_nul_is_a_byte_like_others)
{
	struct buf b = BUF_INIT;

	ASSERT_TRUE(http_decode("a%00b", 5, false, &b));
	ASSERT_EQ(b.len, 3);
	ASSERT_MEM_EQ(b.data, "a\0b", 3);
	buf_fini(&b);
}

TEST(parses_a_form)
{
	static const char s[] = "a=1&&b=x%26y+z&empty=&flag&=nameless&a=2&c%3D=d=e";
	struct http_form f;

	ASSERT_OK(http_form_parse(&f, s, strlen(s), 10));
	ASSERT_EQ(f.n, 7);
	ASSERT_STR_EQ(http_form_get(&f, "a")->value, "1"); /* the first */
	ASSERT_STR_EQ(http_form_get(&f, "b")->value, "x&y z");
	ASSERT_STR_EQ(http_form_get(&f, "empty")->value, "");
	ASSERT_STR_EQ(http_form_get(&f, "flag")->value, "");
	ASSERT_STR_EQ(http_form_get(&f, "")->value, "nameless");
	ASSERT_STR_EQ(http_form_get(&f, "c=")->value, "d=e");
	ASSERT_NULL(http_form_get(&f, "d"));
	ASSERT_STR_EQ(f.pairs[5].name, "a");
	ASSERT_STR_EQ(f.pairs[5].value, "2");
	http_form_fini(&f);
	ASSERT_NULL(f.memory);
}

TEST(an_empty_form_has_no_pairs)
{
	struct http_form f;

	ASSERT_OK(http_form_parse(&f, "", 0, 1));
	ASSERT_EQ(f.n, 0);
	http_form_fini(&f);
	ASSERT_OK(http_form_parse(&f, "&&", 2, 3));
	ASSERT_EQ(f.n, 0);
	http_form_fini(&f);
}

TEST(refuses_bad_escapes_and_too_many_pairs)
{
	struct http_form f;

	ASSERT_EQ(http_form_parse(&f, "a=%", 3, 10), -EINVAL);
	ASSERT_EQ(http_form_parse(&f, "%x=1", 4, 10), -EINVAL);
	ASSERT_EQ(http_form_parse(&f, "a=1&b=2&c=3", 11, 2), -E2BIG);
	ASSERT_OK(http_form_parse(&f, "a=1&b=2&c=3", 11, 3));
	http_form_fini(&f);
}
