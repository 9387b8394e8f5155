/*
 * centraleta route explain: why a request went where it went - each rule that was tried and the
 * first condition of it that did not hold, decided again by routing's own core, beside the routes
 * that were really taken.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/json.h"
#include "common/base/text.h"
#include "services/cli/cli.h"
#include "services/cli/commands.h"
#include "services/routing/core.h"
#include "services/routing/load.h"

/* ---- rows of a binary PGresult ---------------------------------------------------------------------- */

static bool row_null(const void *ctx, size_t row, unsigned col)
{
	return PQgetisnull(ctx, (int)row, (int)col);
}

static int64_t row_integer(const void *ctx, size_t row, unsigned col)
{
	const char *v = PQgetvalue(ctx, (int)row, (int)col);
	uint32_t four;
	uint64_t eight;

	if (PQgetisnull(ctx, (int)row, (int)col))
		return 0;
	if (PQgetlength(ctx, (int)row, (int)col) == 4) {
		memcpy(&four, v, 4);
		return (int32_t)ntohl(four);
	}
	memcpy(&eight, v, 8);
	return (int64_t)be64toh(eight);
}

static const char *row_text(const void *ctx, size_t row, unsigned col)
{
	return PQgetvalue(ctx, (int)row, (int)col);
}

static struct bytes row_bytes(const void *ctx, size_t row, unsigned col)
{
	return (struct bytes){ (const uint8_t *)PQgetvalue(ctx, (int)row, (int)col),
			       (size_t)PQgetlength(ctx, (int)row, (int)col) };
}

static int load(struct cli *c, struct towns **ret)
{
	struct load_rows rows[LOAD_N];
	PGresult *results[LOAD_N] = { NULL };
	struct town_fault fault = { "" };
	int64_t revision;
	int r = cli_exec(c, "SET search_path = centraleta, public", 0, NULL);

	for (size_t i = 0; !r && i < LOAD_N; i++) {
		results[i] = PQexecParams(c->db, load_sql[i], 0, NULL, NULL, NULL, NULL, 1);
		if (PQresultStatus(results[i]) != PGRES_TUPLES_OK)
			r = cli_fail(CLI_FAILED, "the store refused: %s", PQerrorMessage(c->db));
		rows[i] = (struct load_rows){ results[i], (size_t)PQntuples(results[i]), row_null, row_integer,
					      row_text,	  row_bytes };
	}
	if (!r) {
		int loaded = load_towns(rows, ret, &revision, &fault);

		if (loaded == LOAD_E_MOVED)
			r = cli_fail(CLI_FAILED, "the configuration was changed meanwhile; try again");
		else if (loaded)
			r = cli_fail(CLI_FAILED, "the configuration is wrong: %s", fault.text);
	}
	for (size_t i = 0; i < LOAD_N; i++)
		PQclear(results[i]);
	return r;
}

/* ---- names ------------------------------------------------------------------------------------------- */

/* the name of a department, service or area; the number where it has none */
static void name_of(struct cli *c, const char *sql, int32_t id, char ret[static 64])
{
	char number[16];
	_cleanup_(PQclearp) PGresult *r = NULL;

	snprintf(number, sizeof(number), "%d", (int)id);
	snprintf(ret, 64, "%s", id ? number : "none");
	if (!id)
		return;
	r = cli_query(c, sql, 1, (const char *[]){ number });
	if (r && PQntuples(r))
		snprintf(ret, 64, "%.63s", PQgetvalue(r, 0, 0));
}

static void department_name(struct cli *c, int32_t id, char ret[static 64])
{
	name_of(c, "SELECT slug FROM centraleta.department WHERE department = $1", id, ret);
}

static void service_name(struct cli *c, int32_t id, char ret[static 64])
{
	name_of(c, "SELECT service_code FROM centraleta.service WHERE service = $1", id, ret);
}

static void area_name(struct cli *c, int32_t id, char ret[static 64])
{
	name_of(c, "SELECT slug FROM centraleta.area WHERE area = $1", id, ret);
}

/* ---- the answer --------------------------------------------------------------------------------------- */

enum { TRIALS_MAX = 10000, SHOWN_MAX = 20 };

/* rules for other services are many and say nothing: they are counted, the others shown */
static void print_trials(struct cli *c, const struct rule_trial *trials, size_t n)
{
	size_t others = 0, shown = 0;
	char department[64];

	for (size_t i = 0; i < n; i++) {
		if (trials[i].verdict == RULE_OTHER_SERVICE) {
			others++;
			continue;
		}
		if (shown++ >= SHOWN_MAX)
			continue;
		department_name(c, trials[i].rule->department, department);
		printf("  rule %-6d -> %-24s %s\n", (int)trials[i].rule->position, department,
		       trials[i].verdict == RULE_MATCHES ? "matches" : rule_verdict_text(trials[i].verdict));
	}
	if (shown > SHOWN_MAX)
		printf("  … and %zu more\n", shown - SHOWN_MAX);
	if (others)
		printf("  %zu rules name another service\n", others);
}

static void print_decision(struct cli *c, const struct town_config *town, const struct route *route,
			   const struct rule_trial *trials, size_t n)
{
	char department[64], area[64], deadline[32], version[16], position[16], priority[8], tried[24];

	department_name(c, route->department, department);
	area_name(c, route->area, area);
	clock_format_utc(route->deadline_us, deadline);
	snprintf(version, sizeof(version), "%d", (int)town->rule_version);
	snprintf(position, sizeof(position), "%d", (int)route->rule_position);
	snprintf(priority, sizeof(priority), "%d", route->priority);
	snprintf(tried, sizeof(tried), "%zu", n);
	cli_print_one(c,
		      (const char *[]){ "jurisdiction", "decided by", "department", "area", "priority", "deadline",
					"rule version", "rule", "rules tried", NULL },
		      (const char *[]){ town->slug, route_kind_name(route->kind), department, area, priority,
					deadline, version, route->rule_position ? position : "none", tried });
	if (!c->json)
		print_trials(c, trials, MIN(n, (size_t)TRIALS_MAX));
}

static int print_taken(struct cli *c, const char *lane, const char *id)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c,
		"SELECT r.at, d.slug AS department, a.slug AS area, r.deadline, r.rule_version,"
		" r.rule_position AS rule FROM centraleta.route r"
		" JOIN centraleta.department d USING (department) LEFT JOIN centraleta.area a ON a.area = r.area"
		" WHERE r.lane = $1 AND r.request = $2 ORDER BY r.turn",
		2, (const char *[]){ lane, id });

	if (!r)
		return CLI_FAILED;
	if (!c->json)
		puts(PQntuples(r) ? "\nroutes taken" : "\nnot routed yet: the town's triage department owns it");
	if (PQntuples(r) || c->json)
		cli_print(c, r);
	return CLI_OK;
}

static int explain(struct cli *c, const struct town_config *town, const PGresult *event)
{
	_cleanup_(freep) struct rule_trial *trials = calloc(TRIALS_MAX, sizeof(*trials));
	struct bytes body = row_bytes(event, 0, 1);
	Centraleta__V1__RequestReceived *m =
		centraleta__v1__request_received__unpack(NULL, body.len, body.data);
	struct route_facts facts;
	struct route route;
	char service[64], area[64];
	size_t n;

	if (!m || !trials)
		return cli_fail(CLI_FAILED, "the event's body can't be read");
	route_facts_of(m, &facts);
	n = route_explain(town, &facts, &route, trials, TRIALS_MAX);
	service_name(c, facts.service, service);
	area_name(c, route.area, area);
	if (!c->json)
		printf("service %s, channel %s, area %s, by the rules in force now:\n", service,
		       cli_channel_name(facts.channel), area);
	print_decision(c, town, &route, trials, n);
	centraleta__v1__request_received__free_unpacked(m, NULL);
	return CLI_OK;
}

int cmd_route(struct cli *c, int argc, char **argv)
{
	_cleanup_(towns_freep) struct towns *towns = NULL;
	_cleanup_(PQclearp) PGresult *event = NULL;
	const struct town_config *town;
	int64_t id;
	char lane[8];
	int r;

	if (argc != 3 || strcmp(argv[1], "explain"))
		return cli_usage("route");
	if (!text_to_i64(argv[2], strlen(argv[2]), &id) || id_lane(id) < 0)
		return cli_fail(CLI_USAGE, "'%s' is no service_request_id", argv[2]);
	snprintf(lane, sizeof(lane), "%d", id_lane(id));
	r = cli_db(c);
	if (!r)
		r = load(c, &towns);
	if (r)
		return r;
	event = PQexecParams(c->db,
			     "SELECT jurisdiction, body FROM centraleta.event WHERE lane = $1::int2 AND order_key = $2::int8"
			     " AND type = 1",
			     2, NULL, (const char *[]){ lane, argv[2] }, NULL, NULL, 1);
	if (PQntuples(event) == 0)
		return cli_fail(CLI_NOT_FOUND, "no request %s that routing decided about (history is imported as it was)",
				argv[2]);
	town = towns_find(towns, (int32_t)row_integer(event, 0, 0));
	if (!town)
		return cli_fail(CLI_FAILED, "the request's town is not in the configuration");
	r = explain(c, town, event);
	return r ? r : print_taken(c, lane, argv[2]);
}
