#pragma once
/*
 * core_text - what a mail says, in the citizen's language
 *
 * Pure. The words come from catalogue/<language>.json; a key that a language lacks ends the build.
 */
#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/base/zone.h"
#include "centraleta/v1/event.pb-c.h"
#include "services/notification/catalogue.h"

#define TEXT_DESCRIPTION_MAX 400 /* code points of what the citizen wrote */
#define TEXT_NOTE_MAX 2000 /* code points of what the department wrote */

struct text_facts { /* UTF-8, borrowed */
	Centraleta__V1__MessageKind kind;
	enum catalogue_language language;
	const char *base_url; /* of the citizens' pages, without '/' at the end */
	const char *town;
	const char *service;
	const char *description; /* "": none was given */
	const char *department; /* of a resolved request */
	const char *note; /* of a resolved request; "": none */
	const char *code; /* XXXX-XXXX-XXXX */
	int64_t request;
	int64_t requested_us, expected_us; /* expected 0: nothing is promised yet */
	Centraleta__V1__Outcome outcome;
	const struct zone *zone; /* the town's */
};

/* CATALOGUE_EN for an unknown one */
enum catalogue_language text_language(const char *code);
/* "24 de novembre de 2026" */
void text_date(struct buf *out, enum catalogue_language language, const struct zone *z, int64_t at_us);
void text_subject(const struct text_facts *f, struct buf *out);
/* plain text, and the same as HTML; lines end in LF */
void text_body(const struct text_facts *f, struct buf *text, struct buf *html);
