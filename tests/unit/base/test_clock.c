/* covers common/base/clock.c */
#include <errno.h>
#include "common/base/clock.h"
#include "tests/lib/test.h"

TEST(iso_in)
{
	static const struct { const char *s; int r; int64_t at_us; } cases[] = {
		{ "1970-01-01T00:00:00Z", 0, 0 },
		{ "2011-07-01T01:32:07-04:00", 0, 1309498327000000 },
		{ "2011-07-01T05:32:07Z", 0, 1309498327000000 },
		{ "2011-07-01t05:32:07z", 0, 1309498327000000 },
		{ "2011-07-01T11:17:07+05:45", 0, 1309498327000000 },
		{ "2011-07-01T05:32:07.5Z", 0, 1309498327500000 },
		{ "2011-07-01T05:32:07.123456Z", 0, 1309498327123456 },
		{ "2011-07-01T05:32:07.123456999Z", 0, 1309498327123456 },
		{ "2011-07-01T05:32:07.000001+00:00", 0, 1309498327000001 },
		{ "2011-07-01T05:32:07", 1, 1309498327000000 },
		{ "2011-07-01T05:32:07.25", 1, 1309498327250000 },
		{ "2024-02-29T00:00:00Z", 0, 1709164800000000 },
		{ "1969-12-31T23:59:59.999999Z", 0, -1 },
		{ "9999-12-31T23:59:59Z", 0, 253402300799000000 },
	};

	FOREACH(c, cases) {
		int64_t at_us = 42;

		ASSERT_EQ(clock_parse_iso(c->s, strlen(c->s), &at_us), c->r);
		ASSERT_EQ(at_us, c->at_us);
	}
}

TEST(iso_refused)
{
	static const char *const cases[] = {
		"", "2011", "2011-07-01", "2011-07-01 05:32:07Z", "2011-07-01T05:32Z",
		"2011-13-01T05:32:07Z", "2011-00-01T05:32:07Z", "2011-02-29T05:32:07Z",
		"2011-04-31T05:32:07Z", "2011-07-00T05:32:07Z", "2011-07-01T24:00:00Z",
		"2011-07-01T05:60:07Z", "2011-07-01T05:32:60Z", "0000-07-01T05:32:07Z",
		"2011-07-01T05:32:07.Z", "2011-07-01T05:32:07,5Z", "2011-07-01T05:32:07.1234567890Z",
		"2011-07-01T05:32:07+0200", "2011-07-01T05:32:07+24:00", "2011-07-01T05:32:07+02:60",
		"2011-07-01T05:32:07Z ", " 2011-07-01T05:32:07Z", "2011-07-01T05:32:07+02:00Z",
		"+011-07-01T05:32:07Z", "2011-07-01T-5:32:07Z", "2011-07-01T05:32:07ZZ",
		"20110701T053207Z",
	};

	FOREACH(s, cases) {
		int64_t at_us = 42;

		ASSERT_EQ(clock_parse_iso(*s, strlen(*s), &at_us), -EINVAL);
		ASSERT_EQ(at_us, 42);
	}
}

TEST(iso_needs_no_nul)
{
	int64_t at_us;

	ASSERT_EQ(clock_parse_iso("1970-01-01T00:00:01Zgarbage", 20, &at_us), 0);
	ASSERT_EQ(at_us, 1000000);
	ASSERT_EQ(clock_parse_iso("1970-01-01T00:00:01Z", 19, &at_us), 1);
}

TEST(iso_out)
{
	static const struct { int64_t at_us; const char *want; } cases[] = {
		{ 0, "1970-01-01T00:00:00Z" },
		{ 1774747800000000, "2026-03-29T01:30:00Z" },
		{ 1774747800500000, "2026-03-29T01:30:00.5Z" },
		{ 1774747800000001, "2026-03-29T01:30:00.000001Z" },
		{ 1774747800100200, "2026-03-29T01:30:00.1002Z" },
		{ -1, "1969-12-31T23:59:59.999999Z" },
		{ -86400000000, "1969-12-31T00:00:00Z" },
	};

	FOREACH(c, cases) {
		char text[32];

		clock_format_utc(c->at_us, text);
		ASSERT_STR_EQ(text, c->want);
	}
}

TEST(any_moment_fits_its_buffer)
{
	static const int64_t cases[] = { INT64_MIN, INT64_MAX, INT64_MIN / 2, INT64_MAX / 3 };

	FOREACH(c, cases) {
		char text[32];

		clock_format_utc(*c, text);
		ASSERT_EQ(text[strlen(text) - 1], 'Z');
	}
}

TEST(monotonic_goes_on)
{
	uint64_t a = clock_mono_us(), b = clock_mono_us();

	ASSERT_GE(b, a);
	ASSERT_GE(clock_mono_ms(), a / 1000);
	ASSERT_GT(clock_wall_us(), 1700000000000000); /* no test ran before */
}
