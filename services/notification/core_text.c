/*
 * core_text - what a mail says
 *
 * A body is a row of blocks: paragraphs, facts, a quotation, links. Each block writes itself into
 * both forms, so that the plain and the HTML text can't say different things. All that comes from
 * people is escaped for HTML and loses its controls.
 */
#include "services/notification/core_text.h"

#include <stdio.h>

#include "common/base/text.h"

struct body {
	const struct text_facts *facts;
	struct buf *text, *html;
};

enum catalogue_language text_language(const char *code)
{
	for (int i = 0; i < CATALOGUE_LANGUAGES; i++)
		if (!strcmp(catalogue_codes[i], code))
			return (enum catalogue_language)i;
	return CATALOGUE_EN;
}

/* ---- placeholders -------------------------------------------------------------------------------- */

struct word {
	const char *name, *value;
};

static void fill(struct buf *out, const char *pattern, const struct word *words, size_t n)
{
	while (*pattern) {
		size_t plain = strcspn(pattern, "{");

		buf_add(out, pattern, plain);
		pattern += plain;
		if (!*pattern)
			break;
		size_t len = strcspn(++pattern, "}");

		for (size_t i = 0; i < n; i++)
			if (strlen(words[i].name) == len && !memcmp(words[i].name, pattern, len))
				buf_str(out, words[i].value);
		pattern += len + 1; /* the generator saw to the brace */
	}
}

void text_date(struct buf *out, enum catalogue_language language, const struct zone *z, int64_t at_us)
{
	char day[16], year[16];
	struct civil c;

	zone_civil(z, at_us, &c);
	snprintf(day, sizeof(day), "%d", c.day);
	snprintf(year, sizeof(year), "%d", c.year);
	const struct word words[] = {
		{ "day", day },
		{ "month", catalogue[language][TEXT_MONTH_1 + c.month - 1] },
		{ "year", year },
	};

	fill(out, catalogue[language][TEXT_DATE], words, ARRAY_SIZE(words));
}

static void say(struct buf *out, const struct text_facts *f, enum catalogue_text key, int64_t date_us)
{
	struct buf date = BUF_INIT;
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)f->request);
	text_date(&date, f->language, f->zone, date_us);
	const struct word words[] = {
		{ "town", f->town }, { "id", id }, { "service", f->service },
		{ "department", f->department }, { "date", date.data ? date.data : "" },
	};

	fill(out, catalogue[f->language][key], words, ARRAY_SIZE(words));
	buf_fini(&date);
}

/* ---- blocks -------------------------------------------------------------------------------------- */

static void escaped(struct buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		switch (s[i]) {
		case '&':
			buf_str(out, "&amp;");
			break;
		case '<':
			buf_str(out, "&lt;");
			break;
		case '>':
			buf_str(out, "&gt;");
			break;
		case '"':
			buf_str(out, "&quot;");
			break;
		case '\n':
			buf_str(out, "<br>\n");
			break;
		default:
			buf_ch(out, s[i]);
		}
	}
}

static void paragraph(struct body *b, enum catalogue_text key, int64_t date_us)
{
	struct buf line = BUF_INIT;

	say(&line, b->facts, key, date_us);
	buf_add(b->text, line.data, line.len);
	buf_str(b->text, "\n\n");
	buf_str(b->html, "<p>");
	escaped(b->html, line.data, line.len);
	buf_str(b->html, "</p>\n");
	buf_fini(&line);
}

/* people's words: cut, line ends made one kind, other controls gone */
static void tidy(struct buf *out, const char *s, size_t max)
{
	size_t len = strlen(s), kept = text_prefix(s, len, max);

	for (size_t i = 0; i < kept; i++) {
		if (s[i] == '\r' && s[i + 1] != '\n')
			buf_ch(out, '\n');
		else if ((uint8_t)s[i] >= ' ' ? s[i] != 127 : s[i] == '\n' || s[i] == '\t')
			buf_ch(out, s[i]);
	}
	if (kept < len)
		buf_str(out, "…");
}

static void quotation(struct body *b, const char *s, size_t max)
{
	struct buf clean = BUF_INIT;
	bool start = true;

	tidy(&clean, s, max);
	for (size_t i = 0; i < clean.len; i++) {
		if (start)
			buf_str(b->text, "> ");
		buf_ch(b->text, clean.data[i]);
		start = clean.data[i] == '\n';
	}
	buf_str(b->text, "\n\n");
	buf_str(b->html, "<blockquote>");
	escaped(b->html, clean.data, clean.len);
	buf_str(b->html, "</blockquote>\n");
	buf_fini(&clean);
}

static void fact(struct body *b, enum catalogue_text key, const char *value)
{
	const char *label = catalogue[b->facts->language][key];

	buf_printf(b->text, "%s:%s%s\n", label, value[0] ? " " : "", value);
	buf_str(b->html, "<p>");
	escaped(b->html, label, strlen(label));
	buf_str(b->html, ": <strong>");
	escaped(b->html, value, strlen(value));
	buf_str(b->html, "</strong></p>\n");
}

/* path: behind /r/<code>: "" or "/survey" */
static void page(struct body *b, enum catalogue_text key, const char *path)
{
	const struct text_facts *f = b->facts;
	const char *label = catalogue[f->language][key];
	struct buf url = BUF_INIT;

	buf_printf(&url, "%s/r/%s%s?lang=%s", f->base_url, f->code, path, catalogue_codes[f->language]);
	buf_printf(b->text, "%s:\n%s\n\n", label, url.data ? url.data : "");
	buf_str(b->html, "<p><a href=\"");
	escaped(b->html, url.data, url.len);
	buf_str(b->html, "\">");
	escaped(b->html, label, strlen(label));
	buf_str(b->html, "</a></p>\n");
	buf_fini(&url);
}

/* ---- the two kinds -------------------------------------------------------------------------------- */

void text_subject(const struct text_facts *f, struct buf *out)
{
	bool received = f->kind == CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RECEIVED;

	say(out, f, received ? TEXT_SUBJECT_RECEIVED : TEXT_SUBJECT_RESOLVED, f->requested_us);
}

static void which_request(struct body *b)
{
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)b->facts->request);
	fact(b, TEXT_FACT_ID, id);
	fact(b, TEXT_FACT_SERVICE, b->facts->service);
}

static void received(struct body *b)
{
	const struct text_facts *f = b->facts;

	paragraph(b, TEXT_RECEIVED_INTRO, f->requested_us);
	which_request(b);
	fact(b, TEXT_FACT_CODE, f->code);
	buf_str(b->text, "\n");
	if (f->description[0]) {
		fact(b, TEXT_FACT_DESCRIPTION, "");
		quotation(b, f->description, TEXT_DESCRIPTION_MAX);
	}
	if (f->expected_us) /* nothing is promised before a department has it */
		paragraph(b, TEXT_RECEIVED_EXPECTED, f->expected_us);
	page(b, TEXT_LINK_STORY, "");
	paragraph(b, TEXT_CODE_EXPLAIN, f->requested_us);
}

static enum catalogue_text outcome_text(Centraleta__V1__Outcome outcome)
{
	switch (outcome) {
	case CENTRALETA__V1__OUTCOME__OUTCOME_DONE:
		return TEXT_OUTCOME_DONE;
	case CENTRALETA__V1__OUTCOME__OUTCOME_DECLINED:
		return TEXT_OUTCOME_DECLINED;
	case CENTRALETA__V1__OUTCOME__OUTCOME_NOT_OURS:
		return TEXT_OUTCOME_NOT_OURS;
	case CENTRALETA__V1__OUTCOME__OUTCOME_DUPLICATE:
		return TEXT_OUTCOME_DUPLICATE;
	case CENTRALETA__V1__OUTCOME__OUTCOME_NOT_FOUND:
		return TEXT_OUTCOME_NOT_FOUND;
	case CENTRALETA__V1__OUTCOME__OUTCOME_WITHDRAWN:
		return TEXT_OUTCOME_WITHDRAWN;
	default:
		return TEXT_OUTCOME_OTHER;
	}
}

static void resolved(struct body *b)
{
	const struct text_facts *f = b->facts;

	paragraph(b, TEXT_RESOLVED_INTRO, f->requested_us);
	which_request(b);
	buf_str(b->text, "\n");
	paragraph(b, outcome_text(f->outcome), f->requested_us);
	if (f->note[0]) {
		paragraph(b, TEXT_RESOLVED_NOTE, f->requested_us);
		quotation(b, f->note, TEXT_NOTE_MAX);
	}
	page(b, TEXT_LINK_WHOLE_STORY, "");
	paragraph(b, TEXT_RESOLVED_SURVEY, f->requested_us);
	page(b, TEXT_LINK_SURVEY, "/survey");
}

void text_body(const struct text_facts *f, struct buf *text, struct buf *html)
{
	struct body b = { .facts = f, .text = text, .html = html };
	const char *language = catalogue_codes[f->language];

	buf_printf(html, "<!DOCTYPE html>\n<html lang=\"%s\"><head><meta charset=\"utf-8\"><title>", language);
	struct buf title = BUF_INIT;

	text_subject(f, &title);
	escaped(html, title.data, title.len);
	buf_fini(&title);
	buf_str(html, "</title></head><body>\n");
	paragraph(&b, TEXT_HELLO, f->requested_us);
	if (f->kind == CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RECEIVED)
		received(&b);
	else
		resolved(&b);
	paragraph(&b, TEXT_FOOTER, f->requested_us);
	buf_str(html, "</body></html>\n");
}
