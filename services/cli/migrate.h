#pragma once
/*
 * migrate - brings a database to the schema of this program: `centraleta migrate`
 *
 * In this order, under one advisory lock, so that any number of hosts may start it at once:
 * roles.sql, the schema centraleta and PostGIS, the migrations that are missing (numbered,
 * forward only, one transaction each, recorded in schema_migration with their SHA-256), all
 * files of functions when one of them or a table changed (schema_function), and the rows that
 * every consumer and lane needs. Run again it changes nothing. Blocking: for the command only.
 */
#include "common/base/base.h"

struct migrate_options {
	const char *dsn; /* of a superuser, or of the owner once roles and PostGIS are there */
	const char *dir; /* of roles.sql, migrations, functions; NULL: $CENTRALETA_SQL_DIR, datadir */
	bool dry_run; /* only say what would be done */
	unsigned lock_wait_ms; /* for another that migrates; 0: 60,000 */
	void (*say)(void *ctx, const char *line); /* what is done, as it is done; may be NULL */
	void *ctx;
};

enum {
	MIGRATE_E_FILES = 1, /* no directory, two files of one number, unreadable */
	MIGRATE_E_CONNECT,
	MIGRATE_E_BUSY, /* another migrates, or a lock was never free */
	MIGRATE_E_CHANGED, /* an applied file isn't what it was */
	MIGRATE_E_NEWER, /* the database is ahead of these files */
	MIGRATE_E_ORDER, /* a file that isn't applied comes before one that is */
	MIGRATE_E_SQL,
};

struct migrate_report {
	unsigned migrations, functions; /* applied, or that would be */
	unsigned seeded; /* rows of progress and lease */
	char error[1024]; /* one line naming the file; "" after 0 */
};

int migrate_run(const struct migrate_options *o, struct migrate_report *ret) _must_check_;
