/*
 * eventlog - making and ending the whole, and what others may ask of it
 *
 * A group's answer may come after the log is gone (the store outlives it), so each is sent with a
 * small record that the log cuts off when it is freed.
 */
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/eventlog/internal.h"

static const struct query queries[] = {
#define QUERY(id, text) QUERY_ENTRY(id, text)
#include "common/eventlog/queries.def"
#undef QUERY
};
const struct query_table eventlog_queries = { queries, ARRAY_SIZE(queries) };

const struct config_key eventlog_keys[] = {
#define KEY(section_, name_, kind_, fallback_, min_, max_, doc_) \
	{ section_, name_, kind_, fallback_, min_, max_, doc_ },
#include "common/eventlog/keys.def"
#undef KEY
	{ 0 },
};

static const struct metric_def metric_defs[] = {
#define METRIC(id, kind_, name_, help_, labels_) \
	[id] = { .kind = kind_, .name = name_, .help = help_, .labels = labels_ },
#include "common/eventlog/metrics.def"
#undef METRIC
};

/* ---- groups that may outlive the log ------------------------------------------------------ */

struct call {
	struct list link;
	struct eventlog *log; /* NULL: gone */
	store_fn fn;
	void *ctx;
};

static void on_answer(void *ctx, const struct answer *a)
{
	struct call *c = ctx;

	list_del(&c->link);
	if (c->log)
		c->fn(c->ctx, a);
	free(c);
}

int log_try_submit(struct eventlog *log, struct store_group *g, store_fn fn, void *ctx)
{
	struct call *c = malloc(sizeof(*c));
	int r;

	if (!c)
		return err_here(-ENOMEM);
	*c = (struct call){ .log = log, .fn = fn, .ctx = ctx };
	list_init(&c->link);
	r = store_submit(g, on_answer, c);
	if (r)
		free(c);
	else
		list_add_tail(&log->calls, &c->link);
	return r;
}

int log_submit(struct eventlog *log, struct store_group *g, store_fn fn, void *ctx)
{
	int r = log_try_submit(log, g, fn, ctx);

	if (r)
		store_group_free(g);
	return r;
}

static void cut_off_calls(struct eventlog *log)
{
	while (!list_empty(&log->calls)) {
		struct call *c = list_entry(log->calls.next, struct call, link);

		c->log = NULL;
		list_del(&c->link);
	}
}

struct event *log_scratch(struct eventlog *log, size_t n)
{
	struct event *p;

	if (n > log->scratch_cap) {
		p = realloc(log->scratch, n * sizeof(*p));
		if (!p)
			return NULL;
		log->scratch = p;
		log->scratch_cap = n;
	}
	return log->scratch;
}

uint32_t log_random(struct eventlog *log)
{
	return loop_random(log->loop, UINT32_MAX);
}

/* ---- making ------------------------------------------------------------------------------- */

static void read_settings(struct settings *s, const struct config *c)
{
	*s = (struct settings){
		.alive_ms = config_int(c, "eventlog.alive_ms"),
		.renew_ms = (unsigned)config_int(c, "eventlog.renew_ms"),
		.probe_ms = (unsigned)config_int(c, "eventlog.probe_ms"),
		.gap_ms = (unsigned)config_int(c, "eventlog.gap_ms"),
		.gather_ms = (unsigned)config_int(c, "eventlog.gather_ms"),
		.skip_ms = (unsigned)config_int(c, "eventlog.skip_ms"),
		.queue_events = (size_t)config_int(c, "eventlog.queue_events"),
		.queue_bytes = (size_t)config_int(c, "eventlog.queue_bytes"),
		.page_events = (int32_t)config_int(c, "eventlog.page_events"),
		.parked_max = (size_t)config_int(c, "eventlog.parked_max"),
		.retry_max_ms = (unsigned)config_int(c, "eventlog.retry_max_ms"),
		.stopped_ms = (unsigned)config_int(c, "eventlog.stopped_ms"),
		.prune_after_ms = config_int(c, "eventlog.prune_after_ms"),
		.prune_rows = (int32_t)config_int(c, "eventlog.prune_rows"),
	};
}

static int name_self(struct eventlog *log, const struct config *c)
{
	const char *name = config_str(c, "service.member");
	const char *endpoint = config_str(c, "bus.endpoint");
	char host[64] = "";
	int n;

	if (gethostname(host, sizeof(host) - 1))
		return err_here(-errno);
	n = name && *name ? snprintf(log->name, sizeof(log->name), "%s", name) :
			    snprintf(log->name, sizeof(log->name), "%s-%s", log->kind, host);
	if (n >= (int)sizeof(log->name))
		return err_here(-ENAMETOOLONG);
	n = endpoint && *endpoint ?
		    snprintf(log->endpoint, sizeof(log->endpoint), "%s", endpoint) :
		    snprintf(log->endpoint, sizeof(log->endpoint), "ipc://%s/%s.pub",
			     config_str(c, "service.runtime_dir"), log->name);
	if (n >= (int)sizeof(log->endpoint))
		return err_here(-ENAMETOOLONG);
	if (getrandom(&log->boot, sizeof(log->boot), 0) != (ssize_t)sizeof(log->boot))
		return err_here(-errno);
	log->boot = (log->boot & INT64_MAX) | 1;
	return 0;
}

static int make_columns(struct eventlog *log)
{
	static const enum column_type types[] = {
		COLUMN_INT2, COLUMN_INT4, COLUMN_INT8, COLUMN_INT4,  COLUMN_INT2,
		COLUMN_INT2, COLUMN_TEXT, COLUMN_BYTEA, COLUMN_BYTEA,
	};
	int r = column_new(&log->seqs, COLUMN_INT8);

	for (size_t i = 0; i < ARRAY_SIZE(log->columns) && !r; i++)
		r = column_new(&log->columns[i], types[i]);
	return r;
}

static int make_lanes(struct eventlog *log)
{
	int r = 0;

	for (unsigned i = 0; i < LANE_MAX && !r; i++) {
		log->lanes[i].log = log;
		log->lanes[i].index = i;
		r = loop_timer_new(&log->lanes[i].repeat, log->loop, publish_head_again, &log->lanes[i]);
		if (!r)
			r = loop_timer_new(&log->lanes[i].soon_timer, log->loop, soon_send, &log->lanes[i]);
	}
	return r;
}

int eventlog_new(struct eventlog **ret, const struct eventlog_options *o)
{
	_cleanup_(eventlog_freep) struct eventlog *log = calloc(1, sizeof(*log));
	int r;

	if (!log)
		return err_here(-ENOMEM);
	list_init(&log->consumers);
	list_init(&log->calls);
	list_init(&log->ready);
	log->loop = o->loop;
	log->bus = o->bus;
	log->writers = o->writers;
	log->control = o->control;
	log->metrics = o->metrics;
	log->on_config = o->on_config;
	log->ctx = o->ctx;
	snprintf(log->kind, sizeof(log->kind), "%s", o->kind);
	read_settings(&log->set, o->config);
	r = name_self(log, o->config);
	if (!r)
		r = log->metric = metrics_register(log->metrics, metric_defs, ARRAY_SIZE(metric_defs));
	r = r < 0 ? r : make_columns(log);
	r = r ? r : make_lanes(log);
	r = r ? r : wire_new(&log->wire);
	r = r ? r : loop_timer_new(&log->turn, log->loop, lane_turn, log);
	r = r ? r : peers_new(log);
	if (r)
		return r;
	*ret = steal(log);
	return 0;
}

static void free_consumer(struct consumer *c)
{
	list_del(&c->link);
	for (unsigned i = 0; i < LANE_MAX; i++)
		lane_fini(&c->lanes[i]);
	free(c);
}

void eventlog_free(struct eventlog *log)
{
	if (!log)
		return;
	cut_off_calls(log);
	while (!list_empty(&log->consumers))
		free_consumer(list_entry(log->consumers.next, struct consumer, link));
	probe_fini(log);
	holder_fini(log);
	peers_fini(log);
	loop_timer_free(log->turn);
	for (unsigned i = 0; i < LANE_MAX; i++) {
		loop_timer_free(log->lanes[i].repeat);
		loop_timer_free(log->lanes[i].soon_timer);
		feed_fini(&log->lanes[i].soon);
	}
	for (size_t i = 0; i < ARRAY_SIZE(log->columns); i++)
		column_free(log->columns[i]);
	column_free(log->seqs);
	wire_free(log->wire);
	free(log->scratch);
	free(log);
}

int eventlog_consumer(struct eventlog *log, const struct consumer_ops *ops, void *ctx,
		      struct consumer **ret)
{
	struct consumer *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c)
		return err_here(-ENOMEM);
	assert(log->holder == HOLDER_OFF);
	list_add_tail(&log->consumers, &c->link);
	c->log = log;
	c->copy = *ops;
	c->ops = &c->copy;
	c->ctx = ctx;
	c->batch_max = ops->batch_max ? ops->batch_max : BATCH_DEFAULT;
	c->batch_events = log_series(log, M_BATCH, ops->name);
	c->group_seconds = log_series(log, M_COMMIT, ops->name);
	c->reads = log_series(log, M_READS, ops->name);
	c->read_events = log_series(log, M_READ_EVENTS, ops->name);
	for (unsigned i = 0; i < LANE_MAX && !r; i++)
		r = lane_init(&c->lanes[i], c, i);
	if (r) {
		free_consumer(c);
		return r;
	}
	log->n_consumers++;
	if (ops->log)
		log->wanted |= ops->types;
	*ret = c;
	return 0;
}

void eventlog_set_service_endpoint(struct eventlog *log, const char *endpoint)
{
	snprintf(log->service_endpoint, sizeof(log->service_endpoint), "%s", endpoint);
}

int eventlog_start(struct eventlog *log)
{
	int r = peers_listen(log);

	r = r ? r : probe_start(log);
	return r ? r : holder_start(log);
}

void eventlog_drain(struct eventlog *log)
{
	if (log->draining)
		return;
	log->draining = true;
	for (unsigned i = 0; i < log->n_lanes; i++)
		soon_send(&log->lanes[i]);
	for_each_consumer(c, log)
		for_each_lane(l, c)
			lane_give_back(l);
	holder_round_soon(log);
}

/* ---- questions ---------------------------------------------------------------------------- */

bool eventlog_drained(const struct eventlog *log)
{
	return log->holder == HOLDER_OFF || log->holder == HOLDER_LEFT ||
	       log->holder == HOLDER_SUPERSEDED;
}

bool eventlog_ready(const struct eventlog *log)
{
	return log->holder == HOLDER_JOINED && log->round_done;
}

bool eventlog_superseded(const struct eventlog *log)
{
	return log->holder == HOLDER_SUPERSEDED;
}

int eventlog_lanes(const struct eventlog *log)
{
	return (int)log->n_lanes;
}

int64_t eventlog_head(const struct eventlog *log, unsigned lane)
{
	return lane < log->n_lanes ? log->lanes[lane].head : 0;
}

const char *eventlog_holder(const struct eventlog *log, const char *consumer, unsigned lane)
{
	for_each_consumer(c, log) {
		int holder = lane < log->n_lanes ? c->lanes[lane].holder : -1;

		if (!strcmp(c->ops->name, consumer) && holder >= 0)
			return log->members[holder].service_endpoint;
	}
	return "";
}

void consumer_loaded(struct consumer *c, unsigned lane)
{
	lane_loaded(&c->lanes[lane]);
}

void consumer_kick(struct consumer *c, unsigned lane)
{
	struct lane *l = &c->lanes[lane];

	if (!lane_works(l))
		return; /* whoever takes it over finds out by itself */
	l->kicked = true;
	lane_wake(l);
}

bool consumer_holds(const struct consumer *c, unsigned lane)
{
	const struct lane *l = &c->lanes[lane];

	/* one that finishes what it began holds the lane until it has */
	return l->loaded && !l->gone && (!l->leave || c->ops->may_leave);
}

int64_t consumer_epoch(const struct consumer *c, unsigned lane)
{
	return c->lanes[lane].epoch;
}
