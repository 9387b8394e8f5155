/* covers common/base/text.c; corpora: Markus Kuhn's UTF-8 tests, naughty strings */
#include <jansson.h>
#include "common/base/text.h"
#include "tests/lib/test.h"

#define S(s) (s), sizeof(s) - 1

TEST(valid_utf8)
{
	ASSERT_TRUE(text_valid(S("")));
	ASSERT_TRUE(text_valid(S("plain")));
	ASSERT_TRUE(text_valid(S("Carrer de la Llacuna, 1r 2a · ça và ñ")));
	ASSERT_TRUE(text_valid(S("\xf0\x9f\x95\xb3")));
	ASSERT_TRUE(text_valid(S("\xef\xbf\xbd\xef\xbf\xbf\xf4\x8f\xbf\xbf")));
	ASSERT_TRUE(text_valid(S("\xed\x9f\xbf\xee\x80\x80"))); /* around the surrogates */
}

TEST(invalid_utf8)
{
	ASSERT_FALSE(text_valid(S("a\0b")));
	ASSERT_FALSE(text_valid(S("\x80")));
	ASSERT_FALSE(text_valid(S("\xc3")));
	ASSERT_FALSE(text_valid(S("\xc3(")));
	ASSERT_FALSE(text_valid(S("\xc0\xaf"))); /* overlong '/' */
	ASSERT_FALSE(text_valid(S("\xe0\x80\xaf")));
	ASSERT_FALSE(text_valid(S("\xf0\x80\x80\xaf")));
	ASSERT_FALSE(text_valid(S("\xed\xa0\x80"))); /* surrogate */
	ASSERT_FALSE(text_valid(S("\xf4\x90\x80\x80"))); /* U+110000 */
	ASSERT_FALSE(text_valid(S("\xf8\x88\x80\x80\x80")));
	ASSERT_FALSE(text_valid(S("\xff")));
	ASSERT_FALSE(text_valid(S("Espa\xf1""a"))); /* Latin-1 */
}

/* "6.1:invalid hex:f8 88 80:…" gives three bytes; false: a line of another kind */
static bool corpus_line(const char *line, bool *ret_valid, char ret[static 256], size_t *ret_len)
{
	const char *kind = strchr(line, ':'), *hex;
	size_t n = 0;
	unsigned v;

	if (line[0] == '#' || !kind || !(hex = strstr(kind, " hex:")))
		return false;
	*ret_valid = !strstr(kind, "invalid hex:");
	for (hex += 5; n < 256; hex += 2) {
		hex += strspn(hex, " ");
		if (sscanf(hex, "%2x", &v) != 1)
			break;
		ret[n++] = (char)v;
	}
	*ret_len = n;
	return true;
}

TEST(utf8_of_the_corpus)
{
	const char *path = test_data("corpora/text/utf8tests.txt");
	char *text = test_read_file(path, NULL), bytes[256];
	unsigned valid_seen = 0, invalid_seen = 0;

	for (char *at = text, *line; (line = strsep(&at, "\n"));) {
		bool valid;
		size_t len;

		if (!corpus_line(line, &valid, bytes, &len))
			continue;
		valid = valid && !memchr(bytes, '\0', len); /* NUL is UTF-8, but no text */
		if (text_valid(bytes, len) != valid)
			TEST_FAIL("%s", line);
		valid_seen += valid;
		invalid_seen += !valid;
	}
	free(text);
	ASSERT_GT(valid_seen, 50u);
	ASSERT_GT(invalid_seen, 50u);
}

TEST(naughty_strings_are_text)
{
	const char *path = test_data("corpora/text/blns.json");
	json_error_t error;
	json_t *list = json_load_file(path, JSON_ALLOW_NUL, &error), *value;
	size_t i;

	ASSERT_TRUE(json_is_array(list));
	ASSERT_GT(json_array_size(list), 400u);
	json_array_foreach(list, i, value) {
		const char *s = json_string_value(value);
		size_t len = json_string_length(value);
		char slug[64];

		ASSERT_EQ(text_valid(s, len), !memchr(s, '\0', len));
		ASSERT_LE(text_length(s, len), len);
		ASSERT_EQ(text_prefix(s, len, text_length(s, len)), len);
		text_to_slug(s, slug);
		ASSERT_TRUE(text_is_slug(slug));
	}
	json_decref(list);
}

TEST(code_points_are_counted)
{
	ASSERT_EQ(text_length(S("")), 0u);
	ASSERT_EQ(text_length(S("ñandú")), 5u);
	ASSERT_EQ(text_length(S("\xf0\x9f\x95\xb3!")), 2u);
	ASSERT_EQ(text_prefix(S("ñandú"), 1), 2u);
	ASSERT_EQ(text_prefix(S("ñandú"), 0), 0u);
	ASSERT_EQ(text_prefix(S("ñandú"), 5), 7u);
	ASSERT_EQ(text_prefix(S("ñandú"), 99), 7u);
}

TEST(controls_are_seen)
{
	ASSERT_FALSE(text_has_control(S("tab\tis fine, ñ · \xc2\xa0 too")));
	ASSERT_TRUE(text_has_control(S("a\nb")));
	ASSERT_TRUE(text_has_control(S("a\rb")));
	ASSERT_TRUE(text_has_control(S("a\x1b[2Jb")));
	ASSERT_TRUE(text_has_control(S("a\x7f")));
	ASSERT_TRUE(text_has_control(S("a\xc2\x85" "b"))); /* NEL */
	ASSERT_TRUE(text_has_control(S("a\0b")));
}

TEST(slugs)
{
	static const struct { const char *s, *want; } cases[] = {
		{ "L'Hospitalet de Llobregat", "l-hospitalet-de-llobregat" },
		{ "Sant Adrià", "sant-adria" },
		{ "  Àrea -- Ñoña  ", "area-nona" },
		{ "Straße", "strasse" },
		{ "Plaça", "placa" },
		{ "", "x" },
		{ "!!!", "x" },
		{ "\xff\xfe", "x" },
		{ "-a-", "a" },
	};

	FOREACH(c, cases) {
		char slug[64];

		text_to_slug(c->s, slug);
		ASSERT_STR_EQ(slug, c->want);
	}
}

TEST(a_long_slug_is_cut)
{
	char s[200], slug[64];

	memset(s, 'a', sizeof(s));
	s[62] = ' ';
	s[sizeof(s) - 1] = '\0';
	text_to_slug(s, slug);
	ASSERT_EQ(strlen(slug), 62u); /* no '-' at its end */
	ASSERT_TRUE(text_is_slug(slug));
	memset(s, 'a', 63);
	s[63] = '\0';
	ASSERT_TRUE(text_is_slug(s));
	s[63] = 'a';
	s[64] = '\0';
	ASSERT_FALSE(text_is_slug(s));
	ASSERT_FALSE(text_is_slug(""));
	ASSERT_FALSE(text_is_slug("-a"));
	ASSERT_FALSE(text_is_slug("A"));
	ASSERT_FALSE(text_is_slug("a_b"));
}

TEST(distance)
{
	ASSERT_EQ(text_distance("", ""), 0u);
	ASSERT_EQ(text_distance("", "abc"), 3u);
	ASSERT_EQ(text_distance("abc", ""), 3u);
	ASSERT_EQ(text_distance("kitten", "sitting"), 3u);
	ASSERT_EQ(text_distance("store.dsn", "store.dns"), 2u);
}

TEST(whole_numbers)
{
	int64_t v = 7;

	ASSERT_TRUE(text_to_i64(S("0"), &v) && v == 0);
	ASSERT_TRUE(text_to_i64(S("-12"), &v) && v == -12);
	ASSERT_TRUE(text_to_i64(S("9223372036854775807"), &v) && v == INT64_MAX);
	ASSERT_TRUE(text_to_i64(S("-9223372036854775808"), &v) && v == INT64_MIN);
	v = 7;
	ASSERT_FALSE(text_to_i64(S("9223372036854775808"), &v));
	ASSERT_FALSE(text_to_i64(S("-9223372036854775809"), &v));
	ASSERT_FALSE(text_to_i64(S(""), &v));
	ASSERT_FALSE(text_to_i64(S("-"), &v));
	ASSERT_FALSE(text_to_i64(S("+1"), &v));
	ASSERT_FALSE(text_to_i64(S(" 1"), &v));
	ASSERT_FALSE(text_to_i64(S("1 "), &v));
	ASSERT_FALSE(text_to_i64(S("0x1"), &v));
	ASSERT_FALSE(text_to_i64(S("1\0"), &v));
	ASSERT_EQ(v, 7);
}

TEST(real_numbers)
{
	double v = 7;

	ASSERT_TRUE(text_to_double(S("41.385063889"), &v));
	ASSERT_REAL_EQ(v, 41.385063889, 0);
	ASSERT_TRUE(text_to_double(S("-2.17e0"), &v));
	ASSERT_REAL_EQ(v, -2.17, 0);
	v = 7;
	ASSERT_FALSE(text_to_double(S(""), &v));
	ASSERT_FALSE(text_to_double(S("41,38"), &v));
	ASSERT_FALSE(text_to_double(S("nan"), &v));
	ASSERT_FALSE(text_to_double(S("inf"), &v));
	ASSERT_FALSE(text_to_double(S("1e999"), &v));
	ASSERT_FALSE(text_to_double(S("0x1p3"), &v));
	ASSERT_FALSE(text_to_double(S(" 1"), &v));
	ASSERT_FALSE(text_to_double(S("1 "), &v));
	ASSERT_FALSE(text_to_double(S("+1"), &v));
	ASSERT_FALSE(text_to_double(S("1e"), &v));
	ASSERT_FALSE(text_to_double(S("1\0"), &v));
	ASSERT_REAL_EQ(v, 7, 0);
}

TEST(secrets_are_compared_by_content)
{
	ASSERT_TRUE(text_equal_secret("abc", "abc", 3));
	ASSERT_FALSE(text_equal_secret("abc", "abd", 3));
	ASSERT_TRUE(text_equal_secret("abc", "abd", 2));
}
