#pragma once
/*
 * tables - routing's keys.def, metrics.def and queries.def as C
 */
#include "common/base/config.h"
#include "common/base/metrics.h"
#include "common/store/store.h"
#include "services/routing/load.h"

enum routing_metric {
#define METRIC(id, kind, name, help, labels) id,
#include "services/routing/metrics.def"
#undef METRIC
	ROUTING_METRICS
};

/* continues enum load_query: both are one table */
enum routing_query {
	ROUTING_QUERY_BEFORE = LOAD_N - 1,
#define QUERY(id, text) id,
#include "services/routing/queries.def"
#undef QUERY
	ROUTING_QUERIES
};

extern const struct config_key routing_keys[];
extern const struct metric_def routing_metrics[ROUTING_METRICS];
extern const struct query routing_queries[ROUTING_QUERIES];
