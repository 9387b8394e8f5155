#pragma once
/*
 * core_calendar - a deadline so many minutes after a moment
 *
 * `calendar` minutes are real minutes. `working` minutes are those real minutes whose local reading
 * lies in the working hours of their local day, holidays left out. So a day on which clocks go
 * forward or back has as many working minutes as really pass: hours that are skipped don't count,
 * hours that come twice count twice. Pure: time is passed in.
 */
#include "common/base/base.h"
#include "common/base/zone.h"

/* The search of one deadline looks at no more days than these, about ten years. */
#define CALENDAR_DAYS_MAX 3660

struct span { /* of one weekday, in minutes since local midnight */
	int weekday; /* ISO: 1 is Monday */
	int opens, closes; /* 0 <= opens < closes <= 1,440; closes isn't included */
};

struct calendar {
	struct zone *zone; /* owned */
	struct span *spans; /* sorted by weekday and opens, never touching; owned */
	size_t spans_n;
	size_t first[9]; /* spans of weekday w are [first[w], first[w + 1]) */
	int32_t *holidays; /* days since 1970, ascending; owned */
	size_t holidays_n;
};

/* -ENOENT: no such zone. Free it with calendar_fini(), also after a failure. */
int calendar_init(struct calendar *c, const char *zone_name) _must_check_;
void calendar_fini(struct calendar *c); /* also right for a zeroed one */
/* -EINVAL: out of range; -ENOMEM. Spans may overlap and come in any order. */
int calendar_add_span(struct calendar *c, struct span span) _must_check_;
int calendar_add_holiday(struct calendar *c, int32_t day) _must_check_;
/*
 * Call once after the last add. Where no hours were given: Monday to Friday, 08:00 to 15:00, the
 * hours of most town halls. -ENOMEM.
 */
int calendar_seal(struct calendar *c) _must_check_;

/* from_us + minutes of real time. minutes > 0. from_us is brought into the years 1970 … 9999 */
int64_t calendar_deadline(int64_t from_us, int32_t minutes);
/*
 * The first moment by which `minutes` of working time have passed since from_us; where they don't
 * fit into CALENDAR_DAYS_MAX days (holidays without end), the end of the last of these days.
 */
int64_t calendar_working_deadline(const struct calendar *c, int64_t from_us, int32_t minutes);
