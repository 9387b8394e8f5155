/*
 * covers what intake's cores do without memory: the nth allocation fails, for each n until all pass
 *
 * The linker sends the allocations of the cores and of common/base (--wrap) here; those of the
 * libraries they use are left alone.
 */
#include <errno.h>
#include <sodium.h>
#include "services/intake/core_page.h"
#include "services/intake/core_queue.h"
#include "services/intake/core_view.h"
#include "tests/unit/intake/fixture.h"

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

/* what the fixture's assertions would end: rows that fail give their error back */
static int build_catalog(struct catalog **ret)
{
	static const struct town t = { .id = 1, .slug = "t", .jurisdiction_id = "t.test", .name = "T" };
	static const struct offer o = { .id = 2, .code = "o", .name = "O" };
	static const struct attribute a = { .code = "A", .datatype = DATA_SINGLE, .variable = true, .ord = 1 };
	struct catalog *c;
	int r = catalog_new(&c, 1);

	if (r)
		return r;
	r = catalog_add_town(c, &t, "Europe/Madrid");
	if (!r)
		r = catalog_add_lane(c, 1, 3);
	if (!r)
		r = catalog_add_offer(c, 1, &o);
	if (!r)
		r = catalog_add_attribute(c, 2, &a);
	if (!r)
		r = catalog_add_value(c, 2, "A", "v", "V");
	if (!r)
		r = catalog_add_department(c, 1, 4, "d", "D");
	if (!r)
		r = catalog_add_door(c, 1, 5, 2);
	if (!r)
		r = catalog_add_key(c, &(struct key){ .id = "k", .curve = "c" }, 5);
	if (r)
		catalog_unref(c);
	else
		*ret = c;
	return r;
}

static int make_catalog(void)
{
	struct catalog *c = NULL;
	int r = build_catalog(&c);

	catalog_unref(c);
	return r;
}

static struct catalog *shared; /* built with memory */
static struct submission sent;

static int make_entry(void)
{
	static const uint8_t unique[16];
	static const struct trace trace = { { 1 } };
	const struct checked k = { .language = LANG_EN, .channel = 2, .state = 5, .outcome = 1, .owner = 4 };
	struct buf scratch = BUF_INIT;
	struct entry *e = NULL;
	struct queue *q = NULL;
	int r = entry_new(&e, &sent, &k, shared, catalog_offer(shared, 2), catalog_door(shared, 5), unique,
			  &trace, &scratch);

	if (!r)
		r = entry_finish_history(e, 7);
	if (!r)
		r = queue_new(&q);
	if (!r)
		r = queue_add(q, e);
	if (!r)
		assert(queue_take(q, &e, 1) == 1);
	queue_free(q);
	entry_free(e);
	buf_fini(&scratch);
	return r;
}

static int write_answers(void)
{
	static const struct public_row row = { .request = 1, .offer = 2, .department = 4, .has_place = true,
					       .description = "d", .address = "a" };
	_cleanup_(buf_fini) struct buf out = BUF_INIT;
	struct field_errors e = { .n = 0 };
	struct render *w;

	field_errors_add(&e, "lat", FAULT_MISSING, 0);
	for (int f = FORMAT_JSON; f <= FORMAT_XML; f++) {
		render_services(&out, (enum format)f, catalog_town(shared, 1));
		render_definition(&out, (enum format)f, catalog_offer(shared, 2));
		render_field_errors(&out, (enum format)f, &e, LANG_ES, "T");
		if (render_requests_begin(&w, &out, (enum format)f))
			return -ENOMEM;
		render_request(w, shared, catalog_town(shared, 1), &row);
		render_requests_end(w);
	}
	page_home(&out, LANG_CA, shared);
	page_survey(&out, LANG_CA, "C", TEXT_N, -1, "");
	return buf_err(&out);
}

static int tell_story(void)
{
	static struct story s;
	struct view v;
	int r = story_note(&s, shared, 4, "note", 1);

	story_fini(&s);
	if (!r)
		r = view_init(&v, 10);
	if (!r)
		view_fini(&v);
	return r;
}

TEST(every_allocation_may_fail)
{
	ASSERT_TRUE(sodium_init() >= 0);
	ASSERT_OK(build_catalog(&shared));
	fixture_form(&sent, "attribute[A]=v&attribute[B]=free&description=d&idempotency_key=k");
	ASSERT_GT(fail_each(make_catalog), 2);
	ASSERT_GT(fail_each(make_entry), 4);
	sent.has_history = true;
	ASSERT_GT(fail_each(make_entry), 5);
	ASSERT_GT(fail_each(write_answers), 4);
	ASSERT_GT(fail_each(tell_story), 2);
	catalog_unref(shared);
}
