/*
 * core_view - which event says what to the public
 */
#include <errno.h>
#include "common/base/err.h"
#include "services/intake/core_view.h"
#include "centraleta/v1/event.pb-c.h"

#define TYPE(name) CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_##name
#define STATE(name) CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_##name

uint64_t view_types(void)
{
	return UINT64_C(1) << TYPE(ROUTED) | UINT64_C(1) << TYPE(TRIAGED) |
	       UINT64_C(1) << TYPE(ACCEPTED) | UINT64_C(1) << TYPE(PROGRESSED) |
	       UINT64_C(1) << TYPE(RESOLVED) | UINT64_C(1) << TYPE(REFUSED);
}

int view_init(struct view *v, size_t max)
{
	size_t slots = 16;

	while (slots < max * 2)
		slots *= 2;
	*v = (struct view){ .max = max, .slots_n = slots };
	v->changes = calloc(max ? max : 1, sizeof(*v->changes));
	v->slots = calloc(slots, sizeof(*v->slots));
	if (v->changes && v->slots)
		return 0;
	view_fini(v);
	return err_here(-ENOMEM);
}

void view_fini(struct view *v)
{
	free(v->changes);
	free(v->slots);
	*v = (struct view){ 0 };
}

static struct view_change *change_of(struct view *v, int64_t request)
{
	size_t i = ((uint64_t)request * 0x9e3779b97f4a7c15u >> 32) & (v->slots_n - 1);

	for (; v->slots[i]; i = (i + 1) & (v->slots_n - 1))
		if (v->changes[v->slots[i] - 1].request == request)
			return &v->changes[v->slots[i] - 1];
	assert(v->n < v->max);
	v->changes[v->n] = (struct view_change){ .request = request };
	v->slots[i] = (uint32_t)++v->n;
	return &v->changes[v->n - 1];
}

static int add_route(struct view *v, int64_t request, int64_t at_us, struct bytes body)
{
	Centraleta__V1__RequestRouted *m =
		centraleta__v1__request_routed__unpack(NULL, body.len, body.data);
	struct view_change *c;

	if (!m)
		return err_here(-EBADMSG);
	c = change_of(v, request);
	c->state = STATE(ROUTED);
	c->outcome = 0;
	c->updated_at_us = at_us;
	c->department = m->department;
	c->expected_at_us = m->deadline_us;
	centraleta__v1__request_routed__free_unpacked(m, NULL);
	return 0;
}

static int add_change(struct view *v, int type, int64_t request, int64_t at_us, struct bytes body)
{
	Centraleta__V1__RequestChanged *m =
		centraleta__v1__request_changed__unpack(NULL, body.len, body.data);
	struct view_change *c;

	if (!m)
		return err_here(-EBADMSG);
	c = change_of(v, request);
	/* refused: nobody has it until routing finds another */
	c->state = type == TYPE(REFUSED) ? (int)STATE(RECEIVED) : (int)m->state;
	c->outcome = c->state == STATE(CLOSED) ? (int)m->outcome : 0;
	c->updated_at_us = c->state == STATE(CLOSED) && m->occurred_at_us ? m->occurred_at_us : at_us;
	centraleta__v1__request_changed__free_unpacked(m, NULL);
	return 0;
}

int view_add(struct view *v, int type, int64_t request, int64_t at_us, struct bytes body)
{
	if (type == TYPE(ROUTED) || type == TYPE(TRIAGED))
		return add_route(v, request, at_us, body);
	return add_change(v, type, request, at_us, body);
}

static int by_request(const void *a, const void *b)
{
	const struct view_change *x = a, *y = b;

	return (x->request > y->request) - (x->request < y->request);
}

void view_sort(struct view *v)
{
	qsort(v->changes, v->n, sizeof(*v->changes), by_request);
}
