/*
 * pages - what a citizen with a code sees and sends
 *
 * /r asks for the code, /r/<code> shows the story, /r/<code>/survey takes the answer. A code leads
 * first to its town, by the one thing intake's own role may see, then everything is read as the
 * public role of that town. Wrong codes are counted by address.
 */
#include <errno.h>
#include "common/base/text.h"
#include "services/intake/core_page.h"
#include "services/intake/web.h"

#define FORM_PAIRS 16

void pages_reply(struct intake *in, struct http_request *r, int status, const struct buf *body)
{
	(void)in;
	http_reply_header(r, "Content-Security-Policy",
			  "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
			  "frame-ancestors 'none'");
	http_reply_header(r, "X-Content-Type-Options", "nosniff");
	http_reply_header(r, "Referrer-Policy", "no-referrer");
	http_reply_header(r, "Cache-Control", "no-store");
	http_reply_header(r, "Vary", "Accept-Language");
	if (buf_err(body))
		http_reply(r, 503, "text/plain; charset=utf-8", "", 0);
	else
		http_reply(r, status, "text/html; charset=utf-8", body->data, body->len);
}

enum lang pages_lang(const struct http_request *r, const struct http_form *query, bool *asked)
{
	const struct http_pair *p = query ? http_form_get(query, "lang") : NULL;
	const char *accept = http_header(r, "Accept-Language");
	enum lang l;
	bool named = p && lang_parse(p->value, p->value_len, &l);

	if (!named) {
		l = lang_accept(accept, LANG_EN);
		/* what doesn't hang on the fallback was named */
		named = l != LANG_EN || lang_accept(accept, LANG_CA) == LANG_EN;
	}
	if (asked)
		*asked = named;
	return l;
}

static void message(struct intake *in, struct http_request *r, enum lang l, int status,
		    enum text_id title, enum text_id text, const char *code)
{
	struct buf *out = web_buf(in->web);

	page_message(out, l, title, text, code);
	pages_reply(in, r, status, out);
}

static void ask(struct intake *in, struct http_request *r, enum lang l, int status,
		enum text_id problem)
{
	struct buf *out = web_buf(in->web);

	if (status == 429)
		http_reply_header(r, "Retry-After", "600");
	page_ask(out, l, problem);
	pages_reply(in, r, status, out);
}

static void busy_page(struct intake *in, struct http_request *r, enum lang l)
{
	web_retry_after(in, r);
	message(in, r, l, 503, TEXT_PAGE_ERROR_TITLE, TEXT_PAGE_ERROR_BUSY, NULL);
}

static void count_guess(struct intake *in, const char *result)
{
	series_add(intake_series(in, METRIC_GUESS, result, NULL, NULL), 1);
}

static void wrong_code(struct intake *in, struct http_request *r, enum lang l)
{
	guess_wrong(in->guess, http_peer(r), clock_mono_ms());
	count_guess(in, "wrong");
	ask(in, r, l, 404, TEXT_PAGE_ASK_WRONG);
}

/* ---- the survey's answer --------------------------------------------------------------------- */

static void survey_stored(void *ctx, const struct entry *e, const struct entry_result *res)
{
	_cleanup_(exchange_freep) struct exchange *x = ctx;
	bool before = res->end == ENTRY_ANSWERED_BEFORE;

	(void)e;
	if (!x->r)
		return;
	if (res->end == ENTRY_ACCEPTED || before)
		message(x->in, x->r, x->lang, before ? 409 : 200, TEXT_PAGE_SURVEY_TITLE,
			before ? TEXT_PAGE_SURVEY_AGAIN : TEXT_PAGE_SURVEY_THANKS, x->code);
	else
		busy_page(x->in, x->r, x->lang);
	x->r = NULL; /* answered */
}

static bool comment_ok(const char *s)
{
	size_t n = strlen(s);

	return text_valid(s, n) && text_length(s, n) <= COMMENT_MAX;
}

/* takes x over; what is typed was checked when it came */
static void store_answer(struct exchange *x, const struct story *story)
{
	_cleanup_(exchange_freep) struct exchange *mine = x;
	_cleanup_(entry_freep) struct entry *e = NULL;
	const char *traceparent = http_header(x->r, "traceparent");
	const struct survey_input in = {
		.lane = (unsigned)id_lane(x->request), .request = x->request, .town = x->town,
		.closing_seq = story->closing_seq, .at_us = clock_wall_us(), .language = x->lang,
		.score = x->score, .comment = x->comment ? x->comment : "",
	};
	struct trace trace;

	intake_trace(traceparent, traceparent ? strlen(traceparent) : 0, &trace);
	if (!entry_new_survey(&e, &in, &trace, &x->in->scratch)) {
		e->done = survey_stored;
		e->ctx = x;
		if (!writer_add(x->in->writer, e)) {
			steal(e);
			steal(mine);
			return;
		}
		e->done = NULL;
	}
	busy_page(x->in, x->r, x->lang);
	x->r = NULL;
}

/* the survey's page or its answer, now that the story is known; x is taken over */
static void survey(struct exchange *x, const struct story *story)
{
	_cleanup_(exchange_freep) struct exchange *mine = x;
	enum text_id problem = TEXT_N;
	struct buf *out;

	if (!story->closing_seq || story->answered) {
		message(x->in, x->r, x->lang, x->posting ? 409 : 200, TEXT_PAGE_SURVEY_TITLE,
			story->answered ? TEXT_PAGE_SURVEY_AGAIN : TEXT_PAGE_SURVEY_OPEN, x->code);
		x->r = NULL;
		return;
	}
	if (x->posting && x->score < 0)
		problem = TEXT_PAGE_SURVEY_BAD_SCORE;
	else if (x->posting && !x->comment)
		problem = TEXT_PAGE_SURVEY_BAD_COMMENT;
	else if (x->posting) {
		store_answer(steal(mine), story);
		return;
	}
	out = web_buf(x->in->web);
	page_survey(out, x->lang, x->code, problem, x->score, x->comment ? x->comment : "");
	pages_reply(x->in, x->r, problem == TEXT_N ? 200 : 400, out);
	x->r = NULL;
}

/* ---- the story ------------------------------------------------------------------------------- */

static int read_story(const struct exchange *x, const struct answer *a, struct story *s)
{
	const struct rows *events = a->rows[2], *notes = a->rows[3];
	int r = 0;

	for (size_t i = 0; i < rows_count(events) && !r; i++)
		r = story_event(s, x->catalog, (int)rows_int(events, i, 0), rows_int(events, i, 1),
				rows_time(events, i, 2), rows_bytes(events, i, 3));
	for (size_t i = 0; i < rows_count(notes) && !r; i++)
		r = story_note(s, x->catalog, (int32_t)rows_int(notes, i, 0), rows_text(notes, i, 1),
			       rows_time(notes, i, 2));
	story_sort(s);
	return r;
}

static void show(struct exchange *x, const struct answer *a, const struct story *story)
{
	struct buf *out = web_buf(x->in->web);
	struct public_row row;
	const struct page_request p = {
		.code = x->code, .town = catalog_town(x->catalog, x->town), .row = &row,
		.story = story, .now_us = clock_wall_us(),
	};

	reads_row(a->rows[1], 0, &row);
	page_request(out, x->lang, x->catalog, &p);
	pages_reply(x->in, x->r, 200, out);
}

static void story_came(void *ctx, enum busy_cause busy, const struct answer *a)
{
	_cleanup_(exchange_freep) struct exchange *x = ctx;
	struct story *s = x->r ? calloc(1, sizeof(*s)) : NULL;
	int r;

	if (!x->r)
		return;
	r = !s || busy || a->n < 4 || !rows_count(a->rows[1]) ? -ENODATA : read_story(x, a, s);
	if (r) {
		busy_page(x->in, x->r, x->lang);
		x->r = NULL;
	} else if (x->survey) {
		survey(steal(x), s);
	} else {
		show(x, a, s);
		x->r = NULL;
	}
	if (s)
		story_fini(s);
	free(s);
}

static void code_came(void *ctx, enum busy_cause busy, const struct answer *a)
{
	_cleanup_(exchange_freep) struct exchange *x = ctx;

	if (!x->r)
		return;
	if (busy) {
		busy_page(x->in, x->r, x->lang);
	} else if (!rows_count(a->rows[0]) ||
		   !catalog_town(x->catalog, (int32_t)rows_int(a->rows[0], 0, 1))) {
		wrong_code(x->in, x->r, x->lang);
	} else {
		struct exchange *on = steal(x);

		count_guess(on->in, "right");
		on->request = rows_int(a->rows[0], 0, 0);
		on->town = (int32_t)rows_int(a->rows[0], 0, 1);
		if (!on->lang_asked)
			on->lang = catalog_town(on->catalog, on->town)->language;
		reads_story(on->in->reads, on->town, (unsigned)id_lane(on->request),
			    on->request, story_came, on);
		return;
	}
	x->r = NULL;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* what was typed into the survey's form; wrong parts stay -1 and NULL */
static void read_answer(struct exchange *x)
{
	struct bytes body = http_body(x->r);
	struct http_form form = { 0 };
	const struct http_pair *score, *comment;
	int64_t n;

	if (http_form_parse(&form, (const char *)body.data, body.len, FORM_PAIRS))
		return;
	score = http_form_get(&form, "score");
	comment = http_form_get(&form, "comment");
	if (score && text_to_i64(score->value, score->value_len, &n) && n >= 0 && n <= 10)
		x->score = (int)n;
	if (!comment)
		x->comment = strdup("");
	else if (strlen(comment->value) == comment->value_len && comment_ok(comment->value))
		x->comment = strdup(comment->value);
	http_form_fini(&form);
}

static void look_up(struct intake *in, struct http_request *r, const struct http_form *query,
		    const struct buf *text, bool is_survey)
{
	uint8_t hash[CODE_HASH_LEN];
	struct exchange *x;
	unsigned lane;
	bool asked;
	enum lang l = pages_lang(r, query, &asked);

	if (!guess_allowed(in->guess, http_peer(r), clock_mono_ms())) {
		count_guess(in, "limited");
		ask(in, r, l, 429, TEXT_PAGE_ASK_LIMITED);
		return;
	}
	if (exchange_new(&x, in, r)) {
		busy_page(in, r, l);
		return;
	}
	if (!code_parse(text->data ? text->data : "", text->len, x->code, &lane)) {
		exchange_free(x);
		wrong_code(in, r, l);
		return;
	}
	x->lang = l;
	x->lang_asked = asked;
	x->survey = is_survey;
	x->posting = is_survey && http_method(r) == HTTP_POST;
	if (x->posting)
		read_answer(x);
	code_hash(in->s->secret, x->code, hash);
	reads_code(in->reads, lane, hash, code_came, x);
}

/* /r?code=… goes to /r/<code>, so that the page can be kept */
static void answer_ask(struct intake *in, struct http_request *r, enum lang l,
		       const struct http_form *query)
{
	const struct http_pair *p = http_form_get(query, "code");
	char code[CODE_LEN + 1], to[48] = "/r/";
	unsigned lane;

	if (!p || !p->value_len) {
		ask(in, r, l, 200, TEXT_N);
	} else if (!code_parse(p->value, p->value_len, code, &lane)) {
		wrong_code(in, r, l);
	} else {
		strcat(strcat(strcat(to, code), "?lang="), lang_name(l));
		http_reply_header(r, "Location", to);
		http_reply_header(r, "Cache-Control", "no-store");
		http_reply(r, 303, "text/plain; charset=utf-8", "", 0);
	}
}

static void answer_code(struct intake *in, struct http_request *r, enum lang l, const char *path,
			const struct http_form *query)
{
	static const char end[] = "/survey";
	size_t n = strlen(path), tail = sizeof(end) - 1;
	bool is_survey = n > tail && !strcmp(path + n - tail, end);
	struct buf code = BUF_INIT;

	if (is_survey)
		n -= tail;
	if (http_method(r) == HTTP_POST && !is_survey) {
		http_reply_header(r, "Allow", "GET, HEAD");
		message(in, r, l, 405, TEXT_PAGE_ERROR_TITLE, TEXT_PAGE_ERROR_WRONG, NULL);
	} else if (n > 60 || !http_decode(path, n, false, &code) || buf_err(&code)) {
		wrong_code(in, r, l);
	} else {
		look_up(in, r, query, &code, is_survey);
	}
	buf_fini(&code);
}

static void answer_style(struct http_request *r)
{
	http_reply_header(r, "Cache-Control", "public, max-age=3600");
	http_reply_header(r, "X-Content-Type-Options", "nosniff");
	http_reply(r, 200, "text/css; charset=utf-8", page_style, strlen(page_style));
}

static void answer_home(struct intake *in, struct http_request *r, enum lang l)
{
	struct buf *out = web_buf(in->web);

	page_home(out, l, in->catalog);
	pages_reply(in, r, 200, out);
}

static void dispatch(struct intake *in, struct http_request *r, enum lang l,
		     const struct http_form *query)
{
	const char *path = http_path(r);
	bool reads = http_method(r) == HTTP_GET || http_method(r) == HTTP_HEAD;

	if (!reads && !(http_method(r) == HTTP_POST && !strncmp(path, "/r/", 3)))
		message(in, r, l, 405, TEXT_PAGE_ERROR_TITLE, TEXT_PAGE_ERROR_WRONG, NULL);
	else if (!strcmp(path, PAGE_STYLE_PATH))
		answer_style(r);
	else if (!in->loaded)
		busy_page(in, r, l);
	else if (!strcmp(path, "/"))
		answer_home(in, r, l);
	else if (!strcmp(path, "/r") || !strcmp(path, "/r/"))
		answer_ask(in, r, l, query);
	else if (!strncmp(path, "/r/", 3))
		answer_code(in, r, l, path + 3, query);
	else
		message(in, r, l, 404, TEXT_PAGE_ERROR_TITLE, TEXT_PAGE_ERROR_MISSING, NULL);
}

void pages_handle(struct intake *in, struct http_request *r)
{
	struct http_form query = { 0 };
	const char *q = http_query(r);

	if (http_form_parse(&query, q, strlen(q), FORM_PAIRS))
		message(in, r, pages_lang(r, NULL, NULL), 400, TEXT_PAGE_ERROR_TITLE,
			TEXT_PAGE_ERROR_WRONG, NULL);
	else
		dispatch(in, r, pages_lang(r, &query, NULL), &query);
	http_form_fini(&query);
}
