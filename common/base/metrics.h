#pragma once
/*
 * metrics - counters, gauges and histograms of one process, written as Prometheus text
 *
 * A table is metrics.def: METRIC(id, kind, "name_without_prefix", "help", "label,label")
 * Names get the prefix centraleta_. Label values come from closed sets, never from text or ids of
 * people; each metric holds METRICS_SERIES_MAX series at most, further ones are counted in
 * centraleta_metrics_dropped_total. Loop thread only. A series pointer stays valid for ever.
 */
#include "common/base/base.h"
#include "common/base/buf.h"

#define METRICS_SERIES_MAX 4096

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_SECONDS, METRIC_SIZE };
/* SECONDS: histogram 100 µs … 60 s; SIZE: histogram 1 … 65,536; both with fixed buckets */

struct metric_def {
	enum metric_kind kind;
	const char *name, *help, *labels; /* labels: "" or names divided by ',' */
};

struct metrics;
struct series;

int metrics_new(struct metrics **ret) _must_check_;
void metrics_free(struct metrics *m);
DEFINE_CLEANUP(struct metrics *, metrics_free)
/*
 * adds a table; the defs must outlive m; returned base + index names a metric, -ENOMEM. A table
 * that is there already is found again, so that several objects of a kind share their metrics.
 */
int metrics_register(struct metrics *m, const struct metric_def *defs, size_t n) _must_check_;
/* values in the order of labels, one for each; never NULL (a sink when dropped or out of memory) */
struct series *metrics_series(struct metrics *m, int metric, ...);
void series_add(struct series *s, double v); /* counter, gauge */
void series_set(struct series *s, double v); /* gauge */
void series_observe(struct series *s, double v); /* histograms: seconds or count */
double series_value(const struct series *s); /* counter, gauge; count of a histogram */
void metrics_write(const struct metrics *m, struct buf *out);
