#pragma once
/*
 * dispatch - the daemon's wiring: what its parts share
 *
 *	open	   consumer `dispatch` of the log: opens work_state, wakes departments
 *	lines	   home lanes held, their departments and consumer names: loading and forgetting
 *	peers	   connections: Hello, frames, heartbeats, fencing
 *	who	   whose key it is, and what it may see and change
 *	follow	   reads deliveries by number and sends Work within credit, again when overdue
 *	chain	   `dispatch.department`: commits acknowledgements and updates
 *	say	   answers to departments
 *
 * Ownership: dispatch has lines; a line has departments (struct dept) and the updates that wait; a
 * dept has its consumer names (struct name), which outlive connections. A peer points to its name
 * and back. Loop thread only.
 */
#include <glib.h>
#undef MIN
#undef MAX

#include "common/base/base.h"
#include "common/base/config.h"
#include "common/base/ids.h"
#include "common/base/list.h"
#include "common/base/metrics.h"
#include "common/bus/bus.h"
#include "common/eventlog/eventlog.h"
#include "common/loop/loop.h"
#include "common/service/service.h"
#include "common/store/store.h"
#include "services/dispatch/core_ack.h"
#include "services/dispatch/core_flow.h"
#include "services/dispatch/core_frame.h"
#include "services/dispatch/core_update.h"
#include "services/dispatch/directory.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

enum dispatch_query {
#define QUERY QUERY_ENUM
#include "services/dispatch/queries.def"
#undef QUERY
	DISPATCH_QUERIES
};
extern const struct query dispatch_queries[DISPATCH_QUERIES];

enum dispatch_metric {
#define METRIC(id, kind, name, help, labels) id,
#include "services/dispatch/metrics.def"
#undef METRIC
	DISPATCH_METRICS
};

enum { PAGE_MAX = 256, BATCH_UPDATES = 256, PEER_ID_MAX = 256 };
/* where departments come in: from this machine, and under CURVE */
enum { SOCK_LOCAL, SOCK_CURVE, SOCKS };

extern const struct service_ops dispatch_ops;

struct dispatch;
struct peer;
struct dept;
struct name;

/* a home lane that this process holds */
struct line {
	struct dispatch *d;
	unsigned lane;
	int64_t epoch;
	bool loaded;
	struct list depts;
	struct list updates; /* struct queued, oldest first */
	size_t n_updates;
	uint64_t acks_ms; /* monotonic: when the chain last stored */
	struct loop_timer *retry; /* loading failed */
};

/* a department of a line */
struct dept {
	struct list in_line;
	struct line *line;
	int32_t department;
	int32_t generation;
	int64_t after, base; /* numbers between never come: a rewind jumped over them */
	int64_t oldest, newest; /* of its deliveries, as last heard; 0: none */
	bool loaded; /* its consumer names are known */
	bool dirty; /* there may be newer ones */
	bool reading; /* a page is on its way */
	bool reading_again; /* overdue ones are */
	struct list names;
	size_t n_names;
};

/* a consumer name of a department */
struct name {
	struct list in_dept;
	struct dept *dept;
	char consumer[NAME_MAX_CHARS + 1];
	struct ack_set acked; /* committed */
	struct flow flow;
	struct peer *peer; /* its live connection; NULL: none */
	bool stopped; /* takes no more of the page that is being sent */
	struct ack_range *pending; /* acknowledged, not yet committed; oldest first */
	size_t n_pending, cap_pending;
	int32_t *services; /* filter, ascending; NULL: all */
	size_t n_services;
	int64_t since; /* the oldest step that may have rows of delivery_ack */
	uint64_t changes, written; /* differ: the mark has to be written */
	uint64_t written_ms; /* monotonic */
};

/* an update that waits for its commit */
struct queued {
	struct list in_line;
	struct update *update; /* owned */
	uint64_t peer; /* serial of who said it */
};

enum peer_state { PEER_GREETING, PEER_LIVE, PEER_FENCED };

struct peer {
	uint8_t id[PEER_ID_MAX]; /* which of SOCKS, and ZeroMQ's routing id there */
	uint16_t id_len;
	uint64_t serial; /* never used twice */
	enum peer_state state;
	struct name *name; /* NULL: fenced */
	char key_id[APIKEY_ID_LEN + 1]; /* under CURVE also each message's User-Id */
	int32_t department;
	uint64_t heard_ms, said_ms; /* monotonic */
	uint64_t full_until_ms; /* its queue was full: nothing is pushed before */
	size_t n_updates; /* waiting for their commit */
};

struct limits {
	unsigned heartbeat_ms, redeliver_ms, position_ms, probe_ms, ack_linger_ms;
	size_t credit_max, connections_max, consumers_max, updates_max, ack_ranges_max,
		acks_queued_max, frame_max;
	int64_t skew_us;
};

struct dispatch {
	struct service *service;
	struct limits limits;
	struct series *metric[DISPATCH_METRICS]; /* those without labels */
	struct series *refused[REFUSED_N], *sent[2], *updates[8];
	struct directory *directory; /* NULL: not loaded yet */
	struct consumer *open, *chain;
	int64_t heard[LANE_MAX]; /* newest event of open.c that the wire told, by lane */
	struct bus_sock *socks[SOCKS]; /* SOCK_CURVE: NULL unless configured */
	char endpoint[BUS_ENDPOINT_MAX]; /* of both, as others reach them, divided by a space */
	struct line *lines[LANE_MAX];
	GHashTable *peers; /* by id: struct peer, owned */
	GHashTable *serials; /* by serial: struct peer */
	uint64_t next_serial;
	struct list asks; /* reads under way */
	struct loop_timer *tick, *ack_timer;
	struct buf out; /* one frame being packed */
	uint64_t probed_ms, directory_ms; /* monotonic: last probe, last try to load again */
	uint64_t directory_ends_ms; /* when a key in it does; UINT64_MAX: none */
	int64_t probed_heads; /* of all lanes together, at the last probe */
	bool tick_soon; /* somebody waits for it */
	size_t n_queued; /* updates of all lines */
	bool draining, loading_directory, reload_directory;
};

/* ---- dispatch.c: reads that end safely whoever is gone by then -------------------------------- */

struct ask {
	struct list in_dispatch;
	struct dispatch *d; /* NULL: the daemon is gone */
	unsigned lane;
	int64_t epoch; /* of the line; 0: of none */
	int32_t department;
	int64_t from; /* of a page: behind this number */
	int limit; /* and this many rows */
	uint64_t peer; /* serial; 0: none */
	/* line, dept: those of lane and department, if still held in the same epoch; else NULL */
	void (*fn)(struct ask *a, struct line *line, struct dept *dept, const struct answer *answer);
};
/* a and g are taken in any case; on failure fn gets STORE_DOWN, from the loop or at once */
void dispatch_ask(struct dispatch *d, struct ask a, struct store_group *g);
struct store_group *dispatch_group(struct dispatch *d, unsigned lane); /* NULL: out of memory */
/* something waits for the tick: it comes after a tenth of a second */
void dispatch_tick_soon(struct dispatch *d);

/* ---- open.c ------------------------------------------------------------------------------------- */
int open_start(struct dispatch *d) _must_check_;

/* ---- lines.c ------------------------------------------------------------------------------------ */
void lines_held(void *ctx, struct consumer *c, unsigned lane, int64_t epoch);
void lines_lost(void *ctx, struct consumer *c, unsigned lane);
void lines_free(struct dispatch *d);
/* departments may have come: looks for them on all lines */
void lines_refresh(struct dispatch *d);
struct line *line_of(struct dispatch *d, unsigned lane, int64_t epoch); /* NULL: not held so */
struct dept *line_dept(struct line *l, int32_t department);
/* takes over what DISPATCH_LINES or DISPATCH_PROBE said; -ENOMEM */
int line_take_rows(struct line *l, const struct rows *r) _must_check_;
struct name *dept_name(struct dept *t, const char *consumer);
int dept_name_new(struct dept *t, const char *consumer, struct name **ret) _must_check_;

/* ---- peers.c ------------------------------------------------------------------------------------ */
void peers_receive(void *ctx, struct bus_sock *s, struct bytes id, const char *user, struct bytes body);
struct peer *peer_by_serial(struct dispatch *d, uint64_t serial);
void peer_drop(struct dispatch *d, struct peer *p); /* frees it */
void peers_tick(struct dispatch *d, uint64_t now_ms);
void peers_recheck(struct dispatch *d); /* keys changed: who came in by one that is gone is out */
/* the line is lost: tells its peers who has it, and drops them */
void peers_line_lost(struct dispatch *d, struct line *l);

/* ---- who.c -------------------------------------------------------------------------------------- */
/* bus_admit_fn of SOCK_CURVE: a user is a key's id */
enum bus_verdict who_admit(void *ctx, const char *key, char ret_user[static BUS_USER_MAX]);
/* the key of a Hello, by its message's user and its text; NULL: none that is in force */
const struct key *who_says(struct dispatch *d, const char *user, const char *text);
/*
 * The services of a connection, of those that the key may see: their numbers, or NULL and 0 for all.
 * false: refused; ret is the caller's.
 */
bool who_sees(struct dispatch *d, const struct key *k, const Centraleta__V1__Hello *h, int32_t **ret,
	      size_t *ret_n, struct refusal *why);

/*
 * The name under which a consumer's position is kept: what the client called it, and for a key with
 * topics a tail that all keys with the same topics share. false: too long.
 */
bool who_is(const struct key *k, const char *consumer, char ret[static NAME_MAX_CHARS + 1],
	    struct refusal *why);
/* for whom an update of this peer speaks; false: refused, and there is nothing to finish */
bool who_speaks(struct dispatch *d, const struct peer *p, struct speaker *ret, struct refusal *why);
void speaker_fini(struct speaker *s);

/* ---- follow.c ----------------------------------------------------------------------------------- */
void follow_dept(struct dept *t); /* reads a page if somebody waits for one */
void follow_wake(struct dispatch *d, unsigned home_lane, int32_t department);
void follow_tick(struct dispatch *d, uint64_t now_ms);
void follow_probe_again(struct dispatch *d); /* whether or not the log has moved */

/* ---- chain.c ------------------------------------------------------------------------------------ */
void chain_take(void *ctx, struct batch *b);
void chain_committed(void *ctx, struct batch *b, const struct answer *answer, size_t first_result);
/* acknowledgements of n wait: stores them now, or with those of the next few milliseconds */
void chain_ack(struct dispatch *d, const struct name *n);
void chain_ack_time(void *dispatch); /* of ack_timer */
void chain_tick(struct dispatch *d, uint64_t now_ms); /* marks that are due */

/* ---- say.c -------------------------------------------------------------------------------------- */
/* 0; BUS_E_FULL, BUS_E_GONE or < 0: not sent */
int say(struct dispatch *d, struct peer *p, const Centraleta__V1__DispatchFrame *f);
/* codes full and unavailable get a time to try again; final: the connection is over */
void say_refused(struct dispatch *d, struct bytes id, const struct refusal *why, const char *update_id,
		 bool final);
static inline struct bytes peer_id(const struct peer *p)
{
	return (struct bytes){ p->id, p->id_len };
}
