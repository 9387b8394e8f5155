#pragma once
/*
 * internal - what the files of the event log share
 *
 * lane.c moves a lane of a consumer from state to state and is the only one that does; batch.c
 * builds its groups; parked.c sets events aside and plays them back; holder.c says which lanes are
 * ours; peers.c hears others, publish.c tells them; probe.c looks where nobody told, page.c reads it.
 */
#include <stdio.h>
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/eventlog/core.h"
#include "common/eventlog/eventlog.h"
#include "common/eventlog/run.h"
#include "common/eventlog/wire.h"

#define QUERY(id, text) QUERY_ENUM(id, text)
enum {
#include "common/eventlog/queries.def"
	EVENTLOG_QUERIES_N,
};
#undef QUERY

#define METRIC(id, kind, name, help, labels) id,
enum {
#include "common/eventlog/metrics.def"
	EVENTLOG_METRICS_N,
};
#undef METRIC

enum {
	NAME_MAX_BYTES = 128,
	ENDPOINT_BYTES = 256,
	CONFLICTS_MAX = 5, /* decided again at once; then with growing pauses */
	CONFLICTS_STOP = 40, /* then it is a bug */
	TURN_MS = 5, /* a lane under single_until asks so often whether it is its turn */
	TRIES_MAX = 4, /* of one event under single_until, and of a replay: then it is parked */
	BATCH_DEFAULT = 256,
	SCAN_FACTOR = 16, /* a batch looks at up to so many times its size */
	REACH_FACTOR = 4, /* and rarely beyond so many: there a poison event is looked for */
	DETAIL_BYTES = 128,
};

struct settings {
	int64_t alive_ms, prune_after_ms;
	unsigned renew_ms, probe_ms, gap_ms, gather_ms, skip_ms, retry_max_ms, stopped_ms;
	size_t queue_events, queue_bytes, parked_max;
	int32_t page_events, prune_rows;
};

/* ---- a batch ------------------------------------------------------------------------------ */

enum batch_state {
	BATCH_NONE,
	BATCH_DECIDING, /* the consumer has it */
	BATCH_READING, /* the consumer waits for batch_read() */
	BATCH_SENT,
};

struct batch {
	struct lane *lane;
	enum batch_state state;
	int64_t seq; /* where its step stands */
	struct event *events; /* for the consumer; contents belong to runs */
	size_t n, cap;
	struct event *behind; /* of keys that are parked: parked, too */
	size_t n_behind, cap_behind;
	struct run **runs;
	size_t n_runs, cap_runs;
	bool kicked;
	bool taken; /* take() was called: committed() is due */
	bool replay; /* events[0] is a parked one; seq doesn't move */
	bool parking; /* events[0] is being set aside */
	bool broken; /* no memory for an appended event */
	struct store_group *group; /* until it is sent */
	struct event *out; /* appended; contents belong to chunks */
	size_t n_out, cap_out;
	struct chunk *chunks;
	size_t append_index, unpark_index; /* of results; 0: none */
	uint64_t sent_us;
	void *user;
	void (*free_user)(void *);
	void (*read_fn)(void *ctx, struct batch *b, const struct answer *answer);
	void *read_ctx;
};

/* ---- a lane of a consumer ----------------------------------------------------------------- */

enum lane_state {
	LANE_FREE, /* not ours */
	LANE_OPENING, /* step, seq, lease and parked keys are being read */
	LANE_LOADING, /* until consumer_loaded() */
	LANE_IDLE, /* looked at when woken */
	LANE_READING, /* the table, or a count of tries being written */
	LANE_DECIDING, /* take() was called */
	LANE_COMMITTING,
	LANE_PAUSED, /* until the timer: the store is away, the consumer asked for it, or stopped */
	LANE_RELEASING, /* nothing runs any more; the lease is being given back */
	LANE_STATES,
};

struct lane {
	struct list ready; /* in log->ready: idle and woken */
	struct consumer *consumer;
	unsigned index;
	enum lane_state state;
	bool leave; /* give it back as soon as nothing is in flight */
	bool gone; /* another has it */
	bool loaded; /* held() was called: lost() is due */
	bool reopen; /* what we know may be wrong: read it again before anything else */
	bool replay; /* a parked event may be wished back */
	bool replayed; /* the last group was a replay */
	bool kicked;
	bool kick_first; /* a bad statement may be the kick's: it goes alone */
	bool catching_up; /* waiting for the wire is no use */
	bool late; /* it was opened: what is there has waited already, and doesn't linger */
	bool stopped; /* until the next good group */
	int64_t epoch;
	int64_t step, seq; /* the newest step */
	int64_t seen; /* newest passed in memory; >= seq */
	int64_t single_until, unclean, tries, tried;
	int64_t replay_tried; /* tried, replay_tried: seq that this process has counted */
	unsigned attempts; /* failures in a row */
	unsigned conflicts; /* in a row */
	uint64_t gap_until_ms, skip_at_ms, linger_until_ms; /* 0: none */
	uint64_t opened_ms, confirmed_ms; /* when the lease was asked for, was last known to be ours */
	int64_t read_head; /* head when the page was asked for */
	unsigned session; /* of the connection when the lane was opened; what was read later is of it */
	struct search search;
	struct keys parked;
	struct feed feed;
	struct batch batch;
	struct loop_timer *timer; /* gap, skip, linger, pause */
	int64_t lease_epoch; /* as of the last round; so are standing and holder */
	enum standing standing;
	int holder; /* index of members, -1: nobody that lives */
	bool release_sent;
	struct series *lag, *parked_keys, *stopped_gauge, *held_gauge, *queue;
};

struct consumer {
	struct list link;
	struct eventlog *log;
	const struct consumer_ops *ops; /* copy */
	struct consumer_ops copy;
	void *ctx;
	size_t batch_max;
	struct lane lanes[LANE_MAX];
	struct series *batch_events, *group_seconds, *reads, *read_events;
};

/* ---- the whole ---------------------------------------------------------------------------- */

struct log_lane { /* what is known of a lane itself */
	struct line line;
	int64_t head;
	struct loop_timer *repeat; /* of the head, after traffic stopped */
	unsigned repeats;
	struct feed soon; /* committed here, not told under "soon/" yet */
	int32_t soon_generation;
	struct loop_timer *soon_timer;
	struct eventlog *log;
	unsigned index;
};

struct member {
	char name[NAME_MAX_BYTES];
	int64_t boot;
	bool alive, ours; /* ours: of our kind */
	char endpoint[ENDPOINT_BYTES], service_endpoint[ENDPOINT_BYTES];
};

enum holder_state {
	HOLDER_OFF,
	HOLDER_JOINING, /* not registered yet */
	HOLDER_JOINED,
	HOLDER_LEFT, /* drained: lanes and the member row are given back */
	HOLDER_SUPERSEDED,
};

struct eventlog {
	struct loop *loop;
	struct bus *bus;
	struct store_pool *writers;
	struct store *control;
	struct metrics *metrics;
	int metric; /* first of ours */
	char kind[NAME_MAX_BYTES], name[NAME_MAX_BYTES];
	char endpoint[ENDPOINT_BYTES], service_endpoint[ENDPOINT_BYTES];
	int64_t boot;
	struct settings set;
	void (*on_config)(void *ctx, int64_t revision);
	void *ctx;
	int64_t revision;

	struct list consumers, calls, ready;
	size_t n_consumers;
	struct loop_timer *turn;
	unsigned n_lanes;
	struct log_lane lanes[LANE_MAX];
	uint64_t wanted; /* types of any log consumer */

	enum holder_state holder;
	bool draining, round_in_flight, release_in_flight, round_done, more_rounds;
	struct loop_timer *round_timer;
	uint64_t round_ms, renewed_ms; /* when the round, the last good one, was sent */
	uint64_t round_due_ms; /* from then on a probe takes the next round along */
	bool round_probes; /* the round to come, or in flight, reads the heads, too */
	struct member *members;
	size_t n_members;
	char (*peers)[ENDPOINT_BYTES]; /* connected */
	size_t n_peers;

	bool soon; /* all consumers linger: frames come gathered */
	struct lane *suspect; /* whose one event is in flight under single_until; NULL: nobody's turn */

	struct loop_timer *probe_timer;
	bool probe_in_flight, wishes_asked;
	unsigned probe_wait_ms; /* while the store isn't there at the start */
	uint64_t probed_ms;
	size_t prune_next;
	bool prune_asked; /* by the probe in flight: its last statement */

	struct bus_sock *pub, *sub;
	struct wire *wire;
	struct event *scratch; /* of publish and pages */
	size_t scratch_cap;
	struct column *columns[9]; /* of event_append(), emptied by each use */
	struct column *seqs; /* INT8 */
};

static inline const struct query *query(int id)
{
	return &eventlog_queries.queries[id];
}
#define log_series(log, id, ...) metrics_series((log)->metrics, (log)->metric + (id), ##__VA_ARGS__)

/*
 * As store_submit(), but fn is not called when the log was freed meanwhile. On failure the group
 * is freed.
 */
int log_submit(struct eventlog *log, struct store_group *g, store_fn fn, void *ctx) _must_check_;
/* the same, but on failure the group stays the caller's */
int log_try_submit(struct eventlog *log, struct store_group *g, store_fn fn, void *ctx) _must_check_;
/* n elements of scratch, or NULL */
struct event *log_scratch(struct eventlog *log, size_t n);
uint32_t log_random(struct eventlog *log);

#define for_each_consumer(c, log)                                                    \
	for (struct consumer *c = list_entry((log)->consumers.next, struct consumer, link); \
	     &c->link != &(log)->consumers; c = list_entry(c->link.next, struct consumer, link))
#define for_each_lane(l, c)                                                          \
	for (struct lane *l = (c)->lanes; l < (c)->lanes + (c)->log->n_lanes; l++)

/* ---- lane.c */
int lane_init(struct lane *l, struct consumer *c, unsigned index) _must_check_;
void lane_fini(struct lane *l);
struct store *lane_store(const struct lane *l);
struct log_lane *lane_info(const struct lane *l);
void lane_take_over(struct lane *l, int64_t epoch); /* the lease is ours */
void lane_give_back(struct lane *l); /* as soon as it may be: LANE_RELEASING */
void lane_released(struct lane *l);
void lane_gone(struct lane *l); /* the lease is another's */
void lane_wake(struct lane *l);
void lane_offer(struct lane *l, struct run *r); /* events of the wire, or of this process */
void consumer_hear(const struct consumer *c, const struct event *events, size_t n);
void lane_line_changed(struct lane *l); /* generation, after, base */
void lane_turn(void *log); /* all that were woken */
void lane_pause(struct lane *l, unsigned ms, bool reopen);
void lane_back_off(struct lane *l, bool reopen); /* longer after each failure in a row */
void lane_stop(struct lane *l, const char *why, const char *detail);
/* the lane's batch, or a read for it, ended in that verdict: what next */
void lane_failed(struct lane *l, const struct answer *a);
void lane_bad_event(struct lane *l, const char *detail); /* somewhere in the batch */
void lane_retry(struct lane *l, int r); /* r: a submit failed; the batch is taken again later */
void lane_moved(struct lane *l); /* the batch is committed */
void lane_idle(struct lane *l);
void lane_loaded(struct lane *l);
bool lane_session_over(const struct lane *l); /* its connection was made anew since it was opened */
static inline bool lane_works(const struct lane *l)
{
	return l->state != LANE_FREE && l->state != LANE_RELEASING;
}
/* until progress passes single_until, one event is in flight (reliability R13) */
bool lane_single(const struct lane *l);

/* ---- page.c */
void lane_read_page(struct lane *l); /* LANE_READING, then LANE_IDLE */

/* ---- batch.c */
/* 0; > 0: nothing to decide (all were skipped); -ENOMEM */
enum { BATCH_E_EMPTY = 1 };
int batch_fill(struct lane *l, size_t max) _must_check_;
int batch_begin(struct batch *b) _must_check_; /* opens the group with its step; forgets decisions */
void batch_decide(struct batch *b); /* calls take() */
void batch_send(struct batch *b);
void batch_end(struct batch *b); /* forgets all */
int batch_hold_run(struct batch *b, struct run *r) _must_check_;
int batch_add_event(struct batch *b, const struct event *e) _must_check_;
void batch_fini(struct batch *b);
int read_event_row(const struct rows *r, size_t row, unsigned lane, struct event *ret) _must_check_;

/* ---- parked.c */
void parked_add_rows(struct batch *b, const struct event *events, size_t n, const char *cause,
		     const char *detail);
/* the one event of the lane's batch can't be decided: sets it aside in a group of its own */
void parked_set_aside(struct lane *l, const char *cause, const char *detail);
void parked_replay(struct lane *l); /* reads the next that is wished back */
void parked_finish_replay(struct batch *b); /* adds the statements that end a replay */
void parked_committed(struct batch *b, const struct answer *a);
/*
 * Counts the event in flight, then decides; waits while another lane of this process has its turn,
 * or a death would be counted against what did not cause it.
 */
void lane_try_single(struct lane *l);
void lane_turn_over(struct lane *l); /* it moved, stopped or is read again: the next may try */

/* ---- holder.c */
int holder_start(struct eventlog *log) _must_check_;
void holder_round_soon(struct eventlog *log);
/* True: a round was due, and reads the heads in the same group. */
bool holder_round_probes(struct eventlog *log);
void holder_release(struct eventlog *log); /* lanes in LANE_RELEASING */
bool holder_fresh(const struct eventlog *log, const struct lane *l);
void holder_fini(struct eventlog *log);

/* ---- peers.c */
int peers_new(struct eventlog *log) _must_check_;
int peers_listen(struct eventlog *log) _must_check_; /* when all consumers are known */
void peers_update(struct eventlog *log); /* connects to all living members */
void peers_fini(struct eventlog *log);

/* ---- publish.c */
void publish_head_again(void *log_lane);
void publish_frame(struct eventlog *log, enum wire_kind kind, unsigned n, struct bytes frame,
		   const char *what);

/* ---- soon.c */
void soon_add(struct log_lane *info, int32_t generation, const struct event *events, size_t n);
void soon_send(void *log_lane); /* what is gathered of a lane */
void publish_appended(struct batch *b, const struct answer *a);

/* ---- probe.c */
int probe_start(struct eventlog *log) _must_check_;
void probe_soon(struct eventlog *log);
/* its statements at the end of another group, and their results; not while one is in flight */
void probe_add(struct eventlog *log, struct store_group *g);
void probe_read(struct eventlog *log, const struct answer *a, size_t first);
void probe_fini(struct eventlog *log);
/* seq was seen on a lane: of the wire (a hint) or of a commit */
void head_seen(struct eventlog *log, unsigned lane, int64_t seq);
