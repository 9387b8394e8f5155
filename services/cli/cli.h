#pragma once
/*
 * cli - what the commands of `centraleta` share
 *
 * A command is a function of struct cli and its own argv. It returns an exit code of enum
 * cli_exit; whatever went wrong was told on stderr, with what to do about it. Synchronous: this is
 * a tool for a person or a script, not a daemon.
 */
#include <libpq-fe.h>
#include "common/base/base.h"
#include "common/base/config.h"

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1, /* it was tried and did not work; told */
	CLI_USAGE = 2, /* wrong words on the command line; told */
	CLI_NOT_FOUND = 3, /* no such town, request, key, … */
	CLI_DIFFERENT = 4, /* a check found a difference (analytics verify) */
	CLI_UNREACHABLE = 5, /* the store or a daemon can't be reached */
};

struct cli {
	const struct config *config;
	const char *config_file; /* --config, NULL: the default */
	const char *dsn; /* of the admin role */
	bool json;
	PGconn *db; /* opened by cli_db() */
};

struct command {
	const char *name, *args, *summary;
	int (*run)(struct cli *c, int argc, char **argv); /* argv[0] is the command's name */
	const char *help; /* more lines for `centraleta help NAME`; may be NULL */
};

extern const struct command cli_commands[]; /* ended by name NULL */
extern const struct config_key cli_keys[];

/* says "centraleta: …" on stderr and returns code */
int cli_fail(int code, const char *fmt, ...) _printf_(2, 3);
/* usage of a command on stderr, CLI_USAGE */
int cli_usage(const char *command);
/* connects once; CLI_OK or told */
int cli_db(struct cli *c);

/* ---- options: --name VALUE, --name=VALUE, --flag; positionals in order -------------------- */

struct option_spec {
	const char *name; /* without -- */
	const char **value; /* of an option with a value; several: the last wins */
	bool *flag; /* of an option without */
	bool required;
};
/*
 * Fills the options and ret_positional (n of them at most, the rest is an error).
 * Return: how many positionals, or -1: told.
 */
int cli_options(const char *command, int argc, char **argv, const struct option_spec *specs,
		const char **ret_positional, int min, int max);

/* ---- the store ------------------------------------------------------------------------------ */

DEFINE_CLEANUP(PGresult *, PQclear)
/* text parameters, NULL allowed; NULL result: told on stderr with what the server said */
PGresult *cli_query(struct cli *c, const char *sql, int n, const char *const *values);
/* the same for a statement without rows to look at */
int cli_exec(struct cli *c, const char *sql, int n, const char *const *values);
/* BEGIN; fn; config_revision + 1; COMMIT or ROLLBACK. What fn returned, or CLI_FAILED. */
int cli_change(struct cli *c, int (*fn)(struct cli *c, void *arg), void *arg);
/* the town of this slug (or jurisdiction_id): its number as text into ret; told when unknown */
int cli_town(struct cli *c, const char *slug, char ret[static 16]);

/* ---- output: a table for people, an array of objects with --json ---------------------------- */

void cli_print(const struct cli *c, const PGresult *r);
/* one object: name/value pairs, NULL-terminated list of names */
void cli_print_one(const struct cli *c, const char *const *names, const char *const *values);
