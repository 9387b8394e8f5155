/* covers common/store/group.c: building a group, its binary form; no server */
#include <errno.h>
#include "common/store/internal.h"
#include "tests/lib/test.h"

static const struct query q = { "q", "SELECT 1" };

static const struct param *param_at(const struct store_group *g, size_t i)
{
	return (const struct param *)(const void *)g->param.data + i;
}

TEST(parameters_follow_their_statement)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;

	ASSERT_OK(store_group_new(&g, NULL));
	store_add(g, &q);
	store_p_int4(g, -2);
	store_p_null(g);
	store_add(g, &q);
	store_p_text(g, "abc");
	store_p_text(g, NULL);
	store_p_textn(g, "abcdef", 2);
	ASSERT_EQ(store_added(g), 2);
	ASSERT_EQ(store_group_statement(g, 0)->params, 2);
	ASSERT_EQ(store_group_statement(g, 1)->params, 3);
	ASSERT_EQ(store_group_statement(g, 1)->first_param, 2);
	ASSERT_MEM_EQ(g->data.data + param_at(g, 0)->off, "\xff\xff\xff\xfe", 4);
	ASSERT_EQ(param_at(g, 1)->len, -1);
	ASSERT_EQ(param_at(g, 2)->len, 3);
	ASSERT_EQ(param_at(g, 3)->len, -1);
	ASSERT_EQ(param_at(g, 4)->len, 2);
	ASSERT_OK(store_group_err(g));
}

TEST(a_column_becomes_a_binary_array_and_is_empty_again)
{
	static const uint8_t want[] = {
		0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 21, 0, 0, 0, 2, 0, 0, 0, 1, /* dims nulls oid n lower */
		0, 0, 0, 2, 0xff, 0xfd, 0xff, 0xff, 0xff, 0xff,
	};
	static const uint8_t empty[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 21 };
	_cleanup_(store_group_freep) struct store_group *g = NULL;
	_cleanup_(column_freep) struct column *c = NULL;

	ASSERT_OK(store_group_new(&g, NULL));
	ASSERT_OK(column_new(&c, COLUMN_INT2));
	column_int(c, -3);
	column_null(c);
	ASSERT_EQ(column_count(c), 2);
	store_add(g, &q);
	store_p_column(g, c);
	ASSERT_EQ(column_count(c), 0);
	store_p_column(g, c);
	ASSERT_EQ(param_at(g, 0)->len, sizeof(want));
	ASSERT_MEM_EQ(g->data.data, want, sizeof(want));
	ASSERT_EQ(param_at(g, 1)->len, sizeof(empty));
	ASSERT_MEM_EQ(g->data.data + param_at(g, 1)->off, empty, sizeof(empty));
}

TEST(a_group_that_outgrew_its_bound_fails_and_stays_the_callers)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;

	ASSERT_OK(store_group_new(&g, NULL));
	store_add(g, &q);
	store_p_bytea(g, "", BUF_MAX + 1u); /* refused before anything is read */
	store_p_int4(g, 1);
	ASSERT_EQ(store_group_err(g), -E2BIG);
	ASSERT_EQ(store_submit(g, NULL, NULL), -E2BIG);
}

TEST(wire_sizes_are_those_of_the_protocol)
{
	_cleanup_(store_group_freep) struct store_group *g = NULL;

	ASSERT_OK(store_group_new(&g, NULL));
	store_add(g, &q);
	store_p_int4(g, 1);
	store_p_null(g);
	/* Bind 5 + "" 1 + "q" 2 + 2 + 2·2 + 2 + (4+4) + 4 + 2 + 2; Describe 7; Execute 10 */
	ASSERT_EQ(store_group_wire_size(g, 0), 5 + 1 + 2 + 2 + 4 + 2 + 8 + 4 + 4 + 7 + 10);
}
