/*
 * The consumer: events of a few seconds in one group, as differences of what the facts contribute.
 *
 * A batch lingers up to flush_ms, so that a rollup row that many requests share is
 * written once and not once a batch. Nothing is kept in memory between batches: the facts are read
 * back by key, which is why a retried or halved batch needs no care.
 */
#include <errno.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/zone.h"
#include "centraleta/v1/event.pb-c.h"
#include "services/analytics/analytics.h"
#include "services/analytics/core_fact.h"

enum { LOAD_RETRY_MS = 500 };

const struct query analytics_queries[QUERIES_N] = {
#define QUERY QUERY_ENTRY
#include "services/analytics/queries.def"
#undef QUERY
};

/* ---- towns ---------------------------------------------------------------------------------------- */

static void counting_free_towns(struct analytics *a)
{
	for (size_t i = 0; i < a->towns_n; i++)
		zone_free(a->towns[i].zone);
	free(a->towns);
	a->towns = NULL;
	a->towns_n = 0;
}

static const struct zone *zone_of(const struct analytics *a, int32_t jurisdiction)
{
	size_t low = 0, high = a->towns_n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (a->towns[mid].jurisdiction < jurisdiction)
			low = mid + 1;
		else
			high = mid;
	}
	return low < a->towns_n && a->towns[low].jurisdiction == jurisdiction ? a->towns[low].zone : NULL;
}

static int take_towns(struct analytics *a, const struct rows *rows)
{
	size_t n = rows_count(rows);
	struct analytics fresh = { .towns = calloc(n ? n : 1, sizeof(struct town)) };
	int r = fresh.towns ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < n; i++) {
		struct town *t = &fresh.towns[i];

		t->jurisdiction = (int32_t)rows_int(rows, i, 0);
		snprintf(t->slug, sizeof(t->slug), "%s", rows_text(rows, i, 1));
		r = zone_new(&t->zone, rows_text(rows, i, 2));
		fresh.towns_n = i + 1;
	}
	if (r) {
		counting_free_towns(&fresh);
		return r;
	}
	counting_free_towns(a);
	a->towns = fresh.towns;
	a->towns_n = fresh.towns_n;
	a->loaded = true;
	series_set(metrics_series(a->service->metrics, a->metrics + M_TOWNS), (double)n);
	return 0;
}

struct town_load { /* outlives an analytics that ends before the store answers */
	struct analytics *a; /* NULL: gone */
};

static void on_towns(void *ctx, const struct answer *answer)
{
	_cleanup_(freep) struct town_load *load = ctx;
	struct analytics *a = load->a;

	if (!a)
		return;
	a->load = NULL;
	if (answer->verdict == STORE_OK && take_towns(a, answer->rows[0]))
		log_error("analytics.towns", "a town's time zone is not in tzdata; the towns before stay");
	if (answer->verdict != STORE_OK)
		loop_timer_set(a->load_timer, LOAD_RETRY_MS);
	else if (a->again)
		counting_load_towns(a);
}

/* At each change of the configuration; a load without an answer is tried again. */
void counting_load_towns(struct analytics *a)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	_cleanup_(freep) struct town_load *load = NULL;

	a->again = a->load != NULL;
	if (a->load)
		return;
	loop_timer_set(a->load_timer, LOAD_RETRY_MS); /* until one is under way */
	load = calloc(1, sizeof(*load));
	if (!load || store_group_new(&g, a->service->control))
		return;
	load->a = a;
	store_add(g, &analytics_queries[Q_TOWNS]);
	if (store_submit(g, on_towns, load))
		return;
	loop_timer_stop(a->load_timer);
	(void)steal(g);
	a->load = steal(load);
}

static void on_load_time(void *ctx)
{
	counting_load_towns(ctx);
}

void counting_stop(struct analytics *a)
{
	if (a->load)
		a->load->a = NULL;
	loop_timer_free(a->load_timer);
	counting_free_towns(a);
}

/* ---- one batch -------------------------------------------------------------------------------------- */

struct counting {
	struct analytics *a;
	struct fact *facts; /* after; by request, ascending */
	bool *known, *changed;
	size_t facts_n;
	struct day_delta *deltas;
	size_t deltas_n, deltas_max;
};

static void counting_free(void *p)
{
	struct counting *c = p;

	free(c->facts);
	free(c->known);
	free(c->changed);
	free(c->deltas);
	free(c);
}

static int by_request(const void *a, const void *b)
{
	int64_t x = ((const struct fact *)a)->request, y = ((const struct fact *)b)->request;

	return (x > y) - (x < y);
}

static struct counting *counting_new(struct analytics *a, const struct batch *b)
{
	struct counting *c = calloc(1, sizeof(*c));
	size_t n = batch_count(b), unique = 0;

	if (!c)
		return NULL;
	c->a = a;
	c->facts = calloc(n, sizeof(*c->facts));
	c->known = calloc(n, sizeof(*c->known));
	c->changed = calloc(n, sizeof(*c->changed));
	c->deltas_max = 2 * n * FACT_ROWS_MAX;
	c->deltas = calloc(c->deltas_max, sizeof(*c->deltas));
	if (!c->facts || !c->known || !c->changed || !c->deltas) {
		counting_free(c);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		c->facts[i].request = batch_event(b, i)->order_key;
	qsort(c->facts, n, sizeof(*c->facts), by_request);
	for (size_t i = 0; i < n; i++)
		if (!unique || c->facts[unique - 1].request != c->facts[i].request)
			c->facts[unique++].request = c->facts[i].request;
	c->facts_n = unique;
	return c;
}

static size_t find_fact(const struct counting *c, int64_t request)
{
	const struct fact key = { .request = request };
	const struct fact *f = bsearch(&key, c->facts, c->facts_n, sizeof(key), by_request);

	return (size_t)(f - c->facts);
}

static void take_facts(struct counting *c, const struct rows *rows)
{
	for (size_t i = 0; i < rows_count(rows); i++) {
		size_t at = find_fact(c, rows_int(rows, i, 0));

		c->known[at] = true;
		c->facts[at] = (struct fact){
			.request = rows_int(rows, i, 0),
			.jurisdiction = (int32_t)rows_int(rows, i, 1),
			.service = (int32_t)rows_int(rows, i, 2),
			.department = (int32_t)rows_int(rows, i, 3),
			.channel = (int16_t)rows_int(rows, i, 4),
			.area = (int32_t)rows_int(rows, i, 5),
			.requested_at_us = rows_time(rows, i, 6),
			.deadline_us = rows_time(rows, i, 7),
			.closed_at_us = rows_time(rows, i, 8),
			.score = rows_null(rows, i, 9) ? -1 : (int16_t)rows_int(rows, i, 9),
		};
	}
}

/* books the facts as they are now; sign -1 before the events, 1 after. -EAGAIN: a town is missing */
static int book(struct counting *c, int sign)
{
	for (size_t i = 0; i < c->facts_n; i++) {
		const struct zone *zone;

		if (!c->known[i] || (sign > 0 && !c->changed[i]))
			continue;
		zone = zone_of(c->a, c->facts[i].jurisdiction);
		if (!zone)
			return -EAGAIN;
		c->deltas_n += fact_contribution(&c->facts[i], zone, sign, c->deltas + c->deltas_n);
	}
	return 0;
}

static void tell(const struct event *e)
{
	char trace[33];

	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	trace_hex(&e->trace, trace);
	log_debug("analytics.event", "trace=%s request=%lld type=%d lane=%d seq=%lld", trace,
		  (long long)e->order_key, e->type, e->lane, (long long)e->seq);
}

/* known facts that no event changed were booked out: book them in again */
static int apply(struct counting *c, const struct batch *b)
{
	int r;

	for (size_t i = 0; i < batch_count(b); i++) {
		const struct event *e = batch_event(b, i);
		size_t at = find_fact(c, e->order_key);

		tell(e);
		r = fact_apply(&c->facts[at], &c->known[at], e);
		if (r < 0)
			return r;
		c->changed[at] |= r == 0;
		series_add(metrics_series(c->a->service->metrics, c->a->metrics + M_EVENTS,
					  r ? "repeated" : "counted"), 1);
	}
	for (size_t i = 0; i < c->facts_n; i++)
		c->changed[i] |= c->known[i];
	return 0;
}

/* ---- the group ---------------------------------------------------------------------------------------- */

enum { COLUMNS_MAX = 13 };

static void free_columns(struct column *(*columns)[COLUMNS_MAX])
{
	for (size_t i = 0; i < COLUMNS_MAX; i++)
		column_free((*columns)[i]);
}

static int make_columns(struct column **columns, const enum column_type *types, size_t n)
{
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = column_new(&columns[i], types[i]);
	return r;
}

static void put_columns(struct batch *b, int query, struct column **columns, size_t n)
{
	struct store_group *g = batch_group(b);

	if (column_count(columns[0]) == 0)
		return;
	store_add(g, &analytics_queries[query]);
	store_p_int2(g, (int16_t)batch_lane(b));
	for (size_t i = 0; i < n; i++)
		store_p_column(g, columns[i]);
}

static int put_facts(struct counting *c, struct batch *b)
{
	static const enum column_type types[] = { COLUMN_INT8, COLUMN_INT4, COLUMN_INT4, COLUMN_INT4, COLUMN_INT2,
						  COLUMN_INT4, COLUMN_TIME, COLUMN_TIME, COLUMN_TIME, COLUMN_INT2 };
	_cleanup_(free_columns) struct column *col[COLUMNS_MAX] = { NULL };
	int r = make_columns(col, types, ARRAY_SIZE(types));

	for (size_t i = 0; !r && i < c->facts_n; i++) {
		const struct fact *f = &c->facts[i];

		if (!c->changed[i])
			continue;
		column_int(col[0], f->request);
		column_int(col[1], f->jurisdiction);
		column_int(col[2], f->service);
		column_int(col[3], f->department);
		column_int(col[4], f->channel);
		column_int(col[5], f->area);
		column_time(col[6], f->requested_at_us);
		column_time(col[7], f->deadline_us);
		if (f->closed_at_us)
			column_time(col[8], f->closed_at_us);
		else
			column_null(col[8]);
		if (f->score >= 0)
			column_int(col[9], f->score);
		else
			column_null(col[9]);
	}
	if (!r)
		put_columns(b, Q_FACTS_PUT, col, ARRAY_SIZE(types));
	return r;
}

static void put_key(struct column **col, const struct day_key *k)
{
	column_int(col[0], k->jurisdiction);
	column_int(col[1], k->day);
	column_int(col[2], k->service);
	column_int(col[3], k->department);
	column_int(col[4], k->channel);
	column_int(col[5], k->area);
}

static int put_days(struct counting *c, struct batch *b)
{
	static const enum column_type types[] = { COLUMN_INT4, COLUMN_DATE, COLUMN_INT4, COLUMN_INT4, COLUMN_INT2,
						  COLUMN_INT4, COLUMN_INT8, COLUMN_INT8, COLUMN_INT8, COLUMN_INT8,
						  COLUMN_INT8, COLUMN_INT8, COLUMN_INT8 };
	_cleanup_(free_columns) struct column *col[COLUMNS_MAX] = { NULL };
	int r = make_columns(col, types, ARRAY_SIZE(types));

	for (size_t i = 0; !r && i < c->deltas_n; i++) {
		const struct day_delta *d = &c->deltas[i];

		if (d->key.bucket >= 0)
			continue;
		put_key(col, &d->key);
		column_int(col[6], d->received);
		column_int(col[7], d->open);
		column_int(col[8], d->closed);
		column_int(col[9], d->on_time);
		column_int(col[10], d->answers);
		column_int(col[11], d->score_sum);
		column_int(col[12], d->satisfied);
	}
	if (!r)
		put_columns(b, Q_DAYS_PUT, col, ARRAY_SIZE(types));
	return r;
}

static int put_closes(struct counting *c, struct batch *b)
{
	static const enum column_type types[] = { COLUMN_INT4, COLUMN_DATE, COLUMN_INT4, COLUMN_INT4,
						  COLUMN_INT2, COLUMN_INT4, COLUMN_INT2, COLUMN_INT8 };
	_cleanup_(free_columns) struct column *col[COLUMNS_MAX] = { NULL };
	int r = make_columns(col, types, ARRAY_SIZE(types));

	for (size_t i = 0; !r && i < c->deltas_n; i++) {
		if (c->deltas[i].key.bucket < 0)
			continue;
		put_key(col, &c->deltas[i].key);
		column_int(col[6], c->deltas[i].key.bucket);
		column_int(col[7], c->deltas[i].n);
	}
	if (!r)
		put_columns(b, Q_CLOSES_PUT, col, ARRAY_SIZE(types));
	return r;
}

/* ---- the consumer --------------------------------------------------------------------------------------- */

/* the facts are in: decide and commit */
static void on_facts(void *ctx, struct batch *b, const struct answer *answer)
{
	struct counting *c = batch_user(b);
	struct analytics *a = ctx;
	int r;

	take_facts(c, answer->rows[0]);
	r = book(c, -1);
	if (!r)
		r = apply(c, b);
	if (!r)
		r = book(c, 1);
	if (!r) {
		c->deltas_n = day_delta_merge(c->deltas, c->deltas_n);
		r = put_facts(c, b);
	}
	if (!r)
		r = put_days(c, b);
	if (!r)
		r = put_closes(c, b);
	if (r == -EAGAIN)
		counting_load_towns(a);
	if (!r)
		batch_commit(b);
	else if (r == -EINVAL) /* among others it is looked for, and parked when it is alone */
		batch_park(b, "the body can't be read");
	else
		batch_retry(b, 200);
}

static void read_facts(struct analytics *a, struct batch *b, struct counting *c)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	_cleanup_(column_freep) struct column *requests = NULL;
	int r = column_new(&requests, COLUMN_INT8);

	if (!r)
		r = store_group_new(&g, batch_store(b));
	if (r) {
		batch_retry(b, 200);
		return;
	}
	for (size_t i = 0; i < c->facts_n; i++)
		column_int(requests, c->facts[i].request);
	store_add(g, &analytics_queries[Q_FACTS]);
	store_p_int2(g, (int16_t)batch_lane(b));
	store_p_column(g, requests);
	if (batch_read(b, g, on_facts, a))
		batch_retry(b, 200);
	else
		(void)steal(g);
}

static void take(void *ctx, struct batch *b)
{
	struct analytics *a = ctx;
	struct counting *c;

	if (batch_count(b) == 0) {
		batch_commit(b);
		return;
	}
	if (!a->loaded) {
		if (!a->load)
			counting_load_towns(a);
		batch_retry(b, 100);
		return;
	}
	c = counting_new(a, b);
	if (!c) {
		batch_retry(b, 200);
		return;
	}
	batch_set_user(b, c, counting_free);
	read_facts(a, b, c);
}

static void committed(void *ctx, struct batch *b, const struct answer *answer _unused_,
		      size_t first_result _unused_)
{
	struct analytics *a = ctx;
	struct counting *c = batch_user(b);

	if (c)
		series_add(metrics_series(a->service->metrics, a->metrics + M_ROWS, "days"),
			   (double)c->deltas_n);
}

int counting_start(struct analytics *a)
{
#define BIT(name) (1ull << CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_##name)
	static struct consumer_ops ops = {
		.name = "analytics",
		.log = true,
		.types = BIT(RECEIVED) | BIT(IMPORTED) | BIT(ROUTED) | BIT(TRIAGED) | BIT(PLACED) | BIT(RESOLVED) |
			 BIT(REFUSED) | BIT(SURVEY_ANSWERED),
		.take = take,
		.committed = committed,
	};
#undef BIT

	int r = loop_timer_new(&a->load_timer, a->service->loop, on_load_time, a);

	if (r)
		return r;
	ops.batch_max = (size_t)config_int(a->service->config, "analytics.batch_max");
	ops.linger_ms = (unsigned)config_int(a->service->config, "analytics.flush_ms");
	return eventlog_consumer(a->service->log, &ops, a, &a->consumer);
}
