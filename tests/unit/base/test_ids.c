/* covers common/base/ids.c */
#include "common/base/ids.h"
#include "tests/lib/test.h"

TEST(an_id_tells_its_lane)
{
	ASSERT_EQ(id_make(1234, 7), 123407);
	ASSERT_EQ(id_lane(123407), 7);
	ASSERT_EQ(id_lane(id_make(1, LANE_MAX - 1)), LANE_MAX - 1);
	ASSERT_EQ(id_lane(132), -1); /* no lane 32 */
	ASSERT_EQ(id_lane(0), -1);
	ASSERT_EQ(id_lane(-7), -1);
}

TEST(an_empty_block_gives_nothing_and_wants_one)
{
	struct id_block b = { 0 };

	ASSERT_TRUE(id_block_wants(&b));
	ASSERT_EQ(id_block_take(&b), 0);
	ASSERT_EQ(id_block_left(&b), 0u);
}

TEST(two_blocks_are_used_up_without_a_gap_or_a_double)
{
	struct id_block b = { 0 };

	id_block_give(&b, 1);
	ASSERT_TRUE(id_block_wants(&b));
	id_block_give(&b, 1025); /* another process had the block between */
	ASSERT_FALSE(id_block_wants(&b));
	ASSERT_EQ(id_block_left(&b), 2u * ID_BLOCK);
	for (int64_t i = 1; i <= ID_BLOCK; i++)
		ASSERT_EQ(id_block_take(&b), i);
	for (int64_t i = 0; i < ID_BLOCK; i++) {
		ASSERT_EQ(id_block_take(&b), 1025 + i);
		ASSERT_TRUE(id_block_wants(&b));
	}
	ASSERT_EQ(id_block_take(&b), 0);
	ASSERT_EQ(id_block_left(&b), 0u);
}

TEST(a_third_block_is_dropped)
{
	struct id_block b = { 0 };

	id_block_give(&b, 1);
	id_block_give(&b, 257);
	id_block_give(&b, 513);
	ASSERT_EQ(id_block_left(&b), 2u * ID_BLOCK);
	for (int64_t i = 1; i <= 2 * ID_BLOCK; i++)
		ASSERT_EQ(id_block_take(&b), i);
	ASSERT_EQ(id_block_take(&b), 0);
}
