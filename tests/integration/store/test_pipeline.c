/* covers groups on a real server: order, limits, both directions at once, types, where sends are cut */
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "common/store/internal.h"
#include "tests/integration/store/harness.h"

#define ROWS 10000

static const struct query q_fill = { "fill",
	"INSERT INTO wide SELECT * FROM unnest($1::bool[], $2::int2[], $3::int4[], $4::int8[], $5::float8[], "
	"$6::text[], $7::bytea[], $8::timestamptz[], $9::date[], $10::jsonb[])" };
static const struct query q_read = { "read", "SELECT * FROM wide ORDER BY i4" };
static struct query wide_queries[2];
static const struct query_table wide_tables[] = { { wide_queries, 2 }, { NULL, 0 } };

enum { B, I2, I4, I8, R, T, Y, AT, D, J, COLUMNS };
#define AT_US(i) (1700000000123456LL + (int64_t)(i) * 1000003)

static void fill_columns(struct column **c, int i)
{
	char text[64];

	column_int(c[B], i % 2);
	column_int(c[I2], i % 30000 - 15000);
	column_int(c[I4], i);
	column_int(c[I8], -(int64_t)i * (1LL << 33));
	column_real(c[R], i / 4.0);
	snprintf(text, sizeof(text), "text %d · ñ", i);
	column_text(c[T], i % 10 ? text : NULL);
	column_bytea(c[Y], &i, sizeof(i));
	column_time(c[AT], i == 1 ? INT64_MAX : i == 2 ? INT64_MIN : AT_US(i));
	column_int(c[D], i - 5000);
	snprintf(text, sizeof(text), "{\"n\": %d}", i);
	column_text(c[J], i % 7 ? text : NULL);
}

static void check_row(const struct rows *r, int i)
{
	char text[64];
	struct bytes y = rows_bytes(r, i, Y);

	ASSERT_EQ(rows_int(r, i, B), i % 2);
	ASSERT_EQ(rows_int(r, i, I2), i % 30000 - 15000);
	ASSERT_EQ(rows_int(r, i, I4), i);
	ASSERT_EQ(rows_int(r, i, I8), -(int64_t)i * (1LL << 33));
	ASSERT_REAL_EQ(rows_real(r, i, R), i / 4.0, 0);
	snprintf(text, sizeof(text), "text %d · ñ", i);
	ASSERT_EQ(rows_null(r, i, T), i % 10 == 0);
	ASSERT_STR_EQ(rows_text(r, i, T), i % 10 ? text : "");
	ASSERT_EQ(y.len, sizeof(i));
	ASSERT_MEM_EQ(y.data, &i, sizeof(i));
	ASSERT_EQ(rows_time(r, i, AT), i == 1 ? INT64_MAX : i == 2 ? INT64_MIN : AT_US(i));
	ASSERT_EQ(rows_date(r, i, D), i - 5000);
	snprintf(text, sizeof(text), "{\"n\": %d}", i);
	ASSERT_STR_EQ(rows_text(r, i, J), i % 7 ? text : "");
}

static void on_wide(void *ctx, const struct answer *a)
{
	ASSERT_STR_EQ(store_verdict_name(a->verdict), "ok");
	ASSERT_EQ(a->n, 2);
	ASSERT_EQ(rows_count(a->rows[1]), ROWS);
	for (int i = 0; i < ROWS; i++)
		check_row(a->rows[1], i);
	*(bool *)ctx = true;
}

TEST(ten_thousand_rows_of_every_type_go_there_and_back)
{
	static const enum column_type types[COLUMNS] = {
		COLUMN_BOOL, COLUMN_INT2, COLUMN_INT4, COLUMN_INT8, COLUMN_REAL, COLUMN_TEXT, COLUMN_BYTEA,
		COLUMN_TIME, COLUMN_DATE, COLUMN_JSONB,
	};
	struct pg *p = pg_start(NULL);
	struct column *c[COLUMNS];
	struct harness h;
	struct store_group *g;
	bool done = false;

	wide_queries[0] = q_fill;
	wide_queries[1] = q_read;
	pg_sql(p, "CREATE TABLE public.wide (b bool, i2 int2, i4 int4, i8 int8, r float8, t text, y bytea, "
		  "at timestamptz, d date, j jsonb)");
	harness_open(&h, p, &(struct store_options){ .tables = wide_tables });
	for (int k = 0; k < COLUMNS; k++)
		ASSERT_OK(column_new(&c[k], types[k]));
	for (int i = 0; i < ROWS; i++)
		fill_columns(c, i);
	g = harness_group(&h, &q_fill);
	for (int k = 0; k < COLUMNS; k++) {
		store_p_column(g, c[k]);
		column_free(c[k]);
	}
	store_add(g, &q_read);
	ASSERT_OK(store_submit(g, on_wide, &done));
	while (!done)
		harness_turn(&h);
	harness_close(&h);
	pg_free(p);
}

static void open_plain(struct harness *h, struct pg **p)
{
	*p = pg_start(NULL);
	harness_schema(*p);
	harness_open(h, *p, &(struct store_options){ .group_ms = 20000 });
}

TEST(groups_are_answered_in_order_and_fail_alone)
{
	struct seen s[64], one_more;
	struct harness h;
	struct store_group *g;
	struct pg *p;

	open_plain(&h, &p);
	for (int i = 0; i < 64; i++) {
		g = harness_group(&h, &q_insert);
		store_p_int4(g, i % 16 == 7 ? 0 : i); /* 0 is there already: four of them fail */
		store_p_text(g, "x");
		store_add(g, &q_value);
		store_p_int8(g, i);
		harness_submit(&h, g, &s[i]);
	}
	g = harness_group(&h, &q_value);
	store_p_int8(g, 99);
	ASSERT_EQ(store_submit(g, NULL, NULL), STORE_E_FULL);
	ASSERT_EQ(store_depth(h.store), 64);
	harness_wait(&h, &s[63]);
	for (int i = 0; i < 64; i++) {
		ASSERT_EQ(s[i].order, i + 1);
		ASSERT_VERDICT(&s[i], i % 16 == 7 ? STORE_DATA : STORE_OK);
	}
	ASSERT_EQ(store_depth(h.store), 0);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM t"), 60);
	harness_submit(&h, g, &one_more); /* it stayed ours */
	harness_wait(&h, &one_more);
	ASSERT_EQ(one_more.value, 99);
	harness_close(&h);
	pg_free(p);
}

TEST(megabytes_in_both_directions_do_not_deadlock)
{
	enum { SIZE = 200000, STATEMENTS = 100 };
	char *big = calloc(1, SIZE);
	struct harness h;
	struct store_group *g;
	struct seen s, next;
	struct pg *p;

	open_plain(&h, &p);
	g = harness_group(&h, &q_bytea);
	store_p_bytea(g, big, SIZE);
	for (int i = 1; i < STATEMENTS; i++) {
		store_add(g, &q_bytea);
		store_p_bytea(g, big, SIZE);
	}
	harness_submit(&h, g, &s);
	g = harness_group(&h, &q_value);
	store_p_int8(g, 1);
	harness_submit(&h, g, &next);
	harness_wait(&h, &next);
	ASSERT_VERDICT(&s, STORE_OK);
	ASSERT_EQ(s.n, STATEMENTS);
	ASSERT_VERDICT(&next, STORE_OK);
	free(big);
	harness_close(&h);
	pg_free(p);
}

TEST(a_big_group_whose_beginning_failed_is_ended_and_the_next_is_whole)
{
	enum { SIZE = 4000000 };
	char *big = calloc(1, SIZE);
	struct harness h;
	struct store_group *g;
	struct seen first, second;
	struct pg *p;

	open_plain(&h, &p);
	g = harness_group(&h, &q_divide);
	store_p_int4(g, 0);
	for (int i = 0; i < 4; i++) {
		store_add(g, &q_bytea);
		store_p_bytea(g, big, SIZE);
	}
	harness_submit(&h, g, &first);
	g = harness_group(&h, &q_bytea);
	store_p_bytea(g, big, SIZE);
	store_add(g, &q_insert);
	store_p_int4(g, 1);
	store_p_text(g, "the last statement");
	harness_submit(&h, g, &second);
	harness_wait(&h, &second);
	ASSERT_VERDICT(&first, STORE_DATA);
	ASSERT_STR_EQ(first.sqlstate, "22012");
	ASSERT_VERDICT(&second, STORE_OK);
	ASSERT_EQ(second.n, 2);
	ASSERT_EQ(pg_number(p, "SELECT count(*) FROM t"), 1);
	free(big);
	harness_close(&h);
	pg_free(p);
}

TEST(a_store_that_is_freed_ends_its_groups)
{
	struct harness h;
	struct store_group *g;
	struct seen flying, waiting;
	struct pg *p;

	open_plain(&h, &p);
	g = harness_group(&h, &q_sleep);
	store_p_real(g, 5);
	harness_submit(&h, g, &flying);
	harness_turn(&h);
	g = harness_group(&h, &q_value);
	store_p_int8(g, 1);
	harness_submit(&h, g, &waiting);
	harness_close(&h);
	ASSERT_VERDICT(&flying, STORE_UNSURE);
	ASSERT_VERDICT(&waiting, STORE_DOWN);
	pg_free(p);
}

/* ---- where sends are cut: reliability F5 ---------------------------------------------------- */

static struct {
	bool on;
	size_t bytes, ends[64], n; /* of each send, counted from the group's first byte */
	size_t lost_at; /* this send finds the connection gone; 0: none */
	size_t calls, most; /* most: bytes that a send takes, every other one none; 0: all */
} sends;

/* libpq's, in this program */
ssize_t send(int fd, const void *data, size_t len, int flags);
ssize_t send(int fd, const void *data, size_t len, int flags)
{
	ssize_t n;

	if (sends.on && ++sends.calls == sends.lost_at) {
		shutdown(fd, SHUT_RDWR);
		errno = EPIPE;
		return -1;
	}
	if (sends.on && sends.most && sends.calls % 2) {
		errno = EAGAIN;
		return -1;
	}
	if (sends.on && sends.most)
		len = MIN(len, sends.most);
	n = syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
	if (sends.on && n > 0) {
		sends.bytes += (size_t)n;
		if (sends.n < ARRAY_SIZE(sends.ends))
			sends.ends[sends.n++] = sends.bytes;
	}
	return n;
}

/* n statements of which the last has so many bytes on the wire */
static struct store_group *sized(struct harness *h, unsigned first, size_t last)
{
	static char bytes[40000];
	struct store_group *g, *probe = harness_group(h, &q_bytea);
	size_t overhead;

	store_p_bytea(probe, bytes, 0);
	overhead = store_group_wire_size(probe, 0);
	store_group_free(probe);
	g = harness_group(h, &q_bytea);
	if (first) {
		store_p_bytea(g, bytes, first);
		store_add(g, &q_bytea);
	}
	store_p_bytea(g, bytes, last - overhead);
	ASSERT_EQ(store_group_wire_size(g, store_added(g) - 1), last);
	return g;
}

static void check_cut(struct harness *h, unsigned first, size_t last)
{
	struct seen s;

	memset(&sends, 0, sizeof(sends));
	sends.on = true;
	s = harness_run(h, sized(h, first, last));
	sends.on = false;
	ASSERT_VERDICT(&s, STORE_OK);
	ASSERT_GE(sends.bytes, last + 5);
	ASSERT_LT(sends.n, ARRAY_SIZE(sends.ends));
	for (size_t i = 0; i < sends.n; i++) /* none between Execute and the Sync's last byte */
		if (sends.ends[i] >= sends.bytes - 5 && sends.ends[i] < sends.bytes)
			TEST_FAIL("%u + %zu bytes: a send ended at %zu of %zu", first, last, sends.ends[i],
				  sends.bytes);
}

TEST(the_last_statement_never_leaves_without_its_sync)
{
	static const unsigned firsts[] = { 0, 100, 8000, 30000 };
	struct harness h;
	struct pg *p;

	open_plain(&h, &p);
	FOREACH(first, firsts) {
		for (size_t last = 8192 - 12; last <= 8192 + 12; last++)
			check_cut(&h, *first, last);
		for (size_t last = 3 * 8192 - 12; last <= 3 * 8192 + 12; last++)
			check_cut(&h, *first, last);
		check_cut(&h, *first, 200);
	}
	harness_close(&h);
	pg_free(p);
}

TEST(a_connection_that_is_lost_at_any_send_is_unsure_and_comes_back)
{
	struct harness h;
	struct pg *p;
	struct seen s, behind;
	size_t lost_at = 0;
	bool was_lost;

	open_plain(&h, &p);
	do {
		memset(&sends, 0, sizeof(sends));
		sends.lost_at = ++lost_at;
		sends.on = true;
		harness_submit(&h, sized(&h, 20000, 30000), &s);
		harness_submit(&h, sized(&h, 0, 9000), &behind);
		harness_wait(&h, &behind);
		was_lost = sends.calls >= lost_at;
		sends.on = false;
		/* the first may have been answered before the second's send */
		if (was_lost && s.verdict != STORE_OK)
			ASSERT_VERDICT(&s, STORE_UNSURE);
		if (was_lost)
			ASSERT_TRUE(behind.verdict == STORE_UNSURE || behind.verdict == STORE_DOWN);
		harness_until_ready(&h, true);
	} while (was_lost);
	ASSERT_VERDICT(&s, STORE_OK);
	ASSERT_VERDICT(&behind, STORE_OK);
	ASSERT_GT(lost_at, 3); /* several sends were lost, one after the other */
	harness_close(&h);
	pg_free(p);
}

TEST(a_socket_that_takes_little_at_a_time_changes_nothing)
{
	struct harness h;
	struct pg *p;
	struct seen s[8];

	open_plain(&h, &p);
	memset(&sends, 0, sizeof(sends));
	sends.most = 777;
	sends.on = true;
	for (int i = 0; i < 8; i++)
		harness_submit(&h, i % 3 == 2 ? sized(&h, 0, 100) : sized(&h, 20000, 30000), &s[i]);
	harness_wait(&h, &s[7]);
	sends.on = false;
	for (int i = 0; i < 8; i++)
		ASSERT_VERDICT(&s[i], STORE_OK);
	ASSERT_GT(sends.calls, 300);
	harness_close(&h);
	pg_free(p);
}
