/* covers deploy/postgres/roles.sql, grants.fn.sql and policies.fn.sql: who may see and do what */
#include "tests/lib/pg.h"

#define OURS "r.rolname LIKE 'centraleta\\_%'"
#define TABLES "pg_class c WHERE c.relnamespace = 'centraleta'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')"
#define PRIVILEGE(role, what) "has_table_privilege('centraleta_" role "', c.oid, '" what "')"
#define ANY_COLUMN(role, what) "has_any_column_privilege('centraleta_" role "', c.oid, '" what "')"

static struct pg *start(void)
{
	return pg_start(&(struct pg_options){ .migrate = true });
}

static void expect(struct pg *p, const char *sql, const char *want)
{
	_cleanup_(freep) char *value = pg_value(p, sql);

	ASSERT_STR_EQ(value, want);
}

/* as that role, for one statement */
static long number_as(struct pg *p, const char *role, const char *town, const char *sql)
{
	char text[1024];
	long n;

	snprintf(text, sizeof(text), "BEGIN; SET LOCAL ROLE %s; SELECT set_config('app.jurisdiction', '%s', true)",
		 role, town);
	pg_sql(p, text);
	n = pg_number(p, sql);
	pg_sql(p, "ROLLBACK");
	return n;
}

static void expect_denied(struct pg *p, const char *role, const char *sql)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "BEGIN; SET LOCAL ROLE %s; DO $x$ BEGIN %s; RAISE 'it was allowed'; "
		 "EXCEPTION WHEN insufficient_privilege THEN NULL; END $x$; ROLLBACK", role, sql);
	pg_sql(p, text);
}

static void two_towns(struct pg *p)
{
	pg_sql(p, "INSERT INTO request_text (lane, request, jurisdiction, description) VALUES"
		  " (0, 100, 1, 'one'), (0, 200, 2, 'two');"
		  "INSERT INTO contact (lane, request, jurisdiction, email, language) VALUES"
		  " (0, 100, 1, 'a@one.test', 'ca'), (0, 200, 2, 'b@two.test', 'ca')");
}

TEST(every_table_of_towns_has_row_level_security_and_forces_it_on_its_owner)
{
	_cleanup_(pg_freep) struct pg *p = start();

	expect(p, "SELECT coalesce(string_agg(c.relname, ' ' ORDER BY c.relname), '') FROM " TABLES
		  " AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'jurisdiction')"
		  " AND NOT (c.relrowsecurity AND c.relforcerowsecurity)", "jurisdiction");
}

TEST(what_readers_see_without_row_level_security_is_reference_and_bookkeeping)
{
	_cleanup_(pg_freep) struct pg *p = start();

	expect(p, "SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM " TABLES
		  " AND NOT c.relrowsecurity AND " ANY_COLUMN("staff", "SELECT"),
	       "config_revision jurisdiction lane lease progress send_mark service_attribute service_attribute_value");
	expect(p, "SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM " TABLES
		  " AND NOT c.relrowsecurity AND " ANY_COLUMN("public", "SELECT"),
	       "config_revision jurisdiction lane");
}

TEST(readers_see_one_town_and_without_one_nothing)
{
	_cleanup_(pg_freep) struct pg *p = start();
	static const char *const roles[] = { "centraleta_public", "centraleta_staff" };

	two_towns(p);
	FOREACH(role, roles) {
		ASSERT_EQ(number_as(p, *role, "", "SELECT count(*) FROM request_text"), 0);
		ASSERT_EQ(number_as(p, *role, "1", "SELECT count(*) FROM request_text"), 1);
		ASSERT_EQ(number_as(p, *role, "1", "SELECT sum(jurisdiction) FROM request_text"), 1);
		ASSERT_EQ(number_as(p, *role, "2", "SELECT sum(jurisdiction) FROM request_text"), 2);
		ASSERT_EQ(number_as(p, *role, "3", "SELECT count(*) FROM request_text"), 0);
	}
	ASSERT_EQ(number_as(p, "centraleta_staff", "2", "SELECT sum(jurisdiction) FROM contact"), 2);
}

TEST(personal_data_is_read_by_who_must_write_to_it_alone)
{
	_cleanup_(pg_freep) struct pg *p = start();
	static const char *const roles[] = { "centraleta_intake", "centraleta_routing", "centraleta_dispatch",
					     "centraleta_analytics", "centraleta_public" };

	two_towns(p);
	FOREACH(role, roles)
		expect_denied(p, *role, "PERFORM email FROM contact");
	ASSERT_EQ(number_as(p, "centraleta_notification", "", "SELECT count(*) FROM contact"), 2);
}

TEST(the_log_is_written_through_its_functions_alone)
{
	_cleanup_(pg_freep) struct pg *p = start();
	static const char *const daemons[] = { "centraleta_intake", "centraleta_routing", "centraleta_dispatch",
					       "centraleta_notification", "centraleta_analytics" };

	FOREACH(role, daemons) {
		expect_denied(p, *role, "INSERT INTO event (lane, seq, jurisdiction, order_key, type, type_version,"
					" at, actor, trace, body) VALUES (0, 1, 1, 1, 1, 1, now(), 'x', '', '')");
		expect_denied(p, *role, "UPDATE event SET body = ''");
		expect_denied(p, *role, "DELETE FROM event");
		expect_denied(p, *role, "INSERT INTO progress VALUES ('routing', 0, 1, 0)");
		expect_denied(p, *role, "UPDATE progress SET seq = 0");
		expect_denied(p, *role, "UPDATE lane SET base = 0");
		expect_denied(p, *role, "INSERT INTO delivery (lane, department, dseq) VALUES (0, 1, 1)");
	}
	expect(p, "SELECT string_agg(f.proname, ' ' ORDER BY f.proname) FROM pg_proc f"
		  " WHERE f.pronamespace = 'centraleta'::regnamespace AND f.prosecdef"
		  " AND f.proowner = 'centraleta_definer'::regrole"
		  " AND f.proconfig = ARRAY['search_path=centraleta, pg_temp']",
	       "delivery_append event_append event_step");
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM pg_proc f WHERE f.prosecdef"
			       " AND f.pronamespace = 'centraleta'::regnamespace"), 3);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM pg_proc f, unnest(ARRAY['public', 'staff', 'admin']) r"
			       " WHERE f.pronamespace = 'centraleta'::regnamespace"
			       " AND has_function_privilege('centraleta_' || r, f.oid, 'EXECUTE')"), 0);
}

TEST(no_role_owns_truncates_makes_or_becomes_anything)
{
	_cleanup_(pg_freep) struct pg *p = start();

	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM pg_roles r, " TABLES " AND " OURS
			       " AND has_table_privilege(r.oid, c.oid, 'TRUNCATE, TRIGGER, REFERENCES')"), 0);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM pg_roles r WHERE " OURS
			       " AND r.rolcanlogin AND has_schema_privilege(r.oid, 'centraleta', 'CREATE')"), 0);
	expect(p, "SELECT string_agg(r.rolname, ' ') FROM pg_roles r WHERE " OURS
		  " AND (r.rolbypassrls OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb)", "centraleta_definer");
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM pg_roles r WHERE r.rolname = 'centraleta_definer'"
			       " AND r.rolcanlogin"), 0);
	expect(p, "SELECT string_agg(DISTINCT g.rolname, ' ') FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid"
		  " JOIN pg_roles r ON r.oid = m.member WHERE " OURS, "centraleta_daemon");
}
