/*
 * batch - what is decided together and committed as one group
 *
 * A group is { event_step, the consumer's statements, parked rows, event_append }: the step first,
 * so that nothing is waited for by one who is not the holder; the append last, so that the lane of
 * the log is locked when all bytes but the Sync have arrived.
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/eventlog/internal.h"

enum { CHUNK_BYTES = 32768 };

struct chunk { /* copies of appended events' actors and bodies */
	struct chunk *next;
	size_t used, cap;
	char data[];
};

/* ---- memory ------------------------------------------------------------------------------- */

static int grow(void **p, size_t *cap, size_t n, size_t size)
{
	size_t more = *cap ? *cap * 2 : 32;
	void *q;

	if (n < *cap)
		return 0;
	q = realloc(*p, more * size);
	if (!q)
		return err_here(-ENOMEM);
	*p = q;
	*cap = more;
	return 0;
}

static char *chunk_room(struct batch *b, size_t len)
{
	struct chunk *c = b->chunks;
	size_t cap = MAX(len, (size_t)CHUNK_BYTES);

	if (!c || c->cap - c->used < len) {
		c = malloc(sizeof(*c) + cap);
		if (!c)
			return NULL;
		*c = (struct chunk){ .next = b->chunks, .cap = cap };
		b->chunks = c;
	}
	c->used += len;
	return c->data + c->used - len;
}

int batch_hold_run(struct batch *b, struct run *r)
{
	int e;

	if (b->n_runs && b->runs[b->n_runs - 1] == r)
		return 0;
	e = grow((void **)&b->runs, &b->cap_runs, b->n_runs, sizeof(*b->runs));
	if (!e)
		b->runs[b->n_runs++] = run_ref(r);
	return e;
}

int batch_add_event(struct batch *b, const struct event *e)
{
	int r = grow((void **)&b->events, &b->cap, b->n, sizeof(*b->events));

	if (!r)
		b->events[b->n++] = *e;
	return r;
}

static int add_behind(struct batch *b, const struct event *e)
{
	int r = grow((void **)&b->behind, &b->cap_behind, b->n_behind, sizeof(*b->behind));

	if (!r)
		b->behind[b->n_behind++] = *e;
	return r;
}

/* what the consumer decided; the events stay */
static void forget_decision(struct batch *b)
{
	if (b->user && b->free_user)
		b->free_user(b->user);
	b->user = NULL;
	b->free_user = NULL;
	store_group_free(b->group);
	b->group = NULL;
	while (b->chunks) {
		struct chunk *c = b->chunks;

		b->chunks = c->next;
		free(c);
	}
	b->n_out = 0;
	b->append_index = b->unpark_index = 0;
	b->taken = b->broken = false;
	b->read_fn = NULL;
}

void batch_end(struct batch *b)
{
	forget_decision(b);
	for (size_t i = 0; i < b->n_runs; i++)
		run_unref(b->runs[i]);
	b->n_runs = b->n = b->n_behind = 0;
	b->kicked = b->replay = b->parking = false;
	b->state = BATCH_NONE;
}

void batch_fini(struct batch *b)
{
	batch_end(b);
	free(b->events);
	free(b->behind);
	free(b->runs);
	free(b->out);
}

/* ---- filling ------------------------------------------------------------------------------ */

static int fill_one(struct batch *b, const struct event *e, struct run *r)
{
	struct lane *l = b->lane;
	int err;

	b->seq = e->seq;
	if (!type_wanted(l->consumer->ops->types, e->type))
		return 0;
	err = batch_hold_run(b, r);
	if (err)
		return err;
	return keys_has(&l->parked, e->order_key) ? add_behind(b, e) : batch_add_event(b, e);
}

int batch_fill(struct lane *l, size_t max)
{
	struct batch *b = &l->batch;
	size_t left = max * SCAN_FACTOR;
	struct feed_cursor c;
	int r = 0;

	b->seq = l->seen;
	b->kicked = l->kicked;
	l->kicked = false;
	if (b->kicked && l->kick_first)
		return 0;
	feed_start(&c, &l->feed, &lane_info(l)->line, l->seen);
	while (!r && b->n < max && left--) {
		struct run *run = NULL;
		const struct event *e = feed_next(&c, &run);

		if (!e)
			break;
		r = fill_one(b, e, run);
	}
	if (r)
		return r;
	return b->n || b->n_behind || b->kicked ? 0 : BATCH_E_EMPTY;
}

int batch_begin(struct batch *b)
{
	struct lane *l = b->lane;
	int r;

	forget_decision(b);
	r = store_group_new(&b->group, lane_store(l));
	if (r)
		return r;
	store_add(b->group, query(EVENTLOG_STEP));
	store_p_text(b->group, l->consumer->ops->name);
	store_p_int2(b->group, (int16_t)l->index);
	store_p_int8(b->group, l->step);
	store_p_int8(b->group, b->seq);
	return 0;
}

void batch_decide(struct batch *b)
{
	struct lane *l = b->lane;
	struct consumer *c = l->consumer;
	int r = batch_begin(b);

	if (r) {
		lane_retry(l, r);
		return;
	}
	if (!b->n && !b->kicked) { /* nothing to be asked */
		batch_send(b);
		return;
	}
	b->state = BATCH_DECIDING;
	b->taken = true;
	l->state = LANE_DECIDING;
	c->ops->take(c->ctx, b);
}

/* ---- sending ------------------------------------------------------------------------------ */

static void add_append(struct batch *b)
{
	struct column **c = b->lane->consumer->log->columns;

	if (!b->n_out)
		return;
	for (size_t i = 0; i < b->n_out; i++) {
		const struct event *e = &b->out[i];

		column_int(c[0], e->lane);
		column_int(c[1], e->jurisdiction);
		column_int(c[2], e->order_key);
		if (e->key_version)
			column_int(c[3], e->key_version);
		else
			column_null(c[3]);
		column_int(c[4], e->type);
		column_int(c[5], e->type_version);
		column_text(c[6], e->actor);
		column_bytea(c[7], e->trace.id, sizeof(e->trace.id));
		column_bytea(c[8], e->body.data, e->body.len);
	}
	b->append_index = store_added(b->group);
	store_add(b->group, query(EVENTLOG_APPEND));
	for (size_t i = 0; i < ARRAY_SIZE(b->lane->consumer->log->columns); i++)
		store_p_column(b->group, c[i]);
}

/* the lease counts tries and unclean ends until progress passes them */
static bool counts_tries(const struct batch *b)
{
	const struct lane *l = b->lane;

	return l->consumer->ops->log && b->n && !b->replay && (l->tries > 0 || l->unclean > 1);
}

static void add_tried(struct batch *b)
{
	struct lane *l = b->lane;

	if (!counts_tries(b))
		return;
	store_add(b->group, query(EVENTLOG_TRIED));
	store_p_text(b->group, l->consumer->ops->name);
	store_p_int2(b->group, (int16_t)l->index);
	store_p_int8(b->group, l->epoch);
	store_p_int8(b->group, b->seq);
}

static void tried(struct batch *b)
{
	struct lane *l = b->lane;

	if (!counts_tries(b))
		return;
	l->tries = 0;
	if (b->seq >= l->single_until)
		l->single_until = l->unclean = 0;
}

static void committed(struct batch *b, const struct answer *a)
{
	struct lane *l = b->lane;
	struct consumer *c = l->consumer;

	tried(b);
	lane_moved(l);
	publish_appended(b, a);
	parked_committed(b, a);
	if (b->taken) {
		series_observe(c->batch_events, (double)b->n);
		if (c->ops->committed)
			c->ops->committed(c->ctx, b, a, 1);
	}
	batch_end(b);
	lane_idle(l);
}

static void on_sent(void *ctx, const struct answer *a)
{
	struct batch *b = ctx;
	struct consumer *c = b->lane->consumer;

	series_observe(c->group_seconds, (double)(clock_mono_us() - b->sent_us) / 1e6);
	series_add(log_series(c->log, M_GROUPS, c->ops->name, store_verdict_name(a->verdict)), 1);
	if (a->verdict) {
		log_debug("eventlog.group", "consumer=%s lane=%u verdict=%s sqlstate=%s message=\"%s\"",
			  c->ops->name, b->lane->index, store_verdict_name(a->verdict), a->sqlstate,
			  a->message);
		lane_failed(b->lane, a);
	} else {
		committed(b, a);
	}
}

/* A decision of a holder that slept too long is not even tried: the lane may be another's. */
static void drop_stale(struct batch *b)
{
	struct lane *l = b->lane;

	l->kicked |= b->kicked;
	l->reopen = true;
	batch_end(b);
	lane_idle(l);
}

void batch_send(struct batch *b)
{
	struct lane *l = b->lane;
	struct eventlog *log = l->consumer->log;
	int r;

	if (l->gone || l->reopen || lane_session_over(l) || !holder_fresh(log, l)) {
		drop_stale(b);
		return;
	}
	parked_add_rows(b, b->behind, b->n_behind, "behind", "");
	parked_finish_replay(b);
	add_tried(b);
	add_append(b);
	b->state = BATCH_SENT;
	l->state = LANE_COMMITTING;
	b->sent_us = clock_mono_us();
	r = log_submit(log, steal(b->group), on_sent, b);
	if (r)
		lane_retry(l, r);
}

/* ---- for consumers ------------------------------------------------------------------------ */

unsigned batch_lane(const struct batch *b)
{
	return b->lane->index;
}

int batch_generation(const struct batch *b)
{
	return lane_info(b->lane)->line.generation;
}

int64_t batch_epoch(const struct batch *b)
{
	return b->lane->epoch;
}

size_t batch_count(const struct batch *b)
{
	return b->n;
}

const struct event *batch_event(const struct batch *b, size_t i)
{
	assert(i < b->n);
	return &b->events[i];
}

bool batch_alone(const struct batch *b)
{
	return b->replay;
}

struct store *batch_store(const struct batch *b)
{
	return lane_store(b->lane);
}

struct store_group *batch_group(struct batch *b)
{
	assert(b->state == BATCH_DECIDING);
	return b->group;
}

void batch_append(struct batch *b, const struct event *e)
{
	size_t actor = strlen(e->actor) + 1;
	struct event *to;
	char *at;

	assert(b->state == BATCH_DECIDING);
	if (grow((void **)&b->out, &b->cap_out, b->n_out, sizeof(*b->out)) ||
	    !(at = chunk_room(b, actor + e->body.len))) {
		b->broken = true;
		return;
	}
	to = &b->out[b->n_out++];
	*to = *e;
	to->actor = memcpy(at, e->actor, actor);
	if (e->body.len)
		memcpy(at + actor, e->body.data, e->body.len);
	to->body.data = (uint8_t *)at + actor;
}

void batch_set_user(struct batch *b, void *user, void (*free_fn)(void *))
{
	if (b->user && b->free_user && b->user != user)
		b->free_user(b->user);
	b->user = user;
	b->free_user = free_fn;
}

void *batch_user(const struct batch *b)
{
	return b->user;
}

static void on_read(void *ctx, const struct answer *a)
{
	struct batch *b = ctx;

	if (a->verdict) {
		lane_failed(b->lane, a);
		return;
	}
	b->state = BATCH_DECIDING;
	b->read_fn(b->read_ctx, b, a);
}

int batch_read(struct batch *b, struct store_group *g,
	       void (*fn)(void *ctx, struct batch *b, const struct answer *answer), void *ctx)
{
	int r;

	assert(b->state == BATCH_DECIDING);
	b->read_fn = fn;
	b->read_ctx = ctx;
	r = log_try_submit(b->lane->consumer->log, g, on_read, b);
	if (!r)
		b->state = BATCH_READING;
	return r;
}

void batch_commit(struct batch *b)
{
	assert(b->state == BATCH_DECIDING);
	if (b->broken)
		lane_retry(b->lane, -ENOMEM);
	else
		batch_send(b);
}

void batch_retry(struct batch *b, unsigned after_ms)
{
	struct lane *l = b->lane;

	assert(b->state == BATCH_DECIDING);
	l->kicked |= b->kicked;
	batch_end(b);
	lane_pause(l, after_ms, false);
}

void batch_park(struct batch *b, const char *detail)
{
	assert(b->state == BATCH_DECIDING);
	lane_bad_event(b->lane, detail);
}

int64_t batch_appended_seq(const struct batch *b, size_t i)
{
	assert(i < b->n_out);
	return b->out[i].seq;
}

/* ---- rows --------------------------------------------------------------------------------- */

int read_event_row(const struct rows *r, size_t row, unsigned lane, struct event *ret)
{
	struct bytes trace = rows_bytes(r, row, 8);

	*ret = (struct event){
		.lane = (int16_t)lane,
		.seq = rows_int(r, row, 0),
		.jurisdiction = (int32_t)rows_int(r, row, 1),
		.order_key = rows_int(r, row, 2),
		.key_version = (int32_t)rows_int(r, row, 3),
		.type = (int16_t)rows_int(r, row, 4),
		.type_version = (int16_t)rows_int(r, row, 5),
		.at_us = rows_time(r, row, 6),
		.actor = rows_text(r, row, 7),
		.body = rows_bytes(r, row, 9),
	};
	if (trace.len != sizeof(ret->trace.id))
		return err_here(-EBADMSG);
	memcpy(ret->trace.id, trace.data, trace.len);
	return 0;
}
