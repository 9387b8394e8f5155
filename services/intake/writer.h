#pragma once
/*
 * writer - inside: what writer.c (lanes, verdicts) and writer_group.c (statements, results) share
 */
#include "services/intake/core_queue.h"
#include "services/intake/intake.h"

#define ACCEPT_COLUMNS 35 /* parameters of intake_accept() behind the lane */

struct group {
	struct list link; /* in its lane's waiting or flying; else alone */
	struct lane *lane; /* NULL: the writer is gone, only the answer is awaited */
	struct entry **entries; /* owned */
	size_t n;
	unsigned tries;
	bool unsure; /* a sending of it may have committed */
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
	struct loop_timer *sweep;
	struct column *columns[ACCEPT_COLUMNS];
	unsigned refs; /* one, and one for each answer that is awaited without a group */
};

/* answers once, counts; the entry stays */
void writer_answer(struct writer *w, struct entry *e, const struct entry_result *r);

/* writer_group.c: builds the group's one statement and queues it; as store_submit(), -ENOMEM */
int writer_send(struct group *g, store_fn fn) _must_check_;
/* the rows of a group that was committed: answers each, publishes what is new */
void writer_committed(struct group *g, const struct answer *a);
int writer_columns(struct writer *w) _must_check_;
