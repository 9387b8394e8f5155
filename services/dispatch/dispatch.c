/*
 * dispatch - start and end, limits, the directory, and reads that outlive whom they were for
 */
#include "services/dispatch/dispatch.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"

/* busy: somebody waits for a row, or for room; idle: times that are due, and what was not told */
enum { TICK_MS = 100, TICK_IDLE_MS = 1000, DIRECTORY_RETRY_MS = 500 };

static const struct config_key keys[] = {
#define KEY(sec, nam, knd, def, lo, hi, text) \
	{ .section = #sec, .name = #nam, .kind = CONFIG_##knd, .fallback = def, .min = lo, .max = hi, \
	  .doc = text },
#include "services/dispatch/keys.def"
#undef KEY
	{ .section = NULL },
};

static const struct metric_def metrics[] = {
#define METRIC(id, knd, nam, text, lab) { .kind = knd, .name = nam, .help = text, .labels = lab },
#include "services/dispatch/metrics.def"
#undef METRIC
};

const struct query dispatch_queries[DISPATCH_QUERIES] = {
#define QUERY QUERY_ENTRY
#include "services/dispatch/queries.def"
#undef QUERY
};

/* ---- reads ---------------------------------------------------------------------------------------- */

struct store_group *dispatch_group(struct dispatch *d, unsigned lane)
{
	struct store_group *g;

	return store_group_new(&g, store_pool_lane(d->service->writers, lane)) ? NULL : g;
}

static void answered(void *ctx, const struct answer *answer)
{
	struct ask *a = ctx;
	struct line *l;

	if (a->d) {
		list_del(&a->in_dispatch);
		l = line_of(a->d, a->lane, a->epoch);
		a->fn(a, l, l && a->department ? line_dept(l, a->department) : NULL, answer);
	}
	free(a);
}

void dispatch_ask(struct dispatch *d, struct ask ask, struct store_group *g)
{
	static const struct answer down = { .verdict = STORE_DOWN };
	struct ask *a = malloc(sizeof(*a));

	ask.d = d;
	if (a) {
		*a = ask;
		list_add_tail(&d->asks, &a->in_dispatch);
		if (g && !store_submit(g, answered, a))
			return;
	}
	store_group_free(g);
	if (a) {
		answered(a, &down);
	} else {
		struct line *l = line_of(d, ask.lane, ask.epoch);

		ask.fn(&ask, l, l && ask.department ? line_dept(l, ask.department) : NULL, &down);
	}
}

/* ---- the directory -------------------------------------------------------------------------------- */

static void load_directory(struct dispatch *d);

static void take_directory(struct ask *a, struct line *l, struct dept *t, const struct answer *answer)
{
	struct dispatch *d = a->d;
	struct directory *new = NULL;

	(void)l;
	(void)t;
	d->loading_directory = false;
	if (answer->verdict != STORE_OK || directory_new(&new, answer->rows)) {
		d->reload_directory = true; /* by the tick */
		dispatch_tick_soon(d);
		return;
	}
	directory_free(d->directory);
	d->directory = new;
	d->directory_ends_ms = directory_lasts_ms(new) == UINT64_MAX ?
				       UINT64_MAX : clock_mono_ms() + directory_lasts_ms(new);
	series_set(d->metric[M_DIRECTORY], (double)directory_keys(new));
	log_info("dispatch.directory", "keys=%zu", directory_keys(new));
	peers_recheck(d);
	lines_refresh(d);
	if (d->reload_directory)
		load_directory(d);
}

static void load_directory(struct dispatch *d)
{
	struct store_group *g = dispatch_group(d, 0);

	d->loading_directory = true;
	d->reload_directory = false;
	for (int q = DISPATCH_KEYS; g && q <= DISPATCH_SERVICES; q++)
		store_add(g, &dispatch_queries[q]);
	dispatch_ask(d, (struct ask){ .fn = take_directory }, g);
}

static void on_config(void *self, int64_t revision)
{
	struct dispatch *d = self;

	(void)revision;
	if (d->loading_directory)
		d->reload_directory = true;
	else
		load_directory(d);
}

/* ---- time ------------------------------------------------------------------------------------------ */

/* short enough that whatever is due is at most a quarter late */
static unsigned idle_ms(const struct limits *l)
{
	unsigned ms = MIN(MIN(l->heartbeat_ms, l->redeliver_ms), l->position_ms) / 4;

	return MAX(MIN(MIN(ms, l->probe_ms), (unsigned)TICK_IDLE_MS), 1u);
}

void dispatch_tick_soon(struct dispatch *d)
{
	if (!d->tick_soon)
		loop_timer_set(d->tick, MIN((unsigned)TICK_MS, idle_ms(&d->limits)));
	d->tick_soon = true;
}

static void tick(void *ctx)
{
	struct dispatch *d = ctx;
	uint64_t now_ms = clock_mono_ms();

	d->tick_soon = false;
	loop_timer_set_us(d->tick, loop_about_us(d->service->loop, idle_ms(&d->limits)));
	if (d->directory && now_ms >= d->directory_ends_ms) {
		d->directory_ends_ms = UINT64_MAX; /* the next one says anew */
		d->reload_directory = true;
	}
	if (d->reload_directory)
		dispatch_tick_soon(d);
	if (d->reload_directory && !d->loading_directory &&
	    now_ms >= d->directory_ms + DIRECTORY_RETRY_MS) {
		d->directory_ms = now_ms;
		load_directory(d);
	}
	if (d->directory)
		peers_tick(d, now_ms);
	follow_tick(d, now_ms);
	chain_tick(d, now_ms);
}

/* ---- start and end ---------------------------------------------------------------------------------- */

static void read_limits(struct limits *l, const struct config *c)
{
	*l = (struct limits){
		.heartbeat_ms = (unsigned)config_int(c, "dispatch.heartbeat_ms"),
		.redeliver_ms = (unsigned)config_int(c, "dispatch.redeliver_ms"),
		.position_ms = (unsigned)config_int(c, "dispatch.position_ms"),
		.probe_ms = (unsigned)config_int(c, "dispatch.probe_ms"),
		.ack_linger_ms = (unsigned)config_int(c, "dispatch.ack_linger_ms"),
		.credit_max = (size_t)config_int(c, "dispatch.credit_max"),
		.connections_max = (size_t)config_int(c, "dispatch.connections_max"),
		.consumers_max = (size_t)config_int(c, "dispatch.consumers_max"),
		.updates_max = (size_t)config_int(c, "dispatch.updates_max"),
		.ack_ranges_max = (size_t)config_int(c, "dispatch.ack_ranges_max"),
		.acks_queued_max = (size_t)config_int(c, "dispatch.acks_queued_max"),
		.frame_max = (size_t)config_int(c, "dispatch.frame_max"),
		.skew_us = config_int(c, "dispatch.clock_skew_ms") * 1000,
	};
}

static void open_metrics(struct dispatch *d, int base)
{
	static const char *const kinds[ARRAY_SIZE(d->updates)] = {
		"", "accept", "progress", "resolve", "refuse", "note",
	};
	struct metrics *m = d->service->metrics;

	for (int i = 0; i < DISPATCH_METRICS; i++)
		if (!*metrics[i].labels)
			d->metric[i] = metrics_series(m, base + i);
	for (int i = 0; i < REFUSED_N; i++)
		d->refused[i] = metrics_series(m, base + M_REFUSED, refused_name((enum refused)i));
	d->sent[0] = metrics_series(m, base + M_WORK_SENT, "no");
	d->sent[1] = metrics_series(m, base + M_WORK_SENT, "yes");
	for (size_t i = 1; i < ARRAY_SIZE(kinds) && kinds[i]; i++)
		d->updates[i] = metrics_series(m, base + M_UPDATES, kinds[i]);
	series_set(d->metric[M_CONNECTIONS_MAX], (double)d->limits.connections_max);
	series_set(d->metric[M_OUT_MAX], (double)d->limits.credit_max);
}

static int told(int r, const char *key, const char *endpoint)
{
	if (r)
		log_error("dispatch.listen", "key=%s endpoint=%s reason=\"%s\"", key, endpoint, bus_reason(r));
	return r;
}

static int new_socket(struct dispatch *d, struct bus_sock **ret)
{
	/* room for all that may be out, and for answers beside it */
	const struct bus_limits limits = { .send_hwm = (int)d->limits.credit_max * 2 + 100,
					   .message_max = (int64_t)d->limits.frame_max * 2 };

	return bus_sock_new(ret, d->service->bus, BUS_ROUTER, &limits, peers_receive, d);
}

static int open_local(struct dispatch *d)
{
	const struct config *c = d->service->config;
	const char *endpoint = config_str(c, "dispatch.work_endpoint");
	char own[240];
	int r;

	if (!*endpoint) {
		(void)snprintf(own, sizeof(own), "ipc://%s/dispatch.work",
			       config_str(c, "service.runtime_dir"));
		endpoint = own;
	}
	r = new_socket(d, &d->socks[SOCK_LOCAL]);
	if (!r)
		r = told(bus_bind(d->socks[SOCK_LOCAL], endpoint, d->endpoint), "dispatch.work_endpoint",
			 endpoint);
	if (!r)
		log_info("dispatch.listen", "endpoint=%s", d->endpoint);
	return r;
}

static int open_curve(struct dispatch *d)
{
	const struct config *c = d->service->config;
	const char *endpoint = config_str(c, "dispatch.work_tcp"), *public = config_str(c, "dispatch.work_public");
	size_t at = strlen(d->endpoint);
	char real[BUS_ENDPOINT_MAX];
	int r;

	if (!*endpoint)
		return 0;
	r = new_socket(d, &d->socks[SOCK_CURVE]);
	if (!r)
		r = told(bus_serve(d->socks[SOCK_CURVE], endpoint, "dispatch.work", who_admit, d, real),
			 "dispatch.work_tcp", endpoint);
	if (r)
		return r;
	log_info("dispatch.listen", "endpoint=%s", real);
	if (snprintf(d->endpoint + at, sizeof(d->endpoint) - at, " %s", *public ? public : real) >=
	    (int)(sizeof(d->endpoint) - at))
		return told(-ENAMETOOLONG, "dispatch.work_tcp", endpoint);
	return 0;
}

static int open_sockets(struct dispatch *d)
{
	int r = open_local(d);

	if (!r)
		r = open_curve(d);
	if (!r)
		eventlog_set_service_endpoint(d->service->log, d->endpoint);
	return r;
}

static void dispatch_free(void *self)
{
	struct dispatch *d = self;
	struct ask *a;

	if (!d)
		return;
	list_for_each (a, &d->asks, in_dispatch) {
		list_del(&a->in_dispatch);
		a->d = NULL; /* freed with its answer */
	}
	loop_timer_free(d->tick);
	loop_timer_free(d->ack_timer);
	FOREACH(s, d->socks)
		bus_sock_free(*s);
	if (d->serials)
		g_hash_table_destroy(d->serials);
	if (d->peers)
		g_hash_table_destroy(d->peers);
	lines_free(d);
	directory_free(d->directory);
	buf_fini(&d->out);
	free(d);
}

static int add_consumers(struct dispatch *d)
{
	static const struct consumer_ops chain_ops = {
		.name = "dispatch.department",
		.held = lines_held,
		.lost = lines_lost,
		.take = chain_take,
		.committed = chain_committed,
	};
	int r = open_start(d);

	return r ? r : eventlog_consumer(d->service->log, &chain_ops, d, &d->chain);
}

static int dispatch_start(struct service *s, int metrics_base, void **ret_self)
{
	struct dispatch *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_here(-ENOMEM);
	d->service = s;
	list_init(&d->asks);
	d->peers = g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref,
					 g_free);
	d->serials = g_hash_table_new(g_int64_hash, g_int64_equal);
	read_limits(&d->limits, s->config);
	open_metrics(d, metrics_base);
	r = loop_timer_new(&d->tick, s->loop, tick, d);
	if (!r)
		r = loop_timer_new(&d->ack_timer, s->loop, chain_ack_time, d);
	if (!r)
		r = add_consumers(d);
	if (!r)
		r = open_sockets(d);
	if (r) {
		dispatch_free(d);
		return r;
	}
	dispatch_tick_soon(d);
	*ret_self = d;
	return 0;
}

static int reload(void *self, const struct config *config)
{
	struct dispatch *d = self;
	struct limits new;

	read_limits(&new, config);
	new.credit_max = d->limits.credit_max; /* sizes of what is allocated and of the socket */
	new.frame_max = d->limits.frame_max;
	d->limits = new;
	return 0;
}

static void drain(void *self)
{
	((struct dispatch *)self)->draining = true;
}

static bool drained(const void *self)
{
	const struct dispatch *d = self;

	return !d->n_queued;
}

static bool ready(const void *self, struct json *out)
{
	const struct dispatch *d = self;

	json_kbool(out, "directory", d->directory != NULL);
	return d->directory != NULL;
}

const struct service_ops dispatch_ops = {
	.name = "dispatch",
	.keys = keys,
	.metrics = metrics,
	.metrics_n = ARRAY_SIZE(metrics),
	.queries = dispatch_queries,
	.queries_n = DISPATCH_QUERIES,
	.start = dispatch_start,
	.free = dispatch_free,
	.on_config = on_config,
	.reload = reload,
	.drain = drain,
	.drained = drained,
	.ready = ready,
};
