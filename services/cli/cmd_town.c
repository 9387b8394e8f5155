/*
 * Towns: jurisdiction, working hours, holidays.
 */
#include <stdio.h>

#include "common/base/text.h"
#include "common/base/zone.h"
#include "services/cli/cli.h"
#include "services/cli/commands.h"

/* A town is born whole: its triage department, that department's line and its lanes with it. */
static const char insert_town[] =
	"WITH id AS ("
	" SELECT nextval(pg_get_serial_sequence('centraleta.jurisdiction', 'jurisdiction'))::integer AS j,"
	"  nextval(pg_get_serial_sequence('centraleta.department', 'department'))::integer AS d"
	"), chosen AS ("
	" SELECT coalesce(string_to_array($6, ',')::smallint[], ARRAY(SELECT l.lane FROM centraleta.lane l"
	"  LEFT JOIN centraleta.jurisdiction_lane jl USING (lane) GROUP BY l.lane"
	"  ORDER BY count(jl.lane), l.lane LIMIT 1)) AS lanes"
	"), town AS ("
	" INSERT INTO centraleta.jurisdiction (jurisdiction, slug, jurisdiction_id, name, time_zone, language,"
	"  triage_department, mail_from, min_lat, min_long, max_lat, max_long, triage_minutes)"
	" SELECT j, $1, $2, $3, $4, coalesce($5, 'en'), d, $7, ($8::float8[])[1], ($8::float8[])[2],"
	"  ($8::float8[])[3], ($8::float8[])[4], coalesce($9::integer, 2880) FROM id"
	"), triage AS ("
	" INSERT INTO centraleta.department (department, jurisdiction, slug, name, home_lane)"
	" SELECT d, j, 'triage', 'Triage', lanes[1] FROM id, chosen"
	"), line AS ("
	" INSERT INTO centraleta.department_line (lane, department) SELECT lanes[1], d FROM id, chosen"
	") INSERT INTO centraleta.jurisdiction_lane (jurisdiction, lane)"
	" SELECT j, unnest(lanes) FROM id, chosen RETURNING jurisdiction, lane";

struct town_new {
	const char *values[9];
	const char *box;
};

static int add_town(struct cli *c, void *arg)
{
	struct town_new *t = arg;

	return cli_exec(c, insert_town, 9, t->values);
}

static int check_zone(const char *name)
{
	_cleanup_(zone_freep) struct zone *z = NULL;

	if (zone_new(&z, name))
		return cli_fail(CLI_USAGE, "no time zone '%s'; take an IANA name such as Europe/Madrid",
				name);
	return CLI_OK;
}

static int check_box(const char *box, char ret[static 160])
{
	double v[4];
	char tail;

	if (sscanf(box, "%lf,%lf,%lf,%lf%c", &v[0], &v[1], &v[2], &v[3], &tail) != 4 || v[0] >= v[2] ||
	    v[1] >= v[3] || v[0] < -90 || v[2] > 90 || v[1] < -180 || v[3] > 180)
		return cli_fail(CLI_USAGE, "--box takes min_lat,min_long,max_lat,max_long, not '%s'", box);
	snprintf(ret, 160, "{%.9g,%.9g,%.9g,%.9g}", v[0], v[1], v[2], v[3]);
	return CLI_OK;
}

static int jurisdiction_add(struct cli *c, int argc, char **argv)
{
	const char *slug = NULL, *id = NULL, *name = NULL, *zone = NULL, *language = NULL, *lanes = NULL,
		   *from = NULL, *box = NULL, *minutes = NULL;
	const struct option_spec specs[] = {
		{ "id", &id, NULL, true },	 { "name", &name, NULL, true },
		{ "time-zone", &zone, NULL, true }, { "language", &language, NULL, false },
		{ "lanes", &lanes, NULL, false },   { "mail-from", &from, NULL, false },
		{ "box", &box, NULL, false },	 { "triage-minutes", &minutes, NULL, false },
		{ NULL, NULL, NULL, false },
	};
	char box_array[160];
	int r;

	if (cli_options("jurisdiction", argc, argv, specs, &slug, 1, 1) < 0)
		return CLI_USAGE;
	if (!text_is_slug(slug))
		return cli_fail(CLI_USAGE, "'%s' is no slug: a-z, 0-9 and '-', 63 characters at most", slug);
	r = check_zone(zone);
	if (!r && box)
		r = check_box(box, box_array);
	if (r)
		return r;
	struct town_new t = { .values = { slug, id, name, zone, language, lanes, from,
					  box ? box_array : NULL, minutes } };

	r = cli_change(c, add_town, &t);
	if (!r)
		cli_print_one(c, (const char *[]){ "jurisdiction", "triage department", NULL },
			      (const char *[]){ slug, "triage" });
	return r;
}

static int jurisdiction_list(struct cli *c)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c,
		"SELECT j.slug, j.jurisdiction_id, j.name, j.time_zone, j.language, j.mail_from,"
		" (SELECT string_agg(lane::text, ',' ORDER BY lane) FROM centraleta.jurisdiction_lane l"
		"  WHERE l.jurisdiction = j.jurisdiction) AS lanes,"
		" (SELECT count(*)::integer FROM centraleta.department d"
		"  WHERE d.jurisdiction = j.jurisdiction) AS departments,"
		" (SELECT count(*)::integer FROM centraleta.service s"
		"  WHERE s.jurisdiction = j.jurisdiction) AS services, j.retired_at"
		" FROM centraleta.jurisdiction j ORDER BY j.slug",
		0, NULL);

	if (!r)
		return CLI_FAILED;
	cli_print(c, r);
	return CLI_OK;
}

struct town_set {
	const char *values[7];
};

static int set_town(struct cli *c, void *arg)
{
	struct town_set *t = arg;

	return cli_exec(c,
			"UPDATE centraleta.jurisdiction SET name = coalesce($2, name),"
			" mail_from = coalesce($3, mail_from), language = coalesce($4, language),"
			" triage_minutes = coalesce($5::integer, triage_minutes),"
			" retired_at = CASE WHEN $6 = 'yes' THEN now() ELSE retired_at END,"
			" triage_department = coalesce((SELECT department FROM centraleta.department d"
			"  WHERE d.jurisdiction = $1::integer AND d.slug = $7), triage_department)"
			" WHERE jurisdiction = $1::integer",
			7, t->values);
}

static int jurisdiction_set(struct cli *c, int argc, char **argv)
{
	const char *slug = NULL, *name = NULL, *from = NULL, *language = NULL, *minutes = NULL,
		   *triage = NULL;
	bool retire = false;
	const struct option_spec specs[] = {
		{ "name", &name, NULL, false },		{ "mail-from", &from, NULL, false },
		{ "language", &language, NULL, false }, { "triage-minutes", &minutes, NULL, false },
		{ "triage", &triage, NULL, false },	{ "retire", NULL, &retire, false },
		{ NULL, NULL, NULL, false },
	};
	char town[16];
	int r;

	if (cli_options("jurisdiction", argc, argv, specs, &slug, 1, 1) < 0)
		return CLI_USAGE;
	r = cli_town(c, slug, town);
	if (!r && triage) {
		char department[16];

		r = cli_department(c, town, triage, department);
	}
	if (r)
		return r;
	struct town_set t = { .values = { town, name, from, language, minutes, retire ? "yes" : "no",
					  triage } };

	return cli_change(c, set_town, &t);
}

int cmd_jurisdiction(struct cli *c, int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "add"))
		return jurisdiction_add(c, argc - 1, argv + 1);
	if (!strcmp(verb, "set"))
		return jurisdiction_set(c, argc - 1, argv + 1);
	if (!strcmp(verb, "list"))
		return jurisdiction_list(c);
	return cli_usage("jurisdiction");
}

/* ---- working hours and holidays ------------------------------------------------------------- */

struct hours {
	const char *town;
	char **spans; /* "1-5 08:00-15:00" */
	int n;
};

static int set_hours(struct cli *c, void *arg)
{
	struct hours *h = arg;
	int r = cli_exec(c, "DELETE FROM centraleta.working_hours WHERE jurisdiction = $1", 1, &h->town);

	for (int i = 0; !r && i < h->n; i++) {
		int first, last, used = 0;
		char opens[6], closes[6], days[24];

		if (sscanf(h->spans[i], "%d-%d %5[0-9:]-%5[0-9:]%n", &first, &last, opens, closes, &used) != 4 ||
		    h->spans[i][used] || first < 1 || last > 7 || first > last)
			return cli_fail(CLI_USAGE, "'%s' is no span; write '1-5 08:00-15:00' (1 is Monday)",
					h->spans[i]);
		snprintf(days, sizeof(days), "%d,%d", first, last);
		r = cli_exec(c,
			     "INSERT INTO centraleta.working_hours SELECT $1::integer, d, $3::time, $4::time"
			     " FROM generate_series(split_part($2, ',', 1)::integer,"
			     "  split_part($2, ',', 2)::integer) d",
			     4, (const char *[]){ h->town, days, opens, closes });
	}
	return r;
}

int cmd_hours(struct cli *c, int argc, char **argv)
{
	char town[16];
	int r;

	if (argc < 4 || strcmp(argv[1], "set"))
		return cli_usage("hours");
	r = cli_town(c, argv[2], town);
	if (r)
		return r;
	struct hours h = { .town = town, .spans = argv + 3, .n = argc - 3 };

	return cli_change(c, set_hours, &h);
}

static int add_holiday(struct cli *c, void *arg)
{
	return cli_exec(c,
			"INSERT INTO centraleta.holiday VALUES ($1, $2, coalesce($3, ''))"
			" ON CONFLICT (jurisdiction, day) DO UPDATE SET name = EXCLUDED.name",
			3, arg);
}

int cmd_holiday(struct cli *c, int argc, char **argv)
{
	char town[16];
	int r;

	if ((argc != 4 && argc != 5) || strcmp(argv[1], "add"))
		return cli_usage("holiday");
	r = cli_town(c, argv[2], town);
	if (r)
		return r;
	return cli_change(c, add_holiday, (const char *[]){ town, argv[3], argc == 5 ? argv[4] : NULL });
}
