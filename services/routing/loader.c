/*
 * loader - asynchronous loads of the configuration over the control connection
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/base/log.h"
#include "services/routing/loader.h"
#include "services/routing/tables.h"

struct load { /* one load under way; lives until the store has answered */
	struct loader *loader; /* NULL: gone */
};

struct loader {
	struct service *service; /* borrowed */
	int metrics_base;
	struct towns *towns; /* in use; NULL: none yet */
	int64_t revision;
	int64_t wrong_revision; /* told in the log already; -1: none */
	struct load *load; /* owned by the store's callback; NULL: none */
	bool again; /* the revision moved while a load was under way */
	struct loop_timer *timer; /* for the next try */
};

static void loader_timer(void *ctx)
{
	loader_start(ctx);
}

int loader_new(struct loader **ret, struct service *s, int metrics_base)
{
	_cleanup_(loader_freep) struct loader *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_here(-ENOMEM);
	l->service = s;
	l->metrics_base = metrics_base;
	l->wrong_revision = -1;
	r = loop_timer_new(&l->timer, s->loop, loader_timer, l);
	if (r)
		return r;
	*ret = steal(l);
	return 0;
}

void loader_free(struct loader *l)
{
	if (!l)
		return;
	if (l->load)
		l->load->loader = NULL;
	loop_timer_free(l->timer);
	towns_free(l->towns);
	free(l);
}

const struct towns *loader_towns(const struct loader *l)
{
	return l->towns;
}

int64_t loader_revision(const struct loader *l)
{
	return l->revision;
}

static void loader_count(struct loader *l, const char *result)
{
	series_add(metrics_series(l->service->metrics, l->metrics_base + METRIC_RELOADS, result), 1);
}

static void loader_retry(struct loader *l)
{
	loop_timer_set(l->timer, config_int(l->service->config, "routing.retry_ms"));
}

void loader_hurry(struct loader *l)
{
	if (!l->load && !loop_timer_armed(l->timer))
		loader_retry(l);
}

static void loader_gauge(struct loader *l, enum routing_metric metric, double v)
{
	series_set(metrics_series(l->service->metrics, l->metrics_base + (int)metric), v);
}

static void loader_take(struct loader *l, struct towns *towns, int64_t revision)
{
	struct towns_count n;

	towns_free(l->towns);
	l->towns = towns;
	l->revision = revision;
	towns_count(towns, &n);
	loader_count(l, "taken");
	loader_gauge(l, METRIC_REVISION, revision);
	loader_gauge(l, METRIC_TOWNS, n.towns);
	loader_gauge(l, METRIC_RULES, n.rules);
	loader_gauge(l, METRIC_AREAS, n.areas);
	log_info("routing.configuration", "revision=%lld towns=%zu departments=%zu rules=%zu areas=%zu",
		 (long long)revision, n.towns, n.departments, n.rules, n.areas);
}

/* ---- rows of the store for load.h ----------------------------------------------------------- */

static bool row_null(const void *ctx, size_t row, unsigned col)
{
	return rows_null(ctx, row, col);
}

static int64_t row_integer(const void *ctx, size_t row, unsigned col)
{
	return rows_int(ctx, row, col);
}

static const char *row_text(const void *ctx, size_t row, unsigned col)
{
	return rows_text(ctx, row, col);
}

static struct bytes row_bytes(const void *ctx, size_t row, unsigned col)
{
	return rows_bytes(ctx, row, col);
}

static int loader_read(struct loader *l, const struct answer *answer)
{
	struct load_rows rows[LOAD_N];
	struct town_fault fault;
	struct towns *towns = NULL;
	int64_t revision = 0;
	int r;

	for (int i = 0; i < LOAD_N; i++)
		rows[i] = (struct load_rows){ answer->rows[i], rows_count(answer->rows[i]), row_null,
					      row_integer, row_text, row_bytes };
	r = load_towns(rows, &towns, &revision, &fault);
	if (!r)
		loader_take(l, towns, revision);
	if (r != LOAD_E_FAULT)
		return r;
	loader_count(l, "wrong");
	if (revision != l->wrong_revision)
		log_error("routing.configuration_wrong", "revision=%lld kept_revision=%lld why=\"%s\"",
			  (long long)revision, (long long)l->revision, fault.text);
	l->wrong_revision = revision;
	return 0; /* the next try is due when the revision moves */
}

static void loader_answered(void *ctx, const struct answer *answer)
{
	_cleanup_(freep) struct load *load = ctx;
	struct loader *l = load->loader;

	if (!l)
		return;
	l->load = NULL;
	if (answer->verdict != STORE_OK) {
		loader_count(l, "unanswered");
		log_warn("routing.configuration_unanswered", "verdict=%s sqlstate=%s",
			 store_verdict_name(answer->verdict), answer->sqlstate);
		loader_retry(l);
		return;
	}
	if (loader_read(l, answer))
		loader_retry(l); /* changed under our eyes, or no memory */
	if (l->again)
		loader_start(l);
}

void loader_start(struct loader *l)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	_cleanup_(freep) struct load *load = NULL;

	l->again = l->load != NULL;
	if (l->load)
		return;
	load = calloc(1, sizeof(*load));
	if (!load || store_group_new(&g, l->service->control)) {
		loader_retry(l);
		return;
	}
	load->loader = l;
	for (int i = 0; i < LOAD_N; i++)
		store_add(g, &routing_queries[i]);
	if (store_submit(g, loader_answered, load)) {
		loader_retry(l); /* away or busy: the timer asks again */
		return;
	}
	loop_timer_stop(l->timer);
	steal(g);
	l->load = steal(load);
}
