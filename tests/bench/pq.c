/*
 * pq - a bare libpq program: rows of one store, written into another by a prepared statement or by COPY
 *
 * What PostgreSQL alone takes for a daemon's statement, without the daemon. A connection a lane, each
 * with DEPTH groups of ROWS rows under way; arrays and COPY are binary.
 *
 * usage: pq FROM TO LANES SECONDS ROWS DEPTH FIRST TEMPLATE STATEMENT
 * TEMPLATE selects rows from FROM; its columns are the statement's parameters in order, each an array of
 * the group's values. Some names say what is put instead of the value: scalar_lane (the connection's lane,
 * once), lane, key (text), request and order_key (a number), seq, code_hash (16 bytes); from FIRST on all
 * are new. Columns named c_… make arrays of those rows alone where they aren't NULL; c_ord says which
 * rows. STATEMENT: what is prepared at TO, or a COPY. Prints a line of JSON.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>

#include "common/base/buf.h"
#include "common/base/clock.h"

enum { LANES_MAX = 16, COLUMNS_MAX = 64, DEPTH_MAX = 8, GROUP_MAX = 4096 };

enum change { AS_IS, SCALAR_LANE, LANE, KEY, NUMBER, SEQ, CODE };

struct lane {
	PGconn *conn;
	int16_t number;
	int64_t seq;
	size_t under_way, next_row;
	struct buf columns[COLUMNS_MAX];
};

static PGresult *rows;
static int columns, rows_n, sparse_first = -1, sparse_last = -1;
static enum change changes[COLUMNS_MAX];
static uint64_t next_number, rows_done, groups_done;
static bool copies;
static size_t group_rows;

static void die(const char *what, PGconn *c)
{
	fprintf(stderr, "pq: %s: %s\n", what, c ? PQerrorMessage(c) : "");
	exit(1);
}

static void add_i16(struct buf *b, int16_t v)
{
	uint16_t n = htons((uint16_t)v);

	buf_add(b, &n, sizeof(n));
}

static void add_i32(struct buf *b, int32_t v)
{
	uint32_t n = htonl((uint32_t)v);

	buf_add(b, &n, sizeof(n));
}

static void add_i64(struct buf *b, int64_t v)
{
	uint64_t n = htobe64((uint64_t)v);

	buf_add(b, &n, sizeof(n));
}

/* a value with its length before it, as in arrays and in COPY */
static void add_value(struct buf *b, struct lane *l, int row, int column, uint64_t number)
{
	char key[32];
	int len = PQgetisnull(rows, row, column) ? -1 : PQgetlength(rows, row, column);

	switch (changes[column]) {
	case LANE:
		add_i32(b, 2);
		add_i16(b, l->number);
		break;
	case KEY:
		len = snprintf(key, sizeof(key), "bench-%llu", (unsigned long long)number);
		add_i32(b, len);
		buf_add(b, key, (size_t)len);
		break;
	case NUMBER:
		add_i32(b, 8);
		add_i64(b, (int64_t)number * 100 + l->number);
		break;
	case SEQ:
		add_i32(b, 8);
		add_i64(b, ++l->seq);
		break;
	case CODE:
		add_i32(b, 16);
		add_i64(b, (int64_t)(number * 0x9e3779b97f4a7c15u));
		add_i64(b, (int64_t)number);
		break;
	default:
		add_i32(b, len);
		if (len > 0)
			buf_add(b, PQgetvalue(rows, row, column), (size_t)len);
	}
}

static bool is_sparse(int column)
{
	return column >= sparse_first && column <= sparse_last && sparse_first >= 0;
}

static void array_begin(struct buf *b, int column, size_t n)
{
	buf_reset(b);
	add_i32(b, n ? 1 : 0);
	add_i32(b, 1); /* may hold NULLs */
	add_i32(b, (int32_t)PQftype(rows, column));
	if (n) {
		add_i32(b, (int32_t)n);
		add_i32(b, 1);
	}
}

static void fill(struct lane *l)
{
	size_t sparse = 0;

	for (size_t i = 0; i < group_rows && sparse_first >= 0; i++)
		sparse += !PQgetisnull(rows, (int)((l->next_row + i) % (size_t)rows_n), sparse_first);
	for (int c = 0; c < columns; c++) {
		struct buf *b = &l->columns[c];

		if (changes[c] == SCALAR_LANE) {
			buf_reset(b);
			add_i16(b, l->number);
			continue;
		}
		array_begin(b, c, is_sparse(c) ? sparse : group_rows);
		for (size_t i = 0; i < group_rows; i++) {
			int row = (int)((l->next_row + i) % (size_t)rows_n);

			if (is_sparse(c) && PQgetisnull(rows, row, sparse_first))
				continue;
			if (c == sparse_first) {
				add_i32(b, 4);
				add_i32(b, (int32_t)i + 1);
			} else {
				add_value(b, l, row, c, next_number + i);
			}
		}
	}
	l->next_row += group_rows;
	next_number += group_rows;
}

static void send_statement(struct lane *l)
{
	const char *values[COLUMNS_MAX];
	int lengths[COLUMNS_MAX], formats[COLUMNS_MAX];

	fill(l);
	for (int c = 0; c < columns; c++) {
		values[c] = (const char *)l->columns[c].data;
		lengths[c] = (int)l->columns[c].len;
		formats[c] = 1;
	}
	if (!PQsendQueryPrepared(l->conn, "s", columns, values, lengths, formats, 1) || !PQpipelineSync(l->conn))
		die("send", l->conn);
	l->under_way++;
}

static void send_copy(struct lane *l, const char *statement)
{
	struct buf *b = &l->columns[0];
	PGresult *r = PQexec(l->conn, statement);

	if (PQresultStatus(r) != PGRES_COPY_IN)
		die(statement, l->conn);
	PQclear(r);
	buf_reset(b);
	buf_add(b, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
	for (size_t i = 0; i < group_rows; i++) {
		add_i16(b, (int16_t)columns);
		for (int c = 0; c < columns; c++)
			add_value(b, l, (int)((l->next_row + i) % (size_t)rows_n), c, next_number + i);
	}
	add_i16(b, -1);
	l->next_row += group_rows;
	next_number += group_rows;
	if (PQputCopyData(l->conn, (const char *)b->data, (int)b->len) != 1 || PQputCopyEnd(l->conn, NULL) != 1)
		die("copy", l->conn);
	l->under_way++;
}

static void take(struct lane *l)
{
	if (!PQconsumeInput(l->conn))
		die("read", l->conn);
	while (l->under_way && !PQisBusy(l->conn)) {
		PGresult *r = PQgetResult(l->conn);
		ExecStatusType s = r ? PQresultStatus(r) : PGRES_EMPTY_QUERY;

		if (s == PGRES_FATAL_ERROR || s == PGRES_PIPELINE_ABORTED)
			die("answer", l->conn);
		if (s == PGRES_PIPELINE_SYNC || (copies && !r)) {
			l->under_way--;
			groups_done++;
			rows_done += group_rows;
		}
		PQclear(r);
	}
}

static enum change change_of(const char *name)
{
	static const struct {
		const char *name;
		enum change change;
	} known[] = { { "scalar_lane", SCALAR_LANE }, { "lane", LANE }, { "key", KEY },	     { "request", NUMBER },
		      { "order_key", NUMBER },	      { "seq", SEQ },	{ "code_hash", CODE } };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(known[i].name, name))
			return known[i].change;
	return AS_IS;
}

static void read_template(const char *from, const char *sql)
{
	PGconn *c = PQconnectdb(from);

	rows = PQexecParams(c, sql, 0, NULL, NULL, NULL, NULL, 1);
	rows_n = PQntuples(rows);
	columns = PQnfields(rows);
	if (PQresultStatus(rows) != PGRES_TUPLES_OK || !rows_n || columns > COLUMNS_MAX)
		die("template", c);
	for (int i = 0; i < columns; i++) {
		changes[i] = change_of(PQfname(rows, i));
		if (!strncmp(PQfname(rows, i), "c_", 2)) {
			sparse_first = sparse_first < 0 ? i : sparse_first;
			sparse_last = i;
		}
	}
	PQfinish(c);
}

static void open_lane(struct lane *l, const char *to, int16_t number, const char *statement)
{
	l->conn = PQconnectdb(to);
	l->number = number;
	l->seq = (int64_t)next_number;
	if (PQstatus(l->conn) != CONNECTION_OK)
		die("connect", l->conn);
	for (int c = 0; c < COLUMNS_MAX; c++)
		buf_reset(&l->columns[c]);
	if (copies)
		return;
	PGresult *r = PQprepare(l->conn, "s", statement, 0, NULL);

	if (PQresultStatus(r) != PGRES_COMMAND_OK || !PQenterPipelineMode(l->conn))
		die("prepare", l->conn);
	PQclear(r);
}

static void tell(uint64_t started)
{
	double seconds = (double)(clock_mono_us() - started) / 1e6;
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	printf("{\"seconds\": %.3f, \"answered\": %llu, \"groups\": %llu, \"cpu\": %.3f}\n", seconds,
	       (unsigned long long)rows_done, (unsigned long long)groups_done,
	       ((double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6) / seconds);
}

int main(int argc, char **argv)
{
	static struct lane lanes[LANES_MAX];
	struct pollfd polled[LANES_MAX];

	if (argc != 10) {
		fputs("usage: pq FROM TO LANES SECONDS ROWS DEPTH FIRST TEMPLATE STATEMENT\n", stderr);
		return 2;
	}
	int n = MIN(atoi(argv[3]), LANES_MAX);
	size_t depth = MIN((size_t)atoi(argv[6]), (size_t)DEPTH_MAX);
	bool busy = true;

	group_rows = MIN((size_t)atoi(argv[5]), (size_t)GROUP_MAX);
	next_number = strtoull(argv[7], NULL, 10);
	copies = !strncmp(argv[9], "COPY", 4);
	read_template(argv[1], argv[8]);
	for (int i = 0; i < n; i++) {
		open_lane(&lanes[i], argv[2], (int16_t)i, argv[9]);
		polled[i] = (struct pollfd){ .fd = PQsocket(lanes[i].conn) };
	}
	uint64_t started = clock_mono_us(), end = started + (uint64_t)(strtod(argv[4], NULL) * 1e6);

	while (busy) {
		bool over = clock_mono_us() >= end;

		busy = false;
		for (int i = 0; i < n; i++) {
			while (!over && lanes[i].under_way < (copies ? 1 : depth))
				copies ? send_copy(&lanes[i], argv[9]) : send_statement(&lanes[i]);
			polled[i].events = (short)(POLLIN | (PQflush(lanes[i].conn) ? POLLOUT : 0));
			busy |= lanes[i].under_way > 0;
		}
		if (!busy || poll(polled, (nfds_t)n, 1000) < 0)
			break;
		for (int i = 0; i < n; i++)
			if (polled[i].revents)
				take(&lanes[i]);
	}
	tell(started);
	return 0;
}
