/* covers services/cli/migrate.c, migrate_files.c on a real server */
#include <libpq-fe.h>
#include <sys/wait.h>
#include <unistd.h>
#include "services/cli/migrate.h"
#include "tests/lib/pg.h"

static int migrate_dir(struct pg *p, const char *dir, struct migrate_report *ret)
{
	const struct migrate_options o = { .dsn = pg_dsn(p), .dir = dir };

	return migrate_run(&o, ret);
}

static int migrate(struct pg *p, struct migrate_report *ret)
{
	return migrate_dir(p, test_source("deploy/postgres"), ret);
}

/* a directory of SQL with two small migrations and one function file */
static const char *small(void)
{
	static char dir[256];
	char command[1200];

	snprintf(dir, sizeof(dir), "%s", test_path("sql"));
	snprintf(command, sizeof(command), "rm -rf %s; mkdir -p %s/migrations %s/functions; cp %s %s", dir, dir,
		 dir, test_source("deploy/postgres/roles.sql"), dir);
	ASSERT_EQ(system(command), 0);
	test_write_file(test_path("sql/migrations/0001_first.sql"),
			"CREATE TABLE lane (lane smallint PRIMARY KEY); INSERT INTO lane VALUES (0), (1);"
			"CREATE TABLE progress (consumer text, lane smallint, step bigint, seq bigint,"
			" PRIMARY KEY (consumer, lane, step));"
			"CREATE TABLE lease (consumer text, lane smallint, PRIMARY KEY (consumer, lane));");
	test_write_file(test_path("sql/migrations/0003_third.sql"), "CREATE TABLE three (n integer);");
	test_write_file(test_path("sql/functions/a.fn.sql"),
			"CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';");
	return dir;
}

TEST(an_empty_database_becomes_ours_and_a_second_run_changes_nothing)
{
	_cleanup_(pg_freep) struct pg *p = pg_start(NULL);
	struct migrate_report first, second;

	if (migrate(p, &first))
		TEST_FAIL("%s", first.error);
	ASSERT_GE(first.migrations, 6);
	ASSERT_GE(first.functions, 1);
	ASSERT_EQ(first.seeded, 7 * 8 * 2); /* consumers, lanes, progress and lease */
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM schema_migration"), first.migrations);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM progress WHERE step = 0 AND seq = 0"), 7 * 8);
	ASSERT_EQ(migrate(p, &second), 0);
	ASSERT_EQ(second.migrations + second.functions + second.seeded, 0);
}

TEST(a_consumer_that_has_moved_is_not_seeded_again)
{
	_cleanup_(pg_freep) struct pg *p = pg_start(&(struct pg_options){ .migrate = true });
	struct migrate_report report;

	pg_sql(p, "INSERT INTO progress VALUES ('routing', 3, 1, 0)");
	pg_sql(p, "DELETE FROM progress WHERE consumer = 'routing' AND lane = 3 AND step = 0"); /* pruned */
	ASSERT_EQ(migrate(p, &report), 0);
	ASSERT_EQ(report.seeded, 0);
	pg_sql(p, "INSERT INTO lane VALUES (8)");
	ASSERT_EQ(migrate(p, &report), 0);
	ASSERT_EQ(report.seeded, 14);
}

TEST(two_at_once_do_the_work_once)
{
	_cleanup_(pg_freep) struct pg *p = pg_start(NULL);
	pid_t child[3];

	FOREACH(c, child) {
		*c = fork();
		if (!*c) {
			struct migrate_report report;

			_exit(migrate(p, &report));
		}
	}
	FOREACH(c, child) {
		int status;

		ASSERT_EQ(waitpid(*c, &status, 0), *c);
		ASSERT_EQ(status, 0);
	}
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM lane"), 8);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM progress"), 7 * 8);
}

TEST(another_that_never_ends_is_not_waited_for_for_ever)
{
	_cleanup_(pg_freep) struct pg *p = pg_start(NULL);
	const struct migrate_options o = { .dsn = pg_dsn(p), .dir = small(), .lock_wait_ms = 300 };
	struct migrate_report report;

	pg_sql(p, "SELECT pg_advisory_lock(7262101)");
	ASSERT_EQ(migrate_run(&o, &report), MIGRATE_E_BUSY);
	ASSERT_HAS(report.error, "another migrate");
}

TEST(an_applied_file_that_changed_is_named_and_nothing_is_done)
{
	_cleanup_(pg_freep) struct pg *p = pg_start(NULL);
	struct migrate_report report;
	const char *dir = small();

	ASSERT_EQ(migrate_dir(p, dir, &report), 0);
	ASSERT_EQ(report.migrations, 2);
	test_write_file(test_path("sql/migrations/0003_third.sql"), "CREATE TABLE three (n bigint);");
	test_write_file(test_path("sql/migrations/0004_fourth.sql"), "CREATE TABLE four (n integer);");
	ASSERT_EQ(migrate_dir(p, dir, &report), MIGRATE_E_CHANGED);
	ASSERT_HAS(report.error, "0003_third.sql");
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM schema_migration"), 2);
}

TEST(a_newer_database_and_a_late_file_are_refused)
{
	_cleanup_(pg_freep) struct pg *p = pg_start(NULL);
	struct migrate_report report;
	const char *dir = small();

	ASSERT_EQ(migrate_dir(p, dir, &report), 0);
	test_write_file(test_path("sql/migrations/0002_second.sql"), "CREATE TABLE two (n integer);");
	ASSERT_EQ(migrate_dir(p, dir, &report), MIGRATE_E_ORDER);
	ASSERT_HAS(report.error, "0002_second.sql");
	ASSERT_EQ(unlink(test_path("sql/migrations/0002_second.sql")), 0);
	ASSERT_EQ(unlink(test_path("sql/migrations/0003_third.sql")), 0);
	ASSERT_EQ(migrate_dir(p, dir, &report), MIGRATE_E_NEWER);
	ASSERT_HAS(report.error, "0003");
	test_write_file(test_path("sql/migrations/0001_twice.sql"), "SELECT 1;");
	ASSERT_EQ(migrate_dir(p, dir, &report), MIGRATE_E_FILES);
	ASSERT_HAS(report.error, "0001_twice.sql");
}

TEST(a_failing_migration_leaves_nothing_of_itself)
{
	_cleanup_(pg_freep) struct pg *p = pg_start(NULL);
	struct migrate_report report;
	const char *dir = small();

	test_write_file(test_path("sql/migrations/0004_bad.sql"), "CREATE TABLE half (n integer); SELECT nonsense;");
	ASSERT_EQ(migrate_dir(p, dir, &report), MIGRATE_E_SQL);
	ASSERT_HAS(report.error, "0004_bad.sql");
	ASSERT_HAS(report.error, "nonsense");
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM schema_migration"), 2);
	ASSERT_EQ(pg_number(p, "SELECT (to_regclass('half') IS NULL)::int"), 1);
}

TEST(functions_follow_when_their_file_changed_or_a_table_is_new)
{
	_cleanup_(pg_freep) struct pg *p = pg_start(NULL);
	struct migrate_report report;
	const char *dir = small();

	ASSERT_EQ(migrate_dir(p, dir, &report), 0);
	test_write_file(test_path("sql/functions/a.fn.sql"),
			"CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 11';");
	ASSERT_EQ(migrate_dir(p, dir, &report), 0);
	ASSERT_EQ(report.functions, 1);
	ASSERT_EQ(pg_number(p, "SELECT one()"), 11);
	test_write_file(test_path("sql/migrations/0004_fourth.sql"), "CREATE TABLE four (n integer);");
	ASSERT_EQ(migrate_dir(p, dir, &report), 0);
	ASSERT_EQ(report.migrations, 1);
	ASSERT_EQ(report.functions, 1);
}

static void count_line(void *ctx, const char *line)
{
	if (!strncmp(line, "would apply ", 12))
		++*(unsigned *)ctx;
}

TEST(a_dry_run_says_and_does_nothing)
{
	_cleanup_(pg_freep) struct pg *p = pg_start(NULL);
	unsigned lines = 0;
	const struct migrate_options o = {
		.dsn = pg_dsn(p), .dir = small(), .dry_run = true, .say = count_line, .ctx = &lines,
	};
	struct migrate_report report;

	if (migrate_run(&o, &report))
		TEST_FAIL("%s", report.error);
	ASSERT_EQ(lines, 3);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM pg_namespace WHERE nspname = 'centraleta'"), 0);
}

TEST(a_lock_that_is_held_for_a_while_is_waited_for)
{
	_cleanup_(pg_freep) struct pg *p = pg_start(NULL);
	struct migrate_report report;
	const char *dir = small();
	PGconn *holder = PQconnectdb(pg_dsn(p));
	pid_t child;
	int status;

	ASSERT_EQ(migrate_dir(p, dir, &report), 0);
	test_write_file(test_path("sql/migrations/0004_alter.sql"), "ALTER TABLE three ADD m integer;");
	PQclear(PQexec(holder, "BEGIN; LOCK TABLE centraleta.three"));
	child = fork();
	if (!child)
		_exit(migrate_dir(p, dir, &report));
	while (!pg_number(p, "SELECT count(*) FROM pg_locks WHERE NOT granted"))
		usleep(20000);
	while (pg_number(p, "SELECT count(*) FROM pg_locks WHERE NOT granted")) /* until its first try ended */
		usleep(20000);
	PQclear(PQexec(holder, "ROLLBACK"));
	PQfinish(holder);
	ASSERT_EQ(waitpid(child, &status, 0), child);
	ASSERT_EQ(status, 0);
}
