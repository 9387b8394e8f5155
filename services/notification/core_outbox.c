/*
 * core_outbox - a hash by key, a binary heap of those that wait, a list of those that ended
 */
#include "services/notification/core_outbox.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>

#include "common/base/err.h"

#define ORDER_MS 50 /* a message that waits for an older one is looked at again */

struct outbox {
	GHashTable *by_key; /* owns its entries */
	GHashTable *by_request; /* number in an entry to the first of its siblings */
	GPtrArray *heap; /* by due_ms, then age */
	struct list ended;
	size_t under_way;
};

static guint key_hash(gconstpointer p)
{
	const struct out_key *k = p;

	return (guint)((uint64_t)k->cause_seq * 31 + (uint64_t)k->kind);
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	const struct out_key *x = a, *y = b;

	return x->cause_seq == y->cause_seq && x->kind == y->kind;
}

int outbox_new(struct outbox **ret)
{
	struct outbox *o = calloc(1, sizeof(*o));

	if (!o)
		return err_here(-ENOMEM);
	o->by_key = g_hash_table_new_full(key_hash, key_equal, NULL, free);
	o->by_request = g_hash_table_new(g_int64_hash, g_int64_equal);
	o->heap = g_ptr_array_new();
	list_init(&o->ended);
	*ret = o;
	return 0;
}

void outbox_free(struct outbox *o)
{
	if (!o)
		return;
	g_ptr_array_free(o->heap, true);
	g_hash_table_destroy(o->by_request);
	g_hash_table_destroy(o->by_key);
	free(o);
}

int64_t outbox_oldest(const struct outbox *o)
{
	int64_t oldest = INT64_MAX;
	GHashTableIter i;
	gpointer out;

	g_hash_table_iter_init(&i, o->by_key);
	while (g_hash_table_iter_next(&i, NULL, &out))
		oldest = MIN(oldest, ((const struct out *)out)->key.cause_seq);
	return oldest;
}

/* ---- heap --------------------------------------------------------------------------------------- */

static struct out *at(const struct outbox *o, size_t i)
{
	return o->heap->pdata[i];
}

static bool before(const struct out *a, const struct out *b)
{
	return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->key.cause_seq < b->key.cause_seq;
}

static void put(struct outbox *o, size_t i, struct out *out)
{
	o->heap->pdata[i] = out;
	out->heap_at = i;
}

static void rise(struct outbox *o, size_t i)
{
	struct out *out = at(o, i);

	for (; i && before(out, at(o, (i - 1) / 2)); i = (i - 1) / 2)
		put(o, i, at(o, (i - 1) / 2));
	put(o, i, out);
}

static void sink(struct outbox *o, size_t i)
{
	struct out *out = at(o, i);
	size_t child;

	while ((child = 2 * i + 1) < o->heap->len) {
		if (child + 1 < o->heap->len && before(at(o, child + 1), at(o, child)))
			child++;
		if (!before(at(o, child), out))
			break;
		put(o, i, at(o, child));
		i = child;
	}
	put(o, i, out);
}

static void heap_add(struct outbox *o, struct out *out)
{
	g_ptr_array_add(o->heap, out);
	rise(o, o->heap->len - 1);
}

static void heap_remove(struct outbox *o, size_t i)
{
	struct out *last = at(o, o->heap->len - 1);

	g_ptr_array_set_size(o->heap, (gint)o->heap->len - 1);
	if (i == o->heap->len)
		return;
	put(o, i, last);
	rise(o, i);
	sink(o, last->heap_at);
}

/* ---- messages of one request ---------------------------------------------------------------------- */

static struct out *siblings(const struct outbox *o, const struct out *out)
{
	return g_hash_table_lookup(o->by_request, &out->request);
}

static void join(struct outbox *o, struct out *out)
{
	out->sibling = siblings(o, out);
	/* the key lies in the first of them */
	g_hash_table_replace(o->by_request, &out->request, out);
}

static void part(struct outbox *o, struct out *out)
{
	struct out *first = siblings(o, out);

	if (first != out) {
		while (first->sibling != out)
			first = first->sibling;
		first->sibling = out->sibling;
	} else if (out->sibling) {
		g_hash_table_replace(o->by_request, &out->sibling->request, out->sibling);
	} else {
		g_hash_table_remove(o->by_request, &out->request);
	}
}

static bool has_older(const struct outbox *o, const struct out *out)
{
	for (const struct out *s = siblings(o, out); s; s = s->sibling)
		if (s->key.cause_seq < out->key.cause_seq)
			return true;
	return false;
}

/* ---- the one place that moves an entry -------------------------------------------------------------- */

static void move(struct outbox *o, struct out *out, enum out_state to)
{
	if (out->state == OUT_WAITING)
		heap_remove(o, out->heap_at);
	else
		o->under_way--;
	list_del(&out->link);
	out->state = to;
	if (to == OUT_WAITING)
		heap_add(o, out);
	else
		o->under_way++;
	if (to == OUT_ENDED)
		list_add_tail(&o->ended, &out->link);
}

size_t outbox_count(const struct outbox *o)
{
	return g_hash_table_size(o->by_key);
}

uint64_t outbox_next_ms(const struct outbox *o)
{
	return o->heap->len ? at(o, 0)->due_ms : UINT64_MAX;
}

bool outbox_has_ended(const struct outbox *o)
{
	return !list_empty(&o->ended);
}

size_t outbox_under_way(const struct outbox *o)
{
	return o->under_way;
}

struct out *outbox_find(const struct outbox *o, struct out_key key)
{
	return g_hash_table_lookup(o->by_key, &key);
}

int outbox_add(struct outbox *o, const struct out *like, struct out **ret)
{
	struct out *out;

	if (outbox_find(o, like->key))
		return -EEXIST;
	out = malloc(sizeof(*out));
	if (!out)
		return err_here(-ENOMEM);
	*out = *like;
	list_init(&out->link);
	out->state = OUT_WAITING;
	heap_add(o, out);
	join(o, out);
	g_hash_table_insert(o->by_key, &out->key, out);
	*ret = out;
	return 0;
}

void outbox_remove(struct outbox *o, struct out *out)
{
	move(o, out, OUT_PICKED);
	o->under_way--;
	part(o, out);
	g_hash_table_remove(o->by_key, &out->key);
}

void outbox_wait(struct outbox *o, struct out *out, uint64_t due_ms)
{
	move(o, out, OUT_PICKED); /* out of the heap before its time changes */
	out->due_ms = due_ms;
	move(o, out, OUT_WAITING);
}

void outbox_fly(struct outbox *o, struct out *out)
{
	move(o, out, OUT_FLYING);
}

void outbox_end(struct outbox *o, struct out *out, Centraleta__V1__AttemptState end, const char *detail)
{
	move(o, out, OUT_ENDED);
	out->end = end;
	snprintf(out->detail, sizeof(out->detail), "%s", detail);
}

struct out *outbox_pick(struct outbox *o, uint64_t now_ms)
{
	struct out *out;

	while (o->heap->len && (out = at(o, 0))->due_ms <= now_ms) {
		if (has_older(o, out)) {
			outbox_wait(o, out, now_ms + ORDER_MS);
			continue;
		}
		move(o, out, OUT_PICKED);
		return out;
	}
	return NULL;
}

struct out *outbox_store(struct outbox *o)
{
	if (list_empty(&o->ended))
		return NULL;
	struct out *out = list_entry(o->ended.next, struct out, link);

	move(o, out, OUT_STORING);
	return out;
}
