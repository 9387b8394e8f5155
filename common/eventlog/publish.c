/*
 * publish - telling others, and our own consumers, what is durable
 *
 * Called after the verdict alone. Own consumers get the events without the wire. When traffic on a
 * lane stops its head is repeated, so that whoever missed the last frame learns it soon.
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/eventlog/internal.h"

static const unsigned repeat_ms[] = { 50, 450, 4500 }; /* after 50 ms, 0.5 s, 5 s */

void publish_frame(struct eventlog *log, enum wire_kind kind, unsigned n, struct bytes frame,
		   const char *what)
{
	char topic[16];

	wire_topic(kind, n, topic);
	if (bus_send(log->pub, (struct bytes){ .data = (const uint8_t *)topic, .len = strlen(topic) }, frame))
		what = "failed"; /* a hint that is lost costs a read */
	series_add(log_series(log, M_PUBLISHED, what), 1);
}

void publish_head_again(void *ctx)
{
	struct log_lane *info = ctx;
	struct eventlog *log = info->log;
	struct bytes frame;

	if (!wire_head(log->wire, info->index, info->line.generation, info->head, &frame)) {
		publish_frame(log, WIRE_LANE, info->index, frame, "head");
		publish_frame(log, WIRE_SOON, info->index, frame, "head");
	}
	if (++info->repeats < ARRAY_SIZE(repeat_ms))
		loop_timer_set(info->repeat, repeat_ms[info->repeats]);
}

/* how many at the beginning are of one type */
static size_t one_type(const struct event *events, size_t n)
{
	size_t same = 1;

	while (same < n && events[same].type == events[0].type)
		same++;
	return same;
}

/* to those that wait for a type; part of what goes into one frame */
static void to_hearers(struct eventlog *log, unsigned lane, int generation, const struct event *events,
		       size_t n)
{
	struct bytes frame;

	for (size_t i = 0, same; i < n; i += same) {
		same = one_type(&events[i], n - i);
		if (!wire_committed(log->wire, lane, generation, events[i].seq, &events[i], same, &frame))
			publish_frame(log, WIRE_TYPE, (unsigned)events[i].type, frame, "type");
	}
}

static void to_peers(struct eventlog *log, unsigned lane, int generation, const struct event *events,
		     size_t n)
{
	struct bytes frame;

	for (size_t i = 0, part; i < n; i += part) {
		const struct event *e = &events[i];

		part = wire_fit(e, n - i);
		if (wire_committed(log->wire, lane, generation, e->seq, e, part, &frame))
			continue;
		publish_frame(log, WIRE_LANE, lane, frame, "committed");
		if (one_type(e, part) == part) /* nearly always: the same frame */
			publish_frame(log, WIRE_TYPE, (unsigned)e->type, frame, "type");
		else
			to_hearers(log, lane, generation, e, part);
	}
}

static void to_own(struct eventlog *log, unsigned lane, const struct event *events, size_t n)
{
	_cleanup_(run_unrefp) struct run *run = NULL;

	for_each_consumer(c, log) {
		struct lane *l = &c->lanes[lane];

		consumer_hear(c, events, n);
		if (!c->ops->log || !lane_works(l))
			continue;
		if (!run && run_new(&run, events, n, log->wanted))
			return; /* no memory: read from the table */
		lane_offer(l, run);
	}
}

/* events with seq and at */
static void publish(struct eventlog *log, unsigned lane, int generation, const struct event *events,
		    size_t n)
{
	struct log_lane *info = &log->lanes[lane];

	to_peers(log, lane, generation, events, n);
	soon_add(info, generation, events, n);
	if (generation != info->line.generation) { /* not known yet, or a rewind */
		probe_soon(log);
		return;
	}
	to_own(log, lane, events, n);
	head_seen(log, lane, events[n - 1].seq);
	info->repeats = 0;
	loop_timer_set(info->repeat, repeat_ms[0]);
}

void eventlog_publish(struct eventlog *log, unsigned lane, int generation, int64_t first_seq,
		      const struct event *events, size_t n)
{
	struct event *numbered = n && lane < log->n_lanes ? log_scratch(log, n) : NULL;

	if (!numbered)
		return;
	for (size_t i = 0; i < n; i++) {
		numbered[i] = events[i];
		numbered[i].lane = (int16_t)lane;
		numbered[i].seq = first_seq + (int64_t)i;
	}
	publish(log, lane, generation, numbered, n);
}

/* One row of EVENTLOG_APPEND: the numbers of one lane's events. */
static void publish_lane(struct batch *b, const struct rows *r, size_t row)
{
	struct eventlog *log = b->lane->consumer->log;
	unsigned lane = (unsigned)rows_int(r, row, 0);
	int64_t seq = rows_int(r, row, 2), at_us = rows_time(r, row, 4);
	struct event *numbered = log_scratch(log, b->n_out);
	size_t n = 0;

	for (size_t i = 0; i < b->n_out; i++) {
		struct event *e = &b->out[i];

		if (e->lane != (int16_t)lane)
			continue;
		e->seq = seq++;
		e->at_us = at_us;
		if (numbered)
			numbered[n++] = *e;
	}
	if (n && lane < log->n_lanes)
		publish(log, lane, (int)rows_int(r, row, 1), numbered, n);
}

void publish_appended(struct batch *b, const struct answer *a)
{
	const struct rows *r = b->append_index ? a->rows[b->append_index] : NULL;

	for (size_t i = 0; r && i < rows_count(r); i++)
		publish_lane(b, r, i);
}
