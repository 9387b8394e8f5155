/* covers common/base/config.c and config_cli.c */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/config.h"
#include "tests/lib/test.h"

static const struct config_key keys[] = {
	{ "store", "dsn", CONFIG_STR, "host=/run/postgresql", 1, 200, "connection string" },
	{ "store", "connections", CONFIG_INT, "4", 1, 64, "connections" },
	{ "store", "group_ms", CONFIG_MS, "3000", 100, 60000, "time of a group" },
	{ "intake", "body-max", CONFIG_BYTES, "1M", 1024, 1 << 30, "bytes of a body" },
	{ "intake", "open", CONFIG_BOOL, "true", 0, 0, "whether it is open" },
	{ "intake", "folder", CONFIG_PATH, "/var/lib/centraleta", 0, 0, "photos" },
	{ "service", "secret_file", CONFIG_SECRET_FILE, "", 0, 0, "secret" },
	{ .section = NULL },
};
static const struct config_key more_keys[] = {
	{ "routing", "batch_max", CONFIG_INT, "256", 1, 4096, "events of a batch" },
	{ .section = NULL },
};
static const struct config_key *const tables[] = { keys, more_keys, NULL };

static struct config *load(const char *file, const char *const *sets)
{
	struct config *c;

	ASSERT_OK(config_load_file(&c, file, sets, tables));
	return c;
}

static const char *write_conf(const char *content)
{
	test_write_file(test_path("c.conf"), content);
	return test_path("c.conf");
}

/* what is told when this content is refused; static */
static const char *refusal(const char *content, const char *const *sets)
{
	static char told[4096];
	struct config *c = NULL;
	char *text;
	int r;

	test_stderr_begin();
	r = config_load_file(&c, content ? write_conf(content) : NULL, sets, tables);
	text = test_stderr_end();
	snprintf(told, sizeof(told), "%s", text);
	free(text);
	ASSERT_EQ(r, -EINVAL);
	ASSERT_NULL(c);
	return told;
}

TEST(fallbacks_without_a_file)
{
	_cleanup_(config_freep) struct config *c = load(NULL, NULL);

	ASSERT_STR_EQ(config_str(c, "store.dsn"), "host=/run/postgresql");
	ASSERT_EQ(config_int(c, "store.connections"), 4);
	ASSERT_EQ(config_int(c, "store.group_ms"), 3000);
	ASSERT_EQ(config_int(c, "intake.body-max"), 1 << 20);
	ASSERT_TRUE(config_bool(c, "intake.open"));
	ASSERT_EQ(config_int(c, "routing.batch_max"), 256);
	ASSERT_NULL(config_secret(c, "service.secret_file"));
}

TEST(a_file_is_read)
{
	_cleanup_(config_freep) struct config *c =
		load(write_conf("# of the town\n[store]\ndsn = host=a;b port=1 # no comment\n"
				"connections=8\n\n[intake]\nbody-max = 2K\nopen = no\n"),
		     NULL);

	ASSERT_STR_EQ(config_str(c, "store.dsn"), "host=a;b port=1 # no comment");
	ASSERT_EQ(config_int(c, "store.connections"), 8);
	ASSERT_EQ(config_int(c, "intake.body-max"), 2048);
	ASSERT_FALSE(config_bool(c, "intake.open"));
}

TEST(later_layers_win)
{
	static const char *const sets[] = { "store.dsn=of set", NULL };
	_cleanup_(config_freep) struct config *c = NULL, *with_env = NULL, *with_set = NULL;
	const char *file = write_conf("[store]\ndsn = main\nconnections = 2\ngroup_ms = 200\n");

	ASSERT_EQ(mkdir(test_path("conf.d"), 0755), 0);
	test_write_file(test_path("conf.d/20-b.conf"), "[store]\ndsn = b\n");
	test_write_file(test_path("conf.d/10-a.conf"), "[store]\ndsn = a\nconnections = 3\n");
	test_write_file(test_path("conf.d/30-c.conf.bak"), "[store]\ndsn = backup\n");
	test_write_file(test_path("conf.d/.hidden.conf"), "[store]\ndsn = hidden\n");
	c = load(file, NULL);
	ASSERT_STR_EQ(config_str(c, "store.dsn"), "b");
	ASSERT_EQ(config_int(c, "store.connections"), 3);
	ASSERT_EQ(config_int(c, "store.group_ms"), 200);

	setenv("CENTRALETA_STORE_DSN", "of environment", 1);
	setenv("CENTRALETA_INTAKE_BODY_MAX", "4K", 1);
	with_env = load(file, NULL);
	with_set = load(file, sets);
	unsetenv("CENTRALETA_STORE_DSN");
	unsetenv("CENTRALETA_INTAKE_BODY_MAX");
	ASSERT_STR_EQ(config_str(with_env, "store.dsn"), "of environment");
	ASSERT_EQ(config_int(with_env, "intake.body-max"), 4096);
	ASSERT_STR_EQ(config_str(with_set, "store.dsn"), "of set");
}

TEST(a_folder_holds_256_files)
{
	_cleanup_(config_freep) struct config *c = NULL;
	char name[32];

	ASSERT_EQ(mkdir(test_path("conf.d"), 0755), 0);
	for (int i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "conf.d/%d.conf", i);
		test_write_file(test_path(name), "[store]\nconnections = 7\n");
	}
	c = load(write_conf(""), NULL);
	ASSERT_EQ(config_int(c, "store.connections"), 7);
	test_write_file(test_path("conf.d/one-more.conf"), "");
	ASSERT_HAS(refusal("", NULL), "conf.d: more than 256 files");
}

TEST(an_unknown_key_names_line_and_nearest)
{
	const char *told = refusal("[store]\n\n# comment\nconections = 8\n", NULL);

	ASSERT_HAS(told, "/c.conf:4: unknown key store.conections; the nearest is store.connections");
	told = refusal("[rooting]\nbatch_max = 8\n", NULL);
	ASSERT_HAS(told, "/c.conf:2: unknown key rooting.batch_max; the nearest is routing.batch_max");
	told = refusal("batch_max = 8\n", NULL);
	ASSERT_HAS(told, "/c.conf:1: unknown key .batch_max");
}

TEST(sections_of_other_programs_are_left_to_them)
{
	static const char *const sets[] = { "dispatch.credit_max=9", NULL };
	_cleanup_(config_freep) struct config *c = NULL;

	c = load(write_conf("[dispatch]\ncredit_max = any\n[routing]\nbatch_max = 9\n"), NULL);
	ASSERT_EQ(config_int(c, "routing.batch_max"), 9);
	ASSERT_HAS(refusal("[dispach]\ncredit_max = 9\n", NULL), "unknown key dispach.credit_max");
	ASSERT_HAS(refusal(NULL, sets), "--set: unknown key dispatch.credit_max");
}

TEST(values_are_judged)
{
	static const struct { const char *content, *told; } cases[] = {
		{ "[store]\nconnections = 0\n", "c.conf:2: store.connections = 0: out of range (1 to 64)" },
		{ "[store]\nconnections = 65\n", "out of range (1 to 64)" },
		{ "[store]\nconnections = four\n", "c.conf:2: store.connections = four: not a whole number" },
		{ "[store]\nconnections =\n", "c.conf:2: store.connections" },
		{ "[store]\ngroup_ms = 3s\n", "not a whole number of milliseconds" },
		{ "[store]\ndsn =\n", "c.conf:2: store.dsn: out of range (length 1 to 200)" },
		{ "[intake]\nbody-max = 1T\n", "not a number of bytes (suffixes K, M, G)" },
		{ "[intake]\nbody-max = 9999999999G\n", "not a number of bytes" },
		{ "[intake]\nbody-max = 2G\n", "out of range" },
		{ "[intake]\nbody-max = K\n", "not a number of bytes" },
		{ "[intake]\nopen = perhaps\n", "c.conf:2: intake.open = perhaps: neither true nor false" },
		{ "[store]\ndsn = \xff\n", "not UTF-8 text of one line" },
		{ "[store\n", "c.conf:1: neither [section], key = value nor # comment" },
		{ "[store]\nnonsense\n", "c.conf:2: neither" },
	};

	FOREACH(c, cases)
		ASSERT_HAS(refusal(c->content, NULL), c->told);
}

TEST(all_problems_are_told_at_once)
{
	const char *told = refusal("[store]\nconnections = 0\ngroup_ms = x\n[nowhere]\nx = 1\n", NULL);

	ASSERT_HAS(told, "c.conf:2:");
	ASSERT_HAS(told, "c.conf:3:");
	ASSERT_HAS(told, "c.conf:5:");
}

TEST(a_line_too_long_is_told)
{
	char content[6000];

	memset(content, 'a', sizeof(content));
	memcpy(content, "[store]\ndsn = ", 14);
	strcpy(content + 5000, "\nconnections = 0\n");
	ASSERT_HAS(refusal(content, NULL), "c.conf:2: line is longer than");
	ASSERT_HAS(refusal(content, NULL), "c.conf:3: store.connections");
}

TEST(other_sources_name_themselves)
{
	static const char *const no_equals[] = { "store.connections", NULL };
	static const char *const no_dot[] = { "connections=3", NULL };
	static const char *const too_big[] = { "store.connections=99", NULL };

	ASSERT_HAS(refusal(NULL, no_equals), "--set store.connections: not section.key=value");
	ASSERT_HAS(refusal(NULL, no_dot), "--set connections=3: not section.key=value");
	ASSERT_HAS(refusal(NULL, too_big), "--set: store.connections = 99: out of range");
	setenv("CENTRALETA_STORE_CONNECTIONS", "99", 1);
	ASSERT_HAS(refusal("", NULL), "CENTRALETA_STORE_CONNECTIONS: store.connections = 99");
	unsetenv("CENTRALETA_STORE_CONNECTIONS");
}

TEST(a_password_in_a_text_is_not_told)
{
	char content[400];

	snprintf(content, sizeof(content), "[store]\ndsn = password=hunter2 %0250d\n", 1);
	ASSERT_NULL(strstr(refusal(content, NULL), "hunter2"));
}

TEST(a_file_that_is_not_there_is_told)
{
	struct config *c;
	char *told;

	test_stderr_begin();
	ASSERT_EQ(config_load_file(&c, "/nowhere/c.conf", NULL, tables), -EINVAL);
	told = test_stderr_end();
	ASSERT_HAS(told, "/nowhere/c.conf: No such file or directory");
	free(told);
}

TEST(a_secret_is_read_from_its_file)
{
	_cleanup_(config_freep) struct config *c = NULL;
	char content[300];

	test_write_file(test_path("secret"), "0123456789abcdef0123456789abcdef\n");
	snprintf(content, sizeof(content), "[service]\nsecret_file = %s\n", test_path("secret"));
	c = load(write_conf(content), NULL);
	ASSERT_STR_EQ(config_secret(c, "service.secret_file"), "0123456789abcdef0123456789abcdef");
	ASSERT_STR_EQ(config_str(c, "service.secret_file"), test_path("secret"));
}

TEST(a_credential_comes_first)
{
	_cleanup_(config_freep) struct config *c = NULL;

	test_write_file(test_path("service.secret_file"), "of the credential");
	setenv("CREDENTIALS_DIRECTORY", test_folder(), 1);
	c = load(write_conf("[service]\nsecret_file = /nowhere\n"), NULL);
	unsetenv("CREDENTIALS_DIRECTORY");
	ASSERT_STR_EQ(config_secret(c, "service.secret_file"), "of the credential");
}

TEST(an_unreadable_secret_is_told_and_null)
{
	_cleanup_(config_freep) struct config *c = NULL;
	const char *file = write_conf("[service]\nsecret_file = /nowhere/secret\n");
	char *told;

	test_stderr_begin();
	c = load(file, NULL);
	told = test_stderr_end();
	ASSERT_HAS(told, "/nowhere/secret (service.secret_file): No such file or directory");
	ASSERT_NULL(config_secret(c, "service.secret_file"));
	free(told);
	setenv("CENTRALETA_SERVICE_SECRET_FILE", "/nowhere", 1);
	ASSERT_HAS(refusal("", NULL), "CENTRALETA_SERVICE_SECRET_FILE: not taken from the environment");
	unsetenv("CENTRALETA_SERVICE_SECRET_FILE");
}

TEST(a_reload_takes_the_new_or_keeps_the_old)
{
	static const char *const sets[] = { "routing.batch_max=7", NULL };
	_cleanup_(config_freep) struct config *old = NULL, *new = NULL, *wrong = NULL;
	char *told;

	old = load(write_conf("[store]\nconnections = 5\n"), sets);
	write_conf("[store]\nconnections = 6\n");
	ASSERT_OK(config_reload(old, &new));
	ASSERT_EQ(config_int(old, "store.connections"), 5);
	ASSERT_EQ(config_int(new, "store.connections"), 6);
	ASSERT_EQ(config_int(new, "routing.batch_max"), 7);
	write_conf("[store]\nconnections = many\n");
	test_stderr_begin();
	ASSERT_EQ(config_reload(new, &wrong), -EINVAL);
	told = test_stderr_end();
	ASSERT_HAS(told, "config.problem");
	ASSERT_HAS(told, "c.conf:2: store.connections = many: not a whole number");
	ASSERT_NULL(wrong);
	free(told);
}

/* stdout of one call of config_load(), to be freed by the caller */
static char *answer(int want, const char *const *arguments)
{
	const char *argv[8] = { "routing" };
	struct config *c = NULL;
	int argc = 1, r, real = dup(STDOUT_FILENO);

	while (arguments[argc - 1]) {
		argv[argc] = arguments[argc - 1];
		argc++;
	}
	fflush(stdout);
	ASSERT_NOT_NULL(freopen(test_path("stdout"), "w", stdout));
	r = config_load(&c, argc, (char **)argv, "centraleta-routing", tables);
	fflush(stdout);
	dup2(real, STDOUT_FILENO);
	close(real);
	config_free(c);
	ASSERT_EQ(r, want);
	return test_read_file(test_path("stdout"), NULL);
}

TEST(questions_are_answered)
{
	static const char *const version[] = { "--version", NULL };
	static const char *const help[] = { "--help", NULL };
	static const char *const check[] = { "--check", "--set", "store.connections=9", NULL };
	char *text = answer(CONFIG_E_DONE, version);

	ASSERT_STR_EQ(text, "centraleta-routing " CENTRALETA_VERSION "\n");
	free(text);
	text = answer(CONFIG_E_DONE, help);
	ASSERT_HAS(text, "store.connections = 4\n      connections [1 to 64]");
	free(text);
	text = answer(CONFIG_E_DONE, check);
	ASSERT_HAS(text, "the configuration is right");
	free(text);
}

TEST(a_dump_can_be_loaded)
{
	static const char *const dump[] = { "--dump-config", "--set", "store.connections=9", NULL };
	_cleanup_(config_freep) struct config *c = NULL;
	char *text = answer(CONFIG_E_DONE, dump);

	c = load(write_conf(text), NULL);
	free(text);
	ASSERT_EQ(config_int(c, "store.connections"), 9);
	ASSERT_EQ(config_int(c, "intake.body-max"), 1 << 20);
	ASSERT_EQ(config_int(c, "routing.batch_max"), 256);
}

TEST(a_wrong_command_line_is_refused)
{
	static const char *const unknown[] = { "--verbose", NULL };
	static const char *const extra[] = { "now", NULL };
	static const char *const bad[] = { "--check", "--set", "store.connections=0", NULL };
	char *told;

	test_stderr_begin();
	free(answer(-EINVAL, unknown));
	free(answer(-EINVAL, extra));
	free(answer(-EINVAL, bad));
	told = test_stderr_end();
	ASSERT_HAS(told, "verbose");
	ASSERT_HAS(told, "unexpected argument now");
	ASSERT_HAS(told, "store.connections = 0: out of range");
	free(told);
}
