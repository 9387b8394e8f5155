/*
 * centraleta analytics: the figures of a town, and the recount that must be equal.
 *
 * verify counts from the tables of intake and routing and from the surveys' answers, in SQL, in one
 * snapshot; the rollups were added up event by event in C. Nothing is shared but the definition.
 */
#include <stdio.h>
#include <time.h>

#include "services/cli/cli.h"
#include "services/cli/commands.h"

const char cli_analytics_help[] =
	"show: --from and --to (days, to is not included), --group-by all|day|service|department|channel|area.\n"
	"verify counts every request again and compares; --wait S: how long to wait until the\n"
	"rollups have caught up with the log (60). Exit code 4 when something differs.";

/* ---- show --------------------------------------------------------------------------------------------- */

static const char show_sql[] =
	"SELECT CASE $4 WHEN 'day' THEN r.day::text WHEN 'service' THEN s.service_code"
	"  WHEN 'department' THEN d.slug WHEN 'channel' THEN r.channel::text WHEN 'area' THEN a.slug ELSE 'all' END"
	"  AS part, sum(received)::bigint AS received, sum(open)::bigint AS open, sum(closed)::bigint AS closed,"
	" round(100.0 * sum(on_time) / nullif(sum(closed), 0), 1)::float8 AS on_time_percent,"
	" sum(answers)::bigint AS answers, round(sum(score_sum) / nullif(sum(answers), 0), 2)::float8 AS mean_score"
	" FROM centraleta.rollup_day r LEFT JOIN centraleta.service s ON s.service = r.service"
	" LEFT JOIN centraleta.department d ON d.department = r.department"
	" LEFT JOIN centraleta.area a ON a.area = r.area"
	" WHERE r.jurisdiction = $1 AND ($2::date IS NULL OR r.day >= $2::date)"
	" AND ($3::date IS NULL OR r.day < $3::date) GROUP BY 1 ORDER BY 1";

static int show(struct cli *c, int argc, char **argv)
{
	const char *slug = NULL, *from = NULL, *to = NULL, *by = "all";
	const struct option_spec specs[] = {
		{ "from", &from, NULL, false },
		{ "to", &to, NULL, false },
		{ "group-by", &by, NULL, false },
		{ NULL, NULL, NULL, false },
	};
	_cleanup_(PQclearp) PGresult *r = NULL;
	char town[16];
	int found;

	if (cli_options("analytics", argc, argv, specs, &slug, 1, 1) < 0)
		return CLI_USAGE;
	found = cli_town(c, slug, town);
	if (found)
		return found;
	r = cli_query(c, show_sql, 4, (const char *[]){ town, from, to, by });
	if (!r)
		return CLI_FAILED;
	cli_print(c, r);
	return CLI_OK;
}

/* ---- verify -------------------------------------------------------------------------------------------- */

/* events that analytics has not taken yet, and requests that intake's public view is behind with */
static const char behind_sql[] =
	"SELECT coalesce(sum(e.head - p.seq), 0)::bigint FROM (SELECT l.lane, greatest(l.after,"
	" coalesce((SELECT max(seq) FROM centraleta.event e WHERE e.lane = l.lane), 0)) AS head"
	" FROM centraleta.lane l) e JOIN (SELECT DISTINCT ON (consumer, lane) consumer, lane, seq"
	" FROM centraleta.progress WHERE consumer IN ('analytics', 'intake') ORDER BY consumer, lane, step DESC) p"
	" USING (lane)";

#define FACT_SQL                                                                                             \
	"fact AS (SELECT r.jurisdiction, r.service, coalesce(w.department, r.owner) AS department, r.channel," \
	" coalesce(w.area, 0) AS area, r.requested_at, coalesce(w.deadline, r.deadline) AS deadline,"          \
	" CASE WHEN p.state = 5 THEN p.updated_at END AS closed_at, v.score, j.time_zone"                      \
	" FROM centraleta.request r JOIN centraleta.jurisdiction j USING (jurisdiction)"                       \
	" JOIN centraleta.request_public p ON p.lane = r.lane AND p.request = r.request"                       \
	" LEFT JOIN (SELECT DISTINCT ON (lane, request) * FROM centraleta.route ORDER BY lane, request, turn DESC) w" \
	"  ON w.lane = r.lane AND w.request = r.request"                                                       \
	" LEFT JOIN (SELECT DISTINCT ON (lane, request) * FROM centraleta.survey_answer"                       \
	"  ORDER BY lane, request, closing_seq DESC) v ON v.lane = r.lane AND v.request = r.request)"

static const char days_sql[] =
	"WITH " FACT_SQL ", counted AS (SELECT jurisdiction, day, service, department, channel, area,"
	"  sum(received) AS received, sum(open) AS open, sum(closed) AS closed, sum(on_time) AS on_time,"
	"  sum(answers) AS answers, sum(score_sum) AS score_sum, sum(satisfied) AS satisfied FROM ("
	"  SELECT jurisdiction, (requested_at AT TIME ZONE time_zone)::date AS day, service, department, channel,"
	"   area, 1 AS received, (closed_at IS NULL)::int AS open, 0 AS closed, 0 AS on_time, 0 AS answers,"
	"   0 AS score_sum, 0 AS satisfied FROM fact"
	"  UNION ALL SELECT jurisdiction, (closed_at AT TIME ZONE time_zone)::date, service, department, channel,"
	"   area, 0, 0, 1, (closed_at <= deadline)::int, (score IS NOT NULL)::int, coalesce(score, 0),"
	"   coalesce((score >= 7)::int, 0) FROM fact WHERE closed_at IS NOT NULL) x GROUP BY 1, 2, 3, 4, 5, 6),"
	" kept AS (SELECT jurisdiction, day, service, department, channel, area, sum(received) AS received,"
	"  sum(open) AS open, sum(closed) AS closed, sum(on_time) AS on_time, sum(answers) AS answers,"
	"  sum(score_sum) AS score_sum, sum(satisfied) AS satisfied FROM centraleta.rollup_day GROUP BY 1,2,3,4,5,6)"
	" SELECT jurisdiction, day, service, department, channel, area, row(c.received, c.open, c.closed, c.on_time,"
	"  c.answers, c.score_sum, c.satisfied)::text AS counted, row(k.received, k.open, k.closed, k.on_time,"
	"  k.answers, k.score_sum, k.satisfied)::text AS rollup"
	" FROM counted c FULL JOIN kept k USING (jurisdiction, day, service, department, channel, area)"
	" WHERE (coalesce(c.received, 0), coalesce(c.open, 0), coalesce(c.closed, 0), coalesce(c.on_time, 0),"
	"  coalesce(c.answers, 0), coalesce(c.score_sum, 0), coalesce(c.satisfied, 0)) <>"
	"  (coalesce(k.received, 0), coalesce(k.open, 0), coalesce(k.closed, 0), coalesce(k.on_time, 0),"
	"  coalesce(k.answers, 0), coalesce(k.score_sum, 0), coalesce(k.satisfied, 0)) ORDER BY 1, 2, 3 LIMIT 50";

static const char closes_sql[] =
	"WITH " FACT_SQL ", spent AS (SELECT *, greatest(1, floor(extract(epoch FROM closed_at - requested_at) / 60)"
	"  ::bigint) AS m FROM fact WHERE closed_at IS NOT NULL),"
	" scaled AS (SELECT *, length(ltrim(m::bit(64)::text, '0')) - 1 AS e FROM spent),"
	" counted AS (SELECT jurisdiction, (closed_at AT TIME ZONE time_zone)::date AS day, service, department,"
	"  channel, area, (4 * e + ((m * 4) >> e) - 4)::smallint AS bucket, count(*) AS n"
	"  FROM scaled GROUP BY 1, 2, 3, 4, 5, 6, 7),"
	" kept AS (SELECT jurisdiction, day, service, department, channel, area, bucket, sum(n) AS n"
	"  FROM centraleta.rollup_close GROUP BY 1, 2, 3, 4, 5, 6, 7)"
	" SELECT jurisdiction, day, service, department, channel, area, bucket, c.n AS counted, k.n AS rollup"
	" FROM counted c FULL JOIN kept k USING (jurisdiction, day, service, department, channel, area, bucket)"
	" WHERE coalesce(c.n, 0) <> coalesce(k.n, 0) ORDER BY 1, 2, 3 LIMIT 50";

static const char totals_sql[] =
	"SELECT (SELECT count(*) FROM centraleta.request)::text AS requests,"
	" (SELECT count(*) FROM centraleta.rollup_day)::text AS day_rows,"
	" (SELECT coalesce(sum(closed), 0) FROM centraleta.rollup_day)::text AS closed,"
	" (SELECT count(*) FROM centraleta.rollup_close)::text AS close_rows";

static long behind(struct cli *c)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(c, behind_sql, 0, NULL);

	return r ? strtol(PQgetvalue(r, 0, 0), NULL, 10) : -1;
}

/* opens the snapshot in which everything is caught up */
static int wait_until_level(struct cli *c, long wait_s)
{
	time_t until = time(NULL) + wait_s;
	long n;

	for (;;) {
		if (cli_exec(c, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL))
			return CLI_FAILED;
		n = behind(c);
		if (n == 0)
			return CLI_OK;
		if (n < 0 || cli_exec(c, "ROLLBACK", 0, NULL))
			return CLI_FAILED;
		if (time(NULL) >= until)
			return cli_fail(CLI_FAILED, "%ld events are not counted yet: are intake and analytics running?"
						    " --wait takes longer", n);
		nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	}
}

static int compare(struct cli *c, const char *what, const char *sql)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(c, sql, 0, NULL);

	if (!r)
		return CLI_FAILED;
	if (PQntuples(r) == 0)
		return CLI_OK;
	cli_print(c, r);
	return cli_fail(CLI_DIFFERENT, "%s: %d rows differ (50 at most are shown)", what, PQntuples(r));
}

static int verify(struct cli *c, int argc, char **argv)
{
	const char *wait = "60";
	const struct option_spec specs[] = { { "wait", &wait, NULL, false }, { NULL, NULL, NULL, false } };
	_cleanup_(PQclearp) PGresult *totals = NULL;
	int days, closes, r;

	if (cli_options("analytics", argc, argv, specs, NULL, 0, 0) < 0)
		return CLI_USAGE;
	r = wait_until_level(c, strtol(wait, NULL, 10));
	if (r)
		return r;
	days = compare(c, "rollup_day", days_sql);
	closes = compare(c, "rollup_close", closes_sql);
	totals = cli_query(c, totals_sql, 0, NULL);
	if (days || closes || !totals)
		return days ? days : closes ? closes : CLI_FAILED;
	cli_print_one(c,
		      (const char *[]){ "result", "requests", "rollup_day rows", "closed", "rollup_close rows", NULL },
		      (const char *[]){ "equal", PQgetvalue(totals, 0, 0), PQgetvalue(totals, 0, 1),
					PQgetvalue(totals, 0, 2), PQgetvalue(totals, 0, 3) });
	return CLI_OK;
}

int cmd_analytics(struct cli *c, int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "show"))
		return show(c, argc - 1, argv + 1);
	if (!strcmp(verb, "verify"))
		return verify(c, argc - 1, argv + 1);
	return cli_usage("analytics");
}
