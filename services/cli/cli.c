/*
 * Shared parts of the commands: messages, options, the store, output.
 */
#include <stdarg.h>
#include <stdio.h>

#include "common/base/json.h"
#include "common/base/text.h"
#include "services/cli/cli.h"

const struct config_key cli_keys[] = {
#define KEY(section, name, kind, fallback, min, max, doc) \
	{ #section, #name, CONFIG_##kind, fallback, min, max, doc },
#include "services/cli/keys.def"
#undef KEY
	{ .section = NULL },
};

int cli_fail(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("centraleta: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

int cli_usage(const char *command)
{
	for (const struct command *c = cli_commands; c->name; c++)
		if (!strcmp(c->name, command))
			fprintf(stderr, "usage: centraleta %s %s\nmore: centraleta help %s\n", c->name,
				c->args, c->name);
	return CLI_USAGE;
}

/* ---- options ---------------------------------------------------------------------------------- */

static const struct option_spec *find_option(const struct option_spec *specs, const char *word,
					     const char **ret_value)
{
	size_t len = strcspn(word, "=");

	*ret_value = word[len] ? word + len + 1 : NULL;
	for (; specs && specs->name; specs++)
		if (strlen(specs->name) == len && !strncmp(specs->name, word, len))
			return specs;
	return NULL;
}

static const char *nearest_option(const struct option_spec *specs, const char *word)
{
	const char *best = NULL;
	unsigned least = 4;

	for (; specs && specs->name; specs++) {
		unsigned d = text_distance(specs->name, word);

		if (d < least) {
			least = d;
			best = specs->name;
		}
	}
	return best;
}

/* 0: taken; 1: taken with the next word as its value; -1: told */
static int take_option(const char *command, const struct option_spec *specs, const char *word,
		       const char *next)
{
	const char *value;
	const struct option_spec *s = find_option(specs, word, &value);

	if (!s) {
		const char *near = nearest_option(specs, word);

		cli_fail(0, "%s: no option --%s%s%s", command, word, near ? "; did you mean --" : "",
			 near ? near : "");
		return -1;
	}
	if (s->flag) {
		*s->flag = true;
		return 0;
	}
	if (!value && !next) {
		cli_fail(0, "%s: --%s needs a value", command, s->name);
		return -1;
	}
	*s->value = value ? value : next;
	return value ? 0 : 1;
}

static int check_required(const char *command, const struct option_spec *specs)
{
	for (; specs && specs->name; specs++)
		if (specs->required && specs->value && !*specs->value)
			return cli_fail(-1, "%s: --%s is required", command, specs->name);
	return 0;
}

int cli_options(const char *command, int argc, char **argv, const struct option_spec *specs,
		const char **ret_positional, int min, int max)
{
	bool only_words = false;
	int n = 0;

	for (int i = 1; i < argc; i++) {
		const char *w = argv[i];

		if (!only_words && !strcmp(w, "--")) {
			only_words = true;
		} else if (!only_words && !strncmp(w, "--", 2)) {
			int r = take_option(command, specs, w + 2, i + 1 < argc ? argv[i + 1] : NULL);

			if (r < 0)
				return -1;
			i += r;
		} else if (n == max) {
			cli_fail(0, "%s: what is '%s'?", command, w);
			return -1;
		} else {
			ret_positional[n++] = w;
		}
	}
	if (n < min) {
		cli_usage(command);
		return -1;
	}
	return check_required(command, specs) ? -1 : n;
}

/* ---- the store -------------------------------------------------------------------------------- */

static void quiet(void *arg _unused_, const char *message _unused_)
{
}

int cli_db(struct cli *c)
{
	if (c->db)
		return CLI_OK;
	c->db = PQconnectdb(c->dsn);
	if (PQstatus(c->db) != CONNECTION_OK)
		return cli_fail(CLI_UNREACHABLE,
				"the store doesn't answer: %s"
				"Set cli.dsn in the configuration, --dsn, or CENTRALETA_CLI_DSN.",
				PQerrorMessage(c->db));
	PQsetNoticeProcessor(c->db, quiet, NULL);
	return CLI_OK;
}

static void tell_error(struct cli *c, const PGresult *r)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *constraint = PQresultErrorField(r, PG_DIAG_CONSTRAINT_NAME);
	const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);

	if (!state)
		cli_fail(0, "the store is gone: %s", PQerrorMessage(c->db));
	else if (!strcmp(state, "23505"))
		cli_fail(0, "it is there already: %s", detail ? detail : constraint);
	else if (!strcmp(state, "42P01") || !strcmp(state, "3F000"))
		cli_fail(0, "the store has no schema yet: run 'centraleta migrate' first");
	else
		cli_fail(0, "the store refused: %s%s%s", PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY),
			 detail ? "; " : "", detail ? detail : "");
}

PGresult *cli_query(struct cli *c, const char *sql, int n, const char *const *values)
{
	_cleanup_(PQclearp) PGresult *r = NULL;

	if (cli_db(c))
		return NULL;
	r = PQexecParams(c->db, sql, n, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK) {
		tell_error(c, r);
		return NULL;
	}
	return steal(r);
}

int cli_exec(struct cli *c, const char *sql, int n, const char *const *values)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(c, sql, n, values);

	return r ? CLI_OK : CLI_FAILED;
}

int cli_change(struct cli *c, int (*fn)(struct cli *c, void *arg), void *arg)
{
	int r = cli_exec(c, "BEGIN", 0, NULL);

	if (r)
		return r;
	r = fn(c, arg);
	if (!r)
		r = cli_exec(c, "UPDATE centraleta.config_revision SET revision = revision + 1", 0, NULL);
	if (r) {
		PQclear(PQexec(c->db, "ROLLBACK"));
		return r;
	}
	return cli_exec(c, "COMMIT", 0, NULL);
}

int cli_town(struct cli *c, const char *slug, char ret[static 16])
{
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c, "SELECT jurisdiction FROM centraleta.jurisdiction WHERE slug = $1 OR jurisdiction_id = $1",
		1, (const char *[]){ slug });

	if (!r)
		return CLI_FAILED;
	if (PQntuples(r) == 0)
		return cli_fail(CLI_NOT_FOUND, "no town '%s'; 'centraleta jurisdiction list' shows them", slug);
	snprintf(ret, 16, "%s", PQgetvalue(r, 0, 0));
	return CLI_OK;
}

/* ---- output ----------------------------------------------------------------------------------- */

static bool is_number(Oid type)
{
	return type == 20 || type == 21 || type == 23;
}

static void json_value(struct json *j, const PGresult *r, int row, int col)
{
	const char *v = PQgetvalue(r, row, col);
	int64_t n;

	if (PQgetisnull(r, row, col))
		json_none(j);
	else if (PQftype(r, col) == 16)
		json_bool(j, *v == 't');
	else if (PQftype(r, col) == 701)
		json_double(j, strtod(v, NULL));
	else if (PQftype(r, col) != 20 && is_number(PQftype(r, col)) && text_to_i64(v, strlen(v), &n))
		json_int(j, n);
	else
		json_str(j, v); /* int8 too: ids are strings */
}

static void print_json(const PGresult *r)
{
	struct buf out = BUF_INIT;
	struct json j;

	json_init(&j, &out);
	json_array_begin(&j);
	for (int row = 0; row < PQntuples(r); row++) {
		json_object_begin(&j);
		for (int col = 0; col < PQnfields(r); col++) {
			json_key(&j, PQfname(r, col));
			json_value(&j, r, row, col);
		}
		json_object_end(&j);
	}
	json_array_end(&j);
	if (!buf_err(&out))
		puts(out.data);
	buf_fini(&out);
}

static int column_width(const PGresult *r, int col)
{
	size_t width = strlen(PQfname(r, col));

	for (int row = 0; row < PQntuples(r); row++) {
		const char *v = PQgetvalue(r, row, col);

		width = MAX(width, text_length(v, strlen(v)));
	}
	return (int)MIN(width, 60u);
}

static void print_cell(const char *v, int width, bool right, bool last)
{
	int pad = width - (int)text_length(v, strlen(v));

	if (right)
		printf("%*s%s", MAX(pad, 0), "", v);
	else
		printf("%s%*s", v, last ? 0 : MAX(pad, 0), "");
	fputs(last ? "\n" : "  ", stdout);
}

static void print_table(const PGresult *r)
{
	enum { COLUMNS_MAX = 32 };
	int n = MIN(PQnfields(r), COLUMNS_MAX), width[COLUMNS_MAX];

	for (int col = 0; col < n; col++) {
		width[col] = column_width(r, col);
		print_cell(PQfname(r, col), width[col], is_number(PQftype(r, col)), col + 1 == n);
	}
	for (int row = 0; row < PQntuples(r); row++)
		for (int col = 0; col < n; col++)
			print_cell(PQgetvalue(r, row, col), width[col], is_number(PQftype(r, col)),
				   col + 1 == n);
}

void cli_print(const struct cli *c, const PGresult *r)
{
	if (c->json)
		print_json(r);
	else
		print_table(r);
}

void cli_print_one(const struct cli *c, const char *const *names, const char *const *values)
{
	struct buf out = BUF_INIT;
	struct json j;

	if (!c->json) {
		for (; *names; names++, values++)
			printf("%-18s %s\n", *names, *values ? *values : "-");
		return;
	}
	json_init(&j, &out);
	json_object_begin(&j);
	for (; *names; names++, values++)
		json_kstr(&j, *names, *values);
	json_object_end(&j);
	if (!buf_err(&out))
		puts(out.data);
	buf_fini(&out);
}
