/*
 * lane - one lane of one consumer, from taking it over to giving it back
 *
 *	FREE -> OPENING -> LOADING -> IDLE -> READING    -> IDLE     a page, a parked event, a try
 *	                               |   -> DECIDING   -> COMMITTING -> IDLE
 *	                               |   -> PAUSED     -> IDLE     the store is away; stopped
 *	                               '-> OPENING                   fenced, unsure, stale
 *	any, when nothing is in flight -> RELEASING -> FREE, or FREE at once where another has it
 *
 * One thing at a time is under way on a lane; what arrives meanwhile is the next batch. All that
 * can wake a lane (a frame, a kick, a timer, the end of a group) only marks it: it is looked at
 * from the loop, so no consumer is called from inside another's callback.
 */
#include <inttypes.h>
#include "common/base/err.h"
#include "common/eventlog/internal.h"

enum { NOT_READY_MS = 100, CONFLICT_MS = 10, LEAVE_MS = 100 };

static void open_lane(struct lane *l);

struct store *lane_store(const struct lane *l)
{
	return store_pool_lane(l->consumer->log->writers, l->index);
}

struct log_lane *lane_info(const struct lane *l)
{
	return &l->consumer->log->lanes[l->index];
}

bool lane_single(const struct lane *l)
{
	return l->consumer->ops->log && l->seen < l->single_until;
}

/* ---- waking ------------------------------------------------------------------------------- */

void lane_wake(struct lane *l)
{
	struct eventlog *log = l->consumer->log;

	if (l->state != LANE_IDLE || !list_empty(&l->ready))
		return;
	if (list_empty(&log->ready))
		loop_timer_set(log->turn, 0);
	list_add_tail(&log->ready, &l->ready);
}

static void on_timer(void *ctx)
{
	struct lane *l = ctx;

	if (l->state == LANE_PAUSED)
		lane_idle(l);
	else
		lane_wake(l);
}

void lane_idle(struct lane *l)
{
	l->state = LANE_IDLE;
	lane_wake(l);
}

/* it is to be closed, and its consumer has nothing under way */
static bool may_close(struct lane *l)
{
	const struct consumer *c = l->consumer;

	if (l->gone || !l->leave || !l->loaded || !c->ops->may_leave)
		return l->gone || l->leave;
	return c->ops->may_leave(c->ctx, l->consumer, l->index);
}

void lane_pause(struct lane *l, unsigned ms, bool reopen)
{
	l->reopen |= reopen;
	l->state = LANE_PAUSED;
	loop_timer_set(l->timer, may_close(l) ? 0 : ms);
}

void lane_back_off(struct lane *l, bool reopen)
{
	struct eventlog *log = l->consumer->log;

	lane_pause(l, backoff_ms(l->attempts++, log->set.retry_max_ms, log_random(log)), reopen);
}

/* Nothing is set aside and nobody else gets it: a person must look. It tries again by itself. */
void lane_stop(struct lane *l, const char *why, const char *detail)
{
	log_error("eventlog.stopped", "consumer=%s lane=%u why=%s detail=\"%s\" seq=%" PRId64,
		  l->consumer->ops->name, l->index, why, detail, l->seq);
	l->stopped = true;
	lane_turn_over(l);
	series_set(l->stopped_gauge, 1);
	batch_end(&l->batch);
	l->conflicts = 0;
	lane_pause(l, l->consumer->log->set.stopped_ms, true);
}

/* ---- taking over -------------------------------------------------------------------------- */

static void load(struct lane *l)
{
	struct consumer *c = l->consumer;

	l->loaded = true;
	l->state = LANE_LOADING;
	if (c->ops->held)
		c->ops->held(c->ctx, c, l->index, l->epoch);
	else
		lane_loaded(l);
}

static void unload(struct lane *l)
{
	struct consumer *c = l->consumer;

	if (l->loaded && c->ops->lost)
		c->ops->lost(c->ctx, c, l->index);
	l->loaded = false;
}

void lane_loaded(struct lane *l)
{
	if (l->state == LANE_LOADING)
		lane_idle(l);
}

static int read_parked(struct lane *l, const struct rows *r)
{
	int e = 0;

	keys_fini(&l->parked);
	for (size_t i = 0; i < rows_count(r) && !e; i++)
		if (!rows_null(r, i, 12))
			e = keys_add(&l->parked, rows_int(r, i, 12));
	series_set(l->parked_keys, (double)l->parked.n);
	return e;
}

/* Columns of EVENTLOG_OPEN. False: somebody else's. */
static bool read_place(struct lane *l, const struct rows *r, bool *ret_foreign)
{
	struct eventlog *log = l->consumer->log;
	struct log_lane *info = lane_info(l);
	int64_t step = rows_int(r, 0, 0), epoch = rows_int(r, 0, 4);

	if (strcmp(rows_text(r, 0, 2), log->name) || rows_int(r, 0, 3) != log->boot)
		return false;
	*ret_foreign = step != l->step || epoch != l->epoch;
	l->step = step;
	l->epoch = epoch;
	l->seq = l->seen = rows_int(r, 0, 1);
	l->unclean = rows_int(r, 0, 5);
	l->tries = rows_int(r, 0, 6);
	l->single_until = rows_int(r, 0, 7);
	info->line.generation = (int32_t)rows_int(r, 0, 8);
	info->line.after = rows_int(r, 0, 9);
	info->line.base = rows_int(r, 0, 10);
	head_seen(log, l->index, rows_int(r, 0, 11));
	return true;
}

static void opened(struct lane *l, const struct rows *r)
{
	bool foreign = false;
	int e;

	if (!read_place(l, r, &foreign)) {
		l->gone = true;
		lane_idle(l);
		return;
	}
	e = read_parked(l, r);
	if (e) {
		lane_stop(l, "parked_keys", e == KEYS_E_FULL ? "too many" : "no memory");
		return;
	}
	l->confirmed_ms = l->opened_ms;
	l->reopen = false;
	l->replay = l->parked.n > 0;
	l->catching_up = l->late = true;
	l->gap_until_ms = l->skip_at_ms = 0;
	feed_drop(&l->feed, l->seq);
	if (foreign)
		unload(l); /* another's step: what is kept in memory is old */
	if (l->loaded)
		lane_idle(l);
	else
		load(l);
}

static void on_opened(void *ctx, const struct answer *a)
{
	struct lane *l = ctx;

	if (may_close(l))
		lane_idle(l);
	else if (a->verdict == STORE_BUG || a->verdict == STORE_DATA)
		lane_stop(l, "open", a->sqlstate);
	else if (a->verdict)
		lane_back_off(l, true);
	else if (!rows_count(a->rows[0]))
		lane_stop(l, "open", "no progress row: centraleta migrate seeds it");
	else
		opened(l, a->rows[0]);
}

/*
 * The server may have come back without what it had not flushed: events that were read there may
 * be gone, and their numbers others'.
 */
static void forget_session(struct lane *l)
{
	feed_fini(&l->feed);
	l->reopen = true;
}

bool lane_session_over(const struct lane *l)
{
	return l->session != store_sessions(lane_store(l));
}

static void open_lane(struct lane *l)
{
	struct store_group *g = NULL;
	int r = store_group_new(&g, lane_store(l));

	lane_turn_over(l);
	if (lane_session_over(l))
		forget_session(l);
	l->session = store_sessions(lane_store(l));
	l->state = LANE_OPENING;
	l->opened_ms = clock_mono_ms();
	if (!r) {
		store_add(g, query(EVENTLOG_OPEN));
		store_p_text(g, l->consumer->ops->name);
		store_p_int2(g, (int16_t)l->index);
		r = log_submit(l->consumer->log, g, on_opened, l);
	}
	if (r)
		lane_back_off(l, true);
}

void lane_take_over(struct lane *l, int64_t epoch)
{
	if (l->state != LANE_FREE)
		return;
	log_debug("eventlog.held", "consumer=%s lane=%u epoch=%" PRId64, l->consumer->ops->name,
		  l->index, epoch);
	l->leave = l->gone = l->stopped = l->kicked = l->kick_first = false;
	l->attempts = l->conflicts = 0;
	l->tried = l->replay_tried = 0;
	l->search = (struct search){ 0 };
	l->step = -1;
	series_set(l->held_gauge, 1);
	open_lane(l);
}

/* ---- giving back -------------------------------------------------------------------------- */

static void close_lane(struct lane *l)
{
	lane_turn_over(l);
	batch_end(&l->batch);
	feed_fini(&l->feed);
	keys_fini(&l->parked);
	loop_timer_stop(l->timer);
	list_del(&l->ready);
	l->state = l->gone ? LANE_FREE : LANE_RELEASING;
	series_set(l->held_gauge, 0);
	series_set(l->stopped_gauge, 0);
	series_set(l->lag, 0);
	series_set(l->queue, 0);
	unload(l);
	if (l->state == LANE_RELEASING)
		holder_release(l->consumer->log);
}

static void close_soon(struct lane *l)
{
	if (l->state != LANE_IDLE && l->state != LANE_PAUSED)
		return;
	if (may_close(l))
		close_lane(l);
	else
		lane_wake(l); /* look() asks again */
}

void lane_give_back(struct lane *l)
{
	if (!lane_works(l))
		return;
	l->leave = true;
	close_soon(l);
}

void lane_gone(struct lane *l)
{
	if (!lane_works(l))
		return;
	log_debug("eventlog.gone", "consumer=%s lane=%u", l->consumer->ops->name, l->index);
	l->gone = true;
	close_soon(l);
}

void lane_released(struct lane *l)
{
	if (l->state == LANE_RELEASING)
		l->state = LANE_FREE;
}

/* ---- what arrives ------------------------------------------------------------------------- */

void lane_offer(struct lane *l, struct run *r)
{
	struct eventlog *log = l->consumer->log;

	if (!lane_works(l))
		return;
	if (feed_add(&l->feed, r, log->set.queue_events, log->set.queue_bytes))
		series_add(log_series(log, M_FRAMES, "dropped"), 1); /* read later from the table */
	series_set(l->queue, (double)l->feed.events);
	lane_wake(l);
}

void consumer_hear(const struct consumer *c, const struct event *events, size_t n)
{
	for (size_t i = 0; i < n && c->ops->heard; i++)
		if (type_wanted(c->ops->types, events[i].type))
			c->ops->heard(c->ctx, &events[i]);
}

void lane_line_changed(struct lane *l)
{
	if (!lane_works(l))
		return;
	feed_fini(&l->feed);
	l->reopen = true;
	lane_wake(l);
}

/* ---- the next thing ----------------------------------------------------------------------- */

/* events that concern nobody here were passed in memory */
static void skipped(struct lane *l)
{
	l->seen = l->batch.seq;
	feed_drop(&l->feed, l->seen);
	batch_end(&l->batch);
	if (!l->skip_at_ms)
		l->skip_at_ms = clock_mono_ms() + l->consumer->log->set.skip_ms;
	lane_idle(l);
}

static void take(struct lane *l)
{
	struct batch *b = &l->batch;
	size_t max = l->search.limit ? l->search.limit : l->consumer->batch_max;
	int r = batch_fill(l, lane_single(l) ? 1 : max);

	if (r == BATCH_E_EMPTY) {
		skipped(l);
	} else if (r) {
		lane_retry(l, r);
	} else if (lane_single(l) && b->n) {
		lane_try_single(l);
	} else {
		batch_decide(b);
	}
}

static void store_skip(struct lane *l)
{
	l->batch.seq = l->seen;
	batch_decide(&l->batch);
}

static void wait_more(struct lane *l, uint64_t now, bool gap)
{
	const struct eventlog *log = l->consumer->log;
	uint64_t at = l->skip_at_ms;

	if (gap) {
		if (!l->gap_until_ms)
			l->gap_until_ms = now + log->set.gap_ms + (log->soon ? log->set.gather_ms : 0);
		at = at ? MIN(at, l->gap_until_ms) : l->gap_until_ms;
	} else {
		l->gap_until_ms = 0;
	}
	if (l->leave)
		at = at ? MIN(at, now + LEAVE_MS) : now + LEAVE_MS;
	if (at)
		loop_timer_set(l->timer, at > now ? at - now : 0);
}

/* true: looked at again when there is company enough, or time is over */
static bool lingers(struct lane *l, uint64_t now)
{
	const struct consumer *c = l->consumer;
	bool alone = !l->kicked && !l->search.limit && !l->catching_up && !l->late && !lane_single(l) &&
		     l->feed.events < c->batch_max;

	if (alone && c->ops->linger_ms && !l->linger_until_ms)
		l->linger_until_ms = now + c->ops->linger_ms;
	if (!alone || now >= l->linger_until_ms) {
		l->linger_until_ms = 0;
		return false;
	}
	loop_timer_set(l->timer, l->linger_until_ms - now);
	return true;
}

static bool next_here(struct lane *l)
{
	struct feed_cursor c;
	struct run *r;

	feed_start(&c, &l->feed, &lane_info(l)->line, l->seen);
	return feed_next(&c, &r);
}

static enum lane_action next_action(struct lane *l, uint64_t now)
{
	struct lane_view v = {
		.log = l->consumer->ops->log,
		.kicked = l->kicked,
		.replay = l->replay,
		.replayed = l->replayed,
		.next_here = next_here(l),
		.catching_up = l->catching_up,
		.seen = l->seen,
		.stored = l->seq,
		.head = lane_info(l)->head,
		.gap_until_ms = l->gap_until_ms,
		.skip_at_ms = l->skip_at_ms,
		.now_ms = now,
	};

	return lane_action(&v);
}

static void act(struct lane *l)
{
	uint64_t now = clock_mono_ms();
	enum lane_action a = next_action(l, now);

	series_set(l->lag, (double)MAX(lane_info(l)->head - l->seen, (int64_t)0));
	switch (a) {
	case DO_REPLAY:
		parked_replay(l);
		break;
	case DO_TAKE:
		l->gap_until_ms = 0;
		if (lingers(l, now))
			break;
		l->late = false;
		take(l);
		break;
	case DO_STORE_SKIP:
		store_skip(l);
		break;
	case DO_READ:
		lane_read_page(l);
		break;
	case DO_REST:
		l->catching_up = l->late = false;
		wait_more(l, now, false);
		break;
	case DO_AWAIT:
		wait_more(l, now, true);
		break;
	}
}

static void look(struct lane *l)
{
	if (may_close(l))
		close_lane(l);
	else if (!store_ready(lane_store(l)))
		lane_pause(l, jitter_ms(NOT_READY_MS, log_random(l->consumer->log)), false);
	else if (l->reopen || lane_session_over(l) || !holder_fresh(l->consumer->log, l))
		open_lane(l);
	else
		act(l);
}

void lane_turn(void *ctx)
{
	struct eventlog *log = ctx;
	struct list todo;

	/* those that are woken meanwhile have their turn on the next one */
	list_init(&todo);
	while (!list_empty(&log->ready)) {
		struct list *n = log->ready.next;

		list_del(n);
		list_add_tail(&todo, n);
	}
	while (!list_empty(&todo)) {
		struct lane *l = list_entry(todo.next, struct lane, ready);

		list_del(&l->ready);
		if (l->state == LANE_IDLE)
			look(l);
	}
}

/* ---- ends --------------------------------------------------------------------------------- */

void lane_moved(struct lane *l)
{
	struct batch *b = &l->batch;

	lane_turn_over(l);
	l->step++;
	l->seq = l->seen = b->seq;
	feed_drop(&l->feed, l->seq);
	series_set(l->queue, (double)l->feed.events);
	if (b->n && !b->replay)
		search_passed(&l->search, l->seq);
	l->skip_at_ms = 0;
	l->attempts = l->conflicts = 0;
	l->kick_first = false;
	l->replayed = b->replay;
	if (l->stopped) {
		l->stopped = false;
		series_set(l->stopped_gauge, 0);
	}
}

void lane_retry(struct lane *l, int r)
{
	log_debug("eventlog.retry", "consumer=%s lane=%u r=%d", l->consumer->ops->name, l->index, r);
	l->kicked |= l->batch.kicked;
	batch_end(&l->batch);
	lane_back_off(l, false);
}

void lane_bad_event(struct lane *l, const char *detail)
{
	struct batch *b = &l->batch;

	if (!b->n || b->parking) {
		lane_stop(l, "data", detail);
	} else if (b->kicked) { /* is it the kick's? */
		l->kicked = l->kick_first = true;
		batch_end(b);
		lane_idle(l);
	} else if (b->n > 1) {
		search_failed(&l->search, b->n, b->events[b->n - 1].seq);
		batch_end(b);
		lane_idle(l);
	} else {
		parked_set_aside(l, "data", detail);
	}
}

/* two that change one key in turn may meet more than a few times: then ever longer pauses part them */
static void conflict(struct lane *l, const struct answer *a)
{
	unsigned longest_ms = CONFLICT_MS;

	if (++l->conflicts > CONFLICTS_STOP) {
		lane_stop(l, "conflict", a->constraint);
		return;
	}
	if (l->conflicts > CONFLICTS_MAX)
		longest_ms *= l->conflicts - CONFLICTS_MAX + 1;
	batch_end(&l->batch);
	lane_pause(l, log_random(l->consumer->log) % longest_ms, false);
}

void lane_failed(struct lane *l, const struct answer *a)
{
	char detail[DETAIL_BYTES];

	l->kicked |= l->batch.kicked;
	snprintf(detail, sizeof(detail), "%s%s%s", a->sqlstate, *a->constraint ? " " : "", a->constraint);
	switch (a->verdict) {
	case STORE_OK:
	case STORE_AGAIN:
	case STORE_DOWN:
		lane_retry(l, 0);
		break;
	case STORE_FENCED: /* also where a forged frame led beyond the log */
		feed_fini(&l->feed);
		batch_end(&l->batch);
		lane_back_off(l, true);
		break;
	case STORE_UNSURE: /* a ghost may have committed it: the step will tell */
		batch_end(&l->batch);
		lane_back_off(l, true);
		break;
	case STORE_CONFLICT:
		conflict(l, a);
		break;
	case STORE_DATA:
		lane_bad_event(l, detail);
		break;
	case STORE_BUG:
		lane_stop(l, "bug", detail);
		break;
	}
}

/* ---- life --------------------------------------------------------------------------------- */

int lane_init(struct lane *l, struct consumer *c, unsigned index)
{
	struct eventlog *log = c->log;
	char lane[8];

	list_init(&l->ready);
	l->consumer = c;
	l->index = index;
	l->holder = -1;
	l->batch.lane = l;
	l->parked.max = log->set.parked_max;
	snprintf(lane, sizeof(lane), "%u", index);
	l->lag = log_series(log, M_LAG, c->ops->name, lane);
	l->parked_keys = log_series(log, M_PARKED, c->ops->name, lane);
	l->stopped_gauge = log_series(log, M_STOPPED, c->ops->name, lane);
	l->held_gauge = log_series(log, M_HELD, c->ops->name, lane);
	l->queue = log_series(log, M_QUEUE, c->ops->name, lane);
	series_set(log_series(log, M_QUEUE_LIMIT, c->ops->name, lane), (double)log->set.queue_events);
	return loop_timer_new(&l->timer, log->loop, on_timer, l);
}

void lane_fini(struct lane *l)
{
	batch_fini(&l->batch);
	feed_fini(&l->feed);
	keys_fini(&l->parked);
	loop_timer_free(l->timer);
}
