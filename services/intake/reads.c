/*
 * reads - public reads on a connection of their own
 *
 * They run as centraleta_public: forced row-level security shows it the one town that the first
 * statement of the group names, and nothing without it. The writers' connections never serve reads,
 * so a slow list holds up no submission. Only the step from a citizen's code to its town is asked
 * by intake's own role, which may see no more of a request than that.
 */
#include <errno.h>
#include <stdio.h>
#include "common/base/ids.h"
#include "services/intake/core_story.h"
#include "services/intake/web.h"

enum read_query {
#define QUERY(id, text) id,
#include "services/intake/queries_read.def"
#undef QUERY
	READ_N
};
static const struct query read_queries[READ_N] = {
#define QUERY(id, text) [id] = { .name = #id, .sql = text },
#include "services/intake/queries_read.def"
#undef QUERY
};
static const struct query_table read_tables[] = { { read_queries, READ_N }, { NULL, 0 } };

/* more at once: the index by time is the shorter way */
enum { FEW_SERVICES = 8 };

struct reads {
	struct intake *in;
	struct store *store;
	struct column *offers, *lanes, *ids;
	struct list flying; /* reads; the control connection outlives this */
};

struct read { /* one that is under way */
	struct list link;
	struct reads *reads; /* NULL: given up */
	const char *what; /* metric's label */
	reads_fn fn;
	void *ctx;
};

static void count(struct reads *r, const char *what, const char *result)
{
	series_add(intake_series(r->in, METRIC_READS, what, result, NULL), 1);
}

static void answered(void *ctx, const struct answer *a)
{
	struct read *read = ctx;

	if (!read->reads) {
		free(read);
		return;
	}
	list_del(&read->link);
	count(read->reads, read->what, a->verdict == STORE_OK ? "ok" : store_verdict_name(a->verdict));
	if (a->verdict != STORE_OK)
		log_warn("intake.read", "what=%s verdict=%s sqlstate=%s", read->what,
			 store_verdict_name(a->verdict), a->sqlstate);
	read->fn(read->ctx, a->verdict == STORE_OK ? BUSY_NONE : BUSY_STORE, a);
	free(read);
}

/* g is used up */
static void submit(struct reads *r, struct store_group *g, const char *what, reads_fn fn, void *ctx)
{
	struct read *read = g ? malloc(sizeof(*read)) : NULL;
	int k = -ENOMEM;

	if (read) {
		*read = (struct read){ .reads = r, .what = what, .fn = fn, .ctx = ctx };
		k = store_submit(g, answered, read);
	}
	if (!k) {
		list_add_tail(&r->flying, &read->link);
		return;
	}
	store_group_free(g);
	free(read);
	count(r, what, "refused");
	fn(ctx, k == STORE_E_FULL ? BUSY_QUEUE : BUSY_STORE, NULL);
}

/* a group on s that sees one town; NULL: out of memory */
static struct store_group *group_of(struct reads *r, int32_t town)
{
	struct store_group *g = NULL;
	char number[16];

	if (store_group_new(&g, r->store))
		return NULL;
	snprintf(number, sizeof(number), "%d", town);
	store_add(g, &read_queries[READ_TOWN]);
	store_p_text(g, number);
	return g;
}

static void add_list(struct reads *r, struct store_group *g, const struct town *t,
		     const struct request_query *q)
{
	for (size_t i = 0; i < q->offers_n; i++)
		column_int(r->offers, q->offers[i]);
	store_add(g, &read_queries[q->offers_n && q->offers_n <= FEW_SERVICES ? READ_LIST_SERVICES : READ_LIST]);
	store_p_int4(g, t->id);
	store_p_time(g, q->from_us);
	store_p_time(g, q->to_us);
	store_p_column(g, r->offers);
	store_p_bool(g, q->closed);
	store_p_bool(g, q->open);
}

static void add_ids(struct reads *r, struct store_group *g, const struct town *t,
		    const struct request_query *q)
{
	for (size_t i = 0; i < q->ids_n; i++) {
		int lane = id_lane(q->ids[i]);

		column_int(r->lanes, lane < 0 ? 0 : lane);
		column_int(r->ids, q->ids[i]);
	}
	store_add(g, &read_queries[READ_IDS]);
	store_p_int4(g, t->id);
	store_p_column(g, r->lanes);
	store_p_column(g, r->ids);
}

void reads_list(struct reads *r, const struct town *t, const struct request_query *q, reads_fn fn,
		void *ctx)
{
	struct store_group *g = group_of(r, t->id);

	if (g) {
		if (q->ids_n)
			add_ids(r, g, t, q);
		else
			add_list(r, g, t, q);
		store_p_int8(g, q->page_size + 1);
		store_p_int8(g, (q->page - 1) * q->page_size);
	}
	submit(r, g, q->ids_n ? "request" : "list", fn, ctx);
}

void reads_row(const struct rows *rows, size_t i, struct public_row *ret)
{
	*ret = (struct public_row){
		.request = rows_int(rows, i, 0), .offer = (int32_t)rows_int(rows, i, 1),
		.state = (int)rows_int(rows, i, 2), .outcome = (int)rows_int(rows, i, 3),
		.department = (int32_t)rows_int(rows, i, 4), .description = rows_text(rows, i, 5),
		.address = rows_text(rows, i, 6), .address_id = rows_text(rows, i, 7),
		.has_place = !rows_null(rows, i, 8) && !rows_null(rows, i, 9),
		.lat = rows_real(rows, i, 8), .lng = rows_real(rows, i, 9),
		.media_url = rows_text(rows, i, 10), .requested_at_us = rows_time(rows, i, 11),
		.updated_at_us = rows_time(rows, i, 12), .expected_at_us = rows_time(rows, i, 13),
	};
}

void reads_story(struct reads *r, int32_t town, unsigned lane, int64_t request, reads_fn fn, void *ctx)
{
	struct store_group *g = group_of(r, town);

	if (g) {
		column_int(r->lanes, lane);
		column_int(r->ids, request);
		store_add(g, &read_queries[READ_IDS]);
		store_p_int4(g, town);
		store_p_column(g, r->lanes);
		store_p_column(g, r->ids);
		store_p_int8(g, 1);
		store_p_int8(g, 0);
		store_add(g, &read_queries[READ_EVENTS]);
		store_p_int2(g, (int16_t)lane);
		store_p_int8(g, request);
		store_p_int8(g, STORY_EVENTS_MAX);
		store_add(g, &read_queries[READ_NOTES]);
		store_p_int2(g, (int16_t)lane);
		store_p_int8(g, request);
		store_p_int8(g, STORY_NOTES_MAX);
	}
	submit(r, g, "story", fn, ctx);
}

void reads_code(struct reads *r, unsigned lane, const uint8_t hash[static CODE_HASH_LEN],
		reads_fn fn, void *ctx)
{
	struct store_group *g = NULL;

	if (!store_group_new(&g, r->in->s->control)) {
		store_add(g, &intake_queries[QUERY_CODE]);
		store_p_int2(g, (int16_t)lane);
		store_p_bytea(g, hash, CODE_HASH_LEN);
	}
	submit(r, g, "code", fn, ctx);
}

int reads_new(struct reads **ret, struct intake *in)
{
	const struct config *c = in->s->config;
	const char *dsn = config_str(c, "intake.read_dsn");
	const struct store_options o = {
		.dsn = *dsn ? dsn : config_str(c, "store.dsn"),
		.application_name = "centraleta-intake-read",
		.role = *dsn ? NULL : "centraleta_public",
		.read_only = true, /* as that role is by default */
		.tables = read_tables,
		.connect_ms = (unsigned)config_int(c, "store.connect_ms"),
		.group_ms = (unsigned)config_int(c, "store.group_ms"),
		.groups_max = (unsigned)config_int(c, "intake.read_groups_max"),
		.metrics = in->s->metrics,
		.metrics_label = "read",
	};
	struct reads *r = calloc(1, sizeof(*r));
	int k;

	if (!r)
		return err_here(-ENOMEM);
	r->in = in;
	list_init(&r->flying);
	k = column_new(&r->offers, COLUMN_INT4);
	if (!k)
		k = column_new(&r->lanes, COLUMN_INT2);
	if (!k)
		k = column_new(&r->ids, COLUMN_INT8);
	if (!k)
		k = store_new(&r->store, in->s->loop, &o);
	if (k) {
		reads_free(r);
		return k;
	}
	*ret = r;
	return 0;
}

void reads_free(struct reads *r)
{
	if (!r)
		return;
	struct read *read;

	store_free(r->store); /* ends what is under way there */
	list_for_each(read, &r->flying, link) {
		list_del(&read->link);
		read->reads = NULL;
		read->fn(read->ctx, BUSY_DRAINING, NULL);
	}
	column_free(r->offers);
	column_free(r->lanes);
	column_free(r->ids);
	free(r);
}

bool reads_ready(const struct reads *r)
{
	return store_ready(r->store);
}
