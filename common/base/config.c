/*
 * config - layers of text over a table of known keys
 *
 * A load goes through all layers and collects every problem before it gives up, so that one run
 * shows the operator the whole list. inih has no room for a reason or a line of its own: the
 * reader counts the lines, the handler never fails.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/config.h"
#include "common/base/log.h"
#include "common/base/text.h"

/* of the programs that share the installation's files; each judges its own */
static const char *const shared_sections[] = {
	"store", "bus", "service", "admin", "log", "eventlog", "intake", "routing", "dispatch",
	"notification", "analytics", "cli",
};

#define DEFAULT_FILE "/etc/centraleta/centraleta.conf"
#define LINE_MAX_BYTES 4096
#define FILES_MAX 256
#define SECRET_MAX 4096

struct setting {
	const struct config_key *key;
	char *text;
	int64_t number; /* INT, MS, BYTES, BOOL */
	char *secret; /* of SECRET_FILE; NULL: none */
	bool given; /* not the fallback */
};

struct config {
	const struct config_key *const *tables;
	char *file; /* NULL: none named */
	char **sets; /* NULL-terminated */
	struct setting *settings;
	size_t n;
};

/* one run through the layers */
struct load {
	struct config *config;
	struct buf problems, notes; /* lines */
	FILE *stream;
	const char *file;
	unsigned line;
};

void config_free(struct config *c)
{
	if (!c)
		return;
	for (struct setting *s = c->settings; s < c->settings + c->n; s++) {
		if (s->secret)
			sodium_memzero(s->secret, strlen(s->secret));
		free(s->secret);
		free(s->text);
	}
	for (char **s = c->sets; s && *s; s++)
		free(*s);
	free(c->sets);
	free(c->settings);
	free(c->file);
	free(c);
}

static struct setting *find(const struct config *c, const char *section, size_t section_len,
			    const char *name)
{
	for (struct setting *s = c->settings; s < c->settings + c->n; s++) {
		if (strlen(s->key->section) == section_len &&
		    !memcmp(s->key->section, section, section_len) && !strcmp(s->key->name, name))
			return s;
	}
	return NULL;
}

static const struct setting *get(const struct config *c, const char *name)
{
	const char *dot = strchr(name, '.');
	const struct setting *s = dot ? find(c, name, (size_t)(dot - name), dot + 1) : NULL;

	assert(s); /* a key that no table has */
	return s;
}

const char *config_str(const struct config *c, const char *name)
{
	return get(c, name)->text;
}

int64_t config_int(const struct config *c, const char *name)
{
	const struct setting *s = get(c, name);

	assert(s->key->kind == CONFIG_INT || s->key->kind == CONFIG_MS ||
	       s->key->kind == CONFIG_BYTES);
	return s->number;
}

bool config_bool(const struct config *c, const char *name)
{
	const struct setting *s = get(c, name);

	assert(s->key->kind == CONFIG_BOOL);
	return s->number;
}

const char *config_secret(const struct config *c, const char *name)
{
	const struct setting *s = get(c, name);

	assert(s->key->kind == CONFIG_SECRET_FILE);
	return s->secret;
}

/* ---- values -------------------------------------------------------------------------------- */

static int parse_bool(const char *s, int64_t *ret)
{
	static const char *const yes[] = { "true", "yes", "on", "1" };
	static const char *const no[] = { "false", "no", "off", "0" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (!strcmp(s, yes[i]) || !strcmp(s, no[i])) {
			*ret = !strcmp(s, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_bytes(const char *s, int64_t *ret)
{
	static const char units[] = "KMG";
	size_t len = strlen(s);
	const char *unit = len ? strchr(units, s[len - 1]) : NULL;
	int64_t v;

	if (!text_to_i64(s, len - !!unit, &v) ||
	    (unit && __builtin_mul_overflow(v, (int64_t)1 << (10 * (unit - units + 1)), &v)))
		return -EINVAL;
	*ret = v;
	return 0;
}

/* NULL: right, and *ret_number is set; else what is wrong with it */
static const char *judge(const struct config_key *k, const char *s, int64_t *ret_number)
{
	size_t len = strlen(s);
	int64_t v = 0, measure;

	if (!text_valid(s, len) || text_has_control(s, len))
		return "not UTF-8 text of one line";
	switch (k->kind) {
	case CONFIG_INT:
	case CONFIG_MS:
		if (!text_to_i64(s, len, &v))
			return k->kind == CONFIG_INT ? "not a whole number" :
						       "not a whole number of milliseconds";
		break;
	case CONFIG_BYTES:
		if (parse_bytes(s, &v) < 0)
			return "not a number of bytes (suffixes K, M, G)";
		break;
	case CONFIG_BOOL:
		if (parse_bool(s, &v) < 0)
			return "neither true nor false";
		break;
	case CONFIG_STR:
	case CONFIG_PATH:
	case CONFIG_SECRET_FILE:
		break;
	}
	*ret_number = v;
	measure = k->kind == CONFIG_STR ? (int64_t)text_length(s, len) : v;
	if (k->kind == CONFIG_PATH || k->kind == CONFIG_SECRET_FILE || k->kind == CONFIG_BOOL)
		return len > 4095 ? "longer than a path may be" : NULL;
	return (k->min || k->max) && (measure < k->min || measure > k->max) ? "out of range" : NULL;
}

static void report_value(struct load *l, const char *where, const struct config_key *k,
			 const char *value, const char *why)
{
	buf_printf(&l->problems, "%s: %s.%s", where, k->section, k->name);
	/* a text may hold a password */
	if (k->kind != CONFIG_STR && text_valid(value, strlen(value)))
		buf_printf(&l->problems, " = %.60s", value);
	buf_printf(&l->problems, ": %s", why);
	if (!strcmp(why, "out of range"))
		buf_printf(&l->problems, " (%s%lld to %lld)",
			   k->kind == CONFIG_STR ? "length " : "", (long long)k->min,
			   (long long)k->max);
	buf_ch(&l->problems, '\n');
}

static void put(struct load *l, struct setting *s, const char *value, const char *where)
{
	const char *why = judge(s->key, value, &s->number);
	char *text;

	if (why) {
		report_value(l, where, s->key, value, why);
		return;
	}
	text = strdup(value);
	if (!text) {
		l->problems.err = -ENOMEM;
		return;
	}
	free(s->text);
	s->text = text;
}

static void report_unknown(struct load *l, const char *where, const char *section, const char *name)
{
	char want[128], have[128];
	const struct config_key *nearest = NULL;
	unsigned least = UINT32_MAX;

	snprintf(want, sizeof(want), "%.62s.%.62s", section, name);
	for (struct setting *s = l->config->settings; s < l->config->settings + l->config->n; s++) {
		unsigned d;

		snprintf(have, sizeof(have), "%.62s.%.62s", s->key->section, s->key->name);
		d = text_distance(want, have);
		if (d < least) {
			least = d;
			nearest = s->key;
		}
	}
	buf_printf(&l->problems, "%s: unknown key %s", where, want);
	if (nearest)
		buf_printf(&l->problems, "; the nearest is %s.%s", nearest->section, nearest->name);
	buf_ch(&l->problems, '\n');
}

static void give(struct load *l, const char *section, size_t section_len, const char *name,
		 const char *value, const char *where)
{
	struct setting *s = find(l->config, section, section_len, name);
	char copy[64];

	if (!s) {
		snprintf(copy, sizeof(copy), "%.*s", (int)MIN(section_len, 62u), section);
		report_unknown(l, where, copy, name);
		return;
	}
	s->given = true;
	put(l, s, value, where);
}

/* ---- files --------------------------------------------------------------------------------- */

static char *read_line(char *line, int room, void *stream)
{
	struct load *l = stream;
	char *got = fgets(line, room, l->stream);

	if (!got)
		return NULL;
	l->line++;
	if (strlen(got) == (size_t)room - 1 && got[room - 2] != '\n') {
		buf_printf(&l->problems, "%s:%u: line is longer than %d bytes\n", l->file, l->line,
			   room - 2);
		for (int c = getc(l->stream); c != EOF && c != '\n';)
			c = getc(l->stream);
		got[0] = '\0';
	}
	return got;
}

static bool of_others(const struct config *c, const char *section)
{
	for (const struct setting *s = c->settings; s < c->settings + c->n; s++) {
		if (!strcmp(s->key->section, section))
			return false;
	}
	FOREACH(name, shared_sections) {
		if (!strcmp(*name, section))
			return true;
	}
	return false;
}

static int on_pair(void *ctx, const char *section, const char *name, const char *value)
{
	struct load *l = ctx;
	char where[300];

	if (of_others(l->config, section))
		return 1;
	snprintf(where, sizeof(where), "%.280s:%u", l->file, l->line);
	give(l, section, strlen(section), name, value ? value : "", where);
	return 1;
}

static void load_file(struct load *l, const char *file)
{
	int r;

	l->stream = fopen(file, "re");
	if (!l->stream) {
		buf_printf(&l->problems, "%s: %s\n", file, strerror(errno));
		return;
	}
	l->file = file;
	l->line = 0;
	ini_allow_multiline = false;
	ini_allow_inline_comments = false;
	ini_max_line = LINE_MAX_BYTES;
	r = ini_parse_stream(read_line, l, on_pair, l);
	if (r > 0)
		buf_printf(&l->problems, "%s:%d: neither [section], key = value nor # comment\n",
			   file, r);
	else if (r < 0)
		buf_printf(&l->problems, "%s: can't be read\n", file);
	else if (ferror(l->stream))
		buf_printf(&l->problems, "%s: %s\n", file, strerror(errno));
	fclose(l->stream);
	l->stream = NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_conf(const char *name)
{
	size_t n = strlen(name);

	return name[0] != '.' && n > 5 && !strcmp(name + n - 5, ".conf");
}

/* names of *.conf in lexical order, to be freed by the caller */
static size_t list_folder(struct load *l, const char *folder, char *names[static FILES_MAX])
{
	DIR *d = opendir(folder);
	struct dirent *e;
	size_t n = 0;

	if (!d) {
		if (errno != ENOENT)
			buf_printf(&l->problems, "%s: %s\n", folder, strerror(errno));
		return 0;
	}
	while ((e = readdir(d))) {
		if (!is_conf(e->d_name))
			continue;
		if (n == FILES_MAX) {
			buf_printf(&l->problems, "%s: more than %d files\n", folder, FILES_MAX);
			break;
		}
		names[n] = strdup(e->d_name);
		if (!names[n]) {
			l->problems.err = -ENOMEM;
			break;
		}
		n++;
	}
	closedir(d);
	qsort(names, n, sizeof(names[0]), by_name);
	return n;
}

static void load_folder(struct load *l, const char *file)
{
	const char *slash = strrchr(file, '/');
	char folder[4096], path[4400], *names[FILES_MAX];
	size_t n;

	snprintf(folder, sizeof(folder), "%.*sconf.d", slash ? (int)(slash - file + 1) : 0, file);
	n = list_folder(l, folder, names);
	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		load_file(l, path);
		free(names[i]);
	}
}

static void load_files(struct load *l)
{
	const char *file = l->config->file;

	if (!file && access(DEFAULT_FILE, F_OK) < 0)
		return;
	file = file ? file : DEFAULT_FILE;
	load_file(l, file);
	load_folder(l, file);
}

/* ---- environment, command line, secrets ------------------------------------------------------ */

static void load_environment(struct load *l)
{
	char name[160];

	for (struct setting *s = l->config->settings; s < l->config->settings + l->config->n; s++) {
		const char *value;
		int n = snprintf(name, sizeof(name), "CENTRALETA_%s_%s", s->key->section,
				 s->key->name);

		assert(n > 0 && (size_t)n < sizeof(name));
		for (char *p = name; *p; p++)
			*p = *p == '.' || *p == '-' ? '_' :
			     *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') :
						      *p;
		value = getenv(name);
		if (!value)
			continue;
		if (s->key->kind == CONFIG_SECRET_FILE) {
			buf_printf(&l->problems, "%s: not taken from the environment\n", name);
			continue;
		}
		s->given = true;
		put(l, s, value, name);
	}
}

static void load_sets(struct load *l)
{
	for (char **p = l->config->sets; p && *p; p++) {
		const char *equals = strchr(*p, '='), *dot = strchr(*p, '.');
		char name[64];

		if (!equals || !dot || dot > equals) {
			buf_printf(&l->problems, "--set %.60s: not section.key=value\n", *p);
			continue;
		}
		snprintf(name, sizeof(name), "%.*s", (int)MIN(equals - dot - 1, 62), dot + 1);
		give(l, *p, (size_t)(dot - *p), name, equals + 1, "--set");
	}
}

/* content without the trailing newline; NULL and a reason */
static char *read_secret(const char *path, const char **ret_why)
{
	char content[SECRET_MAX + 2], *copy = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, content, sizeof(content));
	size_t len = n > 0 ? (size_t)n : 0;

	*ret_why = n < 0 ? strerror(errno) : "empty, not text, or more than 4,096 bytes";
	if (fd >= 0)
		close(fd);
	if (len && content[len - 1] == '\n')
		len--;
	if (len && content[len - 1] == '\r')
		len--;
	if (len && len <= SECRET_MAX && !memchr(content, '\0', len))
		copy = strndup(content, len);
	sodium_memzero(content, sizeof(content));
	return copy;
}

static void load_secret(struct load *l, struct setting *s)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY"), *why;
	char path[4400];

	if (folder) {
		snprintf(path, sizeof(path), "%.4095s/%s.%s", folder, s->key->section,
			 s->key->name);
		if (access(path, F_OK) == 0) {
			s->secret = read_secret(path, &why);
			if (!s->secret)
				buf_printf(&l->notes, "%s: %s\n", path, why);
			return;
		}
	}
	if (!s->text[0])
		return;
	s->secret = read_secret(s->text, &why);
	if (!s->secret && (s->given || access(s->text, F_OK) == 0))
		buf_printf(&l->notes, "%s (%s.%s): %s\n", s->text, s->key->section, s->key->name,
			   why);
}

/* ---- a whole load ---------------------------------------------------------------------------- */

static int add_settings(struct config *c)
{
	size_t n = 0;

	for (const struct config_key *const *t = c->tables; *t; t++) {
		for (const struct config_key *k = *t; k->section; k++)
			n++;
	}
	c->settings = calloc(n + 1, sizeof(*c->settings));
	if (!c->settings)
		return -ENOMEM;
	for (const struct config_key *const *t = c->tables; *t; t++) {
		for (const struct config_key *k = *t; k->section; k++) {
			struct setting *s;

			assert(!find(c, k->section, strlen(k->section), k->name)); /* told twice */
			s = &c->settings[c->n];
			s->key = k;
			s->text = strdup(k->fallback);
			if (!s->text)
				return -ENOMEM;
			c->n++;
			if (judge(k, k->fallback, &s->number))
				assert(!"a fallback that its own key refuses");
		}
	}
	return 0;
}

static int copy_sources(struct config *c, const char *file, const char *const *sets)
{
	size_t n = 0;

	while (sets && sets[n])
		n++;
	c->sets = calloc(n + 1, sizeof(*c->sets));
	c->file = file ? strdup(file) : NULL;
	if (!c->sets || (file && !c->file))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		c->sets[i] = strdup(sets[i]);
		if (!c->sets[i])
			return -ENOMEM;
	}
	return 0;
}

static void tell_stderr(const char *lines)
{
	for (const char *p = lines; *p;) {
		size_t n = strcspn(p, "\n");

		fprintf(stderr, "configuration: %.*s\n", (int)n, p);
		p += n + (p[n] == '\n');
	}
}

static void tell_log(const char *lines)
{
	for (const char *p = lines; *p;) {
		size_t n = strcspn(p, "\n");

		log_error("config.problem", "what=\"%.*s\"", (int)n, p);
		p += n + (p[n] == '\n');
	}
}

static int load(struct config **ret, const char *file, const char *const *sets,
		const struct config_key *const *tables, void (*tell)(const char *lines))
{
	_cleanup_(config_freep) struct config *c = calloc(1, sizeof(*c));
	struct load l = { .config = c };
	int r;

	if (!c)
		return -ENOMEM;
	c->tables = tables;
	r = copy_sources(c, file, sets);
	if (!r)
		r = add_settings(c);
	if (r < 0)
		return r;
	load_files(&l);
	load_environment(&l);
	load_sets(&l);
	for (struct setting *s = c->settings; s < c->settings + c->n; s++) {
		if (s->key->kind == CONFIG_SECRET_FILE)
			load_secret(&l, s);
	}
	if (l.problems.len && !buf_err(&l.problems))
		tell(l.problems.data);
	if (l.notes.len)
		tell(l.notes.data);
	r = buf_err(&l.problems) ? buf_err(&l.problems) : l.problems.len ? -EINVAL : 0;
	buf_fini(&l.problems);
	buf_fini(&l.notes);
	if (!r)
		*ret = steal(c);
	return r;
}

int config_load_file(struct config **ret, const char *file, const char *const *sets,
		     const struct config_key *const *tables)
{
	return load(ret, file, sets, tables, tell_stderr);
}

int config_reload(const struct config *old, struct config **ret)
{
	return load(ret, old->file, (const char *const *)old->sets, old->tables, tell_log);
}
