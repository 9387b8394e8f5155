#pragma once
/*
 * run - events of one lane in memory: runs (dense, immutable, shared), and the bounded queue of
 * runs that a consumer has not taken yet
 */
#include "common/eventlog/core.h"
#include "common/eventlog/eventlog.h"

struct run { /* one allocation */
	unsigned refs;
	size_t n, bytes;
	struct event events[]; /* ascending seq */
};

/* Copies; bodies and actors only of types in the mask (1 << type). n > 0 */
int run_new(struct run **ret, const struct event *events, size_t n, uint64_t types) _must_check_;
struct run *run_ref(struct run *r);
void run_unref(struct run *r);
DEFINE_CLEANUP(struct run *, run_unref)

static inline bool type_wanted(uint64_t types, int16_t type)
{
	return type > 0 && type < 64 && types >> type & 1;
}

struct feed { /* sorted by first seq; runs may overlap and may leave gaps */
	struct run **runs;
	size_t head, n, cap; /* runs[head … head + n) */
	size_t events, bytes;
};
enum { FEED_E_FULL = 1 };

/* takes a reference; FEED_E_FULL: beyond the limits, nothing was added; 0 as limit: none */
int feed_add(struct feed *f, struct run *r, size_t events_max, size_t bytes_max) _must_check_;
void feed_drop(struct feed *f, int64_t seq); /* forgets what lies wholly at or before seq */
void feed_fini(struct feed *f); /* empties */

struct feed_cursor { /* walks the dense events behind last; valid until the feed changes */
	const struct feed *feed;
	const struct line *line;
	int64_t last;
	size_t run, event;
};
void feed_start(struct feed_cursor *c, const struct feed *f, const struct line *line, int64_t last);
/* NULL: a gap or the end; *ret_run owns the event */
const struct event *feed_next(struct feed_cursor *c, struct run **ret_run);
