#pragma once
/*
 * base - attributes, ownership helpers and small macros that every file uses
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))

/* defines fnp(T *), which a guard of _cleanup_(fnp) calls: frees what is still owned */
#define DEFINE_CLEANUP(T, fn)                  \
	static inline _unused_ void fn##p(T *p) \
	{                                      \
		if (*p)                        \
			fn(*p);                \
	}

/* takes the pointer out of a guarded variable */
#define steal(p)                    \
	({                          \
		typeof(p) _s = (p); \
		(p) = NULL;         \
		_s;                 \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define FOREACH(p, a) for (typeof(&(a)[0]) p = (a); p < (a) + ARRAY_SIZE(a); p++)
#define container_of(p, T, m) ((T *)((char *)(p) - offsetof(T, m)))

#undef MIN /* GLib and sys/param.h have them too */
#undef MAX
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

static inline _unused_ void freep(void *p)
{
	free(*(void **)p);
}

/* a borrowed run of bytes; not NUL-terminated */
struct bytes {
	const uint8_t *data;
	size_t len;
};
