/*
 * tables - what the .def files say
 */
#include "services/routing/tables.h"

const struct config_key routing_keys[] = {
#define KEY(section, name, kind, fallback, min, max, doc) \
	{ #section, #name, CONFIG_##kind, fallback, min, max, doc },
#include "services/routing/keys.def"
#undef KEY
	{ .section = NULL },
};

const struct metric_def routing_metrics[ROUTING_METRICS] = {
#define METRIC(id, kind, name, help, labels) [id] = { METRIC_##kind, name, help, labels },
#include "services/routing/metrics.def"
#undef METRIC
};

const struct query routing_queries[ROUTING_QUERIES] = {
#define QUERY(id, text) [id] = { #id, text },
#include "services/routing/load.def"
#include "services/routing/queries.def"
#undef QUERY
};
