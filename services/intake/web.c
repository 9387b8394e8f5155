/*
 * web - the HTTP server: where a path goes, errors in its format, exchanges that wait
 */
#include <errno.h>
#include <stdio.h>
#include "common/base/text.h"
#include "services/intake/core_page.h"
#include "services/intake/web.h"

#define OPEN311 "/open311/v2/"

struct web {
	struct intake *in;
	struct http_server *server;
	struct buf out; /* the answer that is being written; only one is at a time */
};

struct buf *web_buf(struct web *w)
{
	buf_reset(&w->out);
	return &w->out;
}

/* ---- errors ---------------------------------------------------------------------------------- */

void web_error(struct intake *in, struct http_request *r, enum format f, enum lang l, int status,
	       const char *code, enum text_id what, const char *arg)
{
	struct buf text = BUF_INIT, *out = web_buf(in->web);

	text_fill(&text, l, what, arg, NULL);
	render_error(out, f, code, buf_err(&text) ? "" : text.data);
	intake_count_reject(in, "http", code);
	http_reply(r, status, format_type(f), out->data, out->len);
	buf_fini(&text);
}

void web_retry_after(struct intake *in, struct http_request *r)
{
	char seconds[16];

	snprintf(seconds, sizeof(seconds), "%u", 1 + intake_retry_ms(in) / 1000);
	http_reply_header(r, "Retry-After", seconds);
}

void web_busy(struct intake *in, struct http_request *r, enum format f, enum lang l,
	      enum busy_cause cause)
{
	char code[24];

	web_retry_after(in, r);
	snprintf(code, sizeof(code), "busy:%s", busy_name(cause));
	web_error(in, r, f, l, 503, code,
		  cause == BUSY_UNSURE ? TEXT_ERROR_UNSURE : TEXT_ERROR_BUSY, NULL);
}

/* ---- exchanges ------------------------------------------------------------------------------- */

void exchange_gone(void *ctx)
{
	struct exchange *x = ctx;

	x->r = NULL;
}

int exchange_new(struct exchange **ret, struct intake *in, struct http_request *r)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return err_here(-ENOMEM);
	x->in = in;
	x->r = r;
	x->score = -1;
	x->catalog = catalog_ref(in->catalog);
	http_on_gone(r, exchange_gone, x);
	*ret = x;
	return 0;
}

void exchange_free(struct exchange *x)
{
	if (!x)
		return;
	if (x->r)
		http_on_gone(x->r, NULL, NULL);
	catalog_unref(x->catalog);
	http_form_fini(&x->query);
	free(x->comment);
	free(x);
}

/* ---- the server's questions ------------------------------------------------------------------ */

static bool takes_survey(const char *path)
{
	size_t n = strlen(path);

	return !strncmp(path, "/r/", 3) && n > 7 && !strcmp(path + n - 7, "/survey");
}

static void refuse_busy(struct intake *in, struct http_request *r, enum busy_cause busy)
{
	const char *path = http_path(r);
	enum format f = FORMAT_JSON;

	if (takes_survey(path)) {
		struct buf *out = web_buf(in->web);

		web_retry_after(in, r);
		page_message(out, pages_lang(r, NULL, NULL), TEXT_PAGE_ERROR_TITLE, TEXT_PAGE_ERROR_BUSY,
			     NULL);
		pages_reply(in, r, 503, out);
		return;
	}
	(void)open311_format(path, &f);
	web_busy(in, r, f, LANG_EN, busy);
}

/* the head is in: what can't be taken now is refused before its body is read */
static void admit(void *ctx, struct http_request *r)
{
	struct web *w = ctx;
	struct intake *in = w->in;
	const char *path = http_path(r);
	bool posts = http_method(r) == HTTP_POST &&
		     (takes_survey(path) ||
		      (!strncmp(path, OPEN311, strlen(OPEN311)) && open311_posts(path + strlen(OPEN311))));
	enum busy_cause busy;

	if (!posts) {
		http_set_body_max(r, 4096);
		return;
	}
	busy = intake_admit(in);
	if (busy)
		refuse_busy(in, r, busy);
}

static void handle(void *ctx, struct http_request *r)
{
	struct web *w = ctx;
	const char *path = http_path(r);

	if (!strncmp(path, OPEN311, strlen(OPEN311)))
		open311_handle(w->in, r, path + strlen(OPEN311));
	else
		pages_handle(w->in, r);
}

static const char *error_body(void *ctx, const char *path, int status, const char *reason,
			      struct buf *out)
{
	struct web *w = ctx;
	struct buf text = BUF_INIT;
	enum format f = FORMAT_JSON;
	char code[32];

	snprintf(code, sizeof(code), "http:%d", status);
	intake_count_reject(w->in, "http", code);
	if (path && strncmp(path, OPEN311, strlen(OPEN311)) != 0 && path[0] == '/') {
		page_message(out, LANG_EN, TEXT_PAGE_ERROR_TITLE,
			     status >= 500 ? TEXT_PAGE_ERROR_BUSY : TEXT_PAGE_ERROR_WRONG, NULL);
		return "text/html; charset=utf-8";
	}
	if (path)
		(void)open311_format(path, &f);
	text_fill(&text, LANG_EN, TEXT_ERROR_HTTP, reason, NULL);
	render_error(out, f, code, buf_err(&text) ? "" : text.data);
	buf_fini(&text);
	return format_type(f);
}

static const struct http_ops ops = { .admit = admit, .handle = handle, .error_body = error_body };

int web_new(struct web **ret, struct intake *in)
{
	const struct config *c = in->s->config;
	const struct http_limits limits = {
		.body_max = (size_t)config_int(c, "intake.body_max"),
		.output_max = (size_t)config_int(c, "intake.output_max"),
		.connections_max = (unsigned)config_int(c, "intake.connections_max"),
		.per_address_max = (unsigned)config_int(c, "intake.per_address_max"),
	};
	struct web *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_here(-ENOMEM);
	w->in = in;
	r = http_server_new(&w->server, in->s->loop, config_str(c, "intake.listen"), &limits, &ops, w,
			    in->s->metrics, "intake");
	if (r) {
		free(w);
		return r;
	}
	log_info("intake.listen", "http=%s", http_server_address(w->server));
	*ret = w;
	return 0;
}

void web_free(struct web *w)
{
	if (!w)
		return;
	http_server_free(w->server);
	buf_fini(&w->out);
	free(w);
}

void web_drain(struct web *w)
{
	http_server_drain(w->server);
}

bool web_drained(const struct web *w)
{
	return !http_server_connections(w->server);
}
