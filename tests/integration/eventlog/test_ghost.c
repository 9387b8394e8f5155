/*
 * covers common/eventlog: commits whose answer is lost, by gate (reliability R12); processes that
 * die of an event (R13); a lane whose lease another took
 */
#include "tests/integration/eventlog/harness.h"
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECEIVED = 1, ROUTED = 3 };

static struct app routing(void)
{
	return (struct app){ .name = "routing", .log = true, .in = RECEIVED, .out = ROUTED };
}

/* ---- a gate: a lock that a group needs, held by another session ---------------------------- */

static PGconn *gate;

static void gate_sql(const char *sql)
{
	PGresult *r = PQexec(gate, sql);

	ASSERT_TRUE(PQresultStatus(r) == PGRES_COMMAND_OK || PQresultStatus(r) == PGRES_TUPLES_OK);
	PQclear(r);
}

static void gate_close(const char *lock)
{
	gate = PQconnectdb(pg_dsn(pg));
	ASSERT_EQ(PQstatus(gate), CONNECTION_OK);
	gate_sql("SET search_path = centraleta, public");
	gate_sql("BEGIN");
	gate_sql(lock);
}

static void gate_open(void)
{
	gate_sql("COMMIT");
	PQfinish(gate);
}

static pid_t waiter(void)
{
	const char *sql = "SELECT coalesce((SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
			  " AND application_name LIKE 'routing%' LIMIT 1), 0)";

	WAIT(pg_number(pg, sql) > 0, 5000);
	return (pid_t)pg_number(pg, sql);
}

/*
 * The back-end that waits at the gate is stopped, the gate opened, and the back-end woken after
 * the daemon has gone on. Returns how long that took.
 */
static uint64_t ghost(struct app *a, const char *lock)
{
	uint64_t at;
	pid_t pid;

	gate_close(lock);
	add_events(0, RECEIVED, 1000, 10);
	pid = waiter();
	ASSERT_EQ(kill(pid, SIGSTOP), 0);
	gate_open();
	at = clock_mono_ms();
	WAIT(a->n_seen == 10, 8000);
	at = clock_mono_ms() - at;
	ASSERT_EQ(kill(pid, SIGCONT), 0);
	return at;
}

static void check_one_effect(struct app *a)
{
	WAIT(answers(ROUTED) == 10, 10000);
	add_events(0, RECEIVED, 2000, 5);
	WAIT(answers(ROUTED) == 15, 10000);
	turns(300);
	ASSERT_EQ(answers(ROUTED), 15);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM (SELECT order_key FROM event WHERE type = 3"
			    " GROUP BY 1 HAVING count(*) > 1) d"), 0);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked"), 0);
	ASSERT_GE(a->n_seen, 5u);
}

TEST(a_ghost_at_the_step_is_fenced_and_the_daemon_goes_on)
{
	struct app a = routing();
	struct node n = { .group_ms = 1500 };
	uint64_t took;

	world_open();
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	WAIT(lanes_held(&a) == LANES, 5000);
	took = ghost(&a, "LOCK TABLE progress IN SHARE MODE");
	test_note("went on after %llu ms", (unsigned long long)took);
	ASSERT_LE(took, (uint64_t)5000);
	check_one_effect(&a);
	node_close(&n);
	world_close();
}

/* The ghost has its step, and waits for a row; events of lane 0 are stored and held back. */
static void ghost_behind_step(struct app *a, const char *lock)
{
	pid_t pid;

	a->hold = true;
	add_events(0, RECEIVED, 1000, 10);
	gate_close(lock);
	a->hold = false;
	pid = waiter();
	ASSERT_EQ(kill(pid, SIGSTOP), 0);
	gate_open();
	a->wait_key_row = false;
	turns(4000);
	ASSERT_EQ(answers(ROUTED), 0); /* the retry waits for the ghost's step */
	add_events(3, RECEIVED, 7000, 3); /* another lane doesn't */
	WAIT(answers(ROUTED) == 3, 5000);
	ASSERT_EQ(kill(pid, SIGCONT), 0);
	WAIT(answers(ROUTED) == 13, 10000);
	turns(500);
	ASSERT_EQ(answers(ROUTED), 13);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM (SELECT order_key FROM event WHERE type = 3"
			    " GROUP BY 1 HAVING count(*) > 1) d"), 0);
}

static void one_of_both_commits(const char *lock, bool key_row)
{
	struct app a = routing();
	struct node n = { .group_ms = 1500 };

	a.wait_key_row = key_row;
	world_open();
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	WAIT(lanes_held(&a) == LANES, 5000);
	ghost_behind_step(&a, lock);
	node_close(&n);
	world_close();
}

TEST(of_a_ghost_at_a_row_and_its_retry_one_commits)
{
	one_of_both_commits("SELECT pg_advisory_xact_lock(7001)", true);
}

TEST(of_a_ghost_at_the_lane_and_its_retry_one_commits)
{
	one_of_both_commits("SELECT 1 FROM lane WHERE lane = 0 FOR UPDATE", false);
}

TEST(a_holder_whose_lane_was_taken_commits_nothing_more)
{
	struct app a = routing();
	struct node n = { 0 };

	world_open();
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	WAIT(lanes_held(&a) == LANES, 5000);
	/* another one took the lane and a step of it, as after a long stop of ours */
	pg_sql(pg, "INSERT INTO member VALUES ('routing-9', 9, 'other', '', '', NULL, now() + interval '1 day');"
		   "UPDATE lease SET member = 'routing-9', boot = 9, epoch = epoch + 1"
		   " WHERE consumer = 'routing' AND lane = 0;"
		   "INSERT INTO progress VALUES ('routing', 0, 1, 0)");
	add_events(0, RECEIVED, 1000, 5);
	WAIT(!consumer_holds(a.consumer, 0), 5000);
	turns(1500);
	ASSERT_EQ(answers(ROUTED), 0);
	ASSERT_EQ(a.n_seen, 0u);
	ASSERT_FALSE(a.holds[0]);
	ASSERT_EQ(lanes_held(&a), (size_t)LANES - 1);
	node_close(&n);
	world_close();
}

TEST(a_step_by_another_makes_the_holder_load_again)
{
	struct app a = routing();
	struct node n = { 0 };

	world_open();
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	WAIT(lanes_held(&a) == LANES, 5000);
	pg_sql(pg, "INSERT INTO progress VALUES ('routing', 0, 1, 0)"); /* a ghost of ours */
	add_events(0, RECEIVED, 1000, 5);
	WAIT(a.n_seen == 5, 5000);
	ASSERT_EQ(a.lost, 1u);
	ASSERT_EQ(a.held, (unsigned)LANES + 1);
	ASSERT_EQ(node_metric(&n, "groups_total{consumer=\"routing\",verdict=\"fenced\"}"), 1);
	node_close(&n);
	world_close();
}

TEST(a_lost_server_costs_no_event_and_no_second_answer)
{
	struct app a = routing();
	struct node n = { 0 };

	world_open();
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned lane = 0; lane < LANES; lane++)
			add_events(lane, RECEIVED, 100000 * (lane + 1) + 1000 * i, 100);
		turns(30 + 40 * i);
		pg_kill(pg);
		pg_restart(pg);
	}
	WAIT(answers(ROUTED) == 400 * LANES, 30000);
	turns(1000);
	ASSERT_EQ(answers(ROUTED), 400 * LANES);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked"), 0);
	node_close(&n);
	world_close();
}

/* ---- an event that kills the process ------------------------------------------------------ */

static void live(int64_t fatal_key, int64_t want, uint64_t thinks_ms)
{
	struct app a = routing();
	struct node n = { 0 };
	uint64_t end = clock_mono_ms() + 15000;

	a.fatal_key = fatal_key;
	a.thinks_ms = thinks_ms;
	loop = NULL;
	if (loop_new(&loop))
		_exit(1);
	node_open(&n, "routing-1", NULL, &a, NULL);
	if (eventlog_start(n.log))
		_exit(1);
	while (clock_mono_ms() < end && answers(ROUTED) < want)
		if (loop_once(loop, 10))
			_exit(1);
	_exit(answers(ROUTED) == want ? 0 : 1);
}

/* one process after another, until one has done all; how many were killed by the event */
static unsigned deaths_of(int64_t fatal_key, int64_t want, uint64_t thinks_ms)
{
	unsigned deaths = 0;
	int status = -1;

	while (deaths < 20) {
		pid_t pid = fork();

		if (!pid)
			live(fatal_key, want, thinks_ms);
		ASSERT_GT(pid, 0);
		ASSERT_EQ(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 9)
			break;
		deaths++;
	}
	test_note("%u deaths", deaths);
	ASSERT_EQ(status, 0);
	return deaths;
}

TEST(an_event_that_kills_the_process_is_parked_after_six_deaths_at_most)
{
	unsigned deaths;

	world_open();
	add_events(0, RECEIVED, 1000, 211);
	deaths = deaths_of(1200, 210, 0);
	ASSERT_GE(deaths, 2u);
	ASSERT_LE(deaths, 6u);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked"), 1);
	ASSERT_EQ(pg_number(pg, "SELECT order_key FROM parked WHERE cause = 'crash'"), 1200);
	ASSERT_EQ(answers(ROUTED), 210);
	world_close();
}

/* what was being decided on other lanes when the process died has not killed it */
TEST(neighbours_on_other_lanes_are_not_parked_for_it)
{
	world_open();
	add_events(0, RECEIVED, 1000, 211);
	for (unsigned lane = 1; lane < LANES; lane++)
		add_events(lane, RECEIVED, 10000 * (int64_t)lane, 5);
	ASSERT_LE(deaths_of(1000, 210 + 7 * 5, 300), 6u);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked WHERE order_key <> 1000"), 0);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM parked WHERE order_key = 1000 AND cause = 'crash'"), 1);
	world_close();
}
