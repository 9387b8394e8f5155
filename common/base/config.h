#pragma once
/*
 * config - INI files, a conf.d folder and the environment, against a table of known keys
 *
 * Later wins: the key's default; --config FILE (else /etc/centraleta/centraleta.conf when it is
 * there); FILE's folder conf.d, *.conf in lexical order; CENTRALETA_<SECTION>_<KEY> (upper case,
 * '.' and '-' as '_'), except for secrets; --set section.key=value. An unknown key is an error
 * that names the file, the line and the nearest known key; so is a value out of range. One file
 * serves the whole installation: in files, sections of the other programs are left to these.
 *
 * A table is keys.def: KEY(section, name, kind, "default", min, max, "what it is for")
 * with kind STR, INT (decimal), MS, BYTES (suffix K, M, G), BOOL, PATH, SECRET_FILE.
 */
#include "common/base/base.h"

enum config_kind {
	CONFIG_STR,
	CONFIG_INT,
	CONFIG_MS,
	CONFIG_BYTES,
	CONFIG_BOOL,
	CONFIG_PATH,
	CONFIG_SECRET_FILE, /* path of the secret; $CREDENTIALS_DIRECTORY/<section.key> first */
};

struct config_key {
	const char *section, *name;
	enum config_kind kind;
	const char *fallback;
	int64_t min, max; /* both 0: unchecked; of STR: length */
	const char *doc;
};

struct config;

enum { CONFIG_E_DONE = 1 };

/*
 * config_load() - takes the command line of a daemon
 * @tables:	NULL-terminated list of key tables, each ended by { .section = NULL }
 *
 * Knows --config FILE, --set section.key=value, --check, --dump-config, --version, --help.
 * Return: 0; CONFIG_E_DONE: the option was answered on stdout, leave with 0; -EINVAL: told on
 * stderr, leave with 78 (EX_CONFIG).
 */
int config_load(struct config **ret, int argc, char **argv, const char *program,
		const struct config_key *const *tables) _must_check_;
/* the same without a command line, for tests and tools: file may be NULL; sets is "s.k=v" list */
int config_load_file(struct config **ret, const char *file, const char *const *sets,
		     const struct config_key *const *tables) _must_check_;
/* reads everything again; 0 with a new object, -EINVAL told in the log: keep the old one */
int config_reload(const struct config *old, struct config **ret) _must_check_;
void config_free(struct config *c);
DEFINE_CLEANUP(struct config *, config_free)

/* name is "section.key"; asking for a key outside the tables is a bug */
const char *config_str(const struct config *c, const char *name);
int64_t config_int(const struct config *c, const char *name); /* INT, MS, BYTES */
bool config_bool(const struct config *c, const char *name);
/* content of a SECRET_FILE without a trailing newline; NULL: not set or unreadable (told) */
const char *config_secret(const struct config *c, const char *name);
