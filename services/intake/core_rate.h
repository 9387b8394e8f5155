#pragma once
/*
 * core_rate - so many a second, and no more: a bucket that fills with time
 *
 * A tenth of a second's worth may come at once, so that a batch of a sender isn't cut. Pure.
 */
#include "common/base/base.h"

struct rate {
	double a_second; /* 0: no limit */
	double left; /* may come now */
	uint64_t at_us; /* monotonic: when left was true */
};

static inline double rate_burst(const struct rate *r)
{
	return MAX(r->a_second / 10, 1.0);
}

/* true: one more may come, and is counted */
static inline bool rate_take(struct rate *r, uint64_t now_us)
{
	if (r->a_second <= 0)
		return true;
	if (now_us > r->at_us) {
		double more = (double)(now_us - r->at_us) * r->a_second / 1e6;

		r->left = MIN(r->left + more, rate_burst(r));
		r->at_us = now_us;
	}
	if (r->left < 1)
		return false;
	r->left -= 1;
	return true;
}
