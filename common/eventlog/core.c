/*
 * core - see core.h; links alone
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/eventlog/core.h"

enum { BACKOFF_FIRST_MS = 20, KEYS_FIRST = 16 };

/* ---- numbers of a lane -------------------------------------------------------------------- */

int64_t line_next(const struct line *l, int64_t last)
{
	return last == l->after ? l->base + 1 : last + 1;
}

enum frame_use frame_use(const struct line *l, int64_t last, int32_t generation, int64_t first,
			 size_t n)
{
	int64_t next = line_next(l, last);

	if (!l->generation || generation != l->generation)
		return FRAME_FOREIGN;
	if (first > next)
		return FRAME_AHEAD;
	return first + (int64_t)n > next ? FRAME_TAKE : FRAME_STALE;
}

/* ---- what a lane does next ---------------------------------------------------------------- */

static enum lane_action events_action(const struct lane_view *v)
{
	if (v->next_here)
		return DO_TAKE;
	if (v->head <= v->seen)
		return DO_REST;
	if (v->catching_up || (v->gap_until_ms && v->now_ms >= v->gap_until_ms))
		return DO_READ;
	return DO_AWAIT;
}

enum lane_action lane_action(const struct lane_view *v)
{
	enum lane_action a = v->log ? events_action(v) : DO_REST;
	bool busy = v->kicked || a == DO_TAKE;

	if (v->replay && !(v->replayed && busy))
		return DO_REPLAY;
	if (busy)
		return DO_TAKE;
	if (v->stored < v->seen && v->skip_at_ms && v->now_ms >= v->skip_at_ms)
		return DO_STORE_SKIP;
	return a;
}

/* ---- a bad event in a batch --------------------------------------------------------------- */

void search_failed(struct search *s, size_t n, int64_t last)
{
	s->limit = MAX(n / 2, (size_t)1);
	s->until = last;
}

void search_passed(struct search *s, int64_t last)
{
	if (!s->limit)
		return;
	if (last >= s->until)
		*s = (struct search){ 0 };
	else /* it is in what is left */
		s->limit = MAX((size_t)(s->until - last) / 2, (size_t)1);
}

/* ---- keys --------------------------------------------------------------------------------- */

/* index of the first that isn't less */
static size_t keys_find(const struct keys *k, int64_t key)
{
	size_t lo = 0, hi = k->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (k->keys[mid] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool keys_has(const struct keys *k, int64_t key)
{
	size_t i = keys_find(k, key);

	return i < k->n && k->keys[i] == key;
}

int keys_add(struct keys *k, int64_t key)
{
	size_t i = keys_find(k, key);

	if (i < k->n && k->keys[i] == key)
		return 0;
	if (k->n >= k->max)
		return KEYS_E_FULL;
	/* room grows by doubling, at powers of two */
	if (k->n == 0 || (k->n >= KEYS_FIRST && !(k->n & (k->n - 1)))) {
		size_t cap = k->n ? k->n * 2 : KEYS_FIRST;
		int64_t *p = realloc(k->keys, cap * sizeof(*p));

		if (!p)
			return err_here(-ENOMEM);
		k->keys = p;
	}
	memmove(&k->keys[i + 1], &k->keys[i], (k->n - i) * sizeof(*k->keys));
	k->keys[i] = key;
	k->n++;
	return 0;
}

void keys_del(struct keys *k, int64_t key)
{
	size_t i = keys_find(k, key);

	if (i == k->n || k->keys[i] != key)
		return;
	k->n--;
	memmove(&k->keys[i], &k->keys[i + 1], (k->n - i) * sizeof(*k->keys));
	/* keys_add() sizes by n: what shrank is sized anew there */
	if (k->n == 0)
		keys_fini(k);
}

void keys_fini(struct keys *k)
{
	free(k->keys);
	k->keys = NULL;
	k->n = 0;
}

/* ---- shares ------------------------------------------------------------------------------- */

size_t fair_share(size_t lanes, size_t members, size_t rank)
{
	return members ? lanes / members + (rank < lanes % members) : 0;
}

static size_t take_of(const enum standing *standing, size_t lanes, enum standing which, size_t room,
		      uint32_t *take)
{
	for (size_t i = 0; i < lanes && room; i++)
		if (standing[i] == which) {
			*take |= UINT32_C(1) << i;
			room--;
		}
	return room;
}

struct lease_plan lease_plan(const enum standing *standing, size_t lanes, size_t share)
{
	struct lease_plan plan = { 0 };
	size_t held = 0, room;

	for (size_t i = 0; i < lanes; i++)
		held += standing[i] == LEASE_MINE;
	for (size_t i = lanes; i-- > 0 && held > share;)
		if (standing[i] == LEASE_MINE) {
			plan.release |= UINT32_C(1) << i;
			held--;
		}
	room = share - MIN(held, share);
	room = take_of(standing, lanes, LEASE_FORMER, room, &plan.take);
	room = take_of(standing, lanes, LEASE_FREE, room, &plan.take);
	take_of(standing, lanes, LEASE_DEAD, room, &plan.take);
	return plan;
}

/* ---- waiting ------------------------------------------------------------------------------ */

unsigned backoff_ms(unsigned attempt, unsigned cap_ms, uint32_t random)
{
	uint64_t ms = (uint64_t)BACKOFF_FIRST_MS << MIN(attempt, 20u);

	ms = MIN(ms, (uint64_t)cap_ms);
	return (unsigned)(ms / 2 + random % (ms / 2 + 1));
}

unsigned jitter_ms(unsigned value_ms, uint32_t random)
{
	unsigned tenth = value_ms / 10;

	return value_ms - tenth + (tenth ? random % (2 * tenth + 1) : 0);
}
