/* covers common/eventlog: taking, committing, catching up, setting aside, on one process */
#include "tests/integration/eventlog/harness.h"
#include <stdio.h>

enum { RECEIVED = 1, ROUTED = 3, NOTIFIED = 20 };

static struct app routing(void)
{
	return (struct app){ .name = "routing", .log = true, .in = RECEIVED, .out = ROUTED };
}

static long step_of(const char *consumer, unsigned lane, const char *what)
{
	char sql[200];

	snprintf(sql, sizeof(sql),
		 "SELECT %s FROM progress WHERE consumer = '%s' AND lane = %u ORDER BY step DESC LIMIT 1",
		 what, consumer, lane);
	return pg_number(pg, sql);
}

TEST(each_event_has_one_answer_in_order)
{
	struct app a = routing();
	struct node n = { 0 };

	world_open();
	for (unsigned lane = 0; lane < LANES; lane++)
		add_events(lane, RECEIVED, 1000 * (lane + 1), 300);
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	WAIT(a.n_seen == 300 * LANES, 20000);
	ASSERT_EQ(answers(ROUTED), 300 * LANES);
	ASSERT_EQ(lanes_held(&a), (size_t)LANES);
	ASSERT_EQ(a.held, (unsigned)LANES);
	ASSERT_LE(a.largest, 256u);
	ASSERT_GT(n.revision, 0);
	/* its own answers pass, too, without a step each */
	WAIT(step_of("routing", 3, "seq") == 600, 5000);
	ASSERT_STR_EQ(eventlog_holder(n.log, "routing", 3), "service-of-routing-1");
	node_drain(&n);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM lease WHERE member IS NOT NULL"), 0);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM member"), 0);
	ASSERT_EQ(a.lost, (unsigned)LANES);
	node_close(&n);
	world_close();
}

TEST(what_nobody_published_is_found_within_the_probe)
{
	struct app a = routing();
	struct node n = { 0 };
	uint64_t at;

	world_open();
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	turns(300);
	at = clock_mono_ms();
	add_events(2, RECEIVED, 5000, 3);
	WAIT(a.n_seen == 3, 3000);
	ASSERT_LE(clock_mono_ms() - at, (uint64_t)1500);
	node_close(&n);
	world_close();
}

TEST(one_bad_event_of_256_is_parked_alone)
{
	struct app a = routing();
	struct node n = { 0 };

	a.bad_key = 1100;
	world_open();
	add_events(0, RECEIVED, 1000, 256);
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	WAIT(a.n_seen == 255, 20000);
	WAIT(step_of("routing", 0, "seq") >= 256, 5000);
	ASSERT_EQ(answers(ROUTED), 255);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked"), 1);
	ASSERT_EQ(pg_number(pg, "SELECT order_key FROM parked WHERE cause = 'data'"), 1100);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked WHERE detail = '22012'"), 1);
	/* failing groups are few: it is searched by halves */
	ASSERT_LE(a.takes, 40u);
	node_close(&n);
	world_close();
}

/* three events of one key; the first is bad */
static void park_three(struct node *n, struct app *a)
{
	a->bad_key = 77;
	world_open();
	add_events(1, RECEIVED, 77, 1);
	pg_sql(pg, "SELECT * FROM event_append('{1,1,1}', '{1,1,1}', '{77,78,77}', '{NULL,1,NULL}', '{1,1,1}',"
		   " '{1,1,1}', '{t,t,t}', array_fill('\\x00112233445566778899aabbccddeeff'::bytea, '{3}'),"
		   " array_fill('\\x0801'::bytea, '{3}'))");
	*n = (struct node){ 0 };
	node_open(n, "routing-1", NULL, a, NULL);
	a->out = 0;
	a->ops.types = 1 << RECEIVED;
	node_start(n);
	WAIT(pg_number(pg, "SELECT count(*) FROM parked") == 3, 10000);
	WAIT(a->n_seen == 1 && a->seen[0] == 78, 5000);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked WHERE cause = 'behind'"), 2);
}

TEST(a_parked_key_is_played_back_in_order_when_wished)
{
	struct app a = routing();
	struct node n;

	park_three(&n, &a);
	a.bad_key = 0;
	turns(1500);
	ASSERT_EQ(a.n_seen, 1u); /* nobody wished */
	pg_sql(pg, "UPDATE parked SET wish = 'retry' WHERE cause = 'data'");
	WAIT(a.n_seen == 4, 5000);
	ASSERT_EQ(a.seen[1], 77);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked"), 0);
	add_events(1, RECEIVED, 79, 1);
	pg_sql(pg, "SELECT * FROM event_append('{1}', '{1}', '{77}', '{NULL}', '{1}', '{1}', '{t}',"
		   " array_fill('\\x00112233445566778899aabbccddeeff'::bytea, '{1}'),"
		   " array_fill('\\x0801'::bytea, '{1}'))");
	WAIT(a.n_seen == 6, 5000); /* the key is free again */
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked"), 0);
	node_close(&n);
	world_close();
}

TEST(a_discarded_event_frees_those_behind_it)
{
	struct app a = routing();
	struct node n;

	park_three(&n, &a);
	a.bad_key = 0;
	pg_sql(pg, "UPDATE parked SET wish = 'discard' WHERE cause = 'data'");
	WAIT(pg_number(pg, "SELECT count(*) FROM parked") == 0, 5000);
	WAIT(a.n_seen == 3, 5000); /* 78 and the two behind */
	node_close(&n);
	world_close();
}

TEST(a_replay_that_fails_again_waits_for_another_wish)
{
	struct app a = routing();
	struct node n;

	park_three(&n, &a);
	pg_sql(pg, "UPDATE parked SET wish = 'retry' WHERE cause = 'data'");
	WAIT(pg_number(pg, "SELECT count(*) FROM parked WHERE wish = 'retry'") == 0, 5000);
	turns(500);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked"), 3);
	ASSERT_EQ(a.n_seen, 1u);
	node_close(&n);
	world_close();
}

TEST(a_holder_that_takes_over_knows_the_parked_keys)
{
	struct app a = routing(), b = routing();
	struct node n, m = { 0 };

	park_three(&n, &a);
	node_close(&n); /* killed */
	b.out = 0;
	node_open(&m, "routing-1", NULL, &b, NULL);
	node_start(&m);
	pg_sql(pg, "SELECT * FROM event_append('{1}', '{1}', '{77}', '{NULL}', '{1}', '{1}', '{t}',"
		   " array_fill('\\x00112233445566778899aabbccddeeff'::bytea, '{1}'),"
		   " array_fill('\\x0801'::bytea, '{1}'))");
	WAIT(pg_number(pg, "SELECT count(*) FROM parked") == 4, 5000);
	ASSERT_EQ(b.n_seen, 0u);
	node_close(&m);
	world_close();
}

TEST(too_many_parked_keys_stop_the_lane_aloud)
{
	static const char *const sets[] = { "eventlog.parked_max=3", "eventlog.stopped_ms=500", NULL };
	struct app a = routing();
	struct node n = { 0 };

	world_open();
	add_events(0, RECEIVED, 1000, 10);
	node_open(&n, "routing-1", sets, &a, NULL);
	a.out = 3;
	a.bad_version_key = 0;
	/* every answer of this lane is bad: key_version 2 is taken already by another type */
	pg_sql(pg, "ALTER TABLE event ADD CONSTRAINT no_answers CHECK (type <> 3 OR lane <> 0)");
	node_start(&n);
	WAIT(node_metric(&n, "lane_stopped{consumer=\"routing\",lane=\"0\"}") == 1, 10000);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked"), 3);
	add_events(1, RECEIVED, 2000, 5);
	WAIT(a.n_seen == 5, 5000); /* other lanes go on */
	pg_sql(pg, "ALTER TABLE event DROP CONSTRAINT no_answers; UPDATE parked SET wish = 'retry'");
	WAIT(a.n_seen == 15, 10000); /* repaired: it goes on by itself */
	ASSERT_EQ(node_metric(&n, "lane_stopped{consumer=\"routing\",lane=\"0\"}"), 0);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked"), 0);
	node_close(&n);
	world_close();
}

TEST(a_conflict_is_decided_again_and_forty_in_a_row_are_a_bug)
{
	static const char *const sets[] = { "eventlog.stopped_ms=300", NULL };
	struct app a = routing();
	struct node n = { 0 };

	a.bad_version_key = 1003;
	a.conflicts_left = 9;
	world_open();
	add_events(0, RECEIVED, 1000, 10);
	node_open(&n, "routing-1", sets, &a, NULL);
	node_start(&n);
	WAIT(a.n_seen == 10, 10000);
	ASSERT_EQ(answers(ROUTED), 10);
	ASSERT_EQ(node_metric(&n, "groups_total{consumer=\"routing\",verdict=\"conflict\"}"), 9);
	a.bad_version_key = 2000;
	a.conflicts_left = 41;
	add_events(0, RECEIVED, 2000, 1);
	WAIT(node_metric(&n, "lane_stopped{consumer=\"routing\",lane=\"0\"}") == 1, 30000);
	WAIT(a.n_seen == 11, 10000); /* looked at again */
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked"), 0);
	node_close(&n);
	world_close();
}

TEST(a_batch_taken_back_is_taken_again)
{
	struct app a = routing();
	struct node n = { 0 };

	a.retry_once_key = 1004;
	world_open();
	add_events(0, RECEIVED, 1000, 10);
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	WAIT(a.n_seen == 10, 10000);
	ASSERT_EQ(a.retry_once_key, 0);
	ASSERT_EQ(answers(ROUTED), 10);
	node_close(&n);
	world_close();
}

TEST(a_chain_commits_on_kicks_alone)
{
	struct app a = routing();
	struct app chain = { .name = "dispatch.department", .out = NOTIFIED, .kick_key = 9000 };
	struct node n = { 0 };

	world_open();
	add_events(0, RECEIVED, 1000, 2);
	node_open(&n, "routing-1", NULL, &a, &chain);
	node_start(&n);
	WAIT(a.n_seen == 2, 10000);
	turns(200);
	ASSERT_EQ(chain.takes, 0u);
	WAIT(consumer_holds(chain.consumer, 4), 5000);
	consumer_kick(chain.consumer, 4);
	WAIT(chain.commits == 1, 5000);
	ASSERT_EQ(answers(NOTIFIED), 1);
	ASSERT_EQ(step_of("dispatch.department", 4, "step"), 1);
	ASSERT_EQ(step_of("dispatch.department", 4, "seq"), 0);
	node_close(&n);
	world_close();
}

TEST(events_of_no_interest_make_few_steps)
{
	static const char *const sets[] = { "eventlog.skip_ms=300", NULL };
	struct app a = routing();
	struct node n = { 0 };

	world_open();
	node_open(&n, "routing-1", sets, &a, NULL);
	node_start(&n);
	for (unsigned i = 0; i < 10; i++) {
		add_events(0, NOTIFIED, 100 + 10 * i, 10);
		turns(30);
	}
	WAIT(step_of("routing", 0, "seq") == 100, 5000);
	ASSERT_LE(step_of("routing", 0, "step"), 4);
	ASSERT_EQ(a.takes, 0u);
	node_close(&n);
	world_close();
}

TEST(old_progress_rows_go_but_never_the_newest)
{
	static const char *const sets[] = { "eventlog.prune_after_ms=0", "eventlog.probe_ms=20",
					    "eventlog.prune_rows=50", NULL };
	struct app a = routing();
	struct node n = { 0 };

	world_open();
	pg_sql(pg, "INSERT INTO progress SELECT 'routing', 0, g, 0, now() - interval '2 hours'"
		   " FROM generate_series(1, 300) g");
	node_open(&n, "routing-1", sets, &a, NULL);
	node_start(&n);
	WAIT(pg_number(pg, "SELECT count(*) FROM progress WHERE consumer = 'routing' AND lane = 0") == 1, 20000);
	ASSERT_EQ(step_of("routing", 0, "step"), 300);
	node_close(&n);
	world_close();
}

TEST(many_old_progress_rows_go_bite_after_bite)
{
	static const char *const sets[] = { "eventlog.prune_rows=50", NULL };
	struct app a = routing();
	struct node n = { 0 };

	world_open();
	pg_sql(pg, "INSERT INTO progress SELECT 'routing', 5, g, 0, now() - interval '2 hours'"
		   " FROM generate_series(1, 1000) g");
	node_open(&n, "routing-1", sets, &a, NULL);
	node_start(&n);
	/* a bite a second and lane would take 160 s */
	WAIT(pg_number(pg, "SELECT count(*) FROM progress WHERE consumer = 'routing' AND lane = 5") == 1, 40000);
	ASSERT_EQ(step_of("routing", 5, "step"), 1000);
	node_close(&n);
	world_close();
}

TEST(the_configurations_revision_is_told)
{
	struct app a = routing();
	struct node n = { 0 };
	int64_t before;

	world_open();
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	WAIT(n.revision > 0, 3000);
	before = n.revision;
	pg_sql(pg, "UPDATE config_revision SET revision = revision + 1");
	WAIT(n.revision == before + 1, 1500);
	node_close(&n);
	world_close();
}

TEST(a_rewind_voids_what_was_heard_and_goes_on_behind_the_jump)
{
	struct app a = routing();
	struct node n = { 0 };

	world_open();
	add_events(0, RECEIVED, 1000, 5);
	a.out = 0;
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	WAIT(a.n_seen == 5, 10000);
	pg_sql(pg, "UPDATE lane SET generation = 2, after = 5, base = 1000000005 WHERE lane = 0");
	add_events(0, RECEIVED, 2000, 5);
	WAIT(a.n_seen == 10, 5000);
	ASSERT_EQ(step_of("routing", 0, "seq"), 1000000010);
	ASSERT_EQ(node_metric(&n, "lane_stopped{consumer=\"routing\",lane=\"0\"}"), 0);
	node_close(&n);
	world_close();
}
