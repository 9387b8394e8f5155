/* covers common/domain/state.c */
#include "common/domain/state.h"
#include "tests/lib/test.h"

#define W(s) CENTRALETA__V1__WORK_STATE__WORK_STATE_##s
#define R(s) CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_##s
#define O(s) CENTRALETA__V1__OUTCOME__OUTCOME_##s

TEST(a_request_follows_its_work_items)
{
	static const struct {
		struct work_now items[3];
		size_t n;
		Centraleta__V1__RequestState state;
		Centraleta__V1__Outcome outcome;
	} cases[] = {
		{ { { 0 } }, 0, R(RECEIVED), O(UNSPECIFIED) },
		{ { { W(OPEN), 0 } }, 1, R(ROUTED), O(UNSPECIFIED) },
		{ { { W(ACCEPTED), 0 } }, 1, R(ACCEPTED), O(UNSPECIFIED) },
		{ { { W(IN_PROGRESS), 0 } }, 1, R(IN_PROGRESS), O(UNSPECIFIED) },
		{ { { W(RESOLVED), O(DECLINED) } }, 1, R(CLOSED), O(DECLINED) },
		{ { { W(REFUSED), O(NOT_OURS) } }, 1, R(RECEIVED), O(UNSPECIFIED) },
		/* the furthest of the open ones */
		{ { { W(ACCEPTED), 0 }, { W(IN_PROGRESS), 0 }, { W(OPEN), 0 } }, 3, R(IN_PROGRESS), O(UNSPECIFIED) },
		{ { { W(OPEN), 0 }, { W(ACCEPTED), 0 } }, 2, R(ACCEPTED), O(UNSPECIFIED) },
		/* open while one is open; a closed one does not raise it */
		{ { { W(RESOLVED), O(DONE) }, { W(OPEN), 0 } }, 2, R(ROUTED), O(UNSPECIFIED) },
		{ { { W(OPEN), 0 }, { W(RESOLVED), O(DONE) } }, 2, R(ROUTED), O(UNSPECIFIED) },
		/* done if any was, else the last */
		{ { { W(RESOLVED), O(DONE) }, { W(RESOLVED), O(NOT_FOUND) } }, 2, R(CLOSED), O(DONE) },
		{ { { W(RESOLVED), O(NOT_FOUND) }, { W(RESOLVED), O(DONE) } }, 2, R(CLOSED), O(DONE) },
		{ { { W(RESOLVED), O(DUPLICATE) }, { W(RESOLVED), O(NOT_FOUND) } }, 2, R(CLOSED), O(NOT_FOUND) },
		/* a refused one counts for nothing */
		{ { { W(REFUSED), O(NOT_OURS) }, { W(OPEN), 0 } }, 2, R(ROUTED), O(UNSPECIFIED) },
		{ { { W(RESOLVED), O(DONE) }, { W(REFUSED), O(NOT_OURS) } }, 2, R(CLOSED), O(DONE) },
		{ { { W(RESOLVED), O(DECLINED) }, { W(REFUSED), O(NOT_OURS) } }, 2, R(CLOSED), O(DECLINED) },
		{ { { W(REFUSED), O(NOT_OURS) }, { W(REFUSED), O(NOT_OURS) } }, 2, R(RECEIVED), O(UNSPECIFIED) },
	};

	FOREACH(c, cases) {
		Centraleta__V1__RequestState state;
		Centraleta__V1__Outcome outcome;

		state_of_request(c->items, c->n, &state, &outcome);
		ASSERT_EQ(state, c->state);
		ASSERT_EQ(outcome, c->outcome);
		ASSERT_EQ(state_request_closed(state), c->state == R(CLOSED));
	}
}

TEST(steps_of_a_work_item)
{
	/* rows from, columns to: UNSPECIFIED OPEN ACCEPTED IN_PROGRESS RESOLVED REFUSED */
	static const char *const may[] = { "000000", "001111", "000111", "000111", "000000", "000000" };

	for (unsigned from = 0; from < ARRAY_SIZE(may); from++) {
		for (unsigned to = 0; to < 6; to++)
			ASSERT_EQ(state_may_change(from, to), may[from][to] == '1');
	}
}
