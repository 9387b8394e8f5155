/*
 * core_calendar - deadlines in real and in working minutes
 *
 * A local day is walked as pieces of constant offset from UTC, one piece on most days and two where
 * the clocks change. In a piece local readings and instants differ by a constant, so the working
 * hours of the day are cut to it by two comparisons. What a reading such as 02:30 means on a day
 * that has none, or two, never has to be asked.
 */
#include "services/routing/array.h"
#include "services/routing/core_calendar.h"

#define MINUTE_US INT64_C(60000000)
#define DAY_US (1440 * MINUTE_US)
#define FROM_MAX_US INT64_C(253402300799000000) /* 9999-12-31T23:59:59Z */

int calendar_init(struct calendar *c, const char *zone_name)
{
	*c = (struct calendar){ 0 };
	return zone_new(&c->zone, zone_name);
}

void calendar_fini(struct calendar *c)
{
	zone_free(c->zone);
	free(c->spans);
	free(c->holidays);
	*c = (struct calendar){ 0 };
}

int calendar_add_span(struct calendar *c, struct span span)
{
	int r;

	if (span.weekday < 1 || span.weekday > 7 || span.opens < 0 || span.closes > 1440 ||
	    span.opens >= span.closes)
		return -EINVAL;
	r = array_grow((void **)&c->spans, c->spans_n, sizeof(*c->spans));
	if (r)
		return r;
	c->spans[c->spans_n++] = span;
	return 0;
}

int calendar_add_holiday(struct calendar *c, int32_t day)
{
	int r = array_grow((void **)&c->holidays, c->holidays_n, sizeof(*c->holidays));

	if (r)
		return r;
	c->holidays[c->holidays_n++] = day;
	return 0;
}

static int by_opening(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->weekday != y->weekday)
		return x->weekday < y->weekday ? -1 : 1;
	return (x->opens > y->opens) - (x->opens < y->opens);
}

static int by_day(const void *a, const void *b)
{
	const int32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int add_usual_hours(struct calendar *c)
{
	for (int weekday = 1; weekday <= 5; weekday++) {
		const struct span usual = { weekday, 8 * 60, 15 * 60 };
		int r = calendar_add_span(c, usual);

		if (r)
			return r;
	}
	return 0;
}

/* spans that overlap or touch become one, so that no minute counts twice */
static void merge_spans(struct calendar *c)
{
	size_t kept = 0;

	for (size_t i = 1; i < c->spans_n; i++) {
		struct span *last = &c->spans[kept], *s = &c->spans[i];

		if (s->weekday == last->weekday && s->opens <= last->closes)
			last->closes = MAX(last->closes, s->closes);
		else
			c->spans[++kept] = *s;
	}
	c->spans_n = kept + 1;
}

int calendar_seal(struct calendar *c)
{
	if (!c->spans_n) {
		int r = add_usual_hours(c);

		if (r)
			return r;
	}
	qsort(c->spans, c->spans_n, sizeof(*c->spans), by_opening);
	merge_spans(c);
	if (c->holidays_n)
		qsort(c->holidays, c->holidays_n, sizeof(*c->holidays), by_day);
	for (size_t i = 0, weekday = 0; weekday < ARRAY_SIZE(c->first); weekday++) {
		while (i < c->spans_n && (size_t)c->spans[i].weekday < weekday)
			i++;
		c->first[weekday] = i;
	}
	return 0;
}

static int64_t from_within(int64_t from_us)
{
	return from_us < 0 ? 0 : MIN(from_us, FROM_MAX_US);
}

int64_t calendar_deadline(int64_t from_us, int32_t minutes)
{
	return from_within(from_us) + minutes * MINUTE_US;
}

/* what local readings are ahead of UTC at an instant */
static int64_t offset_us(const struct zone *z, int64_t at_us)
{
	struct civil c;
	int64_t at_s = at_us / 1000000, local_s;

	zone_civil(z, at_s * 1000000, &c);
	local_s = civil_to_days(c.year, c.month, c.day) * INT64_C(86400) + c.hour * 3600 +
		  c.minute * 60 + c.second;
	return (local_s - at_s) * 1000000;
}

/* the first whole second in (from, to] from which on the offset is no longer that of from */
static int64_t offset_change(const struct zone *z, int64_t from_us, int64_t to_us)
{
	const int64_t before = offset_us(z, from_us);
	int64_t same_s = from_us / 1000000, other_s = to_us / 1000000;

	while (other_s - same_s > 1) {
		int64_t middle_s = same_s + (other_s - same_s) / 2;

		if (offset_us(z, middle_s * 1000000) == before)
			same_s = middle_s;
		else
			other_s = middle_s;
	}
	return other_s * 1000000;
}

/* how the search stands: what is still to pass after `at` */
struct search {
	const struct calendar *calendar;
	int64_t from_us; /* nothing before counts */
	int64_t left_us; /* 0: found */
	int64_t found_us;
};

/* the working hours of one day inside [start, end), where readings are `offset` ahead of UTC */
static void search_piece(struct search *s, int32_t day, int64_t start_us, int64_t end_us,
			 int64_t offset)
{
	const struct calendar *c = s->calendar;
	const int weekday = civil_weekday(day);
	const int64_t midnight_us = day * DAY_US - offset;

	for (size_t i = c->first[weekday]; i < c->first[weekday + 1] && s->left_us; i++) {
		int64_t opens_us = midnight_us + c->spans[i].opens * MINUTE_US;
		int64_t closes_us = midnight_us + c->spans[i].closes * MINUTE_US;

		opens_us = MAX(MAX(opens_us, start_us), s->from_us);
		closes_us = MIN(closes_us, end_us);
		if (opens_us >= closes_us)
			continue;
		if (closes_us - opens_us >= s->left_us) {
			s->found_us = opens_us + s->left_us;
			s->left_us = 0;
		} else {
			s->left_us -= closes_us - opens_us;
		}
	}
}

static void search_day(struct search *s, int32_t day, int64_t start_us, int64_t end_us)
{
	const struct zone *z = s->calendar->zone;
	const int64_t offset = offset_us(z, start_us);
	int64_t change_us;

	if (end_us - start_us == DAY_US) {
		search_piece(s, day, start_us, end_us, offset);
		return;
	}
	change_us = offset_change(z, start_us, end_us);
	search_piece(s, day, start_us, MIN(change_us, end_us), offset);
	if (change_us < end_us)
		search_piece(s, day, change_us, end_us, offset_us(z, change_us));
}

static bool works_on(const struct calendar *c, int32_t day)
{
	const int weekday = civil_weekday(day);

	if (c->first[weekday] == c->first[weekday + 1])
		return false;
	return !c->holidays_n ||
	       !bsearch(&day, c->holidays, c->holidays_n, sizeof(day), by_day);
}

int64_t calendar_working_deadline(const struct calendar *c, int64_t from_us, int32_t minutes)
{
	struct search s = {
		.calendar = c,
		.from_us = from_within(from_us),
		.left_us = minutes * MINUTE_US,
	};
	const int32_t first = zone_day(c->zone, s.from_us);
	int64_t next_us = zone_day_start(c->zone, first);

	for (int32_t day = first; day < first + CALENDAR_DAYS_MAX; day++) {
		const int64_t start_us = next_us;

		next_us = zone_day_start(c->zone, day + 1);
		if (start_us < next_us && works_on(c, day))
			search_day(&s, day, start_us, next_us);
		if (!s.left_us)
			return s.found_us;
	}
	return next_us;
}
