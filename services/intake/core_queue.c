/*
 * core_queue - a ring of towns that have something waiting, each with a ring of entries
 *
 * The ring holds only towns that wait, so finding a town's place is as long as the number of towns
 * that compete at this moment. An emptied town is kept for the next entry: nothing is allocated in
 * steady running, and queue_return() always finds its town.
 */
#include <errno.h>
#include "common/base/err.h"
#include "services/intake/core_queue.h"

struct line { /* of one town */
	struct list link; /* in waiting or in idle */
	struct list entries;
	int32_t town;
};

struct queue {
	struct list waiting, idle; /* lines */
	size_t n;
};

int queue_new(struct queue **ret)
{
	struct queue *q = calloc(1, sizeof(*q));

	if (!q)
		return err_here(-ENOMEM);
	list_init(&q->waiting);
	list_init(&q->idle);
	*ret = q;
	return 0;
}

static void free_lines(struct list *lines)
{
	struct line *l;

	list_for_each(l, lines, link)
		free(l);
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	assert(q->n == 0);
	free_lines(&q->waiting);
	free_lines(&q->idle);
	free(q);
}

static struct line *line_in(struct list *lines, int32_t town)
{
	struct line *l;

	list_for_each(l, lines, link)
		if (l->town == town)
			return l;
	return NULL;
}

/* the town's line, in waiting; NULL: out of memory */
static struct line *line_of(struct queue *q, int32_t town)
{
	struct line *l = line_in(&q->waiting, town);

	if (l)
		return l;
	l = line_in(&q->idle, town);
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l)
			return NULL;
		l->town = town;
		list_init(&l->entries);
		list_init(&l->link);
	}
	list_del(&l->link);
	list_add_tail(&q->waiting, &l->link);
	return l;
}

int queue_add(struct queue *q, struct entry *e)
{
	struct line *l = line_of(q, e->town);

	if (!l)
		return err_here(-ENOMEM);
	list_add_tail(&l->entries, &e->link);
	q->n++;
	return 0;
}

void queue_return(struct queue *q, struct entry *e)
{
	struct line *l = line_of(q, e->town);

	assert(l); /* its line was made when it was added */
	list_add_head(&l->entries, &e->link);
	q->n++;
}

size_t queue_length(const struct queue *q)
{
	return q->n;
}

static struct entry *pop(struct queue *q, struct line *l)
{
	struct entry *e = list_entry(l->entries.next, struct entry, link);

	list_del(&e->link);
	q->n--;
	list_del(&l->link);
	list_add_tail(list_empty(&l->entries) ? &q->idle : &q->waiting, &l->link);
	return e;
}

static bool surveys(const struct entry *e)
{
	return e->kind == ENTRY_SURVEY;
}

static int by_key(const void *a, const void *b)
{
	return entry_compare(*(struct entry *const *)a, *(struct entry *const *)b);
}

/* sorts, and sends later ones of equal keys back */
static size_t settle(struct queue *q, struct entry **out, size_t n)
{
	size_t kept = 0;

	qsort(out, n, sizeof(*out), by_key);
	for (size_t i = 0; i < n; i++) {
		if (kept && !entry_compare(out[kept - 1], out[i]))
			queue_return(q, out[i]);
		else
			out[kept++] = out[i];
	}
	return kept;
}

size_t queue_take(struct queue *q, struct entry **out, size_t max)
{
	size_t n = 0, skipped = 0;

	while (n < max && !list_empty(&q->waiting)) {
		struct line *l = list_entry(q->waiting.next, struct line, link);
		struct entry *head = list_entry(l->entries.next, struct entry, link);

		if (n && surveys(head) != surveys(out[0])) {
			/* not in this group; when all heads are of the other kind, it is full */
			if (++skipped > q->n)
				break;
			list_del(&l->link);
			list_add_tail(&q->waiting, &l->link);
			continue;
		}
		skipped = 0;
		out[n++] = pop(q, l);
	}
	return settle(q, out, n);
}

struct entry *queue_expired(struct queue *q, uint64_t now_ms)
{
	struct line *l;

	list_for_each(l, &q->waiting, link)
		if (list_entry(l->entries.next, struct entry, link)->give_up_ms <= now_ms)
			return pop(q, l);
	return NULL;
}
