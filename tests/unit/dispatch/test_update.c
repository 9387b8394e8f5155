/* covers services/dispatch/core_update.c: what a department's updates change */
#include "services/dispatch/core_update.h"
#include "tests/lib/test.h"

#define KIND(k) CENTRALETA__V1__UPDATE_KIND__UPDATE_KIND_##k
#define WORK(s) CENTRALETA__V1__WORK_STATE__WORK_STATE_##s
#define REQUEST(s) CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_##s
#define EVENT(t) CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_##t
#define OUTCOME(o) CENTRALETA__V1__OUTCOME__OUTCOME_##o

enum { TOWN = 7, ROADS = 20, TRIAGE = 21, POTHOLE = 3, TREE = 4, NOW = 1000 };

struct fixture {
	struct update_view view;
	const struct update *updates[16];
	size_t n;
	struct update_plan plan;
};

static void end(struct fixture *x)
{
	for (size_t i = 0; i < x->n; i++)
		free((void *)x->updates[i]);
	update_view_fini(&x->view);
	update_plan_fini(&x->plan);
}

static void has_request(struct fixture *x, int64_t work_item, int64_t request, int key_version)
{
	const struct request_now r = { .request = request, .jurisdiction = TOWN,
				       .key_version = key_version, .trace = { { (uint8_t)request } } };

	update_view_request(&x->view, work_item, &r);
}

static void has_item(struct fixture *x, int64_t request, int64_t work_item,
		     Centraleta__V1__WorkState state, int key_version)
{
	const struct item_now i = { .work_item = work_item, .jurisdiction = TOWN,
				    .department = ROADS, .service = POTHOLE, .state = state,
				    .outcome = state == WORK(RESOLVED) ? OUTCOME(DONE) : 0,
				    .key_version = key_version };

	update_view_item(&x->view, request, &i);
}

/* request 100 with work item 201, both in lane 0 and 1 */
static void begin(struct fixture *x, Centraleta__V1__WorkState state)
{
	*x = (struct fixture){ 0 };
	has_request(x, 201, 100, 2);
	has_item(x, 100, 201, state, 0);
}

static const struct speaker roads = { .jurisdiction = TOWN, .department = ROADS };

static void say_by(struct fixture *x, const struct speaker *by, const char *id, Centraleta__V1__UpdateKind kind,
		   int64_t work_item, const char *note)
{
	Centraleta__V1__Update f = CENTRALETA__V1__UPDATE__INIT;

	f.update_id = (char *)id;
	f.work_item = work_item;
	f.kind = kind;
	f.note = (char *)note;
	if (kind == KIND(RESOLVE))
		f.outcome = OUTCOME(DONE);
	if (kind == KIND(REFUSE))
		f.reason = CENTRALETA__V1__REFUSE_REASON__REFUSE_REASON_WRONG_DEPARTMENT;
	x->updates[x->n] = update_of_frame(&f, by, NOW);
	ASSERT_NOT_NULL(x->updates[x->n++]);
}

static void say(struct fixture *x, const char *id, Centraleta__V1__UpdateKind kind, int64_t work_item,
		const char *note)
{
	say_by(x, &roads, id, kind, work_item, note);
}

static void decide(struct fixture *x)
{
	ASSERT_OK(update_view_seal(&x->view));
	ASSERT_OK(update_decide(&x->view, x->updates, x->n, NOW, &x->plan));
}

TEST(accept_makes_an_event_of_each)
{
	struct fixture x;

	begin(&x, WORK(OPEN));
	say(&x, "a", KIND(ACCEPT), 201, "");
	decide(&x);
	ASSERT_TRUE(x.plan.decisions[0].taken);
	ASSERT_TRUE(x.plan.decisions[0].store);
	ASSERT_EQ(x.plan.n_changes, 2u);
	ASSERT_EQ((int)x.plan.changes[0].type, (int)EVENT(WORK_ACCEPTED));
	ASSERT_EQ(x.plan.changes[0].key, 201);
	ASSERT_EQ(x.plan.changes[0].key_version, 1);
	ASSERT_EQ(x.plan.changes[0].trace.id[0], 100);
	ASSERT_EQ((int)x.plan.changes[1].type, (int)EVENT(REQUEST_ACCEPTED));
	ASSERT_EQ(x.plan.changes[1].key, 100);
	ASSERT_EQ(x.plan.changes[1].key_version, 3);
	ASSERT_EQ((int)x.plan.changes[1].state.request, (int)REQUEST(ACCEPTED));
	ASSERT_TRUE(x.view.items[0].changed);
	ASSERT_EQ(x.view.items[0].key_version, 1);
	end(&x);
}

TEST(a_whole_life_in_one_batch)
{
	struct fixture x;

	begin(&x, WORK(OPEN));
	say(&x, "a", KIND(ACCEPT), 201, "");
	say(&x, "p1", KIND(PROGRESS), 201, "half way");
	say(&x, "p2", KIND(PROGRESS), 201, "nearly");
	say(&x, "r", KIND(RESOLVE), 201, "done");
	decide(&x);
	ASSERT_EQ(x.plan.n_changes, 8u);
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(x.plan.changes[2 * i].key_version, i + 1);
		ASSERT_EQ(x.plan.changes[2 * i + 1].key_version, i + 3);
	}
	ASSERT_EQ((int)x.plan.changes[7].type, (int)EVENT(REQUEST_RESOLVED));
	ASSERT_EQ((int)x.plan.changes[7].state.request, (int)REQUEST(CLOSED));
	ASSERT_EQ((int)x.plan.changes[7].outcome, (int)OUTCOME(DONE));
	ASSERT_EQ((int)x.view.items[0].state, (int)WORK(RESOLVED));
	ASSERT_EQ(x.view.items[0].key_version, 4);
	end(&x);
}

TEST(steps_that_a_work_item_may_not_take)
{
	static const struct {
		Centraleta__V1__WorkState from;
		Centraleta__V1__UpdateKind kind;
		const char *want;
	} cases[] = {
		{ WORK(RESOLVED), KIND(ACCEPT), "the work item is resolved, it can't become accepted" },
		{ WORK(RESOLVED), KIND(RESOLVE), "the work item is resolved" },
		{ WORK(REFUSED), KIND(PROGRESS), "the work item is refused" },
		{ WORK(IN_PROGRESS), KIND(ACCEPT), "the work item is in progress" },
	};

	FOREACH(c, cases) {
		struct fixture x;

		begin(&x, c->from);
		say(&x, "a", c->kind, 201, "");
		decide(&x);
		ASSERT_FALSE(x.plan.decisions[0].taken);
		ASSERT_EQ((int)x.plan.decisions[0].refusal.code, (int)REFUSED_CONFLICT);
		ASSERT_HAS(x.plan.decisions[0].refusal.reason, c->want);
		ASSERT_EQ(x.plan.n_changes, 0u);
		ASSERT_FALSE(x.view.items[0].changed);
		end(&x);
	}
}

TEST(a_note_changes_no_state)
{
	struct fixture x;

	begin(&x, WORK(RESOLVED));
	say(&x, "n", KIND(NOTE), 201, "the sign stays until Friday");
	decide(&x);
	ASSERT_TRUE(x.plan.decisions[0].store);
	ASSERT_EQ(x.plan.n_changes, 0u);
	ASSERT_FALSE(x.view.items[0].changed);
	end(&x);
}

TEST(a_stored_update_id_changes_nothing)
{
	struct fixture x;

	begin(&x, WORK(ACCEPTED));
	say(&x, "a", KIND(ACCEPT), 201, "");
	say(&x, "a", KIND(ACCEPT), 201, "another word");
	update_view_seen(&x.view, 0, x.updates[0]->hash);
	update_view_seen(&x.view, 1, x.updates[0]->hash);
	decide(&x);
	ASSERT_TRUE(x.plan.decisions[0].taken);
	ASSERT_TRUE(x.plan.decisions[0].repeat);
	ASSERT_TRUE(x.plan.decisions[0].store); /* its hits go up */
	ASSERT_FALSE(x.plan.decisions[1].taken);
	ASSERT_EQ((int)x.plan.decisions[1].refusal.code, (int)REFUSED_CONFLICT);
	ASSERT_EQ(x.plan.n_changes, 0u);
	end(&x);
}

TEST(the_same_update_id_twice_in_one_batch)
{
	struct fixture x;

	begin(&x, WORK(OPEN));
	say(&x, "a", KIND(ACCEPT), 201, "");
	say(&x, "a", KIND(ACCEPT), 201, "");
	say(&x, "a", KIND(PROGRESS), 201, "");
	decide(&x);
	ASSERT_TRUE(x.plan.decisions[1].taken);
	ASSERT_TRUE(x.plan.decisions[1].repeat);
	ASSERT_FALSE(x.plan.decisions[1].store);
	ASSERT_EQ((int)x.plan.decisions[2].refusal.code, (int)REFUSED_CONFLICT);
	ASSERT_EQ(x.plan.n_changes, 2u);
	end(&x);
}

TEST(an_update_id_that_was_refused_may_be_used_again)
{
	struct fixture x;

	begin(&x, WORK(ACCEPTED));
	say(&x, "a", KIND(ACCEPT), 201, "");
	say(&x, "a", KIND(PROGRESS), 201, "");
	decide(&x);
	ASSERT_FALSE(x.plan.decisions[0].taken);
	ASSERT_TRUE(x.plan.decisions[1].taken);
	end(&x);
}

TEST(work_of_others_and_unknown_work_are_told_alike)
{
	struct fixture x;
	struct item_now other = { .work_item = 301, .department = TRIAGE, .state = WORK(OPEN) };

	begin(&x, WORK(OPEN));
	has_request(&x, 301, 300, 2);
	update_view_item(&x.view, 300, &other);
	say(&x, "a", KIND(ACCEPT), 301, "");
	say(&x, "b", KIND(ACCEPT), 999901, "");
	decide(&x);
	for (int i = 0; i < 2; i++)
		ASSERT_EQ((int)x.plan.decisions[i].refusal.code, (int)REFUSED_FOREIGN);
	ASSERT_STR_EQ(x.plan.decisions[0].refusal.reason, x.plan.decisions[1].refusal.reason);
	end(&x);
}

TEST(a_key_with_topics_changes_work_of_these_alone)
{
	static int32_t trees[] = { TREE }, both[] = { TREE, POTHOLE }, unknown[] = { 0 };
	static const struct {
		struct speaker by;
		bool taken;
	} cases[] = {
		{ { .jurisdiction = TOWN, .department = ROADS, .services = trees, .n_services = 1 }, false },
		{ { .jurisdiction = TOWN, .department = ROADS, .services = both, .n_services = 2 }, true },
		{ { .jurisdiction = TOWN, .department = ROADS, .services = unknown, .n_services = 1 }, false },
	};
	struct fixture x;

	FOREACH(c, cases) {
		begin(&x, WORK(OPEN));
		say_by(&x, &c->by, "a", KIND(ACCEPT), 201, "a note");
		decide(&x);
		ASSERT_STR_EQ(x.updates[0]->note, "a note");
		ASSERT_TRUE(x.plan.decisions[0].taken == c->taken);
		if (!c->taken)
			ASSERT_EQ((int)x.plan.decisions[0].refusal.code, (int)REFUSED_FOREIGN);
		end(&x);
	}
}

TEST(triage_cannot_refuse)
{
	struct fixture x;

	begin(&x, WORK(OPEN));
	say(&x, "a", KIND(REFUSE), 201, "");
	((struct update *)x.updates[0])->triage = true;
	decide(&x);
	ASSERT_EQ((int)x.plan.decisions[0].refusal.code, (int)REFUSED_INVALID);
	end(&x);
}

TEST(a_refused_request_waits_for_routing)
{
	struct fixture x;

	begin(&x, WORK(OPEN));
	say(&x, "a", KIND(REFUSE), 201, "not our road");
	decide(&x);
	ASSERT_EQ((int)x.plan.changes[0].type, (int)EVENT(WORK_REFUSED));
	ASSERT_EQ((int)x.plan.changes[0].outcome, (int)OUTCOME(NOT_OURS));
	ASSERT_EQ((int)x.plan.changes[1].type, (int)EVENT(REQUEST_REFUSED));
	ASSERT_EQ((int)x.plan.changes[1].state.request, (int)REQUEST(RECEIVED));
	ASSERT_EQ((int)x.plan.changes[1].outcome, (int)OUTCOME(UNSPECIFIED));
	end(&x);
}

TEST(refusing_one_of_two_does_not_close)
{
	struct fixture x;

	begin(&x, WORK(RESOLVED));
	has_request(&x, 202, 100, 2);
	has_item(&x, 100, 202, WORK(OPEN), 0);
	say(&x, "a", KIND(REFUSE), 202, "");
	decide(&x);
	ASSERT_EQ((int)x.plan.changes[1].state.request, (int)REQUEST(RECEIVED));
	end(&x);
}

/* one storm, two crews: the request is resolved with the last of them */
TEST(two_work_items_of_one_request)
{
	struct fixture x;

	begin(&x, WORK(OPEN));
	has_request(&x, 202, 100, 2);
	has_item(&x, 100, 202, WORK(OPEN), 0);
	say(&x, "a", KIND(RESOLVE), 201, "");
	say(&x, "b", KIND(RESOLVE), 202, "");
	decide(&x);
	ASSERT_EQ(x.plan.n_changes, 4u);
	ASSERT_EQ((int)x.plan.changes[1].type, (int)EVENT(REQUEST_PROGRESSED));
	ASSERT_EQ((int)x.plan.changes[1].state.request, (int)REQUEST(ROUTED));
	ASSERT_EQ((int)x.plan.changes[3].type, (int)EVENT(REQUEST_RESOLVED));
	ASSERT_EQ(x.plan.changes[3].key_version, 4);
	end(&x);
}

/* one pothole, three citizens in three lanes */
TEST(one_work_item_of_three_requests)
{
	struct fixture x;

	begin(&x, WORK(OPEN));
	for (int64_t request = 103; request <= 104; request++) {
		has_request(&x, 201, request, 5);
		has_item(&x, request, 201, WORK(OPEN), 0);
	}
	say(&x, "a", KIND(RESOLVE), 201, "");
	decide(&x);
	ASSERT_EQ(x.plan.n_changes, 4u);
	for (int i = 1; i < 4; i++) {
		ASSERT_TRUE(x.plan.changes[i].of_request);
		ASSERT_EQ((int)x.plan.changes[i].state.request, (int)REQUEST(CLOSED));
	}
	ASSERT_EQ(x.plan.changes[1].key_version, 3);
	ASSERT_EQ(x.plan.changes[3].key_version, 6);
	end(&x);
}

TEST(many_rows_are_found_again)
{
	struct fixture x = { 0 };

	for (int64_t i = 500; i > 0; i--) {
		has_request(&x, i * 100, i * 100 + 1, 1);
		has_item(&x, i * 100 + 1, i * 100, WORK(OPEN), 0);
	}
	say(&x, "a", KIND(ACCEPT), 100, "");
	say(&x, "b", KIND(ACCEPT), 50000, "");
	say(&x, "c", KIND(ACCEPT), 24700, "");
	decide(&x);
	ASSERT_EQ(x.plan.n_changes, 6u);
	ASSERT_EQ(x.plan.changes[5].key, 24701);
	end(&x);
}

TEST(the_hash_is_of_what_was_said)
{
	struct fixture x;

	begin(&x, WORK(OPEN));
	say(&x, "a", KIND(ACCEPT), 201, "one");
	say(&x, "b", KIND(ACCEPT), 201, "one");
	say(&x, "c", KIND(ACCEPT), 201, "two");
	ASSERT_MEM_EQ(x.updates[0]->hash, x.updates[1]->hash, UPDATE_HASH);
	ASSERT_TRUE(memcmp(x.updates[0]->hash, x.updates[2]->hash, UPDATE_HASH) != 0);
	ASSERT_EQ(x.updates[0]->occurred_at_us, NOW);
	ASSERT_EQ(x.updates[0]->lane, 1);
	end(&x);
}
