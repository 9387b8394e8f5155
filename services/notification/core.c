/*
 * core - what an event asks for, and what became of an attempt
 *
 * The verdict follows RFC 5321: a reply code decides wherever there is one. Where the connection
 * died without one, it was a plain failure as long as nothing of the message had left; behind its
 * first byte nobody can say whether the server took it, and it is not sent again by itself
 * (reliability F12, R22, R23).
 */
#include "services/notification/core.h"

#include <errno.h>

#include "common/base/err.h"

int core_outcome_of_event(struct bytes body, Centraleta__V1__Outcome *ret)
{
	Centraleta__V1__RequestChanged *m =
		centraleta__v1__request_changed__unpack(NULL, body.len, body.data);

	if (!m)
		return err_here(-EBADMSG);
	*ret = m->outcome;
	centraleta__v1__request_changed__free_unpacked(m, NULL);
	return 0;
}

static int kind_of_change(struct bytes body, Centraleta__V1__MessageKind *ret)
{
	Centraleta__V1__RequestChanged *m =
		centraleta__v1__request_changed__unpack(NULL, body.len, body.data);

	if (!m)
		return err_here(-EBADMSG);
	/* another department may still be at work: one answer, when all is closed */
	*ret = m->state == CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_CLOSED ?
		CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RESOLVED :
		CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_UNSPECIFIED;
	centraleta__v1__request_changed__free_unpacked(m, NULL);
	return 0;
}

int core_message_of_event(int type, struct bytes body, Centraleta__V1__MessageKind *ret)
{
	switch (type) {
	case CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RECEIVED:
		*ret = CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RECEIVED;
		return 0;
	case CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RESOLVED:
		return kind_of_change(body, ret);
	default:
		*ret = CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_UNSPECIFIED;
		return 0;
	}
}

const char *smtp_stage_name(enum smtp_stage s)
{
	static const char *const names[] = { "connect", "hello", "mail", "rcpt", "data", "body" };

	return names[s];
}

static struct verdict of_reply(const struct smtp_end *end)
{
	bool refused = end->code >= 500;

	/* greeting, hello and sender are ours to repair: no citizen's address is wrong */
	if (end->stage <= SMTP_HELLO || (end->stage == SMTP_MAIL && !refused))
		return (struct verdict){ .state = CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_FAILED,
					 .blame_relay = true };
	if (end->stage == SMTP_MAIL)
		return (struct verdict){ .state = CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_FAILED };
	if (refused)
		return (struct verdict){
			.state = CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_UNDELIVERABLE };
	return (struct verdict){ .state = CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_FAILED,
				 .blame_domain = true };
}

static struct verdict of_end(const struct smtp_end *end)
{
	if (end->complete)
		return (struct verdict){ .state = CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_SENT };
	if (end->withheld)
		return (struct verdict){ .state = CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_FAILED,
					 .at_once = true };
	if (end->code >= 400 && end->code < 600)
		return of_reply(end);
	if (end->stage >= SMTP_BODY)
		return (struct verdict){
			.state = CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_UNCERTAIN };
	/* an idle connection that the server had closed says nothing about the server */
	return (struct verdict){ .state = CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_FAILED,
				 .at_once = end->reused,
				 .blame_relay = !end->reused };
}

struct verdict core_verdict(const struct smtp_end *end, unsigned attempt, unsigned attempts_max)
{
	struct verdict v = of_end(end);

	if (v.state == CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_FAILED && attempt >= attempts_max)
		v.state = CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_UNDELIVERABLE;
	return v;
}
