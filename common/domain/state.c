/*
 * state - a table for the steps of a work item, a fold for the request
 */
#include "common/domain/state.h"

#define WORK(s) CENTRALETA__V1__WORK_STATE__WORK_STATE_##s
#define REQUEST(s) CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_##s
#define OUTCOME(s) CENTRALETA__V1__OUTCOME__OUTCOME_##s

static Centraleta__V1__RequestState open_as(Centraleta__V1__WorkState s)
{
	switch (s) {
	case WORK(ACCEPTED):
		return REQUEST(ACCEPTED);
	case WORK(IN_PROGRESS):
		return REQUEST(IN_PROGRESS);
	default:
		return REQUEST(ROUTED);
	}
}

void state_of_request(const struct work_now *items, size_t n,
		      Centraleta__V1__RequestState *ret_state, Centraleta__V1__Outcome *ret_outcome)
{
	Centraleta__V1__RequestState open = REQUEST(UNSPECIFIED);
	Centraleta__V1__Outcome outcome = OUTCOME(UNSPECIFIED);
	bool closed = false;

	for (const struct work_now *w = items; w < items + n; w++) {
		if (w->state == WORK(REFUSED) || w->state == WORK(UNSPECIFIED))
			continue;
		if (w->state != WORK(RESOLVED)) {
			open = MAX(open, open_as(w->state));
			continue;
		}
		if (!closed || outcome != OUTCOME(DONE))
			outcome = w->outcome;
		closed = true;
	}
	if (open != REQUEST(UNSPECIFIED)) {
		*ret_state = open;
		*ret_outcome = OUTCOME(UNSPECIFIED);
		return;
	}
	*ret_state = closed ? REQUEST(CLOSED) : REQUEST(RECEIVED);
	*ret_outcome = outcome;
}

/* A further report of progress is one; what has ended stays so. */
bool state_may_change(Centraleta__V1__WorkState from, Centraleta__V1__WorkState to)
{
	switch (from) {
	case WORK(OPEN):
		return to == WORK(ACCEPTED) || to == WORK(IN_PROGRESS) || to == WORK(RESOLVED) ||
		       to == WORK(REFUSED);
	case WORK(ACCEPTED):
	case WORK(IN_PROGRESS):
		return to == WORK(IN_PROGRESS) || to == WORK(RESOLVED) || to == WORK(REFUSED);
	default:
		return false;
	}
}

bool state_request_closed(Centraleta__V1__RequestState s)
{
	return s == REQUEST(CLOSED);
}
