/* covers services/analytics/core_fact.c: contributions, merging, the sketch */
#include "services/analytics/core_fact.h"
#include "tests/lib/test.h"

static const struct fact closed = {
	.request = 100,
	.jurisdiction = 1,
	.service = 2,
	.department = 3,
	.channel = 1,
	.score = 9,
	.requested_at_us = 1790812800000000, /* 2026-09-30T22:40:00Z */
	.deadline_us = 1790899200000000,
	.closed_at_us = 1790816400000000,
};

TEST(a_fact_and_its_opposite_leave_nothing)
{
	struct day_delta rows[2 * FACT_ROWS_MAX];
	struct zone *zone = NULL;
	size_t n;

	ASSERT_OK(zone_new(&zone, "Europe/Madrid"));
	n = fact_contribution(&closed, zone, 1, rows);
	ASSERT_EQ(n, 3);
	n += fact_contribution(&closed, zone, -1, rows + n);
	ASSERT_EQ(day_delta_merge(rows, n), 0);
	zone_free(zone);
}

TEST(days_are_the_towns_own)
{
	struct day_delta rows[FACT_ROWS_MAX];
	struct zone *madrid = NULL, *chicago = NULL;

	ASSERT_OK(zone_new(&madrid, "Europe/Madrid"));
	ASSERT_OK(zone_new(&chicago, "America/Chicago"));
	fact_contribution(&closed, madrid, 1, rows);
	ASSERT_EQ(rows[0].key.day, zone_day(madrid, closed.requested_at_us));
	ASSERT_EQ(rows[0].received, 1);
	ASSERT_EQ(rows[0].open, 0);
	ASSERT_EQ(rows[1].on_time, 1);
	ASSERT_EQ(rows[1].satisfied, 1);
	ASSERT_EQ(rows[1].score_sum, 9);
	fact_contribution(&closed, chicago, 1, rows);
	ASSERT_EQ(rows[0].key.day, zone_day(chicago, closed.requested_at_us));
	zone_free(madrid);
	zone_free(chicago);
}

TEST(late_is_not_on_time)
{
	struct day_delta rows[FACT_ROWS_MAX];
	struct zone *zone = NULL;
	struct fact late = closed;

	ASSERT_OK(zone_new(&zone, "UTC"));
	late.closed_at_us = late.deadline_us + 1;
	late.score = -1;
	ASSERT_EQ(fact_contribution(&late, zone, 1, rows), 3);
	ASSERT_EQ(rows[1].on_time, 0);
	ASSERT_EQ(rows[1].answers, 0);
	zone_free(zone);
}

TEST(buckets_hold_their_minutes)
{
	for (int64_t m = 1; m < 6000000; m = m < 5000 ? m + 1 : m + 997) {
		int16_t b = close_bucket(0, m * 60000000 + 59999999);

		ASSERT_TRUE(b >= 0 && b < 100);
		ASSERT_TRUE((b == 0 || bucket_low(b) <= (double)m) && (double)m < bucket_high(b));
	}
	ASSERT_EQ(close_bucket(0, 0), 0);
	ASSERT_EQ(close_bucket(1000000, 0), 0);
}

TEST(quantiles_are_within_a_bucket)
{
	int16_t buckets[200];
	int64_t counts[200];
	size_t n = 0;

	/* 1 … 1000 minutes, once each */
	for (int64_t m = 1; m <= 1000; m++) {
		int16_t b = close_bucket(0, m * 60000000);

		if (n && buckets[n - 1] == b) {
			counts[n - 1]++;
		} else {
			buckets[n] = b;
			counts[n++] = 1;
		}
	}
	ASSERT_TRUE(sketch_quantile(buckets, counts, n, 0.5) > 440);
	ASSERT_TRUE(sketch_quantile(buckets, counts, n, 0.5) < 560);
	ASSERT_TRUE(sketch_quantile(buckets, counts, n, 0.9) > 800);
	ASSERT_TRUE(sketch_quantile(buckets, counts, n, 0.9) < 1000);
	ASSERT_TRUE(sketch_quantile(buckets, counts, 0, 0.5) < 0);
}

TEST(merging_adds_equal_keys)
{
	struct day_delta rows[4] = { { .received = 1 }, { .key.day = 1, .n = 2 }, { .received = 2 }, { .open = -1 } };

	ASSERT_EQ(day_delta_merge(rows, 4), 2);
	ASSERT_EQ(rows[0].received, 3);
	ASSERT_EQ(rows[0].open, -1);
	ASSERT_EQ(rows[1].n, 2);
}
