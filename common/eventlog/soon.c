/*
 * soon - what was committed, told a little later to processes that can wait
 *
 * A frame wakes two threads of every process that it reaches. Where all consumers of a process
 * linger, it listens to "soon/" alone: what was committed here on a lane within gather_ms comes to
 * it at once.
 */
#include "common/base/err.h"
#include "common/eventlog/internal.h"

static void send_run(struct log_lane *info, const struct run *run)
{
	struct eventlog *log = info->log;
	struct bytes frame;

	for (size_t i = 0, part; i < run->n; i += part) {
		const struct event *e = &run->events[i];

		part = wire_fit(e, run->n - i);
		if (!wire_committed(log->wire, info->index, info->soon_generation, e->seq, e, part, &frame))
			publish_frame(log, WIRE_SOON, info->index, frame, "soon");
	}
}

void soon_send(void *ctx)
{
	struct log_lane *info = ctx;

	loop_timer_stop(info->soon_timer);
	for (size_t i = 0; i < info->soon.n; i++)
		send_run(info, info->soon.runs[info->soon.head + i]);
	feed_fini(&info->soon);
}

void soon_add(struct log_lane *info, int32_t generation, const struct event *events, size_t n)
{
	const struct eventlog *log = info->log;
	_cleanup_(run_unrefp) struct run *run = NULL;
	int r = run_new(&run, events, n, UINT64_MAX);

	if (info->soon.n && info->soon_generation != generation)
		soon_send(info);
	info->soon_generation = generation;
	r = r ? r : feed_add(&info->soon, run, WIRE_EVENTS_MAX, WIRE_BYTES_MAX);
	if (r == FEED_E_FULL) {
		soon_send(info);
		r = feed_add(&info->soon, run, 0, 0);
	}
	if (r) /* no memory: it is read from the table */
		return;
	if (!log->set.gather_ms || log->draining || info->soon.events >= WIRE_EVENTS_MAX)
		soon_send(info);
	else if (!loop_timer_armed(info->soon_timer))
		loop_timer_set(info->soon_timer, log->set.gather_ms);
}
