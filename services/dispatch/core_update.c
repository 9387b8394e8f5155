/*
 * Sorted arrays and binary searches: a batch is 256 updates at most, and nothing of it outlives
 * the batch.
 */
#include "services/dispatch/core_update.h"

#include <errno.h>
#include <sodium.h>

#include "common/base/err.h"
#include "common/base/ids.h"
#include "common/domain/state.h"

#define KIND(k) CENTRALETA__V1__UPDATE_KIND__UPDATE_KIND_##k
#define WORK(s) CENTRALETA__V1__WORK_STATE__WORK_STATE_##s
#define REQUEST(s) CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_##s
#define EVENT(t) CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_##t
#define OUTCOME(o) CENTRALETA__V1__OUTCOME__OUTCOME_##o

static void hash_number(crypto_generichash_state *h, int64_t v)
{
	uint8_t b[8];

	for (unsigned i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)((uint64_t)v >> (8 * i));
	crypto_generichash_update(h, b, sizeof(b));
}

static void hash_frame(const Centraleta__V1__Update *f, uint8_t ret[static UPDATE_HASH])
{
	crypto_generichash_state h;

	crypto_generichash_init(&h, NULL, 0, UPDATE_HASH);
	hash_number(&h, f->work_item);
	hash_number(&h, (int64_t)f->kind);
	hash_number(&h, (int64_t)f->outcome);
	hash_number(&h, (int64_t)f->reason);
	hash_number(&h, f->occurred_at_us);
	crypto_generichash_update(&h, (const uint8_t *)f->note, strlen(f->note));
	crypto_generichash_final(&h, ret, UPDATE_HASH);
}

struct update *update_of_frame(const Centraleta__V1__Update *f, const struct speaker *by, int64_t now_us)
{
	size_t note_size = strlen(f->note) + 1, services_size = by->n_services * sizeof(*by->services);
	struct update *u = calloc(1, sizeof(*u) + services_size + note_size);

	if (!u)
		return NULL;
	u->jurisdiction = by->jurisdiction;
	u->department = by->department;
	u->triage = by->triage;
	u->limited = by->services;
	u->n_services = by->n_services;
	if (services_size)
		memcpy(u->services, by->services, services_size);
	u->note = memcpy(u->services + u->n_services, f->note, note_size);
	u->lane = (int16_t)id_lane(f->work_item);
	u->work_item = f->work_item;
	u->occurred_at_us = f->occurred_at_us ? f->occurred_at_us : now_us;
	u->kind = f->kind;
	u->outcome = f->outcome;
	u->reason = f->reason;
	hash_frame(f, u->hash);
	memcpy(u->id, f->update_id, strlen(f->update_id) + 1);
	return u;
}

Centraleta__V1__WorkState update_target(Centraleta__V1__UpdateKind kind)
{
	switch (kind) {
	case KIND(ACCEPT):
		return WORK(ACCEPTED);
	case KIND(PROGRESS):
		return WORK(IN_PROGRESS);
	case KIND(RESOLVE):
		return WORK(RESOLVED);
	case KIND(REFUSE):
		return WORK(REFUSED);
	default:
		return WORK(UNSPECIFIED);
	}
}

/* ---- what was read ------------------------------------------------------------------------- */

void update_view_fini(struct update_view *v)
{
	free(v->items);
	free(v->requests);
	free(v->of_item);
	free(v->of_request);
	free(v->seen);
	*v = (struct update_view){ 0 };
}

/* doubles at powers of two; false: out of memory, remembered */
static bool grow(struct update_view *v, void *array, size_t n, size_t size)
{
	void **p = array, *bigger;

	if (v->err)
		return false;
	if (n & (n - 1) || (n && n < 16))
		return true;
	bigger = reallocarray(*p, n ? n * 2 : 16, size);
	if (!bigger) {
		v->err = err_here(-ENOMEM);
		return false;
	}
	*p = bigger;
	return true;
}

void update_view_request(struct update_view *v, int64_t work_item, const struct request_now *r)
{
	if (!grow(v, &v->requests, v->n_requests, sizeof(*v->requests)) ||
	    !grow(v, &v->of_item, v->n_of_item, sizeof(*v->of_item)))
		return;
	v->requests[v->n_requests++] = *r;
	v->of_item[v->n_of_item++] = (struct link){ work_item, r->request };
}

void update_view_item(struct update_view *v, int64_t request, const struct item_now *i)
{
	if (!grow(v, &v->items, v->n_items, sizeof(*v->items)) ||
	    !grow(v, &v->of_request, v->n_of_request, sizeof(*v->of_request)))
		return;
	v->items[v->n_items++] = *i;
	v->of_request[v->n_of_request++] = (struct link){ request, i->work_item };
}

void update_view_seen(struct update_view *v, size_t update, const void *hash)
{
	if (!grow(v, &v->seen, v->n_seen, sizeof(*v->seen)))
		return;
	v->seen[v->n_seen].update = update;
	memcpy(v->seen[v->n_seen++].hash, hash, UPDATE_HASH);
}

/* all sorted things here begin with the number they are sorted by */
static int by_first(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int by_link(const void *a, const void *b)
{
	const struct link *x = a, *y = b;
	int r = by_first(&x->from, &y->from);

	return r ? r : by_first(&x->to, &y->to);
}

static size_t unique(void *array, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
	uint8_t *p = array;
	size_t kept = 0;

	if (!n)
		return 0;
	qsort(array, n, size, cmp);
	for (size_t i = 1; i < n; i++)
		if (cmp(p + i * size, p + kept * size) && ++kept != i)
			memcpy(p + kept * size, p + i * size, size);
	return kept + 1;
}

static_assert(offsetof(struct item_now, work_item) == 0, "by_first");
static_assert(offsetof(struct request_now, request) == 0, "by_first");

int update_view_seal(struct update_view *v)
{
	if (v->err)
		return v->err;
	v->n_items = unique(v->items, v->n_items, sizeof(*v->items), by_first);
	v->n_requests = unique(v->requests, v->n_requests, sizeof(*v->requests), by_first);
	v->n_of_item = unique(v->of_item, v->n_of_item, sizeof(*v->of_item), by_link);
	v->n_of_request = unique(v->of_request, v->n_of_request, sizeof(*v->of_request), by_link);
	return 0;
}

static void *find(void *array, size_t n, size_t size, int64_t key)
{
	return n ? bsearch(&key, array, n, size, by_first) : NULL;
}

static struct item_now *find_item(const struct update_view *v, int64_t work_item)
{
	return find(v->items, v->n_items, sizeof(*v->items), work_item);
}

/* the run of links that go from key */
static const struct link *find_links(const struct link *links, size_t n, int64_t key, size_t *ret_n)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (links[mid].from < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (hi = lo; hi < n && links[hi].from == key;)
		hi++;
	*ret_n = hi - lo;
	return links + lo;
}

/* ---- deciding ------------------------------------------------------------------------------ */

struct deciding {
	struct update_view *view;
	const struct update *const *updates;
	struct update_plan *plan;
	const struct item_now **order; /* scratch: the work items of one request */
	struct work_now *states; /* scratch, the same */
	int64_t clock; /* grows with every change, so that the last is known within a batch too */
};

void update_plan_fini(struct update_plan *p)
{
	free(p->decisions);
	free(p->changes);
	*p = (struct update_plan){ 0 };
}

static int by_age(const void *a, const void *b)
{
	const struct item_now *const *x = a, *const *y = b;
	int r = by_first(&(*x)->updated_at_us, &(*y)->updated_at_us);

	return r ? r : by_first(&(*x)->work_item, &(*y)->work_item);
}

static void derive(struct deciding *d, int64_t request, Centraleta__V1__RequestState *ret_state,
		   Centraleta__V1__Outcome *ret_outcome)
{
	struct update_view *v = d->view;
	size_t n, known = 0;
	const struct link *l = find_links(v->of_request, v->n_of_request, request, &n);

	for (size_t i = 0; i < n; i++) {
		d->order[known] = find_item(v, l[i].to);
		if (d->order[known])
			known++;
	}
	qsort(d->order, known, sizeof(*d->order), by_age);
	for (size_t i = 0; i < known; i++)
		d->states[i] = (struct work_now){ d->order[i]->state, d->order[i]->outcome };
	state_of_request(d->states, known, ret_state, ret_outcome);
}

static Centraleta__V1__EventType work_event(Centraleta__V1__UpdateKind kind)
{
	switch (kind) {
	case KIND(ACCEPT):
		return EVENT(WORK_ACCEPTED);
	case KIND(PROGRESS):
		return EVENT(WORK_PROGRESSED);
	case KIND(RESOLVE):
		return EVENT(WORK_RESOLVED);
	default:
		return EVENT(WORK_REFUSED);
	}
}

/* a request is resolved when the last of its work items is: until then it went on */
static Centraleta__V1__EventType request_event(Centraleta__V1__UpdateKind kind,
					       Centraleta__V1__RequestState state)
{
	switch (kind) {
	case KIND(ACCEPT):
		return EVENT(REQUEST_ACCEPTED);
	case KIND(RESOLVE):
		return state_request_closed(state) ? EVENT(REQUEST_RESOLVED) :
						     EVENT(REQUEST_PROGRESSED);
	case KIND(REFUSE):
		return EVENT(REQUEST_REFUSED);
	default:
		return EVENT(REQUEST_PROGRESSED);
	}
}

static void change_request(struct deciding *d, const struct update *u, struct request_now *r)
{
	struct change *c = &d->plan->changes[d->plan->n_changes++];

	*c = (struct change){ .update = u, .of_request = true, .key = r->request,
			      .jurisdiction = r->jurisdiction, .key_version = ++r->key_version,
			      .trace = r->trace };
	derive(d, r->request, &c->state.request, &c->outcome);
	if (u->kind == KIND(REFUSE) && state_request_closed(c->state.request)) {
		/* another work item follows for the one refused: the request isn't over */
		c->state.request = REQUEST(RECEIVED);
		c->outcome = OUTCOME(UNSPECIFIED);
	}
	c->type = request_event(u->kind, c->state.request);
}

static void change_item(struct deciding *d, const struct update *u, struct item_now *i)
{
	struct update_view *v = d->view;
	size_t n, at = d->plan->n_changes++;
	const struct link *l = find_links(v->of_item, v->n_of_item, i->work_item, &n);
	struct request_now *r;
	struct trace trace = { 0 };

	i->state = update_target(u->kind);
	i->outcome = u->kind == KIND(REFUSE) ? OUTCOME(NOT_OURS) : u->outcome;
	i->key_version++;
	i->updated_at_us = d->clock++;
	i->changed = true;
	for (size_t k = 0; k < n; k++) {
		r = find(v->requests, v->n_requests, sizeof(*v->requests), l[k].to);
		if (!k)
			trace = r->trace;
		change_request(d, u, r);
	}
	d->plan->changes[at] = (struct change){ .update = u, .key = i->work_item,
						.jurisdiction = i->jurisdiction,
						.key_version = i->key_version,
						.type = work_event(u->kind), .trace = trace,
						.state.work = i->state, .outcome = i->outcome };
}

static const char *state_name(Centraleta__V1__WorkState s)
{
	switch (s) {
	case WORK(OPEN):
		return "open";
	case WORK(ACCEPTED):
		return "accepted";
	case WORK(IN_PROGRESS):
		return "in progress";
	case WORK(RESOLVED):
		return "resolved";
	case WORK(REFUSED):
		return "refused";
	default:
		return "unknown";
	}
}

static bool may_change(const struct update *u, int32_t service)
{
	for (size_t i = 0; i < u->n_services; i++)
		if (u->services[i] == service)
			return true;
	return !u->limited;
}

static bool decide_new(struct deciding *d, const struct update *u, struct refusal *ret)
{
	struct item_now *i = find_item(d->view, u->work_item);
	Centraleta__V1__WorkState to = update_target(u->kind);

	if (!i || i->department != u->department)
		return refuse(ret, REFUSED_FOREIGN, "work_item: not one of this department");
	if (!may_change(u, i->service))
		return refuse(ret, REFUSED_FOREIGN, "work_item: the key isn't for its service");
	if (u->kind == KIND(REFUSE) && u->triage)
		return refuse(ret, REFUSED_INVALID,
			      "kind: the triage department can't refuse; resolve it with an outcome");
	if (to == WORK(UNSPECIFIED))
		return true;
	if (!state_may_change(i->state, to))
		return refuse(ret, REFUSED_CONFLICT, "kind: the work item is %s, it can't become %s",
			      state_name(i->state), state_name(to));
	change_item(d, u, i);
	return true;
}

/* the same update_id, stored or taken earlier in this batch; NULL: it is new */
static const uint8_t *find_same(const struct deciding *d, size_t at, bool *ret_in_batch)
{
	const struct update *u = d->updates[at];

	*ret_in_batch = false;
	for (size_t i = 0; i < at; i++) {
		const struct update *e = d->updates[i];

		if (d->plan->decisions[i].taken && e->lane == u->lane &&
		    e->department == u->department && !strcmp(e->id, u->id)) {
			*ret_in_batch = true;
			return e->hash;
		}
	}
	for (size_t i = 0; i < d->view->n_seen; i++)
		if (d->view->seen[i].update == at)
			return d->view->seen[i].hash;
	return NULL;
}

static void decide_one(struct deciding *d, size_t at)
{
	struct decision *ret = &d->plan->decisions[at];
	const struct update *u = d->updates[at];
	bool in_batch;
	const uint8_t *same = find_same(d, at, &in_batch);

	if (!same) {
		ret->taken = ret->store = decide_new(d, u, &ret->refusal);
		return;
	}
	if (memcmp(same, u->hash, UPDATE_HASH)) {
		(void)refuse(&ret->refusal, REFUSED_CONFLICT,
			     "update_id: was used for another update");
		return;
	}
	ret->taken = ret->repeat = true;
	ret->store = !in_batch;
}

/* the most events that n updates can make: one for the work item, one for each of its requests */
static size_t changes_max(const struct update_view *v, const struct update *const *updates, size_t n)
{
	size_t sum = 0, linked;

	for (size_t i = 0; i < n; i++) {
		(void)find_links(v->of_item, v->n_of_item, updates[i]->work_item, &linked);
		sum += 1 + linked;
	}
	return sum;
}

int update_decide(struct update_view *v, const struct update *const *updates, size_t n,
		  int64_t now_us, struct update_plan *ret)
{
	_cleanup_(freep) const struct item_now **order = calloc(v->n_items + 1, sizeof(*order));
	_cleanup_(freep) struct work_now *states = calloc(v->n_items + 1, sizeof(*states));
	struct update_plan plan = { .decisions = calloc(n + 1, sizeof(*plan.decisions)),
				    .changes = calloc(changes_max(v, updates, n) + 1,
						      sizeof(*plan.changes)) };
	struct deciding d = { .view = v, .updates = updates, .plan = &plan, .order = order,
			      .states = states, .clock = now_us };

	if (!order || !states || !plan.decisions || !plan.changes) {
		update_plan_fini(&plan);
		return err_here(-ENOMEM);
	}
	for (size_t i = 0; i < n; i++)
		decide_one(&d, i);
	*ret = plan;
	return 0;
}
