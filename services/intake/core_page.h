#pragma once
/*
 * core_page - the citizens' pages as HTML
 *
 * No script; one style sheet of our own origin; everything that was typed by somebody is escaped.
 * Pure. Failures stay in the buf.
 */
#include "services/intake/core_render.h"
#include "services/intake/core_story.h"

extern const char page_style[]; /* the style sheet, at PAGE_STYLE_PATH */
#define PAGE_STYLE_PATH "/r/style.css"

/* problem: TEXT_N = none */
void page_ask(struct buf *out, enum lang l, enum text_id problem);
struct page_request {
	const char *code; /* canonical */
	const struct town *town;
	const struct public_row *row;
	const struct story *story;
	int64_t now_us;
};
void page_request(struct buf *out, enum lang l, const struct catalog *c, const struct page_request *p);
/* the form, again with what was typed and the problem where there is one (TEXT_N: none) */
void page_survey(struct buf *out, enum lang l, const char *code, enum text_id problem, int score,
		 const char *comment);
/* a page that says one thing; code: NULL = without the way back to the request */
void page_message(struct buf *out, enum lang l, enum text_id title, enum text_id text, const char *code);
void page_home(struct buf *out, enum lang l, const struct catalog *c);
