/*
 * verdict - the table of SQLSTATEs and the one judge of commits
 *
 * Pure, so that every case of reliability F1 is a unit test as well as a run against a server.
 * A commit is believed only when nothing at all speaks against it: COMMIT of a failed
 * transaction answers COMMAND_OK, a statement that said OK is undone by a later error before the
 * Sync, and a commit whose wait for a standby was cancelled says OK with a warning beside it.
 */
#include <string.h>
#include "common/store/internal.h"

static const char *const names[] = {
	[STORE_OK] = "ok",
	[STORE_FENCED] = "fenced",
	[STORE_CONFLICT] = "conflict",
	[STORE_AGAIN] = "again",
	[STORE_DATA] = "data",
	[STORE_BUG] = "bug",
	[STORE_UNSURE] = "unsure",
	[STORE_DOWN] = "down",
};

const char *store_verdict_name(enum store_verdict v)
{
	return (size_t)v < ARRAY_SIZE(names) ? names[v] : "bug";
}

/* first match wins; a prefix matches a class */
static const struct {
	const char *prefix, *constraint; /* constraint NULL: any */
	enum store_verdict verdict;
} table[] = {
	{ "ZC001", NULL, STORE_FENCED },
	{ "23505", "event_lane_order_key_key_version_key", STORE_CONFLICT },
	{ "21000", NULL, STORE_BUG }, /* one key twice in ON CONFLICT: merge before sending */
	{ "25006", NULL, STORE_AGAIN }, /* read-only: it was failed over */
	{ "08", NULL, STORE_AGAIN },
	{ "40", NULL, STORE_AGAIN },
	{ "53", NULL, STORE_AGAIN },
	{ "55", NULL, STORE_AGAIN },
	{ "57", NULL, STORE_AGAIN },
	{ "22", NULL, STORE_DATA },
	{ "23", NULL, STORE_DATA },
};

enum store_verdict store_verdict_of(const char *sqlstate, const char *constraint)
{
	FOREACH(t, table)
		if (!strncmp(sqlstate, t->prefix, strlen(t->prefix)) &&
		    (!t->constraint || !strcmp(constraint, t->constraint)))
			return t->verdict;
	return STORE_BUG;
}

enum store_verdict judge_verdict(const struct judge *j)
{
	/* An error in a statement's place is certain: the Sync can't have been read before it.
	 * A session that ended after the last statement may have committed. 40003 says so itself. */
	if (j->failed && !(j->fatal && j->results == j->statements) && strcmp(j->sqlstate, "40003"))
		return store_verdict_of(j->sqlstate, j->constraint);
	if (!j->synced || j->failed)
		return STORE_UNSURE;
	if (j->strange || j->results != j->statements)
		return STORE_BUG;
	return j->warned ? STORE_UNSURE : STORE_OK;
}

bool judge_notice(const char *sqlstate)
{
	/* 57P01 as a notice: the wait for the standby ended with the session */
	return !strncmp(sqlstate, "01", 2) || !strncmp(sqlstate, "57P", 3);
}

bool judge_reconnect(const char *sqlstate)
{
	static const char *const prefixes[] = { "25", "57P", "08", "53" };

	FOREACH(p, prefixes)
		if (!strncmp(sqlstate, *p, strlen(*p)))
			return true;
	return false;
}
