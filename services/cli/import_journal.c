/*
 * One line of name=value pairs.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "services/cli/import_journal.h"

#define FORMAT                                                                                         \
	"centraleta-import next_row=%" X64 " stored=%" X64 " repeated=%" X64 " refused=%" X64            \
	" skipped=%" X64 " doubled=%" X64 " refused_bytes=%" X64 " file_size=%" X64 "\n"

int import_journal_read(const char *path, struct import_counts *ret)
{
	FILE *f = fopen(path, "re");
	int n;

	if (!f)
		return -errno;
#define X64 SCNu64
	n = fscanf(f, FORMAT, &ret->next_row, &ret->stored, &ret->repeated, &ret->refused, &ret->skipped,
		   &ret->doubled, &ret->refused_bytes, &ret->file_size);
#undef X64
	fclose(f);
	return n == 8 ? 0 : -EINVAL;
}

int import_journal_write(const char *path, const struct import_counts *c)
{
	char fresh[PATH_MAX];
	FILE *f;
	int r = 0;

	if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh))
		return -ENAMETOOLONG;
	f = fopen(fresh, "we");
	if (!f)
		return -errno;
#define X64 PRIu64
	if (fprintf(f, FORMAT, c->next_row, c->stored, c->repeated, c->refused, c->skipped, c->doubled,
		    c->refused_bytes, c->file_size) < 0 ||
#undef X64
	    fflush(f) || fsync(fileno(f)))
		r = -errno;
	if (fclose(f) && !r)
		r = -errno;
	if (!r && rename(fresh, path))
		r = -errno;
	return r;
}
