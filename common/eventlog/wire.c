/*
 * wire - see wire.h
 *
 * protobuf-c allocates for every field and checks little. Here it allocates from an arena that is
 * emptied by the next frame: no malloc a field, and a frame that would swell to more than the
 * arena is simply malformed.
 */
#include <errno.h>
#include <stdio.h>
#include "centraleta/v1/wire.pb-c.h"
#include "common/base/err.h"
#include "common/base/ids.h"
#include "common/base/text.h"
#include "common/eventlog/wire.h"

enum { ARENA_BYTES = 2 << 20, ALIGN = 16 };

struct wire {
	ProtobufCAllocator allocator;
	uint8_t *arena;
	size_t used;
	struct buf out;
	Centraleta__V1__StoredEvent stored[WIRE_EVENTS_MAX];
	Centraleta__V1__StoredEvent *pointers[WIRE_EVENTS_MAX];
	struct event events[WIRE_EVENTS_MAX];
};

static void *arena_alloc(void *ctx, size_t size)
{
	struct wire *w = ctx;
	size_t at = w->used;

	if (size > ARENA_BYTES - at)
		return NULL;
	w->used = MIN(at + (size + ALIGN - 1) / ALIGN * ALIGN, (size_t)ARENA_BYTES);
	return w->arena + at;
}

static void arena_free(_unused_ void *ctx, _unused_ void *p)
{
}

int wire_new(struct wire **ret)
{
	_cleanup_(wire_freep) struct wire *w = calloc(1, sizeof(*w));

	if (!w)
		return err_here(-ENOMEM);
	w->arena = malloc(ARENA_BYTES);
	if (!w->arena)
		return err_here(-ENOMEM);
	w->allocator = (ProtobufCAllocator){ arena_alloc, arena_free, w };
	*ret = steal(w);
	return 0;
}

void wire_free(struct wire *w)
{
	if (!w)
		return;
	buf_fini(&w->out);
	free(w->arena);
	free(w);
}

const char *wire_prefix(enum wire_kind kind)
{
	static const char *const prefixes[] = { "lane/", "type/", "soon/" };

	return prefixes[kind];
}

void wire_topic(enum wire_kind kind, unsigned n, char ret[static 16])
{
	snprintf(ret, 16, "%s%u/", wire_prefix(kind), n);
}

/* ---- out ---------------------------------------------------------------------------------- */

size_t wire_fit(const struct event *events, size_t n)
{
	size_t bytes = 0, i;

	for (i = 0; i < n && i < WIRE_EVENTS_MAX; i++) {
		bytes += events[i].body.len;
		if (i && bytes > WIRE_BYTES_MAX)
			break;
	}
	return i;
}

static int pack(struct wire *w, Centraleta__V1__WireFrame *f, struct bytes *ret)
{
	size_t len = centraleta__v1__wire_frame__get_packed_size(f);
	char *at;

	buf_reset(&w->out);
	at = buf_reserve(&w->out, len);
	if (!at)
		return err_here(buf_err(&w->out));
	centraleta__v1__wire_frame__pack(f, (uint8_t *)at);
	*ret = (struct bytes){ .data = (uint8_t *)at, .len = len };
	return 0;
}

static void store_event(const struct event *e, Centraleta__V1__StoredEvent *s)
{
	centraleta__v1__stored_event__init(s);
	s->jurisdiction = e->jurisdiction;
	s->order_key = e->order_key;
	s->key_version = e->key_version;
	s->type = (Centraleta__V1__EventType)e->type;
	s->type_version = e->type_version;
	s->at_us = e->at_us;
	s->actor = (char *)(uintptr_t)e->actor;
	s->trace.data = (uint8_t *)(uintptr_t)e->trace.id;
	s->trace.len = sizeof(e->trace.id);
	s->body.data = (uint8_t *)(uintptr_t)e->body.data;
	s->body.len = e->body.len;
}

int wire_committed(struct wire *w, unsigned lane, int32_t generation, int64_t first_seq,
		   const struct event *events, size_t n, struct bytes *ret)
{
	Centraleta__V1__Committed c = CENTRALETA__V1__COMMITTED__INIT;
	Centraleta__V1__WireFrame f = CENTRALETA__V1__WIRE_FRAME__INIT;

	assert(n > 0 && n <= WIRE_EVENTS_MAX);
	for (size_t i = 0; i < n; i++) {
		store_event(&events[i], &w->stored[i]);
		w->pointers[i] = &w->stored[i];
	}
	c.generation = generation;
	c.lane = (int32_t)lane;
	c.first_seq = first_seq;
	c.n_events = n;
	c.events = w->pointers;
	f.frame_case = CENTRALETA__V1__WIRE_FRAME__FRAME_COMMITTED;
	f.committed = &c;
	return pack(w, &f, ret);
}

int wire_head(struct wire *w, unsigned lane, int32_t generation, int64_t seq, struct bytes *ret)
{
	Centraleta__V1__Head h = CENTRALETA__V1__HEAD__INIT;
	Centraleta__V1__WireFrame f = CENTRALETA__V1__WIRE_FRAME__INIT;

	h.generation = generation;
	h.lane = (int32_t)lane;
	h.seq = seq;
	f.frame_case = CENTRALETA__V1__WIRE_FRAME__FRAME_HEAD;
	f.head = &h;
	return pack(w, &f, ret);
}

/* ---- in ----------------------------------------------------------------------------------- */

static const char *read_event(const Centraleta__V1__StoredEvent *s, struct event *e)
{
	size_t actor = strlen(s->actor);

	if (s->jurisdiction <= 0)
		return "jurisdiction";
	if (s->order_key <= 0)
		return "order_key";
	if (s->key_version < 0)
		return "key_version";
	if ((int)s->type <= 0 || (int)s->type > INT16_MAX)
		return "type";
	if (s->type_version <= 0 || s->type_version > INT16_MAX)
		return "type_version";
	if (s->at_us <= 0)
		return "at_us";
	if (!actor || actor > WIRE_ACTOR_MAX || !text_valid(s->actor, actor) ||
	    text_has_control(s->actor, actor))
		return "actor";
	if (s->trace.len != sizeof(e->trace.id))
		return "trace";
	if (s->body.len > WIRE_BODY_MAX)
		return "body";
	*e = (struct event){
		.type = (int16_t)s->type,
		.type_version = (int16_t)s->type_version,
		.jurisdiction = s->jurisdiction,
		.key_version = s->key_version,
		.order_key = s->order_key,
		.at_us = s->at_us,
		.actor = s->actor,
		.body = { .data = s->body.data, .len = s->body.len },
	};
	memcpy(e->trace.id, s->trace.data, sizeof(e->trace.id));
	return NULL;
}

static const char *read_events(struct wire *w, const Centraleta__V1__Committed *c)
{
	for (size_t i = 0; i < c->n_events; i++) {
		const char *why = read_event(c->events[i], &w->events[i]);

		if (why)
			return why;
		w->events[i].lane = (int16_t)c->lane;
		w->events[i].seq = c->first_seq + (int64_t)i;
	}
	return NULL;
}

static const char *read_position(int32_t lane, int32_t generation, int64_t seq, int64_t seq_min,
				 struct wire_frame *ret)
{
	if (lane < 0 || lane >= LANE_MAX)
		return "lane";
	if (generation <= 0)
		return "generation";
	if (seq < seq_min || seq > INT64_MAX - WIRE_EVENTS_MAX)
		return "seq";
	*ret = (struct wire_frame){
		.lane = (unsigned)lane,
		.generation = generation,
		.seq = seq,
	};
	return NULL;
}

static const char *read_committed(struct wire *w, const Centraleta__V1__Committed *c,
				  struct wire_frame *ret)
{
	const char *why = read_position(c->lane, c->generation, c->first_seq, 1, ret);

	if (!why && (!c->n_events || c->n_events > WIRE_EVENTS_MAX))
		why = "events";
	if (!why)
		why = read_events(w, c);
	ret->events = w->events;
	ret->n = c->n_events;
	return why;
}

static const char *read_frame(struct wire *w, const Centraleta__V1__WireFrame *f,
			      struct wire_frame *ret)
{
	switch (f->frame_case) {
	case CENTRALETA__V1__WIRE_FRAME__FRAME_COMMITTED:
		return read_committed(w, f->committed, ret);
	case CENTRALETA__V1__WIRE_FRAME__FRAME_HEAD:
		return read_position(f->head->lane, f->head->generation, f->head->seq, 0, ret);
	default:
		return "frame";
	}
}

/* a frame of WIRE_TYPE holds events of its type alone */
static bool one_type(const struct wire_frame *f)
{
	for (size_t i = 1; i < f->n; i++)
		if (f->events[i].type != f->events[0].type)
			return false;
	return f->n > 0;
}

static bool read_topic(struct bytes topic, struct wire_frame *ret)
{
	char want[16];

	for (ret->kind = WIRE_LANE; ret->kind <= WIRE_SOON; ret->kind++) {
		if (ret->kind == WIRE_TYPE && !one_type(ret))
			continue;
		wire_topic(ret->kind, ret->kind == WIRE_TYPE ? (unsigned)ret->events[0].type : ret->lane, want);
		if (topic.len == strlen(want) && !memcmp(topic.data, want, topic.len))
			return true;
	}
	return false;
}

const char *wire_read(struct wire *w, struct bytes topic, struct bytes body, struct wire_frame *ret)
{
	Centraleta__V1__WireFrame *f;
	const char *why;

	w->used = 0;
	f = centraleta__v1__wire_frame__unpack(&w->allocator, body.len, body.data);
	if (!f)
		return "protobuf";
	why = read_frame(w, f, ret);
	if (why)
		return why;
	return read_topic(topic, ret) ? NULL : "topic";
}
