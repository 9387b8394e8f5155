#pragma once
/*
 * ids - request and work item numbers, made by the daemons from blocks that the store hands out
 *
 * An id is number * 100 + lane: short decimal, unique over all lanes, requests and work items
 * alike. A request's id is its Open311 service_request_id.
 */
#include "common/base/base.h"

#define LANE_MAX 32 /* lanes are 0 … 31 */

static inline int64_t id_make(int64_t number, unsigned lane)
{
	return number * 100 + lane;
}
/* -1: no such lane can be */
static inline int id_lane(int64_t id)
{
	return id > 0 && id % 100 < LANE_MAX ? (int)(id % 100) : -1;
}

#define ID_BLOCK 256 /* INCREMENT of the sequence entity_number */

/* Two blocks at most: one in use, one spare; when the spare is missing, ask for another. */
struct id_block {
	int64_t next, end; /* end is not included */
	int64_t spare; /* first of the spare block; 0: none */
};

bool id_block_wants(const struct id_block *b); /* true: ask the store for nextval */
void id_block_give(struct id_block *b, int64_t nextval);
/* 0: exhausted until the next id_block_give() */
int64_t id_block_take(struct id_block *b);
size_t id_block_left(const struct id_block *b);
