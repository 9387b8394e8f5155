/*
 * parked - events that can't be decided, set aside so that the lane goes on
 *
 * An event is parked in the step that passes it; what follows of its order_key is parked behind it,
 * because a history must not be taken out of order. An operator marks the first of a key ("wish");
 * the holder plays it back, then those behind it, one step each, and the key is free again in the
 * step that finds nothing more of it. Poison that kills the process is found by counts that are
 * committed before each try.
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/eventlog/internal.h"

static void place(struct store_group *g, const struct lane *l)
{
	store_p_text(g, l->consumer->ops->name);
	store_p_int2(g, (int16_t)l->index);
}

static void count_parked(const struct lane *l, const char *cause, size_t n)
{
	series_add(log_series(l->consumer->log, M_PARKED_TOTAL, l->consumer->ops->name, cause), (double)n);
}

/* ---- setting aside ------------------------------------------------------------------------ */

void parked_add_rows(struct batch *b, const struct event *events, size_t n, const char *cause,
		     const char *detail)
{
	struct column **c = b->lane->consumer->log->columns;
	struct column *seq = b->lane->consumer->log->seqs;

	if (!n)
		return;
	for (size_t i = 0; i < n; i++) {
		column_int(seq, events[i].seq);
		column_int(c[2], events[i].order_key);
		column_int(c[1], events[i].jurisdiction);
	}
	store_add(b->group, query(EVENTLOG_PARK));
	place(b->group, b->lane);
	store_p_column(b->group, seq);
	store_p_column(b->group, c[2]);
	store_p_column(b->group, c[1]);
	store_p_text(b->group, cause);
	store_p_text(b->group, detail);
	count_parked(b->lane, cause, n);
}

static void add_park_again(struct batch *b, const char *cause, const char *detail)
{
	store_add(b->group, query(EVENTLOG_PARK_AGAIN));
	place(b->group, b->lane);
	store_p_int8(b->group, b->events[0].seq);
	store_p_text(b->group, cause);
	store_p_text(b->group, detail);
}

void parked_set_aside(struct lane *l, const char *cause, const char *detail)
{
	struct batch *b = &l->batch;
	const struct event *e = &b->events[0];
	int r;

	if (l->parked.n >= l->parked.max && !keys_has(&l->parked, e->order_key)) {
		lane_stop(l, "parked_keys", "too many");
		return;
	}
	r = batch_begin(b);
	if (r) {
		lane_retry(l, r);
		return;
	}
	log_warn("eventlog.parked", "consumer=%s lane=%u seq=%lld cause=%s detail=\"%s\"",
		 l->consumer->ops->name, l->index, (long long)e->seq, cause, detail);
	b->parking = true;
	if (b->replay)
		add_park_again(b, cause, detail);
	else
		parked_add_rows(b, e, 1, cause, detail);
	batch_send(b);
}

/* ---- playing back ------------------------------------------------------------------------- */

void parked_finish_replay(struct batch *b)
{
	if (!b->replay || b->parking)
		return;
	b->unpark_index = store_added(b->group);
	store_add(b->group, query(EVENTLOG_UNPARK));
	place(b->group, b->lane);
	store_p_int8(b->group, b->events[0].seq);
	store_p_int8(b->group, b->events[0].order_key);
}

void parked_committed(struct batch *b, const struct answer *a)
{
	struct lane *l = b->lane;

	if (b->parking && !b->replay) {
		if (keys_add(&l->parked, b->events[0].order_key))
			l->reopen = true; /* no memory: read them again */
	}
	if (b->unpark_index && rows_int(a->rows[b->unpark_index], 0, 0))
		keys_del(&l->parked, b->events[0].order_key);
	series_set(l->parked_keys, (double)l->parked.n);
}

static int hold_row(struct lane *l, const struct rows *r)
{
	struct batch *b = &l->batch;
	_cleanup_(run_unrefp) struct run *run = NULL;
	struct event e;
	int err = read_event_row(r, 0, l->index, &e);

	if (!err)
		err = run_new(&run, &e, 1, UINT64_MAX);
	if (!err)
		err = batch_hold_run(b, run);
	return err ? err : batch_add_event(b, &run->events[0]);
}

static void discard(struct lane *l)
{
	int r = batch_begin(&l->batch);

	if (r)
		lane_retry(l, r);
	else
		batch_send(&l->batch);
}

static void on_next(void *ctx, const struct answer *a)
{
	struct lane *l = ctx;
	struct batch *b = &l->batch;
	const struct rows *r;
	int err;

	if (a->verdict) {
		lane_failed(l, a);
		return;
	}
	r = a->rows[0];
	if (!rows_count(r)) {
		l->replay = false;
		lane_idle(l);
		return;
	}
	b->replay = true;
	b->seq = l->seen;
	err = hold_row(l, r);
	if (err) {
		lane_retry(l, err);
		return;
	}
	l->replay_tried = b->events[0].seq;
	if (!strcmp(rows_text(r, 0, 10), "discard"))
		discard(l);
	else if (rows_int(r, 0, 11) > TRIES_MAX)
		parked_set_aside(l, "crash", "replay");
	else
		batch_decide(b);
}

void parked_replay(struct lane *l)
{
	struct store_group *g = NULL;
	int r = store_group_new(&g, lane_store(l));

	l->state = LANE_READING;
	if (!r) {
		store_add(g, query(EVENTLOG_PARKED_NEXT));
		place(g, l);
		store_p_int8(g, l->replay_tried);
		r = log_submit(l->consumer->log, g, on_next, l);
	}
	if (r)
		lane_retry(l, r);
}

/* ---- one event in flight ------------------------------------------------------------------ */

static void on_counted(void *ctx, const struct answer *a)
{
	struct lane *l = ctx;

	if (a->verdict) {
		lane_failed(l, a);
	} else if (!rows_count(a->rows[0])) { /* another epoch */
		batch_end(&l->batch);
		lane_pause(l, 0, true);
	} else {
		l->tries = rows_int(a->rows[0], 0, 0);
		l->tried = l->batch.events[0].seq;
		batch_decide(&l->batch);
	}
}

void lane_turn_over(struct lane *l)
{
	if (l->consumer->log->suspect == l)
		l->consumer->log->suspect = NULL;
}

void lane_try_single(struct lane *l)
{
	struct eventlog *log = l->consumer->log;
	struct store_group *g = NULL;
	int r;

	if (log->suspect && log->suspect != l) {
		l->kicked |= l->batch.kicked;
		batch_end(&l->batch);
		lane_pause(l, TURN_MS, false);
		return;
	}
	log->suspect = l;
	if (l->tried == l->batch.events[0].seq) { /* counted already: an outage is not poison */
		batch_decide(&l->batch);
		return;
	}
	if (l->tries >= TRIES_MAX) {
		parked_set_aside(l, "crash", "");
		return;
	}
	r = store_group_new(&g, lane_store(l));
	l->state = LANE_READING;
	if (!r) {
		store_add(g, query(EVENTLOG_TRY));
		place(g, l);
		store_p_int8(g, l->epoch);
		r = log_submit(log, g, on_counted, l);
	}
	if (r)
		lane_retry(l, r);
}
