/*
 * config_cli - a daemon's command line: where the configuration comes from, and questions about it
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include "common/base/config.h"

#define SETS_MAX 256

struct command_line {
	const char *file;
	const char *sets[SETS_MAX + 1];
	size_t sets_n;
	bool check, dump;
};

static void print_range(const struct config_key *k)
{
	if (k->min || k->max)
		printf(" [%lld to %lld]", (long long)k->min, (long long)k->max);
}

static void print_help(const char *program, const struct config_key *const *tables)
{
	printf("Usage: %s [--config FILE] [--set section.key=value]… "
	       "[--check | --dump-config | --version | --help]\n\nKeys:\n",
	       program);
	for (const struct config_key *const *t = tables; *t; t++) {
		for (const struct config_key *k = *t; k->section; k++) {
			printf("  %s.%s = %s\n      %s", k->section, k->name, k->fallback, k->doc);
			print_range(k);
			putchar('\n');
		}
	}
}

static bool section_seen(const struct config_key *const *tables, const struct config_key *key)
{
	for (const struct config_key *const *t = tables; *t; t++) {
		for (const struct config_key *k = *t; k->section; k++) {
			if (k == key)
				return false;
			if (!strcmp(k->section, key->section))
				return true;
		}
	}
	return false;
}

static void dump_section(const struct config *c, const struct config_key *const *tables,
			 const char *section)
{
	char name[160];

	printf("[%s]\n", section);
	for (const struct config_key *const *t = tables; *t; t++) {
		for (const struct config_key *k = *t; k->section; k++) {
			if (strcmp(k->section, section))
				continue;
			snprintf(name, sizeof(name), "%s.%s", k->section, k->name);
			printf("# %s", k->doc);
			print_range(k);
			printf("\n%s = %s\n", k->name, config_str(c, name));
		}
	}
	putchar('\n');
}

/* as a file that config_load() reads; of secrets only the path */
static void dump(const struct config *c, const struct config_key *const *tables)
{
	for (const struct config_key *const *t = tables; *t; t++) {
		for (const struct config_key *k = *t; k->section; k++) {
			if (!section_seen(tables, k))
				dump_section(c, tables, k->section);
		}
	}
}

static int parse(struct command_line *l, int argc, char **argv, const char *program,
		 const struct config_key *const *tables)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "set", required_argument, NULL, 's' },
		{ "check", no_argument, NULL, 'k' },
		{ "dump-config", no_argument, NULL, 'd' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int o;

	optind = 0; /* from the start, also the second time */
	while ((o = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (o == 'v') {
			printf("%s %s\n", program, CENTRALETA_VERSION);
			return CONFIG_E_DONE;
		}
		if (o == 'h') {
			print_help(program, tables);
			return CONFIG_E_DONE;
		}
		if (o == '?' || (o == 's' && l->sets_n == SETS_MAX))
			return -EINVAL; /* getopt has told */
		if (o == 'c')
			l->file = optarg;
		else if (o == 's')
			l->sets[l->sets_n++] = optarg;
		l->check |= o == 'k';
		l->dump |= o == 'd';
	}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument %s\n", program, argv[optind]);
		return -EINVAL;
	}
	return 0;
}

int config_load(struct config **ret, int argc, char **argv, const char *program,
		const struct config_key *const *tables)
{
	_cleanup_(config_freep) struct config *c = NULL;
	struct command_line l = { 0 };
	int r;

	r = parse(&l, argc, argv, program, tables);
	if (r)
		return r;
	r = config_load_file(&c, l.file, l.sets, tables);
	if (r)
		return r;
	if (l.dump)
		dump(c, tables);
	else if (l.check)
		printf("%s: the configuration is right\n", program);
	if (l.dump || l.check)
		return CONFIG_E_DONE;
	*ret = steal(c);
	return 0;
}
