/*
 * writer_barrier - groups that were committed without waiting for the flush, and the one that waits
 *
 * Where a flush takes long, a lane that is locked through it holds up its next group and whoever
 * else appends to it. So the groups commit at once and are told after log_barrier(), whose commit
 * waits for the flush of all that came before. While it does the lanes go on; what they commit
 * meanwhile is the next barrier's. A barrier proves nothing about a server that lost what it had not
 * flushed: its session must have been there when the group was sent, and on the same server
 * (decision 11).
 */
#include "services/intake/writer.h"

static void go(struct writer *w);

bool barrier_there(const struct writer *w)
{
	return w->flush.slow && store_ready(w->in->s->control);
}

static bool holds(const struct writer *w, const struct group *g, int64_t server)
{
	return g->session == store_sessions(w->in->s->control) && g->server == server;
}

static void answered(void *ctx, const struct answer *a)
{
	struct writer *w = ctx;
	bool committed = a->verdict == STORE_OK && a->n == 1;
	int64_t server = committed ? rows_time(a->rows[0], 0, 1) : 0;
	struct group *g;

	w->barrier_flying = false;
	if (!w->closing) {
		series_add(intake_series(w->in, METRIC_BARRIERS, store_verdict_name(a->verdict), NULL, NULL), 1);
		if (w->sampled == &w->covered && committed)
			w->sampled_at_us = rows_time(a->rows[0], 0, 0);
		list_for_each(g, &w->covered, link) {
			list_del(&g->link);
			writer_flushed(g, committed && holds(w, g, server));
		}
		go(w);
	}
	writer_unref(w);
}

/* all that is executed goes under the next barrier */
static void go(struct writer *w)
{
	_cleanup_(store_group_freep) struct store_group *s = NULL;
	struct group *g;

	if (w->barrier_flying || list_empty(&w->executed))
		return;
	if (!store_group_new(&s, w->in->s->control)) {
		store_add(s, &intake_queries[QUERY_BARRIER]);
		w->barrier_flying = !store_submit(s, answered, w);
	}
	if (w->barrier_flying) {
		steal(s);
		w->refs++;
		writer_sample(w, w->in->s->control, &w->covered);
	}
	list_for_each(g, &w->executed, link) {
		list_del(&g->link);
		if (w->barrier_flying)
			list_add_tail(&w->covered, &g->link);
		else
			writer_flushed(g, false);
	}
}

void barrier_join(struct group *g)
{
	struct writer *w = g->lane->writer;

	list_add_tail(&w->executed, &g->link);
	go(w);
}
