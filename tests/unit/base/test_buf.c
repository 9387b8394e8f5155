/* covers common/base/buf.c, err.c and list.h */
#include <errno.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "tests/lib/test.h"

TEST(appending)
{
	_cleanup_(buf_fini) struct buf b = BUF_INIT;

	buf_str(&b, "a");
	buf_ch(&b, 'b');
	buf_add(&b, "c\0d", 3);
	buf_u64(&b, UINT64_MAX);
	buf_i64(&b, INT64_MIN);
	buf_i64(&b, 0);
	buf_printf(&b, "%s-%d", "x", 5);
	ASSERT_OK(buf_err(&b));
	ASSERT_EQ(b.len, 5u + 20 + 20 + 1 + 3);
	ASSERT_MEM_EQ(b.data, "abc\0d18446744073709551615-92233720368547758080x-5", b.len + 1);
}

TEST(growing_keeps_the_content_and_the_nul)
{
	_cleanup_(buf_fini) struct buf b = BUF_INIT;

	for (int i = 0; i < 10000; i++) {
		buf_ch(&b, (char)('a' + i % 26));
		ASSERT_EQ(b.data[b.len], '\0');
	}
	for (int i = 0; i < 10000; i++)
		ASSERT_EQ(b.data[i], 'a' + i % 26);
}

TEST(consuming_and_resetting)
{
	_cleanup_(buf_fini) struct buf b = BUF_INIT;

	buf_str(&b, "hello");
	buf_consume(&b, 2);
	ASSERT_STR_EQ(b.data, "llo");
	buf_consume(&b, 3);
	ASSERT_STR_EQ(b.data, "");
	buf_str(&b, "again");
	ASSERT_STR_EQ(b.data, "again");
	buf_reset(&b);
	ASSERT_EQ(b.len, 0u);
	ASSERT_STR_EQ(b.data, "");
}

TEST(too_much_is_remembered)
{
	_cleanup_(buf_fini) struct buf b = BUF_INIT;

	buf_str(&b, "kept");
	ASSERT_NULL(buf_reserve(&b, BUF_MAX));
	ASSERT_EQ(buf_err(&b), -E2BIG);
	buf_str(&b, "dropped");
	ASSERT_STR_EQ(b.data, "kept");
	buf_reset(&b);
	buf_str(&b, "new");
	ASSERT_OK(buf_err(&b));
	ASSERT_STR_EQ(b.data, "new");
}

TEST(reserve_then_raise)
{
	_cleanup_(buf_fini) struct buf b = BUF_INIT;
	char *at = buf_reserve(&b, 3);

	ASSERT_NOT_NULL(at);
	memcpy(at, "abc", 3);
	b.len += 3;
	buf_ch(&b, 'd');
	ASSERT_STR_EQ(b.data, "abcd");
}

TEST(an_error_names_its_place)
{
	int r = err_here(-EIO);

	ASSERT_EQ(r, -EIO);
	ASSERT_HAS(err_at(), "tests/unit/base/test_buf.c:");
	ASSERT_EQ(err_fold(0), 0);
	ASSERT_EQ(err_fold(-EIO), -EIO);
	ASSERT_EQ(err_fold(3), -ENOTRECOVERABLE);
	ASSERT_HAS(err_at(), "common/base/err.c:");
}

struct item {
	int v;
	struct list link;
};

TEST(list_order_and_removal_while_walking)
{
	struct list head;
	struct item items[5], *p;
	int sum = 0;

	list_init(&head);
	ASSERT_TRUE(list_empty(&head));
	for (int i = 0; i < 5; i++) {
		items[i].v = i;
		list_add_tail(&head, &items[i].link);
	}
	list_for_each(p, &head, link) {
		if (p->v % 2)
			list_del(&p->link);
	}
	list_for_each(p, &head, link)
		sum = sum * 10 + p->v;
	ASSERT_EQ(sum, 24); /* 0, 2, 4 */
	list_del(&items[1].link); /* twice is fine */
	list_add_head(&head, &items[1].link);
	ASSERT_EQ(list_entry(head.next, struct item, link)->v, 1);
}
