/*
 * writer - lanes: one group in flight each, the next filling meanwhile
 *
 * What is in flight decides how large the next group gets; nothing waits for a timer. Where half a
 * full group has gathered the next one follows at once, so that the server needn't wait for us: it
 * works on them one after another, since a lane has one connection. Where a flush takes long a
 * group is only executed by its answer, and told after a barrier (writer_barrier.c). Every verdict
 * but a commit ends in one of three: the same group again (alone, with the same ids), its halves,
 * or an answer that says "not taken". A submission is answered at the latest at its give_up_ms,
 * even while its group is still unsettled: its key makes a repetition safe.
 *
 *	queue ──take──▶ flying ──OK──▶ answered, published
 *	                  │ UNSURE, AGAIN, DOWN: the same group waits, then flies again
 *	                  │ DATA: two halves wait; one alone is refused
 *	                  └ others: answered "busy", told once in the log
 */
#include <errno.h>
#include "services/intake/writer.h"

#define SWEEP_MS 100
#define FLIGHTS_MAX 2 /* groups of a lane */

static void lane_go(struct lane *l);

static const char *end_name(const struct entry_result *r)
{
	static const char *const names[] = {
		[ENTRY_ACCEPTED] = "accepted", [ENTRY_CONFLICT] = "conflict", [ENTRY_BUSY] = "busy",
		[ENTRY_REFUSED] = "refused", [ENTRY_ANSWERED_BEFORE] = "answered_before",
	};

	return r->repeated && r->end == ENTRY_ACCEPTED ? "repeated" : names[r->end];
}

void writer_answer(struct writer *w, struct entry *e, const struct entry_result *r)
{
	const struct town *t = catalog_town(w->in->catalog, e->town);
	entry_fn done = e->done;

	if (!done)
		return;
	e->done = NULL;
	w->depth--;
	series_set(intake_series(w->in, METRIC_QUEUE, NULL, NULL, NULL), (double)w->depth);
	series_observe(intake_series(w->in, METRIC_ANSWER, NULL, NULL, NULL),
		       (double)(clock_mono_ms() - e->arrived_ms) / 1000);
	if (e->kind == ENTRY_SURVEY)
		series_add(intake_series(w->in, METRIC_SURVEY, end_name(r), NULL, NULL), 1);
	else
		series_add(intake_series(w->in, METRIC_OUTCOME, intake_channel_name(e->channel),
					 t ? t->slug : "", end_name(r)), 1);
	if (log_enabled(LOG_LEVEL_DEBUG)) {
		char trace[33];

		trace_hex(&e->trace, trace);
		log_debug("intake.answer", "request=%lld outcome=%s trace=%s",
			  (long long)r->request, end_name(r), trace);
	}
	done(e->ctx, e, r);
}

static void answer_busy(struct writer *w, struct entry *e, enum busy_cause cause)
{
	writer_answer(w, e, &(struct entry_result){ .end = ENTRY_BUSY, .cause = cause });
}

/* ---- groups ---------------------------------------------------------------------------------- */

static void group_free(struct group *g)
{
	for (size_t i = 0; i < g->n; i++)
		entry_free(g->entries[i]);
	list_del(&g->link);
	free(g->entries);
	free(g->outcomes);
	free(g);
}

/* takes the entries over on success */
static struct group *group_new(struct lane *l, struct entry *const *entries, size_t n)
{
	struct group *g = calloc(1, sizeof(*g));
	struct entry **copy = calloc(n, sizeof(*copy));
	struct outcome *outcomes = calloc(n, sizeof(*outcomes));

	if (!g || !copy || !outcomes) {
		free(g);
		free(copy);
		free(outcomes);
		return NULL;
	}
	memcpy(copy, entries, n * sizeof(*copy));
	g->lane = l;
	g->entries = copy;
	g->outcomes = outcomes;
	g->n = n;
	g->give_up_ms = UINT64_MAX;
	for (size_t i = 0; i < n; i++)
		g->give_up_ms = MIN(g->give_up_ms, copy[i]->give_up_ms);
	list_init(&g->link);
	return g;
}

static void answer_all(struct group *g, const struct entry_result *r)
{
	for (size_t i = 0; i < g->n; i++)
		writer_answer(g->lane->writer, g->entries[i], r);
}

static bool any_waits(const struct group *g)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->entries[i]->done)
			return true;
	return false;
}

/* ---- ids ------------------------------------------------------------------------------------- */

static void ids_answered(void *ctx, const struct answer *a)
{
	struct writer *w = ctx;

	w->ids_flying = false;
	if (!w->closing) {
		if (a->verdict == STORE_OK && a->n == 1)
			id_block_give(&w->ids, rows_int(a->rows[0], 0, 0));
		for (unsigned i = 0; i < LANE_MAX; i++)
			if (w->lanes[i])
				lane_go(w->lanes[i]);
	}
	writer_unref(w);
}

static void ids_ask(struct writer *w)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;

	if (w->ids_flying || !id_block_wants(&w->ids))
		return;
	if (store_group_new(&g, w->in->s->control))
		return;
	store_add(g, &intake_queries[QUERY_IDS]);
	if (store_submit(g, ids_answered, w))
		return; /* asked again by the sweep */
	steal(g);
	w->ids_flying = true;
	w->refs++;
}

/* ids and the code's hash; false: none left now */
static bool give_ids(struct writer *w, struct lane *l, struct entry *e)
{
	if (e->kind == ENTRY_SURVEY)
		return true;
	if (e->kind == ENTRY_HISTORY && !e->work_item) {
		int64_t n = id_block_left(&w->ids) > 1 ? id_block_take(&w->ids) : 0;

		if (!n || entry_finish_history(e, id_make(n, l->number)))
			return false;
	}
	if (e->request)
		return true;
	int64_t n = id_block_take(&w->ids);

	if (!n)
		return false;
	e->request = id_make(n, l->number);
	code_make(w->in->s->secret, l->number, e->request, 0, e->code);
	code_hash(w->in->s->secret, e->code, e->code_hash);
	return true;
}

/* ---- one lane -------------------------------------------------------------------------------- */

static void lane_retry(struct lane *l, struct group *g, unsigned ms)
{
	list_add_head(&l->waiting, &g->link);
	loop_timer_set(l->timer, ms + loop_random(l->writer->in->s->loop, ms));
}

static void halve(struct group *g)
{
	struct lane *l = g->lane;
	size_t half = g->n / 2;
	struct group *first = group_new(l, g->entries, half);
	struct group *second = first ? group_new(l, g->entries + half, g->n - half) : NULL;

	if (!second) {
		if (first) {
			first->n = 0;
			group_free(first);
		}
		answer_all(g, &(struct entry_result){ .end = ENTRY_BUSY, .cause = BUSY_STORE });
		group_free(g);
		return;
	}
	g->n = 0;
	group_free(g);
	list_add_head(&l->waiting, &second->link);
	list_add_head(&l->waiting, &first->link);
}

static void refuse(struct group *g, const struct answer *a)
{
	char trace[33];

	trace_hex(&g->entries[0]->trace, trace);
	log_warn("intake.refused", "sqlstate=%s constraint=%s trace=%s", a->sqlstate, a->constraint,
		 trace);
	answer_all(g, &(struct entry_result){ .end = ENTRY_REFUSED });
	group_free(g);
}

static void again(struct group *g, unsigned ms)
{
	struct lane *l = g->lane;

	g->tries++;
	if (any_waits(g)) {
		lane_retry(l, g, ms);
		return;
	}
	if (g->unsure)
		log_warn("intake.unsure", "lane=%u submissions=%zu tries=%u", l->number, g->n, g->tries);
	group_free(g);
}

/*
 * How long the first of a group waited says whether too many wait. Halved at most once for those
 * who came under the same limit: their successors show what it did.
 */
static void note_wait(const struct group *g)
{
	struct writer *w = g->lane->writer;
	uint64_t arrived_ms = g->give_up_ms - w->answer_ms, now = clock_mono_ms();

	w->committed_ms = now;
	if (now - arrived_ms <= w->wait_ms) {
		if ((double)w->depth * 2 > w->depth_max)
			w->depth_max = MIN(w->depth_max + (double)g->n / 32, (double)w->queue_max);
	} else if (arrived_ms >= w->less_ms) {
		w->depth_max = MAX(w->depth_max / 2, (double)w->batch_max);
		w->less_ms = now;
	}
}

bool writer_full(const struct writer *w)
{
	return w->depth >= w->queue_max || (double)w->depth >= w->depth_max ||
	       (w->depth > w->batch_max && clock_mono_ms() - w->committed_ms > w->wait_ms);
}

static void judged(struct group *g, const struct answer *a)
{
	switch (a->verdict) {
	case STORE_OK:
		note_wait(g);
		writer_committed(g);
		group_free(g);
		return;
	case STORE_DATA:
		if (g->n == 1)
			refuse(g, a);
		else
			halve(g);
		return;
	case STORE_UNSURE:
		g->unsure = true;
		again(g, 20);
		return;
	case STORE_AGAIN:
	case STORE_DOWN:
		again(g, 50);
		return;
	default:
		log_error("intake.group", "verdict=%s sqlstate=%s constraint=%s lane=%u",
			  store_verdict_name(a->verdict), a->sqlstate, a->constraint,
			  g->lane->number);
		log_debug("intake.group", "message=%s", a->message);
		answer_all(g, &(struct entry_result){ .end = ENTRY_BUSY, .cause = BUSY_STORE });
		group_free(g);
	}
}

static void settle(struct group *g, const struct answer *a)
{
	struct intake *in = g->lane->writer->in;

	series_observe(intake_series(in, METRIC_COMMIT, NULL, NULL, NULL),
		       (double)(clock_mono_us() - g->sent_us) / 1e6);
	series_add(intake_series(in, METRIC_VERDICT, store_verdict_name(a->verdict), NULL, NULL), 1);
	judged(g, a);
}

static void group_answered(void *ctx, const struct answer *a)
{
	struct group *g = ctx;
	struct lane *l = g->lane;

	if (!l) { /* the writer ended meanwhile and has answered */
		group_free(g);
		return;
	}
	struct writer *w = l->writer;

	list_del(&g->link);
	l->flights--;
	if (a->verdict == STORE_OK)
		writer_read(g, a);
	if (w->sampled == g) {
		w->sampled = NULL;
		/* outcomes of an earlier sending say nothing of this one */
		w->sampled_at_us = a->verdict == STORE_OK && g->outcomes[0].fresh ? g->outcomes[0].at_us : 0;
	}
	if (a->verdict == STORE_OK && g->early)
		barrier_join(g);
	else
		settle(g, a);
	if (!loop_timer_armed(l->timer))
		lane_go(l);
}

void writer_flushed(struct group *g, bool sure)
{
	struct lane *l = g->lane;

	settle(g, &(struct answer){ .verdict = sure ? STORE_OK : STORE_UNSURE });
	if (!loop_timer_armed(l->timer))
		lane_go(l);
}

static void fly(struct lane *l, struct group *g)
{
	int r = writer_send(g, group_answered);

	if (!r) {
		list_add_tail(&l->flying, &g->link);
		l->flights++;
		series_observe(intake_series(l->writer->in, METRIC_BATCH, NULL, NULL, NULL),
			       (double)g->n);
		if (!g->early)
			writer_sample(l->writer, store_pool_lane(l->writer->in->s->writers, l->number), g);
		return;
	}
	if (r < 0)
		log_error_errno(r, "intake.group");
	again(g, 50);
}

/* the next group out of the queue; NULL: nothing can go now */
static struct group *next_group(struct lane *l)
{
	struct writer *w = l->writer;
	struct entry *entries[2048];
	struct group *g;
	size_t n = queue_take(l->queue, entries, MIN(w->batch_max, ARRAY_SIZE(entries)));
	size_t ready = 0;

	for (size_t i = 0; i < n; i++) {
		if (give_ids(w, l, entries[i]))
			entries[ready++] = entries[i];
		else
			queue_return(l->queue, entries[i]);
	}
	ids_ask(w);
	if (!ready)
		return NULL;
	g = group_new(l, entries, ready);
	for (size_t i = 0; i < ready && !g; i++) {
		answer_busy(w, entries[i], BUSY_STORE);
		entry_free(entries[i]);
	}
	return g;
}

static bool may_fly(const struct lane *l)
{
	if (!l->flights)
		return true;
	return l->flights < FLIGHTS_MAX && list_empty(&l->waiting) &&
	       queue_length(l->queue) * 2 >= l->writer->batch_max;
}

static void lane_go(struct lane *l)
{
	struct group *g;

	while (may_fly(l)) {
		g = NULL;
		if (!list_empty(&l->waiting)) {
			g = list_entry(l->waiting.next, struct group, link);
			list_del(&g->link);
		} else if (queue_length(l->queue)) {
			g = next_group(l);
		}
		if (!g)
			return;
		fly(l, g);
		if (!l->flights) /* it couldn't be sent */
			return;
	}
}

static void lane_timer(void *ctx)
{
	lane_go(ctx);
}

static void lane_free(struct lane *l)
{
	if (!l)
		return;
	loop_timer_free(l->timer);
	queue_free(l->queue);
	free(l);
}

static struct lane *lane_get(struct writer *w, unsigned number)
{
	struct lane *l = w->lanes[number];

	if (l)
		return l;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->writer = w;
	l->number = (uint8_t)number;
	list_init(&l->waiting);
	list_init(&l->flying);
	if (queue_new(&l->queue) || loop_timer_new(&l->timer, w->in->s->loop, lane_timer, l)) {
		lane_free(l);
		return NULL;
	}
	return w->lanes[number] = l;
}

/* ---- time ------------------------------------------------------------------------------------ */

static void expire_group(struct writer *w, struct group *g, uint64_t now)
{
	if (g->give_up_ms > now)
		return;
	for (size_t i = 0; i < g->n; i++)
		if (g->entries[i]->give_up_ms <= now)
			answer_busy(w, g->entries[i], BUSY_UNSURE);
}

static void expire_lane(struct lane *l, uint64_t now)
{
	struct writer *w = l->writer;
	struct entry *e;
	struct group *g;

	while ((e = queue_expired(l->queue, now))) {
		answer_busy(w, e, BUSY_QUEUE);
		entry_free(e);
	}
	list_for_each(g, &l->waiting, link) {
		expire_group(w, g, now);
		if (!any_waits(g)) {
			if (g->unsure)
				log_warn("intake.unsure", "lane=%u submissions=%zu tries=%u",
					 l->number, g->n, g->tries);
			group_free(g);
		}
	}
	list_for_each(g, &l->flying, link)
		expire_group(w, g, now);
	if (!loop_timer_armed(l->timer))
		lane_go(l); /* what waited for ids */
}

static void sweep(void *ctx)
{
	struct writer *w = ctx;
	uint64_t now = clock_mono_ms();
	struct group *g;

	for (unsigned i = 0; i < LANE_MAX; i++)
		if (w->lanes[i])
			expire_lane(w->lanes[i], now);
	list_for_each(g, &w->executed, link)
		expire_group(w, g, now);
	list_for_each(g, &w->covered, link)
		expire_group(w, g, now);
	ids_ask(w);
	if (w->depth)
		loop_timer_set(w->sweep, SWEEP_MS);
}

/* ---- the writer ------------------------------------------------------------------------------ */

int writer_add(struct writer *w, struct entry *e)
{
	struct lane *l = w->depth < w->queue_max ? lane_get(w, e->lane) : NULL;

	if (!l)
		return BUSY_QUEUE;
	e->arrived_ms = clock_mono_ms();
	e->give_up_ms = e->arrived_ms + w->answer_ms;
	if (queue_add(l->queue, e))
		return BUSY_QUEUE;
	if (!w->depth++)
		w->committed_ms = e->arrived_ms;
	series_set(intake_series(w->in, METRIC_QUEUE, NULL, NULL, NULL), (double)w->depth);
	if (!loop_timer_armed(w->sweep))
		loop_timer_set(w->sweep, SWEEP_MS);
	/* on the next turn: what else this turn reads goes along */
	if (may_fly(l) && !loop_timer_armed(l->timer))
		loop_timer_set(l->timer, 0);
	return 0;
}

size_t writer_depth(const struct writer *w)
{
	return w->depth;
}

void writer_unref(struct writer *w)
{
	if (--w->refs)
		return;
	for (unsigned i = 0; i < ACCEPT_COLUMNS; i++)
		column_free(w->columns[i]);
	free(w);
}

int writer_new(struct writer **ret, struct intake *in)
{
	struct writer *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_here(-ENOMEM);
	w->in = in;
	w->refs = 1;
	list_init(&w->executed);
	list_init(&w->covered);
	w->batch_max = (size_t)config_int(in->s->config, "intake.batch_max");
	w->queue_max = (size_t)config_int(in->s->config, "intake.queue_max");
	w->answer_ms = (uint64_t)config_int(in->s->config, "intake.answer_ms");
	w->wait_ms = (uint64_t)config_int(in->s->config, "intake.wait_ms");
	w->depth_max = (double)MIN(w->queue_max, 4 * w->batch_max);
	series_set(intake_series(in, METRIC_QUEUE_LIMIT, NULL, NULL, NULL), (double)w->queue_max);
	r = writer_columns(w);
	if (!r)
		r = loop_timer_new(&w->sweep, in->s->loop, sweep, w);
	if (r) {
		writer_unref(w);
		return r;
	}
	*ret = w;
	return 0;
}

static void lane_close(struct lane *l)
{
	struct writer *w = l->writer;
	struct entry *e;
	struct group *g;

	while ((e = queue_expired(l->queue, UINT64_MAX))) {
		answer_busy(w, e, BUSY_DRAINING);
		entry_free(e);
	}
	list_for_each(g, &l->waiting, link) {
		answer_all(g, &(struct entry_result){ .end = ENTRY_BUSY, .cause = BUSY_UNSURE });
		group_free(g);
	}
	list_for_each(g, &l->flying, link) {
		answer_all(g, &(struct entry_result){ .end = ENTRY_BUSY, .cause = BUSY_UNSURE });
		list_del(&g->link);
		g->lane = NULL; /* its answer frees it */
	}
	lane_free(l);
}

static void close_unflushed(struct list *groups)
{
	struct group *g;

	list_for_each(g, groups, link) {
		answer_all(g, &(struct entry_result){ .end = ENTRY_BUSY, .cause = BUSY_UNSURE });
		group_free(g);
	}
}

void writer_free(struct writer *w)
{
	if (!w)
		return;
	w->closing = true;
	loop_timer_free(w->sweep);
	close_unflushed(&w->executed);
	close_unflushed(&w->covered);
	for (unsigned i = 0; i < LANE_MAX; i++)
		if (w->lanes[i])
			lane_close(w->lanes[i]);
	writer_unref(w);
}
