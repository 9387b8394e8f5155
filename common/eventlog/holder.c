/*
 * holder - which lanes this process works
 *
 * A round, on the control connection: say that we live, read members and leases, decide, take.
 * It comes every renew_ms, and sooner while there is something to gain. Leases are compared and
 * set by their epoch, so two members never take the same one; they say who works, while the step
 * says who may commit. The database's clock judges who lives.
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/eventlog/internal.h"

enum { SOON_MS = 300, RETRY_MS = 200, ROUND_STATEMENTS = 3 };

static void start_round(struct eventlog *log);

static void round_in(struct eventlog *log, unsigned ms)
{
	loop_timer_set(log->round_timer, jitter_ms(ms, log_random(log)));
	log->round_due_ms = UINT64_MAX;
}

/* The next regular round: with the probe that is nearest, its own timer being there if none comes. */
static void round_again(struct eventlog *log)
{
	unsigned ms = log->set.renew_ms, probe_ms = log->set.probe_ms;

	if (ms < 2 * probe_ms) { /* probes must also come alone: they prune */
		round_in(log, ms);
		return;
	}
	round_in(log, ms + probe_ms);
	log->round_due_ms = clock_mono_ms() + ms - probe_ms / 2;
}

static unsigned soon_ms(const struct eventlog *log)
{
	return MIN((unsigned)SOON_MS, log->set.renew_ms);
}

void holder_round_soon(struct eventlog *log)
{
	if (log->round_in_flight)
		log->more_rounds = true;
	else if (log->round_timer)
		loop_timer_set(log->round_timer, 0);
}

/*
 * False: for so long we haven't heard that the lease is ours that it may be another's; a process
 * that was stopped finds out here, before it sends anything.
 */
bool holder_fresh(const struct eventlog *log, const struct lane *l)
{
	uint64_t at = MAX(log->renewed_ms, l->confirmed_ms);

	return clock_mono_ms() - at < (uint64_t)log->set.alive_ms * 8 / 10;
}

/* ---- parameters --------------------------------------------------------------------------- */

static void add_self(struct eventlog *log, struct store_group *g, int id)
{
	store_add(g, query(id));
	store_p_text(g, log->name);
	store_p_int8(g, log->boot);
}

static void add_consumers(struct eventlog *log, struct store_group *g, int id)
{
	store_add(g, query(id));
	for_each_consumer(c, log)
		column_text(log->columns[6], c->ops->name);
	store_p_column(g, log->columns[6]);
}

/* ---- members ------------------------------------------------------------------------------ */

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

static int read_members(struct eventlog *log, const struct rows *r)
{
	size_t n = rows_count(r);
	struct member *members = calloc(n ? n : 1, sizeof(*members));

	if (!members)
		return err_here(-ENOMEM);
	for (size_t i = 0; i < n; i++) {
		struct member *m = &members[i];

		copy_text(m->name, sizeof(m->name), rows_text(r, i, 0));
		m->boot = rows_int(r, i, 1);
		m->ours = !strcmp(rows_text(r, i, 2), log->kind);
		copy_text(m->endpoint, sizeof(m->endpoint), rows_text(r, i, 3));
		copy_text(m->service_endpoint, sizeof(m->service_endpoint), rows_text(r, i, 4));
		m->alive = rows_int(r, i, 5);
	}
	free(log->members);
	log->members = members;
	log->n_members = n;
	return 0;
}

static int find_member(const struct eventlog *log, const char *name)
{
	for (size_t i = 0; i < log->n_members; i++)
		if (!strcmp(log->members[i].name, name))
			return (int)i;
	return -1;
}

/* how many live, and which of them we are */
static size_t living(const struct eventlog *log, size_t *ret_rank)
{
	size_t n = 0;

	*ret_rank = 0;
	for (size_t i = 0; i < log->n_members; i++) {
		const struct member *m = &log->members[i];

		if (!m->ours || !m->alive)
			continue;
		if (!strcmp(m->name, log->name))
			*ret_rank = n;
		n++;
	}
	return n;
}

/* ---- leases ------------------------------------------------------------------------------- */

static struct consumer *find_consumer(struct eventlog *log, const char *name)
{
	for_each_consumer(c, log)
		if (!strcmp(c->ops->name, name))
			return c;
	return NULL;
}

static struct lane *find_lane(struct eventlog *log, const struct rows *r, size_t row)
{
	struct consumer *c = find_consumer(log, rows_text(r, row, 0));
	int64_t lane = rows_int(r, row, 1);

	return c && lane >= 0 && lane < log->n_lanes ? &c->lanes[lane] : NULL;
}

static enum standing standing_of(struct eventlog *log, struct lane *l, const char *name, int64_t boot)
{
	l->holder = find_member(log, name);
	if (!*name)
		return LEASE_FREE;
	if (!strcmp(name, log->name))
		return boot == log->boot ? LEASE_MINE : LEASE_FORMER;
	if (l->holder >= 0 && log->members[l->holder].alive && log->members[l->holder].boot == boot)
		return LEASE_LIVING;
	l->holder = -1;
	return LEASE_DEAD;
}

static void read_leases(struct eventlog *log, const struct rows *r)
{
	for_each_consumer(c, log)
		for_each_lane(l, c) {
			l->standing = LEASE_LIVING; /* without a row there is nothing to take */
			l->holder = -1;
		}
	for (size_t i = 0; i < rows_count(r); i++) {
		struct lane *l = find_lane(log, r, i);

		if (!l)
			continue;
		l->standing = standing_of(log, l, rows_text(r, i, 2), rows_int(r, i, 3));
		l->lease_epoch = rows_int(r, i, 4);
	}
}

/* what the leases say against what we believe */
static void settle(struct lane *l)
{
	if (l->standing == LEASE_MINE)
		lane_take_over(l, l->lease_epoch); /* of a round whose answer was lost */
	else
		lane_gone(l);
}

/* True: we want more than we could get now. */
static bool plan_consumer(struct eventlog *log, struct consumer *c, size_t share, uint32_t *ret_take)
{
	enum standing standing[LANE_MAX];
	struct lease_plan plan;
	size_t held = 0;

	for (unsigned i = 0; i < log->n_lanes; i++)
		standing[i] = c->lanes[i].standing;
	plan = lease_plan(standing, log->n_lanes, share);
	*ret_take = plan.take;
	for (unsigned i = 0; i < log->n_lanes; i++) {
		if (plan.release >> i & 1)
			lane_give_back(&c->lanes[i]);
		held += standing[i] == LEASE_MINE || (plan.take >> i & 1);
	}
	return held < share;
}

static void on_taken(void *ctx, const struct answer *a)
{
	struct eventlog *log = ctx;

	log->round_in_flight = false;
	if (a->verdict) {
		round_in(log, RETRY_MS);
		return;
	}
	for (size_t i = 0; i < rows_count(a->rows[0]); i++) {
		struct lane *l = find_lane(log, a->rows[0], i);

		if (!l)
			continue;
		l->holder = find_member(log, log->name);
		if (log->draining)
			log->more_rounds = true; /* the next round finds it and gives it back */
		else
			lane_take_over(l, rows_int(a->rows[0], i, 2));
	}
	log->round_done = true;
	if (log->more_rounds)
		holder_round_soon(log);
}

static int take(struct eventlog *log, const uint32_t *takes)
{
	struct store_group *g = NULL;
	size_t i = 0;
	int r = store_group_new(&g, log->control);

	if (r)
		return r;
	add_self(log, g, EVENTLOG_TAKE);
	for_each_consumer(c, log) {
		for_each_lane(l, c) {
			if (!(takes[i] >> l->index & 1))
				continue;
			column_text(log->columns[6], c->ops->name);
			column_int(log->columns[0], l->index);
			column_int(log->seqs, l->lease_epoch);
			column_int(log->columns[2], (int64_t)c->batch_max * REACH_FACTOR);
		}
		i++;
	}
	store_p_column(g, log->columns[6]);
	store_p_column(g, log->columns[0]);
	store_p_column(g, log->seqs);
	store_p_column(g, log->columns[2]);
	r = log_submit(log, g, on_taken, log);
	log->round_in_flight = !r;
	return r;
}

/* ---- giving back -------------------------------------------------------------------------- */

static void on_released(void *ctx, const struct answer *a)
{
	struct eventlog *log = ctx;
	bool more = false;

	log->release_in_flight = false;
	for_each_consumer(c, log)
		for_each_lane(l, c) {
			if (l->release_sent && !a->verdict)
				lane_released(l);
			l->release_sent = false;
			more |= l->state == LANE_RELEASING;
		}
	if (more && !a->verdict)
		holder_release(log);
	else if (more)
		round_in(log, RETRY_MS);
	else if (log->draining)
		holder_round_soon(log);
}

void holder_release(struct eventlog *log)
{
	struct store_group *g = NULL;
	size_t n = 0;

	if (log->release_in_flight || store_group_new(&g, log->control))
		return; /* what is left is seen at the end of that, or by the next round */
	add_self(log, g, EVENTLOG_RELEASE);
	for_each_consumer(c, log)
		for_each_lane(l, c) {
			if (l->state != LANE_RELEASING)
				continue;
			l->release_sent = true;
			column_text(log->columns[6], c->ops->name);
			column_int(log->columns[0], l->index);
			n++;
		}
	store_p_column(g, log->columns[6]);
	store_p_column(g, log->columns[0]);
	if (!n)
		store_group_free(g);
	else
		log->release_in_flight = !log_submit(log, g, on_released, log);
}

static bool all_free(struct eventlog *log)
{
	for_each_consumer(c, log)
		for_each_lane(l, c)
			if (l->state != LANE_FREE || l->standing == LEASE_MINE)
				return false;
	return true;
}

static void on_left(void *ctx, const struct answer *a)
{
	struct eventlog *log = ctx;

	log->round_in_flight = false;
	if (a->verdict)
		round_in(log, RETRY_MS);
	else
		log->holder = HOLDER_LEFT;
}

static void leave(struct eventlog *log)
{
	struct store_group *g = NULL;
	int r = store_group_new(&g, log->control);

	if (!r) {
		add_self(log, g, EVENTLOG_LEAVE);
		r = log_submit(log, g, on_left, log);
	}
	log->round_in_flight = !r;
	if (r)
		round_in(log, RETRY_MS);
}

/* ---- a round ------------------------------------------------------------------------------ */

static void superseded(struct eventlog *log)
{
	log_error("eventlog.superseded", "member=%s why=\"a newer process has this name\"", log->name);
	log->holder = HOLDER_SUPERSEDED;
	for_each_consumer(c, log)
		for_each_lane(l, c)
			lane_gone(l);
	loop_stop(log->loop);
}

static void apply(struct eventlog *log)
{
	_cleanup_(freep) uint32_t *takes = calloc(log->n_consumers + 1, sizeof(*takes));
	size_t i = 0, rank, members = living(log, &rank);
	bool wants_more = false;
	uint32_t any = 0;

	for_each_consumer(c, log) {
		for_each_lane(l, c)
			settle(l);
		if (!takes)
			continue;
		/* each consumer's odd lanes go to another member */
		wants_more |= plan_consumer(
			log, c, fair_share(log->n_lanes, members, (rank + i) % MAX(members, (size_t)1)),
			&takes[i]);
		any |= takes[i++];
	}
	if (any)
		wants_more |= take(log, takes) != 0;
	else
		log->round_done = true;
	if (wants_more || !takes)
		round_in(log, soon_ms(log));
	else
		round_again(log);
}

static void apply_draining(struct eventlog *log)
{
	for_each_consumer(c, log)
		for_each_lane(l, c) {
			if (l->standing == LEASE_MINE && l->state == LANE_FREE)
				l->state = LANE_RELEASING; /* taken in the last round */
			lane_give_back(l);
		}
	holder_release(log);
	if (all_free(log))
		leave(log);
	else
		round_in(log, soon_ms(log));
}

static void on_round(void *ctx, const struct answer *a)
{
	struct eventlog *log = ctx;
	int mine;

	log->round_in_flight = log->more_rounds = false;
	if (log->round_probes) {
		log->round_probes = false;
		probe_read(log, a, ROUND_STATEMENTS);
	}
	series_add(log_series(log, M_ROUNDS, store_verdict_name(a->verdict)), 1);
	if (a->verdict || read_members(log, a->rows[1])) {
		round_in(log, RETRY_MS);
		return;
	}
	if (!rows_count(a->rows[0])) {
		mine = find_member(log, log->name);
		log->holder = HOLDER_JOINING;
		if (mine >= 0)
			superseded(log);
		else
			start_round(log); /* somebody deleted the row */
		return;
	}
	log->renewed_ms = log->round_ms;
	read_leases(log, a->rows[2]);
	peers_update(log);
	if (log->draining)
		apply_draining(log);
	else
		apply(log);
}

static int submit_round(struct eventlog *log)
{
	struct store_group *g = NULL;
	int r = store_group_new(&g, log->control);

	if (r)
		return r;
	add_self(log, g, EVENTLOG_RENEW);
	store_p_int8(g, log->set.alive_ms);
	store_add(g, query(EVENTLOG_MEMBERS));
	add_consumers(log, g, EVENTLOG_LEASES);
	if (log->round_probes)
		probe_add(log, g);
	r = log_submit(log, g, on_round, log);
	log->probe_in_flight |= !r && log->round_probes;
	return r;
}

static void on_joined(void *ctx, const struct answer *a)
{
	struct eventlog *log = ctx;

	log->round_in_flight = false;
	if (a->verdict) {
		log_debug("eventlog.join", "verdict=%s sqlstate=%s", store_verdict_name(a->verdict),
			  a->sqlstate);
		round_in(log, RETRY_MS);
		return;
	}
	log->holder = HOLDER_JOINED;
	log_debug("eventlog.joined", "member=%s boot=%lld", log->name, (long long)log->boot);
	start_round(log);
}

static int submit_join(struct eventlog *log)
{
	struct store_group *g = NULL;
	int r = store_group_new(&g, log->control);

	if (r)
		return r;
	add_self(log, g, EVENTLOG_REGISTER);
	store_p_text(g, log->kind);
	store_p_text(g, log->endpoint);
	store_p_text(g, log->service_endpoint);
	store_p_int8(g, log->set.alive_ms);
	return log_submit(log, g, on_joined, log);
}

static void start_round(struct eventlog *log)
{
	int r;

	if (log->round_in_flight) {
		log->more_rounds = true;
		return;
	}
	if (log->draining && log->holder == HOLDER_JOINING) {
		log->holder = HOLDER_LEFT;
		return;
	}
	if (log->holder != HOLDER_JOINING && log->holder != HOLDER_JOINED)
		return;
	log->round_ms = clock_mono_ms();
	if (!log->n_lanes || !store_ready(log->control))
		r = STORE_E_DOWN;
	else
		r = log->holder == HOLDER_JOINING ? submit_join(log) : submit_round(log);
	log->round_in_flight = !r;
	log->round_probes &= !r;
	if (r)
		round_in(log, RETRY_MS);
}

bool holder_round_probes(struct eventlog *log)
{
	if (log->round_in_flight || log->holder != HOLDER_JOINED ||
	    clock_mono_ms() < log->round_due_ms)
		return false;
	loop_timer_stop(log->round_timer);
	log->round_probes = true;
	start_round(log);
	return true;
}

static void on_timer(void *ctx)
{
	start_round(ctx);
}

int holder_start(struct eventlog *log)
{
	int r = loop_timer_new(&log->round_timer, log->loop, on_timer, log);

	if (r)
		return r;
	log->holder = HOLDER_JOINING;
	holder_round_soon(log);
	return 0;
}

void holder_fini(struct eventlog *log)
{
	loop_timer_free(log->round_timer);
	free(log->members);
}
