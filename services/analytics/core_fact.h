#pragma once
/*
 * core_fact - what analytics knows of a request, and what that adds to the rollups
 *
 * The rollups are by definition the sum of contribution(fact) over all requests. A change of a
 * fact is booked as contribution(after) - contribution(before), so nothing drifts, and a recount
 * from scratch must be equal. Pure.
 */
#include "common/base/base.h"
#include "common/base/config.h"
#include "common/base/zone.h"
#include "common/eventlog/eventlog.h"

struct fact {
	int64_t request;
	int32_t jurisdiction, service, department, area; /* area 0: unknown */
	int16_t channel;
	int16_t score; /* -1: not answered */
	int64_t requested_at_us, deadline_us;
	int64_t closed_at_us; /* 0: open */
};

struct day_key {
	int32_t jurisdiction, day, service, department, area; /* day: since 1970-01-01, local */
	int16_t channel;
	int16_t bucket; /* of a rollup_close row; -1: a rollup_day row */
};

struct day_delta {
	struct day_key key;
	int64_t received, open, closed, on_time, answers, score_sum, satisfied;
	int64_t n; /* of a rollup_close row */
};

enum { FACT_ROWS_MAX = 3 }; /* its day of asking, its day of closing, its bucket */

/*
 * Rows that a fact adds, times sign (1 or -1). Return: how many of ret (FACT_ROWS_MAX) are set.
 */
size_t fact_contribution(const struct fact *f, const struct zone *zone, int sign, struct day_delta *ret);

/*
 * Applies an event. known: f holds the request's fact. 0: f is changed (or new); 1: the event
 * says nothing here, or repeats what is known; -EINVAL: its body can't be read.
 */
int fact_apply(struct fact *f, bool *known, const struct event *e);

/* sorts by key and adds equal keys up; rows of all zeros go. Return: how many are left */
size_t day_delta_merge(struct day_delta *rows, size_t n);

/*
 * Time to close, as a bucket: four to an octave of minutes, exact in integers (minute m with
 * highest bit e: 4 e + the two bits below it). Under a minute is bucket 0.
 */
int16_t close_bucket(int64_t requested_at_us, int64_t closed_at_us);
/* minutes at the lower edge, and at the upper (not included) */
double bucket_low(int16_t bucket);
double bucket_high(int16_t bucket);
/*
 * The q quantile (0 … 1) of a sketch, in minutes, by linear interpolation inside its bucket.
 * counts[i] belongs to buckets[i], ascending. -1: empty.
 */
double sketch_quantile(const int16_t *buckets, const int64_t *counts, size_t n, double q);
