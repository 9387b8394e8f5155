/* covers services/dispatch/core_frame.c and common/domain/frame.c: what a department may send */
#include "services/dispatch/core_frame.h"
#include "common/base/buf.h"
#include "tests/lib/test.h"

#define UPDATE(k) CENTRALETA__V1__UPDATE_KIND__UPDATE_KIND_##k

static const struct frame_limits limits = {
	.bytes_max = 65536, .ranges_max = 4, .now_us = 1700000000000000, .skew_us = 300000000,
};

/* how a frame is judged: "" = taken, else "code: reason" in a static buffer */
static const char *judge(const void *data, size_t len)
{
	static char text[400];
	struct refusal why;
	_cleanup_(department_frame_freep) Centraleta__V1__DepartmentFrame *f =
		department_frame_take((struct bytes){ data, len }, &limits, &why);

	text[0] = '\0';
	if (!f)
		(void)snprintf(text, sizeof(text), "%s: %s", refused_name(why.code), why.reason);
	return text;
}

static const char *judge_frame(const Centraleta__V1__DepartmentFrame *f)
{
	static uint8_t raw[1 << 17];

	ASSERT_LT(centraleta__v1__department_frame__get_packed_size(f), sizeof(raw));
	return judge(raw, centraleta__v1__department_frame__pack(f, raw));
}

static const char *judge_update(Centraleta__V1__Update *u)
{
	Centraleta__V1__DepartmentFrame f = CENTRALETA__V1__DEPARTMENT_FRAME__INIT;

	f.frame_case = CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_UPDATE;
	f.update = u;
	return judge_frame(&f);
}

static Centraleta__V1__Update good_update(void)
{
	Centraleta__V1__Update u = CENTRALETA__V1__UPDATE__INIT;

	u.update_id = (char *)"w-1.accept";
	u.work_item = 101;
	u.kind = UPDATE(ACCEPT);
	return u;
}

TEST(bytes_that_are_no_frame)
{
	ASSERT_STR_EQ(judge("", 0), "malformed: an empty frame");
	ASSERT_HAS(judge("\xff\xff\xff", 3), "malformed: DepartmentFrame: not a protobuf message");
	ASSERT_HAS(judge("\x0a\x7f", 2), "malformed: "); /* longer than what is there */
	ASSERT_HAS(judge("\x0b\x0c", 2), "malformed: "); /* groups */
	ASSERT_HAS(judge("\x08\x01", 2), "is of another type");
	ASSERT_STR_EQ(judge("\xfa\x01\x00", 3), "unknown_frame: a frame that this version doesn't know");
}

TEST(one_frame_a_message)
{
	/* ping and bye: the last would win */
	ASSERT_HAS(judge("\x32\x00\x3a\x00", 4), "malformed: DepartmentFrame.bye: comes more than once");
	ASSERT_STR_EQ(judge("\x32\x00", 2), "");
}

TEST(strings_are_utf8_without_nul)
{
	ASSERT_HAS(judge("\x0a\x05\x12\x03"
			 "a\0b",
			 7),
		   "malformed: Hello.consumer: not valid UTF-8, or has a NUL");
	ASSERT_HAS(judge("\x0a\x04\x12\x02\xc0\x80", 6), "malformed: Hello.consumer");
}

TEST(too_large_is_said_before_it_is_read)
{
	static const uint8_t raw[65537] = { 0 };

	ASSERT_STR_EQ(judge(raw, sizeof(raw)), "too_large: 65537 bytes, at most 65536 are taken");
}

TEST(a_bomb_of_empty_messages)
{
	_cleanup_(buf_fini) struct buf b = BUF_INIT;

	buf_str(&b, "\x1a\xf0\xaf\x01"); /* ack of 22,512 bytes: 11,256 empty ranges */
	for (int i = 0; i < 11256; i++)
		buf_add(&b, "\x12\x00", 2);
	ASSERT_HAS(judge(b.data, b.len), "malformed: Ack.ranges: comes too often");
}

TEST(unknown_fields_of_a_newer_client_pass_up_to_a_cap)
{
	static uint8_t raw[8192] = { 0x32, 0x00, 0xfa, 0x01, 0x80, 0x3e }; /* ping, then field 31 */

	ASSERT_STR_EQ(judge("\x32\x00\xf8\x01\x05", 5), "");
	ASSERT_HAS(judge(raw, 6 + 7935), "not a protobuf message");
	ASSERT_HAS(judge(raw, 6 + 7936), "too many unknown fields");
}

TEST(hello)
{
	static const struct {
		const char *consumer, *service, *want;
	} cases[] = {
		{ "crew-1", "potholes", "" },
		{ "", "potholes", "invalid: consumer: " },
		{ "crew 1", "potholes", "invalid: consumer: " },
		{ "0123456789012345678901234567890123456789012345678901234567890123x", "a",
		  "invalid: consumer: " },
		{ "crew-1", "Pot/holes", "invalid: services[0]: not a slug" },
	};

	FOREACH(c, cases) {
		Centraleta__V1__Hello h = CENTRALETA__V1__HELLO__INIT;
		Centraleta__V1__DepartmentFrame f = CENTRALETA__V1__DEPARTMENT_FRAME__INIT;
		char *services[] = { (char *)c->service };

		h.api_key = (char *)"k";
		h.consumer = (char *)c->consumer;
		h.services = services;
		h.n_services = 1;
		f.frame_case = CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_HELLO;
		f.hello = &h;
		if (*c->want)
			ASSERT_HAS(judge_frame(&f), c->want);
		else
			ASSERT_STR_EQ(judge_frame(&f), "");
	}
}

static const char *judge_ack(size_t n, int64_t first, int64_t last)
{
	Centraleta__V1__DseqRange one = CENTRALETA__V1__DSEQ_RANGE__INIT, *all[8];
	Centraleta__V1__Ack a = CENTRALETA__V1__ACK__INIT;
	Centraleta__V1__DepartmentFrame f = CENTRALETA__V1__DEPARTMENT_FRAME__INIT;

	one.first = first;
	one.last = last;
	for (size_t i = 0; i < n; i++)
		all[i] = &one;
	a.ranges = all;
	a.n_ranges = n;
	f.frame_case = CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_ACK;
	f.ack = &a;
	return judge_frame(&f);
}

TEST(acknowledgements)
{
	ASSERT_STR_EQ(judge_ack(4, 3, 3), "");
	ASSERT_HAS(judge_ack(5, 3, 3), "invalid: ranges: more than 4");
	ASSERT_HAS(judge_ack(0, 3, 3), "invalid: ranges: none given");
	ASSERT_HAS(judge_ack(1, 0, 3), "invalid: ranges[0]: ");
	ASSERT_HAS(judge_ack(1, -5, -5), "invalid: ranges[0]: ");
	ASSERT_HAS(judge_ack(1, 4, 3), "invalid: ranges[0]: ");
}

TEST(credit_and_replay_are_positive)
{
	ASSERT_STR_EQ(judge("\x12\x02\x08\x01", 4), "");
	ASSERT_STR_EQ(judge("\x12\x00", 2), "invalid: more: must be 1 or more");
	ASSERT_STR_EQ(judge("\x2a\x02\x08\x01", 4), "invalid: from: must be 1 or more");
}

TEST(updates_name_the_field_that_is_wrong)
{
	Centraleta__V1__Update u = good_update();

	ASSERT_STR_EQ(judge_update(&u), "");
	u.update_id = (char *)"";
	ASSERT_HAS(judge_update(&u), "invalid: update_id: ");
	u = good_update();
	u.work_item = 0;
	ASSERT_STR_EQ(judge_update(&u), "invalid: work_item: missing");
	u = good_update();
	u.kind = UPDATE(UNSPECIFIED);
	ASSERT_HAS(judge_update(&u), "invalid: kind: ");
	u.kind = (Centraleta__V1__UpdateKind)77;
	ASSERT_HAS(judge_update(&u), "invalid: kind: ");
	u = good_update();
	u.outcome = (Centraleta__V1__Outcome)99;
	ASSERT_STR_EQ(judge_update(&u), "invalid: outcome: unknown");
	u.outcome = CENTRALETA__V1__OUTCOME__OUTCOME_DONE;
	ASSERT_HAS(judge_update(&u), "invalid: outcome: a RESOLVE has one");
}

TEST(each_kind_has_what_it_needs)
{
	Centraleta__V1__Update u = good_update();

	u.kind = UPDATE(RESOLVE);
	ASSERT_HAS(judge_update(&u), "invalid: outcome: ");
	u.outcome = CENTRALETA__V1__OUTCOME__OUTCOME_DONE;
	ASSERT_STR_EQ(judge_update(&u), "");
	u = good_update();
	u.kind = UPDATE(REFUSE);
	ASSERT_HAS(judge_update(&u), "invalid: reason: ");
	u.reason = CENTRALETA__V1__REFUSE_REASON__REFUSE_REASON_WRONG_PLACE;
	ASSERT_STR_EQ(judge_update(&u), "");
	u = good_update();
	u.kind = UPDATE(NOTE);
	ASSERT_STR_EQ(judge_update(&u), "invalid: note: a NOTE needs one");
	u.note = (char *)"on our way";
	ASSERT_STR_EQ(judge_update(&u), "");
}

TEST(a_note_is_measured_in_characters)
{
	Centraleta__V1__Update u = good_update();
	_cleanup_(buf_fini) struct buf b = BUF_INIT;

	for (int i = 0; i < NOTE_MAX; i++)
		buf_str(&b, "\xc3\xa7");
	u.note = b.data;
	ASSERT_STR_EQ(judge_update(&u), "");
	buf_ch(&b, '!');
	u.note = b.data;
	ASSERT_STR_EQ(judge_update(&u), "invalid: note: longer than 4000 characters");
}

TEST(times_are_sane)
{
	Centraleta__V1__Update u = good_update();

	u.occurred_at_us = limits.now_us + limits.skew_us;
	ASSERT_STR_EQ(judge_update(&u), "");
	u.occurred_at_us++;
	ASSERT_STR_EQ(judge_update(&u), "invalid: occurred_at_us: in the future");
	u.occurred_at_us = 1700000000; /* seconds */
	ASSERT_HAS(judge_update(&u), "invalid: occurred_at_us: before the year 2000");
	u.occurred_at_us = -1;
	ASSERT_HAS(judge_update(&u), "invalid: occurred_at_us: before the year 2000");
}

/* whatever is changed in a good frame: it is judged, under the sanitizers, and never unpacked wrong */
TEST(damaged_frames)
{
	Centraleta__V1__DepartmentFrame f = CENTRALETA__V1__DEPARTMENT_FRAME__INIT;
	Centraleta__V1__Update u = good_update();
	uint8_t raw[256], damaged[256];
	uint32_t seed = 1;
	size_t len;

	u.note = (char *)"l'\xc3\xa0rea \xe2\x82\xac";
	f.frame_case = CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_UPDATE;
	f.update = &u;
	len = centraleta__v1__department_frame__pack(&f, raw);
	for (int i = 0; i < 20000; i++) {
		memcpy(damaged, raw, len);
		for (int k = 0; k <= i % 3; k++) {
			seed = seed * 1664525u + 1013904223u;
			damaged[(seed >> 8) % len] = (uint8_t)(seed >> 24);
		}
		(void)judge(damaged, i % 7 ? len : (seed >> 8) % len);
	}
}
