/*
 * covers services/routing/core.c's route_explain(): for every received event of the store that
 * $CENTRALETA_TEST_DSN names, the explanation equals what the daemon has stored. Run by
 * test_routing.py when the daemon has routed some thousands.
 */
#include "services/routing/core.h"
#include "tests/integration/routing/pq_load.h"

static const char sql[] =
	"SELECT e.jurisdiction, e.body, r.department, coalesce(r.area, 0), r.rule_version, r.rule_position,"
	" (extract(epoch FROM r.deadline) * 1000000)::bigint, w.priority::integer"
	" FROM centraleta.event e JOIN centraleta.route r ON r.lane = e.lane AND r.request = e.order_key"
	" JOIN centraleta.work_item w ON w.lane = r.lane AND w.work_item = r.work_item"
	" WHERE e.type = 1 AND r.turn = 2";

static void check_row(const struct towns *towns, PGresult *result, size_t i, int *ret_by_rule)
{
	struct bytes body = pq_bytes(result, i, 1);
	Centraleta__V1__RequestReceived *m =
		centraleta__v1__request_received__unpack(NULL, body.len, body.data);
	struct town_config *town = towns_find(towns, (int32_t)pq_integer(result, i, 0));
	struct route_facts facts;
	struct rule_trial trials[64];
	struct route route;
	size_t tried;

	ASSERT_NOT_NULL(m);
	ASSERT_NOT_NULL(town);
	route_facts_of(m, &facts);
	tried = route_explain(town, &facts, &route, trials, ARRAY_SIZE(trials));
	ASSERT_EQ(route.department, pq_integer(result, i, 2));
	ASSERT_EQ(route.area, pq_integer(result, i, 3));
	ASSERT_EQ(route.rule_version, pq_integer(result, i, 4));
	ASSERT_EQ(route.rule_position, pq_integer(result, i, 5));
	ASSERT_EQ(route.deadline_us, pq_integer(result, i, 6));
	ASSERT_EQ(route.priority, pq_integer(result, i, 7));
	if (route.kind == ROUTE_RULE) {
		ASSERT_EQ((int)trials[tried - 1].verdict, RULE_MATCHES);
		++*ret_by_rule;
	}
	centraleta__v1__request_received__free_unpacked(m, NULL);
}

TEST(explanations_equal_what_was_done)
{
	const char *dsn = getenv("CENTRALETA_TEST_DSN");
	PGconn *conn;
	PGresult *result;
	struct towns *towns;
	int64_t revision;
	int by_rule = 0;

	if (!dsn)
		test_skip("CENTRALETA_TEST_DSN is not set");
	conn = PQconnectdb(dsn);
	ASSERT_EQ((int)PQstatus(conn), CONNECTION_OK);
	towns = pq_load_towns(conn, &revision);
	result = PQexecParams(conn, sql, 0, NULL, NULL, NULL, NULL, 1);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		TEST_FAIL("%s", PQerrorMessage(conn));
	for (int i = 0; i < PQntuples(result); i++)
		check_row(towns, result, (size_t)i, &by_rule);
	test_note("%d requests, %d of them by a rule", PQntuples(result), by_rule);
	ASSERT_TRUE(by_rule > 50 && by_rule < PQntuples(result) - 50);
	PQclear(result);
	towns_free(towns);
	PQfinish(conn);
}
