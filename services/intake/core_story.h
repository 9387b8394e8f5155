#pragma once
/*
 * core_story - a request's events and its departments' notes as steps in plain words
 *
 * Pure. Names come from the catalogue, notes are copied.
 */
#include "services/intake/core_catalog.h"

#define STORY_MAX 512 /* steps; older ones win */
#define STORY_EVENTS_MAX 400 /* rows of the log that are read */
#define STORY_NOTES_MAX 100

struct story_step {
	int64_t at_us;
	enum text_id text;
	const char *who; /* department's name; NULL: none */
	char *note; /* what the department wrote; NULL: none */
	enum text_id outcome; /* with a closing; TEXT_N: none */
};

struct story {
	struct story_step steps[STORY_MAX];
	size_t n;
	int64_t closing_seq; /* of the newest closing; 0: not closed now, or history */
	bool answered; /* the survey was, for this closing */
};

/* in order of seq; types that say nothing to a citizen are left out; -EBADMSG: wrong body */
int story_event(struct story *s, const struct catalog *c, int type, int64_t seq, int64_t at_us,
		struct bytes body) _must_check_;
int story_note(struct story *s, const struct catalog *c, int32_t department, const char *note,
	       int64_t at_us) _must_check_;
void story_sort(struct story *s); /* by time */
void story_fini(struct story *s);
