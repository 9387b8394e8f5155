/*
 * test - runs what has registered itself, in the order of names' definition, and writes TAP
 */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/err.h"
#include "tests/lib/test.h"

#define RING 32

static struct test_case *first, **last = &first;
static jmp_buf end_of_case;
static enum { RUNNING, PASSED, FAILED, SKIPPED } verdict;
static char why[4096];
static char folder[64]; /* "": none made */
static int real_stderr = -1;

void test_register(struct test_case *t)
{
	*last = t;
	last = &t->next;
}

static void restore_stderr(void)
{
	if (real_stderr < 0)
		return;
	fflush(stderr);
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	real_stderr = -1;
}

_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(why, sizeof(why), "%.200s:%d: ", file, line);

	va_start(ap, fmt);
	vsnprintf(why + n, sizeof(why) - (size_t)n, fmt, ap);
	va_end(ap);
	verdict = FAILED;
	longjmp(end_of_case, 1);
}

_Noreturn void test_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	verdict = SKIPPED;
	longjmp(end_of_case, 1);
}

static void print_comment(const char *text)
{
	printf("# ");
	for (; *text; text++) {
		putchar(*text);
		if (*text == '\n')
			printf("# ");
	}
	putchar('\n');
}

void test_note(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	print_comment(text);
}

/* ---- assertions ---------------------------------------------------------------------------- */

void test_int(const char *file, int line, const char *op, bool ok, const char *a, const char *b,
	      long long va, long long vb)
{
	if (!ok)
		test_fail(file, line, "%s %s %s: %lld and %lld", a, op, b, va, vb);
}

void test_real(const char *file, int line, const char *a, const char *b, double va, double vb,
	       double within)
{
	if (!(va >= vb - within && va <= vb + within))
		test_fail(file, line, "%s == %s: %.17g and %.17g", a, b, va, vb);
}

void test_str(const char *file, int line, const char *a, const char *b, const char *va,
	      const char *vb)
{
	if ((va && vb) ? strcmp(va, vb) : va != vb)
		test_fail(file, line, "%s == %s:\n  \"%s\"\n  \"%s\"", a, b, va ? va : "(null)",
			  vb ? vb : "(null)");
}

void test_mem(const char *file, int line, const char *a, const char *b, const void *va,
	      const void *vb, size_t len)
{
	const uint8_t *pa = va, *pb = vb;

	for (size_t i = 0; i < len; i++) {
		if (pa[i] != pb[i])
			test_fail(file, line, "%s == %s: byte %zu of %zu is 0x%02x and 0x%02x", a,
				  b, i, len, pa[i], pb[i]);
	}
}

void test_has(const char *file, int line, const char *a, const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		test_fail(file, line, "%s holds no \"%s\":\n%s", a, part, text ? text : "(null)");
}

void test_ok(const char *file, int line, const char *a, int r)
{
	const char *name = r < 0 ? strerrorname_np(-r) : NULL;

	if (r)
		test_fail(file, line, "%s: %d %s %s", a, r, name ? name : "", err_at());
}

/* ---- files --------------------------------------------------------------------------------- */

static char *ring(void)
{
	static char buffers[RING][4096];
	static unsigned at;

	return buffers[at++ % RING];
}

const char *test_source(const char *name)
{
	char *path = ring();
	const char *root = getenv("CENTRALETA_SOURCE_ROOT");

	snprintf(path, 4096, "%s/%s", root ? root : ".", name);
	return path;
}

const char *test_data(const char *name)
{
	char relative[2048];
	const char *path;

	snprintf(relative, sizeof(relative), "../shared/data/%s", name);
	path = test_source(relative);
	if (access(path, R_OK) < 0)
		test_skip("%s is absent", relative);
	return path;
}

char *test_read_file(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	char *data;

	if (!f || fstat(fileno(f), &st) < 0)
		TEST_FAIL("%s: %s", path, strerror(errno));
	data = calloc(1, (size_t)st.st_size + 1);
	if (!data || fread(data, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
		TEST_FAIL("%s: can't be read", path);
	fclose(f);
	if (ret_len)
		*ret_len = (size_t)st.st_size;
	return data;
}

void test_write_file(const char *path, const char *content)
{
	FILE *f = fopen(path, "we");

	if (!f || fputs(content, f) < 0 || fclose(f))
		TEST_FAIL("%s: %s", path, strerror(errno));
}

const char *test_folder(void)
{
	if (!folder[0]) {
		strcpy(folder, "/tmp/centraleta-XXXXXX");
		if (!mkdtemp(folder))
			TEST_FAIL("mkdtemp: %s", strerror(errno));
	}
	return folder;
}

const char *test_path(const char *name)
{
	char *path = ring();

	snprintf(path, 4096, "%s/%s", test_folder(), name);
	return path;
}

void test_stderr_begin(void)
{
	const char *path = test_path("stderr");

	fflush(stderr);
	real_stderr = dup(STDERR_FILENO);
	if (real_stderr < 0 || !freopen(path, "w", stderr))
		TEST_FAIL("%s: %s", path, strerror(errno));
}

char *test_stderr_end(void)
{
	restore_stderr();
	return test_read_file(test_path("stderr"), NULL);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void clean_up(void)
{
	restore_stderr();
	if (folder[0])
		nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	folder[0] = '\0';
}

/* ---- running ------------------------------------------------------------------------------- */

static void run(const struct test_case *t, unsigned number)
{
	verdict = RUNNING;
	if (!setjmp(end_of_case)) {
		t->fn();
		verdict = PASSED;
	}
	clean_up();
	if (verdict == FAILED)
		print_comment(why);
	printf("%s %u - %s%s%s\n", verdict == FAILED ? "not ok" : "ok", number, t->name,
	       verdict == SKIPPED ? " # SKIP " : "", verdict == SKIPPED ? why : "");
	fflush(stdout);
}

static bool wanted(const struct test_case *t, const char *part)
{
	return !part || strstr(t->name, part);
}

int main(int argc, char **argv)
{
	const char *part = argc > 1 ? argv[1] : NULL;
	bool list = part && !strcmp(part, "--list"), failed = false;
	unsigned n = 0;

	for (const struct test_case *t = first; t; t = t->next) {
		if (list)
			puts(t->name);
		n += wanted(t, part);
	}
	if (list)
		return 0;
	printf("1..%u\n", n);
	n = 0;
	for (const struct test_case *t = first; t; t = t->next) {
		if (!wanted(t, part))
			continue;
		run(t, ++n);
		failed |= verdict == FAILED;
	}
	if (failed) {
		fflush(stdout);
		_exit(1); /* what a failed case leaks is not worth a report */
	}
	return 0;
}
