/* covers common/base/metrics.c; promtool judges the text where it is installed */
#include <stdio.h>
#include <unistd.h>
#include "common/base/metrics.h"
#include "tests/lib/test.h"

enum { M_EVENTS, M_DEPTH, M_SECONDS, M_SIZE, M_PLAIN };
static const struct metric_def defs[] = {
	[M_EVENTS] = { METRIC_COUNTER, "test_events_total", "Events \"read\"\nand more\\", "consumer,lane" },
	[M_DEPTH] = { METRIC_GAUGE, "test_depth", "Groups queued", "connection" },
	[M_SECONDS] = { METRIC_SECONDS, "test_group_seconds", "Time of a group", "verdict" },
	[M_SIZE] = { METRIC_SIZE, "test_batch_events", "Events of a batch", "" },
	[M_PLAIN] = { METRIC_COUNTER, "test_plain_total", "Without labels", "" },
};

static struct metrics *fresh(int *ret_base)
{
	struct metrics *m;

	ASSERT_OK(metrics_new(&m));
	*ret_base = metrics_register(m, defs, ARRAY_SIZE(defs));
	ASSERT_GT(*ret_base, 0);
	return m;
}

static char *text_of(const struct metrics *m)
{
	struct buf out = BUF_INIT;

	metrics_write(m, &out);
	ASSERT_OK(buf_err(&out));
	return out.data;
}

TEST(counters_and_gauges)
{
	int base;
	_cleanup_(metrics_freep) struct metrics *m = fresh(&base);
	struct series *a = metrics_series(m, base + M_EVENTS, "routing", "0");
	struct series *b = metrics_series(m, base + M_EVENTS, "routing", "1");
	_cleanup_(freep) char *text = NULL;

	ASSERT_TRUE(a != b);
	ASSERT_TRUE(a == metrics_series(m, base + M_EVENTS, "routing", "0"));
	series_add(a, 2);
	series_add(a, 1);
	series_add(metrics_series(m, base + M_DEPTH, "lane"), 5);
	series_set(metrics_series(m, base + M_DEPTH, "lane"), 2.5);
	ASSERT_REAL_EQ(series_value(a), 3, 0);
	ASSERT_REAL_EQ(series_value(b), 0, 0);
	text = text_of(m);
	ASSERT_HAS(text, "# TYPE centraleta_test_events_total counter\n"
			 "centraleta_test_events_total{consumer=\"routing\",lane=\"0\"} 3\n"
			 "centraleta_test_events_total{consumer=\"routing\",lane=\"1\"} 0\n");
	ASSERT_HAS(text, "centraleta_test_depth{connection=\"lane\"} 2.5\n");
	ASSERT_HAS(text, "centraleta_test_plain_total 0\n");
	ASSERT_HAS(text, "# HELP centraleta_test_events_total Events \"read\"\\nand more\\\\\n");
}

TEST(label_values_do_not_run_into_each_other)
{
	int base;
	_cleanup_(metrics_freep) struct metrics *m = fresh(&base);

	ASSERT_TRUE(metrics_series(m, base + M_EVENTS, "ab", "c") !=
		    metrics_series(m, base + M_EVENTS, "a", "bc"));
}

TEST(histograms)
{
	int base;
	_cleanup_(metrics_freep) struct metrics *m = fresh(&base);
	struct series *s = metrics_series(m, base + M_SECONDS, "ok");
	struct series *size = metrics_series(m, base + M_SIZE);
	_cleanup_(freep) char *text = NULL;

	series_observe(s, 0.00005);
	series_observe(s, 0.0001); /* a bound belongs to its bucket */
	series_observe(s, 0.3);
	series_observe(s, 100);
	series_observe(size, 256);
	series_observe(size, 100000);
	ASSERT_REAL_EQ(series_value(s), 4, 0);
	text = text_of(m);
	ASSERT_HAS(text, "centraleta_test_group_seconds_bucket{verdict=\"ok\",le=\"0.0001\"} 2\n");
	ASSERT_HAS(text, "centraleta_test_group_seconds_bucket{verdict=\"ok\",le=\"0.25\"} 2\n");
	ASSERT_HAS(text, "centraleta_test_group_seconds_bucket{verdict=\"ok\",le=\"0.5\"} 3\n");
	ASSERT_HAS(text, "centraleta_test_group_seconds_bucket{verdict=\"ok\",le=\"60\"} 3\n");
	ASSERT_HAS(text, "centraleta_test_group_seconds_bucket{verdict=\"ok\",le=\"+Inf\"} 4\n");
	ASSERT_HAS(text, "centraleta_test_group_seconds_sum{verdict=\"ok\"} 100.30015\n");
	ASSERT_HAS(text, "centraleta_test_group_seconds_count{verdict=\"ok\"} 4\n");
	ASSERT_HAS(text, "centraleta_test_batch_events_bucket{le=\"128\"} 0\n");
	ASSERT_HAS(text, "centraleta_test_batch_events_bucket{le=\"256\"} 1\n");
	ASSERT_HAS(text, "centraleta_test_batch_events_count 2\n");
}

TEST(at_the_limit_a_series_is_a_sink)
{
	int base;
	_cleanup_(metrics_freep) struct metrics *m = fresh(&base);
	struct series *first = metrics_series(m, base + M_DEPTH, "0"), *sink;
	_cleanup_(freep) char *text = NULL;
	char label[16];

	series_set(first, 11);
	for (int i = 1; i < METRICS_SERIES_MAX; i++) {
		snprintf(label, sizeof(label), "%d", i);
		series_set(metrics_series(m, base + M_DEPTH, label), i);
	}
	sink = metrics_series(m, base + M_DEPTH, "one more");
	series_set(sink, 99);
	series_observe(sink, 99);
	ASSERT_TRUE(sink == metrics_series(m, base + M_DEPTH, "another"));
	ASSERT_TRUE(first == metrics_series(m, base + M_DEPTH, "0")); /* pointers stay valid */
	snprintf(label, sizeof(label), "%d", METRICS_SERIES_MAX - 1);
	ASSERT_REAL_EQ(series_value(metrics_series(m, base + M_DEPTH, label)),
		       METRICS_SERIES_MAX - 1, 0);
	text = text_of(m);
	ASSERT_HAS(text, "centraleta_metrics_dropped_total 2\n");
	ASSERT_NULL(strstr(text, "one more"));
}

TEST(later_tables_leave_series_alone)
{
	int base, again;
	_cleanup_(metrics_freep) struct metrics *m = fresh(&base);
	struct series *s = metrics_series(m, base + M_PLAIN);
	static struct metric_def many[100];

	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct metric_def){ METRIC_GAUGE, "test_many", "Many", "x" };
	series_add(s, 1);
	again = metrics_register(m, many, ARRAY_SIZE(many));
	ASSERT_EQ(again, base + (int)ARRAY_SIZE(defs));
	ASSERT_TRUE(s == metrics_series(m, base + M_PLAIN));
	ASSERT_REAL_EQ(series_value(s), 1, 0);
	ASSERT_EQ(metrics_register(m, defs, ARRAY_SIZE(defs)), base); /* once only */
}

TEST(promtool_accepts_it)
{
	int base;
	_cleanup_(metrics_freep) struct metrics *m = fresh(&base);
	_cleanup_(freep) char *text = NULL;
	char command[300];
	char *told;

	if (access("/usr/bin/promtool", X_OK) < 0)
		test_skip("promtool is not installed");
	series_add(metrics_series(m, base + M_EVENTS, "quote\"back\\slash\nline", "0"), 1e18);
	series_observe(metrics_series(m, base + M_SECONDS, "ok"), 0.2);
	series_set(metrics_series(m, base + M_DEPTH, "ñ"), -0.125);
	text = text_of(m);
	test_write_file(test_path("metrics"), text);
	snprintf(command, sizeof(command), "promtool check metrics <%s >%s 2>&1", test_path("metrics"),
		 test_path("told"));
	if (system(command)) {
		told = test_read_file(test_path("told"), NULL);
		TEST_FAIL("promtool: %s", told);
	}
}
