/* covers the judge of commits on a real server: every case of reliability F1, and the verdicts */
#include <signal.h>
#include <unistd.h>
#include "tests/integration/store/harness.h"

static struct store_group *insert(struct harness *h, int id)
{
	struct store_group *g = harness_group(h, &q_insert);

	store_p_int4(g, id);
	store_p_text(g, "body");
	return g;
}

static void begin(struct harness *h, struct pg **p, const char *settings)
{
	*p = pg_start(&(struct pg_options){ .settings = settings });
	harness_schema(*p);
	harness_open(h, *p, &(struct store_options){ .application_name = "judge", .group_ms = 1500 });
}

/* the back-end of the store under test */
static pid_t backend(struct pg *p)
{
	return (pid_t)pg_number(p, "SELECT pid FROM pg_stat_activity WHERE application_name = 'judge'");
}

static void until_waiting(struct harness *h, struct pg *p, const char *event)
{
	char sql[160];

	snprintf(sql, sizeof(sql),
		 "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'judge' AND wait_event = '%s'",
		 event);
	while (!pg_number(p, sql))
		harness_turn(h);
}

static void still_works(struct harness *h, int id)
{
	struct seen s;

	harness_until_ready(h, true);
	s = harness_run(h, insert(h, id));
	ASSERT_VERDICT(&s, STORE_OK);
}

TEST(an_error_before_the_sync_undoes_what_said_ok)
{
	struct harness h;
	struct pg *p;
	struct store_group *g;
	struct seen s;

	begin(&h, &p, NULL);
	g = insert(&h, 1);
	store_add(g, &q_divide);
	store_p_int4(g, 0);
	store_add(g, &q_value);
	store_p_int8(g, 5);
	s = harness_run(&h, g);
	ASSERT_VERDICT(&s, STORE_DATA);
	ASSERT_STR_EQ(s.sqlstate, "22012");
	ASSERT_EQ(s.n, 0);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM t"), 0);
	still_works(&h, 1); /* the session is clean: no 25P02 */
	harness_close(&h);
	pg_free(p);
}

TEST(an_error_at_the_commit_itself_is_certain)
{
	struct harness h;
	struct pg *p;
	struct store_group *g;
	struct seen s;

	begin(&h, &p, NULL);
	g = harness_group(&h, &q_child);
	store_p_int4(g, 77);
	s = harness_run(&h, g);
	ASSERT_VERDICT(&s, STORE_DATA);
	ASSERT_STR_EQ(s.constraint, "child_t_fkey");
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM child"), 0);
	still_works(&h, 1);
	harness_close(&h);
	pg_free(p);
}

TEST(a_statement_timeout_committed_nothing)
{
	struct harness h;
	struct pg *p;
	struct store_group *g;
	struct seen s;

	begin(&h, &p, NULL);
	g = harness_group(&h, &q_set);
	store_p_text(g, "statement_timeout");
	store_p_text(g, "200ms");
	s = harness_run(&h, g);
	ASSERT_VERDICT(&s, STORE_OK);
	g = insert(&h, 1);
	store_add(g, &q_sleep);
	store_p_real(g, 1.2);
	s = harness_run(&h, g);
	ASSERT_VERDICT(&s, STORE_AGAIN);
	ASSERT_STR_EQ(s.sqlstate, "57014");
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM t"), 0);
	ASSERT_TRUE(store_ready(h.store)); /* its session is as good as before */
	harness_close(&h);
	pg_free(p);
}

TEST(a_begin_in_a_group_is_a_bug_and_its_session_is_given_up)
{
	struct harness h;
	struct pg *p;
	struct store_group *g;
	struct seen s;

	begin(&h, &p, NULL);
	g = harness_group(&h, &q_begin);
	store_add(g, &q_insert);
	store_p_int4(g, 1);
	store_p_text(g, "body");
	s = harness_run(&h, g);
	ASSERT_VERDICT(&s, STORE_BUG);
	ASSERT_EQ(h.ready_changes, 2); /* ready, and no more */
	still_works(&h, 2);
	ASSERT_EQ(pg_number(p, "SELECT sum(id) FROM t"), 2);
	harness_close(&h);
	pg_free(p);
}

TEST(a_cancelled_wait_for_the_standby_is_unsure)
{
	struct harness h;
	struct pg *p;
	struct seen s;

	begin(&h, &p, "synchronous_standby_names = 'nobody'\nsynchronous_commit = local");
	pg_sql(p, "SET synchronous_commit = local");
	harness_close(&h);
	harness_open(&h, p, &(struct store_options){ .application_name = "judge", .group_ms = 15000 });
	{
		struct store_group *g = harness_group(&h, &q_set);

		store_p_text(g, "synchronous_commit");
		store_p_text(g, "on");
		s = harness_run(&h, g);
		ASSERT_VERDICT(&s, STORE_OK);
	}
	harness_submit(&h, insert(&h, 1), &s);
	until_waiting(&h, p, "SyncRep");
	ASSERT_FALSE(s.done); /* and statement_timeout would not end it */
	pg_sql(p, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'judge'");
	harness_wait(&h, &s);
	ASSERT_VERDICT(&s, STORE_UNSURE);
	ASSERT_STR_EQ(s.sqlstate, ""); /* the server said COMMIT, with a warning beside it */
	ASSERT_EQ(s.n, 0);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM t"), 1); /* visible, yet on one disk */
	harness_submit(&h, insert(&h, 2), &s);
	until_waiting(&h, p, "SyncRep");
	pg_sql(p, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'judge'");
	harness_wait(&h, &s);
	ASSERT_VERDICT(&s, STORE_UNSURE);
	harness_close(&h);
	pg_free(p);
}

TEST(the_group_timer_ends_an_endless_wait_for_the_standby)
{
	struct harness h;
	struct pg *p;
	struct store_group *g;
	struct seen s;

	begin(&h, &p, "synchronous_standby_names = 'nobody'\nsynchronous_commit = local");
	g = harness_group(&h, &q_set);
	store_p_text(g, "synchronous_commit");
	store_p_text(g, "on");
	s = harness_run(&h, g);
	ASSERT_VERDICT(&s, STORE_OK);
	s = harness_run(&h, insert(&h, 1));
	ASSERT_VERDICT(&s, STORE_UNSURE);
	still_works(&h, 2); /* on a new session, whose commit is local */
	harness_close(&h);
	pg_free(p);
}

TEST(a_session_that_is_ended_inside_a_statement_committed_nothing)
{
	struct harness h;
	struct pg *p;
	struct store_group *g;
	struct seen s, behind;

	begin(&h, &p, NULL);
	g = insert(&h, 1);
	store_add(g, &q_sleep);
	store_p_real(g, 1.2);
	harness_submit(&h, g, &s);
	harness_submit(&h, insert(&h, 2), &behind);
	until_waiting(&h, p, "PgSleep");
	pg_sql(p, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'judge'");
	harness_wait(&h, &behind);
	ASSERT_VERDICT(&s, STORE_AGAIN);
	ASSERT_STR_EQ(s.sqlstate, "57P01");
	ASSERT_VERDICT(&behind, STORE_UNSURE); /* it was on its way */
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM t"), 0);
	still_works(&h, 1);
	harness_close(&h);
	pg_free(p);
}

static void ended_by(int signo)
{
	struct harness h;
	struct pg *p;
	struct store_group *g;
	struct seen s;

	begin(&h, &p, NULL);
	g = insert(&h, 1);
	store_add(g, &q_sleep);
	store_p_real(g, 1.2);
	harness_submit(&h, g, &s);
	until_waiting(&h, p, "PgSleep");
	if (signo)
		kill(backend(p), signo); /* the postmaster then ends all sessions and recovers */
	else
		pg_kill(p);
	harness_wait(&h, &s);
	ASSERT_VERDICT(&s, STORE_UNSURE);
	ASSERT_FALSE(store_ready(h.store));
	if (!signo) {
		struct store_group *down = insert(&h, 3);

		ASSERT_EQ(store_submit(down, NULL, NULL), STORE_E_DOWN);
		store_group_free(down);
		pg_restart(p);
	}
	still_works(&h, 2);
	ASSERT_EQ(pg_number(p, "SELECT sum(id) FROM t"), 2);
	harness_close(&h);
	pg_free(p);
}

TEST(a_killed_back_end_is_unsure_and_the_store_comes_back)
{
	ended_by(SIGKILL);
}

TEST(an_immediate_shutdown_is_unsure_and_the_store_comes_back)
{
	ended_by(0);
}

TEST(a_stopped_back_end_is_left_by_the_group_timer)
{
	struct harness h;
	struct pg *p;
	struct seen s;
	pid_t pid;

	begin(&h, &p, NULL);
	pid = backend(p);
	kill(pid, SIGSTOP);
	s = harness_run(&h, insert(&h, 1));
	ASSERT_VERDICT(&s, STORE_UNSURE);
	still_works(&h, 2); /* beside the stopped one */
	kill(pid, SIGCONT); /* the ghost wakes and commits: that is what unsure means */
	while (pg_number(p, "SELECT count(*) FROM t") != 2)
		usleep(10000);
	harness_close(&h);
	pg_free(p);
}

TEST(a_lock_that_is_not_free_in_two_seconds_is_for_another_try)
{
	struct harness h, other;
	struct pg *p;
	struct store_group *g;
	struct seen s, holder;

	begin(&h, &p, NULL);
	harness_close(&h);
	harness_open(&h, p, &(struct store_options){ .application_name = "judge", .group_ms = 15000 });
	s = harness_run(&h, insert(&h, 1));
	ASSERT_VERDICT(&s, STORE_OK);
	harness_open(&other, p, &(struct store_options){ .group_ms = 15000 });
	g = harness_group(&other, &q_lock);
	store_p_int4(g, 1);
	store_add(g, &q_sleep);
	store_p_real(g, 4);
	harness_submit(&other, g, &holder);
	while (!pg_number(p, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
		harness_turn(&other);
	g = harness_group(&h, &q_lock);
	store_p_int4(g, 1);
	s = harness_run(&h, g);
	ASSERT_VERDICT(&s, STORE_AGAIN);
	ASSERT_STR_EQ(s.sqlstate, "55P03");
	ASSERT_TRUE(store_ready(h.store));
	harness_close(&other);
	ASSERT_VERDICT(&holder, STORE_UNSURE); /* freed with a group in flight */
	harness_close(&h);
	pg_free(p);
}

TEST(a_unique_violation_is_data_and_names_its_constraint)
{
	struct harness h;
	struct pg *p;
	struct seen s;

	begin(&h, &p, NULL);
	s = harness_run(&h, insert(&h, 1));
	ASSERT_VERDICT(&s, STORE_OK);
	s = harness_run(&h, insert(&h, 1));
	ASSERT_VERDICT(&s, STORE_DATA);
	ASSERT_STR_EQ(s.sqlstate, "23505");
	ASSERT_STR_EQ(s.constraint, "t_pkey");
	harness_close(&h);
	pg_free(p);
}

TEST(a_session_that_can_only_read_is_left)
{
	struct harness h;
	struct pg *p;
	struct store_group *g;
	struct seen s, behind;

	begin(&h, &p, NULL);
	g = harness_group(&h, &q_set);
	store_p_text(g, "default_transaction_read_only");
	store_p_text(g, "on");
	s = harness_run(&h, g);
	ASSERT_VERDICT(&s, STORE_OK);
	harness_submit(&h, insert(&h, 1), &s);
	g = harness_group(&h, &q_value);
	store_p_int8(g, 9);
	harness_submit(&h, g, &behind);
	harness_wait(&h, &behind);
	ASSERT_VERDICT(&s, STORE_AGAIN);
	ASSERT_STR_EQ(s.sqlstate, "25006");
	ASSERT_VERDICT(&behind, STORE_OK); /* what was in flight is still answered */
	ASSERT_FALSE(store_ready(h.store));
	still_works(&h, 1);
	harness_close(&h);
	pg_free(p);
}
