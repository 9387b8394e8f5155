/* covers services/routing/queries.def: the daemon's role may run each against the migrated schema */
#include <libpq-fe.h>
#include "services/routing/tables.h"
#include "tests/lib/pg.h"
#include "tests/lib/test.h"

static void run_query(PGconn *conn, const struct query *q)
{
	static const char *const none[] = { "0", "{}", "{}", "{}", "{}", "{}", "{}", "{}",
					    "{}", "{}", "{}", "{}" };
	bool lane_first = strstr(q->sql, "$1,") || strstr(q->sql, "= $1");
	const char *params[12];
	PGresult *described;
	int n;

	PQclear(PQprepare(conn, q->name, q->sql, 0, NULL));
	described = PQdescribePrepared(conn, q->name);
	if (PQresultStatus(described) != PGRES_COMMAND_OK)
		TEST_FAIL("%s: %s", q->name, PQerrorMessage(conn));
	n = PQnparams(described);
	ASSERT_LE(n, 12);
	for (int i = 0; i < n; i++)
		params[i] = !i && lane_first ? none[0] : none[1];
	PQclear(described);
	described = PQexecPrepared(conn, q->name, n, params, NULL, NULL, 1);
	if (PQresultStatus(described) != PGRES_TUPLES_OK &&
	    PQresultStatus(described) != PGRES_COMMAND_OK)
		TEST_FAIL("%s: %s", q->name, PQerrorMessage(conn));
	PQclear(described);
}

TEST(every_statement_runs_as_the_daemons_role)
{
	const struct pg_options o = { .migrate = true };
	_cleanup_(pg_freep) struct pg *pg = pg_start(&o);
	char dsn[512];
	PGconn *conn;

	snprintf(dsn, sizeof(dsn), "%s user=centraleta_routing", pg_dsn(pg));
	conn = PQconnectdb(dsn);
	ASSERT_EQ((int)PQstatus(conn), CONNECTION_OK);
	for (size_t i = 0; i < ARRAY_SIZE(routing_queries); i++)
		run_query(conn, &routing_queries[i]);
	PQfinish(conn);
}
