/*
 * daemon - the smallest daemon that service_main() can carry, steered by its configuration
 */
#include <errno.h>
#include "common/base/clock.h"
#include "common/service/service.h"

enum { METRIC_RELOADS, METRIC_REVISION };
static const struct metric_def metrics[] = {
	[METRIC_RELOADS] = { METRIC_COUNTER, "routing_reloads_total", "Reloads that the daemon took", "" },
	[METRIC_REVISION] = { METRIC_GAUGE, "routing_revision", "Configuration's revision in the store", "" },
};

static const struct config_key keys[] = {
	{ "routing", "hold_ms", CONFIG_MS, "0", 0, 600000, "time that the daemon's drain takes" },
	{ "routing", "healthy", CONFIG_BOOL, "true", 0, 0, "what the daemon's check says" },
	{ "routing", "acceptable", CONFIG_BOOL, "true", 0, 0, "whether a reload is taken" },
	{ "routing", "startable", CONFIG_BOOL, "true", 0, 0, "whether it can start" },
	{ .section = NULL },
};

struct daemon {
	struct service *service;
	int metrics_base;
	bool healthy;
	uint64_t drain_ms; /* moment at which it is drained; 0: not draining */
};

static int daemon_start(struct service *s, int metrics_base, void **ret_self)
{
	struct daemon *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->service = s;
	d->metrics_base = metrics_base;
	d->healthy = config_bool(s->config, "routing.healthy");
	if (!config_bool(s->config, "routing.startable")) {
		free(d);
		return -ENODEV;
	}
	*ret_self = d;
	return 0;
}

static void daemon_free(void *self)
{
	free(self);
}

static void daemon_on_config(void *self, int64_t revision)
{
	struct daemon *d = self;

	series_set(metrics_series(d->service->metrics, d->metrics_base + METRIC_REVISION), (double)revision);
}

static int daemon_reload(void *self, const struct config *config)
{
	struct daemon *d = self;

	if (!config_bool(config, "routing.acceptable"))
		return -EINVAL;
	d->healthy = config_bool(config, "routing.healthy");
	series_add(metrics_series(d->service->metrics, d->metrics_base + METRIC_RELOADS), 1);
	return 0;
}

static void daemon_drain(void *self)
{
	struct daemon *d = self;

	d->drain_ms = clock_mono_ms() + (uint64_t)config_int(d->service->config, "routing.hold_ms");
}

static bool daemon_drained(const void *self)
{
	const struct daemon *d = self;

	return d->drain_ms && clock_mono_ms() >= d->drain_ms;
}

static bool daemon_ready(const void *self, struct json *out)
{
	const struct daemon *d = self;

	json_kbool(out, "healthy", d->healthy);
	return d->healthy;
}

int main(int argc, char **argv)
{
	static const struct service_ops ops = {
		.name = "routing", /* a role that the store knows */
		.keys = keys,
		.metrics = metrics,
		.metrics_n = ARRAY_SIZE(metrics),
		.start = daemon_start,
		.free = daemon_free,
		.on_config = daemon_on_config,
		.reload = daemon_reload,
		.drain = daemon_drain,
		.drained = daemon_drained,
		.ready = daemon_ready,
	};

	return service_main(argc, argv, &ops);
}
