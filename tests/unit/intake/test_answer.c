/* covers services/intake/core_render.c, core_query.c, core_text.c, core_guess.c; no clock, no network */
#include <jansson.h>
#include "services/intake/core_guess.h"
#include "services/intake/core_query.h"
#include "services/intake/core_render.h"
#include "tests/unit/intake/fixture.h"

/* ---- render ---------------------------------------------------------------------------------- */

static const struct public_row row = {
	.request = 4202, .offer = 101, .department = 12, .state = 5, .outcome = 1, .has_place = true,
	.lat = 42.3, .lng = -71.1, .description = "a <b> & \"c\"", .address = "", .address_id = NULL,
	.media_url = "", .requested_at_us = NOW_US, .updated_at_us = NOW_US + 1000000,
	.expected_at_us = NOW_US,
};

static void one_row(struct catalog *c, enum format f, struct buf *out)
{
	struct render *w;

	ASSERT_OK(render_requests_begin(&w, out, f));
	render_request(w, c, catalog_town(c, 1), &row);
	render_requests_end(w);
	ASSERT_OK(buf_err(out));
}

TEST(a_request_in_json)
{
	struct catalog *c = fixture_catalog();
	struct buf out = BUF_INIT;

	one_row(c, FORMAT_JSON, &out);
	ASSERT_STR_EQ(out.data,
		      "[{\"service_request_id\":\"4202\",\"status\":\"closed\",\"status_notes\":\"Done.\","
		      "\"service_name\":\"Pothole\",\"service_code\":\"pot/hole+&\","
		      "\"description\":\"a <b> & \\\"c\\\"\",\"agency_responsible\":\"Roads & Bridges\","
		      "\"service_notice\":\"We look at it.\",\"requested_datetime\":\"2026-03-29T01:30:00Z\","
		      "\"updated_datetime\":\"2026-03-29T01:30:01Z\","
		      "\"expected_datetime\":\"2026-03-29T01:30:00Z\",\"address\":null,\"address_id\":null,"
		      "\"zipcode\":null,\"lat\":42.3,\"long\":-71.1,\"media_url\":null}]");
	buf_fini(&out);
	catalog_unref(c);
}

TEST(a_request_in_xml)
{
	struct catalog *c = fixture_catalog();
	struct buf out = BUF_INIT;

	one_row(c, FORMAT_XML, &out);
	ASSERT_HAS(out.data, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
	ASSERT_HAS(out.data, "<service_requests><request><service_request_id>4202</service_request_id>");
	ASSERT_HAS(out.data, "<description>a &lt;b&gt; &amp; ");
	ASSERT_HAS(out.data, "<zipcode/>");
	buf_fini(&out);
	catalog_unref(c);
}

TEST(empty_lists)
{
	struct buf out = BUF_INIT;
	struct render *w;

	ASSERT_OK(render_requests_begin(&w, &out, FORMAT_JSON));
	render_requests_end(w);
	ASSERT_STR_EQ(out.data, "[]");
	buf_reset(&out);
	ASSERT_OK(render_requests_begin(&w, &out, FORMAT_XML));
	render_requests_end(w);
	ASSERT_HAS(out.data, "<service_requests/>");
	buf_fini(&out);
}

TEST(a_definition_is_an_object)
{
	struct catalog *c = fixture_catalog();
	struct buf out = BUF_INIT;

	render_definition(&out, FORMAT_JSON, catalog_offer(c, 101));
	ASSERT_HAS(out.data, "{\"service_code\":\"pot/hole+&\",\"attributes\":[{\"variable\":true,"
			     "\"code\":\"SIZE\",\"datatype\":\"singlevaluelist\",\"required\":true,"
			     "\"datatype_description\":null,\"order\":1,\"description\":\"\","
			     "\"values\":[{\"key\":\"s\",\"name\":\"Small\"}");
	/* what is only shown is never required (G54) */
	ASSERT_HAS(out.data, "\"code\":\"INFO\",\"datatype\":\"text\",\"required\":false");
	buf_reset(&out);
	render_definition(&out, FORMAT_JSON, catalog_offer(c, 201));
	ASSERT_STR_EQ(out.data, "{\"service_code\":\"clot\",\"attributes\":[]}");
	buf_fini(&out);
	catalog_unref(c);
}

TEST(services_leave_retired_ones_out)
{
	struct catalog *c = fixture_catalog();
	struct buf out = BUF_INIT;

	render_services(&out, FORMAT_JSON, catalog_town(c, 1));
	ASSERT_STR_EQ(out.data, "[{\"service_code\":\"pot/hole+&\",\"service_name\":\"Pothole\","
				"\"description\":\"\",\"metadata\":true,\"type\":\"realtime\","
				"\"keywords\":\"\",\"group\":\"\"}]");
	buf_fini(&out);
	catalog_unref(c);
}

TEST(discovery_names_the_endpoint)
{
	const struct discovery d = { .contact = "x@y.example", .key_service = "ask", .base_url = "http://h",
				     .endpoint_type = "test" };
	struct catalog *c = fixture_catalog();
	struct buf out = BUF_INIT;
	json_t *j;

	catalog_saw_time(c, NOW_US);
	render_discovery(&out, FORMAT_JSON, c, &d);
	j = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
	ASSERT_NOT_NULL(j);
	ASSERT_STR_EQ(json_string_value(json_object_get(j, "changeset")),
		      "2026-03-29T01:30:00.000007Z");
	json_t *e = json_array_get(json_object_get(j, "endpoints"), 0);

	ASSERT_STR_EQ(json_string_value(json_object_get(e, "url")), "http://h/open311/v2");
	ASSERT_STR_EQ(json_string_value(json_array_get(json_object_get(e, "formats"), 0)), "text/xml");
	json_decref(j);
	buf_reset(&out);
	render_discovery(&out, FORMAT_XML, c, &d);
	ASSERT_HAS(out.data, "<formats><format>text/xml</format>");
	buf_fini(&out);
	catalog_unref(c);
}

TEST(errors_in_both_formats)
{
	struct field_errors e = { .n = 0 };
	struct buf out = BUF_INIT;

	field_errors_add(&e, "lat", FAULT_OUTSIDE, 0);
	field_errors_add(&e, "email", FAULT_EMAIL, 0);
	render_field_errors(&out, FORMAT_JSON, &e, LANG_EN, "Boston");
	ASSERT_STR_EQ(out.data, "[{\"code\":\"outside:lat\",\"description\":\"The place is outside the area "
				"that Boston serves.\"},{\"code\":\"invalid:email\",\"description\":\"email "
				"is not a mail address.\"}]");
	buf_reset(&out);
	render_error(&out, FORMAT_XML, "x", "a<b");
	ASSERT_HAS(out.data, "<errors><error><code>x</code><description>a&lt;b</description></error></errors>");
	buf_fini(&out);
}

TEST(the_code_is_told_on_wish_only)
{
	struct buf out = BUF_INIT;

	render_posted(&out, FORMAT_JSON, "42", "", "", NULL);
	ASSERT_STR_EQ(out.data, "[{\"service_request_id\":\"42\",\"service_notice\":null,\"account_id\":null}]");
	buf_reset(&out);
	render_posted(&out, FORMAT_JSON, "42", "n", "a", "C");
	ASSERT_STR_EQ(out.data, "[{\"service_request_id\":\"42\",\"service_notice\":\"n\",\"account_id\":\"a\","
				"\"extended_attributes\":{\"code\":\"C\"}}]");
	buf_fini(&out);
}

/* ---- queries --------------------------------------------------------------------------------- */

#define DAY INT64_C(86400000000)

static bool query(struct catalog *c, const char *text, struct request_query *q, struct field_errors *e)
{
	struct http_form form;

	ASSERT_OK(http_form_parse(&form, text, strlen(text), FORM_PAIRS_MAX));
	e->n = 0;
	bool ok = query_read(q, &form, c, catalog_town(c, 1), NOW_US, e);

	http_form_fini(&form);
	return ok;
}

TEST(windows)
{
	static const struct { const char *text; int64_t from, to; } good[] = {
		{ "", NOW_US - 90 * DAY, INT64_MAX },
		{ "start_date=&end_date=", NOW_US - 90 * DAY, INT64_MAX },
		{ "start_date=2026-03-29T01:30:00Z", NOW_US, NOW_US + 90 * DAY },
		{ "end_date=2026-03-29T03:30:00%2B02:00", NOW_US - 90 * DAY, NOW_US },
		{ "start_date=2026-03-29T01:30:00Z&end_date=2026-06-27T01:30:00Z", NOW_US, NOW_US + 90 * DAY },
	};
	static const struct { const char *text, *codes; } bad[] = {
		{ "start_date=2026-03-29T01:30:00", "invalid:start_date" },
		{ "start_date=2026-03-29T01:30:00Z&end_date=2026-06-27T01:30:01Z", "invalid:end_date" },
		{ "start_date=2026-03-29T01:30:01Z&end_date=2026-03-29T01:30:00Z", "invalid:end_date" },
		{ "status=opened&service_code=nope&page=-1", "invalid:page" },
		{ "status=opened&service_code=nope", "unknown:service_code,invalid:status" },
		{ "page_size=1001", "invalid:page_size" },
		{ "service_request_id=4202,x", "invalid:service_request_id" },
	};
	static struct request_query q;
	struct catalog *c = fixture_catalog();
	struct field_errors e;

	FOREACH(t, good) {
		ASSERT_TRUE(query(c, t->text, &q, &e));
		ASSERT_EQ(q.from_us, t->from);
		ASSERT_EQ(q.to_us, t->to);
		ASSERT_TRUE(q.open && q.closed);
	}
	FOREACH(t, bad) {
		ASSERT_FALSE(query(c, t->text, &q, &e));
		ASSERT_STR_EQ(fixture_codes(&e), t->codes);
	}
	catalog_unref(c);
}

TEST(ids_override_the_rest)
{
	static struct request_query q;
	struct catalog *c = fixture_catalog();
	struct field_errors e;

	ASSERT_TRUE(query(c, "service_request_id=4202,+77,,4299&status=nonsense&start_date=x", &q, &e));
	ASSERT_EQ(q.ids_n, 3);
	ASSERT_EQ(q.ids[0], 4202);
	ASSERT_EQ(q.ids[1], 0); /* lane 77: no such request can be */
	ASSERT_TRUE(query(c, "status=closed&service_code=pot%2Fhole%2B%26&page=0&page_size=20", &q, &e));
	ASSERT_TRUE(q.closed && !q.open);
	ASSERT_EQ(q.offers_n, 1);
	ASSERT_EQ(q.page, 1);
	ASSERT_EQ(q.page_size, 20);
	catalog_unref(c);
}

TEST(the_next_page_keeps_the_filters)
{
	static const char text[] = "status=open&page=2&api_key=secret&service_code=a%26b";
	struct http_form form;
	struct buf out = BUF_INIT;

	ASSERT_OK(http_form_parse(&form, text, strlen(text), 16));
	query_write_page(&form, 3, &out);
	ASSERT_STR_EQ(out.data, "status=open&service_code=a%26b&page=3");
	http_form_fini(&form);
	buf_fini(&out);
}

/* ---- languages, guesses ---------------------------------------------------------------------- */

TEST(picks_the_best_language)
{
	ASSERT_EQ(lang_accept("fr, ca;q=0.5, es-MX;q=0.8", LANG_EN), LANG_ES);
	ASSERT_EQ(lang_accept("ca", LANG_EN), LANG_CA);
	ASSERT_EQ(lang_accept("de,fr", LANG_EN), LANG_EN);
	ASSERT_EQ(lang_accept(NULL, LANG_CA), LANG_CA);
	ASSERT_EQ(lang_accept(",;q=,", LANG_EN), LANG_EN);
	ASSERT_EQ(lang_accept("es;q=0, en;q=0.1", LANG_CA), LANG_EN);
}

TEST(wrong_codes_are_limited_by_address_and_in_all)
{
	static struct guess g;

	g = (struct guess){ .address_max = 3, .total_max = 5, .salt = 1 };
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(guess_allowed(&g, "192.0.2.1", 1000000));
		guess_wrong(&g, "192.0.2.1", 1000000);
	}
	ASSERT_FALSE(guess_allowed(&g, "192.0.2.1", 1000001));
	ASSERT_TRUE(guess_allowed(&g, "192.0.2.2", 1000001));
	guess_wrong(&g, "2001:db8::1", 1000001);
	guess_wrong(&g, "2001:db8::2", 1000001); /* the same /64 */
	ASSERT_FALSE(guess_allowed(&g, "192.0.2.2", 1000002)); /* five in all */
	ASSERT_TRUE(guess_allowed(&g, "192.0.2.1", 1000000 + GUESS_WINDOW_MS));
}
