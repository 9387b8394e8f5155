#pragma once
/*
 * core_entry - what waits for its group: one submission or survey answer, ready to be stored
 *
 * One block of memory holds the struct and all its strings. Ids are given when its first group is
 * built and stay: a group that is sent again holds the same ids. Pure.
 */
#include "common/base/base.h"
#include "common/base/list.h"
#include "common/base/trace.h"
#include "common/domain/code.h"
#include "services/intake/core_submission.h"

enum entry_kind { ENTRY_REQUEST, ENTRY_HISTORY, ENTRY_SURVEY };

enum entry_end {
	ENTRY_ACCEPTED, /* stored now, or already known by its key */
	ENTRY_CONFLICT, /* its key is known with another body */
	ENTRY_BUSY, /* not taken, or not settled in time */
	ENTRY_REFUSED, /* the store will never take it */
	ENTRY_ANSWERED_BEFORE, /* a survey's second answer */
};

enum busy_cause { BUSY_NONE, BUSY_STORE, BUSY_QUEUE, BUSY_DISK, BUSY_WINDOW, BUSY_DRAINING, BUSY_UNSURE,
		  BUSY_RATE };
const char *busy_name(enum busy_cause c); /* "store", also of BUSY_UNSURE */

struct entry;
struct entry_result {
	enum entry_end end;
	enum busy_cause cause;
	int64_t request;
	char code[CODE_LEN + 1]; /* the citizen's; where it was accepted */
	bool repeated; /* the key was known */
};
/* called exactly once; the entry is freed after it */
typedef void (*entry_fn)(void *ctx, const struct entry *e, const struct entry_result *r);

struct entry {
	struct list link;
	enum entry_kind kind;
	enum lang language;
	int32_t town, door, offer, owner;
	int channel, state, outcome;
	uint8_t lane, key_lane;
	bool has_place, has_contact;
	double place_lat, place_long;
	int64_t requested_at_us, deadline_us, updated_at_us, closed_at_us;
	struct trace trace;
	uint8_t body_hash[16], code_hash[16];
	char code[CODE_LEN + 1]; /* of turn 0; with request */
	int64_t request, work_item; /* 0: no id yet */
	int64_t closing_seq; /* of a survey's answer; text[FIELD_DESCRIPTION] is the comment */
	int score;
	uint64_t arrived_ms, give_up_ms; /* monotonic */
	entry_fn done;
	void *ctx;
	uint64_t number; /* the sender's, on the submit socket */
	const char *text[FIELD_N]; /* "" where not sent */
	const char *lists, *frees; /* JSON; NULL: none */
	const uint8_t *body; /* of the event; NULL of history until it has its work item */
	size_t body_len;
	char memory[];
};

/*
 * A submission that passed submission_check(). scratch is any buf, used and left empty. The lane
 * comes from the town's set, by the hash of (town, door, key); where no key was sent, unique (any
 * 16 random bytes) makes one. -EINVAL: the town has no lane.
 */
int entry_new(struct entry **ret, const struct submission *s, const struct checked *k,
	      const struct catalog *c, const struct offer *o, const struct door *d,
	      const uint8_t unique[static 16], const struct trace *trace,
	      struct buf *scratch) _must_check_;
struct survey_input {
	unsigned lane;
	int64_t request, closing_seq, at_us;
	int32_t town;
	enum lang language;
	int score;
	const char *comment; /* checked */
};
int entry_new_survey(struct entry **ret, const struct survey_input *in, const struct trace *trace,
		     struct buf *scratch) _must_check_;
/* gives history its work item and packs its event; of others 0 at once. -ENOMEM */
int entry_finish_history(struct entry *e, int64_t work_item) _must_check_;
void entry_free(struct entry *e);
DEFINE_CLEANUP(struct entry *, entry_free)

/* order of (key lane, town, door, key): what the group is sorted by; 0: the same key */
int entry_compare(const struct entry *a, const struct entry *b);
