#pragma once
/*
 * core_report - a question for figures and its answer, as JSON and CSV
 *
 * Rates come with their numbers. Times to close are quantiles of a sketch with a resolution of a
 * quarter octave; averages of times would mislead and are not given. Pure, but for the rows that
 * it is filled from.
 */
#include "common/base/buf.h"
#include "common/store/store.h"

struct report_ask {
	char town[64], group_by[16]; /* all, day, service, department, channel, area */
	int32_t from_day, to_day; /* local days since 1970-01-01; to is not included */
	bool from_given, to_given, csv;
};

struct report_part {
	char *name;
	int64_t received, open, closed, on_time, answers, score_sum, satisfied;
	int16_t *buckets;
	int64_t *counts;
	size_t buckets_n;
};

struct report {
	struct report_part *parts; /* by name, ascending */
	size_t n;
};

/* takes town and format out of the path; false: not such a path */
bool report_path(const char *path, struct report_ask *ret);
/* takes from, to, group_by; NULL, or the reason with *ret_field */
const char *report_parse(struct report_ask *ask, const char *query, const char **ret_field);
/* the last 90 days with today, where nothing was given */
void report_default_days(struct report_ask *ask, int32_t today);
void report_fill(struct report *r, const struct rows *days, const struct rows *closes);
void report_fini(struct report *r);
void report_json(const struct report *r, const struct report_ask *ask, struct buf *out);
/* RFC 4180; cells that a spreadsheet would take for a formula get a leading ' */
void report_csv(const struct report *r, const struct report_ask *ask, struct buf *out);
/* one cell, quoted where needed */
void report_csv_cell(struct buf *out, const char *text);
