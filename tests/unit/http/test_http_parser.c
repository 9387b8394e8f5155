/* covers common/http/parser.c and chars.c; no socket */
#include <jansson.h>
#include "common/http/parser.h"
#include "tests/lib/test.h"

#define FIELDS_MAX 8
#define H "Host: x\r\n"

struct outcome {
	enum http_parse verdict;
	struct http_parser p;
	struct http_field fields[FIELDS_MAX];
};

static void begin(struct outcome *o)
{
	*o = (struct outcome){ .verdict = HTTP_PARSE_MORE };
	o->p.head_max = 256;
	o->p.target_max = 64;
	o->p.fields_max = FIELDS_MAX;
	o->p.fields = o->fields;
}

static enum http_parse whole(struct outcome *o, const char *s, size_t len)
{
	begin(o);
	o->verdict = http_parser_head(&o->p, s, len);
	return o->verdict;
}

static enum http_parse parse(struct outcome *o, const char *s)
{
	return whole(o, s, strlen(s));
}

static void same(const struct outcome *a, const struct outcome *b)
{
	ASSERT_EQ(a->verdict, b->verdict);
	if (a->verdict != HTTP_PARSE_DONE)
		return;
	ASSERT_EQ(a->p.head_len, b->p.head_len);
	ASSERT_EQ(a->p.fields_n, b->p.fields_n);
	ASSERT_EQ(a->p.content_length, b->p.content_length);
	ASSERT_EQ(a->p.chunked, b->p.chunked);
	ASSERT_EQ(a->p.close, b->p.close);
	ASSERT_MEM_EQ(a->fields, b->fields, sizeof(a->fields[0]) * a->p.fields_n);
}

/* the same bytes in two reads, cut at every place, and a byte at a time */
static void any_split(const char *s, size_t len)
{
	struct outcome one, cut;

	whole(&one, s, len);
	for (size_t at = 0; at <= len; at++) {
		begin(&cut);
		cut.verdict = http_parser_head(&cut.p, s, at);
		if (cut.verdict == HTTP_PARSE_MORE)
			cut.verdict = http_parser_head(&cut.p, s, len);
		same(&one, &cut);
	}
	begin(&cut);
	for (size_t n = 0; n <= len && cut.verdict == HTTP_PARSE_MORE; n++)
		cut.verdict = http_parser_head(&cut.p, s, n);
	same(&one, &cut);
}

TEST(reads_a_request)
{
	static const char s[] = "POST /a/b%20c?d=e&f HTTP/1.1\r\nHost: x:80\r\n"
				"content-LENGTH:  12 \r\nX-Empty:\r\nX: \ta b\t \r\n\r\nbody";
	struct outcome o;

	ASSERT_EQ(parse(&o, s), HTTP_PARSE_DONE);
	ASSERT_EQ(o.p.method, HTTP_POST);
	ASSERT_EQ(o.p.minor, 1);
	ASSERT_EQ(o.p.head_len, strlen(s) - 4);
	ASSERT_EQ(o.p.path_len, 8);
	ASSERT_MEM_EQ(s + o.p.path, "/a/b%20c", 8);
	ASSERT_EQ(o.p.query_len, 5);
	ASSERT_MEM_EQ(s + o.p.query, "d=e&f", 5);
	ASSERT_EQ(o.p.content_length, 12);
	ASSERT_EQ(o.p.fields_n, 4);
	ASSERT_EQ(o.fields[1].value_len, 2);
	ASSERT_EQ(o.fields[2].value_len, 0);
	ASSERT_MEM_EQ(s + o.fields[3].value, "a b", 3);
	ASSERT_FALSE(o.p.chunked || o.p.close || o.p.expect_continue);
}

TEST(knows_the_methods)
{
	static const struct {
		const char *head;
		enum http_method want;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n" H "\r\n", HTTP_GET },
		{ "HEAD / HTTP/1.1\r\n" H "\r\n", HTTP_HEAD },
		{ "PUT / HTTP/1.1\r\n" H "\r\n", HTTP_PUT },
		{ "DELETE / HTTP/1.1\r\n" H "\r\n", HTTP_DELETE },
		{ "OPTIONS * HTTP/1.1\r\n" H "\r\n", HTTP_OPTIONS },
		{ "PATCH / HTTP/1.1\r\n" H "\r\n", HTTP_PATCH },
	};
	struct outcome o;

	FOREACH(c, cases) {
		ASSERT_EQ(parse(&o, c->head), HTTP_PARSE_DONE);
		ASSERT_EQ(o.p.method, c->want);
	}
}

static const struct {
	const char *head;
	enum http_parse want;
} verdicts[] = {
	{ "", HTTP_PARSE_MORE },
	{ "GET / HTTP/1.1\r\n" H, HTTP_PARSE_MORE },
	{ "GET / HTTP/1.1\r\n" H "\r", HTTP_PARSE_MORE },
	{ "GET / HTTP/1.0\r\n\r\n", HTTP_PARSE_DONE },
	{ "GET /?a=[b]|{c}^\\` HTTP/1.1\r\n" H "\r\n", HTTP_PARSE_DONE },
	{ "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", HTTP_PARSE_DONE },
	{ "GET / HTTP/1.1\r\n" H "X: \x80\xff\ta\r\n\r\n", HTTP_PARSE_DONE },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 007\r\n\r\n", HTTP_PARSE_DONE },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n", HTTP_PARSE_DONE },
	/* request line */
	{ "\r\n", HTTP_ERROR_REQUEST_LINE },
	{ "GET /\r\n", HTTP_ERROR_REQUEST_LINE },
	{ "GET\r\n", HTTP_ERROR_REQUEST_LINE },
	{ " GET / HTTP/1.1\r\n", HTTP_ERROR_REQUEST_LINE },
	{ "GET  / HTTP/1.1\r\n", HTTP_ERROR_REQUEST_LINE },
	{ "GET / HTTP/1.1 \r\n", HTTP_ERROR_REQUEST_LINE },
	{ "GET /a b HTTP/1.1\r\n", HTTP_ERROR_REQUEST_LINE },
	{ "GET\t/ HTTP/1.1\r\n", HTTP_ERROR_REQUEST_LINE },
	{ "G@T / HTTP/1.1\r\n", HTTP_ERROR_REQUEST_LINE },
	{ "GET / http/1.1\r\n", HTTP_ERROR_REQUEST_LINE },
	{ "GET / HTTP/1.1x\r\n", HTTP_ERROR_REQUEST_LINE },
	{ "GET / HTTP/11\r\n", HTTP_ERROR_REQUEST_LINE },
	{ "GET / HTTP/1.1\n", HTTP_ERROR_LINE_END },
	{ "\n", HTTP_ERROR_LINE_END },
	{ "GET / HTTP/1.2\r\n", HTTP_ERROR_VERSION },
	{ "GET / HTTP/2.0\r\n", HTTP_ERROR_VERSION },
	{ "get / HTTP/1.1\r\n", HTTP_ERROR_METHOD },
	{ "TRACE / HTTP/1.1\r\n", HTTP_ERROR_METHOD },
	{ "CONNECT x:1 HTTP/1.1\r\n", HTTP_ERROR_METHOD },
	{ "GET * HTTP/1.1\r\n", HTTP_ERROR_TARGET },
	{ "GET a HTTP/1.1\r\n", HTTP_ERROR_TARGET },
	{ "GET http://x/a HTTP/1.1\r\n", HTTP_ERROR_TARGET },
	{ "GET /a%00b HTTP/1.1\r\n", HTTP_ERROR_TARGET },
	{ "GET /a%2 HTTP/1.1\r\n", HTTP_ERROR_TARGET },
	{ "GET /a%zz HTTP/1.1\r\n", HTTP_ERROR_TARGET },
	{ "GET /a#b HTTP/1.1\r\n", HTTP_ERROR_TARGET },
	{ "GET /a\\b HTTP/1.1\r\n", HTTP_ERROR_TARGET },
	{ "GET /\xc3\xa0 HTTP/1.1\r\n", HTTP_ERROR_TARGET },
	{ "GET /?\x7f HTTP/1.1\r\n", HTTP_ERROR_TARGET },
	{ "GET /?<> HTTP/1.1\r\n", HTTP_ERROR_TARGET },
	/* fields */
	{ "GET / HTTP/1.1\r\n" H "X : a\r\n\r\n", HTTP_ERROR_FIELD },
	{ "GET / HTTP/1.1\r\n" H ": a\r\n\r\n", HTTP_ERROR_FIELD },
	{ "GET / HTTP/1.1\r\n" H "X\r\n\r\n", HTTP_ERROR_FIELD },
	{ "GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", HTTP_ERROR_FIELD },
	{ "GET / HTTP/1.1\r\n" H "X: a\r\r\n\r\n", HTTP_ERROR_FIELD },
	{ "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", HTTP_ERROR_FIELD },
	{ "GET / HTTP/1.1\r\n" H "X: a\nY: b\r\n\r\n", HTTP_ERROR_LINE_END },
	{ "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", HTTP_ERROR_FOLD },
	{ "GET / HTTP/1.1\r\n\t" H "\r\n", HTTP_ERROR_FOLD },
	{ "GET / HTTP/1.1\r\n" H "a:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\n\r\n", HTTP_ERROR_FIELDS },
	/* Host */
	{ "GET / HTTP/1.1\r\n\r\n", HTTP_ERROR_HOST },
	{ "GET / HTTP/1.1\r\n" H "host: x\r\n\r\n", HTTP_ERROR_HOST },
	{ "GET / HTTP/1.0\r\n" H "host: x\r\n\r\n", HTTP_ERROR_HOST },
	{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", HTTP_ERROR_HOST },
	{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HTTP_ERROR_HOST },
	{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HTTP_ERROR_HOST },
	{ "GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", HTTP_ERROR_HOST },
	/* framing */
	{ "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", HTTP_ERROR_LENGTH },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 3\t\r\n\r\n", HTTP_ERROR_LENGTH },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\tchunked\r\n\r\n", HTTP_ERROR_ENCODING },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\n", HTTP_ERROR_LENGTH },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: -0\r\n\r\n", HTTP_ERROR_LENGTH },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\n", HTTP_ERROR_LENGTH },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\n", HTTP_ERROR_LENGTH },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 1234567890123456789\r\n\r\n", HTTP_ERROR_LENGTH },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", HTTP_ERROR_LENGTH },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", HTTP_ERROR_ENCODING },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", HTTP_ERROR_ENCODING },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", HTTP_ERROR_ENCODING },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	  HTTP_ERROR_FRAMING },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
	  HTTP_ERROR_FRAMING },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
	  HTTP_ERROR_FRAMING },
	{ "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", HTTP_ERROR_FRAMING },
	{ "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n", HTTP_ERROR_EXPECT },
};

TEST(judges)
{
	struct outcome o;

	FOREACH(c, verdicts) {
		parse(&o, c->head);
		if (o.verdict != c->want)
			test_note("%s", c->head);
		ASSERT_EQ(o.verdict, c->want);
	}
}

TEST(judges_the_same_however_it_is_cut)
{
	FOREACH(c, verdicts)
		any_split(c->head, strlen(c->head));
}

TEST(no_control_byte_passes_anywhere)
{
	static const char *const places[] = { "G%cT / HTTP/1.1\r\n" H "\r\n",
					      "GET /%c HTTP/1.1\r\n" H "\r\n",
					      "GET /?%c HTTP/1.1\r\n" H "\r\n",
					      "GET / HTTP/1.1%c\r\n" H "\r\n",
					      "GET / HTTP/1.1\r\n" H "X%c: a\r\n\r\n",
					      "GET / HTTP/1.1\r\n" H "X:%c\r\n\r\n",
					      "GET / HTTP/1.1\r\nHost: x%cy\r\n\r\n" };
	struct outcome o;
	char s[128];

	FOREACH(place, places)
		for (int c = 0; c < 0x21; c++) {
			const char *percent = strchr(*place, '%');
			int byte = c == 0x20 ? 0x7f : c;
			int len = snprintf(s, sizeof(s), "%s", *place) - 1;
			size_t at = (size_t)(percent - *place);

			memmove(s + at + 1, s + at + 2, (size_t)len - at);
			s[at] = (char)byte;
			whole(&o, s, (size_t)len);
			if (byte == '\t' && strstr(*place, "X:%c"))
				ASSERT_EQ(o.verdict, HTTP_PARSE_DONE);
			else
				ASSERT_GT(o.verdict, HTTP_PARSE_DATA);
			any_split(s, (size_t)len);
		}
}

TEST(limits_are_exact)
{
	char s[300];
	struct outcome o;
	int n;

	/* target: 64 pass, 65 don't */
	n = snprintf(s, sizeof(s), "GET /%063d HTTP/1.1\r\n" H "\r\n", 0);
	ASSERT_EQ(whole(&o, s, (size_t)n), HTTP_PARSE_DONE);
	n = snprintf(s, sizeof(s), "GET /%064d HTTP/1.1\r\n" H "\r\n", 0);
	ASSERT_EQ(whole(&o, s, (size_t)n), HTTP_ERROR_TARGET_LONG);
	/* head: 256 pass, 257 don't; the last byte decides, and without an end it is over at 256 */
	n = snprintf(s, sizeof(s), "GET / HTTP/1.1\r\n" H "X: %0224d\r\n\r\n", 0);
	ASSERT_EQ(n, 256);
	ASSERT_EQ(whole(&o, s, 255), HTTP_PARSE_MORE);
	ASSERT_EQ(whole(&o, s, 256), HTTP_PARSE_DONE);
	n = snprintf(s, sizeof(s), "GET / HTTP/1.1\r\n" H "X: %0225d\r\n\r\n", 0);
	ASSERT_EQ(whole(&o, s, 256), HTTP_ERROR_HEAD_LARGE);
	any_split(s, (size_t)n);
	/* a request line that has no end is a long target */
	n = snprintf(s, sizeof(s), "GET /%0270d", 0);
	ASSERT_EQ(whole(&o, s, (size_t)n), HTTP_ERROR_TARGET_LONG);
	any_split(s, (size_t)n);
}

TEST(reads_connection_and_expect)
{
	struct outcome o;

	ASSERT_EQ(parse(&o, "GET / HTTP/1.1\r\n" H "Connection: Upgrade ,\tCLOSE\r\n\r\n"), 0);
	ASSERT_TRUE(o.p.close);
	ASSERT_EQ(parse(&o, "GET / HTTP/1.1\r\n" H "Connection: closed, keep-alive\r\n\r\n"), 0);
	ASSERT_FALSE(o.p.close);
	ASSERT_EQ(parse(&o, "PUT / HTTP/1.1\r\n" H "Expect: 100-Continue\r\n\r\n"), 0);
	ASSERT_TRUE(o.p.expect_continue);
	ASSERT_EQ(parse(&o, "PUT / HTTP/1.0\r\n" H "Expect: 100-Continue\r\n\r\n"), 0);
	ASSERT_FALSE(o.p.expect_continue);
}

TEST(a_reset_parser_remembers_nothing)
{
	struct outcome o;

	parse(&o, "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nConnection: close\r\n\r\n");
	http_parser_reset(&o.p);
	o.verdict = http_parser_head(&o.p, "GET / HTTP/1.1\r\n" H "\r\n", 27);
	ASSERT_EQ(o.verdict, HTTP_PARSE_DONE);
	ASSERT_EQ(o.p.content_length, 0);
	ASSERT_EQ(o.p.fields_n, 1);
	ASSERT_FALSE(o.p.close || o.p.has_length);
}

TEST(every_error_has_a_status_a_label_and_a_text)
{
	for (enum http_parse e = HTTP_PARSE_DATA + 1; e < HTTP_PARSE_N; e++) {
		const struct http_error_info *info = http_error_info(e);

		ASSERT_GE(info->status, 400);
		ASSERT_TRUE(strcmp(http_status_reason(info->status), "Status"));
		ASSERT_TRUE(*info->label && *info->text);
	}
}

/* bodies are the server's; here: a head that must be refused is, and every cut agrees */
TEST(framing_corpus)
{
	size_t len;
	char *text = test_read_file(test_data("corpora/http/framing.json"), &len);
	json_t *cases = json_loadb(text, len, JSON_ALLOW_NUL, NULL), *c;
	size_t i;

	ASSERT_TRUE(json_array_size(cases) > 20);
	json_array_foreach(cases, i, c) {
		const json_t *bytes = json_object_get(c, "bytes");
		const char *name = json_string_value(json_object_get(c, "name"));
		const char *expect = json_string_value(json_object_get(c, "expect"));
		struct outcome o;

		any_split(json_string_value(bytes), json_string_length(bytes));
		whole(&o, json_string_value(bytes), json_string_length(bytes));
		if (!strcmp(expect, "accept"))
			ASSERT_EQ(o.verdict, HTTP_PARSE_DONE);
		else if (!strcmp(expect, "refuse") && strncmp(name, "chunk", 5))
			ASSERT_GT(o.verdict, HTTP_PARSE_DATA);
	}
	json_decref(cases);
	free(text);
}
