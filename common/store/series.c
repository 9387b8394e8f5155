/*
 * series - the metrics of stores; all connections of one label share their series
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/store/internal.h"

enum { M_COMMIT, M_STATEMENTS, M_DEPTH, M_LIMIT, M_RECONNECTS, M_CONNECTED };
static const struct metric_def defs[] = {
	[M_COMMIT] = { METRIC_SECONDS, "store_group_seconds",
		       "From handing a group over to its verdict.", "connection,verdict" },
	[M_STATEMENTS] = { METRIC_SIZE, "store_group_statements", "Statements of a group.", "connection" },
	[M_DEPTH] = { METRIC_GAUGE, "store_queue_depth", "Groups queued and in flight.", "connection" },
	[M_LIMIT] = { METRIC_GAUGE, "store_queue_limit", "Most groups queued and in flight.", "connection" },
	[M_RECONNECTS] = { METRIC_COUNTER, "store_reconnects_total",
			   "Connections that were lost or given up.", "connection" },
	[M_CONNECTED] = { METRIC_GAUGE, "store_connected", "Connections that are ready.", "connection" },
};

struct store_series {
	struct series *commit[STORE_DOWN + 1], *statements, *depth, *limit, *reconnects, *connected;
};

int store_series_new(struct store_series **ret, struct metrics *m, const char *label)
{
	_cleanup_(freep) struct store_series *x = calloc(1, sizeof(*x));
	int base = metrics_register(m, defs, ARRAY_SIZE(defs));

	if (!x || base < 0)
		return err_here(-ENOMEM);
	for (int v = STORE_OK; v <= STORE_DOWN; v++)
		x->commit[v] = metrics_series(m, base + M_COMMIT, label, store_verdict_name(v));
	x->statements = metrics_series(m, base + M_STATEMENTS, label);
	x->depth = metrics_series(m, base + M_DEPTH, label);
	x->limit = metrics_series(m, base + M_LIMIT, label);
	x->reconnects = metrics_series(m, base + M_RECONNECTS, label);
	x->connected = metrics_series(m, base + M_CONNECTED, label);
	*ret = steal(x);
	return 0;
}

void store_series_free(struct store_series *x)
{
	free(x);
}

void store_series_group(struct store_series *x, enum store_verdict v, double seconds, size_t statements)
{
	if (!x)
		return;
	series_observe(x->commit[v], seconds);
	series_observe(x->statements, (double)statements);
}

void store_series_depth(struct store_series *x, int change)
{
	if (x)
		series_add(x->depth, change);
}

void store_series_limit(struct store_series *x, int change)
{
	if (x)
		series_add(x->limit, change);
}

void store_series_connected(struct store_series *x, int change)
{
	if (x)
		series_add(x->connected, change);
}

void store_series_reconnect(struct store_series *x)
{
	if (x)
		series_add(x->reconnects, 1);
}
