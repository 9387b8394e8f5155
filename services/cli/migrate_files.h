#pragma once
/*
 * migrate_files - the SQL files of a directory, with their checksums
 */
#include "common/base/base.h"

struct sql_file {
	int number; /* NNNN of a migration; 0 of a function file */
	char name[128]; /* without directories */
	char path[512];
	char sha256[65]; /* hexadecimal */
	char *text; /* NUL-terminated */
};
struct sql_files {
	struct sql_file *files; /* ascending by name */
	size_t n;
};

/* NULL where none of dir, $CENTRALETA_SQL_DIR and the installed one is given */
const char *sql_dir(const char *dir);
/* 0, -errno; ret_error names the file */
int sql_file_read(struct sql_file *ret, const char *dir, const char *name, char *ret_error,
		  size_t size) _must_check_;
/*
 * All files of dir: NNNN_what.sql where numbered, what.fn.sql otherwise; -EEXIST where two have
 * one number. ret_error names the file.
 */
int sql_files_read(struct sql_files *ret, const char *dir, bool numbered, char *ret_error,
		   size_t size) _must_check_;
void sql_files_fini(struct sql_files *f);
