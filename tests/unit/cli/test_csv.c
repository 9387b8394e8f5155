/* covers services/cli/csv.c */
#include "services/cli/csv.h"
#include "tests/lib/test.h"

static enum csv_result one(struct csv *c, const char *text, size_t *used, const char **why)
{
	return csv_next(c, text, strlen(text), true, used, why);
}

TEST(fields_quotes_and_line_ends)
{
	struct csv c;
	size_t used;
	const char *why, *text = "a,\"b,\"\"c\"\"\n d\",,e\r\nnext";

	csv_init(&c);
	ASSERT_EQ(one(&c, text, &used, &why), CSV_ROW);
	ASSERT_EQ(c.n, 4);
	ASSERT_STR_EQ(csv_field(&c, 0), "a");
	ASSERT_STR_EQ(csv_field(&c, 1), "b,\"c\"\n d");
	ASSERT_STR_EQ(csv_field(&c, 2), "");
	ASSERT_STR_EQ(csv_field(&c, 3), "e");
	ASSERT_STR_EQ(csv_field(&c, 9), "");
	ASSERT_EQ(one(&c, text + used, &used, &why), CSV_ROW);
	ASSERT_STR_EQ(csv_field(&c, 0), "next");
	ASSERT_EQ(c.line, 3);
	csv_fini(&c);
}

TEST(byte_order_mark_and_end)
{
	struct csv c;
	size_t used;
	const char *why;

	csv_init(&c);
	ASSERT_EQ(one(&c, "\xef\xbb\xbfid,b\n", &used, &why), CSV_ROW);
	ASSERT_STR_EQ(csv_field(&c, 0), "id");
	ASSERT_EQ(csv_next(&c, "", 0, true, &used, &why), CSV_END);
	ASSERT_EQ(csv_next(&c, "", 0, false, &used, &why), CSV_MORE);
	ASSERT_EQ(csv_next(&c, "a,\"b", 4, false, &used, &why), CSV_MORE);
	csv_fini(&c);
}

TEST(a_bad_row_is_skipped_whole)
{
	static const char *const bad[] = { "a,b\"c\nok\n", "\"a\"b,c\nok\n" };

	FOREACH(text, bad) {
		struct csv c;
		size_t used;
		const char *why = NULL;

		csv_init(&c);
		if (strchr(*text, '"') != strrchr(*text, '"')) {
			ASSERT_EQ(one(&c, *text, &used, &why), CSV_BAD);
			ASSERT_TRUE(why != NULL);
			ASSERT_EQ(one(&c, *text + used, &used, &why), CSV_ROW);
			ASSERT_STR_EQ(csv_field(&c, 0), "ok");
		} else {
			/* a quote that never closes takes the rest with it, and says so */
			ASSERT_EQ(one(&c, *text, &used, &why), CSV_BAD);
			ASSERT_EQ(used, strlen(*text));
		}
		csv_fini(&c);
	}
}

TEST(any_split_gives_the_same_rows)
{
	static const char text[] = "a,\"b\nb\",c\r\n\"x\"\"y\",,z\n1,2,3";

	for (size_t cut = 0; cut <= sizeof(text) - 1; cut++) {
		struct csv c;
		size_t used, rows = 0, at = 0, have = cut;
		const char *why;

		csv_init(&c);
		for (;;) {
			enum csv_result r = csv_next(&c, text + at, have - at, have == sizeof(text) - 1, &used, &why);

			if (r == CSV_MORE) {
				have = sizeof(text) - 1;
				continue;
			}
			if (r == CSV_END)
				break;
			ASSERT_EQ(r, CSV_ROW);
			ASSERT_EQ(c.n, 3);
			rows++;
			at += used;
		}
		ASSERT_EQ(rows, 3);
		csv_fini(&c);
	}
}

TEST(too_many_fields)
{
	struct csv c;
	char text[400];
	size_t used;
	const char *why;

	memset(text, ',', sizeof(text));
	csv_init(&c);
	ASSERT_EQ(csv_next(&c, text, sizeof(text), true, &used, &why), CSV_BAD);
	csv_fini(&c);
}
