/*
 * GET /v1/analytics/<town>/summary.json|csv?from=YYYY-MM-DD&to=YYYY-MM-DD&group_by=…
 *
 * For staff: the address is an inside one. Days are the town's own, from is included, to is not;
 * the default is the last 90 days. One read transaction of one town under row-level security.
 */
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/zone.h"
#include "services/analytics/analytics.h"
#include "services/analytics/core_fact.h"
#include "services/analytics/core_report.h"

enum {
#define QUERY QUERY_ENUM
#include "services/analytics/read_queries.def"
#undef QUERY
	READ_QUERIES_N
};

static const struct query read_queries[] = {
#define QUERY QUERY_ENTRY
#include "services/analytics/read_queries.def"
#undef QUERY
};

struct question {
	struct analytics *a;
	struct http_request *request; /* NULL: the asker left */
	struct report_ask ask;
};

static void refuse(struct analytics *a, struct http_request *r, int status, const char *field, const char *why)
{
	_cleanup_(buf_fini) struct buf out = BUF_INIT;
	struct json j;

	json_init(&j, &out);
	json_object_begin(&j);
	json_kstr(&j, "title", http_status_reason(status));
	json_kint(&j, "status", status);
	json_kstr(&j, "field", field);
	json_kstr(&j, "detail", why);
	json_object_end(&j);
	series_add(metrics_series(a->service->metrics, a->metrics + M_REPORTS, status < 500 ? "4xx" : "5xx"), 1);
	http_reply(r, status, "application/problem+json", out.data, out.len);
}

static void asker_left(void *ctx)
{
	((struct question *)ctx)->request = NULL;
}

static void on_figures(void *ctx, const struct answer *answer)
{
	struct question *q = ctx;
	_cleanup_(buf_fini) struct buf out = BUF_INIT;

	if (q->request && answer->verdict != STORE_OK) {
		http_reply_header(q->request, "Retry-After", "2");
		refuse(q->a, q->request, 503, "", "the store doesn't answer; try again");
	} else if (q->request) {
		struct report report = { 0 };

		/* results: scope, days, closes */
		report_fill(&report, answer->rows[1], answer->rows[2]);
		if (q->ask.csv)
			report_csv(&report, &q->ask, &out);
		else
			report_json(&report, &q->ask, &out);
		report_fini(&report);
		series_add(metrics_series(q->a->service->metrics, q->a->metrics + M_REPORTS, "2xx"), 1);
		http_reply(q->request, 200, q->ask.csv ? "text/csv; charset=utf-8" : "application/json; charset=utf-8",
			   out.data ? out.data : "", out.len);
	}
	free(q);
}

static void add_figures(struct store_group *g, const struct question *q, int query, int32_t jurisdiction)
{
	store_add(g, &read_queries[query]);
	store_p_int4(g, jurisdiction);
	store_p_int4(g, q->ask.from_day);
	store_p_int4(g, q->ask.to_day);
	store_p_text(g, q->ask.group_by);
}

static int ask_store(struct question *q, int32_t jurisdiction)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	char scope[16];
	int r = store_group_new(&g, q->a->reader);

	if (r)
		return r;
	snprintf(scope, sizeof(scope), "%d", (int)jurisdiction);
	store_add(g, &read_queries[R_SCOPE]);
	store_p_text(g, scope);
	add_figures(g, q, R_DAYS, jurisdiction);
	add_figures(g, q, R_CLOSES, jurisdiction);
	r = store_submit(g, on_figures, q);
	if (!r)
		(void)steal(g);
	return r;
}

static const struct town *find_town(const struct analytics *a, const char *slug)
{
	for (size_t i = 0; i < a->towns_n; i++)
		if (!strcmp(a->towns[i].slug, slug))
			return &a->towns[i];
	return NULL;
}

static void answer(struct analytics *a, struct http_request *r, const struct report_ask *ask)
{
	const struct town *town = find_town(a, ask->town);
	struct question *q;

	if (!town) {
		refuse(a, r, 404, "town", "no such town");
		return;
	}
	q = calloc(1, sizeof(*q));
	if (!q) {
		refuse(a, r, 503, "", "out of memory");
		return;
	}
	*q = (struct question){ .a = a, .request = r, .ask = *ask };
	report_default_days(&q->ask, zone_day(town->zone, clock_wall_us()));
	if (q->ask.to_day <= q->ask.from_day || q->ask.to_day - q->ask.from_day > a->days_max) {
		free(q);
		refuse(a, r, 400, "to", "must be behind from, and the span within analytics.days_max");
		return;
	}
	http_on_gone(r, asker_left, q);
	if (ask_store(q, town->jurisdiction)) {
		http_on_gone(r, NULL, NULL);
		free(q);
		http_reply_header(r, "Retry-After", "2");
		refuse(a, r, 503, "", "the store doesn't answer; try again");
	}
}

static void handle(void *ctx, struct http_request *r)
{
	struct analytics *a = ctx;
	struct report_ask ask;
	const char *field = "", *why;

	if (http_method(r) != HTTP_GET && http_method(r) != HTTP_HEAD) {
		http_reply_header(r, "Allow", "GET, HEAD");
		refuse(a, r, 405, "", "figures are read with GET");
		return;
	}
	if (!report_path(http_path(r), &ask)) {
		refuse(a, r, 404, "", "figures are at /v1/analytics/<town>/summary.json or .csv");
		return;
	}
	why = report_parse(&ask, http_query(r), &field);
	if (why)
		refuse(a, r, 400, field, why);
	else
		answer(a, r, &ask);
}

int report_start(struct analytics *a)
{
	static const struct http_ops ops = { .handle = handle };
	static const struct query_table tables[] = { { read_queries, READ_QUERIES_N }, { NULL, 0 } };
	const struct config *config = a->service->config;
	const char *dsn = config_str(config, "analytics.read_dsn");
	const struct store_options options = {
		.dsn = *dsn ? dsn : config_str(config, "store.dsn"),
		.application_name = "centraleta-analytics-read",
		.role = *dsn ? NULL : "centraleta_staff",
		.read_only = true, /* a replica will do */
		.tables = tables,
		.group_ms = 10000,
		.metrics = a->service->metrics,
		.metrics_label = "read",
	};
	int r = store_new(&a->reader, a->service->loop, &options);

	if (r)
		return r;
	return http_server_new(&a->http, a->service->loop, config_str(config, "analytics.listen"), NULL, &ops, a,
			       a->service->metrics, "analytics");
}
