#pragma once
/*
 * clock - monotonic milliseconds for timers, wall-clock microseconds for facts
 *
 * Pure cores never call these: time is passed in. Wall times are microseconds since
 * 1970-01-01T00:00:00Z everywhere (…_us).
 */
#include "common/base/base.h"

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
int64_t clock_wall_us(void);
/* "2026-03-29T01:30:00Z"; fraction only where it is not zero; buf of 32 bytes */
void clock_format_utc(int64_t at_us, char buf[static 32]);
/*
 * ISO 8601 with Z or ±hh:mm, fraction of a second allowed (to the microsecond).
 * 0; 1 = no zone given (ret is then the local reading as if UTC); -EINVAL.
 */
int clock_parse_iso(const char *s, size_t len, int64_t *ret_at_us) _must_check_;
