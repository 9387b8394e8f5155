#pragma once
/*
 * core_update - what a department's updates change: pure decisions over what was read
 *
 * The caller reads the work items that the updates name, their requests with the newest
 * key_version, all other work items of those requests, and the update_ids that are stored. It
 * decides a whole batch in order, so a later update sees what an earlier one did. Every change is
 * a compare-and-set by key_version: when somebody was faster the group ends in a conflict, and the
 * caller reads and decides again.
 *
 * Ids of work items and requests are unique over all lanes and name their lane (common/base/ids).
 */
#include "common/base/base.h"
#include "common/base/trace.h"
#include "centraleta/v1/dispatch.pb-c.h"
#include "services/dispatch/core_frame.h"

#define UPDATE_HASH 16

/* who says an update */
struct speaker {
	int32_t jurisdiction, department;
	bool triage; /* the department is its town's triage department */
	int32_t *services; /* whose work items its key may change; NULL: all */
	size_t n_services;
};

struct update {
	int32_t jurisdiction, department;
	bool triage;
	int16_t lane; /* of the work item */
	int64_t work_item;
	int64_t occurred_at_us;
	Centraleta__V1__UpdateKind kind;
	Centraleta__V1__Outcome outcome;
	Centraleta__V1__RefuseReason reason;
	uint8_t hash[UPDATE_HASH]; /* of what was said; an occurred_at of 0 as 0 */
	char id[NAME_MAX_CHARS + 1];
	const char *note; /* "" if none; it lies behind services */
	bool limited; /* to services */
	size_t n_services;
	int32_t services[];
};

/* of a checked frame; by is copied. NULL: out of memory; free() */
struct update *update_of_frame(const Centraleta__V1__Update *f, const struct speaker *by, int64_t now_us);

/* the state that an update of this kind leads to; UNSPECIFIED: a note, it changes none */
Centraleta__V1__WorkState update_target(Centraleta__V1__UpdateKind kind);

struct item_now {
	int64_t work_item;
	int32_t jurisdiction, department, service;
	Centraleta__V1__WorkState state;
	Centraleta__V1__Outcome outcome;
	int32_t key_version; /* of its newest event; 0: none */
	int64_t updated_at_us; /* who was closed last says a request's outcome */
	bool changed; /* by update_decide() */
};

struct request_now {
	int64_t request;
	int32_t jurisdiction;
	int32_t key_version;
	struct trace trace;
};

struct link {
	int64_t from, to;
};

/* what was read; grows by update_view_…(), is ready after update_view_seal() */
struct update_view {
	struct item_now *items; /* by work_item */
	struct request_now *requests; /* by request */
	struct link *of_item; /* work_item to its requests */
	struct link *of_request; /* request to its work_items */
	struct {
		size_t update; /* index */
		uint8_t hash[UPDATE_HASH];
	} *seen; /* update_ids that are stored, by index */
	size_t n_items, n_requests, n_of_item, n_of_request, n_seen;
	int err; /* first failure: -ENOMEM */
};

void update_view_fini(struct update_view *v);
void update_view_request(struct update_view *v, int64_t work_item, const struct request_now *r);
void update_view_item(struct update_view *v, int64_t request, const struct item_now *i);
/* ascending by update */
void update_view_seen(struct update_view *v, size_t update, const void *hash);
int update_view_seal(struct update_view *v) _must_check_;

/* an event to be appended, in this order */
struct change {
	const struct update *update;
	bool of_request;
	int64_t key; /* request or work item */
	int32_t jurisdiction;
	int32_t key_version;
	Centraleta__V1__EventType type;
	struct trace trace;
	union {
		Centraleta__V1__RequestState request;
		Centraleta__V1__WorkState work;
	} state;
	Centraleta__V1__Outcome outcome;
};

struct decision {
	bool taken; /* new or a repeat: stored, then answered with UpdateStored */
	bool store; /* a row of update_text is written or its hits are raised (one an id) */
	bool repeat;
	struct refusal refusal; /* unless taken */
};

struct update_plan {
	struct decision *decisions; /* one an update */
	struct change *changes;
	size_t n_changes;
};
void update_plan_fini(struct update_plan *p);

/* v->items holds the states afterwards; those with changed set are to be written */
int update_decide(struct update_view *v, const struct update *const *updates, size_t n,
		  int64_t now_us, struct update_plan *ret) _must_check_;
