/*
 * covers every queries.def: each statement is prepared and planned against the migrated schema, as
 * the role that runs it. EXPLAIN EXECUTE checks the grants too: a table or function that the role
 * may not use fails here and not at the first request. And as the tables are empty then, the plan is
 * the one a daemon gets on its first day: none may walk through a whole lane, and none may start
 * processes of its own, however cheap they seem, as they do once a table is large (decision 8).
 */
#include <libpq-fe.h>
#include "common/store/store.h"
#include "tests/lib/pg.h"

#define QUERY(id, text) QUERY_ENTRY(id, text)
static const struct query intake[] = {
#include "services/intake/queries.def"
};
static const struct query reads[] = {
#include "services/intake/queries_read.def"
};
static const struct query eventlog[] = {
#include "common/eventlog/queries.def"
};
static const struct query routing[] = {
#include "services/routing/load.def"
#include "services/routing/queries.def"
};
static const struct query dispatch[] = {
#include "services/dispatch/queries.def"
};
static const struct query notification[] = {
#include "services/notification/queries.def"
};
static const struct query analytics[] = {
#include "services/analytics/queries.def"
};
static const struct query figures[] = {
#include "services/analytics/read_queries.def"
};
#undef QUERY

/* as with large tables: nothing but the role's own settings keeps a plan from workers */
#define WORKERS_ARE_CHEAP                                                             \
	"-c parallel_setup_cost=0 -c parallel_tuple_cost=0 -c min_parallel_table_scan_size=0" \
	" -c min_parallel_index_scan_size=0"

static PGconn *connect_as(struct pg *p, const char *role)
{
	char dsn[512];
	PGconn *c;

	snprintf(dsn, sizeof(dsn), "%s user=%s options='-c plan_cache_mode=force_generic_plan " WORKERS_ARE_CHEAP "'",
		pg_dsn(p), role);
	c = PQconnectdb(dsn);
	if (PQstatus(c) != CONNECTION_OK)
		TEST_FAIL("%s", PQerrorMessage(c));
	return c;
}

static unsigned wrong(const struct query *q, const char *what, PGconn *c)
{
	test_note("%s: %s: %s", q->name, what, PQerrorMessage(c));
	return 1;
}

/* EXPLAIN EXECUTE "name" (NULL, …) */
static void explain_text(char *ret, size_t size, const char *name, int params)
{
	size_t n = (size_t)snprintf(ret, size, "EXPLAIN EXECUTE \"%s\"", name);

	for (int i = 0; i < params && n < size; i++)
		n += (size_t)snprintf(ret + n, size - n, "%s NULL", i ? "," : " (");
	if (params && n < size)
		snprintf(ret + n, size - n, ")");
}

/* reads a lane's lines at the start, which are few: a department each, and its open ranges */
static bool few(const char *name)
{
	return !strcmp(name, "DISPATCH_LINES") || !strcmp(name, "DISPATCH_ACKED");
}

/* "the newest of a lane" is read backward, and one row of it; some tables have one row a lane */
static bool whole_lane(const PGresult *res, int row)
{
	const char *cond = strstr(PQgetvalue(res, row, 0), "Index Cond: (lane = $");
	const char *scan = row ? PQgetvalue(res, row - 1, 0) : "";

	return cond && !strstr(cond, " AND ") && !strstr(scan, " Backward ") && !strstr(scan, " on lane ") &&
		!strstr(scan, " on send_mark ");
}

static unsigned check_plan(const struct query *q, const PGresult *res)
{
	unsigned bad = 0;

	for (int row = 0; row < PQntuples(res); row++) {
		if (!few(q->name) && whole_lane(res, row)) {
			test_note("%s reads a whole lane: %s", q->name, PQgetvalue(res, row - 1, 0));
			bad = 1;
		}
		if (strstr(PQgetvalue(res, row, 0), "Gather")) {
			test_note("%s starts workers: %s", q->name, PQgetvalue(res, row, 0));
			bad = 1;
		}
	}
	return bad;
}

static unsigned check(const struct query *q, PGconn *c)
{
	PGresult *res = PQprepare(c, q->name, q->sql, 0, NULL);
	char text[1024];
	unsigned bad = 0;

	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		bad = wrong(q, "prepare", c);
	PQclear(res);
	if (bad)
		return bad;
	res = PQdescribePrepared(c, q->name);
	explain_text(text, sizeof(text), q->name, PQnparams(res));
	PQclear(res);
	res = PQexec(c, text);
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		bad = wrong(q, "plan", c);
	else
		bad = check_plan(q, res);
	PQclear(res);
	return bad;
}

static void check_all(const char *role, const struct query *queries, size_t n)
{
	struct pg *p = pg_start(&(struct pg_options){ .migrate = true });
	PGconn *c = connect_as(p, role);
	unsigned bad = 0;

	for (size_t i = 0; i < n; i++)
		bad += check(&queries[i], c);
	PQfinish(c);
	pg_free(p);
	ASSERT_EQ(bad, 0);
}

TEST(intake_may_run_its_statements)
{
	check_all("centraleta_intake", intake, ARRAY_SIZE(intake));
}

TEST(public_reads_may_run_their_statements)
{
	check_all("centraleta_public", reads, ARRAY_SIZE(reads));
}

TEST(daemons_may_run_the_logs_statements)
{
	check_all("centraleta_routing", eventlog, ARRAY_SIZE(eventlog));
}

TEST(routing_may_run_its_statements)
{
	check_all("centraleta_routing", routing, ARRAY_SIZE(routing));
}

TEST(dispatch_may_run_its_statements)
{
	check_all("centraleta_dispatch", dispatch, ARRAY_SIZE(dispatch));
}

TEST(notification_may_run_its_statements)
{
	check_all("centraleta_notification", notification, ARRAY_SIZE(notification));
}

TEST(analytics_may_run_its_statements)
{
	check_all("centraleta_analytics", analytics, ARRAY_SIZE(analytics));
}

TEST(reads_of_figures_may_run_their_statements)
{
	check_all("centraleta_staff", figures, ARRAY_SIZE(figures));
}

TEST(this_check_notices_a_join_that_walks_through_a_lane)
{
	static const struct query join = { "join", "SELECT c.email FROM unnest($2::int8[]) AS i (request)"
		" JOIN contact c ON c.lane = $1 AND c.request = i.request" };
	struct pg *p = pg_start(&(struct pg_options){ .migrate = true });
	PGconn *c = connect_as(p, "centraleta_notification");

	ASSERT_EQ(check(&join, c), 1);
	PQfinish(c);
	pg_free(p);
}

TEST(this_check_notices_a_missing_grant)
{
	static const struct query contact = { "contact", "SELECT * FROM contact WHERE lane = $1" };
	struct pg *p = pg_start(&(struct pg_options){ .migrate = true });
	PGconn *c = connect_as(p, "centraleta_routing");

	ASSERT_EQ(check(&contact, c), 1);
	ASSERT_HAS(PQerrorMessage(c), "permission denied");
	PQfinish(c);
	pg_free(p);
}
