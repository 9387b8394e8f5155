#pragma once
/*
 * err - errors as int: 0 done, < 0 a -errno nobody planned for, > 0 an outcome of the contract
 *
 * err_here() remembers where an unexpected error was raised, so that the one log line at the top
 * can name the place. Per thread.
 */
#include "common/base/base.h"

#define err_here(r) err_raise((r), __FILE__, __LINE__)

int err_raise(int r, const char *file, int line);
/* "file:line" of the last raise on this thread; "" where there was none */
const char *err_at(void);
/* turns an outcome (> 0) that the caller has no plan for into -ENOTRECOVERABLE */
int err_fold(int r);
