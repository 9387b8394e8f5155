/*
 * sender - its settings and its life; what it does is in scan.c, step.c, flight.c
 */
#include <errno.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "services/notification/sender_internal.h"

const char *kind_name(int32_t kind)
{
	return kind == CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RECEIVED ? "received" : "resolved";
}

const char *attempt_state_name(Centraleta__V1__AttemptState s)
{
	static const char *const names[] = { "unspecified", "sending", "sent", "failed", "uncertain",
					     "undeliverable" };

	return s >= 0 && (size_t)s < ARRAY_SIZE(names) ? names[s] : names[0];
}

static void read_settings(struct sender_settings *ret, const struct config *c)
{
	*ret = (struct sender_settings){
		.in_flight = (size_t)config_int(c, "notification.in_flight"),
		.memory_max = (size_t)config_int(c, "notification.memory_max"),
		.page_rows = (size_t)config_int(c, "notification.page_rows"),
		.batch_max = (size_t)config_int(c, "notification.batch_max"),
		.domains_max = (size_t)config_int(c, "notification.domains_max"),
		.attempts_max = (unsigned)config_int(c, "notification.attempts_max"),
		.poll_ms = (uint64_t)config_int(c, "notification.poll_ms"),
		.rescan_ms = (uint64_t)config_int(c, "notification.rescan_ms"),
		.mark_step = config_int(c, "notification.mark_step"),
		.mark_ms = (uint64_t)config_int(c, "notification.mark_ms"),
		.start_within_ms = (uint64_t)config_int(c, "notification.start_within_ms"),
		.leave_ms = (uint64_t)config_int(c, "notification.leave_ms"),
		.message = { (uint64_t)config_int(c, "notification.retry_base_ms"),
			     (uint64_t)config_int(c, "notification.retry_cap_ms") },
		.relay = { (uint64_t)config_int(c, "notification.relay_retry_ms"),
			   (uint64_t)config_int(c, "notification.relay_retry_cap_ms") },
	};
}

static struct smtp_options smtp_options_of(const struct config *c)
{
	return (struct smtp_options){
		.url = config_str(c, "notification.smtp_url"),
		.connect_ms = (unsigned)config_int(c, "notification.connect_ms"),
		.transfer_ms = (unsigned)config_int(c, "notification.smtp_ms"),
		.idle_ms = (unsigned)config_int(c, "notification.idle_ms"),
	};
}

static int check_url(const struct config *c)
{
	const char *url = config_str(c, "notification.smtp_url");

	if (!strncmp(url, "smtp://", 7) || !strncmp(url, "smtps://", 8))
		return 0;
	log_error("config.invalid", "key=notification.smtp_url reason=\"must begin with smtp:// or smtps://\"");
	return err_here(-EINVAL);
}

static void on_lane_time(void *ctx)
{
	send_lane_look(ctx);
}

static void on_relay_time(void *ctx)
{
	sender_look_at_starved(ctx);
	sender_gauges(ctx);
}

static int make_lanes(struct sender *s)
{
	int r = 0;

	for (unsigned i = 0; !r && i < LANE_MAX; i++) {
		struct send_lane *l = &s->lanes[i];

		l->sender = s;
		l->lane = i;
		r = loop_timer_new(&l->timer, s->svc->loop, on_lane_time, l);
		if (!r)
			r = loop_timer_new(&l->soon, s->svc->loop, on_lane_time, l);
	}
	return r;
}

static int make_parts(struct sender *s)
{
	const struct config *c = s->svc->config;
	struct smtp_options o = smtp_options_of(c);
	int r = check_url(c);

	if (!r)
		r = renderer_new(&s->renderer, s->svc->secret, c);
	if (!r)
		r = smtp_new(&s->smtp, s->svc->loop, &o);
	if (!r)
		r = penalties_new(&s->domains, s->settings.domains_max);
	if (!r)
		r = loop_timer_new(&s->relay_timer, s->svc->loop, on_relay_time, s);
	if (!r)
		r = loop_timer_new(&s->poll_timer, s->svc->loop, sender_poll, s);
	if (!r)
		r = make_lanes(s);
	return r;
}

int sender_new(struct sender **ret, struct service *svc, int metrics_base)
{
	_cleanup_(sender_freep) struct sender *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_here(-ENOMEM);
	s->svc = svc;
	s->metrics_base = metrics_base;
	list_init(&s->flights);
	read_settings(&s->settings, svc->config);
	r = make_parts(s);
	if (!r)
		r = eventlog_consumer(svc->log, &sender_chain_ops, s, &s->chain);
	if (r)
		return r;
	sender_gauges(s);
	sender_poll(s);
	*ret = steal(s);
	return 0;
}

void sender_free(struct sender *s)
{
	struct flight *f;

	if (!s)
		return;
	FOREACH(l, s->lanes)
		send_lane_fini(l);
	sender_poll_fini(s);
	smtp_free(s->smtp);
	list_for_each(f, &s->flights, link)
		flight_free(f);
	loop_timer_free(s->relay_timer);
	penalties_free(s->domains);
	renderer_free(s->renderer);
	free(s);
}

int sender_reload(struct sender *s, const struct config *config)
{
	struct smtp_options o = smtp_options_of(config);
	int r = check_url(config);

	if (!r)
		r = renderer_configure(s->renderer, config);
	if (!r)
		r = smtp_configure(s->smtp, &o);
	if (!r)
		read_settings(&s->settings, config);
	return r;
}

void sender_drain(struct sender *s)
{
	s->draining = true;
}

bool sender_drained(const struct sender *s)
{
	if (s->flying || s->reserved)
		return false;
	FOREACH(l, s->lanes)
		if (l->held && outbox_under_way(l->box))
			return false;
	return true;
}
