/* covers services/intake/core_flush.h */
#include "services/intake/core_flush.h"
#include "tests/lib/test.h"

static void note(struct flush *f, double us, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		flush_note(f, us);
}

TEST(it_is_fast_until_enough_is_known)
{
	struct flush f = { .n = 0 };

	ASSERT_FALSE(f.slow);
	note(&f, 5000, FLUSH_SAMPLES - 1);
	ASSERT_FALSE(f.slow);
	note(&f, 5000, 1);
	ASSERT_TRUE(f.slow);
}

TEST(one_fast_commit_among_slow_ones_shows_the_disk)
{
	struct flush f = { .n = 0 };

	note(&f, 5000, FLUSH_SAMPLES - 1);
	note(&f, 150, 1);
	ASSERT_FALSE(f.slow);
	note(&f, 5000, FLUSH_SAMPLES - 1);
	ASSERT_FALSE(f.slow);
	note(&f, 5000, 1);
	ASSERT_TRUE(f.slow);
}

TEST(between_the_two_limits_it_stays_as_it_is)
{
	struct flush f = { .n = 0 };

	note(&f, 700, FLUSH_SAMPLES);
	ASSERT_FALSE(f.slow);
	note(&f, 2000, FLUSH_SAMPLES);
	note(&f, 700, FLUSH_SAMPLES);
	ASSERT_TRUE(f.slow);
	note(&f, 400, 1);
	ASSERT_FALSE(f.slow);
}
