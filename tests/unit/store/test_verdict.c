/* covers common/store/verdict.c: the table of SQLSTATEs and the judge; pure */
#include "common/store/internal.h"
#include "tests/lib/test.h"

#define KEY_VERSION "event_lane_order_key_key_version_key"

TEST(sqlstates_have_the_verdict_of_the_design)
{
	static const struct {
		const char *sqlstate, *constraint;
		enum store_verdict want;
	} cases[] = {
		{ "ZC001", "", STORE_FENCED },
		{ "23505", KEY_VERSION, STORE_CONFLICT },
		{ "23505", "message_dedupe_key_key", STORE_DATA },
		{ "23514", KEY_VERSION, STORE_DATA },
		{ "22P02", "", STORE_DATA },
		{ "23502", "", STORE_DATA },
		{ "25006", "", STORE_AGAIN },
		{ "25P02", "", STORE_BUG },
		{ "40001", "", STORE_AGAIN },
		{ "40P01", "", STORE_AGAIN },
		{ "53100", "", STORE_AGAIN },
		{ "55P03", "", STORE_AGAIN },
		{ "57014", "", STORE_AGAIN },
		{ "57P01", "", STORE_AGAIN },
		{ "08006", "", STORE_AGAIN },
		{ "21000", "", STORE_BUG },
		{ "42P01", "", STORE_BUG },
		{ "42501", "", STORE_BUG },
		{ "XX000", "", STORE_BUG },
		{ "P0001", "", STORE_BUG },
		{ "", "", STORE_BUG },
	};

	FOREACH(c, cases)
		ASSERT_STR_EQ(store_verdict_name(store_verdict_of(c->sqlstate, c->constraint)),
			      store_verdict_name(c->want));
}

TEST(a_commit_is_believed_only_when_nothing_speaks_against_it)
{
	const struct judge good = { .statements = 2, .results = 2, .synced = true };
	struct judge j = good;

	ASSERT_EQ(judge_verdict(&good), STORE_OK);
	j.synced = false; /* all statements said OK, and then the connection was lost */
	ASSERT_EQ(judge_verdict(&j), STORE_UNSURE);
	j = good;
	j.warned = true; /* the wait for the standby was cancelled */
	ASSERT_EQ(judge_verdict(&j), STORE_UNSURE);
	j = good;
	j.results = 1;
	ASSERT_EQ(judge_verdict(&j), STORE_BUG);
	j = good;
	j.strange = true; /* somebody wrote BEGIN into a group */
	ASSERT_EQ(judge_verdict(&j), STORE_BUG);
}

TEST(an_error_is_certain_unless_the_session_ended_behind_the_last_statement)
{
	struct judge j = { .statements = 2, .results = 1, .failed = true, .sqlstate = "23514" };

	ASSERT_EQ(judge_verdict(&j), STORE_DATA); /* known before the Sync is answered */
	j.synced = true;
	ASSERT_EQ(judge_verdict(&j), STORE_DATA);
	j.results = 2; /* a deferred constraint, at the commit */
	ASSERT_EQ(judge_verdict(&j), STORE_DATA);
	j = (struct judge){ .statements = 2, .results = 1, .failed = true, .fatal = true, .sqlstate = "57P01" };
	ASSERT_EQ(judge_verdict(&j), STORE_AGAIN);
	j.results = 2; /* it may have committed and not been able to say so */
	ASSERT_EQ(judge_verdict(&j), STORE_UNSURE);
	j = (struct judge){ .statements = 1, .failed = true, .synced = true, .sqlstate = "40003" };
	ASSERT_EQ(judge_verdict(&j), STORE_UNSURE); /* statement_completion_unknown */
}

TEST(notices_and_errors_that_matter_to_the_session)
{
	ASSERT_TRUE(judge_notice("01000"));
	ASSERT_TRUE(judge_notice("57P01"));
	ASSERT_FALSE(judge_notice("00000"));
	ASSERT_FALSE(judge_notice("42P07"));
	ASSERT_TRUE(judge_reconnect("25006"));
	ASSERT_TRUE(judge_reconnect("53300"));
	ASSERT_TRUE(judge_reconnect("57P03"));
	ASSERT_FALSE(judge_reconnect("57014"));
	ASSERT_FALSE(judge_reconnect("55P03"));
	ASSERT_FALSE(judge_reconnect("23505"));
}
