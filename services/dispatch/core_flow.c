/*
 * out is a queue by due time: what is sent (again) goes to the end, since the interval is one for
 * all, so the first is always the next that becomes overdue.
 */
#include "services/dispatch/core_flow.h"

#include <errno.h>

#include "common/base/err.h"

int flow_init(struct flow *f, size_t limit)
{
	*f = (struct flow){ .limit = limit };
	f->out = calloc(limit, sizeof(*f->out));
	return f->out ? 0 : err_here(-ENOMEM);
}

void flow_fini(struct flow *f)
{
	free(f->out);
	*f = (struct flow){ 0 };
}

void flow_restart(struct flow *f, const struct ack_set *acked)
{
	f->cursor = acked->low;
	f->sent_max = MAX(f->sent_max, ack_set_max(acked));
	f->replay_to = 0;
	f->credit = 0;
	f->n = 0;
}

void flow_credit(struct flow *f, int more)
{
	assert(more >= 0);
	f->credit = (int)MIN((int64_t)f->limit, (int64_t)f->credit + more);
}

void flow_replay(struct flow *f, int64_t from)
{
	f->replay_to = MAX(f->replay_to, f->cursor);
	f->cursor = MIN(f->cursor, from - 1);
}

int flow_room(const struct flow *f)
{
	return MIN(f->credit, (int)(f->limit - f->n));
}

enum flow_step flow_next(const struct flow *f, const struct ack_set *acked, int64_t dseq)
{
	if (dseq <= f->cursor)
		return FLOW_SKIP;
	if (dseq > f->replay_to && ack_set_has(acked, dseq))
		return FLOW_SKIP;
	return flow_open(f) ? FLOW_SEND : FLOW_STOP;
}

static size_t find_out(const struct flow *f, int64_t dseq)
{
	size_t i = 0;

	while (i < f->n && f->out[i].dseq != dseq)
		i++;
	return i;
}

bool flow_sent(struct flow *f, const struct ack_set *acked, int64_t dseq, uint64_t due_ms)
{
	size_t at = find_out(f, dseq);
	bool again = dseq <= f->sent_max;

	if (at < f->n) {
		memmove(f->out + at, f->out + at + 1, (f->n - at - 1) * sizeof(*f->out));
		f->n--;
	}
	if (dseq > f->cursor) {
		f->cursor = dseq;
		f->credit--;
	}
	if (!ack_set_has(acked, dseq)) {
		assert(f->n < f->limit);
		f->out[f->n++] = (struct flow_out){ dseq, due_ms };
	}
	f->sent_max = MAX(f->sent_max, dseq);
	return again;
}

void flow_skipped(struct flow *f, int64_t dseq)
{
	f->cursor = MAX(f->cursor, dseq);
}

void flow_settle(struct flow *f, const struct ack_set *acked)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->n; i++)
		if (!ack_set_has(acked, f->out[i].dseq))
			f->out[kept++] = f->out[i];
	f->n = kept;
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

size_t flow_overdue(const struct flow *f, uint64_t now_ms, int64_t *ret, size_t n)
{
	size_t found = 0;

	for (; found < n && found < f->n && f->out[found].due_ms <= now_ms; found++)
		ret[found] = f->out[found].dseq;
	qsort(ret, found, sizeof(*ret), by_number);
	return found;
}

bool flow_is_overdue(const struct flow *f, int64_t dseq, uint64_t now_ms)
{
	size_t at = find_out(f, dseq);

	return at < f->n && f->out[at].due_ms <= now_ms;
}
