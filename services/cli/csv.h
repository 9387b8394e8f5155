#pragma once
/*
 * csv - RFC 4180 reader, row by row, over bytes that the caller brings
 *
 * Quoted fields may hold commas, quotes ("") and line breaks; LF and CRLF end a row; a byte-order
 * mark before the first is skipped. Limits: 256 fields and 1 MiB a row. Pure: no I/O.
 */
#include "common/base/buf.h"

#define CSV_FIELDS_MAX 256
#define CSV_ROW_MAX (1u << 20)

struct csv {
	struct buf text; /* the row's fields, each NUL-terminated */
	size_t start[CSV_FIELDS_MAX];
	size_t n; /* fields of the row */
	uint64_t line; /* where the row began, from 1 */
	uint64_t lines_seen;
	bool begun;
};

enum csv_result {
	CSV_ROW, /* a row is in; *used bytes belong to it */
	CSV_MORE, /* no end of row in sight: bring more (or say at_end) */
	CSV_END, /* nothing left */
	CSV_BAD, /* this row is wrong (*reason says why); *used skips it */
};

void csv_init(struct csv *c);
void csv_fini(struct csv *c);
/* data always starts at the beginning of a row */
enum csv_result csv_next(struct csv *c, const char *data, size_t len, bool at_end, size_t *used,
			 const char **reason);
const char *csv_field(const struct csv *c, size_t i); /* "" beyond n */
