/*
 * metrics - the server's counters, by the label of the server
 *
 * All series are looked up once, when the server is made: a request costs additions alone.
 */
#include "common/http/internal.h"

enum { REQUESTS, CONNECTIONS, REFUSED, ERRORS, SECONDS };

static const struct metric_def defs[] = {
	[REQUESTS] = { METRIC_COUNTER, "http_requests_total",
		       "Answers sent, by the first digit of the status", "server,class" },
	[CONNECTIONS] = { METRIC_GAUGE, "http_connections", "Open connections", "server" },
	[REFUSED] = { METRIC_COUNTER, "http_refused_total",
		      "Connections and exchanges ended by a limit, a time or the peer", "server,cause" },
	[ERRORS] = { METRIC_COUNTER, "http_parse_errors_total",
		     "Requests refused for their framing", "server,cause" },
	[SECONDS] = { METRIC_SECONDS, "http_request_seconds",
		      "From the head of a request to its answer", "server" },
};

int http_metrics_init(struct http_metrics *m, struct metrics *metrics, const char *label)
{
	static const char *const classes[] = { NULL, "1xx", "2xx", "3xx", "4xx", "5xx" };
	static const char *const causes[] = {
#define X(id, text) [HTTP_REFUSED_##id] = text,
		HTTP_REFUSALS(X)
#undef X
	};
	int base;

	if (!metrics)
		return 0;
	base = metrics_register(metrics, defs, ARRAY_SIZE(defs));
	if (base < 0)
		return base;
	for (size_t i = 2; i < ARRAY_SIZE(classes); i++)
		m->status[i] = metrics_series(metrics, base + REQUESTS, label, classes[i]);
	for (size_t i = 0; i < HTTP_REFUSED_N; i++)
		m->refused[i] = metrics_series(metrics, base + REFUSED, label, causes[i]);
	for (enum http_parse e = HTTP_PARSE_DATA + 1; e < HTTP_PARSE_N; e++)
		m->errors[e] = metrics_series(metrics, base + ERRORS, label, http_error_info(e)->label);
	m->connections = metrics_series(metrics, base + CONNECTIONS, label);
	m->seconds = metrics_series(metrics, base + SECONDS, label);
	return 0;
}
