/*
 * Departments, services and their attributes, doors. Each is added one by one or, where a town brings
 * many, loaded from a CSV file in one change.
 */
#include <errno.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/text.h"
#include "services/cli/cli.h"
#include "services/cli/commands.h"
#include "services/cli/csv.h"

/* ---- CSV files ---------------------------------------------------------------------------------- */

enum { COLUMNS_MAX = 24 };

static int read_file(const char *path, struct buf *out)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
	size_t n;

	if (!f)
		return cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
	do {
		char *at = buf_reserve(out, 65536);

		n = at ? fread(at, 1, 65536, f) : 0;
		out->len += n;
	} while (n > 0);
	if (f != stdin)
		fclose(f);
	return buf_err(out) ? cli_fail(CLI_FAILED, "%s: %s", path, strerror(-buf_err(out))) : CLI_OK;
}

static int map_columns(const struct csv *csv, const char *path, const char *const *columns,
		       ssize_t map[static COLUMNS_MAX])
{
	for (size_t i = 0; columns[i]; i++) {
		bool must = *columns[i] == '!';

		map[i] = -1;
		for (size_t f = 0; f < csv->n; f++)
			if (!strcmp(csv_field(csv, f), columns[i] + must))
				map[i] = (ssize_t)f;
		if (must && map[i] < 0)
			return cli_fail(CLI_FAILED, "%s: the header has no column '%s'", path,
					columns[i] + 1);
	}
	return CLI_OK;
}

static int one_row(const struct csv *csv, const char *path, const char *const *columns,
		   const ssize_t *map, int (*fn)(void *, const char *const *, uint64_t), void *arg)
{
	const char *values[COLUMNS_MAX] = { 0 };

	for (size_t i = 0; columns[i]; i++) {
		values[i] = map[i] < 0 ? "" : csv_field(csv, (size_t)map[i]);
		if (!text_valid(values[i], strlen(values[i])))
			return cli_fail(CLI_FAILED, "%s:%llu: column '%s' is not valid UTF-8", path,
					(unsigned long long)csv->line, columns[i]);
	}
	return fn(arg, values, csv->line);
}

int cli_csv(const char *path, const char *const *columns,
	    int (*fn)(void *arg, const char *const *values, uint64_t line), void *arg)
{
	_cleanup_(buf_fini) struct buf data = BUF_INIT;
	_cleanup_(csv_fini) struct csv csv;
	ssize_t map[COLUMNS_MAX];
	size_t at = 0, used = 0;
	const char *reason;
	bool header = true;
	int r = CLI_OK;

	csv_init(&csv);
	r = read_file(path, &data);
	while (!r && at < data.len) {
		switch (csv_next(&csv, data.data + at, data.len - at, true, &used, &reason)) {
		case CSV_ROW:
			r = header ? map_columns(&csv, path, columns, map)
				   : one_row(&csv, path, columns, map, fn, arg);
			header = false;
			break;
		case CSV_BAD:
			return cli_fail(CLI_FAILED, "%s:%llu: %s", path, (unsigned long long)csv.line, reason);
		case CSV_MORE:
		case CSV_END:
			return r;
		}
		at += used;
	}
	return r;
}

/* ---- departments -------------------------------------------------------------------------------- */

struct change {
	struct cli *c;
	const char *town;
	const char *a, *b, *d, *e, *f;
	const char *path;
	int n; /* rows done */
};

int cli_department(struct cli *c, const char *town, const char *slug, char ret[static 16])
{
	_cleanup_(PQclearp) PGresult *r =
		cli_query(c, "SELECT department FROM centraleta.department WHERE jurisdiction = $1 AND slug = $2",
			  2, (const char *[]){ town, slug });

	if (!r)
		return CLI_FAILED;
	if (PQntuples(r) == 0)
		return cli_fail(CLI_NOT_FOUND, "the town has no department '%s'", slug);
	snprintf(ret, 16, "%s", PQgetvalue(r, 0, 0));
	return CLI_OK;
}

static int put_department(void *arg, const char *const *v, uint64_t line _unused_)
{
	struct change *x = arg;

	x->n++;
	return cli_exec(x->c,
			"WITH home AS (SELECT min(lane) AS lane FROM centraleta.jurisdiction_lane"
			"  WHERE jurisdiction = $1::integer), d AS ("
			" INSERT INTO centraleta.department (jurisdiction, slug, name, home_lane)"
			" SELECT $1::integer, $2, $3, lane FROM home"
			" ON CONFLICT (jurisdiction, slug) DO UPDATE SET name = EXCLUDED.name"
			" RETURNING department, home_lane)"
			"INSERT INTO centraleta.department_line (lane, department)"
			" SELECT home_lane, department FROM d ON CONFLICT DO NOTHING",
			3, (const char *[]){ x->town, v[0], v[1] });
}

static int add_department(struct cli *c _unused_, void *arg)
{
	struct change *x = arg;

	return put_department(x, (const char *[]){ x->a, x->b }, 0);
}

static int load_departments(struct cli *c _unused_, void *arg)
{
	struct change *x = arg;

	return cli_csv(x->path, (const char *[]){ "!slug", "!name", NULL }, put_department, x);
}

/* A retired department gets nothing new; that needs the rules that name it gone first. */
static int retire_department(struct cli *c, void *arg)
{
	struct change *x = arg;
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c,
		"UPDATE centraleta.department d SET retired_at = now() WHERE d.department = $1::integer"
		" AND NOT EXISTS (SELECT 1 FROM centraleta.jurisdiction j"
		"  WHERE j.triage_department = d.department)"
		" AND NOT EXISTS (SELECT 1 FROM centraleta.rule r WHERE r.department = d.department"
		"  AND r.version = (SELECT max(version) FROM centraleta.rule_set s"
		"   WHERE s.jurisdiction = r.jurisdiction)) RETURNING 1",
		1, &x->a);

	if (!r)
		return CLI_FAILED;
	if (PQntuples(r) == 0)
		return cli_fail(CLI_FAILED, "a rule in force or the town's triage still names it: load rules"
					    " without it, or 'jurisdiction set --triage' first");
	return CLI_OK;
}

static int list_of(struct cli *c, const char *sql, const char *town)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(c, sql, 1, &town);

	if (!r)
		return CLI_FAILED;
	cli_print(c, r);
	return CLI_OK;
}

static int said(struct cli *c, int r, const char *what, int n)
{
	if (r || c->json)
		return r;
	printf("%d %s\n", n, what);
	return r;
}

int cmd_department(struct cli *c, int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "", *p[2] = { NULL }, *name = NULL;
	const struct option_spec specs[] = { { "name", &name, NULL, false }, { NULL, NULL, NULL, false } };
	char town[16], department[16];
	int n = argc > 1 ? cli_options("department", argc - 1, argv + 1, specs, p, 1, 2) : -1, r;

	if (n < 0)
		return argc > 1 ? CLI_USAGE : cli_usage("department");
	r = cli_town(c, p[0], town);
	if (r)
		return r;
	struct change x = { .c = c, .town = town, .a = p[1], .b = name ? name : p[1], .path = p[1] };

	if (!strcmp(verb, "list"))
		return list_of(c, "SELECT slug, name, home_lane, retired_at FROM centraleta.department"
				  " WHERE jurisdiction = $1 ORDER BY slug", town);
	if (n < 2)
		return cli_usage("department");
	if (!strcmp(verb, "load"))
		return said(c, cli_change(c, load_departments, &x), "departments loaded", x.n);
	if (!strcmp(verb, "add"))
		return cli_change(c, add_department, &x);
	if (strcmp(verb, "retire"))
		return cli_usage("department");
	r = cli_department(c, town, p[1], department);
	x.a = department;
	return r ? r : cli_change(c, retire_department, &x);
}

/* ---- services ----------------------------------------------------------------------------------- */

static int put_service(void *arg, const char *const *v, uint64_t line _unused_)
{
	struct change *x = arg;
	char slug[64];

	x->n++;
	if (*v[2])
		snprintf(slug, sizeof(slug), "%s", v[2]);
	else
		text_to_slug(v[0], slug);
	return cli_exec(x->c,
			"INSERT INTO centraleta.service (jurisdiction, service_code, name, slug, description,"
			" service_group, keywords, service_notice)"
			" VALUES ($1, $2, coalesce(nullif($3, ''), $2), $4, $5, $6, $7, $8)"
			" ON CONFLICT (jurisdiction, service_code) DO UPDATE SET name = EXCLUDED.name,"
			" description = EXCLUDED.description, service_group = EXCLUDED.service_group,"
			" keywords = EXCLUDED.keywords, service_notice = EXCLUDED.service_notice,"
			" retired_at = NULL",
			8, (const char *[]){ x->town, v[0], v[1], slug, v[3], v[4], v[5], v[6] });
}

static const char *const service_columns[] = { "!service_code", "name", "slug", "description", "group",
					       "keywords", "notice", NULL };

static int load_services(struct cli *c _unused_, void *arg)
{
	struct change *x = arg;

	return cli_csv(x->path, service_columns, put_service, x);
}

struct service_new {
	struct change x;
	const char *values[7];
};

static int add_service(struct cli *c _unused_, void *arg)
{
	struct service_new *s = arg;

	return put_service(&s->x, s->values, 0);
}

static int retire_service(struct cli *c, void *arg)
{
	struct change *x = arg;
	_cleanup_(PQclearp) PGresult *r = cli_query(c,
						    "UPDATE centraleta.service SET retired_at = now()"
						    " WHERE jurisdiction = $1 AND service_code = $2 RETURNING 1",
						    2, (const char *[]){ x->town, x->a });

	if (!r)
		return CLI_FAILED;
	return PQntuples(r) ? CLI_OK : cli_fail(CLI_NOT_FOUND, "the town has no service '%s'", x->a);
}

/* columns: service_code, code, datatype, required, description, datatype_description, values (a=A|b=B) */
static int put_attribute(void *arg, const char *const *v, uint64_t line)
{
	struct change *x = arg;
	_cleanup_(PQclearp) PGresult *r = NULL;

	x->n++;
	r = cli_query(x->c,
		      "WITH s AS (SELECT service FROM centraleta.service WHERE jurisdiction = $1::integer"
		      "  AND service_code = $2), a AS ("
		      " INSERT INTO centraleta.service_attribute (service, code, datatype, required,"
		      "  description, datatype_description, ord, variable)"
		      " SELECT service, $3, $4, $5 = 'yes', $6, $7, coalesce((SELECT max(o.ord) + 1"
		      "  FROM centraleta.service_attribute o WHERE o.service = s.service), 1), $9 <> 'no' FROM s"
		      " ON CONFLICT (service, code) DO UPDATE SET datatype = EXCLUDED.datatype,"
		      "  required = EXCLUDED.required, description = EXCLUDED.description,"
		      "  datatype_description = EXCLUDED.datatype_description,"
		      "  variable = EXCLUDED.variable RETURNING service, code), gone AS ("
		      " DELETE FROM centraleta.service_attribute_value o USING a"
		      "  WHERE o.service = a.service AND o.code = a.code AND NOT EXISTS (SELECT 1 FROM"
		      "   unnest(string_to_array($8, '|')) w WHERE split_part(w, '=', 1) = o.key)), put AS ("
		      " INSERT INTO centraleta.service_attribute_value (service, code, key, name, ord)"
		      " SELECT a.service, a.code, split_part(w, '=', 1),"
		      "  coalesce(nullif(split_part(w, '=', 2), ''), split_part(w, '=', 1)), n"
		      " FROM a, unnest(string_to_array(nullif($8, ''), '|')) WITH ORDINALITY AS u (w, n)"
		      " ON CONFLICT (service, code, key) DO UPDATE SET name = EXCLUDED.name, ord = EXCLUDED.ord)"
		      "SELECT 1 FROM a",
		      9, (const char *[]){ x->town, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7] });
	if (!r)
		return CLI_FAILED;
	if (PQntuples(r) == 0)
		return cli_fail(CLI_NOT_FOUND, "%s:%llu: the town has no service '%s'", x->path,
				(unsigned long long)line, v[0]);
	return CLI_OK;
}

static int load_attributes(struct cli *c _unused_, void *arg)
{
	struct change *x = arg;

	return cli_csv(x->path,
		       (const char *[]){ "!service_code", "!code", "!datatype", "required", "description",
					 "datatype_description", "values", "variable", NULL },
		       put_attribute, x);
}

static int service_verb(struct cli *c, const char *verb, struct service_new *s)
{
	if (!strcmp(verb, "add"))
		return cli_change(c, add_service, s);
	if (!strcmp(verb, "load"))
		return said(c, cli_change(c, load_services, &s->x), "services loaded", s->x.n);
	if (!strcmp(verb, "attributes"))
		return said(c, cli_change(c, load_attributes, &s->x), "attributes loaded", s->x.n);
	if (!strcmp(verb, "retire"))
		return cli_change(c, retire_service, &s->x);
	return cli_usage("service");
}

int cmd_service(struct cli *c, int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "", *p[2] = { NULL }, *o[6] = { NULL };
	const struct option_spec specs[] = {
		{ "name", &o[0], NULL, false },	   { "slug", &o[1], NULL, false },
		{ "description", &o[2], NULL, false }, { "group", &o[3], NULL, false },
		{ "keywords", &o[4], NULL, false },   { "notice", &o[5], NULL, false },
		{ NULL, NULL, NULL, false },
	};
	char town[16];
	int n = argc > 1 ? cli_options("service", argc - 1, argv + 1, specs, p, 1, 2) : -1, r;

	if (n < 0)
		return argc > 1 ? CLI_USAGE : cli_usage("service");
	r = cli_town(c, p[0], town);
	if (r)
		return r;
	if (!strcmp(verb, "list"))
		return list_of(c,
			       "SELECT service_code, name, slug, service_group AS \"group\","
			       " (SELECT count(*)::integer FROM centraleta.service_attribute a"
			       "  WHERE a.service = s.service) AS attributes, retired_at"
			       " FROM centraleta.service s WHERE jurisdiction = $1 ORDER BY service_code",
			       town);
	if (n < 2)
		return cli_usage("service");
	struct service_new s = { .x = { .c = c, .town = town, .a = p[1], .path = p[1] } };

	s.values[0] = p[1];
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		s.values[i + 1] = o[i] ? o[i] : "";
	return service_verb(c, verb, &s);
}

/* ---- doors -------------------------------------------------------------------------------------- */

static int add_door(struct cli *c, void *arg)
{
	struct change *x = arg;

	return cli_exec(c, "INSERT INTO centraleta.door (jurisdiction, slug, channel) VALUES ($1, $2, $3)", 3,
			(const char *[]){ x->town, x->a, x->b });
}

int cmd_door(struct cli *c, int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "", *p[2] = { NULL }, *channel = NULL;
	const struct option_spec specs[] = { { "channel", &channel, NULL, false },
					     { NULL, NULL, NULL, false } };
	char town[16], number[8];
	int n = argc > 1 ? cli_options("door", argc - 1, argv + 1, specs, p, 1, 2) : -1, r;

	if (n < 0)
		return argc > 1 ? CLI_USAGE : cli_usage("door");
	r = cli_town(c, p[0], town);
	if (r)
		return r;
	if (!strcmp(verb, "list"))
		return list_of(c, "SELECT slug, channel, created_at, retired_at FROM centraleta.door"
				  " WHERE jurisdiction = $1 ORDER BY slug", town);
	if (strcmp(verb, "add") || n < 2)
		return cli_usage("door");
	if (!channel || !cli_channel(channel))
		return cli_fail(CLI_USAGE, "door: --channel takes phone, web, mobile, email, sms, chat, social,"
					   " counter, staff, api or letter");
	snprintf(number, sizeof(number), "%d", cli_channel(channel));
	struct change x = { .c = c, .town = town, .a = p[1], .b = number };

	return cli_change(c, add_door, &x);
}
