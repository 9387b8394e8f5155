/*
 * core_check - every field of a submission against its limits (Open311 G57–G62)
 *
 * All faults come together, in the order in which a reader finds the fields in the documentation:
 * place, attributes, then the others.
 */
#include <math.h>
#include <stdio.h>
#include "common/base/clock.h"
#include "common/base/text.h"
#include "services/intake/core_submission.h"

#define DAY_US INT64_C(86400000000)
#define CODE_MAX 64 /* code points of an attribute's code, as in the schema */
#define VALUE_MAX 1000 /* code points of a value that is not of type text */

static const struct rule {
	uint16_t max; /* code points */
	bool multiline;
} rules[FIELD_N] = {
	[FIELD_SERVICE_CODE] = { 128, false }, [FIELD_ADDRESS] = { 1000, true },
	[FIELD_ADDRESS_ID] = { 255, false }, [FIELD_DESCRIPTION] = { DESCRIPTION_MAX, true },
	[FIELD_EMAIL] = { 254, false }, [FIELD_PHONE] = { 64, false },
	[FIELD_FIRST_NAME] = { 255, false }, [FIELD_LAST_NAME] = { 255, false },
	[FIELD_ACCOUNT_ID] = { 255, false }, [FIELD_DEVICE_ID] = { 255, false },
	[FIELD_MEDIA_URL] = { 2000, false }, [FIELD_LANGUAGE] = { 35, false },
	[FIELD_KEY] = { 255, false },
};

static const struct {
	const char *code;
	enum text_id text;
} faults[FAULT_N] = {
	[FAULT_MISSING] = { "missing", TEXT_ERROR_MISSING },
	[FAULT_UNKNOWN] = { "unknown", TEXT_ERROR_UNKNOWN },
	[FAULT_TOO_LONG] = { "too_long", TEXT_ERROR_TOO_LONG },
	[FAULT_TOO_MANY] = { "too_long", TEXT_ERROR_TOO_MANY },
	[FAULT_ENCODING] = { "invalid", TEXT_ERROR_ENCODING },
	[FAULT_CONTROL] = { "invalid", TEXT_ERROR_CONTROL },
	[FAULT_NUMBER] = { "invalid", TEXT_ERROR_NUMBER },
	[FAULT_RANGE] = { "invalid", TEXT_ERROR_RANGE },
	[FAULT_EMAIL] = { "invalid", TEXT_ERROR_EMAIL },
	[FAULT_URL] = { "invalid", TEXT_ERROR_URL },
	[FAULT_LANGUAGE] = { "invalid", TEXT_ERROR_LANGUAGE },
	[FAULT_DATETIME] = { "invalid", TEXT_ERROR_DATETIME },
	[FAULT_WINDOW] = { "invalid", TEXT_ERROR_WINDOW },
	[FAULT_VALUE] = { "invalid", TEXT_ERROR_VALUE },
	[FAULT_SEVERAL] = { "invalid", TEXT_ERROR_SEVERAL },
	[FAULT_SCOPE] = { "invalid", TEXT_ERROR_SCOPE },
	[FAULT_ORDER] = { "invalid", TEXT_ERROR_ORDER },
	[FAULT_FUTURE] = { "invalid", TEXT_ERROR_FUTURE },
	[FAULT_STATE] = { "invalid", TEXT_ERROR_STATE },
	[FAULT_STATUS] = { "invalid", TEXT_ERROR_STATUS },
	[FAULT_PAGE] = { "invalid", TEXT_ERROR_PAGE },
	[FAULT_ID] = { "invalid", TEXT_ERROR_ID },
	[FAULT_DATA] = { "invalid", TEXT_ERROR_DATA },
	[FAULT_PLACE] = { "missing", TEXT_ERROR_PLACE },
	[FAULT_OUTSIDE] = { "outside", TEXT_ERROR_OUTSIDE },
	[FAULT_CONFLICT] = { "conflict", TEXT_ERROR_CONFLICT },
};

const char *fault_code(enum fault f)
{
	return faults[f].code;
}

void field_errors_add(struct field_errors *e, const char *field, enum fault f, int64_t limit)
{
	struct field_error *x = &e->list[e->n];

	if (e->n == FIELD_ERRORS_MAX)
		return;
	e->n++;
	snprintf(x->field, sizeof(x->field), "%s", field);
	x->fault = f;
	x->limit = limit;
}

void field_error_reason(const struct field_error *e, enum lang l, const char *town, struct buf *out)
{
	char limit[24];

	snprintf(limit, sizeof(limit), "%lld", (long long)e->limit);
	text_fill(out, l, faults[e->fault].text, e->field,
		  e->fault == FAULT_OUTSIDE ? town : limit);
}

/* a control that no text may have; TAB, CR and LF are fine where lines may break */
static bool has_bad_control(struct slice v, bool multiline)
{
	if (!multiline)
		return text_has_control(v.s, v.len);
	for (size_t i = 0; i < v.len; i++) {
		unsigned char ch = (unsigned char)v.s[i];

		if ((ch < 0x20 && ch != '\t' && ch != '\r' && ch != '\n') || ch == 0x7f)
			return true;
		/* C1: U+0080 … U+009F */
		if (ch == 0xc2 && i + 1 < v.len && (unsigned char)v.s[i + 1] < 0xa0)
			return true;
	}
	return false;
}

/* encoding, length, controls; false: told */
static bool check_text(struct field_errors *e, const char *name, struct slice v, size_t max,
		       bool multiline)
{
	if (!text_valid(v.s, v.len))
		field_errors_add(e, name, FAULT_ENCODING, 0);
	else if (v.len > max && text_length(v.s, v.len) > max)
		field_errors_add(e, name, FAULT_TOO_LONG, (int64_t)max);
	else if (has_bad_control(v, multiline))
		field_errors_add(e, name, FAULT_CONTROL, 0);
	else
		return true;
	return false;
}

/* local@domain in ASCII, without what a mail header could mistake for its own */
bool email_valid(const char *s, size_t len)
{
	const char *at = memrchr(s, '@', len);

	if (!at || at == s || (size_t)(at - s) > 64 || at == s + len - 1)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)s[i];

		if (ch <= ' ' || ch >= 0x7f || strchr("()<>[],;:\\\"", ch))
			return false;
		if (ch == '@' && s + i != at)
			return false;
	}
	for (const char *p = at + 1; p < s + len; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", *p))
			return false;
	return s[0] != '.' && at[-1] != '.' && s[0] != '-' && at[1] != '.' && at[1] != '-' &&
	       s[len - 1] != '.' && !memmem(s, len, "..", 2);
}

/* never fetched from here; only its form is looked at */
static bool url_valid(struct slice v)
{
	size_t scheme = v.len > 8 && !strncasecmp(v.s, "https://", 8)  ? 8
			: v.len > 7 && !strncasecmp(v.s, "http://", 7) ? 7
								       : 0;

	if (!scheme)
		return false;
	for (size_t i = scheme; i < v.len; i++)
		if ((unsigned char)v.s[i] <= ' ' || strchr("<>\"\\^`{|}", v.s[i]))
			return false;
	return v.s[scheme] != '/' && v.s[scheme] != '?' && v.s[scheme] != '#';
}

/* ---- place ----------------------------------------------------------------------------------- */

static bool read_coordinate(struct field_errors *e, const char *name, struct slice v, double *ret)
{
	if (text_to_double(v.s, v.len, ret))
		return true;
	field_errors_add(e, name, FAULT_NUMBER, 0);
	return false;
}

static void read_place(struct submission *s, struct field_errors *e)
{
	bool ok;

	if (s->has_place || (!s->lat.len && !s->lng.len))
		return;
	if (!s->lat.len || !s->lng.len) {
		field_errors_add(e, s->lat.len ? "long" : "lat", FAULT_MISSING, 0);
		return;
	}
	ok = read_coordinate(e, "lat", s->lat, &s->place_lat);
	ok = read_coordinate(e, "long", s->lng, &s->place_long) && ok;
	s->has_place = ok;
}

static void check_place(struct submission *s, const struct town *t, struct field_errors *e)
{
	size_t before = e->n;

	read_place(s, e);
	if (s->has_place) {
		if (!(fabs(s->place_lat) <= 90))
			field_errors_add(e, "lat", FAULT_RANGE, 0);
		if (!(fabs(s->place_long) <= 180))
			field_errors_add(e, "long", FAULT_RANGE, 0);
		if (e->n == before && t->boxed &&
		    (s->place_lat < t->min_lat || s->place_lat > t->max_lat ||
		     s->place_long < t->min_long || s->place_long > t->max_long))
			field_errors_add(e, "lat", FAULT_OUTSIDE, 0);
	} else if (e->n == before && !s->text[FIELD_ADDRESS].len && !s->text[FIELD_ADDRESS_ID].len) {
		field_errors_add(e, "lat", FAULT_PLACE, 0);
	}
}

/* ---- attributes ------------------------------------------------------------------------------ */

static void attribute_label(struct slice code, char ret[static 80])
{
	size_t n = text_valid(code.s, code.len) ? text_prefix(code.s, code.len, 40) : 0;

	snprintf(ret, 80, "attribute[%.*s]", (int)MIN(n, (size_t)66), code.s);
	if (!text_valid(ret, strlen(ret)) || text_has_control(ret, strlen(ret)))
		snprintf(ret, 80, "attribute[]");
}

static void check_value(struct field_errors *e, const char *label, const struct catalog *c,
			const struct offer *o, const struct attribute *a, struct slice v)
{
	bool text = a->datatype == DATA_TEXT;
	double number;
	int64_t at;

	if (!check_text(e, label, v, text ? DESCRIPTION_MAX : VALUE_MAX, text))
		return;
	if (a->datatype == DATA_NUMBER && !text_to_double(v.s, v.len, &number))
		field_errors_add(e, label, FAULT_NUMBER, 0);
	else if (a->datatype == DATA_DATETIME && clock_parse_iso(v.s, v.len, &at))
		field_errors_add(e, label, FAULT_DATETIME, 0);
	else if ((a->datatype == DATA_SINGLE || a->datatype == DATA_MULTI) &&
		 !catalog_value(c, o, a, v.s, v.len))
		field_errors_add(e, label, FAULT_VALUE, 0);
}

/* how often was each attribute of the definition given? beyond the first 256, don't ask */
struct given {
	uint8_t times[256];
};

static void check_attribute(struct field_errors *e, const struct catalog *c, const struct offer *o,
			    const struct attribute_input *in, struct given *given)
{
	const struct attribute *a = catalog_attribute(c, o, in->code.s, in->code.len);
	char label[80];

	attribute_label(in->code, label);
	if (!a) { /* kept aside, so its code must be text too */
		if (check_text(e, label, in->code, CODE_MAX, false))
			check_text(e, label, in->value, DESCRIPTION_MAX, true);
		return;
	}
	if (!a->variable)
		return;
	if (a->index < ARRAY_SIZE(given->times) && ++given->times[a->index] == 2 &&
	    a->datatype != DATA_MULTI)
		field_errors_add(e, label, FAULT_SEVERAL, 0);
	check_value(e, label, c, o, a, in->value);
}

static void check_attributes(const struct submission *s, const struct catalog *c,
			     const struct offer *o, struct field_errors *e)
{
	struct given given = { 0 };

	if (s->attributes_over)
		field_errors_add(e, "attribute", FAULT_TOO_MANY, ATTRIBUTES_MAX);
	for (size_t i = 0; i < s->attributes_n; i++)
		check_attribute(e, c, o, &s->attributes[i], &given);
	if (s->has_history)
		return; /* what was asked then isn't known now */
	for (const struct attribute *a = o->attributes; a; a = a->next) {
		char label[80];

		if (!a->required || !a->variable || a->index >= ARRAY_SIZE(given.times) ||
		    given.times[a->index])
			continue;
		attribute_label((struct slice){ a->code, strlen(a->code) }, label);
		field_errors_add(e, label, FAULT_MISSING, 0);
	}
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void check_texts(const struct submission *s, struct field_errors *e, enum lang *language)
{
	for (unsigned f = 0; f < FIELD_N; f++) {
		struct slice v = s->text[f];

		if (!v.len || f == FIELD_SERVICE_CODE ||
		    !check_text(e, field_name(f), v, rules[f].max, rules[f].multiline))
			continue;
		if (f == FIELD_EMAIL && !email_valid(v.s, v.len))
			field_errors_add(e, field_name(f), FAULT_EMAIL, 0);
		if (f == FIELD_MEDIA_URL && !url_valid(v))
			field_errors_add(e, field_name(f), FAULT_URL, 0);
		if (f == FIELD_LANGUAGE && !lang_parse(v.s, v.len, language))
			field_errors_add(e, field_name(f), FAULT_LANGUAGE, 0);
	}
}

static void check_closing(const struct history *h, int64_t now_us, struct field_errors *e)
{
	bool closed = h->state == CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_CLOSED;

	if (h->state == CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_UNSPECIFIED)
		field_errors_add(e, "history.state", FAULT_MISSING, 0);
	if (closed && !h->outcome)
		field_errors_add(e, "history.outcome", FAULT_MISSING, 0);
	if (!closed && h->outcome)
		field_errors_add(e, "history.outcome", FAULT_STATE, 0);
	if (closed && !h->closed_at_us)
		field_errors_add(e, "history.closed_at", FAULT_MISSING, 0);
	else if (!closed && h->closed_at_us)
		field_errors_add(e, "history.closed_at", FAULT_STATE, 0);
	else if (closed && h->closed_at_us < h->requested_at_us)
		field_errors_add(e, "history.closed_at", FAULT_ORDER, 0);
	else if (h->closed_at_us > now_us)
		field_errors_add(e, "history.closed_at", FAULT_FUTURE, 0);
}

static void check_history(const struct submission *s, const struct catalog *c, const struct town *t,
			  int64_t now_us, struct field_errors *e, struct checked *k)
{
	const struct history *h = &s->history;
	const struct department *d = NULL;

	if (!h->department.len)
		field_errors_add(e, "history.department", FAULT_MISSING, 0);
	else if (!(d = catalog_department_slug(c, t, h->department.s, h->department.len)))
		field_errors_add(e, "history.department", FAULT_UNKNOWN, 0);
	if (!h->requested_at_us)
		field_errors_add(e, "history.requested_at", FAULT_MISSING, 0);
	else if (h->requested_at_us > now_us)
		field_errors_add(e, "history.requested_at", FAULT_FUTURE, 0);
	else if (h->requested_at_us < -100 * 366 * DAY_US)
		field_errors_add(e, "history.requested_at", FAULT_RANGE, 0);
	check_closing(h, now_us, e);
	if (h->deadline_us && h->deadline_us < h->requested_at_us)
		field_errors_add(e, "history.deadline", FAULT_ORDER, 0);
	else if (h->deadline_us > now_us + 100 * 366 * DAY_US)
		field_errors_add(e, "history.deadline", FAULT_RANGE, 0);
	k->owner = d ? d->id : 0;
	k->state = h->state;
	k->outcome = h->outcome;
	k->requested_at_us = h->requested_at_us;
	k->closed_at_us = h->closed_at_us;
	k->deadline_us = h->deadline_us ? h->deadline_us : h->requested_at_us + t->triage_us;
}

static bool any_contact(const struct submission *s)
{
	for (unsigned f = FIELD_EMAIL; f <= FIELD_DEVICE_ID; f++)
		if (s->text[f].len)
			return true;
	return false;
}

bool submission_check(struct submission *s, const struct catalog *c, const struct offer *o,
		      const struct door *d, bool may_import, int64_t now_us, struct field_errors *e,
		      struct checked *ret)
{
	const struct town *t = o->town;
	size_t before = e->n;
	struct checked k = {
		.language = t->language, .channel = s->channel ? s->channel : d->channel,
		.requested_at_us = now_us, .deadline_us = now_us + t->triage_us, .owner = t->triage,
		.state = CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_RECEIVED,
	};

	check_place(s, t, e);
	check_attributes(s, c, o, e);
	check_texts(s, e, &k.language);
	if (s->channel && s->channel != d->channel && !may_import)
		field_errors_add(e, "channel", FAULT_SCOPE, 0);
	if (s->has_history && !may_import)
		field_errors_add(e, "history", FAULT_SCOPE, 0);
	else if (s->has_history)
		check_history(s, c, t, now_us, e, &k);
	k.has_contact = any_contact(s);
	if (e->n != before)
		return false;
	*ret = k;
	return true;
}
