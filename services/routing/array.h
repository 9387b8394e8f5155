#pragma once
/*
 * array - an array that doubles, its capacity told by its length
 */
#include <errno.h>
#include "common/base/err.h"

/* room for one more behind n; an array of n is full when n is 0 or a power of two */
static inline _unused_ int array_grow(void **array, size_t n, size_t size)
{
	void *p;

	if (n && (n & (n - 1)))
		return 0;
	p = realloc(*array, (n ? 2 * n : 1) * size);
	if (!p)
		return err_here(-ENOMEM);
	*array = p;
	return 0;
}
