/*
 * An array, not a tree: it holds a few ranges nearly always, and never more than there is credit.
 */
#include "services/dispatch/core_ack.h"

#include <errno.h>

#include "common/base/err.h"

void ack_set_fini(struct ack_set *s)
{
	free(s->ranges);
	*s = (struct ack_set){ 0 };
}

static int make_room(struct ack_set *s)
{
	size_t cap = s->cap ? s->cap * 2 : 8;
	struct ack_range *p;

	if (s->n < s->cap)
		return 0;
	p = realloc(s->ranges, cap * sizeof(*p));
	if (!p)
		return err_here(-ENOMEM);
	s->ranges = p;
	s->cap = cap;
	return 0;
}

/* index of the first range that ends at dseq or behind it */
static size_t find(const struct ack_set *s, int64_t dseq)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->ranges[mid].last < dseq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void drop(struct ack_set *s, size_t at, size_t n)
{
	memmove(s->ranges + at, s->ranges + at + n, (s->n - at - n) * sizeof(*s->ranges));
	s->n -= n;
}

/* the mark moves to last and over every range that it meets */
static void raise_low(struct ack_set *s, int64_t last)
{
	size_t n = 0;

	s->low = MAX(s->low, last);
	for (; n < s->n && s->ranges[n].first <= s->low + 1; n++)
		s->low = MAX(s->low, s->ranges[n].last);
	if (n)
		drop(s, 0, n);
}

int ack_set_add(struct ack_set *s, int64_t first, int64_t last)
{
	size_t at, end;
	int r;

	assert(first >= 1 && first <= last);
	if (first <= s->low + 1) {
		raise_low(s, last);
		return 0;
	}
	/* at: the first range that touches or lies behind; end: the first that is clear of it */
	at = find(s, first - 1);
	for (end = at; end < s->n && s->ranges[end].first <= last + 1;)
		end++;
	if (at == end) {
		r = make_room(s);
		if (r)
			return r;
		memmove(s->ranges + at + 1, s->ranges + at, (s->n - at) * sizeof(*s->ranges));
		s->ranges[at] = (struct ack_range){ first, last };
		s->n++;
		return 0;
	}
	s->ranges[at].first = MIN(s->ranges[at].first, first);
	s->ranges[at].last = MAX(s->ranges[end - 1].last, last);
	drop(s, at + 1, end - at - 1);
	return 0;
}

int ack_set_copy(const struct ack_set *s, struct ack_set *ret)
{
	struct ack_range *p = calloc(s->n + 1, sizeof(*p));

	if (!p)
		return err_here(-ENOMEM);
	if (s->n)
		memcpy(p, s->ranges, s->n * sizeof(*p));
	*ret = (struct ack_set){ .low = s->low, .ranges = p, .n = s->n, .cap = s->n + 1 };
	return 0;
}

bool ack_set_has(const struct ack_set *s, int64_t dseq)
{
	size_t at;

	if (dseq <= s->low)
		return true;
	at = find(s, dseq);
	return at < s->n && s->ranges[at].first <= dseq;
}

int64_t ack_set_max(const struct ack_set *s)
{
	return s->n ? s->ranges[s->n - 1].last : s->low;
}
