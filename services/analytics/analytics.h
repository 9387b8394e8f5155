#pragma once
/*
 * analytics - rollups from the log, and answers to questions for figures
 *
 * counting.c holds the consumer, report.c the HTTP answers; both work on struct analytics.
 */
#include "common/http/http.h"
#include "common/service/service.h"

struct town {
	int32_t jurisdiction;
	char slug[64];
	struct zone *zone;
};

struct analytics {
	struct service *service; /* borrowed */
	struct consumer *consumer; /* of service->log */
	struct http_server *http;
	struct store *reader; /* as centraleta_staff, under row-level security */
	int metrics; /* base */
	struct town *towns; /* by jurisdiction, ascending; replaced whole */
	size_t towns_n;
	struct town_load *load; /* under way; owned by the store's callback */
	struct loop_timer *load_timer;
	bool loaded, again;
	int64_t days_max;
};

enum {
#define METRIC(id, kind, name, help, labels) id,
#include "services/analytics/metrics.def"
#undef METRIC
};

/* analytics.c */
extern const struct service_ops analytics_ops;

/* counting.c */
enum {
#define QUERY QUERY_ENUM
#include "services/analytics/queries.def"
#undef QUERY
	QUERIES_N
};
extern const struct query analytics_queries[QUERIES_N];
int counting_start(struct analytics *a) _must_check_;
void counting_load_towns(struct analytics *a);
void counting_stop(struct analytics *a);

/* report.c */
int report_start(struct analytics *a) _must_check_;
