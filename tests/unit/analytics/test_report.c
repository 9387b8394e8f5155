/* covers services/analytics/core_report.c: questions, and cells of CSV */
#include "services/analytics/core_report.h"
#include "common/base/zone.h"
#include "tests/lib/test.h"

TEST(paths)
{
	struct report_ask ask;

	ASSERT_TRUE(report_path("/v1/analytics/boston/summary.json", &ask));
	ASSERT_STR_EQ(ask.town, "boston");
	ASSERT_FALSE(ask.csv);
	ASSERT_TRUE(report_path("/v1/analytics/boston/summary.csv", &ask));
	ASSERT_TRUE(ask.csv);
	ASSERT_FALSE(report_path("/v1/analytics/boston/summary.xml", &ask));
	ASSERT_FALSE(report_path("/v1/analytics//summary.json", &ask));
	ASSERT_FALSE(report_path("/v1/analytics", &ask));
}

TEST(questions)
{
	static const struct {
		const char *query, *field;
	} bad[] = {
		{ "from=2026-02-30", "from" },
		{ "to=today", "to" },
		{ "group_by=people", "group_by" },
		{ "from=%zz", "" },
	};
	struct report_ask ask;
	const char *field;

	FOREACH(b, bad) {
		ASSERT_TRUE(report_path("/v1/analytics/x/summary.json", &ask));
		ASSERT_TRUE(report_parse(&ask, b->query, &field) != NULL);
		ASSERT_STR_EQ(field, b->field);
	}
	ASSERT_TRUE(report_path("/v1/analytics/x/summary.json", &ask));
	ASSERT_TRUE(report_parse(&ask, "from=2026-03-01&to=&group_by=day", &field) == NULL);
	ASSERT_EQ(ask.from_day, civil_to_days(2026, 3, 1));
	ASSERT_STR_EQ(ask.group_by, "day");
	report_default_days(&ask, civil_to_days(2026, 3, 10));
	ASSERT_EQ(ask.to_day, civil_to_days(2026, 3, 1) + 90);
}

TEST(formulas_are_defused)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "Potholes", "Potholes" },
		{ "a,b", "\"a,b\"" },
		{ "say \"x\"", "\"say \"\"x\"\"\"" },
		{ "=1+1", "\"'=1+1\"" },
		{ "@x", "\"'@x\"" },
		{ "-1", "\"'-1\"" },
		{ "", "" },
	};

	FOREACH(c, cases) {
		struct buf out = BUF_INIT;

		report_csv_cell(&out, c->in);
		ASSERT_STR_EQ(out.data ? out.data : "", c->out);
		buf_fini(&out);
	}
}
