#pragma once
/*
 * internal - what the files of common/store share; nobody else includes it
 */
#include <libpq-fe.h>
#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/store/store.h"

#define PG_EPOCH_US 946684800000000LL /* 2000-01-01 in microseconds since 1970 */
#define PG_EPOCH_DAYS 10957

/* built-in types' OIDs (pg_type.dat), the same in every PostgreSQL */
enum {
	OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_TEXT = 25,
	OID_FLOAT8 = 701, OID_DATE = 1082, OID_TIMESTAMPTZ = 1184, OID_JSONB = 3802,
};

/* ---- verdict.c: pure ---------------------------------------------------------------------- */

/* what was seen of one group */
struct judge {
	size_t statements; /* in the group */
	size_t results; /* that were OK, before any error */
	bool failed; /* an error of the server came; the fields below are its */
	bool fatal; /* it ended the session */
	bool strange; /* a result that no statement of a group may have (BEGIN, COPY, ...) */
	bool warned; /* a notice that may be about durability came since it was sent */
	bool synced; /* the Sync was answered */
	char sqlstate[6];
	char constraint[64];
};
/* The only judge of commits. Right at the Sync's answer and after the connection was lost. */
enum store_verdict judge_verdict(const struct judge *j);
/* a notice of this SQLSTATE says that a commit may not be what it seems */
bool judge_notice(const char *sqlstate);
/* this error says that the session is of no more use */
bool judge_reconnect(const char *sqlstate);

/* ---- group.c ------------------------------------------------------------------------------ */

struct param {
	size_t off; /* into the group's data */
	int len; /* -1: NULL */
};
struct statement {
	const struct query *query;
	size_t first_param;
	unsigned params;
};
struct store_group {
	struct list node; /* store.waiting or store.flight, once submitted */
	struct store *store; /* the one it was made for; never followed after store_free() */
	struct buf data; /* parameters' bytes */
	struct buf param; /* of struct param */
	struct buf statement; /* of struct statement */
	store_fn fn;
	void *ctx;
	size_t sent; /* statements handed to libpq */
	uint64_t submitted_us, sent_ms; /* sent_ms: first byte; 0: none yet */
	uint64_t notices; /* of the store when it was sent */
	struct judge judge;
	char message[160];
	bool complete; /* its Sync was handed to libpq */
	struct rows *results; /* array of judge.statements */
	const struct rows **rows; /* to each of results */
};
struct rows {
	PGresult *result;
};

int store_group_err(const struct store_group *g);
const struct statement *store_group_statement(const struct store_group *g, size_t i);
/* hands statement i to libpq; 0, -ENOMEM or -EPIPE */
int store_group_send(const struct store_group *g, size_t i, PGconn *conn) _must_check_;
/* bytes of statement i on the wire, as PQsendQueryPrepared() writes them in pipeline mode */
size_t store_group_wire_size(const struct store_group *g, size_t i);

/* ---- hosts.c: conninfo lists, one host at a time ------------------------------------------- */

struct host {
	char *host; /* NULL: libpq's default */
	char *hostaddr; /* NULL: none given */
	char *port; /* NULL: libpq's default */
};
#define HOSTS_MAX 16
struct hosts {
	struct host list[HOSTS_MAX];
	size_t n;
	PQconninfoOption *options; /* of the dsn, without what hosts holds */
};
/* -EINVAL: ret_error has the reason in one line, which never holds the password */
int hosts_parse(struct hosts *ret, const char *dsn, char *ret_error, size_t size) _must_check_;
void hosts_fini(struct hosts *h);
struct session {
	char *role, *application_name; /* NULL: the dsn's */
	bool read_only; /* a session that can't write will do */
};
/* begins a connection to one host, or to addr of it where that is not NULL */
PGconn *hosts_connect(const struct hosts *h, size_t i, const char *addr,
		      const struct session *session);
/* a name that has to be looked up; NULL: the host is a socket directory or an address */
const char *hosts_name(const struct hosts *h, size_t i);

/* ---- resolve.c: a name look-up that blocks nobody ------------------------------------------ */

#define RESOLVE_MAX 8
struct resolve;
struct addresses {
	char text[RESOLVE_MAX][48];
	size_t n;
};
int resolve_start(struct resolve **ret, const char *name) _must_check_;
/* 0: ret is filled; RESOLVE_E_BUSY: ask again; RESOLVE_E_NONE: no such name */
enum { RESOLVE_E_BUSY = 1, RESOLVE_E_NONE };
int resolve_poll(struct resolve *r, struct addresses *ret) _must_check_;
void resolve_free(struct resolve *r);

/* ---- the store ----------------------------------------------------------------------------- */

enum store_state {
	STATE_PAUSE, /* waits for the next attempt */
	STATE_RESOLVE,
	STATE_CONNECT,
	STATE_PREPARE,
	STATE_READY,
	STATE_DRAIN, /* of no more use: what is in flight is waited for, then closed */
};

struct store_series;
struct store {
	struct loop *loop;
	enum store_state state;
	struct hosts hosts;
	struct session session;
	const struct query_table *tables;
	unsigned connect_ms, group_ms, groups_max;

	PGconn *conn; /* from STATE_CONNECT on */
	struct loop_io *io;
	struct resolve *resolve[HOSTS_MAX]; /* look-ups under way; one may outlive its attempt */
	struct addresses addresses; /* of the host that is tried; n = 0: as it stands */
	size_t host, address; /* the one that is tried */
	size_t failures; /* of hosts, since the last one that was ready */
	size_t prepared; /* statements answered in STATE_PREPARE */
	bool prepare_failed;
	struct loop_timer *connect_timer; /* pause, look-up, connect and prepare */
	uint64_t attempt_ends_ms; /* of the look-up */

	struct list waiting; /* struct store_group, not a byte sent */
	struct list flight; /* sent or being sent; only the last may be incomplete */
	size_t depth;
	uint64_t notices; /* of judge_notice() so far on this connection */
	uint64_t answered_ms; /* last Sync */
	struct loop_timer *pump_timer; /* sends on the next turn */
	struct loop_timer *group_timer;

	void (*on_state)(void *ctx, bool ready);
	void *state_ctx;
	bool told_ready;
	unsigned sessions; /* that were ready, so far */
	char last_error[256];
	struct store_series *series; /* NULL: no metrics */
	const char *label;
};

/* conn.c */
void conn_start(struct store *s); /* from STATE_PAUSE: tries the current host */
void conn_close(struct store *s);
/* closes; tries again after a moment */
void conn_reconnect(struct store *s);
int conn_want(struct store *s, unsigned want) _must_check_;
void conn_error(struct store *s, const char *what, const char *text); /* to last_error, debug log */
void conn_next_host(struct store *s);

/* store.c, called by conn.c */
void store_became_ready(struct store *s);
void store_io(struct store *s); /* reads, then sends what waits */
void store_notice(void *ctx, const PGresult *notice); /* PQnoticeReceiver */

/* series.c */
int store_series_new(struct store_series **ret, struct metrics *m, const char *label) _must_check_;
void store_series_free(struct store_series *x);
void store_series_group(struct store_series *x, enum store_verdict v, double seconds, size_t statements);
void store_series_depth(struct store_series *x, int change);
void store_series_limit(struct store_series *x, int change);
void store_series_connected(struct store_series *x, int change);
void store_series_reconnect(struct store_series *x);
