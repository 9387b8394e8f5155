#pragma once
/*
 * work - the events of one group and what was decided about each
 *
 * events -> work_decide() -> (refused requests are looked up) -> work_number() -> work_write()
 */
#include "common/eventlog/eventlog.h"
#include "services/routing/core.h"
#include "services/routing/numbers.h"

struct decision {
	struct event event; /* without its body and actor: outlives the batch's own */
	struct route route;
	int64_t work_item; /* of an imported request its own; else from numbers */
	int64_t refused_item; /* 0: none */
	int32_t turn; /* key_version of the event that gives the owner */
};

struct work {
	size_t n, refused, fresh; /* decisions; those that await a look-up; that need a number */
	const struct decision **sorted; /* by request and turn, once they are numbered; no memory of its own */
	struct decision decisions[];
};

enum { WORK_E_TOWN = 1, WORK_E_BODY };

/*
 * work_decide() - all but what refused requests were
 * @ret:	to be freed with free()
 *
 * Return: 0; WORK_E_TOWN: of a town that isn't known (yet); WORK_E_BODY: an event that can't be
 * read; -ENOMEM.
 */
int work_decide(struct work **ret, const struct towns *towns, const struct batch *b) _must_check_;
/* asks what refused work items were, one row for each */
void work_ask_refused(const struct work *w, unsigned lane, struct store_group *g);
/* the answer: 0; WORK_E_BODY: neither the work item nor the request is stored; WORK_E_TOWN */
int work_take_refused(struct work *w, const struct towns *towns, const struct rows *rows) _must_check_;
/* false: not enough numbers yet, nothing was taken */
bool work_number(struct work *w, struct numbers *numbers, unsigned lane) _must_check_;

struct work_columns; /* reused by every group */
int work_columns_new(struct work_columns **ret) _must_check_;
void work_columns_free(struct work_columns *c);
DEFINE_CLEANUP(struct work_columns *, work_columns_free)
/* routes, work items and their ties by key, deliveries, then the events */
void work_write(const struct work *w, struct work_columns *c, struct batch *b);
