/* covers common/base/zone.c, against the system's tzdata */
#include <errno.h>
#include "common/base/clock.h"
#include "common/base/zone.h"
#include "tests/lib/test.h"

#define HOUR_US 3600000000

static int64_t utc(const char *iso)
{
	int64_t at_us;

	ASSERT_OK(clock_parse_iso(iso, strlen(iso), &at_us));
	return at_us;
}

static struct zone *zone(const char *name)
{
	struct zone *z;

	ASSERT_OK(zone_new(&z, name));
	return z;
}

/* "2026-03-29 02:30:00" */
static struct civil civil(const char *s)
{
	struct civil c = { 0 };

	ASSERT_EQ(sscanf(s, "%d-%d-%d %d:%d:%d", &c.year, &c.month, &c.day, &c.hour, &c.minute,
			 &c.second), 6);
	return c;
}

struct reading {
	const char *zone, *local;
	enum zone_hit hit;
	const char *first, *later;
};

static void check_reading(const struct reading *r)
{
	_cleanup_(zone_freep) struct zone *z = zone(r->zone);
	struct civil c = civil(r->local);
	int64_t first, later;
	char text[32];

	ASSERT_EQ(zone_instant(z, &c, false, &first), r->hit);
	ASSERT_EQ(zone_instant(z, &c, true, &later), r->hit);
	clock_format_utc(first, text);
	ASSERT_STR_EQ(text, r->first);
	clock_format_utc(later, text);
	ASSERT_STR_EQ(text, r->later ? r->later : r->first);
}

TEST(plain_times)
{
	static const struct reading cases[] = {
		{ "America/New_York", "2011-07-01 00:00:00", ZONE_ONCE, "2011-07-01T04:00:00Z", NULL },
		{ "America/New_York", "2011-12-31 23:59:59", ZONE_ONCE, "2012-01-01T04:59:59Z", NULL },
		{ "America/Chicago", "2020-01-15 08:00:00", ZONE_ONCE, "2020-01-15T14:00:00Z", NULL },
		{ "Europe/Madrid", "2026-07-01 12:00:00", ZONE_ONCE, "2026-07-01T10:00:00Z", NULL },
		{ "Asia/Kathmandu", "2026-07-01 12:00:00", ZONE_ONCE, "2026-07-01T06:15:00Z", NULL },
		{ "UTC", "2026-07-01 12:00:00", ZONE_ONCE, "2026-07-01T12:00:00Z", NULL },
	};

	FOREACH(c, cases)
		check_reading(c);
}

TEST(a_skipped_hour_is_moved_by_the_gap)
{
	static const struct reading cases[] = {
		{ "America/New_York", "2011-03-13 01:59:59", ZONE_ONCE, "2011-03-13T06:59:59Z", NULL },
		{ "America/New_York", "2011-03-13 02:00:00", ZONE_SKIPPED, "2011-03-13T07:00:00Z", NULL },
		{ "America/New_York", "2011-03-13 02:30:00", ZONE_SKIPPED, "2011-03-13T07:30:00Z", NULL },
		{ "America/New_York", "2011-03-13 03:00:00", ZONE_ONCE, "2011-03-13T07:00:00Z", NULL },
		{ "America/Chicago", "2019-03-10 02:15:00", ZONE_SKIPPED, "2019-03-10T08:15:00Z", NULL },
		{ "Europe/Madrid", "2026-03-29 02:30:00", ZONE_SKIPPED, "2026-03-29T01:30:00Z", NULL },
		{ "Europe/Madrid", "2026-03-29 03:30:00", ZONE_ONCE, "2026-03-29T01:30:00Z", NULL },
		/* half an hour: 10:30 to 11:00 */
		{ "Australia/Lord_Howe", "2026-10-04 02:10:00", ZONE_SKIPPED, "2026-10-03T15:40:00Z", NULL },
		{ "Australia/Lord_Howe", "2026-10-04 02:30:00", ZONE_ONCE, "2026-10-03T15:30:00Z", NULL },
	};

	FOREACH(c, cases)
		check_reading(c);
}

TEST(a_doubled_hour_has_two_readings)
{
	static const struct reading cases[] = {
		{ "America/New_York", "2011-11-06 00:59:59", ZONE_ONCE, "2011-11-06T04:59:59Z", NULL },
		{ "America/New_York", "2011-11-06 01:30:00", ZONE_TWICE, "2011-11-06T05:30:00Z",
		  "2011-11-06T06:30:00Z" },
		{ "America/New_York", "2011-11-06 02:00:00", ZONE_ONCE, "2011-11-06T07:00:00Z", NULL },
		{ "America/Chicago", "2019-11-03 01:00:00", ZONE_TWICE, "2019-11-03T06:00:00Z",
		  "2019-11-03T07:00:00Z" },
		{ "Europe/Madrid", "2026-10-25 02:30:00", ZONE_TWICE, "2026-10-25T00:30:00Z",
		  "2026-10-25T01:30:00Z" },
		{ "Australia/Lord_Howe", "2026-04-05 01:45:00", ZONE_TWICE, "2026-04-04T14:45:00Z",
		  "2026-04-04T15:15:00Z" },
	};

	FOREACH(c, cases)
		check_reading(c);
}

TEST(rules_go_on_after_2037)
{
	static const struct reading cases[] = {
		{ "America/New_York", "2055-07-01 12:00:00", ZONE_ONCE, "2055-07-01T16:00:00Z", NULL },
		{ "Europe/Madrid", "2055-01-01 12:00:00", ZONE_ONCE, "2055-01-01T11:00:00Z", NULL },
	};

	FOREACH(c, cases)
		check_reading(c);
}

TEST(civil_and_instant_are_inverse_over_two_years)
{
	static const char *const names[] = { "America/New_York", "America/Chicago", "Europe/Madrid",
					     "Australia/Lord_Howe", "America/Havana" };

	FOREACH(name, names) {
		_cleanup_(zone_freep) struct zone *z = zone(*name);
		int64_t end = utc("2027-01-01T00:00:00Z");

		for (int64_t at = utc("2025-01-01T00:00:00Z"); at < end; at += HOUR_US / 4) {
			struct civil c;
			int64_t first, later;

			zone_civil(z, at, &c);
			ASSERT_NE(zone_instant(z, &c, false, &first), ZONE_SKIPPED);
			(void)zone_instant(z, &c, true, &later); /* judged by what it gives */
			ASSERT_TRUE(at == first || at == later);
			ASSERT_EQ(civil_to_days(c.year, c.month, c.day), zone_day(z, at));
			ASSERT_EQ(civil_weekday(zone_day(z, at)), c.weekday);
		}
	}
}

TEST(a_day_starts_at_its_first_instant)
{
	static const struct { const char *zone; int year, month, day; const char *start; } cases[] = {
		{ "America/New_York", 2011, 3, 13, "2011-03-13T05:00:00Z" },
		{ "America/New_York", 2011, 3, 14, "2011-03-14T04:00:00Z" },
		{ "Europe/Madrid", 2026, 10, 26, "2026-10-25T23:00:00Z" },
		/* midnight itself is skipped, or comes twice */
		{ "America/Havana", 2026, 3, 8, "2026-03-08T05:00:00Z" },
		{ "America/Havana", 2025, 11, 2, "2025-11-02T04:00:00Z" },
		/* the gap began at 23:30 on the day before */
		{ "America/Toronto", 1919, 3, 31, "1919-03-31T04:30:00Z" },
		/* this day never was */
		{ "Pacific/Apia", 2011, 12, 30, "2011-12-30T10:00:00Z" },
		{ "Pacific/Apia", 2011, 12, 31, "2011-12-30T10:00:00Z" },
	};

	FOREACH(c, cases) {
		_cleanup_(zone_freep) struct zone *z = zone(c->zone);
		int64_t start = zone_day_start(z, civil_to_days(c->year, c->month, c->day));
		char text[32];

		clock_format_utc(start, text);
		ASSERT_STR_EQ(text, c->start);
		ASSERT_LT(zone_day(z, start - 1), civil_to_days(c->year, c->month, c->day));
	}
}

TEST(before_1970_and_fractions_round_down)
{
	_cleanup_(zone_freep) struct zone *z = zone("UTC");
	struct civil c;

	zone_civil(z, -1, &c);
	ASSERT_EQ(c.year, 1969);
	ASSERT_EQ(c.month, 12);
	ASSERT_EQ(c.day, 31);
	ASSERT_EQ(c.hour, 23);
	ASSERT_EQ(c.second, 59);
	ASSERT_EQ(zone_day(z, -1), -1);
	ASSERT_EQ(zone_day(z, 0), 0);
}

TEST(only_names_of_tzdata_are_zones)
{
	static const char *const names[] = { "", "Europe/Barcelona", "+02:00", "EST5EDT4,M3.2.0,M11.1.0",
					     "../../etc/passwd", "/usr/share/zoneinfo/UTC", "Europe",
					     "Europe/", "Z", "XYZ5" };

	FOREACH(name, names) {
		struct zone *z;

		ASSERT_EQ(zone_new(&z, *name), -ENOENT);
	}
}

TEST(days_and_dates)
{
	static const struct { int year, month, day; int32_t days; int weekday; } cases[] = {
		{ 1970, 1, 1, 0, 4 }, { 1969, 12, 31, -1, 3 }, { 2000, 2, 29, 11016, 2 },
		{ 2026, 3, 29, 20541, 7 }, { 1, 1, 1, -719162, 1 }, { 9999, 12, 31, 2932896, 5 },
	};

	FOREACH(c, cases) {
		int year, month, day;

		ASSERT_EQ(civil_to_days(c->year, c->month, c->day), c->days);
		civil_from_days(c->days, &year, &month, &day);
		ASSERT_EQ(year, c->year);
		ASSERT_EQ(month, c->month);
		ASSERT_EQ(day, c->day);
		ASSERT_EQ(civil_weekday(c->days), c->weekday);
	}
	ASSERT_EQ(civil_to_days(2026, 14, 1), civil_to_days(2027, 2, 1));
	ASSERT_EQ(civil_to_days(2026, 0, 1), civil_to_days(2025, 12, 1));
	ASSERT_EQ(civil_to_days(2026, 2, 29), civil_to_days(2026, 3, 1));
}
