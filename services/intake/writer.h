#pragma once
/*
 * writer - inside: what writer.c (lanes, verdicts) and writer_group.c (statements, results) share
 */
#include "services/intake/core_flush.h"
#include "services/intake/core_queue.h"
#include "services/intake/intake.h"

#define ACCEPT_COLUMNS 35 /* parameters of intake_accept() behind the lane */

struct outcome { /* what the store said of an entry; intake_accept() and intake_survey_answer() */
	bool kept; /* the key's first body, the closing's first answer, or a repetition of it */
	bool fresh; /* the event's seq is there */
	int32_t hits;
	unsigned lane, turn;
	int64_t request, seq, at_us;
};

struct group {
	struct list link; /* in its lane's waiting or flying, the writer's executed or covered; else alone */
	struct lane *lane; /* NULL: the writer is gone, only the answer is awaited */
	struct entry **entries; /* owned */
	size_t n;
	struct outcome *outcomes; /* of n, once it is executed */
	int generation; /* of the lane, where there are fresh ones */
	unsigned tries;
	bool unsure; /* a sending of it may have committed */
	bool early; /* committed without waiting for the flush: a barrier must follow */
	unsigned session; /* early: the barrier's, when it was sent */
	int64_t server; /* early: when the one that executed it was started */
	uint64_t sent_us;
	uint64_t give_up_ms; /* the first of its entries' */
};

struct lane {
	struct writer *writer;
	uint8_t number;
	struct queue *queue;
	struct list flying; /* sent, in this order; at most FLIGHTS_MAX */
	unsigned flights;
	struct list waiting; /* groups to be sent before the queue: again, or halves */
	struct loop_timer *timer;
};

struct writer {
	struct intake *in;
	struct lane *lanes[LANE_MAX]; /* made when first used */
	struct id_block ids;
	bool ids_flying;
	bool closing;
	size_t depth; /* entries that are not answered */
	size_t batch_max, queue_max;
	uint64_t answer_ms, wait_ms;
	double depth_max; /* how many may wait: more while waits are short, less when they were long */
	uint64_t less_ms; /* when it was last lowered */
	uint64_t committed_ms; /* when the newest group was, or the first after a silence came */
	struct list executed, covered; /* early groups: before a barrier, under the one that flies */
	bool barrier_flying;
	struct flush flush;
	uint64_t sample_ms; /* from then on a commit is measured again */
	const void *sampled; /* the group, or &covered: the barrier, whose commit is being measured */
	int64_t sampled_at_us; /* just before it; 0: not known */
	bool sampling; /* the answer is awaited */
	struct loop_timer *sweep;
	struct column *columns[ACCEPT_COLUMNS];
	unsigned refs; /* one, and one for each answer that is awaited without a group */
};

/* answers once, counts; the entry stays */
void writer_answer(struct writer *w, struct entry *e, const struct entry_result *r);

/* writer_group.c: builds the group's one statement and queues it; as store_submit(), -ENOMEM */
int writer_send(struct group *g, store_fn fn) _must_check_;
/* keeps what the store said of each; the rows are gone when this callback returns */
void writer_read(struct group *g, const struct answer *a);
/* the group is durable: answers each, publishes what is new */
void writer_committed(struct group *g);
int writer_columns(struct writer *w) _must_check_;

/* writer.c: the flush of an early group is over; sure: it is durable */
void writer_flushed(struct group *g, bool sure);
void writer_unref(struct writer *w);

/* writer_barrier.c */
bool barrier_there(const struct writer *w); /* flushes are slow here, and a barrier could follow */
void barrier_join(struct group *g); /* one that is executed; writer_flushed() comes now or later */

/* writer_sample.c: once in a while, measures the commit of what was queued on this connection last */
void writer_sample(struct writer *w, struct store *store, const void *of);
