/* covers services/dispatch/core_ack.c; a plain table of booleans is the oracle */
#include "services/dispatch/core_ack.h"
#include "tests/lib/test.h"

enum { SPAN = 200 };

static uint32_t next(uint32_t *seed, uint32_t below)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)*seed * below) >> 32);
}

static void check_form(const struct ack_set *s)
{
	int64_t behind = s->low;

	for (size_t i = 0; i < s->n; i++) {
		ASSERT_GT(s->ranges[i].first, behind + 1);
		ASSERT_GE(s->ranges[i].last, s->ranges[i].first);
		behind = s->ranges[i].last;
	}
}

static void check_same(const struct ack_set *s, const bool *truth)
{
	int64_t low = 0, max = 0;

	while (low < SPAN && truth[low + 1])
		low++;
	for (int64_t d = 1; d <= SPAN; d++) {
		ASSERT_EQ(ack_set_has(s, d), truth[d]);
		if (truth[d])
			max = d;
	}
	ASSERT_EQ(s->low, low);
	ASSERT_EQ(ack_set_max(s), max);
}

static void random_run(uint32_t seed)
{
	struct ack_set s = { 0 };
	bool truth[SPAN + 2] = { false };

	for (int i = 0; i < 60; i++) {
		int64_t first = 1 + next(&seed, SPAN);
		int64_t last = first + next(&seed, i % 4 ? 4 : 40);

		last = MIN(last, (int64_t)SPAN);
		ASSERT_OK(ack_set_add(&s, first, last));
		for (int64_t d = first; d <= last; d++)
			truth[d] = true;
		check_form(&s);
		check_same(&s, truth);
	}
	ack_set_fini(&s);
}

TEST(any_order_gives_what_a_set_gives)
{
	for (uint32_t seed = 1; seed <= 300; seed++)
		random_run(seed);
}

TEST(the_mark_swallows_ranges_that_it_meets)
{
	struct ack_set s = { 0 };

	ASSERT_OK(ack_set_add(&s, 3, 4));
	ASSERT_OK(ack_set_add(&s, 6, 9));
	ASSERT_EQ(s.low, 0);
	ASSERT_EQ(s.n, 2u);
	ASSERT_OK(ack_set_add(&s, 1, 2));
	ASSERT_EQ(s.low, 4);
	ASSERT_OK(ack_set_add(&s, 5, 5));
	ASSERT_EQ(s.low, 9);
	ASSERT_EQ(s.n, 0u);
	ack_set_fini(&s);
}

TEST(a_copy_is_apart)
{
	struct ack_set s = { 0 }, copy;

	ASSERT_OK(ack_set_add(&s, 5, 6));
	ASSERT_OK(ack_set_copy(&s, &copy));
	ASSERT_OK(ack_set_add(&s, 1, 4));
	ASSERT_EQ(copy.low, 0);
	ASSERT_TRUE(ack_set_has(&copy, 6));
	ASSERT_FALSE(ack_set_has(&copy, 4));
	ack_set_fini(&s);
	ack_set_fini(&copy);
}

TEST(numbers_at_the_end_of_the_line)
{
	struct ack_set s = { 0 };

	ASSERT_OK(ack_set_add(&s, INT64_MAX - 1, INT64_MAX - 1));
	ASSERT_OK(ack_set_add(&s, 1, 1));
	ASSERT_EQ(s.low, 1);
	ASSERT_TRUE(ack_set_has(&s, INT64_MAX - 1));
	ack_set_fini(&s);
}
