/*
 * covers what common/base does without memory: the nth allocation fails, for each n until all pass
 *
 * The linker sends the allocations of the program's own objects (--wrap) here; those of the
 * libraries it uses are left alone.
 */
#include <errno.h>
#include <sys/stat.h>
#include "common/base/config.h"
#include "common/base/json.h"
#include "common/base/metrics.h"
#include "common/base/xml.h"
#include "common/base/zone.h"
#include "tests/lib/test.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

static unsigned left; /* allocations until the one that fails; 0: none does */
static bool failed;

static bool fails(void)
{
	if (!left || --left)
		return false;
	failed = true;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}
void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}
void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, n, size);
}
char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}
char *__wrap_strndup(const char *s, size_t n)
{
	return fails() ? NULL : __real_strndup(s, n);
}

/* work() gives 0, or -ENOMEM exactly when an allocation failed; returns how many were tried */
static unsigned fail_each(int (*work)(void))
{
	for (unsigned n = 1;; n++) {
		int r;

		left = n;
		failed = false;
		r = work();
		left = 0;
		if (!failed) {
			ASSERT_OK(r);
			return n - 1;
		}
		if (r != -ENOMEM)
			TEST_FAIL("allocation %u failed and the result is %d", n, r);
		ASSERT_LT(n, 10000u);
	}
}

static int grow_buf(void)
{
	_cleanup_(buf_fini) struct buf b = BUF_INIT;

	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "line %d\n", i);
	return buf_err(&b);
}

static int write_json(void)
{
	_cleanup_(buf_fini) struct buf out = BUF_INIT;
	struct json j;

	json_init(&j, &out);
	json_array_begin(&j);
	for (int i = 0; i < 100; i++) {
		json_object_begin(&j);
		json_kstr(&j, "a\n", "b\"");
		json_object_end(&j);
	}
	json_array_end(&j);
	return buf_err(&out);
}

static int write_xml(void)
{
	_cleanup_(buf_fini) struct buf out = BUF_INIT;
	_cleanup_(xml_freep) struct xml *x = NULL;
	int r = xml_new(&x, &out);

	if (r)
		return r;
	xml_open(x, "list");
	for (int i = 0; i < 500; i++)
		xml_text(x, "t", "a\x01" "b");
	xml_close(x);
	return xml_end(x);
}

static int make_zone(void)
{
	_cleanup_(zone_freep) struct zone *z = NULL;

	return zone_new(&z, "Europe/Madrid");
}

static int load_config(void)
{
	static const struct config_key keys[] = {
		{ "store", "dsn", CONFIG_STR, "a", 0, 0, "text" },
		{ "store", "secret", CONFIG_SECRET_FILE, "", 0, 0, "secret" },
		{ .section = NULL },
	};
	static const struct config_key *const tables[] = { keys, NULL };
	static const char *const sets[] = { "store.dsn=b", NULL };
	_cleanup_(config_freep) struct config *c = NULL, *again = NULL;
	int r = config_load_file(&c, test_path("c.conf"), sets, tables);

	return r ? r : config_reload(c, &again);
}

TEST(builders_remember_it)
{
	ASSERT_GT(fail_each(grow_buf), 5u);
	ASSERT_GT(fail_each(write_json), 3u);
	ASSERT_GT(fail_each(write_xml), 3u);
	ASSERT_EQ(fail_each(make_zone), 1u);
}

TEST(a_configuration_is_whole_or_not_there)
{
	test_write_file(test_path("c.conf"), "[store]\ndsn = c\n");
	ASSERT_EQ(mkdir(test_path("conf.d"), 0755), 0);
	test_write_file(test_path("conf.d/a.conf"), "[store]\ndsn = d\n");
	test_write_file(test_path("conf.d/b.conf"), "[store]\ndsn = e\n");
	ASSERT_GT(fail_each(load_config), 15u);
}

TEST(metrics_go_on_with_a_sink)
{
	static const struct metric_def defs[] = {
		{ METRIC_COUNTER, "a_total", "a", "x" },
		{ METRIC_SECONDS, "b_seconds", "b", "" },
	};

	for (unsigned n = 1, done = false; !done; n++) {
		_cleanup_(metrics_freep) struct metrics *m = NULL;
		int base, r;

		left = n;
		failed = false;
		r = metrics_new(&m);
		base = r ? r : metrics_register(m, defs, ARRAY_SIZE(defs));
		ASSERT_TRUE(base >= 0 || (failed && base == -ENOMEM));
		for (int i = 0; base >= 0 && i < 20; i++) {
			char label[2] = { (char)('a' + i), '\0' };

			series_add(metrics_series(m, base, label), 1);
			series_observe(metrics_series(m, base + 1), 1);
		}
		left = 0;
		done = !failed;
	}
}
