/*
 * covers services/routing/load.c and core_area.c against the migrated schema and PostGIS: what the
 * daemon's role may read, what the statements give, and that a place is in the same area for both
 */
#include <inttypes.h>
#include <jansson.h>
#include <libpq-fe.h>
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "tests/integration/routing/pq_load.h"
#include "tests/lib/pg.h"
#include "tests/lib/test.h"

/* as the daemon's role */
static struct towns *load(struct pg *pg, int64_t *ret_revision)
{
	char dsn[512];
	PGconn *conn;
	struct towns *towns;

	snprintf(dsn, sizeof(dsn), "%s user=centraleta_routing", pg_dsn(pg));
	conn = PQconnectdb(dsn);
	ASSERT_EQ((int)PQstatus(conn), CONNECTION_OK);
	towns = pq_load_towns(conn, ret_revision);
	PQfinish(conn);
	return towns;
}

static void make_town(struct pg *pg, int town, const char *zone)
{
	struct buf sql = BUF_INIT;

	buf_printf(&sql,
		   "BEGIN; INSERT INTO jurisdiction (jurisdiction, slug, jurisdiction_id, name, time_zone,"
		   " triage_department, triage_minutes) VALUES (%d, 'town-%d', 'town%d.gov', 'Town %d',"
		   " '%s', %d, 90); INSERT INTO department (department, jurisdiction, slug, name, home_lane)"
		   " VALUES (%d, %d, 'triage', 'Triage', %d), (%d, %d, 'streets', 'Streets', 5); COMMIT",
		   town, town, town, town, zone, 10 * town, 10 * town, town, town % 8, 10 * town + 1,
		   town);
	ASSERT_OK(buf_err(&sql));
	pg_sql(pg, sql.data);
	buf_fini(&sql);
}

TEST(all_columns_arrive)
{
	const struct pg_options o = { .migrate = true };
	_cleanup_(pg_freep) struct pg *pg = pg_start(&o);
	int64_t revision = 0;
	struct towns *towns;
	const struct town_config *town;
	const struct rule *rule;

	make_town(pg, 7, "Europe/Madrid");
	make_town(pg, 8, "America/Chicago");
	pg_sql(pg, "INSERT INTO service (service, jurisdiction, service_code, slug, name)"
		   " VALUES (3, 7, 'A', 'a', 'A')");
	pg_sql(pg, "INSERT INTO area (area, jurisdiction, slug, name, shape) VALUES"
		   " (4, 7, 'old', 'Old', ST_Multi(ST_MakeEnvelope(0, 0, 9, 9, 4326))),"
		   " (5, 7, 'centre', 'Centre', ST_Multi(ST_MakeEnvelope(0, 0, 1, 1, 4326)))");
	pg_sql(pg, "UPDATE area SET retired_at = now() WHERE area = 4");
	pg_sql(pg, "INSERT INTO rule_set VALUES (7, 1), (7, 2), (8, 1)");
	pg_sql(pg, "INSERT INTO rule (jurisdiction, version, position, department, target, target_minutes)"
		   " VALUES (7, 1, 1, 70, 'calendar', 1), (8, 1, 9, 81, 'calendar', 5)");
	pg_sql(pg, "INSERT INTO rule VALUES (7, 2, 6, 3, 5, 2, 'SIZE', 'large', 71, 1, 'working', 240)");
	pg_sql(pg, "UPDATE department SET retired_at = now() WHERE department = 81");
	pg_sql(pg, "INSERT INTO working_hours VALUES (7, 6, '09:30', '24:00'), (7, 1, '08:00', '14:00')");
	pg_sql(pg, "INSERT INTO holiday VALUES (7, '2026-12-25')");
	pg_sql(pg, "UPDATE config_revision SET revision = 41");

	towns = load(pg, &revision);
	ASSERT_EQ(revision, 41);
	town = towns_find(towns, 7);
	ASSERT_STR_EQ(town->slug, "town-7");
	ASSERT_EQ(town->triage.department, 70);
	ASSERT_EQ(town->triage.home_lane, 7);
	ASSERT_EQ(town->triage_minutes, 90);
	ASSERT_EQ(town->rule_version, 2);
	ASSERT_EQ(town->rules_n, 1u);
	rule = &town->rules[0];
	ASSERT_EQ(rule->position, 6);
	ASSERT_EQ(rule->service, 3);
	ASSERT_EQ(rule->area, 5);
	ASSERT_EQ(rule->channel, 2);
	ASSERT_STR_EQ(rule->attribute, "SIZE");
	ASSERT_STR_EQ(rule->value, "large");
	ASSERT_EQ(rule->department, 71);
	ASSERT_EQ(rule->home_lane, 5);
	ASSERT_EQ(rule->priority, 1);
	ASSERT_TRUE(rule->working);
	ASSERT_EQ(rule->target_minutes, 240);
	ASSERT_EQ(town->calendar.spans_n, 2u);
	ASSERT_EQ(town->calendar.spans[1].weekday, 6);
	ASSERT_EQ(town->calendar.spans[1].opens, 9 * 60 + 30);
	ASSERT_EQ(town->calendar.spans[1].closes, 1440);
	ASSERT_EQ(town->calendar.holidays[0], civil_to_days(2026, 12, 25));
	ASSERT_EQ(area_index_count(town->areas), 1u);
	ASSERT_EQ(area_index_find(town->areas, 0.5, 0.5), 5);
	town = towns_find(towns, 8);
	ASSERT_EQ(town->rules[0].service, 0);
	ASSERT_NULL(town->rules[0].attribute);
	ASSERT_TRUE(town->rules[0].retired);
	towns_free(towns);
}

/* ---- areas ------------------------------------------------------------------------------------ */

static void add_city(struct pg *pg, PGconn *conn, int town, const char *path)
{
	json_t *city = json_load_file(path, 0, NULL), *feature;
	size_t i;
	char number[2][16];

	ASSERT_NOT_NULL(city);
	make_town(pg, town, "UTC");
	json_array_foreach(json_object_get(city, "features"), i, feature) {
		char *geometry = json_dumps(json_object_get(feature, "geometry"), 0);
		const char *params[] = { number[0], number[1], geometry };
		PGresult *result;

		snprintf(number[0], sizeof(number[0]), "%d", town);
		snprintf(number[1], sizeof(number[1]), "%zu", 1000 * (size_t)town + i);
		result = PQexecParams(conn,
				      "INSERT INTO centraleta.area (jurisdiction, area, slug, name, shape) "
				      "SELECT $1, $2::int, 'a' || $2, 'A', ST_Multi(ST_CollectionExtract("
				      "ST_MakeValid(ST_SetSRID(ST_GeomFromGeoJSON($3), 4326)), 3))",
				      3, NULL, params, NULL, NULL, 0);
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			TEST_FAIL("area %zu: %s", i, PQerrorMessage(conn));
		PQclear(result);
		free(geometry);
	}
	json_decref(city);
}

/*
 * 2,000 places of the town's box, and every 20th corner of its polygons: on a border, often of two
 */
static void compare_town(PGconn *conn, struct towns *towns, const char *town)
{
	static const char sql[] =
		"WITH a AS MATERIALIZED (SELECT area, shape, ST_Area(shape) AS size FROM centraleta.area"
		" WHERE jurisdiction = $1::int), box AS (SELECT ST_Extent(shape) AS b FROM a),"
		"p AS (SELECT ST_SetSRID(ST_MakePoint(ST_XMin(b) + random() * (ST_XMax(b) - ST_XMin(b)),"
		" ST_YMin(b) + random() * (ST_YMax(b) - ST_YMin(b))), 4326) AS p, false AS corner"
		" FROM box, generate_series(1, 2000)"
		" UNION ALL SELECT geom, true FROM (SELECT (ST_DumpPoints(shape)).geom,"
		" row_number() OVER () AS n FROM a) d WHERE n % 20 = 0)"
		"SELECT ST_Y(p), ST_X(p), coalesce((SELECT area FROM a WHERE ST_Covers(shape, p)"
		" ORDER BY size, area LIMIT 1), 0), corner::int FROM p";
	PGresult *result = PQexecParams(conn, sql, 1, NULL, &town, NULL, NULL, 0);
	struct town_config *config = towns_find(towns, atoi(town));
	int inside = 0, outside = 0, corners = 0;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		TEST_FAIL("%s", PQerrorMessage(conn));
	for (int i = 0; i < PQntuples(result); i++) {
		double lat = strtod(PQgetvalue(result, i, 0), NULL);
		double lon = strtod(PQgetvalue(result, i, 1), NULL);
		int32_t want = atoi(PQgetvalue(result, i, 2));

		if (area_index_find(config->areas, lat, lon) != want)
			TEST_FAIL("%.17g %.17g is in %d for PostGIS, in %d for us", lat, lon, want,
				  area_index_find(config->areas, lat, lon));
		want ? inside++ : outside++;
		corners += *PQgetvalue(result, i, 3) == '1';
	}
	test_note("town %s: %d places inside, %d outside, %d of all on corners", town, inside, outside,
		  corners);
	ASSERT_TRUE(inside > 200 && outside > 200 && corners > 100);
	PQclear(result);
}

TEST(places_are_in_the_same_area_as_for_postgis)
{
	const struct pg_options o = { .migrate = true };
	const char *boston = test_data("areas/boston-neighborhoods.geojson");
	const char *kansas = test_data("areas/kansas-city-neighborhoods.geojson");
	_cleanup_(pg_freep) struct pg *pg = pg_start(&o);
	PGconn *conn = PQconnectdb(pg_dsn(pg));
	struct towns *towns;
	int64_t revision;

	ASSERT_EQ((int)PQstatus(conn), CONNECTION_OK);
	add_city(pg, conn, 1, boston);
	add_city(pg, conn, 2, kansas);
	/* a district over half the town: the neighbourhoods in it are smaller */
	pg_sql(pg, "INSERT INTO area (area, jurisdiction, slug, name, shape) SELECT 999, 1, 'district', 'D',"
		   " ST_Multi(ST_MakeEnvelope(-71.3, 42.2, -71.08, 42.5, 4326))");
	towns = load(pg, &revision);
	compare_town(conn, towns, "1");
	compare_town(conn, towns, "2");
	towns_free(towns);
	PQfinish(conn);
}

TEST(a_hundred_towns_load_fast)
{
	const struct pg_options o = { .migrate = true };
	_cleanup_(pg_freep) struct pg *pg = pg_start(&o);
	struct towns *towns;
	struct towns_count n;
	int64_t revision;
	uint64_t started_ms;

	for (int town = 1; town <= 100; town++)
		make_town(pg, town, "Europe/Madrid");
	pg_sql(pg, "INSERT INTO rule_set SELECT t, 1 FROM generate_series(1, 100) t");
	pg_sql(pg, "INSERT INTO rule (jurisdiction, version, position, department, target, target_minutes)"
		   " SELECT t, 1, p, 10 * t + 1, 'working', p FROM generate_series(1, 100) t,"
		   " generate_series(1, 50) p");
	pg_sql(pg, "INSERT INTO area (jurisdiction, slug, name, shape) SELECT t, 'a' || a, 'A',"
		   " ST_Multi(ST_Buffer(ST_SetSRID(ST_MakePoint(a, t), 4326), 0.4, 50))"
		   " FROM generate_series(1, 100) t, generate_series(1, 40) a");
	started_ms = clock_mono_ms();
	towns = load(pg, &revision);
	test_note("100 towns, 5,000 rules, 4,000 areas of 200 corners: %" PRIu64 " ms",
		  clock_mono_ms() - started_ms);
	ASSERT_LT(clock_mono_ms() - started_ms, 5000u);
	towns_count(towns, &n);
	ASSERT_EQ(n.towns, 100u);
	ASSERT_EQ(n.departments, 200u);
	ASSERT_EQ(n.rules, 5000u);
	ASSERT_EQ(n.areas, 4000u);
	ASSERT_NE(area_index_find(towns_find(towns, 50)->areas, 50.1, 7.1), 0);
	towns_free(towns);
}
