/*
 * follow - reads deliveries by number and sends them
 *
 * One page at a time a department, for all of its connections that wait. A page begins behind the
 * cursor of the one whose turn it is, so a connection far behind and one at the head take turns.
 * Who is ahead of the page's first row takes from it what is new to it. A wake-up while a page is
 * under way leaves the mark "dirty", and another page follows.
 */
#include "services/dispatch/dispatch.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/trace.h"

enum { FULL_MS = 50, ATTRIBUTES_MAX = 64, PROBE_ANYWAY_MS = 30000 };

/* columns of DISPATCH_WORK */
enum {
	W_DSEQ, W_PREV, W_KIND, W_WORK_ITEM, W_SERVICE, W_SLUG, W_CODE, W_NAME, W_PRIORITY, W_DEADLINE,
	W_REQUEST, W_REQUESTED, W_LAT, W_LONG, W_CHANNEL, W_ADDRESS, W_DESCRIPTION, W_AREA,
	W_ATTRIBUTES, W_TRACE, W_AT,
};

/* ---- a frame of a row ------------------------------------------------------------------------------ */

struct work_frame {
	Centraleta__V1__DispatchFrame frame;
	Centraleta__V1__Work work;
	Centraleta__V1__Place place;
	Centraleta__V1__AttributeValue attributes[ATTRIBUTES_MAX], *attribute_list[ATTRIBUTES_MAX];
	char topic[3 * 64], request[24], parent[56];
	json_t *json; /* owned: holds the attributes' texts */
};

static void work_frame_fini(struct work_frame *f)
{
	json_decref(f->json);
}

static void add_attribute(struct work_frame *f, const char *code, const json_t *value)
{
	Centraleta__V1__AttributeValue *a;

	if (!json_is_string(value) || f->work.n_attributes == ATTRIBUTES_MAX)
		return;
	a = &f->attributes[f->work.n_attributes];
	centraleta__v1__attribute_value__init(a);
	a->code = (char *)code;
	a->key = (char *)json_string_value(value);
	f->attribute_list[f->work.n_attributes++] = a;
}

/* {"code": "key"} or {"code": ["key", …]} */
static void add_attributes(struct work_frame *f, struct bytes text)
{
	const char *code;
	json_t *value, *one;
	size_t i;

	f->json = text.len ? json_loadb((const char *)text.data, text.len, 0, NULL) : NULL;
	f->work.attributes = f->attribute_list;
	json_object_foreach(f->json, code, value) {
		add_attribute(f, code, value);
		json_array_foreach(value, i, one)
			add_attribute(f, code, one);
	}
}

static void add_trace(struct work_frame *f, struct bytes id)
{
	struct trace t;

	if (id.len != sizeof(t.id))
		return;
	memcpy(t.id, id.data, id.len);
	trace_parent(&t, f->parent);
	f->work.traceparent = f->parent;
}

static void add_request(struct work_frame *f, const struct rows *r, size_t row)
{
	Centraleta__V1__Work *w = &f->work;

	if (rows_null(r, row, W_REQUEST))
		return;
	(void)snprintf(f->request, sizeof(f->request), "%lld", (long long)rows_int(r, row, W_REQUEST));
	w->service_request_id = f->request;
	w->requested_at_us = rows_time(r, row, W_REQUESTED);
	w->channel = (Centraleta__V1__Channel)rows_int(r, row, W_CHANNEL);
	if (!rows_null(r, row, W_LAT)) {
		centraleta__v1__place__init(&f->place);
		f->place.lat = rows_real(r, row, W_LAT);
		f->place.long_ = rows_real(r, row, W_LONG);
		w->place = &f->place;
	}
	w->address = (char *)rows_text(r, row, W_ADDRESS);
	w->description = (char *)rows_text(r, row, W_DESCRIPTION);
	add_attributes(f, rows_bytes(r, row, W_ATTRIBUTES));
	add_trace(f, rows_bytes(r, row, W_TRACE));
}

/* texts are borrowed from the rows */
static void work_frame_init(struct work_frame *f, const struct dept *t, const struct rows *r, size_t row)
{
	const struct department *e =
		directory_department(t->line->d->directory, t->department);
	Centraleta__V1__Work *w = &f->work;

	memset(f, 0, sizeof(*f));
	centraleta__v1__dispatch_frame__init(&f->frame);
	centraleta__v1__work__init(w);
	f->frame.frame_case = CENTRALETA__V1__DISPATCH_FRAME__FRAME_WORK;
	f->frame.work = w;
	w->generation = t->generation;
	w->dseq = rows_int(r, row, W_DSEQ);
	w->prev = rows_int(r, row, W_PREV);
	w->kind = (Centraleta__V1__WorkKind)rows_int(r, row, W_KIND);
	(void)snprintf(f->topic, sizeof(f->topic), "%s/%s/%s/", e ? e->town : "", e ? e->slug : "",
		       rows_text(r, row, W_SLUG));
	w->topic = f->topic;
	w->work_item = rows_int(r, row, W_WORK_ITEM);
	w->service_code = (char *)rows_text(r, row, W_CODE);
	w->service_name = (char *)rows_text(r, row, W_NAME);
	w->priority = (int32_t)rows_int(r, row, W_PRIORITY);
	w->deadline_us = rows_time(r, row, W_DEADLINE);
	w->area = (char *)rows_text(r, row, W_AREA);
	add_request(f, r, row);
}

/* ---- one row to one name ---------------------------------------------------------------------------- */

static bool name_wants(const struct name *n, int32_t service)
{
	if (!n->services)
		return true;
	for (size_t i = 0; i < n->n_services; i++)
		if (n->services[i] == service)
			return true;
	return false;
}

/* a filtered name's position passes what it doesn't want */
static void pass(struct name *n, int64_t dseq)
{
	flow_skipped(&n->flow, dseq);
	if (ack_set_has(&n->acked, dseq))
		return;
	if (!ack_set_add(&n->acked, dseq, dseq))
		n->changes++;
}

/* false: it takes no more now */
static bool send_work(struct name *n, struct work_frame *f, int64_t at_us, uint64_t now_ms)
{
	struct dispatch *d = n->dept->line->d;
	struct peer *p = n->peer;
	int64_t dseq = f->work.dseq;
	int r;

	f->work.redelivered = dseq <= n->flow.sent_max;
	r = say(d, p, &f->frame);
	if (r) {
		p->full_until_ms = now_ms + FULL_MS;
		dispatch_tick_soon(d);
		if (r == BUS_E_GONE)
			p->heard_ms = 0; /* dropped by the next tick */
		return false;
	}
	if (!flow_sent(&n->flow, &n->acked, dseq, now_ms + d->limits.redeliver_ms))
		series_observe(d->metric[M_WAIT], (double)MAX(0, clock_wall_us() - at_us) / 1e6);
	series_add(d->sent[f->work.redelivered], 1);
	log_debug("dispatch.sent", "department=%d consumer=%s dseq=%lld trace=%.32s", p->department,
		  n->consumer, (long long)dseq, *f->parent ? f->parent + 3 : "");
	return true;
}

static bool name_live(const struct name *n, uint64_t now_ms)
{
	return n->peer && n->peer->state == PEER_LIVE && now_ms >= n->peer->full_until_ms;
}

static void offer_row(struct dept *t, const struct rows *r, size_t row, int64_t from, uint64_t now_ms)
{
	int64_t dseq = rows_int(r, row, W_DSEQ), at_us = rows_time(r, row, W_AT);
	int32_t service = (int32_t)rows_int(r, row, W_SERVICE);
	struct work_frame f;
	bool made = false;
	struct name *n;

	list_for_each (n, &t->names, in_dept) {
		/* who stopped at an earlier row of this page has its cursor before it */
		if (!name_live(n, now_ms) || n->flow.cursor < from || n->stopped)
			continue;
		if (!name_wants(n, service)) {
			if (dseq > n->flow.cursor)
				pass(n, dseq);
			continue;
		}
		switch (flow_next(&n->flow, &n->acked, dseq)) {
		case FLOW_SKIP:
			flow_skipped(&n->flow, dseq);
			break;
		case FLOW_STOP:
			n->stopped = true;
			break;
		case FLOW_SEND:
			if (!made)
				work_frame_init(&f, t, r, row);
			made = true;
			n->stopped = !send_work(n, &f, at_us, now_ms);
			break;
		}
	}
	if (made)
		work_frame_fini(&f);
}

/* ---- pages ------------------------------------------------------------------------------------------ */

static void page(struct ask *a, struct line *l, struct dept *t, const struct answer *answer)
{
	uint64_t now_ms = clock_mono_ms();
	const struct rows *r;
	struct name *n;
	size_t count;

	if (!l || !t)
		return;
	t->reading = false;
	if (answer->verdict != STORE_OK) {
		t->dirty = true; /* the tick asks again */
		dispatch_tick_soon(l->d);
		return;
	}
	r = answer->rows[0];
	count = rows_count(r);
	series_observe(l->d->metric[M_PAGE], (double)count);
	list_for_each (n, &t->names, in_dept)
		n->stopped = false;
	for (size_t i = 0; i < count; i++)
		offer_row(t, r, i, a->from, now_ms);
	if (count)
		t->newest = MAX(t->newest, rows_int(r, count - 1, W_DSEQ));
	if (count == (size_t)a->limit)
		t->dirty = true; /* it may go on behind this page */
	follow_dept(t);
}

static bool name_waits(const struct name *n, uint64_t now_ms)
{
	return name_live(n, now_ms) && flow_open(&n->flow) &&
	       (n->dept->dirty || n->flow.cursor < n->dept->newest);
}

/* whose turn it is; it goes to the end of the ring. ret_limit: what the page should hold */
static struct name *next_waiting(struct dept *t, int *ret_limit)
{
	uint64_t now_ms = clock_mono_ms();
	struct name *n, *first = NULL;
	int limit = 1;

	list_for_each (n, &t->names, in_dept) {
		if (!name_waits(n, now_ms))
			continue;
		limit = n->services ? PAGE_MAX : MAX(limit, flow_room(&n->flow));
		first = first ? first : n;
	}
	if (first) {
		list_del(&first->in_dept);
		list_add_tail(&t->names, &first->in_dept);
	}
	*ret_limit = MIN(limit, (int)PAGE_MAX);
	return first;
}

void follow_dept(struct dept *t)
{
	struct line *l = t->line;
	struct store_group *g;
	struct name *n;
	int limit;

	if (t->reading || !l->loaded)
		return;
	n = next_waiting(t, &limit);
	if (!n)
		return;
	g = store_ready(store_pool_lane(l->d->service->writers, l->lane)) ? dispatch_group(l->d, l->lane) : NULL;
	if (!g) {
		dispatch_tick_soon(l->d);
		return;
	}
	store_add(g, &dispatch_queries[DISPATCH_PAGE]);
	store_p_int2(g, (int16_t)l->lane);
	store_p_int4(g, t->department);
	store_p_int8(g, n->flow.cursor);
	store_p_int8(g, limit);
	t->reading = true;
	t->dirty = false;
	dispatch_ask(l->d,
		     (struct ask){ .lane = l->lane, .epoch = l->epoch, .department = t->department,
				   .from = n->flow.cursor, .limit = limit, .fn = page },
		     g);
}

void follow_wake(struct dispatch *d, unsigned home_lane, int32_t department)
{
	struct line *l = home_lane < LANE_MAX ? d->lines[home_lane] : NULL;
	struct dept *t = l ? line_dept(l, department) : NULL;

	if (!t)
		return;
	t->dirty = true;
	follow_dept(t);
}

/* ---- again ------------------------------------------------------------------------------------------ */

static void again(struct ask *a, struct line *l, struct dept *t, const struct answer *answer)
{
	uint64_t now_ms = clock_mono_ms();
	const struct rows *r;
	struct work_frame f;
	struct name *n;

	(void)a;
	if (!l || !t)
		return;
	t->reading_again = false;
	if (answer->verdict != STORE_OK)
		return;
	r = answer->rows[0];
	for (size_t i = 0; i < rows_count(r); i++) {
		work_frame_init(&f, t, r, i);
		list_for_each (n, &t->names, in_dept)
			if (name_live(n, now_ms) && flow_is_overdue(&n->flow, f.work.dseq, now_ms))
				(void)send_work(n, &f, 0, now_ms); /* else with the next tick */
		work_frame_fini(&f);
	}
}

/* overdue numbers of all names of a department, each once */
static size_t overdue(const struct dept *t, uint64_t now_ms, struct column *c)
{
	int64_t due[PAGE_MAX];
	const struct name *n;
	size_t sum = 0, found;

	list_for_each (n, &t->names, in_dept) {
		if (!name_live(n, now_ms) || sum >= PAGE_MAX)
			continue;
		found = flow_overdue(&n->flow, now_ms, due, PAGE_MAX - sum);
		for (size_t i = 0; i < found; i++)
			column_int(c, due[i]);
		sum += found;
	}
	return sum;
}

static void send_again(struct dept *t, uint64_t now_ms)
{
	_cleanup_(column_freep) struct column *c = NULL;
	struct line *l = t->line;
	struct store_group *g;

	if (t->reading_again || column_new(&c, COLUMN_INT8) || !overdue(t, now_ms, c))
		return;
	g = dispatch_group(l->d, l->lane);
	if (!g)
		return;
	store_add(g, &dispatch_queries[DISPATCH_AGAIN]);
	store_p_int2(g, (int16_t)l->lane);
	store_p_int4(g, t->department);
	store_p_column(g, c);
	t->reading_again = true;
	dispatch_ask(l->d,
		     (struct ask){ .lane = l->lane, .epoch = l->epoch, .department = t->department,
				   .fn = again },
		     g);
}

/* ---- time ------------------------------------------------------------------------------------------- */

void follow_probe_again(struct dispatch *d)
{
	d->probed_heads = -1;
}

static void probed(struct ask *a, struct line *l, struct dept *t, const struct answer *answer)
{
	(void)a;
	(void)t;
	if (!l)
		return;
	if (answer->verdict != STORE_OK || line_take_rows(l, answer->rows[0])) {
		follow_probe_again(l->d);
		return;
	}
	list_for_each (t, &l->depts, in_line)
		follow_dept(t);
}

/* the newest numbers of the departments of one line that somebody listens to */
static void probe(struct line *l)
{
	_cleanup_(column_freep) struct column *c = NULL;
	struct store_group *g;
	struct name *n;
	struct dept *t;

	if (column_new(&c, COLUMN_INT4))
		return;
	list_for_each (t, &l->depts, in_line)
		list_for_each (n, &t->names, in_dept)
			if (n->peer) {
				column_int(c, t->department);
				break;
			}
	if (!column_count(c))
		return;
	g = dispatch_group(l->d, l->lane);
	if (!g) {
		follow_probe_again(l->d);
		return;
	}
	store_add(g, &dispatch_queries[DISPATCH_PROBE]);
	store_p_int2(g, (int16_t)l->lane);
	store_p_column(g, c);
	dispatch_ask(l->d, (struct ask){ .lane = l->lane, .epoch = l->epoch, .fn = probed }, g);
}

struct worst {
	int64_t lag;
	size_t out;
};

static void tick_dept(struct dept *t, uint64_t now_ms, struct worst *w)
{
	struct name *n;

	list_for_each (n, &t->names, in_dept) {
		if (!n->peer)
			continue;
		w->lag = MAX(w->lag, t->newest - n->flow.cursor);
		w->out = MAX(w->out, n->flow.n);
	}
	follow_dept(t);
	send_again(t, now_ms);
}

/*
 * Deliveries are numbered in groups that append to the log, so while no lane's head has moved since
 * they were last looked for there are none that nobody told us of.
 */
static bool probe_due(struct dispatch *d, uint64_t now_ms)
{
	int64_t heads = 0;

	if (now_ms + d->limits.probe_ms / 8 < d->probed_ms + d->limits.probe_ms)
		return false;
	for (int i = 0; i < eventlog_lanes(d->service->log); i++)
		heads += eventlog_head(d->service->log, (unsigned)i);
	if (heads == d->probed_heads && now_ms < d->probed_ms + PROBE_ANYWAY_MS)
		return false;
	d->probed_heads = heads;
	d->probed_ms = now_ms;
	return true;
}

void follow_tick(struct dispatch *d, uint64_t now_ms)
{
	bool probing = probe_due(d, now_ms);
	struct worst w = { 0, 0 };
	struct dept *t;

	for (unsigned i = 0; i < LANE_MAX; i++) {
		struct line *l = d->lines[i];

		if (!l || !l->loaded || !d->directory)
			continue;
		if (probing)
			probe(l);
		list_for_each (t, &l->depts, in_line)
			tick_dept(t, now_ms, &w);
	}
	series_set(d->metric[M_LAG], (double)w.lag);
	series_set(d->metric[M_OUT], (double)w.out);
}
