/* covers services/routing/core_rule.c */
#include "services/routing/core_rule.h"
#include "tests/lib/test.h"

static char size[] = "SIZE", large[] = "large";

TEST(each_condition_is_tried_in_turn)
{
	static const struct answer_value big[] = { { "COLOUR", "red" }, { "SIZE", "large" } };
	static const struct answer_value small[] = { { "SIZE", "small" } };
	static const struct answer_value both[] = { { "SIZE", "small" }, { "SIZE", "large" } };
	const struct rule all = { .service = 1, .area = 2, .channel = 3, .attribute = size,
				  .value = large };
	struct rule retired = all;
	const struct {
		struct rule_facts facts;
		enum rule_verdict want;
	} cases[] = {
		{ { 1, 2, 3, big, 2 }, RULE_MATCHES },
		{ { 1, 2, 3, both, 2 }, RULE_MATCHES },
		{ { 9, 2, 3, big, 2 }, RULE_OTHER_SERVICE },
		{ { 1, 0, 3, big, 2 }, RULE_NO_AREA },
		{ { 1, 9, 3, big, 2 }, RULE_OTHER_AREA },
		{ { 1, 2, 9, big, 2 }, RULE_OTHER_CHANNEL },
		{ { 1, 2, 3, NULL, 0 }, RULE_NO_VALUE },
		{ { 1, 2, 3, big, 1 }, RULE_NO_VALUE },
		{ { 1, 2, 3, small, 1 }, RULE_OTHER_VALUE },
	};

	FOREACH(c, cases)
		ASSERT_EQ((int)rule_try(&all, &c->facts), (int)c->want);
	retired.retired = true;
	ASSERT_EQ((int)rule_try(&retired, &cases[0].facts), RULE_RETIRED);
	ASSERT_EQ((int)rule_try(&retired, &cases[2].facts), RULE_OTHER_SERVICE);
}

TEST(a_rule_without_conditions_matches_everything)
{
	const struct rule any = { .position = 1 };
	const struct rule_facts nothing = { .service = 1 };

	ASSERT_EQ((int)rule_try(&any, &nothing), RULE_MATCHES);
}

TEST(the_first_that_matches_wins)
{
	const struct rule rules[] = {
		{ .position = 10, .service = 5 },
		{ .position = 20, .channel = 2, .retired = true },
		{ .position = 30, .channel = 2 },
		{ .position = 40 },
	};
	const struct rule_facts web = { .service = 1, .channel = 2 };
	const struct rule_facts phone = { .service = 1, .channel = 1 };

	ASSERT_EQ(rule_first(rules, 4, &web)->position, 30);
	ASSERT_EQ(rule_first(rules, 4, &phone)->position, 40);
	ASSERT_TRUE(!rule_first(rules, 3, &phone));
	ASSERT_TRUE(!rule_first(rules, 0, &phone));
}

TEST(every_verdict_has_its_words)
{
	for (int v = RULE_MATCHES; v <= RULE_RETIRED; v++)
		for (int other = RULE_MATCHES; other < v; other++)
			ASSERT_TRUE(strcmp(rule_verdict_text(v), rule_verdict_text(other)));
}
