#pragma once
/*
 * commands - one function a command of `centraleta`; main.c lists them with their help
 */
#include "services/cli/channels.h"
#include "services/cli/cli.h"

int cmd_migrate(struct cli *c, int argc, char **argv);
int cmd_jurisdiction(struct cli *c, int argc, char **argv);
int cmd_hours(struct cli *c, int argc, char **argv);
int cmd_holiday(struct cli *c, int argc, char **argv);
int cmd_department(struct cli *c, int argc, char **argv);
int cmd_service(struct cli *c, int argc, char **argv);
int cmd_area(struct cli *c, int argc, char **argv);
int cmd_rule(struct cli *c, int argc, char **argv);
int cmd_door(struct cli *c, int argc, char **argv);
int cmd_key(struct cli *c, int argc, char **argv);
int cmd_import(struct cli *c, int argc, char **argv);
int cmd_request(struct cli *c, int argc, char **argv);
int cmd_route(struct cli *c, int argc, char **argv);
int cmd_tail(struct cli *c, int argc, char **argv);
int cmd_parked(struct cli *c, int argc, char **argv);
int cmd_message(struct cli *c, int argc, char **argv);
int cmd_analytics(struct cli *c, int argc, char **argv);
int cmd_up(struct cli *c, int argc, char **argv);

/* the department of this slug in a town (its number); told when unknown */
int cli_department(struct cli *c, const char *town, const char *slug, char ret[static 16]);

/*
 * Reads a CSV file with a header and calls fn for each row with the values of the wanted columns
 * in order (a missing column: "" everywhere, unless its name begins with '!': then it must be
 * there). Stops at the first error; told with file and line.
 */
int cli_csv(const char *path, const char *const *columns,
	    int (*fn)(void *arg, const char *const *values, uint64_t line), void *arg);

extern const char cli_import_help[];
extern const char cli_key_help[];
extern const char cli_analytics_help[];
