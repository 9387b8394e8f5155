#pragma once
/*
 * import_journal - how far an import has come, on disk beside the file of refused rows
 *
 * Everything it counts belongs to rows before `next_row`, in order, so a killed import goes on
 * there: what had been sent behind it is sent again under the same keys. Written to a new file,
 * synced and renamed; the file of refused rows is synced first and cut back at a resume.
 */
#include "common/base/base.h"

struct import_counts {
	uint64_t next_row; /* rows before it are settled; the header is row 0 */
	uint64_t stored, repeated, refused, skipped, doubled;
	uint64_t refused_bytes; /* length of the file of refused rows */
	uint64_t file_size; /* of the imported file: another one is another import */
};

/* 0; -ENOENT: none yet; -EINVAL: not a journal */
int import_journal_read(const char *path, struct import_counts *ret) _must_check_;
int import_journal_write(const char *path, const struct import_counts *c) _must_check_;
