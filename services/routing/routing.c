/*
 * routing - the daemon: the consumer `routing` of the log
 *
 * A group is decided in memory, but for two things that it may have to wait for: what a refused
 * work item was (read on the lane's connection) and numbers for work items (asked for ahead).
 * Between two turns of the loop the configuration may be swapped, so nothing of it is kept in a
 * group but what was decided.
 */
#include <errno.h>
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "services/routing/loader.h"
#include "services/routing/numbers.h"
#include "services/routing/routing.h"
#include "services/routing/tables.h"
#include "services/routing/work.h"

enum { NUMBERS_WAIT_MS = 5 };

struct routing {
	struct service *service; /* borrowed */
	int metrics_base;
	struct loader *loader;
	struct numbers *numbers;
	struct work_columns *columns;
	struct consumer *consumer; /* the event log's */
};

static struct series *routing_series(struct routing *r, enum routing_metric metric, const char *label)
{
	return metrics_series(r->service->metrics, r->metrics_base + (int)metric, label);
}

static void routing_wait(struct routing *r, struct batch *b, const char *cause, unsigned after_ms)
{
	series_add(routing_series(r, METRIC_WAITING, cause), 1);
	batch_retry(b, after_ms);
}

static unsigned routing_wait_ms(const struct routing *r)
{
	return (unsigned)config_int(r->service->config, "routing.wait_ms");
}

/* what work_decide() and work_take_refused() could not do */
static void routing_give_back(struct routing *r, struct batch *b, int why)
{
	switch (why) {
	case WORK_E_TOWN:
		log_debug("routing.town_unknown", "lane=%u revision=%lld", batch_lane(b),
			  (long long)loader_revision(r->loader));
		loader_hurry(r->loader); /* it may be newer than the revision that we heard of */
		routing_wait(r, b, "town", routing_wait_ms(r));
		break;
	case WORK_E_BODY:
		batch_park(b, "unreadable event, or a refused work item that is not stored");
		break;
	default:
		log_error_errno(why, "routing.decide");
		routing_wait(r, b, "memory", routing_wait_ms(r));
	}
}

static void routing_commit(struct routing *r, struct batch *b)
{
	struct work *w = batch_user(b);

	if (!work_number(w, r->numbers, batch_lane(b))) {
		routing_wait(r, b, "numbers", NUMBERS_WAIT_MS);
		return;
	}
	work_write(w, r->columns, b);
	batch_commit(b);
}

static void routing_refused_read(void *ctx, struct batch *b, const struct answer *answer)
{
	struct routing *r = ctx;
	int why = work_take_refused(batch_user(b), loader_towns(r->loader), answer->rows[0]);

	if (why)
		routing_give_back(r, b, why);
	else
		routing_commit(r, b);
}

static void routing_read_refused(struct routing *r, struct batch *b)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	int why = store_group_new(&g, batch_store(b));

	if (!why) {
		work_ask_refused(batch_user(b), batch_lane(b), g);
		why = batch_read(b, g, routing_refused_read, r);
	}
	if (why)
		routing_wait(r, b, "store", routing_wait_ms(r));
	else
		steal(g);
}

static void routing_take(void *ctx, struct batch *b)
{
	struct routing *r = ctx;
	const uint64_t started_us = clock_mono_us();
	struct work *w = NULL;
	int why = WORK_E_TOWN;

	if (loader_towns(r->loader))
		why = work_decide(&w, loader_towns(r->loader), b);
	if (why) {
		routing_give_back(r, b, why);
		return;
	}
	series_observe(metrics_series(r->service->metrics, r->metrics_base + METRIC_DECIDE),
		       (double)(clock_mono_us() - started_us) / 1e6);
	batch_set_user(b, w, free);
	if (w->refused)
		routing_read_refused(r, b);
	else
		routing_commit(r, b);
}

static void routing_told(struct routing *r, const struct decision *d)
{
	char trace[33];

	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	trace_hex(&d->event.trace, trace);
	log_debug("routing.routed",
		  "trace=%s request=%lld work_item=%lld jurisdiction=%d kind=%s department=%d rule=%d.%d "
		  "area=%d revision=%lld",
		  trace, (long long)d->event.order_key, (long long)d->work_item, d->event.jurisdiction,
		  route_kind_name(d->route.kind), d->route.department, d->route.rule_version,
		  d->route.rule_position, d->route.area, (long long)loader_revision(r->loader));
}

static void routing_committed(void *ctx, struct batch *b, const struct answer *answer,
			      size_t first_result)
{
	struct routing *r = ctx;
	const struct work *w = batch_user(b);

	(void)answer; /* the statements return nothing that is of use */
	(void)first_result;
	for (size_t i = 0; w && i < w->n; i++) {
		const struct decision *d = &w->decisions[i];
		const struct town_config *town =
			towns_find(loader_towns(r->loader), d->event.jurisdiction);

		series_add(metrics_series(r->service->metrics, r->metrics_base + METRIC_ROUTED,
					  town ? town->slug : "", route_kind_name(d->route.kind)),
			   1);
		routing_told(r, d);
	}
}

/* asks for the lane's first numbers before the first event needs one */
static void routing_held(void *ctx, struct consumer *c, unsigned lane, int64_t epoch)
{
	struct routing *r = ctx;

	(void)epoch; /* routing has no outside effects */
	(void)numbers_left(r->numbers, lane); /* how many there are by now doesn't matter */
	consumer_loaded(c, lane);
}

static int routing_consume(struct routing *r)
{
	const struct consumer_ops ops = {
		.name = "routing",
		.log = true,
		.types = UINT64_C(1) << CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RECEIVED |
			 UINT64_C(1) << CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_IMPORTED |
			 UINT64_C(1) << CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_REFUSED,
		.batch_max = (size_t)config_int(r->service->config, "routing.batch_max"),
		.held = routing_held,
		.take = routing_take,
		.committed = routing_committed,
	};

	return eventlog_consumer(r->service->log, &ops, r, &r->consumer);
}

static void routing_free(void *self)
{
	struct routing *r = self;

	if (!r)
		return;
	work_columns_free(r->columns);
	numbers_free(r->numbers);
	loader_free(r->loader);
	free(r);
}
DEFINE_CLEANUP(struct routing *, routing_free)

static int routing_start(struct service *s, int metrics_base, void **ret_self)
{
	_cleanup_(routing_freep) struct routing *r = calloc(1, sizeof(*r));
	int why;

	if (!r)
		return err_here(-ENOMEM);
	r->service = s;
	r->metrics_base = metrics_base;
	why = loader_new(&r->loader, s, metrics_base);
	if (!why)
		why = numbers_new(&r->numbers, s->control);
	if (!why)
		why = work_columns_new(&r->columns);
	if (!why)
		why = routing_consume(r);
	if (why)
		return why;
	*ret_self = steal(r);
	return 0;
}

static void routing_on_config(void *self, int64_t revision)
{
	struct routing *r = self;

	if (revision != loader_revision(r->loader))
		loader_start(r->loader);
}

static bool routing_ready(const void *self, struct json *out)
{
	const struct routing *r = self;
	const bool loaded = loader_towns(r->loader) != NULL;

	json_kbool(out, "configuration", loaded);
	return loaded;
}

const struct service_ops routing_ops = {
	.name = "routing",
	.keys = routing_keys,
	.metrics = routing_metrics,
	.metrics_n = ROUTING_METRICS,
	.queries = routing_queries,
	.queries_n = ROUTING_QUERIES,
	.start = routing_start,
	.free = routing_free,
	.on_config = routing_on_config,
	.ready = routing_ready, /* no drain: the event log stops taking by itself */
};
