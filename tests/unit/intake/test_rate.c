/* covers services/intake/core_rate.h */
#include "services/intake/core_rate.h"
#include "tests/lib/test.h"

static unsigned offered(struct rate *r, uint64_t from_us, uint64_t to_us, uint64_t step_us)
{
	unsigned taken = 0;

	for (uint64_t now = from_us; now < to_us; now += step_us)
		taken += rate_take(r, now);
	return taken;
}

TEST(ten_times_the_rate_gives_the_rate)
{
	struct rate r = { .a_second = 1000 };
	unsigned taken = offered(&r, 5000000, 10000000, 100);

	ASSERT_GE(taken, 5000 - 1);
	ASSERT_LE(taken, 5000 + 101);
}

TEST(half_the_rate_is_all_taken)
{
	struct rate r = { .a_second = 1000 };

	ASSERT_EQ(offered(&r, 5000000, 10000000, 2000), 2500);
}

TEST(after_a_silence_a_tenth_of_a_second_comes_at_once)
{
	struct rate r = { .a_second = 1000 };

	ASSERT_EQ(offered(&r, 1000000, 1000001, 1), 1);
	ASSERT_TRUE(rate_take(&r, 3600000000));
	for (unsigned i = 1; i < 100; i++)
		ASSERT_TRUE(rate_take(&r, 3600000000));
	ASSERT_FALSE(rate_take(&r, 3600000000));
}

TEST(less_than_ten_a_second_goes_too)
{
	struct rate r = { .a_second = 2 };

	ASSERT_EQ(offered(&r, 1000000, 11000000, 1000), 20);
}

TEST(zero_is_no_limit)
{
	struct rate r = { .a_second = 0 };

	for (unsigned i = 0; i < 100000; i++)
		ASSERT_TRUE(rate_take(&r, 1));
}
