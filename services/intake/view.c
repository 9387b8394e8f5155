/*
 * view - the consumer that keeps request_public from the log
 *
 * A batch is merged to one row a request and one statement. An event whose body can't be read is
 * parked; eventlog looks for it by halving the batch.
 */
#include <errno.h>
#include "services/intake/core_view.h"
#include "services/intake/intake.h"

struct taken {
	struct view view;
	size_t events;
};

static void taken_free(void *p)
{
	struct taken *t = p;

	view_fini(&t->view);
	free(t);
}

static int add_update(struct store_group *g, unsigned lane, const struct view *v)
{
	static const enum column_type types[] = { COLUMN_INT8, COLUMN_INT2, COLUMN_INT2,
						  COLUMN_TIME, COLUMN_INT4, COLUMN_TIME };
	struct column *c[ARRAY_SIZE(types)] = { NULL };
	int r = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(types) && !r; i++)
		r = column_new(&c[i], types[i]);
	for (size_t i = 0; i < v->n && !r; i++) {
		const struct view_change *x = &v->changes[i];

		column_int(c[0], x->request);
		column_int(c[1], x->state);
		column_int(c[2], x->outcome);
		column_time(c[3], x->updated_at_us);
		column_int(c[4], x->department);
		if (x->expected_at_us)
			column_time(c[5], x->expected_at_us);
		else
			column_null(c[5]);
	}
	if (!r) {
		store_add(g, &intake_queries[QUERY_VIEW]);
		store_p_int2(g, (int16_t)lane);
		for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
			store_p_column(g, c[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
		column_free(c[i]);
	return r;
}

static int decide(struct taken *t, struct batch *b)
{
	int r = 0;

	for (size_t i = 0; i < batch_count(b) && !r; i++) {
		const struct event *e = batch_event(b, i);

		r = view_add(&t->view, e->type, e->order_key, e->at_us, e->body);
	}
	t->events = batch_count(b);
	view_sort(&t->view);
	return r;
}

static void take(void *ctx, struct batch *b)
{
	struct taken *t = calloc(1, sizeof(*t));
	int r = t ? view_init(&t->view, batch_count(b)) : -ENOMEM;

	(void)ctx;
	if (r) {
		free(t);
		batch_retry(b, 200);
		return;
	}
	batch_set_user(b, t, taken_free);
	r = decide(t, b);
	if (!r && t->view.n)
		r = add_update(batch_group(b), batch_lane(b), &t->view);
	if (r == -EBADMSG)
		batch_park(b, "body");
	else if (r)
		batch_retry(b, 200);
	else
		batch_commit(b);
}

static void committed(void *ctx, struct batch *b, const struct answer *answer, size_t first_result)
{
	struct intake *in = ctx;
	const struct taken *t = batch_user(b);

	(void)answer;
	(void)first_result;
	if (t)
		series_add(intake_series(in, METRIC_VIEW, NULL, NULL, NULL), (double)t->events);
}

int view_start(struct intake *in)
{
	/* kept by eventlog as long as it lives */
	static struct consumer_ops ops = { .name = "intake", .log = true, .take = take,
					   .committed = committed };

	ops.types = view_types();
	ops.linger_ms = (unsigned)config_int(in->s->config, "eventlog.linger_ms");
	return eventlog_consumer(in->s->log, &ops, in, &in->view);
}
