/*
 * chain - `dispatch.department`: what departments say, committed as steps of their home lane
 *
 * One group takes all acknowledgements and up to BATCH_UPDATES updates that wait on the line. With
 * updates the state is read first; the step fences this chain against itself, and the key_versions
 * fence it against routing and other lines: a conflict brings the batch here again, with nothing
 * changed in memory. Only committed() moves positions and answers.
 *
 * A consumer name's rows of delivery_ack: plain ranges by each commit; every position_ms all of it
 * anew (mark first = 0 and the ranges above), and what older steps wrote is deleted.
 */
#include "services/dispatch/chain.h"

#include <errno.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"

enum { RETRY_MS = 200 };

static void decided_free(void *p)
{
	struct decided *x = p;

	for (size_t i = 0; i < x->n_names; i++)
		ack_set_fini(&x->names[i].set);
	update_view_fini(&x->view);
	update_plan_fini(&x->plan);
	free(x->names);
	free(x->queued);
	free(x->updates);
	free(x);
}

/* ---- gathering ----------------------------------------------------------------------------------- */

static bool mark_due(const struct name *n, uint64_t now_ms)
{
	return n->changes != n->written &&
	       now_ms >= n->written_ms + n->dept->line->d->limits.position_ms;
}

static int take_name(struct decided *x, struct name *n, uint64_t now_ms)
{
	struct taken *t = &x->names[x->n_names];
	int r = 0;

	*t = (struct taken){ .name = n, .n_pending = n->n_pending, .mark = mark_due(n, now_ms),
			     .changes = n->changes };
	if (!t->n_pending && !t->mark)
		return 0;
	x->n_names++;
	if (t->mark)
		r = ack_set_copy(&n->acked, &t->set);
	for (size_t i = 0; i < t->n_pending && !r; i++)
		if (n->pending[i].last > n->acked.low)
			r = ack_set_add(&t->set, n->pending[i].first, n->pending[i].last);
	return r;
}

static int take_names(struct decided *x, struct line *l)
{
	uint64_t now_ms = clock_mono_ms();
	struct dept *t;
	struct name *n;
	size_t sum = 0;
	int r = 0;

	list_for_each (t, &l->depts, in_line)
		sum += t->n_names;
	x->names = calloc(sum + 1, sizeof(*x->names));
	if (!x->names)
		return err_here(-ENOMEM);
	list_for_each (t, &l->depts, in_line)
		list_for_each (n, &t->names, in_dept)
			if (!r)
				r = take_name(x, n, now_ms);
	return r;
}

static int take_updates(struct decided *x, struct line *l)
{
	size_t max = MIN(l->n_updates, (size_t)BATCH_UPDATES);
	struct queued *q;

	x->queued = calloc(max + 1, sizeof(struct queued *));
	x->updates = calloc(max + 1, sizeof(struct update *));
	if (!x->queued || !x->updates)
		return err_here(-ENOMEM);
	list_for_each (q, &l->updates, in_line) {
		if (x->n_updates == max)
			break;
		x->queued[x->n_updates] = q;
		x->updates[x->n_updates++] = q->update;
	}
	return 0;
}

/* ---- deciding -------------------------------------------------------------------------------------- */

static void write_group(struct line *l, struct batch *b, struct decided *x)
{
	struct store_group *g = batch_group(b);
	size_t before = store_added(g);
	int r = chain_write_prune(x, l, g);

	if (!r)
		r = chain_write_acks(x, l, g, before);
	if (!r)
		r = chain_write_texts(x, g, clock_wall_us());
	if (!r)
		r = chain_write_states(x, g);
	if (r) {
		(void)log_error_errno(r, "dispatch.write");
		batch_retry(b, RETRY_MS);
		return;
	}
	for (size_t i = 0; i < x->plan.n_changes; i++)
		chain_append(b, &x->plan.changes[i]);
	batch_commit(b);
}

static void see_seen(struct decided *x, const struct rows *r)
{
	for (size_t i = 0; i < rows_count(r); i++) {
		struct bytes hash = rows_bytes(r, i, 1);
		size_t at = (size_t)rows_int(r, i, 0) - 1;

		if (hash.len == UPDATE_HASH && at < x->n_updates)
			update_view_seen(&x->view, at, hash.data);
	}
}

/* work_item, request, jurisdiction, key_version, trace */
static void see_requests(struct decided *x, const struct rows *r)
{
	for (size_t i = 0; i < rows_count(r); i++) {
		struct bytes trace = rows_bytes(r, i, 4);
		struct request_now q = { .request = rows_int(r, i, 1),
					 .jurisdiction = (int32_t)rows_int(r, i, 2),
					 .key_version = (int32_t)rows_int(r, i, 3) };

		if (trace.len == sizeof(q.trace.id))
			memcpy(q.trace.id, trace.data, trace.len);
		update_view_request(&x->view, rows_int(r, i, 0), &q);
	}
}

/* request, work_item, jurisdiction, department, state, outcome, key_version, updated_at, service */
static void see_items(struct decided *x, const struct rows *r)
{
	for (size_t i = 0; i < rows_count(r); i++) {
		const struct item_now w = {
			.work_item = rows_int(r, i, 1),
			.jurisdiction = (int32_t)rows_int(r, i, 2),
			.department = (int32_t)rows_int(r, i, 3),
			.state = (Centraleta__V1__WorkState)rows_int(r, i, 4),
			.outcome = (Centraleta__V1__Outcome)rows_int(r, i, 5),
			.key_version = (int32_t)rows_int(r, i, 6),
			.updated_at_us = rows_time(r, i, 7),
			.service = (int32_t)rows_int(r, i, 8),
		};

		update_view_item(&x->view, rows_int(r, i, 0), &w);
	}
}

static void was_read(void *ctx, struct batch *b, const struct answer *answer)
{
	struct dispatch *d = ctx;
	struct decided *x = batch_user(b);
	struct line *l = line_of(d, batch_lane(b), x->epoch);
	int r;

	if (!l) {
		batch_retry(b, RETRY_MS); /* lost meanwhile: the updates are gone with the line */
		return;
	}
	see_seen(x, answer->rows[0]);
	see_requests(x, answer->rows[1]);
	see_items(x, answer->rows[2]);
	r = update_view_seal(&x->view);
	if (!r)
		r = update_decide(&x->view, x->updates, x->n_updates, clock_wall_us(), &x->plan);
	if (r) {
		(void)log_error_errno(r, "dispatch.decide");
		batch_retry(b, RETRY_MS);
		return;
	}
	write_group(l, b, x);
}

static int read_state(struct dispatch *d, struct batch *b, struct decided *x)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	int r = store_group_new(&g, batch_store(b));

	if (!r)
		r = chain_add_reads(x, g);
	return r ? r : batch_read(b, steal(g), was_read, d);
}

void chain_take(void *ctx, struct batch *b)
{
	struct dispatch *d = ctx;
	struct line *l = line_of(d, batch_lane(b), batch_epoch(b));
	struct decided *x = calloc(1, sizeof(*x));
	int r = l && x ? 0 : -ENOENT;

	if (x) {
		x->epoch = batch_epoch(b);
		batch_set_user(b, x, decided_free);
	}
	if (!r)
		r = take_names(x, l);
	if (!r)
		r = take_updates(x, l);
	if (!r && !x->n_updates) {
		write_group(l, b, x);
		return;
	}
	if (!r)
		r = read_state(d, b, x);
	if (r)
		batch_retry(b, RETRY_MS);
}

/* ---- committed --------------------------------------------------------------------------------------- */

static void say_ack_stored(struct dispatch *d, const struct taken *t)
{
	const struct name *n = t->name;
	_cleanup_(freep) Centraleta__V1__DseqRange *ranges = calloc(t->n_pending, sizeof(*ranges));
	_cleanup_(freep) Centraleta__V1__DseqRange **list = calloc(t->n_pending, sizeof(ranges));
	Centraleta__V1__AckStored m = CENTRALETA__V1__ACK_STORED__INIT;
	Centraleta__V1__DispatchFrame f = CENTRALETA__V1__DISPATCH_FRAME__INIT;

	if (!ranges || !list)
		return;
	for (size_t i = 0; i < t->n_pending; i++) {
		centraleta__v1__dseq_range__init(&ranges[i]);
		ranges[i].first = n->pending[i].first;
		ranges[i].last = n->pending[i].last;
		list[i] = &ranges[i];
	}
	m.position = n->acked.low;
	m.n_ranges = t->n_pending;
	m.ranges = list;
	f.frame_case = CENTRALETA__V1__DISPATCH_FRAME__FRAME_ACK_STORED;
	f.ack_stored = &m;
	(void)say(d, n->peer, &f);
}

static void settle_name(struct dispatch *d, struct taken *t, int64_t step)
{
	struct name *n = t->name;

	for (size_t i = 0; i < t->n_pending; i++)
		if (ack_set_add(&n->acked, n->pending[i].first, n->pending[i].last))
			(void)log_error_errno(-ENOMEM, "dispatch.ack"); /* it comes once more */
	if (t->mark) {
		n->written = t->changes;
		n->written_ms = clock_mono_ms();
		n->since = step;
	} else if (t->set.low || t->set.n) {
		n->changes++;
		n->since = n->since ? n->since : step;
	}
	flow_settle(&n->flow, &n->acked);
	series_add(d->metric[M_ACKS], (double)t->n_pending);
	if (t->n_pending && n->peer && n->peer->state == PEER_LIVE)
		say_ack_stored(d, t);
	n->n_pending -= t->n_pending;
	if (n->n_pending)
		memmove(n->pending, n->pending + t->n_pending,
			n->n_pending * sizeof(*n->pending));
	follow_dept(n->dept);
}

static void say_update_stored(struct dispatch *d, struct peer *p, const struct update *u)
{
	Centraleta__V1__UpdateStored m = CENTRALETA__V1__UPDATE_STORED__INIT;
	Centraleta__V1__DispatchFrame f = CENTRALETA__V1__DISPATCH_FRAME__INIT;

	m.update_id = (char *)u->id;
	m.state = update_target(u->kind);
	f.frame_case = CENTRALETA__V1__DISPATCH_FRAME__FRAME_UPDATE_STORED;
	f.update_stored = &m;
	(void)say(d, p, &f);
}

static void count_update(struct dispatch *d, const struct update *u, const struct decision *c)
{
	if (!c->taken)
		return;
	if (c->repeat)
		series_add(d->metric[M_REPEATS], 1);
	else
		series_add(d->updates[u->kind], 1);
}

static void settle_update(struct dispatch *d, struct line *l, struct queued *q, const struct decision *c)
{
	struct peer *p = peer_by_serial(d, q->peer);

	count_update(d, q->update, c);
	if (p)
		p->n_updates--;
	if (p && p->state != PEER_FENCED) {
		if (c->taken)
			say_update_stored(d, p, q->update);
		else
			say_refused(d, peer_id(p), &c->refusal, q->update->id, false);
	}
	list_del(&q->in_line);
	l->n_updates--;
	series_set(d->metric[M_QUEUE], (double)--d->n_queued);
	free(q->update);
	free(q);
}

static void log_changes(const struct update_plan *p)
{
	char trace[33];

	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	for (const struct change *c = p->changes; c < p->changes + p->n_changes; c++) {
		trace_hex(&c->trace, trace);
		log_debug("dispatch.changed", "key=%lld version=%d type=%d department=%d trace=%s",
			  (long long)c->key, c->key_version, (int)c->type, c->update->department, trace);
	}
}

void chain_committed(void *ctx, struct batch *b, const struct answer *answer, size_t first_result)
{
	struct dispatch *d = ctx;
	struct decided *x = batch_user(b);
	struct line *l = line_of(d, batch_lane(b), x->epoch);
	int64_t step = 0;

	if (!l)
		return; /* lost meanwhile: it is stored, and whoever has the line tells so */
	l->acks_ms = clock_mono_ms();
	if (x->acks)
		step = rows_int(answer->rows[first_result + x->ack_statement], 0, 0);
	log_changes(&x->plan);
	for (size_t i = 0; i < x->n_updates; i++)
		settle_update(d, l, x->queued[i], &x->plan.decisions[i]);
	x->n_updates = 0;
	for (size_t i = 0; i < x->n_names; i++)
		settle_name(d, &x->names[i], step);
	if (l->n_updates)
		consumer_kick(d->chain, l->lane);
}

/* ---- when ------------------------------------------------------------------------------------------- */

void chain_ack(struct dispatch *d, const struct name *n)
{
	const struct line *l = n->dept->line;
	uint64_t due_ms = l->acks_ms + d->limits.ack_linger_ms, now_ms = clock_mono_ms();

	if (now_ms >= due_ms || n->flow.n * 2 >= n->flow.limit)
		consumer_kick(d->chain, l->lane);
	else if (!loop_timer_armed(d->ack_timer))
		loop_timer_set(d->ack_timer, due_ms - now_ms);
}

static bool acks_wait(const struct line *l)
{
	const struct dept *t;
	const struct name *n;

	list_for_each (t, &l->depts, in_line)
		list_for_each (n, &t->names, in_dept)
			if (n->n_pending)
				return true;
	return false;
}

void chain_ack_time(void *dispatch)
{
	struct dispatch *d = dispatch;

	for (unsigned i = 0; i < LANE_MAX; i++)
		if (d->lines[i] && d->lines[i]->loaded && acks_wait(d->lines[i]))
			consumer_kick(d->chain, i);
}

void chain_tick(struct dispatch *d, uint64_t now_ms)
{
	struct dept *t;
	struct name *n;

	for (unsigned i = 0; i < LANE_MAX; i++) {
		struct line *l = d->lines[i];
		bool due = false;

		if (!l || !l->loaded)
			continue;
		list_for_each (t, &l->depts, in_line)
			list_for_each (n, &t->names, in_dept)
				due = due || mark_due(n, now_ms);
		if (due)
			consumer_kick(d->chain, i);
	}
}
