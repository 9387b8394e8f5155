#pragma once
/*
 * core - the decisions of the event log: (state, input, now) in, what to do out; no I/O
 */
#include "common/base/base.h"

/* ---- numbers of a lane -------------------------------------------------------------------- */

/* Dense, but for one jump: behind after, numbering goes on at base (a rewind; first 0 and 0). */
struct line {
	int32_t generation; /* 0: not known yet */
	int64_t after, base;
};
int64_t line_next(const struct line *l, int64_t last);

enum frame_use {
	FRAME_TAKE, /* its next event is ours */
	FRAME_AHEAD, /* something before it is missing: wait a few ms, then read */
	FRAME_STALE, /* all of it is known */
	FRAME_FOREIGN, /* another generation: void; look whether ours is still right */
};
/* n dense events from first; FRAME_TAKE may overlap what is known: the new part counts */
enum frame_use frame_use(const struct line *l, int64_t last, int32_t generation, int64_t first,
			 size_t n);

/* ---- what a lane does next ---------------------------------------------------------------- */

struct lane_view {
	bool log; /* a chain has no events, only kicks */
	bool kicked;
	bool replay; /* a parked event may be wished back */
	bool replayed; /* the last group was a replay: events have their turn */
	bool next_here; /* the next event is in memory */
	bool catching_up; /* waiting is no use: the wire is behind or ahead by much */
	int64_t seen; /* newest passed in memory */
	int64_t stored; /* seq of the newest step; <= seen */
	int64_t head; /* newest of the lane, as far as known */
	uint64_t gap_until_ms; /* 0: no gap seen yet */
	uint64_t skip_at_ms; /* 0: nothing was skipped since the newest step */
	uint64_t now_ms;
};
enum lane_action {
	DO_REST, /* until something is heard */
	DO_REPLAY,
	DO_TAKE, /* events, a kick, or both */
	DO_STORE_SKIP, /* a step for events that concern nobody here */
	DO_AWAIT, /* the gap may close by itself until gap_until_ms; 0: begin to wait */
	DO_READ,
};
enum lane_action lane_action(const struct lane_view *v);

/* ---- a bad event in a batch --------------------------------------------------------------- */

/* Finds it by halves: limit events at a time, until it is alone; 0: no search */
struct search {
	size_t limit;
	int64_t until; /* the bad event is not beyond */
};
void search_failed(struct search *s, size_t n, int64_t last);
void search_passed(struct search *s, int64_t last);

/* Sorted set of order keys with parked events. */
struct keys {
	int64_t *keys;
	size_t n, max;
};
enum { KEYS_E_FULL = 1 };
int keys_add(struct keys *k, int64_t key) _must_check_; /* 0 also if there; KEYS_E_FULL; -ENOMEM */
bool keys_has(const struct keys *k, int64_t key);
void keys_del(struct keys *k, int64_t key);
void keys_fini(struct keys *k); /* empties */

/* ---- shares ------------------------------------------------------------------------------- */

/* lanes of the member with that rank (0 …) among all; sums up to lanes */
size_t fair_share(size_t lanes, size_t members, size_t rank);

enum standing { LEASE_FREE, LEASE_MINE, LEASE_FORMER, LEASE_DEAD, LEASE_LIVING };
/* FORMER: held by an earlier process of my name. DEAD: its member is gone or another process now */

struct lease_plan {
	uint32_t take, release; /* bit 1 << lane */
};
struct lease_plan lease_plan(const enum standing *standing, size_t lanes, size_t share);

/* ---- waiting ------------------------------------------------------------------------------ */

/* doubles from 20 ms to cap_ms, jittered to 50 … 100 %; attempt counts from 0 */
unsigned backoff_ms(unsigned attempt, unsigned cap_ms, uint32_t random);
/* value ± 10 % */
unsigned jitter_ms(unsigned value_ms, uint32_t random);
