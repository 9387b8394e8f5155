#pragma once
/*
 * numbers - work item ids of each lane, from blocks of the sequence entity_number
 *
 * Every lane has two blocks of its own and asks for the next while one is in use, so that a group
 * hardly ever waits. Numbers are taken when a group is decided; those of a group that was refused
 * are lost, which leaves gaps and nothing else.
 */
#include "common/base/base.h"
#include "common/store/store.h"

struct numbers;

int numbers_new(struct numbers **ret, struct store *control) _must_check_;
void numbers_free(struct numbers *n); /* also with questions under way */
DEFINE_CLEANUP(struct numbers *, numbers_free)

/* how many ids the lane has; asks the store for more where a block is missing */
size_t numbers_left(struct numbers *n, unsigned lane);
/* 0: none left */
int64_t numbers_take(struct numbers *n, unsigned lane);
