#pragma once
/*
 * test - a tiny xUnit: cases register themselves, main() is supplied, output is TAP
 *
 * A failed assertion ends its own case only (longjmp: what the case holds is then leaked, so a
 * failing program also ends without the leak check). `program [part of a name]` runs a selection,
 * `program --list` shows all. Arguments of assertions are evaluated once.
 *
 *	TEST(adds_up)
 *	{
 *		ASSERT_EQ(1 + 1, 2);
 *	}
 */
#include <stdio.h>
#include "common/base/base.h"

struct test_case {
	const char *name;
	void (*fn)(void);
	struct test_case *next;
};

void test_register(struct test_case *t);
/* ends the running case as failed */
_Noreturn void test_fail(const char *file, int line, const char *fmt, ...) _printf_(3, 4);
/* ends the running case as skipped, aloud */
_Noreturn void test_skip(const char *fmt, ...) _printf_(1, 2);
/* a line of diagnosis, shown with the case */
void test_note(const char *fmt, ...) _printf_(1, 2);

/* "<source root>/name", in a static ring of 32 buffers */
const char *test_source(const char *name);
/* file of the shared test data ("corpora/text/…"): skips the case where it is absent */
const char *test_data(const char *name);
/* whole file, NUL-terminated, to be freed by the caller; fails the case where it can't be read */
char *test_read_file(const char *path, size_t *ret_len);
/* writes a file; fails the case where that is impossible */
void test_write_file(const char *path, const char *content);
/* a new folder of this case, removed with all that is in it when the case ends; static */
const char *test_folder(void);
/* "<test_folder()>/name", in the same ring as test_source() */
const char *test_path(const char *name);
/* between the two, stderr goes to a file; end returns what it holds, to be freed by the caller */
void test_stderr_begin(void);
char *test_stderr_end(void);

#define TEST(NAME)                                                                           \
	static void test_fn_##NAME(void);                                                    \
	__attribute__((constructor)) static void test_add_##NAME(void)                       \
	{                                                                                    \
		static struct test_case t = { .name = #NAME, .fn = test_fn_##NAME };         \
		test_register(&t);                                                           \
	}                                                                                    \
	static void test_fn_##NAME(void)

#define TEST_FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

void test_int(const char *file, int line, const char *op, bool ok, const char *a, const char *b,
	      long long va, long long vb);
void test_real(const char *file, int line, const char *a, const char *b, double va, double vb,
	       double within);
void test_str(const char *file, int line, const char *a, const char *b, const char *va,
	      const char *vb);
void test_mem(const char *file, int line, const char *a, const char *b, const void *va,
	      const void *vb, size_t len);
void test_has(const char *file, int line, const char *a, const char *text, const char *part);
void test_ok(const char *file, int line, const char *a, int r);

/* compared as numbers, whatever the signs and widths of the two types */
#define ASSERT_INT_(a, op, b)                                                                \
	do {                                                                                 \
		_Static_assert(!__builtin_types_compatible_p(typeof((a) + 0), double) &&     \
				       !__builtin_types_compatible_p(typeof((b) + 0), double), \
			       "ASSERT_REAL_EQ is for these");                               \
		long long _a = (long long)(a), _b = (long long)(b);                          \
		test_int(__FILE__, __LINE__, #op, _a op _b, #a, #b, _a, _b);                 \
	} while (0)
#define ASSERT_EQ(a, b) ASSERT_INT_(a, ==, b)
#define ASSERT_NE(a, b) ASSERT_INT_(a, !=, b)
#define ASSERT_LT(a, b) ASSERT_INT_(a, <, b)
#define ASSERT_LE(a, b) ASSERT_INT_(a, <=, b)
#define ASSERT_GT(a, b) ASSERT_INT_(a, >, b)
#define ASSERT_GE(a, b) ASSERT_INT_(a, >=, b)
#define ASSERT_TRUE(a)                                                  \
	do {                                                            \
		if (!(a))                                               \
			TEST_FAIL("%s is false", #a);                   \
	} while (0)
#define ASSERT_FALSE(a)                                                 \
	do {                                                            \
		if (a)                                                  \
			TEST_FAIL("%s is true", #a);                    \
	} while (0)
#define ASSERT_NULL(a) ASSERT_TRUE((a) == NULL)
#define ASSERT_NOT_NULL(a) ASSERT_TRUE((a) != NULL)
#define ASSERT_REAL_EQ(a, b, within) test_real(__FILE__, __LINE__, #a, #b, (a), (b), (within))
#define ASSERT_STR_EQ(a, b) test_str(__FILE__, __LINE__, #a, #b, (a), (b))
#define ASSERT_MEM_EQ(a, b, len) test_mem(__FILE__, __LINE__, #a, #b, (a), (b), (len))
/* text holds part */
#define ASSERT_HAS(text, part) test_has(__FILE__, __LINE__, #text, (text), (part))
/* int of the house's kind: 0 */
#define ASSERT_OK(r) test_ok(__FILE__, __LINE__, #r, (r))
