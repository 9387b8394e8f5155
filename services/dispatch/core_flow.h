#pragma once
/*
 * core_flow - what may be sent to a consumer name now: credit, what is out, what is overdue
 *
 * A delivery that is new to the connection uses one credit. At most `limit` are out (sent and not
 * acknowledged); sending one of them again uses no credit, so that a frame that was lost on the way
 * doesn't eat the client's credit for ever. Pure; time is passed in.
 */
#include "common/base/base.h"
#include "services/dispatch/core_ack.h"

struct flow_out {
	int64_t dseq;
	uint64_t due_ms; /* monotonic: then it is sent again */
};

struct flow {
	int64_t cursor; /* all up to here was looked at on this connection */
	int64_t sent_max; /* the highest ever sent under this name, as far as this process knows */
	int64_t replay_to; /* up to here acknowledged ones are sent too */
	int credit;
	struct flow_out *out; /* owned; ordered by due_ms */
	size_t n, limit;
};

int flow_init(struct flow *f, size_t limit) _must_check_;
void flow_fini(struct flow *f);
/* a new connection: everything behind the mark that isn't acknowledged comes (again) */
void flow_restart(struct flow *f, const struct ack_set *acked);
void flow_credit(struct flow *f, int more); /* more >= 0; capped at limit */
void flow_replay(struct flow *f, int64_t from);

/* how many may be sent now */
int flow_room(const struct flow *f);
static inline bool flow_open(const struct flow *f)
{
	return flow_room(f) > 0;
}

enum flow_step {
	FLOW_SEND,
	FLOW_SKIP, /* acknowledged before, or looked at before */
	FLOW_STOP, /* no credit, or too many are out */
};
enum flow_step flow_next(const struct flow *f, const struct ack_set *acked, int64_t dseq);
/* dseq was sent; true: not for the first time */
bool flow_sent(struct flow *f, const struct ack_set *acked, int64_t dseq, uint64_t due_ms);
void flow_skipped(struct flow *f, int64_t dseq);

/* forgets what is acknowledged meanwhile */
void flow_settle(struct flow *f, const struct ack_set *acked);
/* up to n numbers whose time has come, ascending; returned count */
size_t flow_overdue(const struct flow *f, uint64_t now_ms, int64_t *ret, size_t n);
/* is it out and overdue? */
bool flow_is_overdue(const struct flow *f, int64_t dseq, uint64_t now_ms);
