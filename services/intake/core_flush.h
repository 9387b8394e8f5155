#pragma once
/*
 * core_flush - does a commit take long here?
 *
 * The least of the last few: what a busy machine adds to a commit is not its flush. Pure.
 */
#include "common/base/base.h"

enum {
	FLUSH_SAMPLES = 5,
	FLUSH_SLOW_US = 1000, /* from here on lanes are released before the flush */
	FLUSH_FAST_US = 500, /* below they are not any more */
};

struct flush {
	double us[FLUSH_SAMPLES]; /* a ring */
	unsigned n, next;
	bool slow;
};

static inline double flush_least_us(const struct flush *f)
{
	double least = f->n ? f->us[0] : 0;

	for (unsigned i = 1; i < f->n; i++)
		least = MIN(least, f->us[i]);
	return least;
}

/* a commit took so long */
static inline void flush_note(struct flush *f, double us)
{
	f->us[f->next++ % FLUSH_SAMPLES] = us;
	f->n = MIN(f->n + 1, (unsigned)FLUSH_SAMPLES);
	if (f->n == FLUSH_SAMPLES)
		f->slow = flush_least_us(f) >= (f->slow ? FLUSH_FAST_US : FLUSH_SLOW_US);
}
