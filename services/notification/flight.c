/*
 * flight - mails on their way to the mail server
 *
 * The first byte of a message leaves only while the lane is still ours under the same epoch and
 * the decision is young: a process that was stopped for longer than a lease wakes with both wrong.
 */
#include <errno.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "services/notification/sender_internal.h"

static const struct smtp_ops transfer_ops;

/* ---- room ---------------------------------------------------------------------------------------- */

size_t sender_slots(const struct sender *s)
{
	size_t used = s->flying + s->reserved;
	size_t most = s->settings.in_flight;

	if (s->draining || clock_mono_ms() < s->relay_until_ms)
		return 0;
	if (s->relay_failures) /* one tries whether the mail server is back */
		most = 1;
	return used < most ? most - used : 0;
}

void sender_look_at_starved(struct sender *s)
{
	FOREACH(l, s->lanes) {
		if (!l->starved)
			continue;
		l->starved = false;
		send_lane_look(l);
	}
}

void sender_gauges(struct sender *s)
{
	uint64_t now = clock_mono_ms();

	series_set(SENDER_SERIES(s, M_MEMORY), (double)s->memory);
	series_set(SENDER_SERIES(s, M_MEMORY_MAX), (double)s->settings.memory_max);
	series_set(SENDER_SERIES(s, M_IN_FLIGHT), (double)s->flying);
	series_set(SENDER_SERIES(s, M_IN_FLIGHT_MAX), (double)s->settings.in_flight);
	series_set(SENDER_SERIES(s, M_RELAY),
		   s->relay_until_ms > now ? (double)(s->relay_until_ms - now) / 1e3 : 0);
	series_set(SENDER_SERIES(s, M_DOMAINS), (double)penalties_count(s->domains));
	series_set(SENDER_SERIES(s, M_DOMAINS_MAX), (double)s->settings.domains_max);
}

/* ---- one flight ------------------------------------------------------------------------------------ */

int flight_new(struct flight **ret, struct send_lane *l, const struct out *out, int32_t attempt,
	       struct rendered *mail)
{
	struct flight *f = calloc(1, sizeof(*f));

	if (!f)
		return err_here(-ENOMEM);
	f->sender = l->sender;
	f->lane = l;
	f->epoch = l->epoch;
	f->key = out->key;
	f->attempt = attempt;
	f->created_us = out->created_us;
	f->trace = out->trace;
	f->decided_ms = clock_mono_ms();
	f->mail = *mail;
	*mail = (struct rendered){ .mail = BUF_INIT };
	list_init(&f->link);
	*ret = f;
	return 0;
}

void flight_free(struct flight *f)
{
	if (!f)
		return;
	rendered_fini(&f->mail);
	free(f);
}

static bool still_ours(const struct flight *f)
{
	const struct sender *s = f->sender;

	return !f->orphan && consumer_holds(s->chain, f->lane->lane) &&
		consumer_epoch(s->chain, f->lane->lane) == f->epoch &&
		clock_mono_ms() - f->decided_ms <= s->settings.start_within_ms;
}

/* the entry that waits for it, and where that is; NULL: none does any more */
static struct out *entry_of(const struct flight *f, struct outbox **ret_box)
{
	struct send_lane *l = f->lane;
	struct outbox *const boxes[] = { l->box, l->shelf };

	if (f->orphan || l->epoch != f->epoch)
		return NULL;
	FOREACH(box, boxes) {
		struct out *out = *box ? outbox_find(*box, f->key) : NULL;

		*ret_box = *box;
		if (out && out->state == OUT_FLYING && out->attempt == f->attempt)
			return out;
	}
	return NULL;
}

static void tell_log(const struct flight *f, const struct verdict *v, const char *detail, bool stored)
{
	char trace[33];

	trace_hex(&f->trace, trace);
	if (v->state == STATE(SENT))
		log_debug("mail.sent", "trace=%s lane=%u seq=%lld kind=%s attempt=%d", trace,
			  f->lane->lane, (long long)f->key.cause_seq, kind_name(f->key.kind), f->attempt);
	else
		log_warn("mail.not_sent",
			 "trace=%s lane=%u seq=%lld kind=%s attempt=%d state=%s detail=\"%s\"%s", trace,
			 f->lane->lane, (long long)f->key.cause_seq, kind_name(f->key.kind), f->attempt,
			 attempt_state_name(v->state), detail, stored ? "" : " lane_lost=1");
}

static void land(struct flight *f, struct verdict v, const char *detail)
{
	struct outbox *box = NULL;
	struct out *out = entry_of(f, &box);

	tell_log(f, &v, detail, out);
	if (v.state == STATE(UNCERTAIN))
		series_add(SENDER_SERIES(f->sender, M_UNCERTAIN, "transport"), 1);
	if (!out)
		return;
	out->at_once = v.at_once;
	outbox_end(box, out, v.state, detail);
	if (f->lane->held)
		consumer_kick(f->sender->chain, f->lane->lane);
}

static void judge_relay(struct sender *s, bool blame)
{
	uint64_t now = clock_mono_ms();

	if (!blame) {
		s->relay_failures = 0;
		s->relay_until_ms = 0;
		loop_timer_stop(s->relay_timer);
		return;
	}
	if (now < s->relay_until_ms) /* others that had begun together fail together */
		return;
	s->relay_failures++;
	s->relay_until_ms = now + backoff_delay_ms(&s->settings.relay, s->relay_failures,
						   loop_random(s->svc->loop, 65536));
	loop_timer_set(s->relay_timer, s->relay_until_ms - now);
	log_warn("mail.relay_failing", "failures=%u again_ms=%llu", s->relay_failures,
		 (unsigned long long)(s->relay_until_ms - now));
}

static void judge_domain(struct sender *s, const char *domain, const struct verdict *v)
{
	if (v->blame_domain)
		penalties_fail(s->domains, domain, &s->settings.message, clock_mono_ms(),
			       loop_random(s->svc->loop, 65536));
	else if (v->state == STATE(SENT))
		penalties_clear(s->domains, domain);
}

static bool may_begin(void *ctx)
{
	return still_ours(ctx);
}

static void ended(void *ctx, const struct smtp_end *end, const char *detail, double seconds)
{
	struct flight *f = ctx;
	struct sender *s = f->sender;
	struct verdict v = core_verdict(end, (unsigned)f->attempt, s->settings.attempts_max);

	list_del(&f->link);
	s->flying--;
	series_observe(SENDER_SERIES(s, M_SMTP), seconds);
	if (end->withheld)
		series_add(SENDER_SERIES(s, M_NOT_STARTED), 1);
	else if (!v.at_once)
		judge_relay(s, v.blame_relay);
	judge_domain(s, mail_domain(f->mail.to), &v);
	if (v.state == STATE(SENT))
		series_observe(SENDER_SERIES(s, M_DELAY, kind_name(f->key.kind)),
			       (double)(clock_wall_us() - f->created_us) / 1e6);
	land(f, v, detail);
	flight_free(f);
	sender_look_at_starved(s);
}

static const struct smtp_ops transfer_ops = { .may_begin = may_begin, .ended = ended };

static void not_started(struct flight *f, const char *why)
{
	static const struct verdict v = { .state = STATE(FAILED), .at_once = true };

	series_add(SENDER_SERIES(f->sender, M_NOT_STARTED), 1);
	land(f, v, why);
	flight_free(f);
}

void flight_launch(struct flight *f)
{
	struct sender *s = f->sender;

	if (!still_ours(f)) {
		not_started(f, "too late");
		return;
	}
	if (smtp_send(s->smtp, f->mail.from, f->mail.to, &f->mail.mail, &transfer_ops, f, &f->transfer)) {
		not_started(f, "no memory");
		return;
	}
	list_add_tail(&s->flights, &f->link);
	s->flying++;
}

/* The lane was another's: what has begun may arrive; that one calls it uncertain. */
void flights_of_lane_lost(struct send_lane *l)
{
	struct flight *f;

	list_for_each(f, &l->sender->flights, link) {
		if (f->lane != l)
			continue;
		f->orphan = true;
		if (smtp_begun(f->transfer))
			continue;
		smtp_cancel(f->transfer);
		list_del(&f->link);
		l->sender->flying--;
		flight_free(f);
	}
}
