/*
 * core_query - comma lists, windows and pages out of a query string
 */
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/text.h"
#include "services/intake/core_query.h"

#define DAYS_US(n) ((n) * INT64_C(86400000000))

static struct slice get(const struct http_form *form, const char *name)
{
	const struct http_pair *p = http_form_get(form, name);

	return p ? (struct slice){ p->value, p->value_len } : (struct slice){ 0 };
}

/* the next part of a comma list, spaces around it dropped; false: no more */
static bool next_part(struct slice *rest, struct slice *ret)
{
	if (!rest->len)
		return false;
	const char *comma = memchr(rest->s, ',', rest->len);
	size_t n = comma ? (size_t)(comma - rest->s) : rest->len;

	*ret = (struct slice){ rest->s, n };
	rest->s += comma ? n + 1 : n;
	rest->len -= comma ? n + 1 : n;
	while (ret->len && *ret->s == ' ') {
		ret->s++;
		ret->len--;
	}
	while (ret->len && ret->s[ret->len - 1] == ' ')
		ret->len--;
	return true;
}

static void read_ids(struct request_query *q, struct slice list, struct field_errors *e)
{
	struct slice part;

	while (next_part(&list, &part)) {
		int64_t id;

		if (!part.len)
			continue;
		if (!text_to_i64(part.s, part.len, &id) || id < 0) {
			field_errors_add(e, "service_request_id", FAULT_ID, 0);
			return;
		}
		if (q->ids_n == QUERY_IDS_MAX) {
			field_errors_add(e, "service_request_id", FAULT_TOO_MANY, QUERY_IDS_MAX);
			return;
		}
		/* a number that can't be an id is no error, there is just no such request */
		if (id_lane(id) < 0)
			id = 0;
		q->ids[q->ids_n++] = id;
	}
}

static void read_offers(struct request_query *q, struct slice list, const struct catalog *c,
			const struct town *t, struct field_errors *e)
{
	struct slice part;

	while (next_part(&list, &part)) {
		const struct offer *o;

		if (!part.len)
			continue;
		o = catalog_code(c, t, part.s, part.len);
		if (!o)
			field_errors_add(e, "service_code", FAULT_UNKNOWN, 0);
		else if (q->offers_n == QUERY_IDS_MAX)
			field_errors_add(e, "service_code", FAULT_TOO_MANY, QUERY_IDS_MAX);
		else
			q->offers[q->offers_n++] = o->id;
	}
}

static void read_status(struct request_query *q, struct slice list, struct field_errors *e)
{
	struct slice part;
	bool any = false;

	q->open = q->closed = false;
	while (next_part(&list, &part)) {
		if (!part.len)
			continue;
		any = true;
		if (part.len == 4 && !memcmp(part.s, "open", 4))
			q->open = true;
		else if (part.len == 6 && !memcmp(part.s, "closed", 6))
			q->closed = true;
		else
			field_errors_add(e, "status", FAULT_STATUS, 0);
	}
	if (!any)
		q->open = q->closed = true;
}

static bool read_time(struct slice v, const char *name, struct field_errors *e, int64_t *ret)
{
	if (!v.len)
		return false;
	if (!clock_parse_iso(v.s, v.len, ret))
		return true;
	field_errors_add(e, name, FAULT_DATETIME, 0);
	return false;
}

static void read_window(struct request_query *q, const struct http_form *form, int64_t now_us,
			struct field_errors *e)
{
	const int64_t most = DAYS_US(QUERY_DAYS_MAX);
	size_t before = e->n;
	int64_t from, to;
	bool has_from = read_time(get(form, "start_date"), "start_date", e, &from);
	bool has_to = read_time(get(form, "end_date"), "end_date", e, &to);

	if (e->n != before)
		return;
	if (has_from && has_to && (to < from || to - from > most)) {
		field_errors_add(e, "end_date", FAULT_WINDOW, QUERY_DAYS_MAX);
		return;
	}
	if (!has_from && !has_to) { /* up to this moment, whatever clocks say */
		q->from_us = now_us - most;
		q->to_us = INT64_MAX;
		return;
	}
	q->from_us = has_from ? from : to - most;
	q->to_us = has_to ? to : from + most;
}

/* 0 counts as first (G81, A7) */
static int64_t read_count(struct slice v, const char *name, int64_t fallback, int64_t max,
			  struct field_errors *e)
{
	int64_t n = fallback;

	if (v.len && (!text_to_i64(v.s, v.len, &n) || n < 0 || n > max))
		field_errors_add(e, name, FAULT_PAGE, max);
	return n ? n : fallback;
}

bool query_read(struct request_query *q, const struct http_form *form, const struct catalog *c,
		const struct town *t, int64_t now_us, struct field_errors *e)
{
	size_t before = e->n;

	q->ids_n = q->offers_n = 0;
	read_ids(q, get(form, "service_request_id"), e);
	q->page = read_count(get(form, "page"), "page", 1, QUERY_PAGE_MAX, e);
	q->page_size = read_count(get(form, "page_size"), "page_size", QUERY_ROWS_MAX,
				  QUERY_ROWS_MAX, e);
	if (!q->ids_n && e->n == before) { /* ids override the other filters (G70) */
		read_offers(q, get(form, "service_code"), c, t, e);
		read_status(q, get(form, "status"), e);
		read_window(q, form, now_us, e);
	}
	return e->n == before;
}

static void escape(struct buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)s[i];

		if ((ch >= '0' && ch <= '9') || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z') ||
		    (ch && strchr("-._~", ch)))
			buf_ch(out, (char)ch);
		else
			buf_printf(out, "%%%02X", ch);
	}
}

/* a key that was sent with a GET for no reason isn't told again */
void query_write_page(const struct http_form *form, int64_t page, struct buf *out)
{
	for (size_t i = 0; i < form->n; i++) {
		const struct http_pair *p = &form->pairs[i];

		if (!strcmp(p->name, "page") || !strcmp(p->name, "api_key"))
			continue;
		escape(out, p->name, p->name_len);
		buf_ch(out, '=');
		escape(out, p->value, p->value_len);
		buf_ch(out, '&');
	}
	buf_printf(out, "page=%lld", (long long)page);
}
