/*
 * decide - which messages an event asks for
 *
 * Decided once, in the consumer's own group: the row of `message` is unique for event, kind and
 * channel. A citizen without an address, or a town without a sender, gets a row of channel 0,
 * which says so and is never sent. The sender is no consumer of the log: a dead mail server holds
 * up no lane (reliability R21).
 */
#include "services/notification/decide.h"

#include <errno.h>

#include "common/base/err.h"
#include "common/base/log.h"

struct decider {
	struct service *svc;
	int metrics_base;
	struct sender *sender;
	struct consumer *consumer;
};

struct due_columns {
	struct column *seq, *request, *jurisdiction, *kind, *trace;
};

static void due_columns_fini(struct due_columns *c)
{
	column_free(c->seq);
	column_free(c->request);
	column_free(c->jurisdiction);
	column_free(c->kind);
	column_free(c->trace);
}

static int due_columns_init(struct due_columns *c)
{
	int r = column_new(&c->seq, COLUMN_INT8);

	if (!r)
		r = column_new(&c->request, COLUMN_INT8);
	if (!r)
		r = column_new(&c->jurisdiction, COLUMN_INT4);
	if (!r)
		r = column_new(&c->kind, COLUMN_INT2);
	if (!r)
		r = column_new(&c->trace, COLUMN_BYTEA);
	return r;
}

/* -EBADMSG: an event that can't be read */
static int fill(struct due_columns *c, const struct batch *b)
{
	for (size_t i = 0; i < batch_count(b); i++) {
		const struct event *e = batch_event(b, i);
		Centraleta__V1__MessageKind kind;
		int r = core_message_of_event(e->type, e->body, &kind);

		if (r)
			return r;
		if (kind == CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_UNSPECIFIED)
			continue;
		column_int(c->seq, e->seq);
		column_int(c->request, e->order_key);
		column_int(c->jurisdiction, e->jurisdiction);
		column_int(c->kind, (int64_t)kind);
		column_bytea(c->trace, e->trace.id, sizeof(e->trace.id));
	}
	return 0;
}

static void add_decision(struct batch *b, struct due_columns *c)
{
	struct store_group *g = batch_group(b);

	store_add(g, &notification_queries[NOTE_DECIDE]);
	store_p_int2(g, (int16_t)batch_lane(b));
	store_p_column(g, c->seq);
	store_p_column(g, c->request);
	store_p_column(g, c->jurisdiction);
	store_p_column(g, c->kind);
	store_p_column(g, c->trace);
	if (!batch_alone(b))
		return;
	/* an event that was parked: the sender may have gone by */
	store_add(g, &notification_queries[NOTE_MARK_BACK]);
	store_p_int2(g, (int16_t)batch_lane(b));
	store_p_int8(g, batch_event(b, 0)->seq);
}

static void take(void *ctx, struct batch *b)
{
	_cleanup_(due_columns_fini) struct due_columns c = { 0 };
	int r = due_columns_init(&c);

	(void)ctx;
	if (!r)
		r = fill(&c, b);
	if (r == -EBADMSG) {
		batch_park(b, "event body can't be read");
		return;
	}
	if (r) {
		batch_retry(b, 100);
		return;
	}
	if (column_count(c.seq)) {
		add_decision(b, &c);
		batch_set_user(b, b, NULL);
	}
	batch_commit(b);
}

static void tell(struct decider *d, unsigned lane, const struct rows *rows, size_t row)
{
	struct message_row m = {
		.cause_seq = rows_int(rows, row, 0),
		.kind = (int32_t)rows_int(rows, row, 1),
		.request = rows_int(rows, row, 3),
		.jurisdiction = (int32_t)rows_int(rows, row, 4),
		.created_us = rows_time(rows, row, 6),
	};
	bool email = rows_int(rows, row, 2) == CENTRALETA__V1__MESSAGE_CHANNEL__MESSAGE_CHANNEL_EMAIL;
	struct bytes trace = rows_bytes(rows, row, 5);
	bool received = m.kind == CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RECEIVED;
	char hex[33];

	if (trace.len == sizeof(m.trace.id))
		memcpy(m.trace.id, trace.data, trace.len);
	trace_hex(&m.trace, hex);
	log_debug("message.decided", "trace=%s lane=%u seq=%lld kind=%s channel=%s", hex, lane,
		  (long long)m.cause_seq, received ? "received" : "resolved", email ? "email" : "none");
	series_add(metrics_series(d->svc->metrics, d->metrics_base + M_DECIDED,
				  received ? "received" : "resolved", email ? "email" : "none"), 1);
	if (email)
		sender_tell(d->sender, lane, &m);
}

static void committed(void *ctx, struct batch *b, const struct answer *answer, size_t first_result)
{
	struct decider *d = ctx;

	if (!batch_user(b)) /* nothing was asked for */
		return;
	for (size_t i = 0; i < rows_count(answer->rows[first_result]); i++)
		tell(d, batch_lane(b), answer->rows[first_result], i);
}

int decider_new(struct decider **ret, struct service *svc, int metrics_base, struct sender *sender)
{
	const struct consumer_ops ops = {
		.name = "notification",
		.log = true,
		.types = UINT64_C(1) << CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RECEIVED |
			 UINT64_C(1) << CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RESOLVED,
		.linger_ms = (unsigned)config_int(svc->config, "eventlog.linger_ms"),
		.take = take,
		.committed = committed,
	};
	_cleanup_(decider_freep) struct decider *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_here(-ENOMEM);
	d->svc = svc;
	d->metrics_base = metrics_base;
	d->sender = sender;
	r = eventlog_consumer(svc->log, &ops, d, &d->consumer);
	if (r)
		return r;
	*ret = steal(d);
	return 0;
}

void decider_free(struct decider *d)
{
	free(d);
}
