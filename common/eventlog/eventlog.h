#pragma once
/*
 * eventlog - the one consumer loop of all daemons, and the publishing of what was committed
 *
 * A consumer holds lanes by lease and, lane by lane, repeats: take the next events -> decide ->
 * one group { event_step, the consumer's statements, event_append } -> publish. The step is the
 * fence (ZC001): of two that believe to hold a lane only one commits. The wire is a hint: frames
 * whose generation is the lane's and whose first is the lane's next are taken; anything else costs
 * a read of the table. A lane that heard nothing for 1 s has its head read.
 *
 * Loop thread only. docs/ARCHITECTURE.md draws the states.
 */
#include "common/base/base.h"
#include "common/base/config.h"
#include "common/base/metrics.h"
#include "common/base/trace.h"
#include "common/bus/bus.h"
#include "common/loop/loop.h"
#include "common/store/store.h"

struct event {
	int16_t lane;
	int16_t type, type_version;
	int32_t jurisdiction;
	int32_t key_version; /* 0: changes no state */
	int64_t seq; /* 0: not stored yet */
	int64_t order_key;
	int64_t at_us; /* storing time */
	struct trace trace;
	const char *actor;
	struct bytes body; /* packed message of event.proto */
};

struct eventlog;
struct consumer;
struct batch;

extern const struct query_table eventlog_queries; /* for the store_options of writers and control */
/*
 * eventlog_new() also asks the configuration for service.member, service.runtime_dir and
 * bus.endpoint of service_keys.
 */
extern const struct config_key eventlog_keys[];

struct eventlog_options {
	struct loop *loop;
	struct bus *bus;
	struct store_pool *writers; /* groups of lane l go through store_pool_lane(l) */
	struct store *control; /* members, leases, heads, configuration revision */
	struct metrics *metrics;
	const struct config *config;
	const char *kind; /* "routing" */
	/* the configuration's revision moved (and once at start); from the loop */
	void (*on_config)(void *ctx, int64_t revision);
	void *ctx;
};

int eventlog_new(struct eventlog **ret, const struct eventlog_options *o) _must_check_;
void eventlog_free(struct eventlog *log);
DEFINE_CLEANUP(struct eventlog *, eventlog_free)
/* where others reach this process's service socket; goes to member. Before eventlog_start() */
void eventlog_set_service_endpoint(struct eventlog *log, const char *endpoint);
int eventlog_start(struct eventlog *log) _must_check_; /* after all consumers were added */
/* stops taking, lets groups in flight end, releases leases and the member row */
void eventlog_drain(struct eventlog *log);
bool eventlog_drained(const struct eventlog *log);
bool eventlog_ready(const struct eventlog *log); /* registered, first lease round done */
/*
 * A newer process of the same name has taken over: the lanes were given up and the loop was
 * stopped; leave with failure.
 */
bool eventlog_superseded(const struct eventlog *log);
int eventlog_lanes(const struct eventlog *log); /* how many there are; 0 until known */
/*
 * The service endpoint of the living member that holds a lane of a consumer, as of the last lease
 * round; "" if nobody does. Borrowed until the next turn of the loop.
 */
const char *eventlog_holder(const struct eventlog *log, const char *consumer, unsigned lane);
int64_t eventlog_head(const struct eventlog *log, unsigned lane); /* newest seq known */

struct consumer_ops {
	const char *name; /* "routing"; a row of progress and lease */
	/*
	 * Reads the log (true) or is a chain beside it, whose groups come from kicks alone
	 * (notification.send, dispatch.department).
	 */
	bool log;
	uint64_t types; /* bit 1 << EventType: the events to be handed over; others just pass */
	size_t batch_max; /* events; 0: 256 */
	/*
	 * Events wait so long for company, or until batch_max of them are there: for consumers that
	 * nobody waits for, since a group costs much and a further event in it little. 0: none wait.
	 */
	unsigned linger_ms;
	/*
	 * A hint, as soon as an event of types comes over the wire, whether the lane is ours or not;
	 * what was not heard, or is heard twice, must do no harm. Don't call eventlog's functions.
	 * May be NULL.
	 */
	void (*heard)(void *ctx, const struct event *e);
	/*
	 * The lane became ours. Load what is kept in memory, then consumer_loaded(). NULL: nothing
	 * to load. Nothing is taken before.
	 */
	void (*held)(void *ctx, struct consumer *c, unsigned lane, int64_t epoch);
	void (*lost)(void *ctx, struct consumer *c, unsigned lane); /* forget it; may be NULL */
	/*
	 * The lane is to be given back, for another member's share or at a drain: is all of its work
	 * that has begun stored? Begin none after it was asked. Asked again, at the latest after
	 * 100 ms, while false. NULL: always. What another has taken is lost without being asked.
	 */
	bool (*may_leave)(void *ctx, struct consumer *c, unsigned lane);
	/*
	 * Decide. Events are in order; n = 0 after a kick. Must end, now or later from the loop,
	 * in exactly one of batch_commit(), batch_retry(). May be called again with the same or
	 * with fewer events (conflict, a lost connection, a bad event that is being searched), so
	 * nothing of the consumer's own state may change before committed().
	 */
	void (*take)(void *ctx, struct batch *b);
	/* the group is durable; results are those of the statements that take() added */
	void (*committed)(void *ctx, struct batch *b, const struct answer *answer, size_t first_result);
};

/* ops is copied; its name must outlive log */
int eventlog_consumer(struct eventlog *log, const struct consumer_ops *ops, void *ctx,
		      struct consumer **ret) _must_check_;
void consumer_loaded(struct consumer *c, unsigned lane);
/* a chain or a log consumer has something to commit on this lane; joins the next group */
void consumer_kick(struct consumer *c, unsigned lane);
bool consumer_holds(const struct consumer *c, unsigned lane);
int64_t consumer_epoch(const struct consumer *c, unsigned lane);

/* ---- inside take() ------------------------------------------------------------------------- */

unsigned batch_lane(const struct batch *b);
int batch_generation(const struct batch *b);
int64_t batch_epoch(const struct batch *b);
size_t batch_count(const struct batch *b);
const struct event *batch_event(const struct batch *b, size_t i);
bool batch_alone(const struct batch *b); /* a parked event that is replayed: not the newest of its key */

/*
 * A read on the lane's own connection before deciding. On STORE_OK fn is called and goes on;
 * otherwise the batch is taken back (retried later by the loop) and fn is not called.
 */
int batch_read(struct batch *b, struct store_group *g,
	       void (*fn)(void *ctx, struct batch *b, const struct answer *answer), void *ctx) _must_check_;
struct store *batch_store(const struct batch *b);
/* the open group, event_step already in it; add statements (rows by key, sorted) */
struct store_group *batch_group(struct batch *b);
/* an event to append; copied; lane is e->lane (several lanes may occur); seq, at are ignored */
void batch_append(struct batch *b, const struct event *e);
/* what the consumer decided, kept until the batch ends, then freed by free_fn */
void batch_set_user(struct batch *b, void *user, void (*free_fn)(void *));
void *batch_user(const struct batch *b);

void batch_commit(struct batch *b);
/* can't decide now (no ids left, configuration not loaded): take it again after a while */
void batch_retry(struct batch *b, unsigned after_ms);
/* a batch of one can't be decided, ever: park it with this reason (a bug-free data error) */
void batch_park(struct batch *b, const char *detail);

/* inside committed(): seq of the i-th appended event, in order of batch_append() */
int64_t batch_appended_seq(const struct batch *b, size_t i);

/* ---- for intake, whose group appends inside its own function -------------------------------- */

/*
 * Publishes what a judged commit stored: n events of one lane, dense from first_seq; also hands
 * them to this process's own consumers.
 */
void eventlog_publish(struct eventlog *log, unsigned lane, int generation, int64_t first_seq,
		      const struct event *events, size_t n);
