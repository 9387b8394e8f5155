/*
 * centraleta - the operators' command
 */
#include <stdio.h>

#include "common/base/log.h"
#include "common/service/service.h"
#include "services/cli/cli.h"
#include "services/cli/commands.h"

const struct command cli_commands[] = {
	{ "migrate", "[--dry-run] [--dir DIR]", "bring the store's schema up to date", cmd_migrate,
	  "Safe twice and from two hosts at once. Takes cli.migrate_dsn, which needs a superuser:\n"
	  "it makes the roles, the schema and the extension PostGIS." },
	{ "up", "[--daemons DIR]", "run all five daemons until TERM or Ctrl-C", cmd_up, NULL },
	{ "jurisdiction", "add SLUG --id ID --name NAME --time-zone TZ [options] | set SLUG [options] | list",
	  "towns", cmd_jurisdiction,
	  "  --id city.gov           Open311's jurisdiction_id\n"
	  "  --time-zone ZONE        an IANA name\n"
	  "  --language ca|es|en     of messages to citizens who chose none (en)\n"
	  "  --lanes 0,1             lanes of the log; default: the least used one\n"
	  "  --mail-from ADDRESS     sender of the town's mails; without it none are sent\n"
	  "  --box A,B,C,D           min_lat,min_long,max_lat,max_long: places outside are refused\n"
	  "  --triage-minutes N      deadline of what no rule matches (2880)\n"
	  "set also takes --triage DEPARTMENT and --retire." },
	{ "department", "add TOWN SLUG --name NAME | load TOWN FILE.csv | retire TOWN SLUG | list TOWN",
	  "departments of a town", cmd_department, "load: columns slug,name." },
	{ "service",
	  "add TOWN CODE --name NAME [options] | load TOWN FILE.csv | attributes TOWN FILE.csv | retire TOWN CODE"
	  " | list TOWN",
	  "what citizens can ask for", cmd_service,
	  "add: --slug --description --group --keywords --notice.\n"
	  "load: columns service_code,name,slug,description,group,keywords,notice.\n"
	  "attributes: columns service_code,code,datatype,required,description,datatype_description,values,variable;\n"
	  "values are key=name|key=name." },
	{ "area", "load TOWN FILE.geojson [--name-property NAME] | list TOWN", "polygons for routing", cmd_area,
	  NULL },
	{ "rule", "load TOWN FILE.csv | list TOWN [--version N]", "routing rules, first match wins", cmd_rule,
	  "load makes a new version of all the town's rules: columns\n"
	  "service,area,channel,attribute,value,department,priority,target,minutes.\n"
	  "An empty cell matches anything; target is calendar (real time) or working (opening hours).\n"
	  "What no rule matches goes to the triage department." },
	{ "hours", "set TOWN '1-5 08:00-15:00' …", "working hours, by weekday (1 is Monday)", cmd_hours, NULL },
	{ "holiday", "add TOWN YYYY-MM-DD [NAME]", "days without working hours", cmd_holiday, NULL },
	{ "door", "add TOWN SLUG --channel CHANNEL | list TOWN", "where input arrives", cmd_door, NULL },
	{ "key",
	  "add TOWN --door SLUG|--department SLUG [options] | list TOWN | rotate KEY_ID [options]"
	  " | revoke KEY_ID | server",
	  "keys of integrators and departments", cmd_key, cli_key_help },
	{ "import", "TOWN FILE --mapping FILE [options]", "bring in requests from a CSV file", cmd_import,
	  cli_import_help },
	{ "request", "show ID", "a request's whole history", cmd_request, NULL },
	{ "route", "explain ID", "why a request went where it went", cmd_route, NULL },
	{ "tail", "[--jurisdiction TOWN] [--back N] [--once]", "follow the log", cmd_tail, NULL },
	{ "parked", "list | show|retry|discard CONSUMER LANE SEQ", "events that could not be worked", cmd_parked,
	  NULL },
	{ "message", "list uncertain|undeliverable|failed", "mails that did not surely arrive", cmd_message, NULL },
	{ "analytics", "show TOWN [options] | verify", "the town's figures; recount them", cmd_analytics,
	  cli_analytics_help },
	{ .name = NULL },
};

static int help(const char *name)
{
	if (!name) {
		puts("usage: centraleta [--config FILE] [--dsn DSN] [--set section.key=value] [--json] COMMAND …\n");
		for (const struct command *c = cli_commands; c->name; c++)
			printf("  %-14s %s\n", c->name, c->summary);
		puts("\n'centraleta help COMMAND' says more. Exit codes: 0 done, 1 failed, 2 usage, 3 not found,\n"
		     "4 a check found a difference, 5 the store or a daemon can't be reached.");
		return CLI_OK;
	}
	for (const struct command *c = cli_commands; c->name; c++) {
		if (strcmp(c->name, name))
			continue;
		printf("centraleta %s - %s\n\nusage: centraleta %s %s\n%s%s%s", name, c->summary, name, c->args,
		       c->help ? "\n" : "", c->help ? c->help : "", c->help ? "\n" : "");
		return CLI_OK;
	}
	return cli_fail(CLI_USAGE, "no command '%s'; 'centraleta help' lists them", name);
}

struct words {
	const char *config, *dsn, *sets[32];
	size_t sets_n;
	bool json;
};

/* the options before the command; the command's index, or argc, or -1: told */
static int global_options(int argc, char **argv, struct words *w)
{
	int i = 1;

	for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strcmp(argv[i], "--json")) {
			w->json = true;
			continue;
		}
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "--version"))
			return i;
		if (i + 1 == argc) {
			cli_fail(0, "%s needs a value", argv[i]);
			return -1;
		}
		if (!strcmp(argv[i], "--config"))
			w->config = argv[++i];
		else if (!strcmp(argv[i], "--dsn"))
			w->dsn = argv[++i];
		else if (!strcmp(argv[i], "--set") && w->sets_n + 1 < ARRAY_SIZE(w->sets))
			w->sets[w->sets_n++] = argv[++i];
		else
			return cli_fail(-1, "no option %s; 'centraleta help' lists them", argv[i]);
	}
	return i;
}

static int run(const struct command *command, const struct words *w, int argc, char **argv)
{
	static const struct config_key *const tables[] = { service_keys, cli_keys, NULL };
	_cleanup_(config_freep) struct config *config = NULL;
	int r = config_load_file(&config, w->config, w->sets, tables);

	if (r)
		return CLI_FAILED; /* told */
	struct cli c = { .config = config, .config_file = w->config, .json = w->json,
			 .dsn = w->dsn ? w->dsn : config_str(config, "cli.dsn") };

	r = command->run(&c, argc, argv);
	if (r == CLI_FAILED && c.db && PQstatus(c.db) != CONNECTION_OK)
		r = CLI_UNREACHABLE;
	PQfinish(c.db);
	return r;
}

int main(int argc, char **argv)
{
	struct words w = { 0 };
	int i = global_options(argc, argv, &w);

	if (i < 0)
		return CLI_USAGE;
	log_open("centraleta", LOG_LEVEL_WARN);
	if (i < argc && !strcmp(argv[i], "--version")) {
		puts("centraleta " CENTRALETA_VERSION);
		return CLI_OK;
	}
	if (i == argc || !strcmp(argv[i], "--help") || !strcmp(argv[i], "help"))
		return help(i + 1 < argc ? argv[i + 1] : NULL) | (i == argc ? CLI_USAGE : CLI_OK);
	for (const struct command *c = cli_commands; c->name; c++)
		if (!strcmp(c->name, argv[i]))
			return run(c, &w, argc - i, argv + i);
	return cli_fail(CLI_USAGE, "no command '%s'; 'centraleta help' lists them", argv[i]);
}
