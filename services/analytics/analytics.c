/*
 * Wiring of the analytics daemon.
 */
#include <errno.h>

#include "services/analytics/analytics.h"

static const struct config_key keys[] = {
#define KEY(section, name, kind, fallback, min, max, doc) \
	{ #section, #name, CONFIG_##kind, fallback, min, max, doc },
#include "services/analytics/keys.def"
#undef KEY
	{ .section = NULL },
};

static const struct metric_def metrics[] = {
#define METRIC(id, kind, name, help, labels) { METRIC_##kind, name, help, labels },
#include "services/analytics/metrics.def"
#undef METRIC
};

static void analytics_free(void *self)
{
	struct analytics *a = self;

	if (!a)
		return;
	http_server_free(a->http);
	store_free(a->reader);
	counting_stop(a);
	free(a);
}

static int analytics_start(struct service *s, int metrics_base, void **ret_self)
{
	struct analytics *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->service = s;
	a->metrics = metrics_base;
	a->days_max = config_int(s->config, "analytics.days_max");
	r = counting_start(a);
	if (!r)
		r = report_start(a);
	if (r) {
		analytics_free(a);
		return r;
	}
	*ret_self = a;
	return 0;
}

static void on_config(void *self, int64_t revision _unused_)
{
	counting_load_towns(self);
}

static void drain(void *self)
{
	struct analytics *a = self;

	http_server_drain(a->http);
}

static bool drained(const void *self)
{
	return http_server_connections(((const struct analytics *)self)->http) == 0;
}

static bool ready(const void *self, struct json *out)
{
	const struct analytics *a = self;

	json_kbool(out, "towns_loaded", a->loaded);
	json_kbool(out, "reader", store_ready(a->reader));
	return a->loaded && store_ready(a->reader);
}

const struct service_ops analytics_ops = {
	.name = "analytics",
	.keys = keys,
	.metrics = metrics,
	.metrics_n = ARRAY_SIZE(metrics),
	.queries = analytics_queries,
	.queries_n = QUERIES_N,
	.start = analytics_start,
	.free = analytics_free,
	.on_config = on_config,
	.drain = drain,
	.drained = drained,
	.ready = ready,
};
