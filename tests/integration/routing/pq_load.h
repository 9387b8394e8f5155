#pragma once
/*
 * pq_load - load.h over a blocking connection of libpq, results in binary
 *
 * Ends the program, or the running case, when the configuration can't be loaded.
 */
#include <endian.h>
#include <libpq-fe.h>
#include "services/routing/load.h"
#include "tests/lib/test.h"

static inline bool pq_null(const void *ctx, size_t row, unsigned col)
{
	return PQgetisnull(ctx, (int)row, (int)col);
}

static inline int64_t pq_integer(const void *ctx, size_t row, unsigned col)
{
	const char *p = PQgetvalue(ctx, (int)row, (int)col);
	uint32_t narrow;
	uint64_t wide;

	switch (PQgetlength(ctx, (int)row, (int)col)) {
	case 0: /* NULL */
		return 0;
	case 4:
		memcpy(&narrow, p, 4);
		return (int32_t)be32toh(narrow);
	case 8:
		memcpy(&wide, p, 8);
		return (int64_t)be64toh(wide);
	}
	TEST_FAIL("column %u is neither int4 nor int8", col);
}

static inline const char *pq_text(const void *ctx, size_t row, unsigned col)
{
	return PQgetvalue(ctx, (int)row, (int)col);
}

static inline struct bytes pq_bytes(const void *ctx, size_t row, unsigned col)
{
	return (struct bytes){ (const uint8_t *)PQgetvalue(ctx, (int)row, (int)col),
			       (size_t)PQgetlength(ctx, (int)row, (int)col) };
}

static inline struct towns *pq_load_towns(PGconn *conn, int64_t *ret_revision)
{
	PGresult *results[LOAD_N];
	struct load_rows rows[LOAD_N];
	struct towns *towns = NULL;
	struct town_fault fault;
	int r;

	for (int i = 0; i < LOAD_N; i++) {
		results[i] = PQexecParams(conn, load_sql[i], 0, NULL, NULL, NULL, NULL, 1);
		if (PQresultStatus(results[i]) != PGRES_TUPLES_OK)
			TEST_FAIL("%s: %s", load_sql[i], PQerrorMessage(conn));
		rows[i] = (struct load_rows){ results[i], (size_t)PQntuples(results[i]), pq_null,
					      pq_integer, pq_text, pq_bytes };
	}
	r = load_towns(rows, &towns, ret_revision, &fault);
	if (r)
		TEST_FAIL("%d: %s", r, r > 0 ? fault.text : "");
	for (int i = 0; i < LOAD_N; i++)
		PQclear(results[i]);
	return towns;
}
