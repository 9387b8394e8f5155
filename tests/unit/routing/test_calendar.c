/* covers services/routing/core_calendar.c: known days, then every kind of day minute by minute */
#include <errno.h>
#include "common/base/clock.h"
#include "services/routing/core_calendar.h"
#include "tests/lib/test.h"

#define MINUTE_US INT64_C(60000000)

static int64_t at(const char *iso)
{
	int64_t us = 0;

	ASSERT_EQ(clock_parse_iso(iso, strlen(iso), &us), 0);
	return us;
}

static void make(struct calendar *c, const char *zone, const struct span *spans, size_t n)
{
	ASSERT_EQ(calendar_init(c, zone), 0);
	for (size_t i = 0; i < n; i++)
		ASSERT_EQ(calendar_add_span(c, spans[i]), 0);
	ASSERT_EQ(calendar_seal(c), 0);
}

static void expect(const struct calendar *c, const char *from, int32_t minutes, const char *want)
{
	char got[32];

	clock_format_utc(calendar_working_deadline(c, at(from), minutes), got);
	ASSERT_STR_EQ(got, want);
}

TEST(calendar_minutes_are_real_minutes)
{
	/* over the night of 2026-03-29, when Madrid has an hour less: two days are 48 hours */
	ASSERT_EQ(calendar_deadline(at("2026-03-28T12:00:00Z"), 2880), at("2026-03-30T12:00:00Z"));
	ASSERT_EQ(calendar_deadline(-5, 1), MINUTE_US); /* brought into 1970 … 9999 */
	ASSERT_TRUE(calendar_deadline(INT64_MAX, INT32_MAX) > 0);
}

TEST(no_hours_defined_means_monday_to_friday_8_to_15)
{
	struct calendar c;

	make(&c, "Europe/Madrid", NULL, 0);
	expect(&c, "2026-11-24T06:00:00Z", 1, "2026-11-24T07:01:00Z"); /* Tuesday before opening */
	expect(&c, "2026-11-24T13:30:00Z", 30, "2026-11-24T14:00:00Z"); /* to the last minute */
	expect(&c, "2026-11-24T13:30:00Z", 31, "2026-11-25T07:01:00Z");
	expect(&c, "2026-11-27T13:59:30Z", 1, "2026-11-30T07:00:30Z"); /* Friday to Monday */
	expect(&c, "2026-11-28T10:00:00Z", 420 * 5, "2026-12-04T14:00:00Z"); /* a whole week */
	calendar_fini(&c);
}

TEST(holidays_are_left_out)
{
	struct calendar c;

	ASSERT_EQ(calendar_init(&c, "Europe/Madrid"), 0);
	ASSERT_EQ(calendar_add_holiday(&c, civil_to_days(2026, 12, 25)), 0);
	ASSERT_EQ(calendar_add_holiday(&c, civil_to_days(2026, 12, 8)), 0); /* any order */
	ASSERT_EQ(calendar_add_holiday(&c, civil_to_days(2026, 12, 7)), 0);
	ASSERT_EQ(calendar_seal(&c), 0);
	expect(&c, "2026-12-04T13:00:00Z", 120, "2026-12-09T08:00:00Z");
	expect(&c, "2026-12-25T09:00:00Z", 60, "2026-12-28T08:00:00Z");
	calendar_fini(&c);
}

TEST(spring_has_an_hour_less_and_autumn_one_more)
{
	static const struct span night[] = { { 7, 0, 360 } }; /* Sundays, midnight to six */
	struct calendar madrid, chicago;

	make(&madrid, "Europe/Madrid", night, 1);
	/* 2026-03-29: five hours pass between 00:00 and 06:00; the sixth is next Sunday's first */
	expect(&madrid, "2026-03-28T12:00:00Z", 300, "2026-03-29T04:00:00Z");
	expect(&madrid, "2026-03-28T12:00:00Z", 301, "2026-04-04T22:01:00Z");
	/* 2026-10-25: seven hours */
	expect(&madrid, "2026-10-24T12:00:00Z", 420, "2026-10-25T05:00:00Z");
	expect(&madrid, "2026-10-24T12:00:00Z", 421, "2026-10-31T23:01:00Z");
	calendar_fini(&madrid);

	make(&chicago, "America/Chicago", night, 1);
	expect(&chicago, "2026-03-07T12:00:00Z", 300, "2026-03-08T11:00:00Z");
	expect(&chicago, "2026-03-07T12:00:00Z", 301, "2026-03-15T05:01:00Z");
	expect(&chicago, "2026-10-31T12:00:00Z", 420, "2026-11-01T12:00:00Z");
	expect(&chicago, "2026-10-31T12:00:00Z", 421, "2026-11-08T06:01:00Z");
	calendar_fini(&chicago);
}

TEST(hours_inside_a_skipped_or_doubled_hour)
{
	static const struct span half[] = { { 7, 150, 210 } }; /* Sundays 02:30 to 03:30 */
	struct calendar c;

	make(&c, "Europe/Madrid", half, 1);
	/* of 02:30 to 03:30 there is 03:00 to 03:30 alone: 01:00Z to 01:30Z */
	expect(&c, "2026-03-28T12:00:00Z", 30, "2026-03-29T01:30:00Z");
	expect(&c, "2026-03-28T12:00:00Z", 31, "2026-04-05T00:31:00Z");
	/* 02:30 to 03:00 (00:30Z), then 02:30 to 03:30 again (01:30Z to 02:30Z) */
	expect(&c, "2026-10-24T12:00:00Z", 30, "2026-10-25T01:00:00Z");
	expect(&c, "2026-10-24T12:00:00Z", 31, "2026-10-25T01:31:00Z");
	expect(&c, "2026-10-24T12:00:00Z", 90, "2026-10-25T02:30:00Z");
	calendar_fini(&c);
}

TEST(overlapping_hours_count_once)
{
	static const struct span spans[] = {
		{ 2, 600, 900 }, { 2, 480, 720 }, { 2, 500, 510 }, { 2, 900, 960 }, { 3, 0, 1440 },
	};
	struct calendar c;

	make(&c, "UTC", spans, ARRAY_SIZE(spans));
	ASSERT_EQ(c.spans_n, 2u);
	expect(&c, "2026-11-24T00:00:00Z", 480, "2026-11-24T16:00:00Z");
	expect(&c, "2026-11-24T00:00:00Z", 480 + 1440, "2026-11-26T00:00:00Z");
	calendar_fini(&c);
}

TEST(wrong_hours_and_zones_are_refused)
{
	static const struct span wrong[] = {
		{ 0, 0, 1 }, { 8, 0, 1 }, { 1, -1, 1 }, { 1, 0, 1441 }, { 1, 60, 60 }, { 1, 61, 60 },
	};
	struct calendar c;

	ASSERT_EQ(calendar_init(&c, "Europe/Atlantis"), -ENOENT);
	calendar_fini(&c);
	ASSERT_EQ(calendar_init(&c, "UTC"), 0);
	FOREACH(span, wrong)
		ASSERT_EQ(calendar_add_span(&c, *span), -EINVAL);
	calendar_fini(&c);
}

TEST(the_search_is_bounded)
{
	static const struct span monday[] = { { 1, 0, 1 } };
	struct calendar c;
	int32_t first = civil_to_days(2026, 1, 1);

	make(&c, "UTC", monday, 1); /* a minute a week */
	ASSERT_EQ(calendar_working_deadline(&c, at("2026-01-01T10:00:00Z"), INT32_MAX),
		  (int64_t)(first + CALENDAR_DAYS_MAX) * 1440 * MINUTE_US);
	calendar_fini(&c);
}

/* ---- against a minute by minute count ------------------------------------------------------ */

struct week { /* the question's own copy: nothing of the calendar is used to check it */
	struct zone *zone;
	struct span spans[12];
	size_t n;
	int32_t holidays[4];
	size_t holidays_n;
};

static bool works_at(const struct week *w, int64_t at_us)
{
	struct civil c;
	int32_t day;
	int minute;

	zone_civil(w->zone, at_us, &c);
	day = civil_to_days(c.year, c.month, c.day);
	minute = c.hour * 60 + c.minute;
	for (size_t i = 0; i < w->holidays_n; i++)
		if (w->holidays[i] == day)
			return false;
	for (size_t i = 0; i < w->n; i++)
		if (w->spans[i].weekday == c.weekday && minute >= w->spans[i].opens &&
		    minute < w->spans[i].closes)
			return true;
	return false;
}

/* from_us is a whole minute; 0: not within 25 days */
static int64_t count_minutes(const struct week *w, int64_t from_us, int32_t minutes)
{
	for (int64_t t = from_us; t < from_us + 25 * 1440 * MINUTE_US; t += MINUTE_US)
		if (works_at(w, t) && !--minutes)
			return t + MINUTE_US;
	return 0;
}

static uint32_t draw(uint64_t *state, uint32_t below)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33) % below;
}

static void random_week(uint64_t *rng, struct week *w, struct calendar *c, int32_t day)
{
	w->n = 1 + draw(rng, ARRAY_SIZE(w->spans));
	w->holidays_n = draw(rng, ARRAY_SIZE(w->holidays) + 1);
	for (size_t i = 0; i < w->n; i++) {
		struct span *s = &w->spans[i];

		s->weekday = draw(rng, 3) ? 7 - (int)draw(rng, 2) * 6 : 1 + (int)draw(rng, 7);
		s->opens = (int)draw(rng, draw(rng, 2) ? 240 : 1440);
		s->closes = s->opens + 1 + (int)draw(rng, 1440 - s->opens);
		ASSERT_EQ(calendar_add_span(c, *s), 0);
	}
	for (size_t i = 0; i < w->holidays_n; i++) {
		w->holidays[i] = day - 2 + (int32_t)draw(rng, 9);
		ASSERT_EQ(calendar_add_holiday(c, w->holidays[i]), 0);
	}
	ASSERT_EQ(calendar_seal(c), 0);
}

/* returns how many questions the count could answer */
static int try_random_week(uint64_t *rng, const char *zone, int32_t day)
{
	struct calendar c;
	struct week w = { 0 };
	int compared = 0;

	ASSERT_EQ(calendar_init(&c, zone), 0);
	ASSERT_EQ(zone_new(&w.zone, zone), 0);
	random_week(rng, &w, &c, day);
	for (int i = 0; i < 4; i++) {
		int64_t from_us = ((int64_t)day * 1440 - 2880 + draw(rng, 4320)) * MINUTE_US;
		int32_t minutes = 1 + (int32_t)draw(rng, draw(rng, 2) ? 400 : 3000);
		int64_t want = count_minutes(&w, from_us, minutes);
		int64_t got = calendar_working_deadline(&c, from_us, minutes);

		if (want)
			ASSERT_EQ(got, want);
		else
			ASSERT_TRUE(got > from_us + 24 * 1440 * MINUTE_US);
		compared += want != 0;
		/* seconds later is never earlier, and at most as much later */
		ASSERT_TRUE(calendar_working_deadline(&c, from_us + 17000000, minutes) >= got);
	}
	zone_free(w.zone);
	calendar_fini(&c);
	return compared;
}

TEST(equals_a_count_of_minutes_on_every_kind_of_day)
{
	static const struct {
		const char *zone;
		int year, month, day;
	} days[] = {
		{ "Europe/Madrid", 2026, 3, 29 },     { "Europe/Madrid", 2026, 10, 25 },
		{ "America/Chicago", 2026, 3, 8 },    { "America/Chicago", 2026, 11, 1 },
		{ "America/Havana", 2024, 3, 10 }, /* midnight is skipped */
		{ "America/Havana", 2024, 11, 3 }, /* the first hour of the day comes twice */
		{ "Asia/Beirut", 2024, 3, 31 }, /* midnight is skipped */
		{ "Asia/Beirut", 2024, 10, 27 }, /* the last hour of the day before comes twice */
		{ "Australia/Lord_Howe", 2026, 4, 5 }, /* half an hour */
		{ "Australia/Lord_Howe", 2026, 10, 4 },
		{ "Pacific/Apia", 2011, 12, 30 }, /* a day that never was */
		{ "Asia/Kathmandu", 2026, 6, 1 },     { "UTC", 2026, 6, 1 },
	};
	uint64_t rng = 20261124;

	FOREACH(d, days) {
		int compared = 0;

		for (int i = 0; i < 6; i++)
			compared += try_random_week(&rng, d->zone,
						    civil_to_days(d->year, d->month, d->day));
		ASSERT_GT(compared, 12); /* some weeks are too thin */
	}
}
