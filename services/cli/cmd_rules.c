/*
 * Areas (GeoJSON) and routing rules (CSV, one new version a load).
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "common/base/text.h"
#include "services/cli/cli.h"
#include "services/cli/commands.h"


/* ---- areas -------------------------------------------------------------------------------------- */

struct area_load {
	struct cli *c;
	const char *town, *path, *name_property;
	json_t *features;
	size_t n;
};

static const char *feature_name(const json_t *feature, const char *property)
{
	return json_string_value(json_object_get(json_object_get(feature, "properties"), property));
}

static int put_area(struct area_load *a, const json_t *feature)
{
	const char *name = feature_name(feature, a->name_property);
	_cleanup_(freep) char *shape = json_dumps(json_object_get(feature, "geometry"), JSON_COMPACT);
	char slug[64];

	if (!name || !*name)
		return cli_fail(CLI_FAILED, "%s: feature %zu has no text property '%s'; choose another with"
					    " --name-property", a->path, a->n + 1, a->name_property);
	if (!shape)
		return cli_fail(CLI_FAILED, "%s: '%s' has no geometry", a->path, name);
	text_to_slug(name, slug);
	a->n++;
	return cli_exec(a->c,
			"INSERT INTO centraleta.area (jurisdiction, slug, name, shape)"
			" SELECT $1, $2, $3, public.ST_Multi(public.ST_CollectionExtract("
			"  public.ST_MakeValid(public.ST_SetSRID(public.ST_GeomFromGeoJSON($4), 4326)), 3))"
			" ON CONFLICT (jurisdiction, slug) DO UPDATE SET name = EXCLUDED.name,"
			"  shape = EXCLUDED.shape, retired_at = NULL",
			4, (const char *[]){ a->town, slug, name, shape });
}

static int load_areas(struct cli *c _unused_, void *arg)
{
	struct area_load *a = arg;
	size_t i;
	json_t *feature;
	int r = CLI_OK;

	json_array_foreach(a->features, i, feature) {
		r = put_area(a, feature);
		if (r)
			break;
	}
	return r;
}

static int area_load(struct cli *c, const char *town, const char *path, const char *property)
{
	json_error_t error;
	_cleanup_(json_decrefp) json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	struct area_load a = { .c = c, .town = town, .path = path,
			       .name_property = property ? property : "name" };
	int r;

	if (!root)
		return cli_fail(CLI_FAILED, "%s:%d: %s", path, error.line, error.text);
	a.features = json_object_get(root, "features");
	if (!json_is_array(a.features) || json_array_size(a.features) == 0)
		return cli_fail(CLI_FAILED, "%s: no GeoJSON FeatureCollection", path);
	r = cli_change(c, load_areas, &a);
	if (!r && !c->json)
		printf("%zu areas loaded\n", a.n);
	return r;
}

int cmd_area(struct cli *c, int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "", *p[2] = { NULL }, *property = NULL;
	const struct option_spec specs[] = { { "name-property", &property, NULL, false },
					     { NULL, NULL, NULL, false } };
	char town[16];
	int n = argc > 1 ? cli_options("area", argc - 1, argv + 1, specs, p, 1, 2) : -1, r;

	if (n < 0)
		return argc > 1 ? CLI_USAGE : cli_usage("area");
	r = cli_town(c, p[0], town);
	if (r)
		return r;
	if (!strcmp(verb, "load") && n == 2)
		return area_load(c, town, p[1], property);
	if (strcmp(verb, "list"))
		return cli_usage("area");
	_cleanup_(PQclearp) PGresult *list = cli_query(
		c,
		"SELECT slug, name, round((public.ST_Area(shape::public.geography) / 1e6)::numeric, 2) AS km2,"
		" public.ST_NPoints(shape) AS points, retired_at FROM centraleta.area"
		" WHERE jurisdiction = $1 ORDER BY slug",
		1, (const char *[]){ town });

	if (!list)
		return CLI_FAILED;
	cli_print(c, list);
	return CLI_OK;
}

/* ---- rules -------------------------------------------------------------------------------------- */

struct rule_load {
	struct cli *c;
	const char *town, *path;
	char version[16];
	int n;
};

enum { R_SERVICE, R_AREA, R_CHANNEL, R_ATTRIBUTE, R_VALUE, R_DEPARTMENT, R_PRIORITY, R_TARGET, R_MINUTES };

static int bad_rule(const struct rule_load *l, uint64_t line, const char *column, const char *value)
{
	return cli_fail(CLI_FAILED, "%s:%llu: %s '%s' is not known in this town; nothing was changed",
			l->path, (unsigned long long)line, column, value);
}

static int put_rule(void *arg, const char *const *v, uint64_t line)
{
	struct rule_load *l = arg;
	int channel = cli_channel(v[R_CHANNEL]);
	char position[16], channel_text[8];
	_cleanup_(PQclearp) PGresult *r = NULL;

	if (*v[R_CHANNEL] && !channel)
		return bad_rule(l, line, "channel", v[R_CHANNEL]);
	snprintf(position, sizeof(position), "%d", ++l->n);
	snprintf(channel_text, sizeof(channel_text), "%d", channel);
	r = cli_query(l->c,
		      "WITH found AS (SELECT"
		      " (SELECT service FROM centraleta.service WHERE jurisdiction = $1::integer"
		      "  AND service_code = $4 AND retired_at IS NULL) AS service,"
		      " (SELECT area FROM centraleta.area WHERE jurisdiction = $1::integer"
		      "  AND slug = $5 AND retired_at IS NULL) AS area,"
		      " (SELECT department FROM centraleta.department WHERE jurisdiction = $1::integer"
		      "  AND slug = $9 AND retired_at IS NULL) AS department), put AS ("
		      " INSERT INTO centraleta.rule SELECT $1::integer, $2::integer, $3::integer, service, area,"
		      "  nullif($6::smallint, 0), nullif($7, ''), nullif($8, ''), department,"
		      "  coalesce(nullif($10, '')::smallint, 3), coalesce(nullif($11, ''), 'calendar'),"
		      "  $12::integer FROM found WHERE department IS NOT NULL"
		      "  AND (service IS NOT NULL OR $4 = '') AND (area IS NOT NULL OR $5 = ''))"
		      "SELECT service IS NULL AND $4 <> '', area IS NULL AND $5 <> '', department IS NULL FROM found",
		      12,
		      (const char *[]){ l->town, l->version, position, v[R_SERVICE], v[R_AREA], channel_text,
					v[R_ATTRIBUTE], v[R_VALUE], v[R_DEPARTMENT], v[R_PRIORITY],
					v[R_TARGET], v[R_MINUTES] });
	if (!r)
		return cli_fail(CLI_FAILED, "%s:%llu: this rule; nothing was changed", l->path,
				(unsigned long long)line);
	if (*PQgetvalue(r, 0, 0) == 't')
		return bad_rule(l, line, "service", v[R_SERVICE]);
	if (*PQgetvalue(r, 0, 1) == 't')
		return bad_rule(l, line, "area", v[R_AREA]);
	if (*PQgetvalue(r, 0, 2) == 't')
		return bad_rule(l, line, "department", v[R_DEPARTMENT]);
	return CLI_OK;
}

static int load_rules(struct cli *c, void *arg)
{
	struct rule_load *l = arg;
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c,
		"INSERT INTO centraleta.rule_set (jurisdiction, version) SELECT $1::integer,"
		" coalesce(max(version), 0) + 1 FROM centraleta.rule_set WHERE jurisdiction = $1::integer"
		" RETURNING version",
		1, &l->town);

	if (!r)
		return CLI_FAILED;
	snprintf(l->version, sizeof(l->version), "%s", PQgetvalue(r, 0, 0));
	return cli_csv(l->path,
		       (const char *[]){ "service", "area", "channel", "attribute", "value", "!department",
					 "priority", "target", "!minutes", NULL },
		       put_rule, l);
}

int cmd_rule(struct cli *c, int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "", *p[2] = { NULL }, *version = NULL;
	const struct option_spec specs[] = { { "version", &version, NULL, false },
					     { NULL, NULL, NULL, false } };
	char town[16];
	int n = argc > 1 ? cli_options("rule", argc - 1, argv + 1, specs, p, 1, 2) : -1, r;

	if (n < 0)
		return argc > 1 ? CLI_USAGE : cli_usage("rule");
	r = cli_town(c, p[0], town);
	if (r)
		return r;
	if (!strcmp(verb, "load") && n == 2) {
		struct rule_load l = { .c = c, .town = town, .path = p[1] };

		r = cli_change(c, load_rules, &l);
		if (!r && !c->json)
			printf("%d rules loaded as version %s\n", l.n, l.version);
		return r;
	}
	if (strcmp(verb, "list"))
		return cli_usage("rule");
	_cleanup_(PQclearp) PGresult *list = cli_query(
		c,
		"SELECT r.version, r.position, s.service_code AS service, a.slug AS area, r.channel,"
		" r.attribute, r.value, d.slug AS department, r.priority, r.target, r.target_minutes AS minutes"
		" FROM centraleta.rule r LEFT JOIN centraleta.service s USING (service)"
		" LEFT JOIN centraleta.area a ON a.area = r.area"
		" JOIN centraleta.department d ON d.department = r.department"
		" WHERE r.jurisdiction = $1 AND r.version = coalesce($2::integer, (SELECT max(version)"
		"  FROM centraleta.rule_set WHERE jurisdiction = $1)) ORDER BY r.position",
		2, (const char *[]){ town, version });

	if (!list)
		return CLI_FAILED;
	cli_print(c, list);
	return CLI_OK;
}
