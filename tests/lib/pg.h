#pragma once
/*
 * pg - a private PostgreSQL cluster for one test program
 *
 * Lives in a new folder under /tmp, listens on a Unix socket there only, trusts everybody, and is
 * a copy of a template that the first user on this machine made (initdb takes seconds, a copy a
 * fraction of one). As root, everything runs as the user postgres. It is stopped and removed at
 * pg_free(), at the program's end, and stopped when the program dies. Needs the server's programs:
 * found in $PG_BINDIR or /usr/lib/postgresql; without them the case is skipped, aloud.
 *
 * All functions fail the running case rather than return an error.
 */
#include "common/base/base.h"
#include "tests/lib/test.h"

struct pg;
struct pg_options {
	bool fsync; /* false: the disk is lied to, which is fast */
	bool migrate; /* pg_migrate() at once */
	const char *settings; /* lines for postgresql.conf; may be NULL */
};

struct pg *pg_start(const struct pg_options *o); /* NULL: all false */
void pg_free(struct pg *p);
DEFINE_CLEANUP(struct pg *, pg_free)

const char *pg_dir(const struct pg *p); /* of the socket */
/* of the superuser, database "centraleta": an own one, template0 with nothing in it but PostGIS */
const char *pg_dsn(const struct pg *p);
/* roles, schema and functions of this source tree, as the superuser */
void pg_migrate(struct pg *p);

/* statements of the superuser, search_path centraleta, public; pg_value(): the first value, freed by the caller */
void pg_sql(struct pg *p, const char *sql);
char *pg_value(struct pg *p, const char *sql);
long pg_number(struct pg *p, const char *sql); /* the first value as a number */
void pg_script(struct pg *p, const char *path); /* through psql, stops at the first error */

void pg_kill(struct pg *p); /* as pg_ctl -m immediate: every back-end is gone, nothing is flushed */
void pg_stop(struct pg *p); /* as pg_ctl -m fast */
void pg_restart(struct pg *p); /* after either; waits until it answers */
