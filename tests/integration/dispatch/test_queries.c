/* covers services/dispatch/queries.def: the daemon's role may run each against the migrated schema */
#include <libpq-fe.h>
#include "common/store/store.h"
#include "tests/lib/pg.h"
#include "tests/lib/test.h"

static const struct query queries[] = {
#define QUERY QUERY_ENTRY
#include "services/dispatch/queries.def"
#undef QUERY
};

enum { PARAMS_MAX = 12, INT2 = 21, INT4 = 23, INT8 = 20 };

static void run_query(PGconn *conn, const struct query *q)
{
	const char *params[PARAMS_MAX];
	PGresult *r;
	int n;

	PQclear(PQprepare(conn, q->name, q->sql, 0, NULL));
	r = PQdescribePrepared(conn, q->name);
	if (PQresultStatus(r) != PGRES_COMMAND_OK)
		TEST_FAIL("%s: %s", q->name, PQerrorMessage(conn));
	n = PQnparams(r);
	ASSERT_LE(n, PARAMS_MAX);
	for (int i = 0; i < n; i++) {
		Oid type = PQparamtype(r, i);

		params[i] = type == INT2 || type == INT4 || type == INT8 ? "0" : "{}";
	}
	PQclear(r);
	r = PQexecPrepared(conn, q->name, n, params, NULL, NULL, 1);
	if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
		TEST_FAIL("%s: %s", q->name, PQerrorMessage(conn));
	PQclear(r);
}

TEST(every_statement_runs_as_the_daemons_role)
{
	const struct pg_options o = { .migrate = true };
	_cleanup_(pg_freep) struct pg *pg = pg_start(&o);
	char dsn[512];
	PGconn *conn;

	snprintf(dsn, sizeof(dsn), "%s user=centraleta_dispatch", pg_dsn(pg));
	conn = PQconnectdb(dsn);
	ASSERT_EQ((int)PQstatus(conn), CONNECTION_OK);
	for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
		run_query(conn, &queries[i]);
	PQfinish(conn);
}
