/*
 * core_page - what a citizen sees
 *
 * Written by hand rather than from templates: five small pages, and the compiler sees every text.
 */
#include <stdio.h>
#include "common/base/clock.h"
#include "services/intake/core_page.h"

const char page_style[] =
	":root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--back:#fff;"
	"--tint:#f3f6f9;--go:#0b5cad}\n"
	"@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#a3adb8;--line:#3d444d;"
	"--back:#12161b;--tint:#1b2128;--go:#7cb8f5}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0;background:var(--back);color:var(--ink);font:1.0625rem/1.55 system-ui,"
	"-apple-system,'Segoe UI',Roboto,sans-serif}\n"
	"header,main,footer{max-width:42rem;margin:0 auto;padding:1rem 1.25rem}\n"
	"header{display:flex;flex-wrap:wrap;gap:.5rem 1rem;justify-content:space-between;"
	"border-bottom:1px solid var(--line)}\n"
	"header strong{font-weight:650}\nnav a{margin-left:.75rem}\n"
	"h1{font-size:1.6rem;line-height:1.25;margin:1.25rem 0 .5rem}\n"
	"h2{font-size:1.15rem;margin:2rem 0 .5rem}\n"
	"a{color:var(--go)}\na:focus-visible,button:focus-visible,input:focus-visible,"
	"textarea:focus-visible{outline:3px solid var(--go);outline-offset:2px}\n"
	"dl{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.4rem 1.25rem;"
	"margin:1rem 0;padding:1rem 1.25rem;background:var(--tint);border-radius:.75rem}\n"
	"dt{color:var(--soft)}\ndd{margin:0;overflow-wrap:anywhere}\n"
	"@media(max-width:34rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.6rem}}\n"
	".words,.note{white-space:pre-line;overflow-wrap:anywhere}\n"
	".words{margin:0;padding:.25rem 0 .25rem 1rem;border-left:4px solid var(--line)}\n"
	"ol.story{list-style:none;margin:0;padding:0}\n"
	"ol.story li{position:relative;padding:0 0 1.1rem 1.5rem;border-left:2px solid var(--line);"
	"margin-left:.4rem}\n"
	"ol.story li:last-child{border-color:transparent}\n"
	"ol.story li::before{content:'';position:absolute;left:-.45rem;top:.45rem;width:.8rem;"
	"height:.8rem;border-radius:50%;background:var(--go)}\n"
	"time{display:block;color:var(--soft);font-size:.9rem}\n"
	".note{display:block;margin:.25rem 0 0;padding:.5rem .75rem;background:var(--tint);"
	"border-radius:.5rem}\n"
	".problem{padding:.75rem 1rem;border:2px solid #b42318;border-radius:.5rem}\n"
	"label,legend{font-weight:600}legend{padding:0}\nfieldset{border:0;margin:0 0 1.25rem;padding:0}\n"
	".scale{display:flex;flex-wrap:wrap;gap:.4rem;margin:.5rem 0}\n"
	".scale label{display:flex;flex-direction:column;align-items:center;min-width:2.9rem;"
	"padding:.5rem .25rem;border:1px solid var(--line);border-radius:.5rem;font-weight:400}\n"
	"input[type=text],textarea{width:100%;padding:.65rem .75rem;font:inherit;color:inherit;"
	"background:var(--back);border:1px solid var(--soft);border-radius:.5rem}\n"
	"button,.button{display:inline-block;margin-top:1rem;padding:.7rem 1.3rem;font:inherit;"
	"font-weight:600;color:#fff;background:#0b5cad;border:0;border-radius:.5rem;"
	"text-decoration:none;cursor:pointer}\n"
	".hint{color:var(--soft);margin:.25rem 0}\n";

static void escaped(struct buf *out, const char *s)
{
	html_escape(out, s, strlen(s));
}

static void begin(struct buf *out, enum lang l, enum text_id title, const char *path)
{
	buf_printf(out, "<!DOCTYPE html>\n<html lang=\"%s\">\n<head>\n<meta charset=\"utf-8\">\n"
			"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
			"<meta name=\"robots\" content=\"noindex\">\n"
			"<title>%s</title>\n<link rel=\"stylesheet\" href=\"" PAGE_STYLE_PATH "\">\n"
			"</head>\n<body>\n<header><strong>%s</strong>\n<nav aria-label=\"Language\">",
		   lang_name(l), text_get(l, title), text_get(l, TEXT_PAGE_TITLE));
	for (unsigned i = 0; i < LANG_N; i++) {
		enum lang other = (enum lang)i;

		if (other == l)
			continue;
		buf_str(out, "<a href=\"");
		escaped(out, path);
		buf_printf(out, "?lang=%s\" lang=\"%s\" hreflang=\"%s\">%s</a>", lang_name(other),
			   lang_name(other), lang_name(other), text_get(other, TEXT_LANGUAGE_NAME));
	}
	buf_printf(out, "</nav></header>\n<main>\n<h1>%s</h1>\n", text_get(l, title));
}

static void finish(struct buf *out)
{
	buf_str(out, "</main>\n</body>\n</html>\n");
}

static void problem_box(struct buf *out, enum lang l, enum text_id problem)
{
	char limit[16];

	if (problem == TEXT_N)
		return;
	snprintf(limit, sizeof(limit), "%d", COMMENT_MAX);
	buf_str(out, "<p class=\"problem\" role=\"alert\">");
	text_fill_html(out, l, problem, NULL, limit);
	buf_str(out, "</p>\n");
}

void page_ask(struct buf *out, enum lang l, enum text_id problem)
{
	begin(out, l, TEXT_PAGE_ASK_TITLE, "/r");
	problem_box(out, l, problem);
	buf_printf(out,
		   "<form method=\"get\" action=\"/r\">\n<p id=\"hint\">%s</p>\n"
		   "<input type=\"hidden\" name=\"lang\" value=\"%s\">\n"
		   "<label for=\"code\">%s</label>\n"
		   "<input type=\"text\" id=\"code\" name=\"code\" required maxlength=\"40\" "
		   "autocomplete=\"off\" autocapitalize=\"characters\" spellcheck=\"false\" "
		   "aria-describedby=\"hint\" placeholder=\"XXXX-XXXX-XXXX\">\n"
		   "<button type=\"submit\">%s</button>\n</form>\n",
		   text_get(l, TEXT_PAGE_ASK_TEXT), lang_name(l), text_get(l, TEXT_PAGE_ASK_LABEL),
		   text_get(l, TEXT_PAGE_ASK_BUTTON));
	finish(out);
}

/* the town's local time: "2026-03-29 14:05" */
static void local_time(char ret[static 32], const struct town *t, int64_t at_us)
{
	struct civil c;

	zone_civil(t->zone, at_us, &c);
	snprintf(ret, 32, "%04d-%02d-%02d %02d:%02d", c.year % 10000, c.month % 100, c.day % 100,
		 c.hour % 100, c.minute % 100);
}

static void time_tag(struct buf *out, const struct town *t, int64_t at_us)
{
	char utc[32], local[32];

	clock_format_utc(at_us, utc);
	local_time(local, t, at_us);
	buf_printf(out, "<time datetime=\"%s\">%s</time>", utc, local);
}

static void fact(struct buf *out, enum lang l, enum text_id label, const char *value)
{
	buf_printf(out, "<dt>%s</dt><dd>", text_get(l, label));
	escaped(out, value);
	buf_str(out, "</dd>\n");
}

static void where(struct buf *out, enum lang l, const struct public_row *row)
{
	char lat[24], lng[24];

	if (row->address && *row->address) {
		fact(out, l, TEXT_PAGE_REQUEST_WHERE, row->address);
	} else if (row->has_place) {
		snprintf(lat, sizeof(lat), "%.5f", row->lat);
		snprintf(lng, sizeof(lng), "%.5f", row->lng);
		buf_printf(out, "<dt>%s</dt><dd>", text_get(l, TEXT_PAGE_REQUEST_WHERE));
		text_fill_html(out, l, TEXT_PAGE_REQUEST_PLACE, lat, lng);
		buf_str(out, "</dd>\n");
	} else if (row->address_id && *row->address_id) {
		fact(out, l, TEXT_PAGE_REQUEST_WHERE, row->address_id);
	}
}

static void promised(struct buf *out, enum lang l, const struct page_request *p)
{
	char local[32];

	if (p->row->state == CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_CLOSED)
		return;
	local_time(local, p->town, p->row->expected_at_us);
	if (p->row->expected_at_us >= p->now_us) {
		fact(out, l, TEXT_PAGE_REQUEST_PROMISED, local);
		return;
	}
	buf_printf(out, "<dt>%s</dt><dd>", text_get(l, TEXT_PAGE_REQUEST_PROMISED));
	text_fill_html(out, l, TEXT_PAGE_REQUEST_PROMISED_LATE, local, NULL);
	buf_str(out, "</dd>\n");
}

static void facts(struct buf *out, enum lang l, const struct catalog *c, const struct page_request *p)
{
	const struct offer *o = catalog_offer(c, p->row->offer);
	const struct department *d = catalog_department(c, p->row->department);
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)p->row->request);
	buf_str(out, "<dl>\n");
	fact(out, l, TEXT_PAGE_REQUEST_STATE,
	     text_get(l, render_state_text(p->row->state, p->row->outcome)));
	fact(out, l, TEXT_PAGE_REQUEST_WHAT, o ? o->name : "–");
	where(out, l, p->row);
	fact(out, l,
	     p->row->state == CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_CLOSED
		     ? TEXT_PAGE_REQUEST_WHO_CLOSED
		     : TEXT_PAGE_REQUEST_WHO,
	     d ? d->name : "–");
	promised(out, l, p);
	fact(out, l, TEXT_PAGE_REQUEST_NUMBER, id);
	buf_str(out, "</dl>\n");
}

static void words(struct buf *out, enum lang l, const struct public_row *row)
{
	if (row->description && *row->description) {
		buf_printf(out, "<h2>%s</h2>\n<p class=\"words\">",
			   text_get(l, TEXT_PAGE_REQUEST_TEXT));
		escaped(out, row->description);
		buf_str(out, "</p>\n");
	}
	if (row->media_url && *row->media_url) {
		buf_str(out, "<p><a rel=\"noreferrer noopener nofollow\" href=\"");
		escaped(out, row->media_url);
		buf_printf(out, "\">%s</a></p>\n", text_get(l, TEXT_PAGE_REQUEST_PHOTO));
	}
}

static void step(struct buf *out, enum lang l, const struct town *t, const struct story_step *s)
{
	buf_str(out, "<li>");
	time_tag(out, t, s->at_us);
	text_fill_html(out, l, s->text, s->who, NULL);
	if (s->outcome != TEXT_N)
		buf_printf(out, " <strong>%s</strong>", text_get(l, s->outcome));
	if (s->note) {
		buf_str(out, "<span class=\"note\">");
		escaped(out, s->note);
		buf_str(out, "</span>");
	}
	buf_str(out, "</li>\n");
}

void page_request(struct buf *out, enum lang l, const struct catalog *c, const struct page_request *p)
{
	char path[40];

	snprintf(path, sizeof(path), "/r/%.20s", p->code);
	begin(out, l, TEXT_PAGE_TITLE, path);
	facts(out, l, c, p);
	words(out, l, p->row);
	buf_printf(out, "<h2>%s</h2>\n<ol class=\"story\">\n", text_get(l, TEXT_PAGE_REQUEST_STEPS));
	for (size_t i = 0; i < p->story->n; i++)
		step(out, l, p->town, &p->story->steps[i]);
	buf_str(out, "</ol>\n");
	if (p->story->closing_seq && !p->story->answered)
		buf_printf(out, "<p><a class=\"button\" href=\"/r/%s/survey?lang=%s\">%s</a></p>\n",
			   p->code, lang_name(l), text_get(l, TEXT_PAGE_REQUEST_SURVEY));
	finish(out);
}

void page_survey(struct buf *out, enum lang l, const char *code, enum text_id problem, int score,
		 const char *comment)
{
	char path[48];

	snprintf(path, sizeof(path), "/r/%.20s/survey", code);
	begin(out, l, TEXT_PAGE_SURVEY_TITLE, path);
	problem_box(out, l, problem);
	buf_printf(out, "<form method=\"post\" action=\"%s?lang=%s\" accept-charset=\"utf-8\">\n"
			"<fieldset>\n<legend>%s</legend>\n<p class=\"hint\">%s</p>\n"
			"<div class=\"scale\">\n",
		   path, lang_name(l), text_get(l, TEXT_PAGE_SURVEY_SCORE),
		   text_get(l, TEXT_PAGE_SURVEY_SCALE));
	for (int i = 0; i <= 10; i++)
		buf_printf(out, "<label><input type=\"radio\" name=\"score\" value=\"%d\" required%s>%d"
				"</label>\n",
			   i, i == score ? " checked" : "", i);
	buf_printf(out, "</div>\n</fieldset>\n<label for=\"comment\">%s</label>\n"
			"<textarea id=\"comment\" name=\"comment\" rows=\"5\" maxlength=\"%d\">\n",
		   text_get(l, TEXT_PAGE_SURVEY_COMMENT), COMMENT_MAX);
	escaped(out, comment);
	buf_printf(out, "</textarea>\n<button type=\"submit\">%s</button>\n</form>\n",
		   text_get(l, TEXT_PAGE_SURVEY_BUTTON));
	buf_printf(out, "<p><a href=\"/r/%s?lang=%s\">%s</a></p>\n", code, lang_name(l),
		   text_get(l, TEXT_PAGE_BACK));
	finish(out);
}

void page_message(struct buf *out, enum lang l, enum text_id title, enum text_id text, const char *code)
{
	char path[40] = "/r";

	if (code)
		snprintf(path, sizeof(path), "/r/%.20s", code);
	begin(out, l, title, path);
	buf_printf(out, "<p>%s</p>\n", text_get(l, text));
	if (code)
		buf_printf(out, "<p><a href=\"%s?lang=%s\">%s</a></p>\n", path, lang_name(l),
			   text_get(l, TEXT_PAGE_BACK));
	finish(out);
}

static void town_item(struct buf *out, enum lang l, const struct town *t)
{
	buf_str(out, "<li>");
	escaped(out, t->name);
	buf_str(out, " (<code>");
	escaped(out, t->jurisdiction_id);
	buf_str(out, "</code>): <a href=\"/open311/v2/services.json?jurisdiction_id=");
	escaped(out, t->jurisdiction_id);
	buf_printf(out, "\">%s</a></li>\n", text_get(l, TEXT_PAGE_HOME_SERVICES));
}

void page_home(struct buf *out, enum lang l, const struct catalog *c)
{
	begin(out, l, TEXT_PAGE_HOME_TITLE, "/");
	if (catalog_towns_n(c)) {
		buf_printf(out, "<p>%s</p>\n<ul>\n", text_get(l, TEXT_PAGE_HOME_TEXT));
		for (const struct town *t = catalog_towns(c); t; t = t->next)
			if (!t->retired)
				town_item(out, l, t);
		buf_str(out, "</ul>\n");
	} else {
		buf_printf(out, "<p>%s</p>\n", text_get(l, TEXT_PAGE_HOME_NONE));
	}
	buf_printf(out, "<p><a class=\"button\" href=\"/r?lang=%s\">%s</a></p>\n", lang_name(l),
		   text_get(l, TEXT_PAGE_ASK_TITLE));
	buf_printf(out, "<h2>%s</h2>\n<p>%s: <a href=\"/open311/v2/discovery.json\">JSON</a>, "
			"<a href=\"/open311/v2/discovery.xml\">XML</a></p>\n",
		   text_get(l, TEXT_PAGE_HOME_DEVELOPERS), text_get(l, TEXT_PAGE_HOME_DISCOVERY));
	finish(out);
}
