/*
 * open - consumer `dispatch` of the log: the department of a new work item is woken at once, its state
 * gets a row soon
 *
 * A department's update may come before this (routing commits the delivery with the event), so a
 * row that is there stays as it is.
 */
#include "services/dispatch/dispatch.h"

#include <errno.h>

#include "common/base/err.h"
#include "common/base/log.h"

#define WORK(s) CENTRALETA__V1__WORK_STATE__WORK_STATE_##s
#define REQUEST(s) CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_##s
#define EVENT(t) CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_##t

struct opened {
	int64_t work_item;
	int32_t jurisdiction, department, home_lane; /* home_lane -1: nobody is to be woken */
	Centraleta__V1__WorkState state;
	Centraleta__V1__Outcome outcome;
	int64_t seq, at_us;
};

struct opening {
	struct opened *rows;
	size_t n;
};

static void opening_free(void *p)
{
	struct opening *o = p;

	free(o->rows);
	free(o);
}

static Centraleta__V1__WorkState state_of_history(Centraleta__V1__RequestState s)
{
	switch (s) {
	case REQUEST(ACCEPTED):
		return WORK(ACCEPTED);
	case REQUEST(IN_PROGRESS):
		return WORK(IN_PROGRESS);
	case REQUEST(CLOSED):
		return WORK(RESOLVED);
	default:
		return WORK(OPEN);
	}
}

static bool take_routed(const struct event *e, struct opened *ret)
{
	Centraleta__V1__RequestRouted *m =
		centraleta__v1__request_routed__unpack(NULL, e->body.len, e->body.data);

	if (!m)
		return false;
	ret->work_item = m->work_item;
	ret->department = m->department;
	ret->home_lane = m->home_lane;
	ret->state = WORK(OPEN);
	centraleta__v1__request_routed__free_unpacked(m, NULL);
	return true;
}

static bool take_imported(const struct event *e, struct opened *ret)
{
	Centraleta__V1__RequestImported *m =
		centraleta__v1__request_imported__unpack(NULL, e->body.len, e->body.data);

	if (!m)
		return false;
	ret->work_item = m->work_item;
	ret->department = m->department;
	ret->home_lane = -1;
	ret->state = state_of_history(m->state);
	ret->outcome = ret->state == WORK(RESOLVED) ? m->outcome : 0;
	if (m->closed_at_us)
		ret->at_us = m->closed_at_us;
	centraleta__v1__request_imported__free_unpacked(m, NULL);
	return true;
}

/* false: no daemon of ours writes such a body */
static bool take_event(const struct event *e, struct opened *ret)
{
	*ret = (struct opened){ .jurisdiction = e->jurisdiction, .seq = e->seq, .at_us = e->at_us };
	if (!(e->type == EVENT(REQUEST_IMPORTED) ? take_imported(e, ret) : take_routed(e, ret)))
		return false;
	return id_lane(ret->work_item) == e->lane && ret->department > 0 &&
	       (ret->state == WORK(RESOLVED)) == (ret->outcome != 0);
}

static int write_rows(struct batch *b, const struct opening *o)
{
	static const enum column_type types[] = { COLUMN_INT8, COLUMN_INT4, COLUMN_INT4,
						  COLUMN_INT2, COLUMN_INT2, COLUMN_TIME };
	struct column *c[ARRAY_SIZE(types)] = { NULL };
	struct store_group *g = batch_group(b);
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(types) && !r; i++)
		r = column_new(&c[i], types[i]);
	for (size_t i = 0; i < o->n && !r; i++) {
		column_int(c[0], o->rows[i].work_item);
		column_int(c[1], o->rows[i].jurisdiction);
		column_int(c[2], o->rows[i].department);
		column_int(c[3], (int64_t)o->rows[i].state);
		column_int(c[4], (int64_t)o->rows[i].outcome);
		column_time(c[5], o->rows[i].at_us);
	}
	if (!r) {
		store_add(g, &dispatch_queries[DISPATCH_OPEN]);
		store_p_int2(g, (int16_t)batch_lane(b));
	}
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!r)
			store_p_column(g, c[i]);
		column_free(c[i]);
	}
	return r;
}

static void take(void *ctx, struct batch *b)
{
	struct opening *o = calloc(1, sizeof(*o));
	int r;

	(void)ctx;
	if (o)
		o->rows = calloc(batch_count(b) + 1, sizeof(*o->rows));
	if (!o || !o->rows) {
		free(o);
		batch_retry(b, 200);
		return;
	}
	batch_set_user(b, o, opening_free);
	for (size_t i = 0; i < batch_count(b); i++) {
		if (!take_event(batch_event(b, i), &o->rows[o->n])) {
			batch_park(b, "the event's body is not valid");
			return;
		}
		o->n++;
	}
	r = o->n ? write_rows(b, o) : 0;
	if (r)
		batch_retry(b, 200);
	else
		batch_commit(b);
}

/* what this process read from the table; a lost frame before a heard one waits for the next probe */
static void committed(void *ctx, struct batch *b, const struct answer *answer, size_t first_result)
{
	const struct opening *o = batch_user(b);
	struct dispatch *d = ctx;

	(void)answer;
	(void)first_result;
	for (size_t i = 0; i < o->n; i++)
		if (o->rows[i].home_lane >= 0 && o->rows[i].seq > d->heard[batch_lane(b)])
			follow_wake(d, (unsigned)o->rows[i].home_lane, o->rows[i].department);
}

/* the delivery was committed with the event: nobody need wait for the state's row */
static void heard(void *ctx, const struct event *e)
{
	struct dispatch *d = ctx;
	struct opened o;

	d->heard[e->lane] = e->seq;
	if (take_event(e, &o) && o.home_lane >= 0)
		follow_wake(d, (unsigned)o.home_lane, o.department);
}

int open_start(struct dispatch *d)
{
	const struct consumer_ops ops = {
		.name = "dispatch",
		.log = true,
		.types = 1ull << EVENT(REQUEST_ROUTED) | 1ull << EVENT(REQUEST_TRIAGED) |
			 1ull << EVENT(REQUEST_IMPORTED),
		.linger_ms = (unsigned)config_int(d->service->config, "eventlog.linger_ms"),
		.take = take,
		.heard = heard,
		.committed = committed,
	};

	return eventlog_consumer(d->service->log, &ops, d, &d->open);
}
