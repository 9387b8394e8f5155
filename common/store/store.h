#pragma once
/*
 * store - PostgreSQL over non-blocking connections in pipeline mode
 *
 * The unit of work is a group: statements between two Syncs, one implicit transaction (an
 * explicit BEGIN would leave a failed session behind; between Syncs PostgreSQL commits at the
 * Sync and rolls back at the first error). A group leaves in one piece: nothing of it is written
 * to the socket before store_submit(), and its last statement and the Sync go in one send. Groups
 * queue on their connection, are sent without waiting for the one before, and are answered in
 * order.
 *
 * Every statement is an entry of a query table, prepared when the connection is made; the
 * connection is ready only then. Parameters and results are binary.
 *
 * The only judge of commits is inside: STORE_OK means all results OK, Sync seen, no notice of
 * class 01 since the group was sent, connection sound. No other code may look at a result's
 * status (reliability R2).
 *
 * A timer of its own bounds connecting (connect_ms a host, hosts rotate) and each group (group_ms
 * from its first byte sent, or from the answer of the group before it); when it fires the connection is closed, never a COMMIT
 * cancelled, and reconnects with jitter. Loop thread only.
 */
#include "common/base/base.h"
#include "common/base/metrics.h"
#include "common/loop/loop.h"

struct query {
	const char *name; /* of the prepared statement */
	const char *sql;
};
struct query_table {
	const struct query *queries; /* must outlive the store */
	size_t n;
};

/* QUERY(ID, "sql") of a queries.def makes an entry: ID is a macro-made enum index */
#define QUERY_ENTRY(id, text) { .name = #id, .sql = text },
#define QUERY_ENUM(id, text) id,

enum store_verdict {
	STORE_OK = 0, /* committed and durable as far as the server was asked to be */
	STORE_FENCED, /* ZC001: not the holder. Nothing committed */
	STORE_CONFLICT, /* 23505 on event_lane_order_key_key_version_key: decide again */
	STORE_AGAIN, /* 25006, 40xxx, 53xxx, 55xxx, 57xxx: nothing committed, the same may work */
	STORE_DATA, /* 22xxx, 23xxx: this group never will. Nothing committed */
	STORE_BUG, /* anything else */
	STORE_UNSURE, /* connection lost or group timer: it may or may not have committed */
	STORE_DOWN, /* not connected, or the queue was cleared before a byte was sent */
};
const char *store_verdict_name(enum store_verdict v);
/* the table: SQLSTATE (5 characters) and constraint name ("" if none) to a verdict */
enum store_verdict store_verdict_of(const char *sqlstate, const char *constraint);

/* ---- results ------------------------------------------------------------------------------ */

struct rows; /* one statement's result, borrowed until the callback returns */
size_t rows_count(const struct rows *r);
bool rows_null(const struct rows *r, size_t row, unsigned col);
/* bool, int2, int4, int8; 0 if NULL */
int64_t rows_int(const struct rows *r, size_t row, unsigned col);
double rows_real(const struct rows *r, size_t row, unsigned col); /* float8 */
/* text, bytea, jsonb (without its version byte): borrowed; text is NUL-terminated */
struct bytes rows_bytes(const struct rows *r, size_t row, unsigned col);
const char *rows_text(const struct rows *r, size_t row, unsigned col); /* "" if NULL */
/* timestamptz to microseconds since 1970; 0 if NULL; ±infinity: INT64_MAX, INT64_MIN */
int64_t rows_time(const struct rows *r, size_t row, unsigned col);
int32_t rows_date(const struct rows *r, size_t row, unsigned col); /* days since 1970 */

struct answer {
	enum store_verdict verdict;
	char sqlstate[6]; /* "" unless the server said so */
	char constraint[64];
	char message[160]; /* the server's primary message: for the log at debug, may quote data */
	size_t n; /* results, in the order of the statements; 0 unless STORE_OK */
	const struct rows *const *rows;
};
typedef void (*store_fn)(void *ctx, const struct answer *answer);

/* ---- one connection ----------------------------------------------------------------------- */

struct store;
struct store_options {
	const char *dsn; /* libpq conninfo; several hosts allowed; copied */
	const char *application_name; /* copied */
	const char *role; /* user; NULL: the dsn's */
	bool read_only; /* a replica or a read-only role will do: target_session_attrs=any */
	const struct query_table *tables; /* ended by { NULL, 0 } */
	unsigned connect_ms; /* 0: 2,000 */
	unsigned group_ms; /* 0: 3,000 */
	unsigned groups_max; /* queued and in flight; 0: 64 */
	struct metrics *metrics; /* may be NULL */
	const char *metrics_label; /* closed set: "lane", "control", "read" */
};

int store_new(struct store **ret, struct loop *l, const struct store_options *o) _must_check_;
void store_free(struct store *s); /* open groups end with STORE_DOWN or STORE_UNSURE first */
DEFINE_CLEANUP(struct store *, store_free)
/*
 * Ends open groups as store_free() does, while those who wait for them still live; from here on
 * store_submit() gives STORE_E_DOWN and nothing reconnects. For a process that leaves.
 */
void store_stop(struct store *s);

bool store_ready(const struct store *s);
/*
 * How many sessions it has had: what was read in an earlier one may be of a server that has lost
 * what it had not flushed. While it is the same and the store is ready, that server lived.
 */
unsigned store_sessions(const struct store *s);
size_t store_depth(const struct store *s); /* groups queued and in flight */
/* called at each change; may be NULL */
void store_on_state(struct store *s, void (*fn)(void *ctx, bool ready), void *ctx);
const char *store_last_error(const struct store *s); /* one line for /readyz, no secrets */

/* ---- a group ------------------------------------------------------------------------------ */

struct store_group;
int store_group_new(struct store_group **ret, struct store *s) _must_check_;
void store_group_free(struct store_group *g); /* one that was not submitted */
DEFINE_CLEANUP(struct store_group *, store_group_free)

/* Begins a statement; what follows are its parameters in order. Failures are remembered. */
void store_add(struct store_group *g, const struct query *q);
size_t store_added(const struct store_group *g); /* statements so far */
void store_p_null(struct store_group *g);
void store_p_bool(struct store_group *g, bool v);
void store_p_int2(struct store_group *g, int16_t v);
void store_p_int4(struct store_group *g, int32_t v);
void store_p_int8(struct store_group *g, int64_t v);
void store_p_real(struct store_group *g, double v);
void store_p_text(struct store_group *g, const char *s); /* NULL: NULL */
void store_p_textn(struct store_group *g, const char *s, size_t len);
void store_p_bytea(struct store_group *g, const void *data, size_t len);
void store_p_time(struct store_group *g, int64_t at_us); /* timestamptz */

/* An array parameter, built column by column for unnest(). */
enum column_type {
	COLUMN_BOOL, COLUMN_INT2, COLUMN_INT4, COLUMN_INT8, COLUMN_REAL, COLUMN_TEXT, COLUMN_BYTEA,
	COLUMN_TIME, COLUMN_DATE, COLUMN_JSONB,
};
struct column; /* opaque; reusable after store_p_column(), which empties it */
int column_new(struct column **ret, enum column_type type) _must_check_;
void column_free(struct column *c);
DEFINE_CLEANUP(struct column *, column_free)
void column_null(struct column *c);
void column_int(struct column *c, int64_t v); /* BOOL, INT2, INT4, INT8, DATE */
void column_real(struct column *c, double v);
void column_text(struct column *c, const char *s); /* NULL: NULL; TEXT, JSONB */
void column_textn(struct column *c, const char *s, size_t len);
void column_bytea(struct column *c, const void *data, size_t len);
void column_time(struct column *c, int64_t at_us);
size_t column_count(const struct column *c);
void store_p_column(struct store_group *g, struct column *c); /* copies and empties c */

/*
 * store_submit() - queue the group
 * @fn:		called exactly once, from the loop, never from inside this call
 *
 * Return: 0: g now belongs to the store. STORE_E_DOWN: not connected; STORE_E_FULL: groups_max;
 * -ENOMEM: building it had failed. Unless 0, g stays the caller's and fn is not called.
 */
enum { STORE_E_DOWN = 1, STORE_E_FULL };
int store_submit(struct store_group *g, store_fn fn, void *ctx) _must_check_;

/* ---- a pool: one connection a lane, so that a stuck lane holds up no other ------------------ */

struct store_pool;
int store_pool_new(struct store_pool **ret, struct loop *l, const struct store_options *o,
		   unsigned connections) _must_check_;
void store_pool_free(struct store_pool *p);
DEFINE_CLEANUP(struct store_pool *, store_pool_free)
void store_pool_stop(struct store_pool *p); /* store_stop() of each */
struct store *store_pool_lane(struct store_pool *p, unsigned lane); /* lane modulo connections */
bool store_pool_ready(const struct store_pool *p); /* all connections */
void store_pool_on_state(struct store_pool *p, void (*fn)(void *ctx, bool ready), void *ctx);
