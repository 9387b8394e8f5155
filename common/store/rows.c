/*
 * rows - reading one statement's binary result
 *
 * A type that a reader can't read is a bug of the statement (a sum() that became numeric), found
 * the first time it runs: assert.
 */
#include <endian.h>
#include "common/store/internal.h"

static uint64_t load(const char *p, int len)
{
	uint64_t v = 0;

	for (int i = 0; i < len; i++)
		v = v << 8 | (uint8_t)p[i];
	return v;
}

/* the value's bytes, of that many */
static const char *value(const struct rows *r, size_t row, unsigned col, int len)
{
	assert(row < rows_count(r) && col < (unsigned)PQnfields(r->result));
	assert(!len || PQgetlength(r->result, (int)row, (int)col) == len);
	return PQgetvalue(r->result, (int)row, (int)col);
}

size_t rows_count(const struct rows *r)
{
	return (size_t)PQntuples(r->result);
}

bool rows_null(const struct rows *r, size_t row, unsigned col)
{
	assert(row < rows_count(r) && col < (unsigned)PQnfields(r->result));
	return PQgetisnull(r->result, (int)row, (int)col);
}

int64_t rows_int(const struct rows *r, size_t row, unsigned col)
{
	if (rows_null(r, row, col))
		return 0;
	switch (PQftype(r->result, (int)col)) {
	case OID_BOOL:
		return *value(r, row, col, 1) != 0;
	case OID_INT2:
		return (int16_t)load(value(r, row, col, 2), 2);
	case OID_INT4:
		return (int32_t)load(value(r, row, col, 4), 4);
	default:
		assert(PQftype(r->result, (int)col) == OID_INT8);
		return (int64_t)load(value(r, row, col, 8), 8);
	}
}

double rows_real(const struct rows *r, size_t row, unsigned col)
{
	uint64_t bits;
	double v;

	if (rows_null(r, row, col))
		return 0;
	assert(PQftype(r->result, (int)col) == OID_FLOAT8);
	bits = load(value(r, row, col, 8), 8);
	memcpy(&v, &bits, sizeof(v));
	return v;
}

struct bytes rows_bytes(const struct rows *r, size_t row, unsigned col)
{
	struct bytes b = { (const uint8_t *)"", 0 };

	if (rows_null(r, row, col))
		return b;
	b.data = (const uint8_t *)value(r, row, col, 0);
	b.len = (size_t)PQgetlength(r->result, (int)row, (int)col);
	if (PQftype(r->result, (int)col) == OID_JSONB && b.len) {
		b.data++;
		b.len--;
	}
	return b;
}

const char *rows_text(const struct rows *r, size_t row, unsigned col)
{
	return (const char *)rows_bytes(r, row, col).data; /* libpq ends values with a NUL */
}

int64_t rows_time(const struct rows *r, size_t row, unsigned col)
{
	int64_t v;

	if (rows_null(r, row, col))
		return 0;
	assert(PQftype(r->result, (int)col) == OID_TIMESTAMPTZ);
	v = (int64_t)load(value(r, row, col, 8), 8);
	return v == INT64_MAX || v == INT64_MIN ? v : v + PG_EPOCH_US;
}

int32_t rows_date(const struct rows *r, size_t row, unsigned col)
{
	int32_t v;

	if (rows_null(r, row, col))
		return 0;
	assert(PQftype(r->result, (int)col) == OID_DATE);
	v = (int32_t)load(value(r, row, col, 4), 4);
	return v == INT32_MAX || v == INT32_MIN ? v : v + PG_EPOCH_DAYS;
}
