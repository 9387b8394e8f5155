/*
 * scan - what is due comes from the store into memory
 *
 * A new holder reads its lane's messages behind the mark page by page and keeps those without a final
 * attempt. The mark is moved on as its messages are settled, so what a take-over costs follows from
 * what is due, not from what was ever sent.
 * Afterwards it is told of new ones by the consumer beside it. Since that consumer may live in
 * another process or may have lost an answer, one statement for all lanes looks every poll_ms
 * whether there are any behind the newest that were seen; a lane that has some reads a page.
 * Pages go over the lane's own connection, behind the groups that were sent before: what such a
 * group has ended is no longer in the page, what a later group will end is still in memory. So
 * nothing is taken over twice; and if it were, its `sending` row would be there already.
 *
 * After a lost answer the event log gives the lane up and back under the same epoch. Nobody else
 * held it meanwhile, so what this process had in hand is laid on the shelf and compared with the
 * rows: a mail that still flies is followed on, an end that was not stored is stored, and what was
 * never handed over is tried again. Under another epoch nothing of it counts.
 */
#include <errno.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "services/notification/sender_internal.h"

#define AGAIN_MS 500 /* after a page that the store did not give */

struct scan { /* one page; outlives the lane's loss */
	struct send_lane *lane; /* NULL: nobody waits for it any more */
	bool marked; /* the first of a scan: the mark is read with it */
};


enum scan_column { /* of NOTE_SCAN */
	C_SEQ, C_KIND, C_REQUEST, C_JURISDICTION, C_TRACE, C_CREATED, C_ATTEMPT, C_STATE, C_EPOCH, C_AT,
	C_CHANNEL, C_LAST, C_TOTAL,
};

size_t send_lane_memory_max(const struct send_lane *l)
{
	int lanes = eventlog_lanes(l->sender->svc->log);

	return MAX(l->sender->settings.memory_max / (size_t)MAX(lanes, 1), (size_t)1);
}

static bool is_full(const struct send_lane *l)
{
	return outbox_count(l->box) >= send_lane_memory_max(l);
}

/* ---- memory ---------------------------------------------------------------------------------------- */

/* -EEXIST: it is there already; -ENOBUFS: no room */
static int remember(struct send_lane *l, const struct out *like, struct out **ret)
{
	int r;

	if (outbox_find(l->box, like->key))
		return -EEXIST;
	if (is_full(l)) {
		series_add(SENDER_SERIES(l->sender, M_FULL), 1);
		return -ENOBUFS;
	}
	r = outbox_add(l->box, like, ret);
	if (!r)
		l->sender->memory++;
	return r;
}

void send_lane_forget(struct send_lane *l, struct out *out)
{
	outbox_remove(l->box, out);
	l->sender->memory--;
}

void send_lane_read_again(struct send_lane *l, uint64_t after_ms)
{
	l->rescan_at_ms = MIN(l->rescan_at_ms, clock_mono_ms() + after_ms);
	l->scan_at_ms = MIN(l->scan_at_ms, l->rescan_at_ms);
}

void send_lane_put_off(struct send_lane *l, struct out *out, uint64_t after_ms)
{
	l->put_off_seq = MIN(l->put_off_seq, out->key.cause_seq);
	send_lane_forget(l, out);
	send_lane_read_again(l, after_ms);
}

static bool worth_a_mark(const struct send_lane *l, int64_t seq)
{
	return l->loaded && seq >= l->mark_seq + l->sender->settings.mark_step;
}

/* what was read up to scan_seq is settled, or in memory, or was put off; of scan_seq itself another kind may follow */
int64_t send_lane_mark(const struct send_lane *l)
{
	int64_t seq = l->scan_seq - 1;

	if (!worth_a_mark(l, seq))
		return 0;
	seq = MIN(seq, MIN(outbox_oldest(l->box), l->put_off_seq) - 1);
	return worth_a_mark(l, seq) ? seq : 0;
}

static uint64_t due_after_failure(const struct send_lane *l, int64_t failed_us, int32_t attempt)
{
	struct sender *s = l->sender;
	uint64_t delay = backoff_delay_ms(&s->settings.message, (unsigned)attempt,
					  loop_random(s->svc->loop, 65536));
	int64_t passed = (clock_wall_us() - failed_us) / 1000;

	if (passed > 0)
		delay -= MIN(delay, (uint64_t)passed);
	return clock_mono_ms() + delay;
}

static struct out out_of_row(const struct rows *rows, size_t row)
{
	struct out o = {
		.key = { rows_int(rows, row, C_SEQ), (int32_t)rows_int(rows, row, C_KIND) },
		.request = rows_int(rows, row, C_REQUEST),
		.jurisdiction = (int32_t)rows_int(rows, row, C_JURISDICTION),
		.created_us = rows_time(rows, row, C_CREATED),
		.attempt = (int32_t)rows_int(rows, row, C_ATTEMPT),
	};
	struct bytes trace = rows_bytes(rows, row, C_TRACE);

	if (trace.len == sizeof(o.trace.id))
		memcpy(o.trace.id, trace.data, trace.len);
	return o;
}

/* its newest row is `sending` of an epoch that is not ours, or of ours but not by us */
static void call_uncertain(struct send_lane *l, struct out *out)
{
	char trace[33];

	trace_hex(&out->trace, trace);
	log_warn("mail.uncertain", "trace=%s lane=%u seq=%lld kind=%s attempt=%d cause=holder_gone", trace,
		 l->lane, (long long)out->key.cause_seq, kind_name(out->key.kind), out->attempt);
	series_add(SENDER_SERIES(l->sender, M_UNCERTAIN, "holder_gone"), 1);
	outbox_end(l->box, out, STATE(UNCERTAIN), "holder gone");
}

static void go_on_with(struct send_lane *l, struct out *out, const struct out *had)
{
	if (had->attempt == out->attempt && had->state == OUT_FLYING) {
		outbox_fly(l->box, out);
	} else if (had->attempt == out->attempt && (had->state == OUT_ENDED || had->state == OUT_STORING)) {
		out->at_once = had->at_once;
		outbox_end(l->box, out, had->end, had->detail);
	} else if (had->attempt < out->attempt) {
		out->at_once = true;
		outbox_end(l->box, out, STATE(FAILED), "not started");
	} else {
		call_uncertain(l, out);
	}
}

static void sending_found(struct send_lane *l, struct out *out, int64_t epoch, const struct out *had)
{
	if (had && epoch == l->epoch)
		go_on_with(l, out, had);
	else
		call_uncertain(l, out);
}

/* false: no room, the page is not done */
static bool take_over(struct send_lane *l, const struct rows *rows, size_t row)
{
	struct out like = out_of_row(rows, row), *out, *had;
	int64_t state = rows_int(rows, row, C_STATE);
	int r;

	if (rows_int(rows, row, C_CHANNEL) != CHANNEL_EMAIL || state > STATE(FAILED) || state == STATE(SENT))
		return true; /* the page's last row, there for its number alone */
	if (state == STATE(FAILED))
		like.due_ms = due_after_failure(l, rows_time(rows, row, C_AT), like.attempt);
	r = remember(l, &like, &out);
	if (r == -EEXIST)
		return true;
	if (r)
		return false;
	had = l->shelf ? outbox_find(l->shelf, like.key) : NULL;
	if (state == STATE(SENDING))
		sending_found(l, out, rows_int(rows, row, C_EPOCH), had);
	if (had)
		outbox_remove(l->shelf, had);
	return true;
}

/* ---- pages ----------------------------------------------------------------------------------------- */

static void absorb(struct send_lane *l, const struct rows *rows)
{
	size_t n = rows_count(rows), done = 0;
	uint64_t now = clock_mono_ms();

	while (done < n && take_over(l, rows, done)) {
		if (rows_int(rows, done, C_LAST)) {
			l->scan_seq = rows_int(rows, done, C_SEQ);
			l->scan_kind = (int32_t)rows_int(rows, done, C_KIND);
		}
		done++;
	}
	series_observe(SENDER_SERIES(l->sender, M_PAGE), (double)done);
	if (done < n) {
		/* the page is read again when there is room; its first messages are known then */
		l->scan_at_ms = now + l->sender->settings.poll_ms;
		return;
	}
	bool more = n && (size_t)rows_int(rows, n - 1, C_TOTAL) >= l->sender->settings.page_rows;

	l->scan_at_ms = more ? now : l->rescan_at_ms;
	if (!more) {
		outbox_free(l->shelf);
		l->shelf = NULL;
	}
}

static void read_mark(struct send_lane *l, const struct rows *rows)
{
	l->mark_seq = rows_count(rows) ? rows_int(rows, 0, 0) : 0;
	l->mark_version = rows_count(rows) ? rows_int(rows, 0, 1) : 0;
	l->scan_seq = MAX(l->scan_seq, l->mark_seq);
}

static void on_page(void *ctx, const struct answer *answer)
{
	struct scan *k = ctx;
	struct send_lane *l = k->lane;
	bool marked = k->marked;

	free(k);
	if (!l)
		return;
	l->scan = NULL;
	if (answer->verdict != STORE_OK) {
		log_debug("scan.failed", "lane=%u verdict=%s", l->lane, store_verdict_name(answer->verdict));
		l->scan_at_ms = clock_mono_ms() + AGAIN_MS;
	} else {
		if (marked)
			read_mark(l, answer->rows[0]);
		absorb(l, answer->rows[marked]);
		if (!l->loaded) {
			l->loaded = true;
			consumer_loaded(l->sender->chain, l->lane);
		}
	}
	send_lane_look(l);
}

static int submit_page(struct send_lane *l, struct scan *k)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	int r = store_group_new(&g, store_pool_lane(l->sender->svc->writers, l->lane));

	if (r)
		return r;
	if (k->marked) {
		store_add(g, &notification_queries[NOTE_MARK]);
		store_p_int2(g, (int16_t)l->lane);
	}
	store_add(g, &notification_queries[NOTE_SCAN]);
	store_p_int2(g, (int16_t)l->lane);
	store_p_int8(g, l->scan_seq);
	store_p_int2(g, (int16_t)l->scan_kind);
	store_p_int8(g, (int64_t)l->sender->settings.page_rows);
	r = store_submit(g, on_page, k);
	if (!r)
		(void)steal(g); /* the store's now */
	return r;
}

static void read_page(struct send_lane *l, uint64_t now)
{
	struct scan *k;

	l->scan_at_ms = now + l->sender->settings.poll_ms;
	if (is_full(l))
		return;
	if (now >= l->rescan_at_ms) {
		l->scan_seq = 0;
		l->scan_kind = 0;
		l->put_off_seq = INT64_MAX;
		l->rescan_at_ms = now + l->sender->settings.rescan_ms;
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return;
	k->lane = l;
	k->marked = !l->scan_seq;
	if (submit_page(l, k)) { /* down or full: the timer tries again */
		free(k);
		l->scan_at_ms = now + AGAIN_MS;
		return;
	}
	l->scan = k;
}

/* ---- looking --------------------------------------------------------------------------------------- */

static void wait_for_next(struct send_lane *l, uint64_t now, uint64_t due)
{
	uint64_t at = due > now ? due : UINT64_MAX;

	if (!l->scan)
		at = MIN(at, l->scan_at_ms);
	if (worth_a_mark(l, l->scan_seq - 1))
		at = MIN(at, l->mark_at_ms);
	if (at == UINT64_MAX)
		loop_timer_stop(l->timer);
	else
		loop_timer_set(l->timer, at > now ? at - now : 0);
}

static bool mark_due(struct send_lane *l, uint64_t now)
{
	if (!l->loaded || now < l->mark_at_ms)
		return false;
	l->mark_at_ms = now + l->sender->settings.mark_ms;
	l->mark_due = send_lane_mark(l) > 0;
	return l->mark_due;
}

void send_lane_look(struct send_lane *l)
{
	uint64_t now = clock_mono_ms(), due;
	bool mark;

	if (!l->held)
		return;
	due = outbox_next_ms(l->box);
	mark = mark_due(l, now);
	l->starved = due <= now && (l->leave_by_ms || !sender_slots(l->sender));
	if (l->loaded && (outbox_has_ended(l->box) || (due <= now && !l->starved) || mark))
		consumer_kick(l->sender->chain, l->lane);
	if (!l->scan && now >= l->scan_at_ms)
		read_page(l, now);
	wait_for_next(l, now, due);
	sender_gauges(l->sender);
}

/* ---- looking for all lanes at once ------------------------------------------------------------------ */

struct poll { /* a question under way; outlives the sender */
	struct sender *sender; /* NULL: nobody waits for it any more */
};

static bool rests(const struct send_lane *l, uint64_t now)
{
	return l->held && l->loaded && !l->scan && l->scan_at_ms > now;
}

static void on_newer(void *ctx, const struct answer *answer)
{
	_cleanup_(freep) struct poll *p = ctx;
	struct sender *s = p->sender;

	if (!s)
		return;
	s->poll = NULL;
	for (size_t i = 0; answer->verdict == STORE_OK && i < rows_count(answer->rows[0]); i++) {
		struct send_lane *l = &s->lanes[rows_int(answer->rows[0], i, 0) % LANE_MAX];

		if (!rests(l, clock_mono_ms()))
			continue;
		l->scan_at_ms = clock_mono_ms();
		send_lane_look(l);
	}
}

/* 0: nothing to ask */
static size_t add_newer(struct sender *s, struct store_group *g, struct column *columns[static 3])
{
	size_t n = 0;

	FOREACH(l, s->lanes) {
		if (!rests(l, clock_mono_ms()))
			continue;
		column_int(columns[0], l->lane);
		column_int(columns[1], l->scan_seq);
		column_int(columns[2], l->scan_kind);
		n++;
	}
	store_add(g, &notification_queries[NOTE_NEWER]);
	for (int i = 0; i < 3; i++)
		store_p_column(g, columns[i]);
	return n;
}

static void ask_newer(struct sender *s)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	_cleanup_(column_freep) struct column *lane = NULL, *seq = NULL, *kind = NULL;
	_cleanup_(freep) struct poll *p = calloc(1, sizeof(*p));

	if (!p || column_new(&lane, COLUMN_INT2) || column_new(&seq, COLUMN_INT8) ||
	    column_new(&kind, COLUMN_INT2) || store_group_new(&g, s->svc->control))
		return;
	if (!add_newer(s, g, (struct column *[]){ lane, seq, kind }))
		return;
	p->sender = s;
	if (store_submit(g, on_newer, p))
		return;
	(void)steal(g);
	s->poll = steal(p);
}

void sender_poll(void *ctx)
{
	struct sender *s = ctx;

	loop_timer_set_us(s->poll_timer, loop_about_us(s->svc->loop, s->settings.poll_ms));
	if (!s->poll && store_ready(s->svc->control))
		ask_newer(s);
}

void sender_poll_fini(struct sender *s)
{
	loop_timer_free(s->poll_timer);
	if (s->poll)
		s->poll->sender = NULL;
}

void sender_tell(struct sender *s, unsigned lane, const struct message_row *m)
{
	const struct out like = {
		.key = { m->cause_seq, m->kind },
		.jurisdiction = m->jurisdiction,
		.request = m->request,
		.created_us = m->created_us,
		.trace = m->trace,
	};
	struct send_lane *l = &s->lanes[lane];
	struct out *out;

	/* one that is not taken now is found by the next page */
	if (l->held && !remember(l, &like, &out) && !loop_timer_armed(l->soon))
		loop_timer_set(l->soon, 0);
}

/* ---- coming and going ------------------------------------------------------------------------------ */

/* what was in hand: for the comparison under the same epoch, else forgotten */
static void clear_away(struct send_lane *l, int64_t epoch)
{
	outbox_free(l->shelf);
	l->shelf = NULL;
	if (l->box && epoch == l->epoch) {
		l->shelf = steal(l->box);
	} else if (l->box) {
		flights_of_lane_lost(l);
		outbox_free(steal(l->box));
	}
}

void send_lane_held(struct send_lane *l, int64_t epoch)
{
	uint64_t now = clock_mono_ms();

	send_lane_lost(l);
	clear_away(l, epoch);
	if (outbox_new(&l->box)) {
		log_error("lane.no_memory", "lane=%u", l->lane); /* not loaded: the lane stands */
		return;
	}
	l->held = true;
	l->loaded = false;
	l->leave_by_ms = 0;
	l->epoch = epoch;
	l->scan_seq = 0;
	l->scan_kind = 0;
	l->put_off_seq = INT64_MAX;
	l->mark_at_ms = now + l->sender->settings.mark_ms;
	l->mark_due = false;
	l->scan_at_ms = now;
	l->rescan_at_ms = now + l->sender->settings.rescan_ms;
	send_lane_look(l);
}

/* What flies goes on. What has not begun to leave then won't: flight.c asks who holds the lane. */
void send_lane_lost(struct send_lane *l)
{
	if (!l->held)
		return;
	l->held = false;
	if (l->scan)
		l->scan->lane = NULL;
	l->scan = NULL;
	l->starved = false;
	loop_timer_stop(l->timer);
	loop_timer_stop(l->soon);
	l->sender->memory -= outbox_count(l->box);
	sender_gauges(l->sender);
}

/* What flies lands and is stored first, within bounds: what is left then becomes uncertain. */
bool send_lane_may_leave(struct send_lane *l)
{
	uint64_t now = clock_mono_ms();

	if (!l->held)
		return true;
	if (!l->leave_by_ms)
		l->leave_by_ms = now + l->sender->settings.leave_ms;
	return now >= l->leave_by_ms || !outbox_under_way(l->box);
}

void send_lane_fini(struct send_lane *l)
{
	send_lane_lost(l);
	outbox_free(l->box);
	outbox_free(l->shelf);
	loop_timer_free(l->timer);
	loop_timer_free(l->soon);
}
