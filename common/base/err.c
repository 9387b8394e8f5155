/*
 * err - where an unexpected error was raised, kept per thread
 *
 * Only the name and the line are kept, no memory is taken: raising can't fail.
 */
#include <errno.h>
#include <stdio.h>
#include "common/base/err.h"

static _Thread_local const char *raised_file;
static _Thread_local int raised_line;
static _Thread_local char raised_at[160];

int err_raise(int r, const char *file, int line)
{
	raised_file = file;
	raised_line = line;
	return r;
}

const char *err_at(void)
{
	if (!raised_file)
		return "";
	while (!strncmp(raised_file, "../", 3)) /* as the build folder sees it */
		raised_file += 3;
	snprintf(raised_at, sizeof(raised_at), "%.120s:%d", raised_file, raised_line);
	return raised_at;
}

int err_fold(int r)
{
	return r > 0 ? err_here(-ENOTRECOVERABLE) : r;
}
