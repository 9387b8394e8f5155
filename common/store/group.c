/*
 * group - statements, parameters and array columns in PostgreSQL's binary format
 *
 * A group is built wholly in memory, so that nothing of it reaches the server before all of it
 * can. Three growing buffers hold it: the parameters' bytes, where each begins, and which belong
 * to which statement; libpq gets pointers into the first.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include "common/base/err.h"
#include "common/store/internal.h"

#define PARAMS_MAX 128 /* of one statement; arrays count once */

int store_group_new(struct store_group **ret, struct store *s)
{
	struct store_group *g = calloc(1, sizeof(*g));

	if (!g)
		return err_here(-ENOMEM);
	list_init(&g->node);
	g->store = s;
	*ret = g;
	return 0;
}

void store_group_free(struct store_group *g)
{
	if (!g)
		return;
	for (size_t i = 0; g->results && i < g->judge.statements; i++)
		PQclear(g->results[i].result);
	free(g->results);
	free(g->rows);
	buf_fini(&g->data);
	buf_fini(&g->param);
	buf_fini(&g->statement);
	free(g);
}

int store_group_err(const struct store_group *g)
{
	if (buf_err(&g->data))
		return buf_err(&g->data);
	return buf_err(&g->param) ? buf_err(&g->param) : buf_err(&g->statement);
}

size_t store_added(const struct store_group *g)
{
	return g->statement.len / sizeof(struct statement);
}

const struct statement *store_group_statement(const struct store_group *g, size_t i)
{
	return (const struct statement *)(const void *)g->statement.data + i;
}

void store_add(struct store_group *g, const struct query *q)
{
	const struct statement st = {
		.query = q,
		.first_param = g->param.len / sizeof(struct param),
	};

	buf_add(&g->statement, &st, sizeof(st));
}

/* what was appended to data since off, as the next parameter of the newest statement */
static void param_end(struct store_group *g, size_t off, bool null)
{
	struct param p = { .off = off, .len = -1 };
	struct statement *st;

	if (store_group_err(g))
		return;
	assert(g->statement.len); /* store_add() comes first */
	if (!null)
		p.len = (int)(g->data.len - off); /* BUF_MAX is below INT_MAX */
	buf_add(&g->param, &p, sizeof(p));
	st = (struct statement *)(void *)(g->statement.data + g->statement.len) - 1;
	assert(st->params < PARAMS_MAX);
	st->params++;
}

static void param_add(struct store_group *g, const void *data, size_t len)
{
	size_t off = g->data.len;

	buf_add(&g->data, data, len);
	param_end(g, off, false);
}

void store_p_null(struct store_group *g)
{
	param_end(g, g->data.len, true);
}

void store_p_bool(struct store_group *g, bool v)
{
	const uint8_t b = v;

	param_add(g, &b, 1);
}

void store_p_int2(struct store_group *g, int16_t v)
{
	const uint16_t n = htons((uint16_t)v);

	param_add(g, &n, sizeof(n));
}

void store_p_int4(struct store_group *g, int32_t v)
{
	const uint32_t n = htonl((uint32_t)v);

	param_add(g, &n, sizeof(n));
}

void store_p_int8(struct store_group *g, int64_t v)
{
	const uint64_t n = htobe64((uint64_t)v);

	param_add(g, &n, sizeof(n));
}

static uint64_t real_bits(double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return htobe64(bits);
}

void store_p_real(struct store_group *g, double v)
{
	const uint64_t n = real_bits(v);

	param_add(g, &n, sizeof(n));
}

void store_p_textn(struct store_group *g, const char *s, size_t len)
{
	param_add(g, s, len);
}

void store_p_text(struct store_group *g, const char *s)
{
	if (s)
		param_add(g, s, strlen(s));
	else
		store_p_null(g);
}

void store_p_bytea(struct store_group *g, const void *data, size_t len)
{
	param_add(g, data, len);
}

/* INT64_MAX and INT64_MIN are infinity and -infinity on both sides */
static int64_t time_to_pg(int64_t at_us)
{
	if (at_us == INT64_MAX || at_us == INT64_MIN)
		return at_us;
	/* far below the oldest timestamp there is: the server refuses it as data */
	return at_us < INT64_MIN + 1 + PG_EPOCH_US ? INT64_MIN + 1 : at_us - PG_EPOCH_US;
}

void store_p_time(struct store_group *g, int64_t at_us)
{
	store_p_int8(g, time_to_pg(at_us));
}

/* ---- columns ------------------------------------------------------------------------------ */

struct column {
	enum column_type type;
	struct buf data; /* elements: length, bytes */
	size_t count;
	bool nulls;
};

int column_new(struct column **ret, enum column_type type)
{
	struct column *c = calloc(1, sizeof(*c));

	if (!c)
		return err_here(-ENOMEM);
	c->type = type;
	*ret = c;
	return 0;
}

void column_free(struct column *c)
{
	if (!c)
		return;
	buf_fini(&c->data);
	free(c);
}

size_t column_count(const struct column *c)
{
	return c->count;
}

static void put_i32(struct buf *b, int32_t v)
{
	const uint32_t n = htonl((uint32_t)v);

	buf_add(b, &n, sizeof(n));
}

static void element(struct column *c, const void *data, size_t len)
{
	if (len > BUF_MAX)
		len = BUF_MAX; /* buf_add() then fails with -E2BIG */
	put_i32(&c->data, (int32_t)len);
	buf_add(&c->data, data, len);
	c->count++;
}

void column_null(struct column *c)
{
	put_i32(&c->data, -1);
	c->count++;
	c->nulls = true;
}

void column_int(struct column *c, int64_t v)
{
	switch (c->type) {
	case COLUMN_BOOL:
		element(c, &(uint8_t){ v != 0 }, 1);
		break;
	case COLUMN_INT2:
		assert(v >= INT16_MIN && v <= INT16_MAX);
		element(c, &(uint16_t){ htons((uint16_t)v) }, 2);
		break;
	case COLUMN_DATE:
		v -= PG_EPOCH_DAYS;
		/* fallthrough */
	case COLUMN_INT4:
		assert(v >= INT32_MIN && v <= INT32_MAX);
		element(c, &(uint32_t){ htonl((uint32_t)v) }, 4);
		break;
	default:
		assert(c->type == COLUMN_INT8);
		element(c, &(uint64_t){ htobe64((uint64_t)v) }, 8);
	}
}

void column_real(struct column *c, double v)
{
	assert(c->type == COLUMN_REAL);
	element(c, &(uint64_t){ real_bits(v) }, 8);
}

void column_textn(struct column *c, const char *s, size_t len)
{
	assert(c->type == COLUMN_TEXT || c->type == COLUMN_JSONB);
	if (c->type == COLUMN_TEXT) {
		element(c, s, len);
		return;
	}
	put_i32(&c->data, len < BUF_MAX ? (int32_t)len + 1 : INT32_MAX);
	buf_ch(&c->data, 1); /* version of jsonb's wire format */
	buf_add(&c->data, s, len);
	c->count++;
}

void column_text(struct column *c, const char *s)
{
	if (s)
		column_textn(c, s, strlen(s));
	else
		column_null(c);
}

void column_bytea(struct column *c, const void *data, size_t len)
{
	assert(c->type == COLUMN_BYTEA);
	element(c, data, len);
}

void column_time(struct column *c, int64_t at_us)
{
	assert(c->type == COLUMN_TIME);
	element(c, &(uint64_t){ htobe64((uint64_t)time_to_pg(at_us)) }, 8);
}

static const int32_t element_oid[] = {
	[COLUMN_BOOL] = OID_BOOL, [COLUMN_INT2] = OID_INT2, [COLUMN_INT4] = OID_INT4,
	[COLUMN_INT8] = OID_INT8, [COLUMN_REAL] = OID_FLOAT8, [COLUMN_TEXT] = OID_TEXT,
	[COLUMN_BYTEA] = OID_BYTEA, [COLUMN_TIME] = OID_TIMESTAMPTZ, [COLUMN_DATE] = OID_DATE,
	[COLUMN_JSONB] = OID_JSONB,
};

void store_p_column(struct store_group *g, struct column *c)
{
	size_t off = g->data.len;

	put_i32(&g->data, c->count ? 1 : 0); /* dimensions; an empty array has none */
	put_i32(&g->data, c->nulls);
	put_i32(&g->data, element_oid[c->type]);
	if (c->count) {
		put_i32(&g->data, (int32_t)c->count);
		put_i32(&g->data, 1); /* lower bound */
		buf_add(&g->data, c->data.data, c->data.len);
	}
	if (buf_err(&c->data) && !g->data.err)
		g->data.err = buf_err(&c->data);
	param_end(g, off, false);
	buf_reset(&c->data);
	c->count = 0;
	c->nulls = false;
}

/* ---- to libpq ----------------------------------------------------------------------------- */

int store_group_send(const struct store_group *g, size_t i, PGconn *conn)
{
	const struct statement *st = store_group_statement(g, i);
	const struct param *p = (const struct param *)(const void *)g->param.data + st->first_param;
	const char *values[PARAMS_MAX];
	int lengths[PARAMS_MAX], formats[PARAMS_MAX];

	for (unsigned k = 0; k < st->params; k++) {
		/* data is NULL while every parameter is empty; libpq takes a NULL value as NULL */
		values[k] = p[k].len < 0 ? NULL : p[k].len ? g->data.data + p[k].off : "";
		lengths[k] = MAX(p[k].len, 0);
		formats[k] = 1;
	}
	if (!PQsendQueryPrepared(conn, st->query->name, (int)st->params, values, lengths, formats, 1))
		return err_here(-EPIPE);
	return 0;
}

size_t store_group_wire_size(const struct store_group *g, size_t i)
{
	const struct statement *st = store_group_statement(g, i);
	const struct param *p = (const struct param *)(const void *)g->param.data + st->first_param;
	size_t bind = 1 + 4 + 1 + strlen(st->query->name) + 1 + 2 + 2 + 2 + 2;

	for (unsigned k = 0; k < st->params; k++)
		bind += 2 + 4 + (size_t)MAX(p[k].len, 0);
	return bind + 7 /* Describe of the portal */ + 10 /* Execute */;
}
