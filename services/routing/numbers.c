/*
 * numbers - blocks of ids, asked for ahead of need
 *
 * A question outlives its asker when the daemon ends before the store does: it is an object of its
 * own that the asker lets go of.
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/base/ids.h"
#include "services/routing/numbers.h"
#include "services/routing/tables.h"

struct question {
	struct numbers *asker; /* NULL: gone */
	unsigned lane;
};

struct numbers {
	struct store *control;
	struct id_block blocks[LANE_MAX];
	struct question *asked[LANE_MAX]; /* owned by the store's callback */
};

int numbers_new(struct numbers **ret, struct store *control)
{
	struct numbers *n = calloc(1, sizeof(*n));

	if (!n)
		return err_here(-ENOMEM);
	n->control = control;
	*ret = n;
	return 0;
}

void numbers_free(struct numbers *n)
{
	if (!n)
		return;
	for (unsigned lane = 0; lane < LANE_MAX; lane++)
		if (n->asked[lane])
			n->asked[lane]->asker = NULL;
	free(n);
}

static void numbers_ask(struct numbers *n, unsigned lane);

static void numbers_answered(void *ctx, const struct answer *answer)
{
	_cleanup_(freep) struct question *q = ctx;
	struct numbers *n = q->asker;

	if (!n)
		return;
	n->asked[q->lane] = NULL;
	/* without an answer the next group that needs numbers asks again */
	if (answer->verdict != STORE_OK || rows_count(answer->rows[0]) != 1)
		return;
	id_block_give(&n->blocks[q->lane], rows_int(answer->rows[0], 0, 0));
	numbers_ask(n, q->lane);
}

static void numbers_ask(struct numbers *n, unsigned lane)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	_cleanup_(freep) struct question *q = NULL;

	if (n->asked[lane] || !id_block_wants(&n->blocks[lane]))
		return;
	q = calloc(1, sizeof(*q));
	if (!q || store_group_new(&g, n->control))
		return;
	*q = (struct question){ n, lane };
	store_add(g, &routing_queries[ROUTING_NUMBERS]);
	if (store_submit(g, numbers_answered, q))
		return;
	n->asked[lane] = q;
	steal(g);
	steal(q);
}

size_t numbers_left(struct numbers *n, unsigned lane)
{
	numbers_ask(n, lane);
	return id_block_left(&n->blocks[lane]);
}

int64_t numbers_take(struct numbers *n, unsigned lane)
{
	int64_t number = id_block_take(&n->blocks[lane]);

	return number ? id_make(number, lane) : 0;
}
