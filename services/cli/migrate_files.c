/*
 * migrate_files - see migrate_files.h
 */
#include "services/cli/migrate_files.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include "common/base/buf.h"
#include "common/base/err.h"

const char *sql_dir(const char *dir)
{
	const char *env = getenv("CENTRALETA_SQL_DIR");

	if (dir && *dir)
		return dir;
	return env && *env ? env : CENTRALETA_SQL_DIR;
}

static int read_all(const char *path, char **ret, size_t *ret_len)
{
	FILE *f = fopen(path, "re");
	struct buf b = BUF_INIT;
	char chunk[16384];
	size_t n;
	int r;

	if (!f)
		return err_here(-errno);
	while ((n = fread(chunk, 1, sizeof(chunk), f)))
		buf_add(&b, chunk, n);
	r = ferror(f) ? -EIO : buf_err(&b);
	fclose(f);
	if (!r)
		buf_ch(&b, '\0');
	if (!r)
		r = buf_err(&b);
	if (r) {
		buf_fini(&b);
		return err_here(r);
	}
	*ret_len = b.len - 1;
	*ret = b.data;
	return 0;
}

int sql_file_read(struct sql_file *ret, const char *dir, const char *name, char *ret_error, size_t size)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	size_t len;
	int r;

	*ret = (struct sql_file){ 0 };
	if (snprintf(ret->name, sizeof(ret->name), "%s", name) >= (int)sizeof(ret->name) ||
	    snprintf(ret->path, sizeof(ret->path), "%s/%s", dir, name) >= (int)sizeof(ret->path)) {
		snprintf(ret_error, size, "%s/%s: name too long", dir, name);
		return err_here(-ENAMETOOLONG);
	}
	r = read_all(ret->path, &ret->text, &len);
	if (r) {
		snprintf(ret_error, size, "%s: %s", ret->path, strerror(-r));
		return r;
	}
	crypto_hash_sha256(hash, (const unsigned char *)ret->text, len);
	sodium_bin2hex(ret->sha256, sizeof(ret->sha256), hash, sizeof(hash));
	return 0;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && !strcmp(name + n - m, suffix);
}

static int is_migration(const struct dirent *d)
{
	const char *p = d->d_name;

	for (int i = 0; i < 4; i++)
		if (!isdigit((unsigned char)*p++))
			return 0;
	return *p == '_' && has_suffix(p, ".sql");
}

static int is_function(const struct dirent *d)
{
	return d->d_name[0] != '.' && has_suffix(d->d_name, ".fn.sql");
}

static int check_number(struct sql_files *f, char *ret_error, size_t size)
{
	struct sql_file *last = &f->files[f->n - 1];

	last->number = (int)strtol(last->name, NULL, 10);
	if (last->number == 0 || (f->n > 1 && last[-1].number == last->number)) {
		snprintf(ret_error, size, "%s: its number is 0 or taken", last->path);
		return err_here(-EEXIST);
	}
	return 0;
}

int sql_files_read(struct sql_files *ret, const char *dir, bool numbered, char *ret_error, size_t size)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, numbered ? is_migration : is_function, alphasort), r = 0;

	*ret = (struct sql_files){ 0 };
	if (n < 0) {
		r = -errno;
		snprintf(ret_error, size, "%s: %s", dir, strerror(-r));
		return err_here(r);
	}
	ret->files = calloc((size_t)n + 1, sizeof(*ret->files));
	if (!ret->files)
		r = err_here(-ENOMEM);
	for (int i = 0; i < n; i++) {
		if (!r)
			r = sql_file_read(&ret->files[ret->n++], dir, names[i]->d_name, ret_error, size);
		if (!r && numbered)
			r = check_number(ret, ret_error, size);
		free(names[i]);
	}
	free(names);
	if (r)
		sql_files_fini(ret);
	return r;
}

void sql_files_fini(struct sql_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->files[i].text);
	free(f->files);
	*f = (struct sql_files){ 0 };
}
