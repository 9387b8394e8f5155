#pragma once
/*
 * core_queue - the submissions of one lane that wait, town by town in turn
 *
 * A town that sends a flood waits behind itself: each turn takes one of each town that has any.
 * Pure.
 */
#include "services/intake/core_entry.h"

struct queue;

int queue_new(struct queue **ret) _must_check_;
void queue_free(struct queue *q); /* must be empty */
DEFINE_CLEANUP(struct queue *, queue_free)

int queue_add(struct queue *q, struct entry *e) _must_check_; /* -ENOMEM; e is then still the caller's */
size_t queue_length(const struct queue *q);
/*
 * Takes up to max entries of one kind (surveys have a group of their own), no key twice: what would
 * be the second waits at the head of its town. out is sorted by entry_compare().
 */
size_t queue_take(struct queue *q, struct entry **out, size_t max);
/* entries that can't be built now go back to their heads; can't fail */
void queue_return(struct queue *q, struct entry *e);
/* one that waits longer than until its give_up_ms, taken out; NULL: none */
struct entry *queue_expired(struct queue *q, uint64_t now_ms);
