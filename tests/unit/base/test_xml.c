/* covers common/base/xml.c; libxml2's parser reads what was written */
#include <errno.h>
#include <libxml/parser.h>
#include "common/base/xml.h"
#include "tests/lib/test.h"

static void begin(struct xml **ret, struct buf *out)
{
	ASSERT_OK(xml_new(ret, out));
}

TEST(a_document)
{
	_cleanup_(buf_fini) struct buf out = BUF_INIT;
	_cleanup_(xml_freep) struct xml *x = NULL;

	begin(&x, &out);
	xml_open(x, "requests");
	xml_open(x, "request");
	xml_int(x, "service_request_id", 123407);
	xml_text(x, "description", "<b> & \"q\" ñ");
	xml_text(x, "address", NULL);
	xml_real(x, "lat", 41.385063889);
	xml_time(x, "requested_datetime", 1774747800000000);
	xml_time(x, "expected_datetime", 0);
	xml_close(x);
	xml_close(x);
	ASSERT_OK(xml_end(x));
	ASSERT_STR_EQ(out.data,
		      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<requests><request>"
		      "<service_request_id>123407</service_request_id>"
		      "<description>&lt;b&gt; &amp; &quot;q&quot; ñ</description><address/>"
		      "<lat>41.385063889</lat>"
		      "<requested_datetime>2026-03-29T01:30:00Z</requested_datetime>"
		      "<expected_datetime/></request></requests>\n");
}

static void check_text(const char *s, const char *want)
{
	_cleanup_(buf_fini) struct buf out = BUF_INIT;
	_cleanup_(xml_freep) struct xml *x = NULL;
	xmlChar *content;
	xmlDocPtr doc;

	begin(&x, &out);
	xml_text(x, "t", s);
	ASSERT_OK(xml_end(x));
	doc = xmlReadMemory(out.data, (int)out.len, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR);
	if (!doc)
		TEST_FAIL("not well-formed: %s", out.data);
	content = xmlNodeGetContent(xmlDocGetRootElement(doc));
	ASSERT_STR_EQ((const char *)content, want);
	xmlFree(content);
	xmlFreeDoc(doc);
}

TEST(what_xml_cannot_carry_is_replaced)
{
	check_text("plain", "plain");
	check_text("tab\tline\n", "tab\tline\n");
	check_text("\x01" "a\x1b[0m", "\xef\xbf\xbd" "a\xef\xbf\xbd[0m");
	check_text("\xef\xbf\xbe|\xef\xbf\xbf", "\xef\xbf\xbd|\xef\xbf\xbd");
	check_text("🕳 ]]> &amp;", "🕳 ]]> &amp;");
	check_text("Espa\xf1" "a", "Espa\xef\xbf\xbd" "a");
	check_text("cr\rlf", "cr\rlf");
}

TEST(a_full_buffer_is_told)
{
	_cleanup_(buf_fini) struct buf out = BUF_INIT;
	_cleanup_(xml_freep) struct xml *x = NULL;

	begin(&x, &out);
	out.err = -E2BIG;
	xml_text(x, "t", "text");
	ASSERT_EQ(xml_end(x), -E2BIG);
}

TEST(an_unfinished_document_is_let_go)
{
	_cleanup_(buf_fini) struct buf out = BUF_INIT;
	struct xml *x;
	size_t len;

	begin(&x, &out);
	xml_open(x, "a");
	xml_text(x, "b", "c");
	len = out.len;
	xml_free(x);
	ASSERT_EQ(out.len, len);
	xml_free(NULL);
}
