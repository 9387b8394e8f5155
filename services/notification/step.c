/*
 * step - a group of notification.send: attempts that begin, attempts that ended
 *
 * One group holds both, so that while mails fly and a group is being stored, what ended meanwhile
 * makes the next one. The plan of a group is the batch's; entries it took from the outbox go back
 * when the batch ends without being durable. Then they are unsure: an answer may have been lost,
 * and the next plan reads their newest attempts before it decides, so that no end is told twice
 * and nothing is sent on the strength of a row whose answer was lost.
 */
#include <errno.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "services/notification/sender_internal.h"

#define ACTOR "notification"
#define RETRY_MS 200
#define AT_ONCE_MAX 4 /* attempts; further ones wait, whoever is to blame */

struct step {
	struct out_key key; /* first member */
	int32_t attempt, jurisdiction;
	int64_t request;
	struct trace trace;
	Centraleta__V1__AttemptState state; /* SENDING, or how it ended */
	char detail[64];
	bool begins; /* it was due; else its end waited to be stored */
	bool dropped; /* was put off */
	bool known; /* its row is there already */
	bool stored; /* its row is from this group */
	struct flight *flight; /* of one that begins */
};

struct plan {
	struct sender *sender;
	struct send_lane *lane;
	int64_t epoch;
	size_t n, begins, ends;
	int64_t mark; /* 0: stays */
	bool written; /* its group has attempt rows */
	bool durable;
	struct step steps[];
};

static struct send_lane *lane_of(const struct plan *p)
{
	return p->lane->held && p->lane->epoch == p->epoch ? p->lane : NULL;
}

static struct out *entry_of(const struct plan *p, const struct step *t, enum out_state state)
{
	struct send_lane *l = lane_of(p);
	struct out *out = l ? outbox_find(l->box, t->key) : NULL;

	return out && out->state == state ? out : NULL;
}

static struct out *entry_in_plan(const struct plan *p, const struct step *t)
{
	return entry_of(p, t, t->begins ? OUT_PICKED : OUT_STORING);
}

/* ---- a plan begins and ends --------------------------------------------------------------------------- */

static void give_back(struct plan *p, struct step *t)
{
	struct out *out = entry_in_plan(p, t);

	if (!out)
		return;
	out->unsure = true;
	if (t->begins)
		outbox_wait(p->lane->box, out, clock_mono_ms());
	else
		outbox_end(p->lane->box, out, out->end, t->detail);
}

static void plan_free(void *ptr)
{
	struct plan *p = ptr;

	p->sender->reserved -= p->begins;
	for (size_t i = 0; i < p->n; i++) {
		if (!p->durable && !p->steps[i].dropped)
			give_back(p, &p->steps[i]);
		flight_free(p->steps[i].flight);
	}
	if (!p->durable && p->n && lane_of(p)) /* should nobody else take it up */
		loop_timer_set(p->lane->soon, RETRY_MS);
	free(p);
}

static struct step *add_step(struct plan *p, const struct out *out, bool begins)
{
	struct step *t = &p->steps[p->n++];

	*t = (struct step){
		.key = out->key, .request = out->request, .jurisdiction = out->jurisdiction,
		.trace = out->trace, .begins = begins,
		.attempt = begins ? out->attempt + 1 : out->attempt,
		.state = begins ? STATE(SENDING) : out->end,
	};
	if (!begins)
		snprintf(t->detail, sizeof(t->detail), "%s", out->detail);
	return t;
}

/* the share of the free slots that one lane may take: half, so that lanes mix */
static size_t share_of_slots(const struct sender *s)
{
	size_t slots = sender_slots(s);

	return slots - slots / 2;
}

static struct plan *plan_new(struct send_lane *l, int64_t epoch)
{
	struct sender *s = l->sender;
	size_t max = s->settings.batch_max, slots = l->leave_by_ms ? 0 : share_of_slots(s);
	struct plan *p = calloc(1, sizeof(*p) + max * sizeof(p->steps[0]));
	struct out *out;

	if (!p)
		return NULL;
	p->sender = s;
	p->lane = l;
	p->epoch = epoch;
	while (p->n < max && (out = outbox_store(l->box)))
		add_step(p, out, false);
	p->ends = p->n;
	while (p->n < max && p->begins < slots && (out = outbox_pick(l->box, clock_mono_ms()))) {
		add_step(p, out, true);
		p->begins++;
	}
	s->reserved += p->begins;
	return p;
}

static int by_key(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	if (x->key.cause_seq != y->key.cause_seq)
		return x->key.cause_seq < y->key.cause_seq ? -1 : 1;
	return x->key.kind - y->key.kind;
}

/* plans are sorted; one message is in a plan once */
static struct step *find_step(struct plan *p, int64_t cause_seq, int64_t kind)
{
	const struct step key = { .key = { cause_seq, (int32_t)kind } };

	return bsearch(&key, p->steps, p->n, sizeof(key), by_key);
}

/* ---- what the store says before the decision ----------------------------------------------------------- */

static bool is_unsure(const struct plan *p, const struct step *t)
{
	const struct out *out = entry_in_plan(p, t);

	return out && out->unsure;
}

static bool anything_unsure(const struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (is_unsure(p, &p->steps[i]))
			return true;
	return false;
}

struct key_columns {
	struct column *seq, *kind, *request;
};

static void key_columns_fini(struct key_columns *c)
{
	column_free(c->seq);
	column_free(c->kind);
	column_free(c->request);
}

static int key_columns_init(struct key_columns *c)
{
	int r = column_new(&c->seq, COLUMN_INT8);

	if (!r)
		r = column_new(&c->kind, COLUMN_INT2);
	if (!r)
		r = column_new(&c->request, COLUMN_INT8);
	return r;
}

static void add_newest(struct store_group *g, struct plan *p, struct key_columns *c)
{
	for (size_t i = 0; i < p->n; i++) {
		if (!is_unsure(p, &p->steps[i]))
			continue;
		column_int(c->seq, p->steps[i].key.cause_seq);
		column_int(c->kind, p->steps[i].key.kind);
	}
	store_add(g, &notification_queries[NOTE_NEWEST]);
	store_p_int2(g, (int16_t)p->lane->lane);
	store_p_column(g, c->seq);
	store_p_column(g, c->kind);
}

static void add_render(struct store_group *g, const struct plan *p, struct key_columns *c)
{
	for (size_t i = 0; i < p->n; i++) {
		if (!p->steps[i].begins)
			continue;
		column_int(c->seq, p->steps[i].key.cause_seq);
		column_int(c->kind, p->steps[i].key.kind);
		column_int(c->request, p->steps[i].request);
	}
	store_add(g, &notification_queries[NOTE_RENDER]);
	store_p_int2(g, (int16_t)p->lane->lane);
	store_p_column(g, c->seq);
	store_p_column(g, c->kind);
	store_p_column(g, c->request);
}

/* the answer to an earlier group was lost: what of it is there? */
static void apply_newest(struct plan *p, const struct rows *rows)
{
	for (size_t i = 0; i < rows_count(rows); i++) {
		struct step *t = find_step(p, rows_int(rows, i, 0), rows_int(rows, i, 1));
		int32_t attempt = (int32_t)rows_int(rows, i, 2);

		if (!t)
			continue;
		if (attempt < t->attempt)
			continue;
		if (!t->begins) {
			t->known = rows_int(rows, i, 3) == (int64_t)t->state;
		} else if (rows_int(rows, i, 3) == STATE(SENDING)) {
			/* its `sending` is ours and nothing left on it: that attempt ends here */
			t->attempt = attempt;
			t->state = STATE(FAILED);
			snprintf(t->detail, sizeof(t->detail), "not started");
		} else { /* refused without having been tried */
			t->attempt = attempt;
			t->state = (Centraleta__V1__AttemptState)rows_int(rows, i, 3);
			t->known = true;
		}
	}
}

/* ---- decisions ---------------------------------------------------------------------------------------- */

static void refuse(struct step *t, enum render_result why)
{
	t->state = STATE(UNDELIVERABLE);
	snprintf(t->detail, sizeof(t->detail), "%s", render_result_name(why));
}

static void put_off(struct plan *p, struct step *t, uint64_t due_ms)
{
	struct out *out = entry_in_plan(p, t);

	t->dropped = true;
	if (out)
		outbox_wait(p->lane->box, out, due_ms);
}

static void prepare(struct plan *p, struct step *t, const struct rows *rows, size_t row)
{
	const struct out *out = entry_in_plan(p, t);
	struct rendered mail;
	uint64_t now = clock_mono_ms(), until;
	enum render_result result;

	if (!out || t->state != STATE(SENDING))
		return;
	result = render(p->sender->renderer, p->lane->lane, out, rows, row, clock_wall_us(), &mail);
	if (result == RENDER_NO_MEMORY) {
		put_off(p, t, now + RETRY_MS);
		return;
	}
	if (result != RENDER_OK) {
		refuse(t, result);
		return;
	}
	until = penalties_until(p->sender->domains, mail_domain(mail.to), now);
	if (until || flight_new(&t->flight, p->lane, out, t->attempt, &mail)) {
		rendered_fini(&mail);
		put_off(p, t, until ? until : now + RETRY_MS);
	}
}

static void prepare_all(struct plan *p, const struct rows *rows)
{
	for (size_t i = 0; i < rows_count(rows); i++) {
		struct step *t = find_step(p, rows_int(rows, i, 0), rows_int(rows, i, 1));

		if (t)
			prepare(p, t, rows, i);
	}
	/* no row: the request itself is gone */
	for (size_t i = 0; i < p->n; i++) {
		struct step *t = &p->steps[i];

		if (t->begins && t->state == STATE(SENDING) && !t->flight && !t->dropped)
			refuse(t, RENDER_NO_ADDRESS);
	}
}

/* ---- the group ---------------------------------------------------------------------------------------- */

static bool is_written(const struct step *t)
{
	return !t->dropped && !t->known;
}

struct attempt_columns {
	struct column *seq, *kind, *attempt, *state, *jurisdiction, *message_id, *detail;
};

static void attempt_columns_fini(struct attempt_columns *c)
{
	column_free(c->seq);
	column_free(c->kind);
	column_free(c->attempt);
	column_free(c->state);
	column_free(c->jurisdiction);
	column_free(c->message_id);
	column_free(c->detail);
}

static int attempt_columns_init(struct attempt_columns *c)
{
	const struct {
		struct column **column;
		enum column_type type;
	} all[] = {
		{ &c->seq, COLUMN_INT8 }, { &c->kind, COLUMN_INT2 }, { &c->attempt, COLUMN_INT4 },
		{ &c->state, COLUMN_INT2 }, { &c->jurisdiction, COLUMN_INT4 },
		{ &c->message_id, COLUMN_TEXT }, { &c->detail, COLUMN_TEXT },
	};
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(all); i++)
		r = column_new(all[i].column, all[i].type);
	return r;
}

static size_t fill_attempts(const struct plan *p, struct attempt_columns *c)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct step *t = &p->steps[i];

		if (!is_written(t))
			continue;
		column_int(c->seq, t->key.cause_seq);
		column_int(c->kind, t->key.kind);
		column_int(c->attempt, t->attempt);
		column_int(c->state, (int64_t)t->state);
		column_int(c->jurisdiction, t->jurisdiction);
		column_text(c->message_id, t->flight ? t->flight->mail.message_id : "");
		column_text(c->detail, t->detail);
		n++;
	}
	return n;
}

static int add_attempts(struct batch *b, struct plan *p)
{
	_cleanup_(attempt_columns_fini) struct attempt_columns c = { 0 };
	struct store_group *g = batch_group(b);
	int r = attempt_columns_init(&c);

	if (r || !fill_attempts(p, &c))
		return r;
	store_add(g, &notification_queries[NOTE_ATTEMPT]);
	store_p_int2(g, (int16_t)p->lane->lane);
	store_p_int8(g, p->epoch);
	store_p_column(g, c.seq);
	store_p_column(g, c.kind);
	store_p_column(g, c.attempt);
	store_p_column(g, c.state);
	store_p_column(g, c.jurisdiction);
	store_p_column(g, c.message_id);
	store_p_column(g, c.detail);
	p->written = true;
	return 0;
}

static void append(struct batch *b, const struct step *t, Centraleta__V1__EventType type)
{
	Centraleta__V1__RequestNotified m = CENTRALETA__V1__REQUEST_NOTIFIED__INIT;
	uint8_t body[64];

	m.kind = (Centraleta__V1__MessageKind)t->key.kind;
	m.channel = CHANNEL_EMAIL;
	m.cause_seq = t->key.cause_seq;
	m.attempt = t->attempt;
	assert(centraleta__v1__request_notified__get_packed_size(&m) <= sizeof(body));
	const struct event e = {
		.lane = (int16_t)batch_lane(b),
		.type = (int16_t)type,
		.type_version = 1,
		.jurisdiction = t->jurisdiction,
		.order_key = t->request,
		.trace = t->trace,
		.actor = ACTOR,
		.body = { body, centraleta__v1__request_notified__pack(&m, body) },
	};

	batch_append(b, &e);
}

static void append_events(struct batch *b, const struct plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct step *t = &p->steps[i];

		if (!is_written(t))
			continue;
		if (t->state == STATE(UNDELIVERABLE))
			append(b, t, CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_UNDELIVERABLE);
		if (t->state != STATE(SENT))
			continue;
		append(b, t, CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_NOTIFIED);
		if (t->key.kind == CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RESOLVED)
			append(b, t, CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_SURVEY_SENT);
	}
}

/* behind the attempts, which committed() looks for first */
static void add_mark(struct batch *b, struct plan *p)
{
	struct send_lane *l = lane_of(p);
	struct store_group *g = batch_group(b);

	p->mark = l && l->mark_due ? send_lane_mark(l) : 0;
	if (!p->mark)
		return;
	l->mark_due = false;
	store_add(g, &notification_queries[NOTE_MARK_ON]);
	store_p_int2(g, (int16_t)l->lane);
	store_p_int8(g, p->mark);
	store_p_int8(g, l->mark_version);
}

/* Not moved: a message came in before it. It is read again, and with it where the mark stands. */
static void marked(struct plan *p, const struct rows *rows)
{
	struct send_lane *l = lane_of(p);

	if (!l)
		return;
	if (rows_count(rows))
		l->mark_seq = p->mark;
	else
		send_lane_read_again(l, 0);
}

static void decide(struct batch *b, struct plan *p)
{
	if (add_attempts(b, p)) {
		batch_retry(b, RETRY_MS);
		return;
	}
	add_mark(b, p);
	append_events(b, p);
	batch_commit(b);
}

static void on_read(void *ctx, struct batch *b, const struct answer *answer)
{
	struct plan *p = batch_user(b);
	size_t newest = p->begins ? 1 : 0;

	(void)ctx;
	if (answer->n > newest)
		apply_newest(p, answer->rows[newest]);
	if (p->begins)
		prepare_all(p, answer->rows[0]);
	decide(b, p);
}

static int read_first(struct batch *b, struct plan *p, bool unsure)
{
	_cleanup_(key_columns_fini) struct key_columns c = { 0 };
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	int r = key_columns_init(&c);

	if (!r)
		r = store_group_new(&g, batch_store(b));
	if (r)
		return r;
	if (p->begins)
		add_render(g, p, &c);
	if (unsure)
		add_newest(g, p, &c);
	r = batch_read(b, g, on_read, p->sender);
	if (!r)
		(void)steal(g); /* the batch's now */
	return r;
}

static void take(void *ctx, struct batch *b)
{
	struct sender *s = ctx;
	struct send_lane *l = &s->lanes[batch_lane(b)];
	struct plan *p = l->held ? plan_new(l, batch_epoch(b)) : NULL;
	bool unsure;

	if (!p) {
		batch_retry(b, RETRY_MS);
		return;
	}
	qsort(p->steps, p->n, sizeof(p->steps[0]), by_key);
	unsure = anything_unsure(p);
	batch_set_user(b, p, plan_free);
	if (!p->begins && !unsure)
		decide(b, p);
	else if (read_first(b, p, unsure))
		batch_retry(b, RETRY_MS);
}

/* ---- durable ------------------------------------------------------------------------------------------- */

static void mark_stored(struct plan *p, const struct rows *rows)
{
	for (size_t i = 0; i < rows_count(rows); i++) {
		struct step *t = find_step(p, rows_int(rows, i, 0), rows_int(rows, i, 1));

		if (!t)
			continue;
		t->stored = true;
		series_add(SENDER_SERIES(p->sender, M_ATTEMPTS, attempt_state_name(t->state)), 1);
	}
}

static void failed(struct plan *p, struct step *t, struct out *out)
{
	struct send_lane *l = p->lane;
	struct sender *s = p->sender;
	uint64_t delay = out->at_once && t->attempt < AT_ONCE_MAX ? 0 : backoff_delay_ms(&s->settings.message, (unsigned)t->attempt,
							    loop_random(s->svc->loop, 65536));

	out->attempt = t->attempt;
	out->at_once = false;
	/* what waits for long makes room for what is due */
	if (delay > s->settings.poll_ms && outbox_count(l->box) >= send_lane_memory_max(l)) {
		send_lane_put_off(l, out, delay);
		return;
	}
	outbox_wait(l->box, out, clock_mono_ms() + delay);
}

static void settle(struct plan *p, struct step *t, struct out *out)
{
	if (t->state == STATE(FAILED)) {
		out->at_once |= t->begins; /* "not started" */
		failed(p, t, out);
		return;
	}
	series_add(SENDER_SERIES(p->sender, M_MESSAGES, kind_name(t->key.kind), attempt_state_name(t->state)), 1);
	send_lane_forget(p->lane, out);
}

static void begin(struct plan *p, struct step *t, struct out *out)
{
	if (!t->stored) { /* its row was there: whose is it? */
		out->unsure = true;
		outbox_wait(p->lane->box, out, clock_mono_ms());
		return;
	}
	out->attempt = t->attempt;
	outbox_fly(p->lane->box, out);
	flight_launch(steal(t->flight));
}

static void carry_out(struct plan *p)
{
	p->sender->reserved -= p->begins;
	p->begins = 0;
	for (size_t i = 0; i < p->n; i++) {
		struct step *t = &p->steps[i];
		struct out *out = t->dropped ? NULL : entry_in_plan(p, t);

		if (!out)
			continue;
		out->unsure = false;
		if (t->state == STATE(SENDING))
			begin(p, t, out);
		else
			settle(p, t, out);
	}
}

static void committed(void *ctx, struct batch *b, const struct answer *answer, size_t first_result)
{
	struct sender *s = ctx;
	struct plan *p = batch_user(b);

	if (p->written)
		mark_stored(p, answer->rows[first_result]);
	p->durable = true;
	if (p->mark)
		marked(p, answer->rows[first_result + p->written]);
	carry_out(p);
	if (lane_of(p))
		send_lane_look(p->lane);
	sender_look_at_starved(s);
}

static void held(void *ctx, struct consumer *c, unsigned lane, int64_t epoch)
{
	struct sender *s = ctx;

	(void)c;
	send_lane_held(&s->lanes[lane], epoch);
}

static void lost(void *ctx, struct consumer *c, unsigned lane)
{
	struct sender *s = ctx;

	(void)c;
	send_lane_lost(&s->lanes[lane]);
}

static bool may_leave(void *ctx, struct consumer *c, unsigned lane)
{
	struct sender *s = ctx;

	(void)c;
	return send_lane_may_leave(&s->lanes[lane]);
}

const struct consumer_ops sender_chain_ops = {
	.name = "notification.send",
	.log = false,
	.held = held,
	.lost = lost,
	.may_leave = may_leave,
	.take = take,
	.committed = committed,
};
