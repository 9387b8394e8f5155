/*
 * zone - IANA time zones over GLib's GTimeZone
 *
 * A local time is turned into an instant by trying the offsets that hold a day before and a day
 * after it: no zone changes twice within two days. Only names of files in the system's tzdata are
 * taken, since GLib also reads "+02:00" and POSIX rules, and UTC for what it doesn't know.
 */
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <unistd.h>
#include "common/base/zone.h"

#define DAY_S 86400
#define US_PER_S 1000000

struct zone {
	GTimeZone *tz;
};

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static bool known_name(const char *name)
{
	const char *dir = getenv("TZDIR");
	char path[512];
	int n;

	if (name[0] == '/' || name[0] == '.' || strstr(name, ".."))
		return false;
	n = snprintf(path, sizeof(path), "%s/%s", dir ? dir : "/usr/share/zoneinfo", name);
	return name[0] && n > 0 && (size_t)n < sizeof(path) && path[n - 1] != '/' &&
	       g_file_test(path, G_FILE_TEST_IS_REGULAR);
}

int zone_new(struct zone **ret, const char *iana_name)
{
	_cleanup_(zone_freep) struct zone *z = calloc(1, sizeof(*z));

	if (!z)
		return -ENOMEM;
	if (!known_name(iana_name))
		return -ENOENT;
	z->tz = g_time_zone_new_identifier(iana_name);
	if (!z->tz)
		return -ENOENT;
	*ret = steal(z);
	return 0;
}

void zone_free(struct zone *z)
{
	if (!z)
		return;
	if (z->tz)
		g_time_zone_unref(z->tz);
	free(z);
}

/* offset to UTC in seconds, east is positive */
static int64_t offset_at(const struct zone *z, int64_t at_s)
{
	gint interval = g_time_zone_find_interval(z->tz, G_TIME_TYPE_UNIVERSAL, at_s);

	return g_time_zone_get_offset(z->tz, interval);
}

void zone_civil(const struct zone *z, int64_t at_us, struct civil *ret)
{
	int64_t at_s = floor_div(at_us, US_PER_S), local = at_s + offset_at(z, at_s);
	int64_t days = floor_div(local, DAY_S);
	int of_day = (int)(local - days * DAY_S);

	civil_from_days((int32_t)days, &ret->year, &ret->month, &ret->day);
	ret->hour = of_day / 3600;
	ret->minute = of_day / 60 % 60;
	ret->second = of_day % 60;
	ret->weekday = civil_weekday((int32_t)days);
}

static int32_t day_of(const struct zone *z, int64_t at_s)
{
	return (int32_t)floor_div(at_s + offset_at(z, at_s), DAY_S);
}

int32_t zone_day(const struct zone *z, int64_t at_us)
{
	return day_of(z, floor_div(at_us, US_PER_S));
}

static enum zone_hit instant(const struct zone *z, int64_t local_s, bool later, int64_t *ret_s)
{
	int64_t before = local_s - offset_at(z, local_s - DAY_S);
	int64_t after = local_s - offset_at(z, local_s + DAY_S);
	bool first = before + offset_at(z, before) == local_s;
	bool second = after + offset_at(z, after) == local_s;

	if (first && second && before != after) {
		*ret_s = later ? MAX(before, after) : MIN(before, after);
		return ZONE_TWICE;
	}
	*ret_s = second && !first ? after : before;
	return first || second ? ZONE_ONCE : ZONE_SKIPPED;
}

enum zone_hit zone_instant(const struct zone *z, const struct civil *c, bool later,
			   int64_t *ret_at_us)
{
	int64_t local = (int64_t)civil_to_days(c->year, c->month, c->day) * DAY_S +
			c->hour * 3600 + c->minute * 60 + c->second;
	enum zone_hit hit = instant(z, local, later, &local);

	*ret_at_us = local * US_PER_S;
	return hit;
}

int64_t zone_day_start(const struct zone *z, int32_t day)
{
	int64_t start, from;

	if (instant(z, (int64_t)day * DAY_S, false, &start) != ZONE_SKIPPED)
		return start * US_PER_S;
	/* the gap may begin before midnight, or swallow the whole day: look for its end */
	for (from = start - DAY_S; start - from > 1;) {
		int64_t middle = from + (start - from) / 2;

		if (day_of(z, middle) >= day)
			start = middle;
		else
			from = middle;
	}
	return start * US_PER_S;
}

/* days <-> date after Howard Hinnant, "chrono-compatible low-level date algorithms" */
int32_t civil_to_days(int year, int month, int day)
{
	int64_t y, era, of_era, of_year;

	y = (int64_t)year + floor_div(month - 1, 12);
	month = (int)(month - 1 - floor_div(month - 1, 12) * 12) + 1;
	y -= month <= 2;
	era = floor_div(y, 400);
	of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	of_era = (y - era * 400) * 365 + (y - era * 400) / 4 - (y - era * 400) / 100 + of_year;
	return (int32_t)(era * 146097 + of_era - 719468);
}

void civil_from_days(int32_t days, int *ret_year, int *ret_month, int *ret_day)
{
	int64_t z = (int64_t)days + 719468, era = floor_div(z, 146097), of_era = z - era * 146097;
	int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;

	*ret_day = (int)(of_year - (153 * m + 2) / 5 + 1);
	*ret_month = (int)(m < 10 ? m + 3 : m - 9);
	*ret_year = (int)(y + era * 400 + (*ret_month <= 2));
}

int civil_weekday(int32_t days)
{
	int64_t n = (int64_t)days + 3; /* 1970-01-01 was a Thursday */

	return (int)(n - floor_div(n, 7) * 7) + 1;
}
