/*
 * lines - home lanes that this process holds, their departments and consumer names
 *
 * A line is loaded before anything is served from it: the departments' numbers, and what each
 * consumer name has acknowledged. Looking again later adds what is new and touches nothing else.
 */
#include "services/dispatch/dispatch.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"

enum { RETRY_MS = 500 };

struct line *line_of(struct dispatch *d, unsigned lane, int64_t epoch)
{
	struct line *l = lane < LANE_MAX ? d->lines[lane] : NULL;

	return l && l->epoch == epoch ? l : NULL;
}

struct dept *line_dept(struct line *l, int32_t department)
{
	struct dept *t;

	list_for_each (t, &l->depts, in_line)
		if (t->department == department)
			return t;
	return NULL;
}

struct name *dept_name(struct dept *t, const char *consumer)
{
	struct name *n;

	list_for_each (n, &t->names, in_dept)
		if (!strcmp(n->consumer, consumer))
			return n;
	return NULL;
}

static void name_free(struct name *n)
{
	list_del(&n->in_dept);
	ack_set_fini(&n->acked);
	flow_fini(&n->flow);
	free(n->pending);
	free(n->services);
	free(n);
}

/* numbers that a rewind jumped over never come: they count as acknowledged */
static int name_jump(struct name *n)
{
	const struct dept *t = n->dept;

	if (t->base <= t->after || ack_set_has(&n->acked, t->base))
		return 0;
	n->changes++;
	return ack_set_add(&n->acked, t->after + 1, t->base);
}

int dept_name_new(struct dept *t, const char *consumer, struct name **ret)
{
	struct name *n = calloc(1, sizeof(*n));
	int r = n ? flow_init(&n->flow, t->line->d->limits.credit_max) : err_here(-ENOMEM);

	if (r) {
		free(n);
		return r;
	}
	n->dept = t;
	(void)snprintf(n->consumer, sizeof(n->consumer), "%s", consumer);
	list_add_tail(&t->names, &n->in_dept);
	t->n_names++;
	*ret = n;
	return name_jump(n);
}

static void dept_free(struct dept *t)
{
	struct name *n;

	list_for_each (n, &t->names, in_dept)
		name_free(n);
	list_del(&t->in_line);
	free(t);
}

static void line_free(struct line *l)
{
	struct dept *t;
	struct queued *q;

	list_for_each (q, &l->updates, in_line) {
		list_del(&q->in_line);
		free(q->update);
		free(q);
		l->d->n_queued--;
	}
	list_for_each (t, &l->depts, in_line)
		dept_free(t);
	loop_timer_free(l->retry);
	free(l);
}

/* ---- loading -------------------------------------------------------------------------------- */

static struct dept *dept_new(struct line *l, int32_t department)
{
	struct dept *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->line = l;
	t->department = department;
	list_init(&t->names);
	list_add_tail(&l->depts, &t->in_line);
	return t;
}

/* department, generation, after, base, oldest, newest */
static int dept_take_row(struct dept *t, const struct rows *r, size_t row)
{
	struct name *n;
	int e = 0;

	t->generation = (int32_t)rows_int(r, row, 1);
	t->after = rows_int(r, row, 2);
	t->base = rows_int(r, row, 3);
	t->oldest = rows_int(r, row, 4);
	t->newest = MAX(t->newest, rows_int(r, row, 5));
	list_for_each (n, &t->names, in_dept)
		if (!e)
			e = name_jump(n);
	return e;
}

int line_take_rows(struct line *l, const struct rows *r)
{
	int e = 0;

	for (size_t i = 0; i < rows_count(r) && !e; i++) {
		int32_t department = (int32_t)rows_int(r, i, 0);
		struct dept *t = line_dept(l, department);

		if (!t)
			t = dept_new(l, department);
		e = t ? dept_take_row(t, r, i) : err_here(-ENOMEM);
	}
	return e;
}

static int take_ack(struct dept *t, const struct rows *r, size_t row)
{
	const char *consumer = rows_text(r, row, 1);
	int64_t step = rows_int(r, row, 2), first = rows_int(r, row, 3), last = rows_int(r, row, 4);
	struct name *n = dept_name(t, consumer);
	int e = n ? 0 : dept_name_new(t, consumer, &n);

	if (e)
		return e;
	if (!n->since)
		n->since = step;
	if (last < 1)
		return 0;
	n->changes += first > 0;
	return ack_set_add(&n->acked, MAX(first, 1), last);
}

/* of departments that are new to the line alone: what is in memory of others is newer */
static int take_acks(struct line *l, const struct rows *r)
{
	struct dept *t = NULL;
	int e = 0;

	for (size_t i = 0; i < rows_count(r) && !e; i++) {
		int32_t department = (int32_t)rows_int(r, i, 0);

		if (!t || t->department != department)
			t = line_dept(l, department);
		if (t && !t->loaded)
			e = take_ack(t, r, i);
	}
	return e;
}

static void load(struct line *l);

static void line_ready(struct line *l)
{
	struct dept *t;

	list_for_each (t, &l->depts, in_line)
		t->loaded = true;
	if (l->loaded)
		return;
	l->loaded = true;
	consumer_loaded(l->d->chain, l->lane);
	log_info("dispatch.line_held", "lane=%u epoch=%lld", l->lane, (long long)l->epoch);
}

static void loaded(struct ask *a, struct line *l, struct dept *t, const struct answer *answer)
{
	int r;

	(void)a;
	(void)t;
	if (!l)
		return;
	if (answer->verdict != STORE_OK) {
		loop_timer_set(l->retry, RETRY_MS);
		return;
	}
	r = line_take_rows(l, answer->rows[0]);
	if (!r)
		r = take_acks(l, answer->rows[1]);
	if (r) {
		(void)log_error_errno(r, "dispatch.load");
		loop_timer_set(l->retry, RETRY_MS);
		return;
	}
	line_ready(l);
}

static void load(struct line *l)
{
	struct dispatch *d = l->d;
	struct store_group *g = dispatch_group(d, l->lane);

	if (!g) {
		loop_timer_set(l->retry, RETRY_MS);
		return;
	}
	store_add(g, &dispatch_queries[DISPATCH_LINES]);
	store_p_int2(g, (int16_t)l->lane);
	store_add(g, &dispatch_queries[DISPATCH_ACKED]);
	store_p_int2(g, (int16_t)l->lane);
	dispatch_ask(d, (struct ask){ .lane = l->lane, .epoch = l->epoch, .fn = loaded }, g);
}

static void load_again(void *ctx)
{
	load(ctx);
}

void lines_refresh(struct dispatch *d)
{
	for (unsigned i = 0; i < LANE_MAX; i++)
		if (d->lines[i])
			load(d->lines[i]);
}

/* ---- held and lost ----------------------------------------------------------------------------- */

void lines_held(void *ctx, struct consumer *c, unsigned lane, int64_t epoch)
{
	struct dispatch *d = ctx;
	struct line *l = calloc(1, sizeof(*l));

	(void)c;
	assert(lane < LANE_MAX);
	if (d->lines[lane])
		lines_lost(ctx, c, lane);
	if (!l || loop_timer_new(&l->retry, d->service->loop, load_again, l)) {
		/* never loaded, never served: another member takes it when our lease ends */
		log_error("dispatch.held", "lane=%u err=\"out of memory\"", lane);
		free(l);
		return;
	}
	l->d = d;
	l->lane = lane;
	l->epoch = epoch;
	list_init(&l->depts);
	list_init(&l->updates);
	d->lines[lane] = l;
	load(l);
}

void lines_lost(void *ctx, struct consumer *c, unsigned lane)
{
	struct dispatch *d = ctx;
	struct line *l = lane < LANE_MAX ? d->lines[lane] : NULL;

	(void)c;
	if (!l)
		return;
	log_info("dispatch.line_lost", "lane=%u epoch=%lld", l->lane, (long long)l->epoch);
	d->lines[lane] = NULL;
	peers_line_lost(d, l);
	line_free(l);
}

void lines_free(struct dispatch *d)
{
	for (unsigned i = 0; i < LANE_MAX; i++)
		if (d->lines[i])
			line_free(d->lines[i]);
}
