/* covers common/base/trace.c; cases after https://www.w3.org/TR/trace-context/ */
#include "common/base/trace.h"
#include "tests/lib/test.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

TEST(parents_are_read)
{
	static const char *const cases[] = {
		"00-" ID "-" SPAN "-01", "00-" ID "-" SPAN "-00", "01-" ID "-" SPAN "-01",
		"cc-" ID "-" SPAN "-01-more", "cc-" ID "-" SPAN "-01-",
	};

	FOREACH(s, cases) {
		struct trace t;
		char hex[33];

		ASSERT_TRUE(trace_parse(*s, strlen(*s), &t));
		trace_hex(&t, hex);
		ASSERT_STR_EQ(hex, ID);
	}
}

TEST(malformed_parents_are_refused)
{
	static const char *const cases[] = {
		"", "00", "ff-" ID "-" SPAN "-01", "00-" ID "-" SPAN "-01-more", "00-" ID "-" SPAN "-0",
		"00-" ID "-" SPAN "-01 ", "00-" ID "-" SPAN "-0x", "cc-" ID "-" SPAN "-01.more",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
		"00-00000000000000000000000000000000-" SPAN "-01", "00-" ID "-0000000000000000-01",
		"00_" ID "-" SPAN "-01", "00-" ID "_" SPAN "-01", "00-" ID "-" SPAN "_01",
		"0g-" ID "-" SPAN "-01",
	};

	FOREACH(s, cases) {
		struct trace t;

		ASSERT_FALSE(trace_parse(*s, strlen(*s), &t));
	}
}

TEST(a_new_trace_survives_the_round)
{
	struct trace a, b, other;
	char parent[56];

	trace_new(&a);
	trace_new(&other);
	ASSERT_TRUE(memcmp(&a, &other, sizeof(a)));
	trace_parent(&a, parent);
	ASSERT_EQ(strlen(parent), 55u);
	ASSERT_TRUE(trace_parse(parent, strlen(parent), &b));
	ASSERT_MEM_EQ(&a, &b, sizeof(a));
}
