/*
 * run - see run.h
 *
 * A run is one allocation, so that a frame of 256 events costs one malloc and one free, whatever
 * the number of consumers.
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/eventlog/run.h"

static size_t event_bytes(const struct event *e, uint64_t types)
{
	return type_wanted(types, e->type) ? strlen(e->actor) + 1 + e->body.len : 0;
}

/* bodies first: they may want alignment for nobody, actors end in NUL */
static char *copy_event(struct event *to, const struct event *from, uint64_t types, char *at)
{
	size_t actor;

	*to = *from;
	to->actor = "";
	to->body = (struct bytes){ 0 };
	if (!type_wanted(types, from->type))
		return at;
	if (from->body.len)
		memcpy(at, from->body.data, from->body.len);
	to->body = (struct bytes){ .data = (uint8_t *)at, .len = from->body.len };
	at += from->body.len;
	actor = strlen(from->actor) + 1;
	memcpy(at, from->actor, actor);
	to->actor = at;
	return at + actor;
}

int run_new(struct run **ret, const struct event *events, size_t n, uint64_t types)
{
	size_t bytes = 0;
	struct run *r;
	char *at;

	assert(n > 0);
	for (size_t i = 0; i < n; i++)
		bytes += event_bytes(&events[i], types);
	bytes += sizeof(*r) + n * sizeof(*events);
	r = malloc(bytes);
	if (!r)
		return err_here(-ENOMEM);
	r->refs = 1;
	r->n = n;
	r->bytes = bytes;
	at = (char *)&r->events[n];
	for (size_t i = 0; i < n; i++)
		at = copy_event(&r->events[i], &events[i], types, at);
	*ret = r;
	return 0;
}

struct run *run_ref(struct run *r)
{
	r->refs++;
	return r;
}

void run_unref(struct run *r)
{
	if (r && --r->refs == 0)
		free(r);
}

/* ---- the queue ---------------------------------------------------------------------------- */

static int64_t first_of(const struct run *r)
{
	return r->events[0].seq;
}

static int64_t last_of(const struct run *r)
{
	return r->events[r->n - 1].seq;
}

static int make_room(struct feed *f)
{
	size_t cap = f->cap ? f->cap * 2 : 16;
	struct run **p;

	if (f->head) { /* what was taken at the front is room */
		memmove(f->runs, f->runs + f->head, f->n * sizeof(*f->runs));
		f->head = 0;
	}
	if (f->n < f->cap)
		return 0;
	p = realloc(f->runs, cap * sizeof(*p));
	if (!p)
		return err_here(-ENOMEM);
	f->runs = p;
	f->cap = cap;
	return 0;
}

int feed_add(struct feed *f, struct run *r, size_t events_max, size_t bytes_max)
{
	size_t i;
	int e = 0;

	if ((events_max && f->events + r->n > events_max) ||
	    (bytes_max && f->bytes + r->bytes > bytes_max))
		return FEED_E_FULL;
	if (f->head + f->n == f->cap)
		e = make_room(f);
	if (e)
		return e;
	for (i = f->head + f->n; i > f->head && first_of(f->runs[i - 1]) > first_of(r); i--)
		f->runs[i] = f->runs[i - 1];
	f->runs[i] = run_ref(r);
	f->n++;
	f->events += r->n;
	f->bytes += r->bytes;
	return 0;
}

static void drop_front(struct feed *f)
{
	struct run *r = f->runs[f->head];

	f->events -= r->n;
	f->bytes -= r->bytes;
	f->head++;
	f->n--;
	run_unref(r);
}

void feed_drop(struct feed *f, int64_t seq)
{
	while (f->n && last_of(f->runs[f->head]) <= seq)
		drop_front(f);
	if (!f->n)
		f->head = 0;
}

void feed_fini(struct feed *f)
{
	while (f->n)
		drop_front(f);
	free(f->runs);
	*f = (struct feed){ 0 };
}

void feed_start(struct feed_cursor *c, const struct feed *f, const struct line *line, int64_t last)
{
	*c = (struct feed_cursor){ .feed = f, .line = line, .last = last, .run = f->head };
}

const struct event *feed_next(struct feed_cursor *c, struct run **ret_run)
{
	int64_t next = line_next(c->line, c->last);

	for (; c->run < c->feed->head + c->feed->n; c->run++, c->event = 0) {
		struct run *r = c->feed->runs[c->run];

		while (c->event < r->n && r->events[c->event].seq < next)
			c->event++;
		if (c->event == r->n)
			continue;
		if (r->events[c->event].seq > next)
			return NULL;
		*ret_run = r;
		c->last = next;
		return &r->events[c->event++];
	}
	return NULL;
}
