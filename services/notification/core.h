#pragma once
/*
 * core - what an event asks for, and what became of an attempt
 *
 * Pure.
 */
#include "common/base/base.h"
#include "centraleta/v1/event.pb-c.h"

/* MESSAGE_KIND_UNSPECIFIED: the citizen is told nothing. -EBADMSG: the body can't be read */
int core_message_of_event(int type, struct bytes body, Centraleta__V1__MessageKind *ret) _must_check_;
/* -EBADMSG; only of a request.resolved */
int core_outcome_of_event(struct bytes body, Centraleta__V1__Outcome *ret) _must_check_;

/* how far a transfer got: the last command that left us */
enum smtp_stage {
	SMTP_CONNECT, /* not even a greeting was asked for */
	SMTP_HELLO,
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_DATA, /* the command; nothing of the message yet */
	SMTP_BODY, /* the message's first byte may have left */
};
const char *smtp_stage_name(enum smtp_stage s);

struct smtp_end {
	bool complete; /* the server took responsibility: 250 after the message */
	bool withheld; /* our own last check before the message's first byte said no */
	bool reused; /* on a connection that had carried other mail */
	enum smtp_stage stage;
	int code; /* newest reply code; 0: none */
};

struct verdict {
	Centraleta__V1__AttemptState state;
	bool at_once; /* FAILED, but nobody is to blame: no back-off */
	bool blame_relay; /* our mail server */
	bool blame_domain; /* the recipient's */
};

/* attempt: the number of this one, from 1 */
struct verdict core_verdict(const struct smtp_end *end, unsigned attempt, unsigned attempts_max);
