#pragma once
/*
 * zone - IANA time zones, several in one process (over GLib's GTimeZone)
 *
 * Immutable once made; may be shared by threads.
 */
#include "common/base/base.h"

struct zone;

/* -ENOENT: no such zone in the system's tzdata */
int zone_new(struct zone **ret, const char *iana_name) _must_check_;
void zone_free(struct zone *z);
DEFINE_CLEANUP(struct zone *, zone_free)

struct civil {
	int year, month, day; /* 1-based */
	int hour, minute, second;
	int weekday; /* ISO: 1 is Monday */
};

void zone_civil(const struct zone *z, int64_t at_us, struct civil *ret);
/* days since 1970-01-01 of the local date */
int32_t zone_day(const struct zone *z, int64_t at_us);

enum zone_hit { ZONE_ONCE = 0, ZONE_SKIPPED = 1, ZONE_TWICE = 2 };
/*
 * Local time to instant. A skipped hour (spring) gives the instant after the gap, moved by the
 * gap's length; a doubled hour (autumn) gives the first reading, or the second if later is set.
 * What happened is returned.
 */
enum zone_hit zone_instant(const struct zone *z, const struct civil *c, bool later,
			   int64_t *ret_at_us);
/* start of a local day; where midnight is skipped, the first instant of the day */
int64_t zone_day_start(const struct zone *z, int32_t day);
int32_t civil_to_days(int year, int month, int day);
void civil_from_days(int32_t days, int *ret_year, int *ret_month, int *ret_day);
int civil_weekday(int32_t days); /* ISO: 1 is Monday */
