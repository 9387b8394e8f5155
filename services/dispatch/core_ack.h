#pragma once
/*
 * core_ack - which deliveries a consumer name has acknowledged: a low-water mark and the ranges
 * above it, merged
 *
 * Acknowledgements come in any order. Ranges are sorted, apart from each other and from the mark;
 * their number is bounded by what is sent and not acknowledged, since every gap holds such a
 * number. Pure.
 */
#include "common/base/base.h"

struct ack_range {
	int64_t first, last;
};

struct ack_set {
	int64_t low; /* all up to here is acknowledged */
	struct ack_range *ranges; /* owned */
	size_t n, cap;
};

void ack_set_fini(struct ack_set *s); /* also right for a zeroed one; leaves it zeroed */
/* 1 <= first <= last; what is covered already changes nothing. 0; -ENOMEM, nothing changed */
int ack_set_add(struct ack_set *s, int64_t first, int64_t last) _must_check_;
int ack_set_copy(const struct ack_set *s, struct ack_set *ret) _must_check_;
bool ack_set_has(const struct ack_set *s, int64_t dseq);
/* the highest that is acknowledged */
int64_t ack_set_max(const struct ack_set *s);
