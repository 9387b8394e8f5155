/*
 * work - deciding a group
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/base/ids.h"
#include "services/routing/tables.h"
#include "services/routing/work.h"

static int decide_received(struct decision *d, struct town_config *town, struct bytes body)
{
	Centraleta__V1__RequestReceived *m =
		centraleta__v1__request_received__unpack(NULL, body.len, body.data);
	struct route_facts facts;

	if (!m)
		return WORK_E_BODY;
	route_facts_of(m, &facts);
	route_decide(town, &facts, &d->route);
	centraleta__v1__request_received__free_unpacked(m, NULL);
	d->turn = d->event.key_version + 1;
	return d->route.service > 0 ? 0 : WORK_E_BODY; /* an empty body unpacks, too */
}

static int decide_imported(struct decision *d, struct town_config *town, struct bytes body)
{
	Centraleta__V1__RequestImported *m =
		centraleta__v1__request_imported__unpack(NULL, body.len, body.data);

	if (!m)
		return WORK_E_BODY;
	route_imported(town, m, &d->route);
	d->work_item = m->work_item;
	centraleta__v1__request_imported__free_unpacked(m, NULL);
	d->turn = d->event.key_version; /* history makes no event: it is its own routing */
	return id_lane(d->work_item) == d->event.lane ? 0 : WORK_E_BODY;
}

static int decide_refused(struct decision *d, struct bytes body)
{
	Centraleta__V1__RequestChanged *m =
		centraleta__v1__request_changed__unpack(NULL, body.len, body.data);

	if (!m)
		return WORK_E_BODY;
	d->refused_item = m->work_item;
	centraleta__v1__request_changed__free_unpacked(m, NULL);
	return id_lane(d->refused_item) >= 0 ? 0 : WORK_E_BODY;
}

static int decide_event(struct work *w, struct decision *d, const struct towns *towns,
			const struct event *e)
{
	struct town_config *town = towns_find(towns, e->jurisdiction);

	if (!town)
		return WORK_E_TOWN;
	d->event = *e;
	d->event.body = (struct bytes){ NULL, 0 };
	d->event.actor = NULL;
	switch (e->type) {
	case CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RECEIVED:
		w->fresh++;
		return decide_received(d, town, e->body);
	case CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_IMPORTED:
		return decide_imported(d, town, e->body);
	default: /* of the three that are asked for */
		w->fresh++;
		w->refused++;
		return decide_refused(d, e->body);
	}
}

int work_decide(struct work **ret, const struct towns *towns, const struct batch *b)
{
	const size_t n = batch_count(b);
	const size_t each = sizeof(struct decision) + sizeof(const struct decision *);
	_cleanup_(freep) struct work *w = calloc(1, sizeof(*w) + n * each);
	int r;

	if (!w)
		return err_here(-ENOMEM);
	w->n = n;
	w->sorted = (const struct decision **)&w->decisions[n];
	for (size_t i = 0; i < n; i++) {
		r = decide_event(w, &w->decisions[i], towns, batch_event(b, i));
		if (r)
			return r;
	}
	*ret = steal(w);
	return 0;
}

void work_ask_refused(const struct work *w, unsigned lane, struct store_group *g)
{
	struct column *columns[3] = { NULL, NULL, NULL };
	static const enum column_type types[] = { COLUMN_INT8, COLUMN_INT8, COLUMN_INT2 };
	int r = 0;

	store_add(g, &routing_queries[ROUTING_REFUSED]);
	store_p_int2(g, (int16_t)lane);
	for (size_t i = 0; i < ARRAY_SIZE(types) && !r; i++)
		r = column_new(&columns[i], types[i]);
	for (size_t i = 0; i < w->n && !r; i++) {
		const struct decision *d = &w->decisions[i];

		if (!d->refused_item)
			continue;
		column_int(columns[0], d->event.order_key);
		column_int(columns[1], d->refused_item);
		column_int(columns[2], id_lane(d->refused_item));
	}
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!r) /* else a parameter is missing and the group can't be submitted */
			store_p_column(g, columns[i]);
		column_free(columns[i]);
	}
}

/* the version after all that this group gives to the same request before decision `i` */
static int32_t turn_after(const struct work *w, size_t i, int32_t newest)
{
	for (size_t j = 0; j < i; j++)
		if (w->decisions[j].event.order_key == w->decisions[i].event.order_key)
			newest = MAX(newest, w->decisions[j].turn);
	return newest + 1;
}

int work_take_refused(struct work *w, const struct towns *towns, const struct rows *rows)
{
	size_t row = 0;

	for (size_t i = 0; i < w->n; i++) {
		struct decision *d = &w->decisions[i];
		struct route_refused was;
		struct town_config *town;

		if (!d->refused_item)
			continue;
		town = towns_find(towns, d->event.jurisdiction);
		if (!town)
			return WORK_E_TOWN;
		if (row >= rows_count(rows) || rows_null(rows, row, 0))
			return WORK_E_BODY;
		was = (struct route_refused){
			.service = (int32_t)rows_int(rows, row, 0),
			.area = (int32_t)rows_int(rows, row, 1),
			.priority = (int)rows_int(rows, row, 2),
		};
		route_refused(town, &was, d->event.at_us, &d->route);
		d->turn = turn_after(w, i, MAX((int32_t)rows_int(rows, row, 3), d->event.key_version));
		row++;
	}
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct decision *x = *(const struct decision *const *)a;
	const struct decision *y = *(const struct decision *const *)b;

	if (x->event.order_key != y->event.order_key)
		return x->event.order_key < y->event.order_key ? -1 : 1;
	return (x->turn > y->turn) - (x->turn < y->turn);
}

bool work_number(struct work *w, struct numbers *numbers, unsigned lane)
{
	if (numbers_left(numbers, lane) < w->fresh)
		return false;
	for (size_t i = 0; i < w->n; i++)
		if (!w->decisions[i].work_item)
			w->decisions[i].work_item = numbers_take(numbers, lane);
	for (size_t i = 0; i < w->n; i++)
		w->sorted[i] = &w->decisions[i];
	if (w->n)
		qsort(w->sorted, w->n, sizeof(*w->sorted), by_key);
	return true;
}
