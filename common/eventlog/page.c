/*
 * page - reading the table where the wire has a gap
 *
 * In keyset pages, each a short statement of its own: a month's replay holds no snapshot.
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/eventlog/internal.h"

static int add_page(struct lane *l, const struct rows *r)
{
	size_t n = rows_count(r);
	struct event *events = n ? log_scratch(l->consumer->log, n) : NULL;
	_cleanup_(run_unrefp) struct run *run = NULL;
	int e = 0;

	if (!n)
		return 0;
	if (!events)
		return err_here(-ENOMEM);
	for (size_t i = 0; i < n && !e; i++)
		e = read_event_row(r, i, l->index, &events[i]);
	if (!e)
		e = run_new(&run, events, n, l->consumer->ops->types);
	return e ? e : feed_add(&l->feed, run, 0, 0);
}

/*
 * The page was not full: it ends at the newest event. Whatever claimed that there is more, and was
 * heard before the page was asked for, lied.
 */
static void page_ended(struct lane *l, int64_t last)
{
	struct log_lane *info = lane_info(l);

	l->catching_up = false;
	if (info->head != l->read_head || info->head <= last)
		return;
	info->head = last;
	if (l->feed.n && l->feed.runs[l->feed.head]->events[0].seq > last)
		feed_fini(&l->feed);
}

static void on_page(void *ctx, const struct answer *a)
{
	struct lane *l = ctx;
	struct consumer *c = l->consumer;
	const struct rows *r;
	size_t n;

	if (a->verdict) {
		lane_failed(l, a);
		return;
	}
	r = a->rows[0];
	n = rows_count(r);
	series_add(c->reads, 1);
	series_add(c->read_events, (double)n);
	l->gap_until_ms = 0;
	l->catching_up = true;
	if (n && rows_int(r, 0, 0) != line_next(&lane_info(l)->line, l->seen)) {
		/* a rewind that we haven't heard of, or a hole in the log */
		if (++l->conflicts > CONFLICTS_MAX)
			lane_stop(l, "gap", "the log is not dense");
		else
			lane_back_off(l, true);
		return;
	}
	if (add_page(l, r)) {
		lane_back_off(l, true);
		return;
	}
	if (n < (size_t)c->log->set.page_events)
		page_ended(l, n ? rows_int(r, n - 1, 0) : l->seen);
	lane_idle(l);
}

void lane_read_page(struct lane *l)
{
	struct consumer *c = l->consumer;
	struct store_group *g = NULL;
	int r = store_group_new(&g, lane_store(l));

	l->state = LANE_READING;
	l->read_head = lane_info(l)->head;
	if (!r) {
		store_add(g, query(EVENTLOG_PAGE));
		store_p_int2(g, (int16_t)l->index);
		store_p_int8(g, l->seen);
		store_p_int4(g, c->log->set.page_events);
		store_p_int8(g, (int64_t)c->ops->types);
		r = log_submit(c->log, g, on_page, l);
	}
	if (r)
		lane_retry(l, r);
}
