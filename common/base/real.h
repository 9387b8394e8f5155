#pragma once
/*
 * real - a finite double as decimal text for JSON and XML
 */
#include <math.h>
#include <stdio.h>
#include "common/base/base.h"

#define REAL_TEXT_MAX 48

/*
 * Nine places behind the point at most, without trailing zeros (a tenth of a millimetre of
 * latitude); beyond 10^15 and below 10^-6 the shortest scientific form of 17 digits.
 */
static inline _unused_ const char *real_format(double v, char ret[static REAL_TEXT_MAX])
{
	double a = fabs(v);
	size_t n;

	if (a >= 1e15 || (a > 0 && a < 1e-6)) {
		snprintf(ret, REAL_TEXT_MAX, "%.17g", v);
		return ret;
	}
	n = (size_t)snprintf(ret, REAL_TEXT_MAX, "%.9f", v == 0 ? 0.0 : v);
	while (ret[n - 1] == '0')
		n--;
	if (ret[n - 1] == '.')
		n--;
	ret[n] = '\0';
	return ret;
}
