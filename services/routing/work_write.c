/*
 * work_write - what was decided, as rows and events
 *
 * Rows go in the order of their keys (reliability: sorted rows can't deadlock); deliveries and
 * events keep the order of the log, which is the order that a department and a citizen see.
 */
#include <errno.h>
#include "common/base/err.h"
#include "services/routing/tables.h"
#include "services/routing/work.h"
#include "centraleta/v1/dispatch.pb-c.h"

/* columns of ROUTING_ROUTE and of ROUTING_DELIVER, in the order of their parameters */
enum {
	R_REQUEST, R_TURN, R_JURISDICTION, R_WORK_ITEM, R_DEPARTMENT, R_DEADLINE, R_RULE_VERSION,
	R_RULE_POSITION, R_AREA, R_SERVICE, R_PRIORITY, ROUTE_COLUMNS
};
enum {
	D_LANE, D_DEPARTMENT, D_JURISDICTION, D_SERVICE, D_KIND, D_WORK_LANE, D_WORK_ITEM,
	D_KEY_VERSION, DELIVER_COLUMNS
};

static const enum column_type route_types[ROUTE_COLUMNS] = {
	COLUMN_INT8, COLUMN_INT4, COLUMN_INT4, COLUMN_INT8, COLUMN_INT4, COLUMN_TIME, COLUMN_INT4,
	COLUMN_INT4, COLUMN_INT4, COLUMN_INT4, COLUMN_INT2,
};
static const enum column_type deliver_types[DELIVER_COLUMNS] = {
	COLUMN_INT2, COLUMN_INT4, COLUMN_INT4, COLUMN_INT4, COLUMN_INT2, COLUMN_INT2, COLUMN_INT8,
	COLUMN_INT4,
};

struct work_columns {
	struct column *route[ROUTE_COLUMNS], *deliver[DELIVER_COLUMNS];
};

int work_columns_new(struct work_columns **ret)
{
	_cleanup_(work_columns_freep) struct work_columns *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c)
		return err_here(-ENOMEM);
	for (size_t i = 0; i < ROUTE_COLUMNS && !r; i++)
		r = column_new(&c->route[i], route_types[i]);
	for (size_t i = 0; i < DELIVER_COLUMNS && !r; i++)
		r = column_new(&c->deliver[i], deliver_types[i]);
	if (r)
		return r;
	*ret = steal(c);
	return 0;
}

void work_columns_free(struct work_columns *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < ROUTE_COLUMNS; i++)
		column_free(c->route[i]);
	for (size_t i = 0; i < DELIVER_COLUMNS; i++)
		column_free(c->deliver[i]);
	free(c);
}

/* sorted by key */
static void write_routes(const struct work *w, struct work_columns *c, struct batch *b)
{
	struct store_group *g = batch_group(b);

	for (size_t i = 0; i < w->n; i++) {
		const struct decision *d = w->sorted[i];

		column_int(c->route[R_REQUEST], d->event.order_key);
		column_int(c->route[R_TURN], d->turn);
		column_int(c->route[R_JURISDICTION], d->event.jurisdiction);
		column_int(c->route[R_WORK_ITEM], d->work_item);
		column_int(c->route[R_DEPARTMENT], d->route.department);
		column_time(c->route[R_DEADLINE], d->route.deadline_us);
		column_int(c->route[R_RULE_VERSION], d->route.rule_version);
		column_int(c->route[R_RULE_POSITION], d->route.rule_position);
		if (d->route.area)
			column_int(c->route[R_AREA], d->route.area);
		else
			column_null(c->route[R_AREA]);
		column_int(c->route[R_SERVICE], d->route.service);
		column_int(c->route[R_PRIORITY], d->route.priority);
	}
	store_add(g, &routing_queries[ROUTING_ROUTE]);
	store_p_int2(g, (int16_t)batch_lane(b));
	for (size_t i = 0; i < ROUTE_COLUMNS; i++)
		store_p_column(g, c->route[i]);
}

/* of new jobs alone: history isn't delivered */
static void write_deliveries(const struct work *w, struct work_columns *c, struct batch *b)
{
	struct store_group *g = batch_group(b);

	if (!w->fresh)
		return;
	for (size_t i = 0; i < w->n; i++) {
		const struct decision *d = &w->decisions[i];

		if (d->route.kind == ROUTE_IMPORTED)
			continue;
		column_int(c->deliver[D_LANE], d->route.home_lane);
		column_int(c->deliver[D_DEPARTMENT], d->route.department);
		column_int(c->deliver[D_JURISDICTION], d->event.jurisdiction);
		column_int(c->deliver[D_SERVICE], d->route.service);
		column_int(c->deliver[D_KIND], CENTRALETA__V1__WORK_KIND__WORK_KIND_NEW);
		column_int(c->deliver[D_WORK_LANE], batch_lane(b));
		column_int(c->deliver[D_WORK_ITEM], d->work_item);
		column_int(c->deliver[D_KEY_VERSION], 0); /* the work item has no event yet */
	}
	store_add(g, &routing_queries[ROUTING_DELIVER]);
	for (size_t i = 0; i < DELIVER_COLUMNS; i++)
		store_p_column(g, c->deliver[i]);
}

/* eleven numbers of eleven bytes at most, with their tags */
enum { BODY_MAX = 160 };

static void append_event(const struct decision *d, struct batch *b)
{
	Centraleta__V1__RequestRouted m = CENTRALETA__V1__REQUEST_ROUTED__INIT;
	struct event e = d->event;
	uint8_t body[BODY_MAX];

	m.department = d->route.department;
	m.work_item = d->work_item;
	m.area = d->route.area;
	m.priority = d->route.priority;
	m.deadline_us = d->route.deadline_us;
	m.rule_version = d->route.rule_version;
	m.rule_position = d->route.rule_position;
	m.service = d->route.service;
	m.home_lane = d->route.home_lane;
	assert(centraleta__v1__request_routed__get_packed_size(&m) <= sizeof(body));
	e.body = (struct bytes){ body, centraleta__v1__request_routed__pack(&m, body) };
	e.type = d->route.kind == ROUTE_REFUSED
			 ? CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_TRIAGED
			 : CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_ROUTED;
	e.type_version = 1;
	e.key_version = d->turn;
	e.actor = "routing";
	batch_append(b, &e);
}

/* of a row of history: where it was, which only we know; it changes no state */
static void append_placed(const struct decision *d, struct batch *b)
{
	Centraleta__V1__RequestPlaced m = CENTRALETA__V1__REQUEST_PLACED__INIT;
	struct event e = d->event;
	uint8_t body[BODY_MAX];

	m.area = d->route.area;
	e.body = (struct bytes){ body, centraleta__v1__request_placed__pack(&m, body) };
	e.type = CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_PLACED;
	e.type_version = 1;
	e.key_version = 0;
	e.actor = "routing";
	batch_append(b, &e);
}

void work_write(const struct work *w, struct work_columns *c, struct batch *b)
{
	if (!w->n)
		return;
	write_routes(w, c, b);
	write_deliveries(w, c, b);
	for (size_t i = 0; i < w->n; i++)
		if (w->decisions[i].route.kind != ROUTE_IMPORTED)
			append_event(&w->decisions[i], b);
		else if (w->decisions[i].route.area)
			append_placed(&w->decisions[i], b);
}
