/*
 * migrate - see migrate.h
 *
 * A lock that a running daemon holds is waited for 2 s and tried again a little later: a waiting
 * ALTER TABLE makes everybody behind it wait too. The advisory lock is of the session, taken by
 * trying, so that the wait for another host is bounded as well.
 */
#include "services/cli/migrate.h"
#include <errno.h>
#include <libpq-fe.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "services/cli/migrate_files.h"

#define ADVISORY_KEY "7262101"
#define TRIES 20 /* of one file whose locks are held by others */

/* rows that must be there before a consumer's first step: no daemon seeds itself */
static const char seed_sql[] =
	"WITH chain AS (SELECT c, l.lane FROM lane l CROSS JOIN unnest(ARRAY['intake', 'routing', 'dispatch', "
	"'notification', 'analytics', 'notification.send', 'dispatch.department']) c), "
	"p AS (INSERT INTO progress (consumer, lane, step, seq) SELECT c, lane, 0, 0 FROM chain "
	"WHERE NOT EXISTS (SELECT 1 FROM progress o WHERE o.consumer = c AND o.lane = chain.lane) "
	"ON CONFLICT DO NOTHING RETURNING 1), "
	"s AS (INSERT INTO lease (consumer, lane) SELECT c, lane FROM chain ON CONFLICT DO NOTHING RETURNING 1) "
	"SELECT (SELECT count(*) FROM p) + (SELECT count(*) FROM s)";

static const char ledger_sql[] =
	"CREATE TABLE IF NOT EXISTS schema_migration (number integer PRIMARY KEY, name text NOT NULL, "
	"sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());"
	"CREATE TABLE IF NOT EXISTS schema_function (name text PRIMARY KEY, sha256 text NOT NULL, "
	"applied_at timestamptz NOT NULL DEFAULT now());";

struct migrate {
	const struct migrate_options *o;
	struct migrate_report *report;
	PGconn *conn;
	struct sql_file roles;
	struct sql_files migrations, functions;
};

static void say(const struct migrate *m, const char *what, const char *name)
{
	char line[256];

	if (!m->o->say)
		return;
	snprintf(line, sizeof(line), "%s%s %s", m->o->dry_run ? "would " : "", what, name);
	m->o->say(m->o->ctx, line);
}

static int fail(const struct migrate *m, int r, const char *what, const char *why)
{
	snprintf(m->report->error, sizeof(m->report->error), "%.600s: %.*s", what,
		 (int)MIN(strcspn(why, "\n"), 400u), why);
	return r;
}

/* ---- statements --------------------------------------------------------------------------- */

static const char *field(const PGresult *res, int code)
{
	const char *v = PQresultErrorField(res, code);

	return v ? v : "";
}

/* somebody else was in the way, nothing is wrong */
static bool worth_another_try(const PGresult *res)
{
	static const char *const states[] = { "55P03", "40P01", "40001" };

	FOREACH(s, states)
		if (!strcmp(field(res, PG_DIAG_SQLSTATE), *s))
			return true;
	/* roles belong to all databases of a server: another one's migrate may change them */
	return strstr(field(res, PG_DIAG_MESSAGE_PRIMARY), "concurrently") ||
	       !strcmp(field(res, PG_DIAG_CONSTRAINT_NAME), "pg_authid_rolname_index");
}

static bool result_ok(const PGresult *res)
{
	return PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK;
}

static void pause_a_little(unsigned try)
{
	unsigned ms = 50 + (unsigned)(clock_mono_us() % 100) * MIN(try, 10u);
	const struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

/* one statement or script; the result's first value as a number in ret where that isn't NULL */
static int sql(const struct migrate *m, const char *what, const char *text, long *ret)
{
	PGresult *res = PQexec(m->conn, text);
	int r = 0;

	if (!result_ok(res))
		r = fail(m, MIGRATE_E_SQL, what, PQerrorMessage(m->conn));
	else if (ret)
		*ret = PQntuples(res) ? strtol(PQgetvalue(res, 0, 0), NULL, 10) : 0;
	PQclear(res);
	return r;
}

static void rollback(const struct migrate *m)
{
	PQclear(PQexec(m->conn, "ROLLBACK"));
}

/* a file and the statement that records it, in one transaction; 1: worth another try */
static int transaction(const struct migrate *m, const struct sql_file *f, const char *record)
{
	const char *const values[] = { f->name, f->sha256 };
	PGresult *res = NULL;
	bool ok, again;

	PQclear(PQexec(m->conn, "BEGIN"));
	res = PQexec(m->conn, f->text);
	ok = result_ok(res);
	if (ok && record) {
		PQclear(res);
		res = PQexecParams(m->conn, record, 2, NULL, values, NULL, NULL, 0);
		ok = result_ok(res);
	}
	if (ok) {
		PQclear(res);
		res = PQexec(m->conn, "COMMIT");
		ok = result_ok(res) && !strcmp(PQcmdStatus(res), "COMMIT");
	}
	again = !ok && worth_another_try(res);
	if (!ok)
		(void)fail(m, 0, f->path, PQresultErrorMessage(res)); /* kept for the last try */
	PQclear(res);
	if (!ok)
		rollback(m);
	return ok ? 0 : again ? MIGRATE_E_BUSY : MIGRATE_E_SQL;
}

static int apply(const struct migrate *m, const struct sql_file *f, const char *record)
{
	int r = MIGRATE_E_BUSY;

	for (unsigned try = 1; r == MIGRATE_E_BUSY && try <= TRIES; try++) {
		if (try > 1)
			pause_a_little(try);
		r = transaction(m, f, record);
	}
	if (!r)
		*m->report->error = '\0';
	return r;
}

/* ---- before ------------------------------------------------------------------------------- */

static int load_files(struct migrate *m)
{
	const char *dir = sql_dir(m->o->dir);
	char *error = m->report->error;
	size_t size = sizeof(m->report->error);
	char sub[PATH_MAX];
	int r = sql_file_read(&m->roles, dir, "roles.sql", error, size);

	snprintf(sub, sizeof(sub), "%s/migrations", dir);
	if (!r)
		r = sql_files_read(&m->migrations, sub, true, error, size);
	snprintf(sub, sizeof(sub), "%s/functions", dir);
	if (!r)
		r = sql_files_read(&m->functions, sub, false, error, size);
	if (!r && !m->migrations.n)
		return fail(m, MIGRATE_E_FILES, dir, "has no migrations");
	return r ? MIGRATE_E_FILES : 0;
}

static void ignore_notice(_unused_ void *ctx, _unused_ const PGresult *res)
{
}

static int connect_to(struct migrate *m)
{
	m->conn = PQconnectdb(m->o->dsn);
	if (PQstatus(m->conn) != CONNECTION_OK)
		return fail(m, MIGRATE_E_CONNECT, "connect", PQerrorMessage(m->conn));
	PQsetNoticeReceiver(m->conn, ignore_notice, NULL);
	/* a server's own defaults must not decide how a migration runs */
	return sql(m, "session",
		   "SET lock_timeout = '2s'; SET statement_timeout = 0; SET timezone = 'UTC'; "
		   "SET idle_in_transaction_session_timeout = '60s'; "
		   "SET default_transaction_isolation = 'read committed'; "
		   "SET search_path = centraleta, public",
		   NULL);
}

static int lock(const struct migrate *m)
{
	uint64_t ends = clock_mono_ms() + (m->o->lock_wait_ms ? m->o->lock_wait_ms : 60000);
	long got = 0;

	for (unsigned try = 1;; try++) {
		int r = sql(m, "lock", "SELECT pg_try_advisory_lock(" ADVISORY_KEY ")::int", &got);

		if (r || got)
			return r;
		if (clock_mono_ms() >= ends)
			return fail(m, MIGRATE_E_BUSY, "lock", "another migrate is running");
		pause_a_little(try);
	}
}

/* ---- the steps ---------------------------------------------------------------------------- */

static int apply_ground(const struct migrate *m)
{
	static const struct sql_file ground = {
		.name = "schema",
		.path = "schema and PostGIS",
		.text = (char *)(uintptr_t)"CREATE SCHEMA IF NOT EXISTS centraleta AUTHORIZATION centraleta_owner;"
					   "CREATE EXTENSION IF NOT EXISTS postgis SCHEMA public",
	};
	static const struct sql_file ledger = {
		.name = "ledger", .path = "ledger", .text = (char *)(uintptr_t)ledger_sql,
	};
	int r;

	if (m->o->dry_run)
		return 0;
	r = apply(m, &m->roles, NULL);
	if (!r)
		r = apply(m, &ground, NULL);
	return r ? r : apply(m, &ledger, NULL);
}

/* "": not applied; "absent" tables of a dry run's empty database count as empty */
static int recorded(const struct migrate *m, const char *query, const char *name, char ret[static 65])
{
	const char *const values[] = { name };
	PGresult *res = PQexecParams(m->conn, query, 1, NULL, values, NULL, NULL, 0);
	int r = 0;

	*ret = '\0';
	if (PQresultStatus(res) == PGRES_TUPLES_OK) {
		if (PQntuples(res))
			snprintf(ret, 65, "%s", PQgetvalue(res, 0, 0));
	} else if (strcmp(field(res, PG_DIAG_SQLSTATE), "42P01") || !m->o->dry_run) {
		r = fail(m, MIGRATE_E_SQL, "ledger", PQresultErrorMessage(res));
	}
	PQclear(res);
	return r;
}

static int newest_recorded(const struct migrate *m, int *ret)
{
	PGresult *res = PQexec(m->conn, "SELECT max(number) FROM schema_migration");
	int r = 0;

	*ret = 0;
	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		*ret = (int)strtol(PQgetvalue(res, 0, 0), NULL, 10);
	else if (strcmp(field(res, PG_DIAG_SQLSTATE), "42P01") || !m->o->dry_run)
		r = fail(m, MIGRATE_E_SQL, "ledger", PQresultErrorMessage(res));
	PQclear(res);
	return r;
}

static int apply_migration(const struct migrate *m, const struct sql_file *f, int newest)
{
	char was[65], number[16];
	int r;

	snprintf(number, sizeof(number), "%d", f->number);
	r = recorded(m, "SELECT sha256 FROM schema_migration WHERE number = $1::integer", number, was);
	if (r)
		return r;
	if (*was)
		return strcmp(was, f->sha256) ? fail(m, MIGRATE_E_CHANGED, f->path,
						     "was changed after it was applied") : 0;
	if (f->number < newest)
		return fail(m, MIGRATE_E_ORDER, f->path, "comes before migrations that are applied");
	say(m, "apply", f->name);
	m->report->migrations++;
	/* grants and policies are for all tables: the functions have to follow, come what may */
	return m->o->dry_run ? 0 : apply(m, f, "WITH f AS (DELETE FROM schema_function) "
					       "INSERT INTO schema_migration (number, name, sha256) "
					       "VALUES (left($1, 4)::integer, $1, $2)");
}

static int apply_migrations(const struct migrate *m)
{
	int last = m->migrations.files[m->migrations.n - 1].number, newest;
	int r = newest_recorded(m, &newest);

	if (!r && newest > last) {
		char why[96];

		snprintf(why, sizeof(why), "is at %04d, this program's files end at %04d: update the program",
			 newest, last);
		return fail(m, MIGRATE_E_NEWER, "the database", why);
	}
	for (size_t i = 0; !r && i < m->migrations.n; i++)
		r = apply_migration(m, &m->migrations.files[i], newest);
	return r;
}

static int functions_changed(const struct migrate *m, bool *ret)
{
	char was[65];
	int r = 0;

	*ret = m->o->dry_run && m->report->migrations > 0;
	for (size_t i = 0; !r && !*ret && i < m->functions.n; i++) {
		const struct sql_file *f = &m->functions.files[i];

		r = recorded(m, "SELECT sha256 FROM schema_function WHERE name = $1", f->name, was);
		*ret = strcmp(was, f->sha256) != 0;
	}
	return r;
}

/* All or none: one file takes away what another one grants. */
static int apply_functions(const struct migrate *m)
{
	bool changed;
	int r = functions_changed(m, &changed);

	for (size_t i = 0; !r && changed && i < m->functions.n; i++) {
		const struct sql_file *f = &m->functions.files[i];

		say(m, "apply", f->name);
		m->report->functions++;
		if (!m->o->dry_run)
			r = apply(m, f, "INSERT INTO schema_function (name, sha256) VALUES ($1, $2) ON CONFLICT "
					"(name) DO UPDATE SET sha256 = excluded.sha256, applied_at = now()");
	}
	return r;
}

static int seed(const struct migrate *m)
{
	long rows = 0;
	int r;

	if (m->o->dry_run)
		return 0;
	r = sql(m, "seed", seed_sql, &rows);
	m->report->seeded = (unsigned)rows;
	return r;
}

int migrate_run(const struct migrate_options *o, struct migrate_report *ret)
{
	struct migrate m = { .o = o, .report = ret };
	int r;

	*ret = (struct migrate_report){ 0 };
	r = load_files(&m);
	if (!r)
		r = connect_to(&m);
	if (!r)
		r = lock(&m);
	if (!r)
		r = apply_ground(&m);
	if (!r)
		r = apply_migrations(&m);
	if (!r)
		r = apply_functions(&m);
	if (!r)
		r = seed(&m);
	PQfinish(m.conn); /* frees the advisory lock */
	free(m.roles.text);
	sql_files_fini(&m.migrations);
	sql_files_fini(&m.functions);
	return r;
}
