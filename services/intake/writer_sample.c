/*
 * writer_sample - what a commit takes on this store, by its own clock
 *
 * A statement of its own right behind a group runs in the same back-end as soon as the group is
 * committed, without waiting for us. The time from the group's end to it is the commit, flush
 * included.
 */
#include "services/intake/writer.h"

#define SAMPLE_MS 1000
#define FIRST_SAMPLES_MS 50 /* until there are enough */

static void sample_answered(void *ctx, const struct answer *a)
{
	struct writer *w = ctx;
	int64_t us = a->verdict == STORE_OK ? rows_time(a->rows[0], 0, 0) - w->sampled_at_us : 0;

	w->sampling = false;
	w->sampled = NULL;
	if (!w->closing && w->sampled_at_us && us > 0) {
		flush_note(&w->flush, (double)us);
		series_set(intake_series(w->in, METRIC_FLUSH, NULL, NULL, NULL),
			   flush_least_us(&w->flush) / 1e6);
	}
	writer_unref(w);
}

void writer_sample(struct writer *w, struct store *store, const void *of)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	uint64_t now = clock_mono_ms();

	if (w->sampling || now < w->sample_ms || store_group_new(&g, store))
		return;
	store_add(g, &intake_queries[QUERY_CLOCK]);
	if (store_submit(g, sample_answered, w))
		return;
	steal(g);
	w->sample_ms = now + (w->flush.n < FLUSH_SAMPLES ? FIRST_SAMPLES_MS : SAMPLE_MS);
	w->sampling = true;
	w->sampled = of;
	w->sampled_at_us = 0;
	w->refs++;
}
