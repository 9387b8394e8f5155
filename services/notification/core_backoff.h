#pragma once
/*
 * core_backoff - how long to wait after failures: of a message, of a destination, of the relay
 *
 * Pure: time and randomness are passed in. Milliseconds of a monotonic clock throughout.
 */
#include "common/base/base.h"

struct backoff {
	uint64_t base_ms; /* after the first failure */
	uint64_t cap_ms; /* before jitter */
};

/*
 * Doubles with each failure up to the cap; of it the last quarter is jitter.
 * failures: 0 gives 0; random: uniform in [0, 65536)
 */
uint64_t backoff_delay_ms(const struct backoff *b, unsigned failures, uint32_t random);

/*
 * Destinations that failed lately, bounded. A full table forgets those whose time has passed and,
 * when none has, takes no new one: the message's own back-off still holds.
 */
struct penalties;

int penalties_new(struct penalties **ret, size_t max) _must_check_;
void penalties_free(struct penalties *p);
DEFINE_CLEANUP(struct penalties *, penalties_free)
/* when the destination may be tried again; 0: now. Names are compared without regard to case */
uint64_t penalties_until(const struct penalties *p, const char *name, uint64_t now_ms);
void penalties_fail(struct penalties *p, const char *name, const struct backoff *b, uint64_t now_ms,
		    uint32_t random);
void penalties_clear(struct penalties *p, const char *name);
size_t penalties_count(const struct penalties *p);
