/*
 * load - the catalogue from the store: one group of reads, one swap
 *
 * All tables are read in one transaction, after the revision was seen; what changes meanwhile moves
 * the revision again and is loaded again. A load that fails leaves the old catalogue in force.
 */
#include <errno.h>
#include "services/intake/intake.h"

struct loader {
	struct intake *in;
	int64_t wanted, loading; /* revisions; 0: none */
	bool flying;
	bool orphan; /* freed while an answer was outstanding */
	struct loop_timer *retry;
	struct loop_timer *expiry; /* of the next rotated key */
};

/* in the order of queries.def */
enum { TOWNS, LANES, OFFERS, ATTRIBUTES, VALUES, DEPARTMENTS, DOORS, KEYS, TABLES };

static int add_towns(struct catalog *c, const struct rows *r)
{
	for (size_t i = 0; i < rows_count(r); i++) {
		struct town t = {
			.id = (int32_t)rows_int(r, i, 0), .slug = rows_text(r, i, 1),
			.jurisdiction_id = rows_text(r, i, 2), .name = rows_text(r, i, 3),
			.language = LANG_EN, .triage = (int32_t)rows_int(r, i, 6),
			.triage_us = rows_int(r, i, 7) * INT64_C(60000000),
			.boxed = !rows_null(r, i, 8) && !rows_null(r, i, 9) && !rows_null(r, i, 10) &&
				 !rows_null(r, i, 11),
			.min_lat = rows_real(r, i, 8), .min_long = rows_real(r, i, 9),
			.max_lat = rows_real(r, i, 10), .max_long = rows_real(r, i, 11),
			.retired = !rows_null(r, i, 13),
		};
		struct bytes language = rows_bytes(r, i, 5);
		int k;

		(void)lang_parse((const char *)language.data, language.len, &t.language);
		catalog_saw_time(c, rows_time(r, i, 12));
		catalog_saw_time(c, rows_time(r, i, 13));
		k = catalog_add_town(c, &t, rows_text(r, i, 4));
		if (k == -ENOENT) {
			log_error("intake.zone", "jurisdiction=%d zone=%s", t.id, rows_text(r, i, 4));
			k = catalog_add_town(c, &t, "UTC"); /* the other towns go on */
		}
		if (k)
			return k;
	}
	return 0;
}

static int add_offers(struct catalog *c, const struct rows *r)
{
	int k = 0;

	for (size_t i = 0; i < rows_count(r) && !k; i++) {
		const struct offer o = {
			.id = (int32_t)rows_int(r, i, 0), .code = rows_text(r, i, 2),
			.name = rows_text(r, i, 3), .description = rows_text(r, i, 4),
			.keywords = rows_text(r, i, 5), .group = rows_text(r, i, 6),
			.notice = rows_text(r, i, 7), .retired = !rows_null(r, i, 9),
		};

		catalog_saw_time(c, rows_time(r, i, 8));
		catalog_saw_time(c, rows_time(r, i, 9));
		k = catalog_add_offer(c, (int32_t)rows_int(r, i, 1), &o);
	}
	return k;
}

static enum datatype datatype_of(const char *name)
{
	static const char *const names[] = { "string", "number", "datetime", "text",
					     "singlevaluelist", "multivaluelist" };

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i]))
			return (enum datatype)i;
	return DATA_TEXT;
}

static int add_attributes(struct catalog *c, const struct rows *attributes, const struct rows *values)
{
	int k = 0;

	for (size_t i = 0; i < rows_count(attributes) && !k; i++) {
		const struct attribute a = {
			.code = rows_text(attributes, i, 1), .variable = rows_int(attributes, i, 2),
			.datatype = datatype_of(rows_text(attributes, i, 3)),
			.required = rows_int(attributes, i, 4),
			.datatype_description = rows_text(attributes, i, 5),
			.ord = (int)rows_int(attributes, i, 6),
			.description = rows_text(attributes, i, 7),
		};

		k = catalog_add_attribute(c, (int32_t)rows_int(attributes, i, 0), &a);
	}
	for (size_t i = 0; i < rows_count(values) && !k; i++)
		k = catalog_add_value(c, (int32_t)rows_int(values, i, 0), rows_text(values, i, 1),
				      rows_text(values, i, 2), rows_text(values, i, 3));
	return k;
}

static int add_keys(struct catalog *c, const struct rows *r)
{
	int k = 0;

	for (size_t i = 0; i < rows_count(r) && !k; i++) {
		struct key key = { .id = rows_text(r, i, 0), .submit = rows_int(r, i, 3),
				   .import = rows_int(r, i, 4), .curve = rows_text(r, i, 5),
				   .revoked = rows_int(r, i, 6) };
		struct bytes hash = rows_bytes(r, i, 2);

		if (hash.len == sizeof(key.hash))
			memcpy(key.hash, hash.data, sizeof(key.hash));
		k = catalog_add_key(c, &key, (int32_t)rows_int(r, i, 1));
	}
	return k;
}

/* a rotated key that is still taken ends without the revision moving: all is read again then */
static void await_expiry(struct loader *l, const struct rows *keys)
{
	int64_t ms = INT64_MAX;

	for (size_t i = 0; i < rows_count(keys); i++)
		if (!rows_null(keys, i, 7))
			ms = MIN(ms, rows_int(keys, i, 7));
	loop_timer_stop(l->expiry);
	if (ms < INT64_MAX)
		loop_timer_set(l->expiry, (uint64_t)MAX(ms, INT64_C(0)) + 1);
}

static int build(struct catalog *c, const struct rows *const *rows)
{
	int r = add_towns(c, rows[TOWNS]);

	for (size_t i = 0; i < rows_count(rows[LANES]) && !r; i++)
		r = catalog_add_lane(c, (int32_t)rows_int(rows[LANES], i, 0),
				     (unsigned)rows_int(rows[LANES], i, 1));
	if (!r)
		r = add_offers(c, rows[OFFERS]);
	if (!r)
		r = add_attributes(c, rows[ATTRIBUTES], rows[VALUES]);
	for (size_t i = 0; i < rows_count(rows[DEPARTMENTS]) && !r; i++)
		r = catalog_add_department(c, (int32_t)rows_int(rows[DEPARTMENTS], i, 1),
					   (int32_t)rows_int(rows[DEPARTMENTS], i, 0),
					   rows_text(rows[DEPARTMENTS], i, 2),
					   rows_text(rows[DEPARTMENTS], i, 3));
	for (size_t i = 0; i < rows_count(rows[DOORS]) && !r; i++)
		r = catalog_add_door(c, (int32_t)rows_int(rows[DOORS], i, 1),
				     (int32_t)rows_int(rows[DOORS], i, 0),
				     (int)rows_int(rows[DOORS], i, 2));
	return r ? r : add_keys(c, rows[KEYS]);
}

static void take(struct loader *l, const struct answer *a)
{
	_cleanup_(catalog_unrefp) struct catalog *c = NULL;
	struct intake *in = l->in;
	int r = catalog_new(&c, l->loading);

	if (!r)
		r = build(c, a->rows);
	if (r) {
		log_error_errno(r, "intake.catalogue");
		loop_timer_set(l->retry, 1000);
		return;
	}
	catalog_unref(in->catalog);
	in->catalog = steal(c);
	in->loaded = true;
	await_expiry(l, a->rows[KEYS]);
	FOREACH(s, in->submit)
		submit_recheck(*s);
	series_set(intake_series(in, METRIC_REVISION, NULL, NULL, NULL), (double)l->loading);
	log_info("intake.catalogue", "revision=%lld towns=%zu", (long long)l->loading,
		 catalog_towns_n(in->catalog));
	if (l->wanted == l->loading)
		l->wanted = 0;
}

static void go(void *ctx);

static void answered(void *ctx, const struct answer *a)
{
	struct loader *l = ctx;

	l->flying = false;
	if (l->orphan) {
		free(l);
		return;
	}
	if (a->verdict == STORE_OK && a->n == TABLES) {
		take(l, a);
	} else {
		log_warn("intake.catalogue", "verdict=%s sqlstate=%s",
			 store_verdict_name(a->verdict), a->sqlstate);
		loop_timer_set(l->retry, 500 + loop_random(l->in->s->loop, 500));
		return;
	}
	if (l->wanted && !loop_timer_armed(l->retry))
		go(l);
}

static void go(void *ctx)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	struct loader *l = ctx;
	int r;

	if (l->flying || !l->wanted)
		return;
	r = store_group_new(&g, l->in->s->control);
	for (int q = QUERY_TOWNS; q <= QUERY_KEYS && !r; q++)
		store_add(g, &intake_queries[q]);
	if (!r)
		r = store_submit(g, answered, l);
	if (r) {
		loop_timer_set(l->retry, 500 + loop_random(l->in->s->loop, 500));
		return;
	}
	steal(g);
	l->loading = l->wanted;
	l->flying = true;
}

void loader_want(struct loader *l, int64_t revision)
{
	l->wanted = revision;
	go(l);
}

static void expired(void *ctx)
{
	struct loader *l = ctx;

	if (!l->wanted)
		loader_want(l, catalog_revision(l->in->catalog));
}

int loader_new(struct loader **ret, struct intake *in)
{
	struct loader *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_here(-ENOMEM);
	l->in = in;
	r = loop_timer_new(&l->retry, in->s->loop, go, l);
	if (!r)
		r = loop_timer_new(&l->expiry, in->s->loop, expired, l);
	if (r) {
		loader_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

void loader_free(struct loader *l)
{
	if (!l)
		return;
	loop_timer_free(l->retry);
	loop_timer_free(l->expiry);
	l->orphan = true;
	if (!l->flying)
		free(l);
}
