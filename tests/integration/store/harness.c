/*
 * harness - see harness.h
 */
#include "tests/integration/store/harness.h"
#include "common/base/clock.h"

const struct query q_value = { "value", "SELECT $1::int8" };
const struct query q_bytea = { "bytea", "SELECT $1::bytea" };
const struct query q_insert = { "insert", "INSERT INTO t VALUES ($1::int4, $2::text)" };
const struct query q_divide = { "divide", "SELECT 1 / $1::int4" };
const struct query q_sleep = { "sleep", "SELECT pg_sleep($1::float8)" };
const struct query q_lock = { "lock", "SELECT id FROM t WHERE id = $1::int4 FOR UPDATE" };
const struct query q_set = { "set", "SELECT set_config($1::text, $2::text, false)" };
const struct query q_begin = { "begin", "BEGIN" };
const struct query q_child = { "child", "INSERT INTO child VALUES ($1::int4)" };

/* query tables hold arrays: these are copies of the above, in one */
static struct query queries[9];
const struct query_table harness_tables[] = { { queries, ARRAY_SIZE(queries) }, { NULL, 0 } };

static __attribute__((constructor)) void fill(void)
{
	const struct query *const from[] = {
		&q_value, &q_bytea, &q_insert, &q_divide, &q_sleep, &q_lock, &q_set, &q_begin, &q_child,
	};

	for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
		queries[i] = *from[i];
}

void harness_schema(struct pg *p)
{
	pg_sql(p, "CREATE TABLE public.t (id int PRIMARY KEY, body text)");
	pg_sql(p, "CREATE TABLE public.child (t int REFERENCES public.t DEFERRABLE INITIALLY DEFERRED)");
}

static void on_state(void *ctx, _unused_ bool ready)
{
	struct harness *h = ctx;

	h->ready_changes++;
}

void harness_open(struct harness *h, struct pg *p, struct store_options *o)
{
	bool given = o->dsn;

	*h = (struct harness){ 0 };
	if (!given)
		o->dsn = pg_dsn(p);
	if (!o->tables)
		o->tables = harness_tables;
	ASSERT_OK(loop_new(&h->loop));
	ASSERT_OK(store_new(&h->store, h->loop, o));
	store_on_state(h->store, on_state, h);
	if (!given)
		harness_until_ready(h, true);
}

void harness_close(struct harness *h)
{
	store_free(h->store);
	loop_free(h->loop);
}

void harness_turn(struct harness *h)
{
	ASSERT_OK(loop_once(h->loop, 20));
}

void harness_until_ready(struct harness *h, bool ready)
{
	uint64_t ends = clock_mono_ms() + WAIT_MS;

	while (store_ready(h->store) != ready) {
		if (clock_mono_ms() > ends)
			TEST_FAIL("not %s: %s", ready ? "ready" : "down", store_last_error(h->store));
		harness_turn(h);
	}
}

struct store_group *harness_group(struct harness *h, const struct query *q)
{
	struct store_group *g;

	ASSERT_OK(store_group_new(&g, h->store));
	store_add(g, q);
	return g;
}

static bool integer_first(const struct answer *a)
{
	return a->n && rows_count(a->rows[0]) && rows_bytes(a->rows[0], 0, 0).len == 8;
}

static void on_answer(void *ctx, const struct answer *a)
{
	struct seen *s = ctx;

	assert(!s->done); /* exactly once */
	s->done = true;
	s->order = ++*s->counter;
	s->verdict = a->verdict;
	memcpy(s->sqlstate, a->sqlstate, sizeof(s->sqlstate));
	memcpy(s->constraint, a->constraint, sizeof(s->constraint));
	s->n = a->n;
	if (integer_first(a))
		s->value = (int64_t)be64toh(*(const uint64_t *)(const void *)rows_bytes(a->rows[0], 0, 0).data);
}

void harness_submit(struct harness *h, struct store_group *g, struct seen *s)
{
	*s = (struct seen){ .counter = &h->answers };
	ASSERT_OK(store_submit(g, on_answer, s));
	ASSERT_FALSE(s->done); /* never from inside */
}

void harness_wait(struct harness *h, const struct seen *s)
{
	uint64_t ends = clock_mono_ms() + WAIT_MS;

	while (!s->done) {
		if (clock_mono_ms() > ends)
			TEST_FAIL("no answer");
		harness_turn(h);
	}
}

struct seen harness_run(struct harness *h, struct store_group *g)
{
	struct seen s;

	harness_submit(h, g, &s);
	harness_wait(h, &s);
	return s;
}

void assert_verdict(const char *file, int line, const struct seen *s, enum store_verdict want)
{
	if (!s->done || s->verdict != want)
		test_fail(file, line, "verdict is %s (%s), want %s", s->done ? store_verdict_name(s->verdict) : "none",
			  s->sqlstate, store_verdict_name(want));
}
