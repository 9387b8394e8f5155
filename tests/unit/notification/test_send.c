/* covers core.c, core_backoff.c, core_outbox.c and core_talk.c */
#include "services/notification/core.h"

#include <errno.h>

#include "services/notification/core_backoff.h"
#include "services/notification/core_outbox.h"
#include "services/notification/core_talk.h"
#include "tests/lib/test.h"

#define SENT CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_SENT
#define FAILED CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_FAILED
#define UNCERTAIN CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_UNCERTAIN
#define UNDELIVERABLE CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_UNDELIVERABLE

/* ---- verdicts ----------------------------------------------------------------------------------- */

TEST(what_became_of_an_attempt)
{
	static const struct {
		struct smtp_end end;
		struct verdict want;
	} cases[] = {
		{ { .complete = true, .stage = SMTP_BODY, .code = 250 }, { .state = SENT } },
		/* nobody answers, or the server is in trouble */
		{ { .stage = SMTP_CONNECT }, { .state = FAILED, .blame_relay = true } },
		{ { .stage = SMTP_CONNECT, .code = 554 }, { .state = FAILED, .blame_relay = true } },
		{ { .stage = SMTP_HELLO, .code = 421 }, { .state = FAILED, .blame_relay = true } },
		{ { .stage = SMTP_MAIL, .code = 452 }, { .state = FAILED, .blame_relay = true } },
		{ { .stage = SMTP_MAIL, .code = 553 }, { .state = FAILED } },
		/* the connection died before the message */
		{ { .stage = SMTP_RCPT, .code = 250 }, { .state = FAILED, .blame_relay = true } },
		{ { .stage = SMTP_DATA, .code = 354 }, { .state = FAILED, .blame_relay = true } },
		{ { .stage = SMTP_MAIL, .reused = true }, { .state = FAILED, .at_once = true } },
		/* the recipient's side */
		{ { .stage = SMTP_RCPT, .code = 450 }, { .state = FAILED, .blame_domain = true } },
		{ { .stage = SMTP_RCPT, .code = 550 }, { .state = UNDELIVERABLE } },
		{ { .stage = SMTP_DATA, .code = 554 }, { .state = UNDELIVERABLE } },
		{ { .stage = SMTP_BODY, .code = 451 }, { .state = FAILED, .blame_domain = true } },
		{ { .stage = SMTP_BODY, .code = 554 }, { .state = UNDELIVERABLE } },
		/* died behind the first byte without a word */
		{ { .stage = SMTP_BODY, .code = 354 }, { .state = UNCERTAIN } },
		{ { .stage = SMTP_BODY, .code = 354, .reused = true }, { .state = UNCERTAIN } },
		/* our own last check */
		{ { .stage = SMTP_DATA, .code = 354, .withheld = true }, { .state = FAILED, .at_once = true } },
	};

	FOREACH(c, cases) {
		struct verdict got = core_verdict(&c->end, 1, 5);

		ASSERT_EQ(got.state, c->want.state);
		ASSERT_EQ(got.at_once, c->want.at_once);
		ASSERT_EQ(got.blame_relay, c->want.blame_relay);
		ASSERT_EQ(got.blame_domain, c->want.blame_domain);
	}
}

TEST(the_last_failure_is_final)
{
	const struct smtp_end later = { .stage = SMTP_RCPT, .code = 450 };
	const struct smtp_end lost = { .stage = SMTP_BODY };

	ASSERT_EQ(core_verdict(&later, 4, 5).state, FAILED);
	ASSERT_EQ(core_verdict(&later, 5, 5).state, UNDELIVERABLE);
	ASSERT_EQ(core_verdict(&lost, 5, 5).state, UNCERTAIN);
}

/* ---- events -------------------------------------------------------------------------------------- */

static Centraleta__V1__MessageKind kind_of(Centraleta__V1__RequestState state)
{
	Centraleta__V1__RequestChanged m = CENTRALETA__V1__REQUEST_CHANGED__INIT;
	Centraleta__V1__MessageKind kind;
	Centraleta__V1__Outcome outcome;
	uint8_t body[64];

	m.state = state;
	m.outcome = CENTRALETA__V1__OUTCOME__OUTCOME_NOT_FOUND;
	struct bytes b = { body, centraleta__v1__request_changed__pack(&m, body) };

	ASSERT_OK(core_message_of_event(CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RESOLVED, b, &kind));
	ASSERT_OK(core_outcome_of_event(b, &outcome));
	ASSERT_EQ(outcome, CENTRALETA__V1__OUTCOME__OUTCOME_NOT_FOUND);
	return kind;
}

TEST(what_an_event_asks_for)
{
	const struct bytes none = { (const uint8_t *)"", 0 };
	const struct bytes bad = { (const uint8_t *)"\xff\xff", 2 };
	Centraleta__V1__MessageKind kind;

	ASSERT_OK(core_message_of_event(CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RECEIVED, none, &kind));
	ASSERT_EQ(kind, CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RECEIVED);
	ASSERT_EQ(kind_of(CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_CLOSED),
		  CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RESOLVED);
	/* one of two departments is done: not yet */
	ASSERT_EQ(kind_of(CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_IN_PROGRESS),
		  CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_UNSPECIFIED);
	ASSERT_OK(core_message_of_event(CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_IMPORTED, none, &kind));
	ASSERT_EQ(kind, CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_UNSPECIFIED);
	ASSERT_EQ(core_message_of_event(CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RESOLVED, bad, &kind),
		  -EBADMSG);
}

/* ---- back-off -------------------------------------------------------------------------------------- */

TEST(doubles_until_the_cap)
{
	static const struct { unsigned failures; uint32_t random; uint64_t want_ms; } cases[] = {
		{ 0, 65535, 0 }, { 1, 65535, 100 }, { 1, 0, 75 }, { 2, 65535, 200 }, { 4, 65535, 800 },
		{ 5, 65535, 1000 }, { 4000000000u, 65535, 1000 }, { 4000000000u, 0, 750 },
	};
	const struct backoff b = { .base_ms = 100, .cap_ms = 1000 };

	FOREACH(c, cases)
		ASSERT_EQ(backoff_delay_ms(&b, c->failures, c->random), c->want_ms);
}

TEST(destinations_wait_and_are_bounded)
{
	const struct backoff b = { .base_ms = 100, .cap_ms = 1000 };
	struct penalties *p;

	ASSERT_OK(penalties_new(&p, 2));
	ASSERT_EQ(penalties_until(p, "a.test", 0), 0);
	penalties_fail(p, "A.test", &b, 1000, 65535);
	penalties_fail(p, "a.TEST", &b, 1000, 65535);
	ASSERT_EQ(penalties_count(p), 1);
	ASSERT_EQ(penalties_until(p, "a.test", 1000), 1200);
	ASSERT_EQ(penalties_until(p, "a.test", 1200), 0);
	penalties_fail(p, "b.test", &b, 1100, 65535);
	penalties_fail(p, "c.test", &b, 1150, 65535); /* full, nobody's time has passed */
	ASSERT_EQ(penalties_count(p), 2);
	ASSERT_EQ(penalties_until(p, "c.test", 1150), 0);
	penalties_fail(p, "c.test", &b, 1200, 65535); /* takes the place of those that are past */
	ASSERT_EQ(penalties_until(p, "c.test", 1200), 1300);
	penalties_clear(p, "C.TEST");
	ASSERT_EQ(penalties_until(p, "c.test", 1200), 0);
	penalties_free(p);
}

/* ---- the outbox ----------------------------------------------------------------------------------- */

static struct out *add(struct outbox *o, int64_t seq, uint64_t due_ms)
{
	const struct out like = { .key = { seq, 1 }, .due_ms = due_ms, .request = seq * 100 };
	struct out *out;

	ASSERT_OK(outbox_add(o, &like, &out));
	return out;
}

TEST(due_messages_come_in_order)
{
	struct outbox *o;
	struct out *out;
	uint64_t last = 0;
	size_t n = 0;

	ASSERT_OK(outbox_new(&o));
	for (int64_t i = 0; i < 500; i++)
		add(o, i, (uint64_t)(i * 7919 % 503));
	/* move some, remove some */
	for (int64_t i = 0; i < 500; i += 5)
		outbox_wait(o, outbox_find(o, (struct out_key){ i, 1 }), (uint64_t)(i * 31 % 499));
	for (int64_t i = 1; i < 500; i += 5)
		outbox_remove(o, outbox_find(o, (struct out_key){ i, 1 }));
	ASSERT_EQ(outbox_count(o), 400);
	ASSERT_NULL(outbox_find(o, (struct out_key){ 1, 1 }));
	ASSERT_EQ(outbox_under_way(o), 0);
	for (; (out = outbox_pick(o, 250)); n++) {
		ASSERT_LE(out->due_ms, 250);
		ASSERT_LE(last, out->due_ms);
		last = out->due_ms;
	}
	ASSERT_GT(outbox_next_ms(o), 250);
	ASSERT_EQ(outbox_under_way(o), n);
	for (; (out = outbox_pick(o, UINT64_MAX)); n++) {
		ASSERT_LE(last, out->due_ms);
		last = out->due_ms;
	}
	ASSERT_EQ(n, 400);
	ASSERT_EQ(outbox_next_ms(o), UINT64_MAX);
	outbox_free(o);
}

TEST(a_message_goes_through_its_states)
{
	struct outbox *o;
	struct out *out, *again;

	ASSERT_OK(outbox_new(&o));
	out = add(o, 7, 10);
	ASSERT_EQ(outbox_add(o, out, &again), -EEXIST);
	ASSERT_NULL(outbox_pick(o, 9));
	ASSERT_TRUE(outbox_pick(o, 10) == out);
	ASSERT_EQ(out->state, OUT_PICKED);
	outbox_fly(o, out);
	ASSERT_NULL(outbox_store(o));
	outbox_end(o, out, FAILED, "rcpt 450 4.2.0");
	ASSERT_TRUE(outbox_has_ended(o));
	ASSERT_TRUE(outbox_store(o) == out);
	ASSERT_STR_EQ(out->detail, "rcpt 450 4.2.0");
	ASSERT_FALSE(outbox_has_ended(o));
	outbox_wait(o, out, 99);
	ASSERT_EQ(outbox_next_ms(o), 99);
	ASSERT_EQ(outbox_under_way(o), 0);
	/* an end that was found in the store needs no flight */
	outbox_end(o, out, UNCERTAIN, "");
	ASSERT_EQ(outbox_next_ms(o), UINT64_MAX);
	outbox_remove(o, out);
	ASSERT_EQ(outbox_count(o), 0);
	ASSERT_EQ(outbox_under_way(o), 0);
	ASSERT_FALSE(outbox_has_ended(o));
	outbox_free(o);
}

TEST(messages_of_one_request_leave_in_order)
{
	struct outbox *o;
	struct out *out[3], *got;

	ASSERT_OK(outbox_new(&o));
	for (int i = 0; i < 3; i++) { /* added newest first, as a page and a consumer may */
		const struct out like = { .key = { 30 - 10 * i, 1 }, .request = 100, .due_ms = 1 };

		ASSERT_OK(outbox_add(o, &like, &out[i]));
	}
	add(o, 99, 1);
	got = outbox_pick(o, 5);
	ASSERT_TRUE(got == out[2]); /* seq 10 */
	outbox_fly(o, got);
	got = outbox_pick(o, 5);
	ASSERT_EQ(got->key.cause_seq, 99); /* another request is not held up */
	ASSERT_NULL(outbox_pick(o, 5));
	ASSERT_GT(outbox_next_ms(o), 5);
	ASSERT_LT(outbox_next_ms(o), 1000);
	outbox_remove(o, out[1]); /* from the middle of the siblings */
	ASSERT_NULL(outbox_pick(o, 1000));
	outbox_remove(o, out[2]);
	ASSERT_TRUE(outbox_pick(o, 2000) == out[0]);
	outbox_remove(o, out[0]);
	ASSERT_EQ(outbox_count(o), 1);
	outbox_free(o);
}

/* ---- SMTP's bytes ----------------------------------------------------------------------------------- */

TEST(replies_in_pieces_of_any_size)
{
	static const char text[] = "250-mail.test\r\n250-SIZE 1000\r\n250 2.1.0 Ok\r\n421 4.3.2 bye\n354\r\n";
	static const struct { int code; const char *status; } want[] = { { 250, "2.1.0" }, { 421, "4.3.2" }, { 354, "" } };

	for (size_t piece = 1; piece < sizeof(text); piece++) {
		struct reply r = { 0 };
		size_t n = 0, at = 0;

		while (at < sizeof(text) - 1) {
			size_t used, len = MIN(piece, sizeof(text) - 1 - at);
			enum reply_result got = reply_read(&r, text + at, len, &used);

			ASSERT_NE(got, REPLY_BAD);
			at += used;
			if (got != REPLY_DONE)
				continue;
			ASSERT_LT(n, ARRAY_SIZE(want));
			ASSERT_EQ(r.code, want[n].code);
			ASSERT_STR_EQ(r.status, want[n].status);
			n++;
		}
		ASSERT_EQ(n, ARRAY_SIZE(want));
	}
}

TEST(what_is_no_reply)
{
	static const char *const bad[] = { "hello\r\n", "25\r\n", "150 early\r\n", "650 x\r\n", "250x\r\n", "\r\n",
					   "2a0 x\r\n" };
	char endless[2000];
	struct reply r = { 0 };
	size_t used;

	FOREACH(b, bad) {
		r = (struct reply){ 0 };
		ASSERT_EQ(reply_read(&r, *b, strlen(*b), &used), REPLY_BAD);
	}
	r = (struct reply){ 0 };
	memset(endless, '2', sizeof(endless));
	ASSERT_EQ(reply_read(&r, endless, sizeof(endless), &used), REPLY_BAD);
	r = (struct reply){ 0 };
	ASSERT_EQ(reply_read(&r, "250 \0\r\n", 7, &used), REPLY_BAD);
}

TEST(dots_are_doubled_and_the_end_is_told)
{
	static const struct { const char *mail, *want; } cases[] = {
		{ "a\r\n", "a\r\n.\r\n" }, { "a", "a\r\n.\r\n" }, { ".\r\n..b\r\n", "..\r\n...b\r\n.\r\n" },
		{ "a.\r\n.\r\nRSET\r\n", "a.\r\n..\r\nRSET\r\n.\r\n" }, { "", ".\r\n" },
	};

	FOREACH(c, cases) {
		struct buf out = BUF_INIT;

		talk_message(&out, c->mail, strlen(c->mail));
		ASSERT_STR_EQ(out.data, c->want);
		buf_fini(&out);
	}
}
