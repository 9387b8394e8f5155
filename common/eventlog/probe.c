/*
 * probe - looking where nobody told
 *
 * Once in probe_ms one statement on the control connection reads the heads of all lanes and the
 * configuration's revision: what the wire lost is found so, at most 1.5 s later. With it come the
 * operators' wishes for parked events, and a bite of old progress rows; or a round of holder.c,
 * so that an idle process asks the store once a second for everything.
 */
#include "common/base/err.h"
#include "common/eventlog/internal.h"

enum { SOON_MS = 200, FIRST_MS = 5 };

void head_seen(struct eventlog *log, unsigned lane, int64_t seq)
{
	struct log_lane *info = &log->lanes[lane];

	if (seq <= info->head)
		return;
	info->head = seq;
	for_each_consumer(c, log)
		if (c->ops->log)
			lane_wake(&c->lanes[lane]);
}

/* ---- heads -------------------------------------------------------------------------------- */

static void read_line(struct eventlog *log, const struct rows *r, size_t row)
{
	unsigned lane = (unsigned)rows_int(r, row, 0);
	struct log_lane *info = &log->lanes[lane];
	struct line line = {
		.generation = (int32_t)rows_int(r, row, 1),
		.after = rows_int(r, row, 2),
		.base = rows_int(r, row, 3),
	};
	bool moved = info->line.generation && line.generation != info->line.generation;

	info->line = line;
	if (moved) {
		log_warn("eventlog.generation", "lane=%u generation=%d", lane, line.generation);
		info->head = 0;
		for_each_consumer(c, log)
			lane_line_changed(&c->lanes[lane]);
	}
	head_seen(log, lane, rows_int(r, row, 4));
}

static void read_heads(struct eventlog *log, const struct rows *r)
{
	unsigned n = 0;

	for (size_t i = 0; i < rows_count(r); i++) {
		int64_t lane = rows_int(r, i, 0);

		if (lane < 0 || lane >= LANE_MAX)
			continue;
		n = MAX(n, (unsigned)lane + 1);
		read_line(log, r, i);
	}
	if (n > log->n_lanes) { /* migrate adds lanes, nobody takes them away */
		log->n_lanes = n;
		holder_round_soon(log);
	}
}

static void read_revision(struct eventlog *log, const struct rows *r)
{
	int64_t revision = rows_count(r) ? rows_int(r, 0, 5) : 0;

	if (!revision || revision == log->revision)
		return;
	log->revision = revision;
	if (log->on_config)
		log->on_config(log->ctx, revision);
}

static void read_wishes(struct eventlog *log, const struct rows *r)
{
	for (size_t i = 0; i < rows_count(r); i++)
		for_each_consumer(c, log) {
			int64_t lane = rows_int(r, i, 1);

			if (lane < 0 || lane >= log->n_lanes ||
			    strcmp(c->ops->name, rows_text(r, i, 0)))
				continue;
			c->lanes[lane].replay = true;
			lane_wake(&c->lanes[lane]);
		}
}

static bool any_parked(struct eventlog *log)
{
	for_each_consumer(c, log)
		for_each_lane(l, c)
			if (l->parked.n)
				return true;
	return false;
}

/* ---- pruning ------------------------------------------------------------------------------ */

/* the next lane's turn, if it is held */
static void add_prune(struct eventlog *log, struct store_group *g)
{
	size_t n = log->n_consumers * log->n_lanes, i = 0;

	log->prune_asked = false;
	if (!n)
		return;
	log->prune_next %= n;
	for_each_consumer(c, log)
		for_each_lane(l, c) {
			if (i++ != log->prune_next || !lane_works(l) || l->step <= 0)
				continue;
			store_add(g, query(EVENTLOG_PRUNE));
			store_p_text(g, c->ops->name);
			store_p_int2(g, (int16_t)l->index);
			store_p_int8(g, l->step);
			store_p_int8(g, log->set.prune_after_ms);
			store_p_int4(g, log->set.prune_rows);
			log->prune_asked = true;
		}
	log->prune_next++;
}

/* A full bite: there is more, and it may grow faster than a bite a round of all lanes takes. */
static void pruned(struct eventlog *log, const struct rows *r)
{
	if (rows_int(r, 0, 0) < log->set.prune_rows)
		return;
	log->prune_next--; /* the same lane again */
	probe_soon(log);
}

/* ---- the statement ------------------------------------------------------------------------ */

void probe_read(struct eventlog *log, const struct answer *a, size_t first)
{
	log->probe_in_flight = false;
	if (a->verdict) {
		log_debug("eventlog.probe", "verdict=%s sqlstate=%s", store_verdict_name(a->verdict),
			  a->sqlstate);
		return;
	}
	read_heads(log, a->rows[first]);
	read_revision(log, a->rows[first]);
	if (log->wishes_asked)
		read_wishes(log, a->rows[first + 1]);
}

static void on_probed(void *ctx, const struct answer *a)
{
	struct eventlog *log = ctx;

	probe_read(log, a, 0);
	if (!a->verdict && log->prune_asked)
		pruned(log, a->rows[a->n - 1]);
}

static void add_wishes(struct eventlog *log, struct store_group *g)
{
	log->wishes_asked = any_parked(log);
	if (!log->wishes_asked)
		return;
	store_add(g, query(EVENTLOG_WISHES));
	for_each_consumer(c, log)
		column_text(log->columns[6], c->ops->name);
	store_p_column(g, log->columns[6]);
}

void probe_add(struct eventlog *log, struct store_group *g)
{
	store_add(g, query(EVENTLOG_HEADS));
	add_wishes(log, g);
}

/* Before the first answer nothing goes on: asked for soon, and then less and less often. */
static void wait_for_store(struct eventlog *log)
{
	log->probe_wait_ms = MIN(MAX(log->probe_wait_ms * 2, (unsigned)FIRST_MS), (unsigned)SOON_MS);
	loop_timer_set(log->probe_timer, MIN(log->probe_wait_ms, log->set.probe_ms));
}

static void on_timer(void *ctx)
{
	struct eventlog *log = ctx;
	struct store_group *g = NULL;

	loop_timer_set_us(log->probe_timer, loop_about_us(log->loop, log->set.probe_ms));
	log->probed_ms = clock_mono_ms();
	if (log->probe_in_flight || !store_ready(log->control)) {
		if (!log->n_lanes)
			wait_for_store(log);
		return;
	}
	if (holder_round_probes(log) || store_group_new(&g, log->control))
		return;
	probe_add(log, g);
	add_prune(log, g);
	log->probe_in_flight = !log_submit(log, g, on_probed, log);
}

void probe_soon(struct eventlog *log)
{
	uint64_t since = clock_mono_ms() - log->probed_ms;

	loop_timer_set(log->probe_timer, since >= SOON_MS ? 0 : SOON_MS - since);
}

int probe_start(struct eventlog *log)
{
	int r = loop_timer_new(&log->probe_timer, log->loop, on_timer, log);

	if (!r)
		loop_timer_set(log->probe_timer, 0);
	return r;
}

void probe_fini(struct eventlog *log)
{
	loop_timer_free(log->probe_timer);
}
