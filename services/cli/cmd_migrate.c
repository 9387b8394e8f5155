/*
 * centraleta migrate
 */
#include <stdio.h>

#include "services/cli/cli.h"
#include "services/cli/commands.h"
#include "services/cli/migrate.h"

static void say(void *ctx _unused_, const char *line)
{
	puts(line);
	fflush(stdout);
}

static int exit_code(int r)
{
	return r == MIGRATE_E_CONNECT ? CLI_UNREACHABLE : CLI_FAILED;
}

int cmd_migrate(struct cli *c, int argc, char **argv)
{
	const char *dir = NULL, *dsn = config_str(c->config, "cli.migrate_dsn");
	bool dry_run = false;
	const struct option_spec specs[] = {
		{ "dir", &dir, NULL, false },
		{ "dsn", &dsn, NULL, false },
		{ "dry-run", NULL, &dry_run, false },
		{ NULL, NULL, NULL, false },
	};
	struct migrate_report report = { 0 };
	char applied[32], functions[32], seeded[32];
	int r;

	if (cli_options("migrate", argc, argv, specs, NULL, 0, 0) < 0)
		return CLI_USAGE;
	r = migrate_run(&(struct migrate_options){ .dsn = dsn, .dir = dir, .dry_run = dry_run,
						   .say = c->json ? NULL : say },
			&report);
	if (r)
		return cli_fail(exit_code(r), "%s", report.error);
	snprintf(applied, sizeof(applied), "%u", report.migrations);
	snprintf(functions, sizeof(functions), "%u", report.functions);
	snprintf(seeded, sizeof(seeded), "%u", report.seeded);
	cli_print_one(c, (const char *[]){ "migrations", "functions", "seeded", NULL },
		      (const char *[]){ applied, functions, seeded });
	return CLI_OK;
}
