/* covers connecting on a real server: hosts, time limits, statements, states, metrics */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "tests/integration/store/harness.h"

static void works(struct harness *h)
{
	struct store_group *g = harness_group(h, &q_value);
	struct seen s;

	store_p_int8(g, -7);
	s = harness_run(h, g);
	ASSERT_VERDICT(&s, STORE_OK);
	ASSERT_EQ(s.value, -7);
}

static void opens_with(struct pg *p, const char *dsn, unsigned connect_ms)
{
	struct harness h;

	harness_open(&h, p, &(struct store_options){ .dsn = dsn, .connect_ms = connect_ms });
	harness_until_ready(&h, true);
	works(&h);
	harness_close(&h);
}

/* a host that takes connections and never says a word */
static int silent_host(int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ASSERT_EQ(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ASSERT_EQ(listen(fd, 16), 0);
	ASSERT_EQ(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

TEST(hosts_that_are_dead_silent_or_named_are_passed_over)
{
	struct pg *p = pg_start(NULL);
	char dsn[256];
	int port, fd = silent_host(&port);

	harness_schema(p);
	snprintf(dsn, sizeof(dsn), "host=/nowhere,%s user=postgres dbname=centraleta", pg_dir(p));
	opens_with(p, dsn, 0);
	snprintf(dsn, sizeof(dsn), "host=127.0.0.1,%s port=%d,5432 user=postgres dbname=centraleta", pg_dir(p), port);
	opens_with(p, dsn, 300);
	/* a name: looked up, each of its addresses refuses, and on it goes */
	snprintf(dsn, sizeof(dsn), "host=localhost,no-such-host.invalid,%s port=1,1,5432 user=postgres dbname=centraleta",
		 pg_dir(p));
	opens_with(p, dsn, 0);
	close(fd);
	pg_free(p);
}

TEST(a_silent_host_alone_is_given_up_in_time_and_tried_again)
{
	struct harness h;
	char dsn[128];
	int port, fd = silent_host(&port);
	uint64_t ends = clock_mono_ms() + 900;

	snprintf(dsn, sizeof(dsn), "host=127.0.0.1 port=%d user=x dbname=x sslmode=disable", port);
	harness_open(&h, NULL, &(struct store_options){ .dsn = dsn, .connect_ms = 100 });
	while (clock_mono_ms() < ends)
		harness_turn(&h);
	ASSERT_HAS(store_last_error(h.store), "timed out");
	for (int i = 0; i < 3; i++) { /* it came back, again and again */
		int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		ASSERT_GE(c, 0);
		close(c);
	}
	harness_close(&h);
	close(fd);
}

TEST(a_host_that_can_only_read_is_passed_over_unless_reads_are_asked_for)
{
	struct pg *replica = pg_start(&(struct pg_options){ .settings = "default_transaction_read_only = on" });
	struct pg *p = pg_start(NULL);
	struct harness h;
	char dsn[256];

	harness_schema(p);
	snprintf(dsn, sizeof(dsn), "host=%s,%s user=postgres dbname=centraleta", pg_dir(replica), pg_dir(p));
	opens_with(p, dsn, 0);
	harness_open(&h, replica,
		     &(struct store_options){ .tables = (const struct query_table[]){ { &q_value, 1 }, { 0 } },
					      .read_only = true });
	works(&h);
	harness_close(&h);
	pg_free(p);
	pg_free(replica);
}

TEST(a_statement_that_cannot_be_prepared_is_named_aloud_until_it_can)
{
	struct pg *p = pg_start(NULL);
	struct harness h;
	uint64_t ends = clock_mono_ms() + 600;
	char *log;

	test_stderr_begin();
	harness_open(&h, p, &(struct store_options){ .dsn = pg_dsn(p) });
	while (clock_mono_ms() < ends)
		harness_turn(&h);
	log = test_stderr_end();
	ASSERT_HAS(log, "store.prepare");
	ASSERT_HAS(log, "statement=\"insert\"");
	ASSERT_HAS(log, "42P01");
	ASSERT_NULL(strstr(strstr(log, "store.prepare") + 1, "store.prepare")); /* once, not at each attempt */
	free(log);
	ASSERT_FALSE(store_ready(h.store));
	ASSERT_HAS(store_last_error(h.store), "insert");
	harness_schema(p); /* the migration that was under way */
	harness_until_ready(&h, true);
	ASSERT_STR_EQ(store_last_error(h.store), "");
	works(&h);
	harness_close(&h);
	pg_free(p);
}

TEST(a_session_has_our_limits_and_name)
{
	static const struct query q = { "limits",
		"SELECT (current_setting('lock_timeout') = '2s' AND "
		"current_setting('idle_in_transaction_session_timeout') = '5s' AND "
		"current_setting('application_name') = 'limits')::int::int8" };
	struct pg *p = pg_start(NULL);
	struct harness h;
	struct seen s;

	harness_open(&h, p,
		     &(struct store_options){ .application_name = "limits",
					      .tables = (const struct query_table[]){ { &q, 1 }, { 0 } } });
	s = harness_run(&h, harness_group(&h, &q));
	ASSERT_VERDICT(&s, STORE_OK);
	ASSERT_EQ(s.value, 1);
	harness_close(&h);
	pg_free(p);
}

TEST(an_idle_connection_that_is_lost_is_noticed_and_counted)
{
	struct pg *p = pg_start(NULL);
	_cleanup_(metrics_freep) struct metrics *m = NULL;
	struct buf out = BUF_INIT;
	struct harness h;

	harness_schema(p);
	ASSERT_OK(metrics_new(&m));
	harness_open(&h, p, &(struct store_options){ .metrics = m, .metrics_label = "lane", .groups_max = 5 });
	works(&h);
	pg_stop(p);
	harness_until_ready(&h, false);
	pg_restart(p);
	harness_until_ready(&h, true);
	works(&h);
	ASSERT_EQ(h.ready_changes, 3);
	metrics_write(m, &out);
	ASSERT_HAS(out.data, "centraleta_store_reconnects_total{connection=\"lane\"} 1\n");
	ASSERT_HAS(out.data, "centraleta_store_connected{connection=\"lane\"} 1\n");
	ASSERT_HAS(out.data, "centraleta_store_queue_limit{connection=\"lane\"} 5\n");
	ASSERT_HAS(out.data, "centraleta_store_queue_depth{connection=\"lane\"} 0\n");
	ASSERT_HAS(out.data, "centraleta_store_group_seconds_count{connection=\"lane\",verdict=\"ok\"} 2\n");
	buf_fini(&out);
	harness_close(&h);
	pg_free(p);
}

static void count_change(void *ctx, bool ready)
{
	int *changes = ctx;

	ASSERT_EQ(ready, *changes % 2 == 0);
	++*changes;
}

TEST(a_pool_is_ready_when_all_its_connections_are)
{
	struct pg *p = pg_start(NULL);
	_cleanup_(loop_freep) struct loop *l = NULL;
	_cleanup_(store_pool_freep) struct store_pool *pool = NULL;
	const struct store_options o = { .dsn = pg_dsn(p), .tables = harness_tables, .application_name = "pool" };
	int changes = 0;

	harness_schema(p);
	ASSERT_OK(loop_new(&l));
	ASSERT_OK(store_pool_new(&pool, l, &o, 3));
	store_pool_on_state(pool, count_change, &changes);
	while (!store_pool_ready(pool))
		ASSERT_OK(loop_once(l, 20));
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pool'"), 3);
	ASSERT_TRUE(store_pool_lane(pool, 1) == store_pool_lane(pool, 4));
	ASSERT_TRUE(store_pool_lane(pool, 0) != store_pool_lane(pool, 1));
	pg_sql(p, "SELECT pg_terminate_backend(min(pid)) FROM pg_stat_activity WHERE application_name = 'pool'");
	while (changes < 3)
		ASSERT_OK(loop_once(l, 20));
	ASSERT_TRUE(store_pool_ready(pool));
}
