/*
 * open311 - GeoReport v2 over HTTP: discovery, services, requests
 *
 * Order of checks: path and method, key, jurisdiction, service, fields (G32). Answers that need no
 * store come from the catalogue at once; the others wait in an exchange.
 */
#include <errno.h>
#include <stdio.h>
#include "common/base/text.h"
#include "services/intake/web.h"

struct call { /* what the steps of one request share; on the stack */
	struct intake *in;
	struct http_request *r;
	enum format format;
	struct http_form query, body;
	const struct town *town;
	enum lang lang; /* the town's, once it is known */
};

bool open311_format(const char *path, enum format *ret)
{
	const char *dot = strrchr(path, '.');

	if (dot && !strcmp(dot, ".json"))
		*ret = FORMAT_JSON;
	else if (dot && !strcmp(dot, ".xml"))
		*ret = FORMAT_XML;
	else
		return false;
	return true;
}

bool open311_posts(const char *path)
{
	return !strcmp(path, "requests.json") || !strcmp(path, "requests.xml");
}

static void fail(struct call *c, int status, const char *code, enum text_id what, const char *arg)
{
	web_error(c->in, c->r, c->format, c->lang, status, code, what, arg);
}

/* 404 if something named doesn't exist, else 400 (G29) */
static void fail_fields(struct call *c, const struct field_errors *e)
{
	struct buf *out = web_buf(c->in->web);
	int status = 400;

	for (size_t i = 0; i < e->n; i++) {
		intake_count_reject(c->in, "http", fault_code(e->list[i].fault));
		if (e->list[i].fault == FAULT_UNKNOWN)
			status = 404;
	}
	render_field_errors(out, c->format, e, c->lang, c->town->name);
	if (buf_err(out))
		web_busy(c->in, c->r, c->format, c->lang, BUSY_STORE);
	else
		http_reply(c->r, status, format_type(c->format), out->data, out->len);
}

static void reply(struct call *c, const struct buf *out)
{
	if (buf_err(out))
		web_busy(c->in, c->r, c->format, c->lang, BUSY_STORE);
	else
		http_reply(c->r, 200, format_type(c->format), out->data, out->len);
}

/* ---- jurisdiction, key ----------------------------------------------------------------------- */

static const struct http_pair *argument(const struct call *c, const char *name)
{
	const struct http_pair *p = http_form_get(&c->body, name);

	if (!p || !p->value_len)
		p = http_form_get(&c->query, name);
	return p && p->value_len ? p : NULL;
}

/* the argument as text that can be told again, cut; "" if it isn't text */
static const char *tell(const char *s, size_t len, char ret[static 128])
{
	size_t n = text_valid(s, len) ? text_prefix(s, len, 30) : 0;

	snprintf(ret, 128, "%.*s", (int)n, s);
	return ret;
}

/* the only town that is served, if there is only one */
static const struct town *only_town(const struct catalog *c)
{
	const struct town *t = catalog_towns(c);

	if (catalog_towns_n(c) != 1)
		return NULL;
	while (t->retired)
		t = t->next;
	return t;
}

static bool find_town(struct call *c)
{
	const struct http_pair *p = argument(c, "jurisdiction_id");
	char name[128];

	c->town = p ? catalog_jurisdiction(c->in->catalog, p->value, p->value_len)
		    : only_town(c->in->catalog);
	if (c->town) {
		c->lang = c->town->language;
		return true;
	}
	if (!p)
		fail(c, 400, "missing:jurisdiction_id", TEXT_ERROR_JURISDICTION_MISSING, NULL);
	else
		fail(c, 404, "unknown:jurisdiction_id", TEXT_ERROR_JURISDICTION_UNKNOWN,
		     tell(p->value, p->value_len, name));
	return false;
}

static const struct key *find_key(struct call *c)
{
	const char *bearer = http_header(c->r, "Authorization");
	const struct http_pair *p = argument(c, "api_key");
	const char *text = p ? p->value : NULL;
	const struct key *k;

	if (!text && bearer && !strncasecmp(bearer, "Bearer ", 7))
		text = bearer + 7 + strspn(bearer + 7, " ");
	if (!text || !*text) {
		fail(c, 403, "missing:api_key", TEXT_ERROR_KEY_MISSING, NULL);
		return NULL;
	}
	k = catalog_key(c->in->catalog, c->in->s->secret, text, strlen(text));
	if (!k || !k->submit || k->door->town->retired) {
		fail(c, 403, "invalid:api_key", TEXT_ERROR_KEY_UNKNOWN, NULL);
		return NULL;
	}
	c->lang = k->door->town->language;
	return k;
}

/* ---- catalogue answers ----------------------------------------------------------------------- */

static void answer_discovery(struct call *c)
{
	const struct config *cfg = c->in->s->config;
	const char *base = config_str(cfg, "intake.public_base_url"), *host = http_header(c->r, "Host");
	const char *proto = http_header(c->r, "X-Forwarded-Proto");
	bool proxied = !strncmp(config_str(cfg, "intake.listen"), "unix:", 5);
	struct buf *out = web_buf(c->in->web);
	char made[300];

	snprintf(made, sizeof(made), "%s://%.256s",
		 proxied && proto && !strcmp(proto, "https") ? "https" : "http", host ? host : "");
	const struct discovery d = {
		.contact = config_str(cfg, "intake.contact"),
		.key_service = config_str(cfg, "intake.key_service"),
		.base_url = *base ? base : made,
		.endpoint_type = config_str(cfg, "intake.endpoint_type"),
	};

	render_discovery(out, c->format, c->in->catalog, &d);
	reply(c, out);
}

static void answer_services(struct call *c)
{
	struct buf *out = web_buf(c->in->web);

	if (!find_town(c))
		return;
	render_services(out, c->format, c->town);
	reply(c, out);
}

static const struct offer *find_offer(struct call *c, const char *code, size_t len)
{
	const struct offer *o = catalog_code(c->in->catalog, c->town, code, len);
	char name[128];

	if (!o)
		fail(c, 404, "unknown:service_code", TEXT_ERROR_SERVICE_UNKNOWN,
		     tell(code, len, name));
	return o;
}

static void answer_definition(struct call *c, const char *code, size_t len)
{
	const struct offer *o;
	struct buf *out;

	if (!find_town(c))
		return;
	if (!len) {
		fail(c, 400, "missing:service_code", TEXT_ERROR_MISSING, "service_code");
		return;
	}
	o = find_offer(c, code, len);
	if (!o)
		return;
	out = web_buf(c->in->web);
	render_definition(out, c->format, o);
	reply(c, out);
}

/* ---- reading requests ------------------------------------------------------------------------ */

static void next_link(const struct exchange *x, size_t rows)
{
	struct buf link = BUF_INIT;

	if (rows <= (size_t)x->page_size || x->page >= QUERY_PAGE_MAX)
		return;
	buf_printf(&link, "<%s?", http_path(x->r));
	query_write_page(&x->query, x->page + 1, &link);
	buf_str(&link, ">; rel=\"next\"");
	if (!buf_err(&link))
		http_reply_header(x->r, "Link", link.data);
	buf_fini(&link);
}

static void write_rows(struct exchange *x, const struct town *t, const struct rows *rows, size_t n,
		       struct buf *out)
{
	struct render *w;

	if (render_requests_begin(&w, out, x->format))
		return; /* the buf tells */
	for (size_t i = 0; i < n; i++) {
		struct public_row row;

		reads_row(rows, i, &row);
		render_request(w, x->catalog, t, &row);
	}
	render_requests_end(w);
}

static void answer_rows(struct exchange *x, const struct town *t, const struct rows *rows)
{
	size_t n = MIN(rows_count(rows), (size_t)x->page_size);
	struct buf *out = web_buf(x->in->web);
	char id[24];

	if (x->request && !n) {
		snprintf(id, sizeof(id), "%lld", (long long)x->request);
		web_error(x->in, x->r, x->format, t->language, 404, "unknown:service_request_id",
			  TEXT_ERROR_REQUEST_UNKNOWN, id);
		return;
	}
	write_rows(x, t, rows, n, out);
	if (buf_err(out)) {
		web_busy(x->in, x->r, x->format, t->language, BUSY_STORE);
		return;
	}
	if (!x->request)
		next_link(x, rows_count(rows));
	http_reply(x->r, 200, format_type(x->format), out->data, out->len);
}

static void rows_came(void *ctx, enum busy_cause busy, const struct answer *a)
{
	_cleanup_(exchange_freep) struct exchange *x = ctx;
	const struct town *t = catalog_town(x->catalog, x->town);

	if (!x->r)
		return;
	if (busy || a->n < 2)
		web_busy(x->in, x->r, x->format, t->language, busy ? busy : BUSY_STORE);
	else
		answer_rows(x, t, a->rows[1]);
	x->r = NULL; /* answered */
}

/* request: the one of the path, or 0 */
static void read_rows(struct call *c, const struct request_query *q, int64_t request)
{
	struct exchange *x;

	if (exchange_new(&x, c->in, c->r)) {
		web_busy(c->in, c->r, c->format, c->lang, BUSY_STORE);
		return;
	}
	x->format = c->format;
	x->town = c->town->id;
	x->request = request;
	x->page = q->page;
	x->page_size = q->page_size;
	x->query = c->query;
	c->query = (struct http_form){ 0 };
	reads_list(c->in->reads, c->town, q, rows_came, x);
}

static void answer_list(struct call *c)
{
	static struct request_query q; /* 12 KiB; used up before the next call */
	struct field_errors e = { .n = 0 };

	if (!find_town(c))
		return;
	if (query_read(&q, &c->query, c->in->catalog, c->town, clock_wall_us(), &e))
		read_rows(c, &q, 0);
	else
		fail_fields(c, &e);
}

static void answer_request(struct call *c, const char *text, size_t len)
{
	static struct request_query q;
	char name[128];
	int64_t id;

	if (!find_town(c))
		return;
	if (!len) {
		fail(c, 400, "missing:service_request_id", TEXT_ERROR_MISSING, "service_request_id");
		return;
	}
	if (!text_to_i64(text, len, &id) || id_lane(id) < 0) {
		fail(c, 404, "unknown:service_request_id", TEXT_ERROR_REQUEST_UNKNOWN,
		     tell(text, len, name));
		return;
	}
	q.ids_n = 1;
	q.ids[0] = id;
	q.page = 1;
	q.page_size = 1;
	read_rows(c, &q, id);
}

/* ---- POST requests --------------------------------------------------------------------------- */

static void answer_posted(struct exchange *x, const struct entry_result *res)
{
	const struct offer *o = catalog_offer(x->catalog, x->offer);
	struct buf *out = web_buf(x->in->web);
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)res->request);
	http_reply_header(x->r, "Centraleta-Code", res->code);
	http_reply_header(x->r, "Cache-Control", "no-store");
	render_posted(out, x->format, id, o ? o->notice : "", x->account_id,
		      x->extensions ? res->code : NULL);
	if (buf_err(out)) /* stored; its key brings the answer */
		web_busy(x->in, x->r, x->format, x->lang, BUSY_UNSURE);
	else
		http_reply(x->r, 200, format_type(x->format), out->data, out->len);
}

static void answer_conflict(struct exchange *x)
{
	struct field_errors e = { .n = 0 };
	struct buf *out = web_buf(x->in->web);

	field_errors_add(&e, "idempotency_key", FAULT_CONFLICT, 0);
	intake_count_reject(x->in, "http", "conflict");
	render_field_errors(out, x->format, &e, x->lang, "");
	http_reply(x->r, 422, format_type(x->format), out->data, out->len);
}

static void posted(void *ctx, const struct entry *e, const struct entry_result *res)
{
	_cleanup_(exchange_freep) struct exchange *x = ctx;

	(void)e;
	if (!x->r)
		return;
	switch (res->end) {
	case ENTRY_ACCEPTED:
		answer_posted(x, res);
		break;
	case ENTRY_CONFLICT:
		answer_conflict(x);
		break;
	case ENTRY_REFUSED:
	case ENTRY_ANSWERED_BEFORE:
		web_error(x->in, x->r, x->format, x->lang, 400, "invalid:submission", TEXT_ERROR_DATA,
			  NULL);
		break;
	case ENTRY_BUSY:
		web_busy(x->in, x->r, x->format, x->lang, res->cause);
		break;
	}
	x->r = NULL; /* answered */
}

static bool truth(const struct call *c, const char *name)
{
	const struct http_pair *p = argument(c, name);

	return p && (!strcmp(p->value, "true") || !strcmp(p->value, "1"));
}

static void keep_post(struct exchange *x, const struct call *c, const struct submission *s,
		      const struct offer *o)
{
	size_t n = MIN(s->text[FIELD_ACCOUNT_ID].len, sizeof(x->account_id) - 1);

	x->format = c->format;
	x->town = c->town->id;
	x->lang = c->lang;
	x->offer = o->id;
	x->extensions = truth(c, "extensions");
	if (n)
		memcpy(x->account_id, s->text[FIELD_ACCOUNT_ID].s, n);
}

static void submit(struct call *c, const struct key *k, struct submission *s, const struct offer *o)
{
	struct intake_door d = { .door = k->door, .offer = o, .may_import = k->import, .done = posted };
	struct field_errors e = { .n = 0 };
	enum busy_cause busy = BUSY_STORE;
	struct exchange *x;
	int r;

	if (exchange_new(&x, c->in, c->r)) {
		web_busy(c->in, c->r, c->format, c->lang, BUSY_STORE);
		return;
	}
	keep_post(x, c, s, o);
	d.ctx = x;
	r = intake_submission(c->in, s, &d, &e, &busy);
	if (!r)
		return;
	exchange_free(x);
	if (r == INTAKE_E_FIELDS)
		fail_fields(c, &e);
	else
		web_busy(c->in, c->r, c->format, c->lang, busy);
}

static bool is_form(const char *content_type)
{
	static const char form[] = "application/x-www-form-urlencoded";
	const size_t n = sizeof(form) - 1;

	return content_type && !strncasecmp(content_type, form, n) &&
	       (!content_type[n] || strchr("; \t", content_type[n]));
}

static bool read_body(struct call *c)
{
	struct bytes body = http_body(c->r);

	if (!is_form(http_header(c->r, "Content-Type"))) {
		fail(c, 415, "invalid:content_type", TEXT_ERROR_MEDIA_TYPE, NULL);
		return false;
	}
	if (!http_form_parse(&c->body, (const char *)body.data, body.len, FORM_PAIRS_MAX))
		return true;
	fail(c, 400, "invalid:form", TEXT_ERROR_FORM, NULL);
	return false;
}

static void take_post(struct call *c)
{
	struct submission s;
	const struct key *k;
	const struct offer *o;
	const struct slice *code = &s.text[FIELD_SERVICE_CODE];

	if (!read_body(c))
		return;
	k = find_key(c);
	if (!k || !find_town(c))
		return;
	if (k->door->town != c->town) {
		fail(c, 403, "invalid:api_key", TEXT_ERROR_KEY_UNKNOWN, NULL);
		return;
	}
	submission_from_form(&s, &c->body, http_header(c->r, "Idempotency-Key"),
			     http_header(c->r, "traceparent"));
	if (!code->len) {
		fail(c, 400, "missing:service_code", TEXT_ERROR_MISSING, "service_code");
		return;
	}
	o = find_offer(c, code->s, code->len);
	if (o)
		submit(c, k, &s, o);
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* the part between prefix and the format's ending, decoded; false: another path, or a bad escape */
static bool part_of(const char *path, const char *prefix, struct buf *ret)
{
	size_t n = strlen(prefix), len = strlen(path);
	const char *dot = strrchr(path, '.');

	if (len < n || memcmp(path, prefix, n) != 0 || !dot || dot < path + n)
		return false;
	return http_decode(path + n, (size_t)(dot - path) - n, false, ret) && !buf_err(ret);
}

static void get(struct call *c, const char *path)
{
	struct buf part = BUF_INIT;

	http_reply_header(c->r, "Access-Control-Allow-Origin", "*");
	if (!strncmp(path, "discovery.", 10))
		answer_discovery(c);
	else if (!strncmp(path, "services.", 9))
		answer_services(c);
	else if (open311_posts(path))
		answer_list(c);
	else if (part_of(path, "services/", &part))
		answer_definition(c, part.data ? part.data : "", part.len);
	else if (part_of(path, "requests/", &part))
		answer_request(c, part.data ? part.data : "", part.len);
	else
		fail(c, 404, "not_found", TEXT_ERROR_NOT_FOUND, NULL);
	buf_fini(&part);
}

/* a path of one of the resources; their names have one dot, that of the format */
static bool known_path(const char *path)
{
	static const char *const names[] = { "discovery.json", "discovery.xml", "services.json",
					     "services.xml", "requests.json", "requests.xml" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(path, names[i]))
			return true;
	return !strncmp(path, "services/", 9) || !strncmp(path, "requests/", 9);
}

static void dispatch(struct call *c, const char *path)
{
	enum http_method m = http_method(c->r);
	bool posts = open311_posts(path);

	if (m == HTTP_GET || m == HTTP_HEAD) {
		get(c, path);
	} else if (m == HTTP_POST && posts) {
		take_post(c);
	} else if (m == HTTP_OPTIONS) {
		http_reply_header(c->r, "Access-Control-Allow-Origin", "*");
		http_reply_header(c->r, "Access-Control-Allow-Methods", "GET");
		http_reply_header(c->r, "Allow", posts ? "GET, HEAD, OPTIONS, POST" : "GET, HEAD, OPTIONS");
		http_reply(c->r, 204, "text/plain", "", 0);
	} else {
		http_reply_header(c->r, "Allow", posts ? "GET, HEAD, OPTIONS, POST" : "GET, HEAD, OPTIONS");
		fail(c, 405, "method", TEXT_ERROR_METHOD, NULL);
	}
}

void open311_handle(struct intake *in, struct http_request *r, const char *path)
{
	struct call c = { .in = in, .r = r, .format = FORMAT_JSON, .lang = LANG_EN };
	const char *query = http_query(r);

	if (!open311_format(path, &c.format) || !known_path(path))
		fail(&c, 404, "not_found", TEXT_ERROR_NOT_FOUND, NULL);
	else if (!in->loaded)
		web_busy(in, r, c.format, c.lang, BUSY_STORE);
	else if (http_form_parse(&c.query, query, strlen(query), FORM_PAIRS_MAX))
		fail(&c, 400, "invalid:query", TEXT_ERROR_FORM, NULL);
	else
		dispatch(&c, path);
	http_form_fini(&c.query);
	http_form_fini(&c.body);
}
