/*
 * clock - the two clocks, and ISO 8601 in and out
 *
 * The calendar is zone's (proleptic Gregorian), so that nothing depends on the C library's TZ.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include "common/base/clock.h"
#include "common/base/zone.h"

#define US_PER_S 1000000

static uint64_t mono_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * US_PER_S + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_mono_us(void)
{
	return mono_us(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms(void)
{
	return mono_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_wall_us(void)
{
	return (int64_t)mono_us(CLOCK_REALTIME);
}

void clock_format_utc(int64_t at_us, char buf[static 32])
{
	int64_t us = at_us % US_PER_S, s = at_us / US_PER_S;
	int year, month, day, n;
	int64_t of_day, days;

	if (us < 0) {
		us += US_PER_S;
		s--;
	}
	days = s / 86400 - (s % 86400 < 0);
	of_day = s - days * 86400;
	civil_from_days((int32_t)days, &year, &month, &day);
	n = snprintf(buf, 32, "%04d-%02u-%02uT%02u:%02u:%02u", year, (unsigned)month % 100u,
		     (unsigned)day % 100u, (unsigned)(of_day / 3600) % 100u,
		     (unsigned)(of_day / 60 % 60) % 100u, (unsigned)(of_day % 60) % 100u);
	if (us)
		n += snprintf(buf + n, 32 - (size_t)n, ".%06u", (unsigned)us % 1000000u);
	snprintf(buf + n, 32 - (size_t)n, "Z");
	for (char *p = buf + n - 1; us && *p == '0'; p--)
		memcpy(p, "Z", 2);
}

/* n digits at s; -1 where there is another character */
static int digits(const char *s, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* "YYYY-MM-DDThh:mm:ss" in seconds, read as UTC */
static int parse_civil(const char *s, int64_t *ret)
{
	int year = digits(s, 4), month = digits(s + 5, 2), day = digits(s + 8, 2);
	int hour = digits(s + 11, 2), minute = digits(s + 14, 2), second = digits(s + 17, 2);

	if (s[4] != '-' || s[7] != '-' || (s[10] != 'T' && s[10] != 't') || s[13] != ':' ||
	    s[16] != ':')
		return -EINVAL;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
	    hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
		return -EINVAL;
	*ret = (int64_t)civil_to_days(year, month, day) * 86400 + hour * 3600 + minute * 60 +
	       second;
	return 0;
}

/* ".ddd" of 1 to 9 digits; what is finer than a microsecond is cut off */
static size_t parse_fraction(const char *s, size_t len, int64_t *ret_us)
{
	int64_t us = 0, unit = US_PER_S / 10;
	size_t n = 1;

	if (!len || s[0] != '.')
		return 0;
	for (; n < len && n <= 9 && s[n] >= '0' && s[n] <= '9'; n++, unit /= 10)
		us += (s[n] - '0') * unit;
	*ret_us = us;
	return n;
}

int clock_parse_iso(const char *s, size_t len, int64_t *ret_at_us)
{
	int64_t at, us = 0;
	size_t n;
	int hours, minutes;

	if (len < 19 || parse_civil(s, &at) < 0)
		return -EINVAL;
	n = parse_fraction(s + 19, len - 19, &us);
	if (n == 1)
		return -EINVAL;
	s += 19 + n;
	len -= 19 + n;
	if (len == 6 && (s[0] == '+' || s[0] == '-') && s[3] == ':') {
		hours = digits(s + 1, 2);
		minutes = digits(s + 4, 2);
		if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
			return -EINVAL;
		at -= (s[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	} else if (len && !(len == 1 && (s[0] == 'Z' || s[0] == 'z'))) {
		return -EINVAL;
	}
	*ret_at_us = at * US_PER_S + us;
	return len ? 0 : 1;
}
