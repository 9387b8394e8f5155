/* covers common/eventlog/core.c and run.c: every decision, without a clock, a store or a wire */
#include "common/eventlog/core.h"
#include "common/eventlog/run.h"
#include "tests/lib/test.h"

/* ---- numbers and frames -------------------------------------------------------------------------- */

TEST(the_next_number_jumps_once_behind_a_rewind)
{
	const struct line plain = { .generation = 1 }, rewound = { .generation = 2, .after = 40, .base = 1000 };

	ASSERT_EQ(line_next(&plain, 0), 1);
	ASSERT_EQ(line_next(&plain, 41), 42);
	ASSERT_EQ(line_next(&rewound, 39), 40);
	ASSERT_EQ(line_next(&rewound, 40), 1001);
	ASSERT_EQ(line_next(&rewound, 1001), 1002);
}

TEST(what_a_frame_is_good_for)
{
	static const struct {
		int32_t generation;
		int64_t first;
		size_t n;
		enum frame_use want;
	} cases[] = {
		{ 3, 11, 1, FRAME_TAKE },    { 3, 11, 9, FRAME_TAKE },   { 3, 5, 7, FRAME_TAKE },
		{ 3, 12, 1, FRAME_AHEAD },   { 3, 500, 2, FRAME_AHEAD }, { 3, 10, 1, FRAME_STALE },
		{ 3, 1, 10, FRAME_STALE },   { 2, 11, 1, FRAME_FOREIGN }, { 4, 11, 1, FRAME_FOREIGN },
	};
	const struct line line = { .generation = 3 };

	FOREACH(c, cases)
		ASSERT_EQ(frame_use(&line, 10, c->generation, c->first, c->n), c->want);
}

/* ---- what a lane does ------------------------------------------------------------------------------ */

TEST(a_lane_rests_reads_waits_and_takes)
{
	struct lane_view v = { .log = true, .seen = 10, .stored = 10, .head = 10, .now_ms = 1000 };

	ASSERT_EQ(lane_action(&v), DO_REST);
	v.head = 12;
	ASSERT_EQ(lane_action(&v), DO_AWAIT);
	v.gap_until_ms = 1005;
	ASSERT_EQ(lane_action(&v), DO_AWAIT);
	v.now_ms = 1005;
	ASSERT_EQ(lane_action(&v), DO_READ);
	v.next_here = true;
	ASSERT_EQ(lane_action(&v), DO_TAKE);
	v = (struct lane_view){ .log = true, .seen = 10, .stored = 10, .head = 12, .catching_up = true };
	ASSERT_EQ(lane_action(&v), DO_READ);
	v = (struct lane_view){ .log = false, .kicked = true };
	ASSERT_EQ(lane_action(&v), DO_TAKE);
	v.kicked = false;
	ASSERT_EQ(lane_action(&v), DO_REST);
}

TEST(skipped_events_are_stored_in_time)
{
	struct lane_view v = { .log = true, .seen = 12, .stored = 10, .head = 12, .now_ms = 500, .skip_at_ms = 1000 };

	ASSERT_EQ(lane_action(&v), DO_REST);
	v.now_ms = 1000;
	ASSERT_EQ(lane_action(&v), DO_STORE_SKIP);
}

TEST(replays_and_events_take_turns)
{
	struct lane_view v = { .log = true, .replay = true, .next_here = true, .seen = 1, .stored = 1, .head = 5 };

	ASSERT_EQ(lane_action(&v), DO_REPLAY);
	v.replayed = true;
	ASSERT_EQ(lane_action(&v), DO_TAKE);
	v.next_here = false;
	v.head = 1;
	ASSERT_EQ(lane_action(&v), DO_REPLAY);
}

/* ---- the bad event ----------------------------------------------------------------------------------- */

/* events 1 … 256, one is bad: how many groups it takes until it is alone */
static unsigned groups_until_alone(int64_t bad, int64_t *ret_found)
{
	struct search s = { 0 };
	int64_t at = 1;

	for (unsigned groups = 1; groups < 100; groups++) {
		size_t n = MIN(s.limit ? s.limit : 256, (size_t)(257 - at));
		int64_t last = at + (int64_t)n - 1;

		if (bad < at || bad > last) {
			at = last + 1;
			search_passed(&s, last);
		} else if (n == 1) {
			*ret_found = at;
			return groups;
		} else {
			search_failed(&s, n, last);
		}
	}
	return 100;
}

TEST(halving_finds_any_bad_event)
{
	for (int64_t bad = 1; bad <= 256; bad++) {
		int64_t found = 0;

		ASSERT_TRUE(groups_until_alone(bad, &found) <= 20);
		ASSERT_EQ(found, bad);
	}
}

TEST(parked_keys_are_a_bounded_set)
{
	struct keys k = { .max = 3 };

	ASSERT_OK(keys_add(&k, 30));
	ASSERT_OK(keys_add(&k, 10));
	ASSERT_OK(keys_add(&k, 20));
	ASSERT_OK(keys_add(&k, 10));
	ASSERT_EQ(k.n, 3);
	ASSERT_EQ(keys_add(&k, 40), KEYS_E_FULL);
	ASSERT_TRUE(keys_has(&k, 20));
	ASSERT_FALSE(keys_has(&k, 40));
	keys_del(&k, 20);
	keys_del(&k, 99);
	ASSERT_FALSE(keys_has(&k, 20));
	ASSERT_OK(keys_add(&k, 40));
	ASSERT_TRUE(k.keys[0] < k.keys[1] && k.keys[1] < k.keys[2]);
	keys_fini(&k);
	ASSERT_EQ(k.n, 0);
}

/* ---- shares ------------------------------------------------------------------------------------------ */

TEST(shares_sum_up_and_differ_by_one)
{
	for (size_t lanes = 1; lanes <= 32; lanes++) {
		for (size_t members = 1; members <= 40; members++) {
			size_t sum = 0, least = 99, most = 0;

			for (size_t rank = 0; rank < members; rank++) {
				size_t share = fair_share(lanes, members, rank);

				sum += share;
				least = MIN(least, share);
				most = MAX(most, share);
			}
			ASSERT_EQ(sum, lanes);
			ASSERT_TRUE(most - least <= 1);
		}
	}
}

static size_t bits(uint32_t set)
{
	return (size_t)__builtin_popcount(set);
}

TEST(a_plan_never_takes_what_is_held_and_never_exceeds_its_share)
{
	enum standing s[8];

	for (unsigned n = 0; n < 390625; n += 7) {
		for (unsigned i = 0, v = n; i < 8; i++, v /= 5)
			s[i] = (enum standing)(v % 5);
		for (size_t share = 0; share <= 8; share++) {
			struct lease_plan p = lease_plan(s, 8, share);
			size_t mine = 0;

			ASSERT_EQ(p.take & p.release, 0);
			for (unsigned i = 0; i < 8; i++) {
				mine += s[i] == LEASE_MINE;
				ASSERT_FALSE((p.take >> i & 1) && (s[i] == LEASE_LIVING || s[i] == LEASE_MINE));
				ASSERT_FALSE((p.release >> i & 1) && s[i] != LEASE_MINE);
			}
			if (mine >= share)
				ASSERT_EQ(mine - bits(p.release), share);
			else
				ASSERT_EQ(p.release, 0);
		}
	}
}

TEST(pauses_double_up_to_their_cap_and_are_jittered)
{
	for (unsigned attempt = 0; attempt < 70; attempt++) {
		unsigned low = backoff_ms(attempt, 1000, 0), high = backoff_ms(attempt, 1000, UINT32_MAX);

		ASSERT_TRUE(low >= 10 && high <= 1000 && low <= high);
	}
	ASSERT_TRUE(backoff_ms(60, 1000, 0) >= 500);
	ASSERT_TRUE(jitter_ms(1000, 0) >= 900 && jitter_ms(1000, UINT32_MAX) <= 1100);
}

/* ---- runs of the wire, overlapping and with gaps ------------------------------------------------------- */

static struct run *make_run(int64_t first, size_t n)
{
	static const uint8_t body[] = { 1, 2, 3 };
	struct event events[16];
	struct run *run = NULL;

	for (size_t i = 0; i < n; i++)
		events[i] = (struct event){ .seq = first + (int64_t)i, .type = 1, .order_key = 7, .actor = "x",
					    .body = { body, sizeof(body) } };
	ASSERT_OK(run_new(&run, events, n, 1 << 1));
	return run;
}

TEST(a_feed_gives_each_event_once_and_stops_at_a_gap)
{
	static const struct { int64_t first; size_t n; } runs[] = { { 8, 4 }, { 1, 3 }, { 3, 4 }, { 20, 2 }, { 7, 1 } };
	const struct line line = { .generation = 1 };
	struct feed feed = { 0 };
	struct feed_cursor c;
	const struct event *e;
	struct run *owner;
	int64_t want = 1;

	FOREACH(r, runs) {
		struct run *run = make_run(r->first, r->n);

		ASSERT_OK(feed_add(&feed, run, 100, 100000));
		run_unref(run);
	}
	feed_start(&c, &feed, &line, 0);
	while ((e = feed_next(&c, &owner)))
		ASSERT_EQ(e->seq, want++);
	ASSERT_EQ(want, 12); /* 12 … 19 are missing */
	feed_drop(&feed, 11);
	feed_start(&c, &feed, &line, 11);
	ASSERT_TRUE(feed_next(&c, &owner) == NULL);
	feed_start(&c, &feed, &line, 19);
	e = feed_next(&c, &owner);
	ASSERT_TRUE(e != NULL);
	ASSERT_EQ(e->seq, 20);
	feed_fini(&feed);
}

TEST(a_full_feed_says_so)
{
	struct feed feed = { 0 };
	struct run *a = make_run(1, 10), *b = make_run(11, 10);

	ASSERT_OK(feed_add(&feed, a, 15, 100000));
	ASSERT_EQ(feed_add(&feed, b, 15, 100000), FEED_E_FULL);
	ASSERT_EQ(feed.events, 10);
	ASSERT_OK(feed_add(&feed, b, 0, 0)); /* a page that was asked for always fits */
	feed_fini(&feed);
	run_unref(a);
	run_unref(b);
}
