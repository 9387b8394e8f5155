#pragma once
/*
 * state - a request's state, derived from its work items; and which step a work item may take
 *
 * The one place that decides both (design 3). Pure.
 */
#include "common/base/base.h"
#include "centraleta/v1/event.pb-c.h"

struct work_now {
	Centraleta__V1__WorkState state;
	Centraleta__V1__Outcome outcome;
};

/*
 * Refused work items don't count: another one follows. Open while one is open; the furthest of
 * the open ones says how far. Closed when all that count are closed; the outcome is DONE if any
 * was done, else that of the last. With none that counts: RECEIVED (waiting for routing).
 */
void state_of_request(const struct work_now *items, size_t n,
		      Centraleta__V1__RequestState *ret_state,
		      Centraleta__V1__Outcome *ret_outcome);

/* may a work item go from one state to another by this update? (NOTE leaves it as it is) */
bool state_may_change(Centraleta__V1__WorkState from, Centraleta__V1__WorkState to);
bool state_request_closed(Centraleta__V1__RequestState s);
