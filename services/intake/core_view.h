#pragma once
/*
 * core_view - events of other daemons turned into changes of request_public
 *
 * Changes of one request in a batch are merged into one row; what an event doesn't say stays as it
 * was. Pure.
 */
#include "common/base/base.h"

/* bit 1 << EventType of what the public view follows */
uint64_t view_types(void);

struct view_change {
	int64_t request;
	int state, outcome; /* both always set: every followed event changes the state */
	int64_t updated_at_us; /* of a closed request the moment of closing (G76) */
	int32_t department; /* 0: stays */
	int64_t expected_at_us; /* 0: stays */
};

struct view {
	struct view_change *changes;
	size_t n, max;
	uint32_t *slots; /* index + 1 into changes, open addressing; 0: free */
	size_t slots_n;
};

int view_init(struct view *v, size_t max) _must_check_;
void view_fini(struct view *v);
/* 0; -EBADMSG: the body isn't what its type says */
int view_add(struct view *v, int type, int64_t request, int64_t at_us, struct bytes body) _must_check_;
void view_sort(struct view *v); /* by request; the last call */
