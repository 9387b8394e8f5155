/* covers services/intake/core_view.c, core_story.c and core_page.c; no clock, no network */
#include <errno.h>
#include "services/intake/core_page.h"
#include "services/intake/core_view.h"
#include "tests/unit/intake/fixture.h"
#include "centraleta/v1/event.pb-c.h"

#define TYPE(name) CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_##name

static uint8_t memory[16][512];
static unsigned used;

static struct bytes packed(const ProtobufCMessage *m)
{
	uint8_t *p = memory[used++ % ARRAY_SIZE(memory)];

	return (struct bytes){ p, protobuf_c_message_pack(m, p) };
}

static struct bytes routed(int department, int64_t deadline_us)
{
	Centraleta__V1__RequestRouted m = CENTRALETA__V1__REQUEST_ROUTED__INIT;

	m.department = department;
	m.deadline_us = deadline_us;
	return packed(&m.base);
}

static struct bytes changed(int state, int outcome, int64_t occurred_us)
{
	Centraleta__V1__RequestChanged m = CENTRALETA__V1__REQUEST_CHANGED__INIT;

	m.state = (Centraleta__V1__RequestState)state;
	m.outcome = (Centraleta__V1__Outcome)outcome;
	m.department = 12;
	m.occurred_at_us = occurred_us;
	return packed(&m.base);
}

TEST(a_batch_becomes_one_change_a_request)
{
	struct view v;

	ASSERT_OK(view_init(&v, 8));
	ASSERT_OK(view_add(&v, TYPE(ROUTED), 900, 10, routed(12, 77)));
	ASSERT_OK(view_add(&v, TYPE(ROUTED), 500, 11, routed(11, 78)));
	ASSERT_OK(view_add(&v, TYPE(ACCEPTED), 900, 12, changed(3, 0, 12)));
	ASSERT_OK(view_add(&v, TYPE(RESOLVED), 900, 20, changed(5, 2, 15)));
	ASSERT_OK(view_add(&v, TYPE(REFUSED), 500, 13, changed(1, 0, 12)));
	view_sort(&v);
	ASSERT_EQ(v.n, 2);
	ASSERT_EQ(v.changes[0].request, 500);
	ASSERT_EQ(v.changes[0].state, 1);
	ASSERT_EQ(v.changes[0].updated_at_us, 13);
	ASSERT_EQ(v.changes[1].department, 12);
	ASSERT_EQ(v.changes[1].expected_at_us, 77);
	ASSERT_EQ(v.changes[1].state, 5);
	ASSERT_EQ(v.changes[1].outcome, 2);
	ASSERT_EQ(v.changes[1].updated_at_us, 15); /* the moment of closing */
	view_fini(&v);
}

TEST(a_broken_body_is_told)
{
	struct view v;

	ASSERT_OK(view_init(&v, 2));
	ASSERT_EQ(view_add(&v, TYPE(ROUTED), 1, 1, (struct bytes){ (const uint8_t *)"\xff\xff", 2 }), -EBADMSG);
	view_fini(&v);
}

static void tell(struct story *s, struct catalog *c)
{
	Centraleta__V1__RequestReceived m = CENTRALETA__V1__REQUEST_RECEIVED__INIT;

	m.requested_at_us = NOW_US - 100000000;
	ASSERT_OK(story_event(s, c, TYPE(RECEIVED), 1, NOW_US, packed(&m.base)));
	ASSERT_OK(story_event(s, c, TYPE(ROUTED), 2, NOW_US, routed(12, NOW_US)));
	ASSERT_OK(story_event(s, c, 63, 3, NOW_US, (struct bytes){ NULL, 0 })); /* of later times */
	ASSERT_OK(story_event(s, c, TYPE(RESOLVED), 4, NOW_US + 2000000, changed(5, 1, NOW_US + 2000000)));
	ASSERT_OK(story_note(s, c, 12, "<script>alert(1)</script>", NOW_US + 1000000));
	story_sort(s);
}

TEST(a_story_in_order)
{
	static struct story s;
	struct catalog *c = fixture_catalog();

	tell(&s, c);
	ASSERT_EQ(s.n, 4);
	ASSERT_EQ(s.steps[0].text, TEXT_PAGE_STORY_RECEIVED);
	ASSERT_STR_EQ(s.steps[1].who, "Roads & Bridges");
	ASSERT_EQ(s.steps[2].text, TEXT_PAGE_STORY_NOTE);
	ASSERT_EQ(s.steps[3].outcome, TEXT_OUTCOME_DONE);
	ASSERT_EQ(s.closing_seq, 4);
	ASSERT_FALSE(s.answered);
	Centraleta__V1__RequestSurveyAnswered m = CENTRALETA__V1__REQUEST_SURVEY_ANSWERED__INIT;

	m.closing_seq = 4;
	ASSERT_OK(story_event(&s, c, TYPE(SURVEY_ANSWERED), 5, NOW_US, packed(&m.base)));
	ASSERT_TRUE(s.answered);
	story_fini(&s);
	catalog_unref(c);
}

TEST(the_page_escapes_what_was_typed)
{
	static struct story s;
	struct catalog *c = fixture_catalog();
	const struct public_row row = {
		.request = 4202, .offer = 101, .department = 12, .state = 5, .outcome = 1,
		.description = "\"><img src=x>", .address = "Main & 1st",
		.media_url = "https://x.example/\"onmouseover=", .requested_at_us = NOW_US,
		.updated_at_us = NOW_US, .expected_at_us = NOW_US,
	};
	const struct page_request p = { .code = "AAAA-BBBB-CCCC", .town = catalog_town(c, 1), .row = &row,
					.story = &s, .now_us = NOW_US };
	struct buf out = BUF_INIT;

	tell(&s, c);
	page_request(&out, LANG_CA, c, &p);
	ASSERT_OK(buf_err(&out));
	ASSERT_NULL(strstr(out.data, "<script"));
	ASSERT_NULL(strstr(out.data, "<img"));
	ASSERT_NULL(strstr(out.data, "/\"onmouseover"));
	ASSERT_HAS(out.data, "<html lang=\"ca\">");
	ASSERT_HAS(out.data, "Roads &amp; Bridges");
	ASSERT_HAS(out.data, "2026-03-28 21:30"); /* the town's clock, not the server's */
	ASSERT_HAS(out.data, "/r/AAAA-BBBB-CCCC/survey?lang=ca");
	story_fini(&s);
	buf_fini(&out);
	catalog_unref(c);
}

TEST(every_page_in_every_language)
{
	struct catalog *c = fixture_catalog();
	struct buf out = BUF_INIT;

	for (unsigned i = 0; i < LANG_N; i++) {
		enum lang l = (enum lang)i;

		buf_reset(&out);
		page_ask(&out, l, TEXT_PAGE_ASK_WRONG);
		ASSERT_HAS(out.data, "role=\"alert\"");
		ASSERT_HAS(out.data, "<label for=\"code\">");
		buf_reset(&out);
		page_survey(&out, l, "AAAA-BBBB-CCCC", TEXT_PAGE_SURVEY_BAD_COMMENT, 7, "</textarea>");
		ASSERT_HAS(out.data, "value=\"7\" required checked");
		ASSERT_HAS(out.data, "&lt;/textarea&gt;");
		ASSERT_HAS(out.data, "2000");
		buf_reset(&out);
		page_home(&out, l, c);
		ASSERT_HAS(out.data, "girona.cat");
		buf_reset(&out);
		page_message(&out, l, TEXT_PAGE_SURVEY_TITLE, TEXT_PAGE_SURVEY_THANKS, "AAAA-BBBB-CCCC");
		ASSERT_HAS(out.data, text_get(l, TEXT_PAGE_SURVEY_THANKS));
		ASSERT_OK(buf_err(&out));
	}
	buf_fini(&out);
	catalog_unref(c);
}
