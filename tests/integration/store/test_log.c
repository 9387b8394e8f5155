/* covers deploy/postgres/functions/log.fn.sql through the store, as a daemon's role */
#include "tests/integration/store/harness.h"

static const struct query q_step = { "step", "SELECT event_step($1::text, $2::int2, $3::int8, $4::int8)" };
static const struct query q_append = { "append",
	"SELECT first_seq, lane, generation, appended, at FROM event_append($1::int2[], $2::int4[], $3::int8[], "
	"$4::int4[], $5::int2[], $6::int2[], $7::text[], $8::bytea[], $9::bytea[])" };
static const struct query q_deliver = { "deliver",
	"SELECT delivery_append($1::int2[], $2::int4[], $3::int4[], $4::int4[], $5::int2[], $6::int2[], "
	"$7::int8[], $8::int4[])" };
static struct query queries[3];
static const struct query_table tables[] = { { queries, 3 }, { NULL, 0 } };

enum { WRITERS = 4, GROUPS = 40 };

static struct pg *start(struct harness *h, unsigned n)
{
	struct pg *p = pg_start(&(struct pg_options){ .migrate = true });

	queries[0] = q_step;
	queries[1] = q_append;
	queries[2] = q_deliver;
	for (unsigned i = 0; i < n; i++)
		harness_open(&h[i], p, &(struct store_options){ .role = "centraleta_routing", .tables = tables,
								.group_ms = 20000 });
	return p;
}

static void stop(struct harness *h, unsigned n, struct pg *p)
{
	for (unsigned i = 0; i < n; i++)
		harness_close(&h[i]);
	pg_free(p);
}

static void add_step(struct store_group *g, int64_t step, int64_t seq)
{
	store_add(g, &q_step);
	store_p_text(g, "routing");
	store_p_int2(g, 0);
	store_p_int8(g, step);
	store_p_int8(g, seq);
}

struct one {
	int16_t lane;
	int64_t key;
	int32_t version; /* 0: NULL */
};

/* an array parameter of n integers; f picks the i-th */
static void ints(struct store_group *g, enum column_type type, const struct one *e, size_t n,
		 int64_t (*f)(const struct one *e))
{
	struct column *c;

	ASSERT_OK(column_new(&c, type));
	for (size_t i = 0; i < n; i++)
		if (f(&e[i]) == INT64_MIN)
			column_null(c);
		else
			column_int(c, f(&e[i]));
	store_p_column(g, c);
	column_free(c);
}

static int64_t lane_of(const struct one *e) { return e->lane; }
static int64_t key_of(const struct one *e) { return e->key; }
static int64_t version_of(const struct one *e) { return e->version ? e->version : INT64_MIN; }
static int64_t one_of(_unused_ const struct one *e) { return 1; }

static void bytes(struct store_group *g, size_t n, size_t len)
{
	static const uint8_t zero[64];
	struct column *c;

	ASSERT_OK(column_new(&c, COLUMN_BYTEA));
	for (size_t i = 0; i < n; i++)
		column_bytea(c, zero, len);
	store_p_column(g, c);
	column_free(c);
}

static void add_append(struct store_group *g, const struct one *e, size_t n)
{
	struct column *actor;

	store_add(g, &q_append);
	ints(g, COLUMN_INT2, e, n, lane_of);
	ints(g, COLUMN_INT4, e, n, one_of);
	ints(g, COLUMN_INT8, e, n, key_of);
	ints(g, COLUMN_INT4, e, n, version_of);
	ints(g, COLUMN_INT2, e, n, one_of);
	ints(g, COLUMN_INT2, e, n, one_of);
	ASSERT_OK(column_new(&actor, COLUMN_TEXT));
	for (size_t i = 0; i < n; i++)
		column_text(actor, "test");
	store_p_column(g, actor);
	column_free(actor);
	bytes(g, n, 16);
	bytes(g, n, 40);
}

static struct store_group *new_group(struct harness *h)
{
	struct store_group *g;

	ASSERT_OK(store_group_new(&g, h->store));
	return g;
}

static struct seen append(struct harness *h, const struct one *e, size_t n)
{
	struct store_group *g = new_group(h);

	add_append(g, e, n);
	return harness_run(h, g);
}

/* until every writer's groups are done */
static void all_commit(struct harness *h, struct seen (*s)[GROUPS])
{
	bool open = true;

	while (open) {
		open = false;
		for (int w = 0; w < WRITERS; w++) {
			ASSERT_OK(loop_once(h[w].loop, 1));
			open |= store_depth(h[w].store) > 0;
		}
	}
	for (int w = 0; w < WRITERS; w++)
		for (int k = 0; k < GROUPS; k++)
			ASSERT_VERDICT(&s[w][k], STORE_OK);
}

TEST(four_writers_at_once_leave_no_gap_and_no_double)
{
	struct harness h[WRITERS];
	struct pg *p = start(h, WRITERS);
	struct seen s[WRITERS][GROUPS];

	for (int k = 0; k < GROUPS; k++)
		for (int w = 0; w < WRITERS; w++) {
			const struct one e[] = { { 1, w, 0 }, { 0, w, 0 }, { 1, w, 0 } };
			struct store_group *g = new_group(&h[w]);

			add_append(g, e, ARRAY_SIZE(e));
			harness_submit(&h[w], g, &s[w][k]);
		}
	all_commit(h, s);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM event WHERE lane = 0"), WRITERS * GROUPS);
	ASSERT_EQ(pg_number(p, "SELECT max(seq) FROM event WHERE lane = 0"), WRITERS * GROUPS);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM event WHERE lane = 1"), 2 * WRITERS * GROUPS);
	ASSERT_EQ(pg_number(p, "SELECT max(seq) FROM event WHERE lane = 1"), 2 * WRITERS * GROUPS);
	/* commit order is the order of numbers: a writer's own groups rise, storing times too */
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM event a JOIN event b ON b.lane = a.lane AND b.seq = a.seq + 1 "
			       "WHERE b.at < a.at"), 0);
	for (int w = 0; w < WRITERS; w++)
		for (int k = 1; k < GROUPS; k++)
			ASSERT_GT(s[w][k].value, s[w][k - 1].value);
	stop(h, WRITERS, p);
}

TEST(events_alone_and_events_together_share_one_numbering)
{
	struct harness h[WRITERS];
	struct pg *p = start(h, WRITERS);
	struct seen s[WRITERS][GROUPS];

	pg_sql(p, "UPDATE lane SET generation = 2, after = 20, base = 50 WHERE lane = 1");
	for (int k = 0; k < GROUPS; k++)
		for (int w = 0; w < WRITERS; w++) {
			const struct one e[] = { { 1, w, 0 }, { 1, w, 0 }, { 1, w, 0 } };
			struct store_group *g = new_group(&h[w]);

			add_append(g, e, w % 2 ? 1 : 3);
			harness_submit(&h[w], g, &s[w][k]);
		}
	all_commit(h, s);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM event WHERE lane = 1"), 2 * WRITERS * GROUPS);
	ASSERT_EQ(pg_number(p, "SELECT min(seq) FROM event WHERE lane = 1"), 51);
	ASSERT_EQ(pg_number(p, "SELECT max(seq) FROM event WHERE lane = 1"), 50 + 2 * WRITERS * GROUPS);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM event a JOIN event b ON b.lane = a.lane AND b.seq = a.seq + 1 "
			       "WHERE b.at < a.at"), 0);
	/* each was told the number that it got */
	for (int w = 0; w < WRITERS; w++)
		for (int k = 0; k < GROUPS; k++) {
			char sql[128];

			snprintf(sql, sizeof(sql), "SELECT order_key FROM event WHERE lane = 1 AND seq = %lld",
				 (long long)s[w][k].value);
			ASSERT_EQ(pg_number(p, sql), w);
		}
	stop(h, WRITERS, p);
}

TEST(of_two_that_take_the_same_step_one_commits)
{
	struct harness h[2];
	struct pg *p = start(h, 2);
	const struct one e = { 0, 1, 0 };
	struct seen s[2], stale;

	for (int i = 0; i < 2; i++) {
		struct store_group *g = new_group(&h[i]);

		add_step(g, 0, 0);
		add_append(g, &e, 1);
		harness_submit(&h[i], g, &s[i]);
	}
	while (!s[0].done || !s[1].done) {
		harness_turn(&h[0]);
		harness_turn(&h[1]);
	}
	ASSERT_EQ((s[0].verdict == STORE_OK) + (s[1].verdict == STORE_OK), 1);
	ASSERT_EQ((s[0].verdict == STORE_FENCED) + (s[1].verdict == STORE_FENCED), 1);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM event"), 1);
	{
		struct store_group *g = new_group(&h[0]);

		add_step(g, 1, 1);
		stale = harness_run(&h[0], g);
		ASSERT_VERDICT(&stale, STORE_OK);
		g = new_group(&h[1]); /* the same again, later */
		add_step(g, 0, 0);
		stale = harness_run(&h[1], g);
		ASSERT_VERDICT(&stale, STORE_FENCED);
	}
	stop(h, 2, p);
}

TEST(a_step_beyond_the_log_backwards_or_without_its_own_before_it_is_refused)
{
	static const struct { int64_t step, seq; enum store_verdict want; } cases[] = {
		{ 0, 3, STORE_FENCED }, /* the newest is 2 */
		{ 1, 1, STORE_FENCED }, /* there is no step 1 */
		{ 0, 2, STORE_OK },
		{ 1, 1, STORE_FENCED }, /* backwards */
		{ 1, 2, STORE_OK }, /* no event taken: a step all the same */
	};
	struct harness h;
	struct pg *p = start(&h, 1);
	const struct one e[] = { { 0, 1, 0 }, { 0, 2, 0 } };
	struct seen s = append(&h, e, 2);

	ASSERT_VERDICT(&s, STORE_OK);
	FOREACH(c, cases) {
		struct store_group *g = new_group(&h);

		add_step(g, c->step, c->seq);
		s = harness_run(&h, g);
		ASSERT_VERDICT(&s, c->want);
	}
	ASSERT_EQ(pg_number(p, "SELECT max(step) FROM progress WHERE consumer = 'routing' AND lane = 0"), 2);
	stop(&h, 1, p);
}

TEST(a_key_version_that_is_taken_is_a_conflict)
{
	struct harness h;
	struct pg *p = start(&h, 1);
	const struct one born[] = { { 2, 7, 1 }, { 2, 8, 1 } }, again[] = { { 2, 9, 1 }, { 2, 7, 1 } };
	const struct one next = { 2, 7, 2 }, none = { 2, 7, 0 }, nowhere = { 30, 7, 3 };
	struct seen s = append(&h, born, 2);

	ASSERT_VERDICT(&s, STORE_OK);
	s = append(&h, again, 2);
	ASSERT_VERDICT(&s, STORE_CONFLICT);
	s = append(&h, &next, 1);
	ASSERT_VERDICT(&s, STORE_OK);
	ASSERT_EQ(s.value, 3); /* what failed used up no number */
	s = append(&h, &none, 1);
	ASSERT_VERDICT(&s, STORE_OK);
	s = append(&h, &nowhere, 1);
	ASSERT_VERDICT(&s, STORE_DATA); /* no such lane */
	ASSERT_STR_EQ(s.sqlstate, "22023");
	stop(&h, 1, p);
}

static int64_t department_of(const struct one *e) { return e->version; }

/* key: the work item; version: the department; service 1 for even work items, 2 for odd ones */
static int64_t service_of(const struct one *e) { return 1 + e->key % 2; }

static void add_deliver(struct store_group *g, const struct one *e, size_t n)
{
	store_add(g, &q_deliver);
	ints(g, COLUMN_INT2, e, n, lane_of);
	ints(g, COLUMN_INT4, e, n, department_of);
	ints(g, COLUMN_INT4, e, n, one_of);
	ints(g, COLUMN_INT4, e, n, service_of);
	ints(g, COLUMN_INT2, e, n, one_of);
	ints(g, COLUMN_INT2, e, n, lane_of);
	ints(g, COLUMN_INT8, e, n, key_of);
	ints(g, COLUMN_INT4, e, n, one_of);
}

TEST(deliveries_are_dense_in_a_department_and_linked_in_a_topic)
{
	struct harness h[WRITERS];
	struct pg *p = start(h, WRITERS);
	struct seen s[WRITERS][GROUPS];

	pg_sql(p, "INSERT INTO department_line (lane, department) VALUES (3, 31), (3, 32), (4, 41)");
	for (int k = 0; k < GROUPS; k++)
		for (int w = 0; w < WRITERS; w++) {
			const struct one e[] = { { 3, 2 * k, 31 }, { 4, k, 41 }, { 3, k, 32 }, { 3, 2 * k + 1, 31 } };
			struct store_group *g = new_group(&h[w]);

			add_deliver(g, e, ARRAY_SIZE(e));
			harness_submit(&h[w], g, &s[w][k]);
		}
	all_commit(h, s);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM (SELECT department, count(*) n, max(dseq) m FROM delivery "
			       "GROUP BY 1) x WHERE n = m"), 3);
	ASSERT_EQ(pg_number(p, "SELECT max(dseq) FROM delivery WHERE department = 31"), 2 * WRITERS * GROUPS);
	/* prev is the number before it in its department and service, always */
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM (SELECT prev, lag(dseq, 1, 0::int8) OVER "
			       "(PARTITION BY department, service ORDER BY dseq) AS want FROM delivery) x "
			       "WHERE prev <> want"), 0);
	stop(h, WRITERS, p);
}

TEST(deliveries_alone_and_deliveries_together_share_one_numbering)
{
	struct harness h[WRITERS];
	struct pg *p = start(h, WRITERS);
	struct seen s[WRITERS][GROUPS];

	pg_sql(p, "INSERT INTO department_line (lane, department, generation, after, base) VALUES (3, 31, 2, 5, 9)");
	for (int k = 0; k < GROUPS; k++)
		for (int w = 0; w < WRITERS; w++) {
			const struct one e[] = { { 3, k + w / 2, 31 }, { 3, k, 31 }, { 3, k + 1, 31 } };
			struct store_group *g = new_group(&h[w]);

			add_deliver(g, e, w % 2 ? 1 : 3);
			harness_submit(&h[w], g, &s[w][k]);
		}
	all_commit(h, s);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM delivery"), 2 * WRITERS * GROUPS);
	ASSERT_EQ(pg_number(p, "SELECT min(dseq) FROM delivery"), 10);
	ASSERT_EQ(pg_number(p, "SELECT max(dseq) FROM delivery"), 9 + 2 * WRITERS * GROUPS);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM (SELECT lane, kind, work_lane, key_version, prev,"
			       " lag(dseq) OVER (PARTITION BY department, service ORDER BY dseq) AS want"
			       " FROM delivery) x WHERE prev <> want OR lane <> 3 OR work_lane <> 3"
			       " OR kind <> 1 OR key_version <> 1"), 0);
	stop(h, WRITERS, p);
}

TEST(a_delivery_without_a_line_is_refused_alone_and_together)
{
	static const struct one e[] = { { 3, 1, 32 }, { 3, 2, 31 } }; /* the first has none */
	struct harness h;
	struct pg *p = start(&h, 1);

	pg_sql(p, "INSERT INTO department_line (lane, department) VALUES (3, 31), (4, 32)");
	for (size_t n = 1; n <= ARRAY_SIZE(e); n++) {
		struct store_group *g = new_group(&h);
		struct seen s;

		add_deliver(g, e, n);
		s = harness_run(&h, g);
		ASSERT_VERDICT(&s, STORE_DATA);
		ASSERT_STR_EQ(s.sqlstate, "22023");
	}
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM delivery"), 0);
	stop(&h, 1, p);
}

TEST(a_daemon_cannot_write_the_log_by_itself)
{
	static const struct query q = { "forge", "INSERT INTO progress VALUES ('routing', 0, 9, 9)" };
	struct pg *p = pg_start(&(struct pg_options){ .migrate = true });
	struct harness h;
	struct seen s;

	harness_open(&h, p, &(struct store_options){ .role = "centraleta_routing",
						     .tables = (const struct query_table[]){ { &q, 1 }, { 0 } } });
	s = harness_run(&h, harness_group(&h, &q));
	ASSERT_VERDICT(&s, STORE_BUG);
	ASSERT_STR_EQ(s.sqlstate, "42501");
	harness_close(&h);
	pg_free(p);
}
