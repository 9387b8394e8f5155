#pragma once
/*
 * buf - a growing byte buffer that remembers its first failure
 *
 * Append freely and check buf_err() once. data is always NUL-terminated behind len once anything
 * was appended. Not for more than BUF_MAX bytes: then the buffer fails with -E2BIG.
 */
#include <stdarg.h>
#include "common/base/base.h"

#define BUF_MAX (256u << 20)

struct buf {
	char *data;
	size_t len;
	size_t cap;
	int err; /* first failure: -ENOMEM, -E2BIG */
};

#define BUF_INIT ((struct buf){ 0 })

void buf_fini(struct buf *b); /* also right for a zeroed one; leaves it zeroed */
void buf_reset(struct buf *b); /* empties, keeps the memory, forgets the failure */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_ch(struct buf *b, char c);
void buf_u64(struct buf *b, uint64_t v); /* decimal */
void buf_i64(struct buf *b, int64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) _printf_(2, 0);
/* room for n more bytes at data + len; NULL after a failure; the caller raises len */
char *buf_reserve(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */
static inline int buf_err(const struct buf *b)
{
	return b->err;
}
