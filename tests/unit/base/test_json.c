/* covers common/base/json.c; jansson reads what was written */
#include <errno.h>
#include <jansson.h>
#include "common/base/json.h"
#include "tests/lib/test.h"

static void write_all(struct json *j)
{
	json_object_begin(j);
	json_kstr(j, "text", "a \"quoted\" \\ back\nline\ttab \x01 \x7f ñ 🕳");
	json_kstr(j, "none", NULL);
	json_kint(j, "least", INT64_MIN);
	json_kid(j, "service_request_id", 123407);
	json_kreal(j, "lat", 41.385063889);
	json_kbool(j, "yes", true);
	json_ktime(j, "at", 1774747800000000);
	json_ktime(j, "never", 0);
	json_key(j, "list");
	json_array_begin(j);
	json_int(j, 1);
	json_id(j, 2);
	json_double(j, -0.5);
	json_bool(j, false);
	json_none(j);
	json_object_begin(j);
	json_object_end(j);
	json_array_begin(j);
	json_array_end(j);
	json_strn(j, "abc", 2);
	json_array_end(j);
	json_object_end(j);
}

static void check_list(json_t *list)
{
	ASSERT_EQ(json_array_size(list), 8u);
	ASSERT_EQ(json_integer_value(json_array_get(list, 0)), 1);
	ASSERT_STR_EQ(json_string_value(json_array_get(list, 1)), "2");
	ASSERT_REAL_EQ(json_real_value(json_array_get(list, 2)), -0.5, 0);
	ASSERT_TRUE(json_is_false(json_array_get(list, 3)));
	ASSERT_TRUE(json_is_null(json_array_get(list, 4)));
	ASSERT_EQ(json_object_size(json_array_get(list, 5)), 0u);
	ASSERT_EQ(json_array_size(json_array_get(list, 6)), 0u);
	ASSERT_STR_EQ(json_string_value(json_array_get(list, 7)), "ab");
}

TEST(jansson_reads_it_back)
{
	_cleanup_(buf_fini) struct buf out = BUF_INIT;
	struct json j;
	json_error_t error;
	json_t *o;

	json_init(&j, &out);
	write_all(&j);
	ASSERT_OK(buf_err(&out));
	o = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, &error);
	if (!o)
		TEST_FAIL("%s at %d: %s", error.text, error.position, out.data);
	ASSERT_EQ(json_object_size(o), 9u);
	ASSERT_STR_EQ(json_string_value(json_object_get(o, "text")),
		      "a \"quoted\" \\ back\nline\ttab \x01 \x7f ñ 🕳");
	ASSERT_TRUE(json_is_null(json_object_get(o, "none")));
	ASSERT_EQ(json_integer_value(json_object_get(o, "least")), INT64_MIN);
	ASSERT_STR_EQ(json_string_value(json_object_get(o, "service_request_id")), "123407");
	ASSERT_REAL_EQ(json_real_value(json_object_get(o, "lat")), 41.385063889, 0);
	ASSERT_TRUE(json_is_true(json_object_get(o, "yes")));
	ASSERT_STR_EQ(json_string_value(json_object_get(o, "at")), "2026-03-29T01:30:00Z");
	ASSERT_TRUE(json_is_null(json_object_get(o, "never")));
	check_list(json_object_get(o, "list"));
	json_decref(o);
}

TEST(reals)
{
	static const struct { double v; const char *want; } cases[] = {
		{ 0, "0" }, { -0.0, "0" }, { 1, "1" }, { -1.5, "-1.5" }, { 41.385063889, "41.385063889" },
		{ 0.1, "0.1" }, { 100, "100" }, { 1e-9, "1.0000000000000001e-09" }, { 1e15, "1000000000000000" },
		{ 1e300, "1.0000000000000001e+300" }, { 2.0 / 3, "0.666666667" },
		{ __builtin_inf(), "null" }, { -__builtin_inf(), "null" }, { __builtin_nan(""), "null" },
	};

	FOREACH(c, cases) {
		_cleanup_(buf_fini) struct buf out = BUF_INIT;
		struct json j;

		json_init(&j, &out);
		json_double(&j, c->v);
		ASSERT_STR_EQ(out.data, c->want);
	}
}

TEST(every_byte_below_space_is_escaped)
{
	for (int c = 1; c < 0x20; c++) {
		_cleanup_(buf_fini) struct buf out = BUF_INIT;
		char s[2] = { (char)c, '\0' };
		struct json j;
		json_t *v;

		json_init(&j, &out);
		json_str(&j, s);
		v = json_loadb(out.data, out.len, JSON_DECODE_ANY, NULL);
		ASSERT_NOT_NULL(v);
		ASSERT_STR_EQ(json_string_value(v), s);
		json_decref(v);
	}
}

TEST(nesting_ends_at_32)
{
	_cleanup_(buf_fini) struct buf right = BUF_INIT, deep = BUF_INIT;
	struct json j;

	json_init(&j, &right);
	for (int i = 0; i < 32; i++)
		json_array_begin(&j);
	for (int i = 0; i < 32; i++)
		json_array_end(&j);
	ASSERT_OK(buf_err(&right));
	ASSERT_EQ(right.len, 64u);
	json_init(&j, &deep);
	for (int i = 0; i < 33; i++)
		json_array_begin(&j);
	ASSERT_EQ(buf_err(&deep), -E2BIG);
}
