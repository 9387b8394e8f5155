/* covers common/http/chunked.c; no socket */
#include "common/base/buf.h"
#include "common/http/parser.h"
#include "tests/lib/test.h"

#define BODY_MAX 100

struct decoded {
	enum http_parse verdict;
	size_t used;
	struct buf body;
};

/* gives the decoder step bytes at a time, as a connection does */
static void decode(struct decoded *d, const char *s, size_t len, size_t first, size_t step)
{
	struct http_chunked c = { .max = BODY_MAX };
	size_t end = MIN(first, len);

	*d = (struct decoded){ .verdict = HTTP_PARSE_MORE };
	for (;;) {
		struct bytes run = { 0 };
		size_t used;

		d->verdict = http_chunked_next(&c, s + d->used, end - d->used, &used, &run);
		ASSERT_LE(used, end - d->used);
		d->used += used;
		if (d->verdict == HTTP_PARSE_DATA)
			buf_add(&d->body, run.data, run.len);
		else if (d->verdict == HTTP_PARSE_MORE && end < len)
			end = MIN(end + step, len);
		else
			break;
	}
}

static const struct {
	const char *in;
	enum http_parse want;
	const char *body;
} cases[] = {
	{ "0\r\n\r\n", HTTP_PARSE_DONE, "" },
	{ "3\r\nabc\r\n0\r\n\r\n", HTTP_PARSE_DONE, "abc" },
	{ "3\r\nabc\r\n00000A\r\n0123456789\r\n0\r\n\r\n", HTTP_PARSE_DONE, "abc0123456789" },
	{ "3;x=\"a b\";y\r\nabc\r\n0;z\r\n\r\n", HTTP_PARSE_DONE, "abc" },
	{ "1\r\n\n\r\n0\r\nX: y\r\nZ:\r\n\r\n", HTTP_PARSE_DONE, "\n" },
	{ "", HTTP_PARSE_MORE, "" },
	{ "3\r\nab", HTTP_PARSE_MORE, "ab" },
	{ "3\r\nabc\r\n0\r\n", HTTP_PARSE_MORE, "abc" },
	{ "3\r\nabc\r\n0\r\n\r", HTTP_PARSE_MORE, "abc" },
	{ "\r\n", HTTP_ERROR_CHUNK, "" },
	{ ";\r\n", HTTP_ERROR_CHUNK, "" },
	{ " 3\r\nabc\r\n", HTTP_ERROR_CHUNK, "" },
	{ "3 \r\nabc\r\n", HTTP_ERROR_CHUNK, "" },
	{ "+3\r\nabc\r\n", HTTP_ERROR_CHUNK, "" },
	{ "-3\r\nabc\r\n", HTTP_ERROR_CHUNK, "" },
	{ "0x3\r\nabc\r\n", HTTP_ERROR_CHUNK, "" },
	{ "g\r\n", HTTP_ERROR_CHUNK, "" },
	{ "3\nabc\n0\n\n", HTTP_ERROR_CHUNK, "" },
	{ "3\rabc", HTTP_ERROR_CHUNK, "" },
	{ "3;a\nabc\r\n", HTTP_ERROR_CHUNK, "" },
	{ "3;a\rabc\r\n", HTTP_ERROR_CHUNK, "" },
	{ "3\r\nabcd\r\n", HTTP_ERROR_CHUNK, "abc" },
	{ "3\r\nabc\n0\r\n\r\n", HTTP_ERROR_CHUNK, "abc" },
	{ "3\r\nabc0\r\n\r\n", HTTP_ERROR_CHUNK, "abc" },
	{ "0\r\n\n", HTTP_ERROR_CHUNK, "" },
	{ "0\r\nX\r\n\r\n", HTTP_ERROR_CHUNK, "" },
	{ "0\r\n: y\r\n\r\n", HTTP_ERROR_CHUNK, "" },
	{ "0\r\n x: y\r\n\r\n", HTTP_ERROR_CHUNK, "" },
	{ "0\r\nX : y\r\n\r\n", HTTP_ERROR_CHUNK, "" },
	{ "0\r\nX: y\nZ: a\r\n\r\n", HTTP_ERROR_CHUNK, "" },
	{ "ffffffffffffffff\r\n", HTTP_ERROR_CHUNK, "" },
	{ "0000000000000003\r\n", HTTP_ERROR_CHUNK, "" }, /* 16 digits */
	{ "fffffffffffffff\r\n", HTTP_ERROR_BODY_LARGE, "" },
	{ "65\r\n", HTTP_ERROR_BODY_LARGE, "" },
	{ "3\r\nabc\r\n62\r\n", HTTP_ERROR_BODY_LARGE, "abc" },
};

TEST(decodes_and_refuses)
{
	FOREACH(c, cases) {
		struct decoded d;

		decode(&d, c->in, strlen(c->in), SIZE_MAX, 1);
		if (d.verdict != c->want)
			test_note("%s", c->in);
		ASSERT_EQ(d.verdict, c->want);
		ASSERT_EQ(d.body.len, strlen(c->body));
		ASSERT_MEM_EQ(d.body.len ? d.body.data : "", c->body, d.body.len);
		buf_fini(&d.body);
	}
}

TEST(decodes_the_same_however_it_is_cut)
{
	FOREACH(c, cases) {
		size_t len = strlen(c->in);
		struct decoded one, cut;

		decode(&one, c->in, len, len, 1);
		for (size_t first = 0; first <= len; first++)
			for (size_t step = 1; step <= 3; step++) {
				decode(&cut, c->in, len, first, step);
				ASSERT_EQ(cut.verdict, one.verdict);
				ASSERT_EQ(cut.used, one.used);
				ASSERT_EQ(cut.body.len, one.body.len);
				buf_fini(&cut.body);
			}
		buf_fini(&one.body);
	}
}

TEST(stops_behind_the_body)
{
	static const char s[] = "1\r\na\r\n0\r\n\r\nGET /next";
	struct decoded d;

	decode(&d, s, strlen(s), SIZE_MAX, 1);
	ASSERT_EQ(d.verdict, HTTP_PARSE_DONE);
	ASSERT_EQ(d.used, strlen(s) - strlen("GET /next"));
	buf_fini(&d.body);
}

TEST(a_body_of_the_whole_limit_passes)
{
	char s[160];
	struct decoded d;
	int n = snprintf(s, sizeof(s), "64\r\n%0100d\r\n0\r\n\r\n", 0);

	decode(&d, s, (size_t)n, SIZE_MAX, 1);
	ASSERT_EQ(d.verdict, HTTP_PARSE_DONE);
	ASSERT_EQ(d.body.len, BODY_MAX);
	buf_fini(&d.body);
}

/* part again and again between prefix and the end; how many of them pass */
static unsigned passes(const char *prefix, const char *part, unsigned n)
{
	struct buf b = BUF_INIT;
	struct decoded d;
	unsigned done = 0;

	buf_str(&b, prefix);
	for (; done < n; done++) {
		buf_str(&b, part);
		decode(&d, b.data, b.len, SIZE_MAX, 1);
		buf_fini(&d.body);
		if (d.verdict != HTTP_PARSE_MORE)
			break;
	}
	buf_fini(&b);
	return done;
}

TEST(extensions_and_trailers_are_bounded)
{
	/* one size line; all extensions of a body; all trailers */
	ASSERT_EQ(passes("1;", "x", 2 * HTTP_CHUNK_LINE_MAX), HTTP_CHUNK_LINE_MAX);
	ASSERT_EQ(passes("", "1;0123456789012345678901234567890123456789012345678901234567890123"
			     "456789012345678901234567890123456789012345678901234567890123456789\r\na\r\n",
			 1000), HTTP_CHUNK_EXTENSIONS_MAX / 130);
	ASSERT_EQ(passes("0\r\n", "X: 0123\r\n", 1000), HTTP_TRAILERS_MAX / 8); /* LF isn't counted */
}
