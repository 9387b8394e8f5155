#pragma once
/*
 * core_outbox - the messages of one lane that still have to leave, as the holder remembers them
 *
 * Pure memory: what is due when, what is being stored, what flies, what ended and waits to be
 * stored. The store has the truth; all of it can be read again. Times are monotonic milliseconds.
 */
#include "common/base/base.h"
#include "common/base/list.h"
#include "common/base/trace.h"
#include "centraleta/v1/event.pb-c.h"

struct out_key {
	int64_t cause_seq;
	int32_t kind; /* MessageKind */
};

enum out_state {
	OUT_WAITING, /* for its time; in the heap */
	OUT_PICKED, /* in a group that stores `sending` */
	OUT_FLYING, /* handed to the transport */
	OUT_ENDED, /* its attempt's end waits to be stored; in the list of ended ones */
	OUT_STORING, /* in a group that stores the end */
};

struct out {
	struct out_key key; /* first member */
	enum out_state state;
	int32_t jurisdiction;
	int64_t request;
	int64_t created_us;
	struct trace trace;
	int32_t attempt; /* the newest that began; 0: none yet */
	bool unsure; /* a group with it ended without an answer: read its attempts first */
	bool at_once; /* the attempt that ended failed through nobody's fault */
	Centraleta__V1__AttemptState end; /* of OUT_ENDED and OUT_STORING */
	char detail[64]; /* of that end; never an address */
	uint64_t due_ms;
	size_t heap_at;
	struct list link;
	struct out *sibling; /* another message of the same request */
};

struct outbox;

int outbox_new(struct outbox **ret) _must_check_;
void outbox_free(struct outbox *o);
DEFINE_CLEANUP(struct outbox *, outbox_free)
size_t outbox_count(const struct outbox *o);
/* due_ms of the first that waits; UINT64_MAX: none does */
uint64_t outbox_next_ms(const struct outbox *o);
bool outbox_has_ended(const struct outbox *o);
int64_t outbox_oldest(const struct outbox *o); /* the least cause_seq; INT64_MAX: it is empty. Looks at all */
size_t outbox_under_way(const struct outbox *o); /* those that don't wait */

struct out *outbox_find(const struct outbox *o, struct out_key key);
/* a copy of *like is kept and waits until like->due_ms; -EEXIST: it is there already */
int outbox_add(struct outbox *o, const struct out *like, struct out **ret) _must_check_;
void outbox_remove(struct outbox *o, struct out *out);

/* each moves it out of whatever state it is in */
void outbox_wait(struct outbox *o, struct out *out, uint64_t due_ms);
void outbox_fly(struct outbox *o, struct out *out);
void outbox_end(struct outbox *o, struct out *out, Centraleta__V1__AttemptState end, const char *detail);
/*
 * The first that is due, now OUT_PICKED; NULL: none is. A message waits while an older one of the
 * same request is not done with: nobody reads of the end before the beginning.
 */
struct out *outbox_pick(struct outbox *o, uint64_t now_ms);
/* the first that ended, now OUT_STORING; NULL: none has */
struct out *outbox_store(struct outbox *o);
