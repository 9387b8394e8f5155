/*
 * covers services/notification/queries.def on the migrated schema, as the daemon's role: what is
 * decided once, what a page of due messages holds, what an attempt's row may do
 */
#include <libpq-fe.h>

#include "services/notification/sender.h"
#include "tests/lib/pg.h"
#include "tests/lib/test.h"

/* two towns, one without a sender; request 100 has an address, 200 none, 300 is of the other town */
static const char town[] =
	"BEGIN;"
	"INSERT INTO jurisdiction (jurisdiction, slug, jurisdiction_id, name, time_zone, language,"
	"  triage_department, mail_from) VALUES"
	" (1, 'a', 'a', 'A', 'Europe/Madrid', 'ca', 10, '311@a.test'), (2, 'b', 'b', 'B', 'UTC', 'en', 20, NULL);"
	"INSERT INTO department (department, jurisdiction, slug, name, home_lane)"
	" VALUES (10, 1, 't', 'Triage', 0), (20, 2, 't', 'Triage', 0);"
	"COMMIT;"
	"INSERT INTO service (service, jurisdiction, service_code, slug, name) VALUES (1, 1, 'x', 'x', 'Fanal');"
	"INSERT INTO request (lane, request, jurisdiction, service, channel, door, owner, deadline, requested_at, code_hash)"
	" SELECT 0, r, CASE r WHEN 300 THEN 2 ELSE 1 END, 1, 2, 1, 10, '2026-12-01', '2026-11-24',"
	"  decode(md5(r::text), 'hex') FROM unnest(ARRAY[100, 200, 300]) r;"
	"INSERT INTO contact (lane, request, jurisdiction, email, language) VALUES"
	" (0, 100, 1, 'x@citizen.test', 'es'), (0, 300, 2, 'y@citizen.test', 'en');"
	"INSERT INTO work_request VALUES (5, 505, 0, 100, 1), (6, 606, 0, 100, 1);"
	"INSERT INTO update_text (lane, department, update_id, work_item, jurisdiction, kind, note, body_hash, at) VALUES"
	" (5, 10, 'u1', 505, 1, 5, 'older', decode(md5('a'), 'hex'), '2026-11-24 10:00Z'),"
	" (6, 10, 'u2', 606, 1, 3, 'newer', decode(md5('b'), 'hex'), '2026-11-24 11:00Z'),"
	" (6, 10, 'u3', 606, 1, 2, '', decode(md5('c'), 'hex'), '2026-11-24 12:00Z');";

#define TRACE "\"\\\\x000102030405060708090a0b0c0d0e0f\""

struct fixture {
	struct pg *pg;
	PGconn *conn;
};

static void begin(struct fixture *f)
{
	const struct pg_options o = { .migrate = true };
	char dsn[512];

	f->pg = pg_start(&o);
	pg_sql(f->pg, town);
	snprintf(dsn, sizeof(dsn), "%s user=centraleta_notification", pg_dsn(f->pg));
	f->conn = PQconnectdb(dsn);
	ASSERT_EQ((int)PQstatus(f->conn), CONNECTION_OK);
	for (size_t i = 0; i < NOTE_QUERIES; i++) {
		const struct query *q = &notification_queries[i];
		PGresult *r = PQprepare(f->conn, q->name, q->sql, 0, NULL);

		if (PQresultStatus(r) != PGRES_COMMAND_OK)
			TEST_FAIL("%s: %s", q->name, PQerrorMessage(f->conn));
		PQclear(r);
	}
}

static void end(struct fixture *f)
{
	PQfinish(f->conn);
	pg_free(f->pg);
}

static PGresult *run(struct fixture *f, int query, const char *const *params, int n)
{
	PGresult *r = PQexecPrepared(f->conn, notification_queries[query].name, n, params, NULL, NULL, 0);

	if (PQresultStatus(r) != PGRES_TUPLES_OK)
		TEST_FAIL("%s: %s", notification_queries[query].name, PQerrorMessage(f->conn));
	return r;
}

static int decide(struct fixture *f, const char *seq, const char *request, const char *town_id, const char *kind)
{
	const char *const params[] = { "0", seq, request, town_id, kind, "{" TRACE "}" };
	PGresult *r = run(f, NOTE_DECIDE, params, 6);
	int n = PQntuples(r);

	PQclear(r);
	return n;
}

TEST(a_message_is_decided_once)
{
	struct fixture f;

	begin(&f);
	ASSERT_EQ(decide(&f, "{1}", "{100}", "{1}", "{1}"), 1);
	ASSERT_EQ(decide(&f, "{1}", "{100}", "{1}", "{1}"), 0);
	ASSERT_EQ(decide(&f, "{2}", "{200}", "{1}", "{1}"), 1); /* no address */
	ASSERT_EQ(decide(&f, "{3}", "{300}", "{2}", "{1}"), 1); /* no sender */
	ASSERT_EQ(decide(&f, "{4}", "{100}", "{1}", "{2}"), 1);
	ASSERT_EQ(decide(&f, "{5}", "{200}", "{1}", "{2}"), 1);
	ASSERT_EQ(pg_number(f.pg, "SELECT count(*) FROM message"), 5);
	ASSERT_EQ(pg_number(f.pg, "SELECT sum(cause_seq) FROM message WHERE channel = 0"), 10);
	ASSERT_EQ(pg_number(f.pg, "SELECT count(*) FROM message WHERE language = 'es'"), 2);
	ASSERT_EQ(pg_number(f.pg, "SELECT count(*) FROM message WHERE language = 'ca'"), 2);
	ASSERT_EQ(pg_number(f.pg, "SELECT sum(closing_seq) FROM survey WHERE request = 100"), 4);
	ASSERT_EQ(pg_number(f.pg, "SELECT count(*) FROM survey"), 1);
	/* the address is erased, then the event is replayed: nothing new */
	pg_sql(f.pg, "DELETE FROM contact");
	ASSERT_EQ(decide(&f, "{4}", "{100}", "{1}", "{2}"), 0);
	ASSERT_EQ(pg_number(f.pg, "SELECT count(*) FROM message"), 5);
	end(&f);
}

static void expect_page(struct fixture *f, const char *after, const char *rows, const char *want)
{
	const char *const params[] = { "0", after, "1", rows };
	PGresult *r = run(f, NOTE_SCAN, params, 4);
	char got[512] = "";

	for (int i = 0; i < PQntuples(r); i++) {
		size_t len = strlen(got);

		snprintf(got + len, sizeof(got) - len, "%s:%s/%s%s ", PQgetvalue(r, i, 0), PQgetvalue(r, i, 6),
			 PQgetvalue(r, i, 7), PQgetvalue(r, i, 11)[0] == 't' ? "!" : "");
	}
	PQclear(r);
	ASSERT_STR_EQ(got, want);
}

TEST(a_page_holds_what_is_not_final_and_where_it_ends)
{
	struct fixture f;

	begin(&f);
	pg_sql(f.pg, "INSERT INTO message (lane, cause_seq, kind, channel, request, jurisdiction, language, trace)"
		" SELECT 0, s, 1, CASE WHEN s = 6 THEN 0 ELSE 1 END, 100, 1, 'ca', '\\x00' FROM generate_series(1, 7) s;"
		"INSERT INTO message (lane, cause_seq, kind, channel, request, jurisdiction, language, trace)"
		" VALUES (1, 1, 1, 1, 101, 1, 'ca', '\\x00');"
		"INSERT INTO attempt (lane, cause_seq, kind, channel, attempt, state, jurisdiction, epoch) VALUES"
		" (0, 1, 1, 1, 1, 1, 1, 7), (0, 1, 1, 1, 1, 2, 1, 7)," /* sent */
		" (0, 2, 1, 1, 1, 1, 1, 7), (0, 2, 1, 1, 1, 3, 1, 7)," /* failed, then sending */
		" (0, 2, 1, 1, 2, 1, 1, 8), (0, 3, 1, 1, 1, 1, 1, 7), (0, 3, 1, 1, 1, 3, 1, 7)," /* failed */
		" (0, 4, 1, 1, 1, 1, 1, 7), (0, 4, 1, 1, 1, 4, 1, 7)," /* uncertain */
		" (0, 5, 1, 1, 1, 5, 1, 7);"); /* undeliverable */
	expect_page(&f, "0", "100", "2:2/1 3:1/3 7:0/0! ");
	expect_page(&f, "0", "4", "2:2/1 3:1/3 4:1/4! ");
	expect_page(&f, "4", "2", "6:0/0! "); /* channel 0: there as the page's end alone */
	expect_page(&f, "7", "100", "");
	end(&f);
}

TEST(the_newest_attempt_is_the_highest)
{
	static const char *const params[] = { "0", "{1,2}", "{1,1}" };
	struct fixture f;
	PGresult *r;

	begin(&f);
	pg_sql(f.pg, "INSERT INTO attempt (lane, cause_seq, kind, channel, attempt, state, jurisdiction, epoch) VALUES"
		" (0, 1, 1, 1, 1, 1, 1, 7), (0, 1, 1, 1, 1, 3, 1, 7), (0, 1, 1, 1, 2, 1, 1, 7)");
	r = run(&f, NOTE_NEWEST, params, 3);
	ASSERT_EQ(PQntuples(r), 1);
	ASSERT_STR_EQ(PQgetvalue(r, 0, 2), "2");
	ASSERT_STR_EQ(PQgetvalue(r, 0, 3), "1");
	PQclear(r);
	end(&f);
}

TEST(all_that_a_mail_says_comes_in_one_row)
{
	static const char *const params[] = { "0", "{9,9,8,7}", "{1,2,1,1}", "{100,100,200,400}" };
	static const struct { int row, column; const char *want; } cases[] = {
		{ 0, 1, "1" }, { 0, 2, "x@citizen.test" }, { 0, 3, "es" }, { 0, 4, "A" }, { 0, 6, "311@a.test" },
		{ 0, 7, "Fanal" }, { 0, 13, "" }, { 1, 1, "2" }, { 1, 13, "newer" }, { 2, 2, "" },
	};
	struct fixture f;
	PGresult *r;

	begin(&f);
	r = run(&f, NOTE_RENDER, params, 4);
	ASSERT_EQ(PQntuples(r), 3); /* request 400 is gone */
	FOREACH(c, cases)
		ASSERT_STR_EQ(PQgetvalue(r, c->row, c->column), c->want);
	PQclear(r);
	end(&f);
}

TEST(an_attempt_begins_once)
{
	static const char *const params[] = { "0", "7", "{1,2}", "{1,1}", "{1,1}", "{1,1}", "{1,1}",
					      "{a@b,c@d}", "{\"\",\"\"}" };
	struct fixture f;
	PGresult *r;

	begin(&f);
	pg_sql(f.pg, "INSERT INTO attempt (lane, cause_seq, kind, channel, attempt, state, jurisdiction, epoch)"
		" VALUES (0, 1, 1, 1, 1, 1, 1, 6)");
	r = run(&f, NOTE_ATTEMPT, params, 9);
	ASSERT_EQ(PQntuples(r), 1);
	ASSERT_STR_EQ(PQgetvalue(r, 0, 0), "2");
	PQclear(r);
	end(&f);
}
