/*
 * chain_write - the statements of a batch of `dispatch.department`
 *
 * One statement a table, arrays unnested; rows by key where rows of others may be locked.
 */
#include "services/dispatch/chain.h"

#include <stdio.h>

#include "common/base/err.h"

enum { BODY_MAX = 256 };
static_assert(BODY_MAX > NAME_MAX_CHARS + 6 * 16, "a body holds an update_id and six numbers");

/* ---- parameters ----------------------------------------------------------------------------------- */

enum { COLUMNS_MAX = 11 };

/* the array parameters of one statement */
struct params {
	struct column *c[COLUMNS_MAX];
	size_t n;
};

static void params_fini(struct params *p)
{
	for (size_t i = 0; i < p->n; i++)
		column_free(p->c[i]);
}

static int params_init(struct params *p, const enum column_type *types, size_t n)
{
	assert(n <= COLUMNS_MAX);
	for (p->n = 0; p->n < n; p->n++) {
		int r = column_new(&p->c[p->n], types[p->n]);

		if (r)
			return r;
	}
	return 0;
}

static void params_add(struct params *p, struct store_group *g)
{
	for (size_t i = 0; i < p->n; i++)
		store_p_column(g, p->c[i]);
}

/* ---- statements ----------------------------------------------------------------------------------- */

static void add_range(struct params *p, const struct name *n, int64_t first, int64_t last)
{
	column_int(p->c[0], n->dept->department);
	column_text(p->c[1], n->consumer);
	column_int(p->c[2], first);
	column_int(p->c[3], last);
}

int chain_write_acks(struct decided *x, struct line *l, struct store_group *g, size_t before)
{
	static const enum column_type types[] = { COLUMN_INT4, COLUMN_TEXT, COLUMN_INT8, COLUMN_INT8 };
	_cleanup_(params_fini) struct params p = { .n = 0 };
	int r = params_init(&p, types, ARRAY_SIZE(types));

	if (r)
		return r;
	for (struct taken *t = x->names; t < x->names + x->n_names; t++) {
		if (t->mark)
			add_range(&p, t->name, 0, t->set.low);
		else if (t->set.low)
			add_range(&p, t->name, 1, t->set.low);
		for (size_t i = 0; i < t->set.n; i++)
			add_range(&p, t->name, t->set.ranges[i].first, t->set.ranges[i].last);
	}
	if (!column_count(p.c[0]))
		return 0;
	x->acks = true;
	x->ack_statement = store_added(g) - before;
	store_add(g, &dispatch_queries[DISPATCH_ACK]);
	store_p_int2(g, (int16_t)l->lane);
	params_add(&p, g);
	return 0;
}

int chain_write_prune(struct decided *x, struct line *l, struct store_group *g)
{
	static const enum column_type types[] = { COLUMN_INT4, COLUMN_TEXT, COLUMN_INT8 };
	_cleanup_(params_fini) struct params p = { .n = 0 };
	int r = params_init(&p, types, ARRAY_SIZE(types));

	if (r)
		return r;
	for (struct taken *t = x->names; t < x->names + x->n_names; t++) {
		if (!t->mark)
			continue;
		column_int(p.c[0], t->name->dept->department);
		column_text(p.c[1], t->name->consumer);
		column_int(p.c[2], t->name->since);
	}
	if (!column_count(p.c[0]))
		return 0;
	store_add(g, &dispatch_queries[DISPATCH_PRUNE]);
	store_p_int2(g, (int16_t)l->lane);
	params_add(&p, g);
	return 0;
}

static void add_text(struct params *p, const struct update *u, int64_t now_us)
{
	column_int(p->c[0], u->lane);
	column_int(p->c[1], u->department);
	column_text(p->c[2], u->id);
	column_int(p->c[3], u->work_item);
	column_int(p->c[4], u->jurisdiction);
	column_int(p->c[5], (int64_t)u->kind);
	column_int(p->c[6], (int64_t)u->outcome);
	column_int(p->c[7], (int64_t)u->reason);
	column_text(p->c[8], u->note);
	column_bytea(p->c[9], u->hash, sizeof(u->hash));
	column_time(p->c[10], now_us);
}

int chain_write_texts(struct decided *x, struct store_group *g, int64_t now_us)
{
	static const enum column_type types[] = {
		COLUMN_INT2, COLUMN_INT4, COLUMN_TEXT, COLUMN_INT8,  COLUMN_INT4, COLUMN_INT2,
		COLUMN_INT2, COLUMN_INT2, COLUMN_TEXT, COLUMN_BYTEA, COLUMN_TIME,
	};
	_cleanup_(params_fini) struct params p = { .n = 0 };
	int r = params_init(&p, types, ARRAY_SIZE(types));

	if (r)
		return r;
	for (size_t i = 0; i < x->n_updates; i++)
		if (x->plan.decisions[i].store)
			add_text(&p, x->updates[i], now_us);
	if (!column_count(p.c[0]))
		return 0;
	store_add(g, &dispatch_queries[DISPATCH_UPDATE]);
	params_add(&p, g);
	return 0;
}

int chain_write_states(struct decided *x, struct store_group *g)
{
	static const enum column_type types[] = { COLUMN_INT2, COLUMN_INT8, COLUMN_INT4, COLUMN_INT4,
						  COLUMN_INT2, COLUMN_INT2, COLUMN_INT4, COLUMN_TIME };
	_cleanup_(params_fini) struct params p = { .n = 0 };
	int r = params_init(&p, types, ARRAY_SIZE(types));

	if (r)
		return r;
	for (const struct item_now *i = x->view.items; i < x->view.items + x->view.n_items; i++) {
		if (!i->changed)
			continue;
		column_int(p.c[0], id_lane(i->work_item));
		column_int(p.c[1], i->work_item);
		column_int(p.c[2], i->jurisdiction);
		column_int(p.c[3], i->department);
		column_int(p.c[4], (int64_t)i->state);
		column_int(p.c[5], (int64_t)i->outcome);
		column_int(p.c[6], i->key_version);
		column_time(p.c[7], i->updated_at_us);
	}
	if (!column_count(p.c[0]))
		return 0;
	store_add(g, &dispatch_queries[DISPATCH_STATE]);
	params_add(&p, g);
	return 0;
}

static size_t pack_request(const struct change *c, uint8_t *to)
{
	Centraleta__V1__RequestChanged m = CENTRALETA__V1__REQUEST_CHANGED__INIT;

	m.state = c->state.request;
	m.outcome = c->outcome;
	m.work_item = c->update->work_item;
	m.department = c->update->department;
	m.occurred_at_us = c->update->occurred_at_us;
	m.update_id = (char *)c->update->id;
	return centraleta__v1__request_changed__pack(&m, to);
}

static size_t pack_work(const struct change *c, uint8_t *to)
{
	Centraleta__V1__WorkChanged m = CENTRALETA__V1__WORK_CHANGED__INIT;

	m.state = c->state.work;
	m.outcome = c->outcome;
	m.reason = c->update->reason;
	m.department = c->update->department;
	m.occurred_at_us = c->update->occurred_at_us;
	m.update_id = (char *)c->update->id;
	return centraleta__v1__work_changed__pack(&m, to);
}

void chain_append(struct batch *b, const struct change *c)
{
	uint8_t body[BODY_MAX];
	char actor[32];
	struct event e = { .lane = (int16_t)id_lane(c->key), .type = (int16_t)c->type,
			   .type_version = 1, .jurisdiction = c->jurisdiction,
			   .key_version = c->key_version, .order_key = c->key, .trace = c->trace,
			   .actor = actor };

	(void)snprintf(actor, sizeof(actor), "department/%d", c->update->department);
	e.body = (struct bytes){ body, c->of_request ? pack_request(c, body) : pack_work(c, body) };
	batch_append(b, &e);
}

/* ---- reads ------------------------------------------------------------------------------------------ */

int chain_add_reads(struct decided *x, struct store_group *g)
{
	static const enum column_type types[] = { COLUMN_INT2, COLUMN_INT4, COLUMN_TEXT };
	static const enum column_type item_types[] = { COLUMN_INT2, COLUMN_INT8 };
	_cleanup_(params_fini) struct params p = { .n = 0 }, items = { .n = 0 }, again = { .n = 0 };
	int r = params_init(&p, types, ARRAY_SIZE(types));

	if (!r)
		r = params_init(&items, item_types, ARRAY_SIZE(item_types));
	if (!r)
		r = params_init(&again, item_types, ARRAY_SIZE(item_types));
	if (r)
		return r;
	for (size_t i = 0; i < x->n_updates; i++) {
		const struct update *u = x->updates[i];

		column_int(p.c[0], u->lane);
		column_int(p.c[1], u->department);
		column_text(p.c[2], u->id);
		column_int(items.c[0], u->lane);
		column_int(items.c[1], u->work_item);
		column_int(again.c[0], u->lane);
		column_int(again.c[1], u->work_item);
	}
	store_add(g, &dispatch_queries[DISPATCH_SEEN]);
	params_add(&p, g);
	store_add(g, &dispatch_queries[DISPATCH_REQUESTS]);
	params_add(&items, g);
	store_add(g, &dispatch_queries[DISPATCH_ITEMS]);
	params_add(&again, g);
	return 0;
}
