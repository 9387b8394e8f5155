/*
 * core_render - one set of calls that writes either format
 *
 * Each answer is described once, by what both formats have in common; the small writer below knows
 * where they differ. A writer that could not begin swallows everything and fails the buf.
 */
#include <stdio.h>
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/xml.h"
#include "services/intake/core_render.h"

struct render {
	struct json json;
	struct xml *xml; /* NULL: JSON */
	struct buf *out;
};

const char *format_type(enum format f)
{
	return f == FORMAT_XML ? "text/xml; charset=utf-8" : "application/json; charset=utf-8";
}

static bool begin(struct render *w, struct buf *out, enum format f)
{
	int r = 0;

	*w = (struct render){ .out = out };
	if (f == FORMAT_XML)
		r = xml_new(&w->xml, out);
	else
		json_init(&w->json, out);
	if (r && !out->err)
		out->err = r;
	return !r;
}

static void end(struct render *w)
{
	if (w->xml) {
		int r = xml_end(w->xml);

		if (r && !w->out->err)
			w->out->err = r;
		xml_free(w->xml);
	}
}

/* a list; inside an object it has a name in both formats, at the root in XML alone */
static void list(struct render *w, const char *name, bool root)
{
	if (w->xml) {
		xml_open(w->xml, name);
		return;
	}
	if (!root)
		json_key(&w->json, name);
	json_array_begin(&w->json);
}

static void list_end(struct render *w, const char *name)
{
	if (w->xml)
		xml_close(w->xml);
	else
		json_array_end(&w->json);
	(void)name; /* for the reader: what is closed */
}

static void object(struct render *w, const char *name)
{
	if (w->xml)
		xml_open(w->xml, name);
	else
		json_object_begin(&w->json);
}

static void object_end(struct render *w)
{
	if (w->xml)
		xml_close(w->xml);
	else
		json_object_end(&w->json);
}

static void text(struct render *w, const char *name, const char *s)
{
	if (w->xml)
		xml_text(w->xml, name, s);
	else
		json_kstr(&w->json, name, s);
}

/* "" is told as null and empty */
static void text_or_null(struct render *w, const char *name, const char *s)
{
	text(w, name, s && *s ? s : NULL);
}

static void truth(struct render *w, const char *name, bool v)
{
	if (w->xml)
		xml_text(w->xml, name, v ? "true" : "false");
	else
		json_kbool(&w->json, name, v);
}

static void number(struct render *w, const char *name, int64_t v)
{
	if (w->xml)
		xml_int(w->xml, name, v);
	else
		json_kint(&w->json, name, v);
}

static void id(struct render *w, const char *name, int64_t v)
{
	if (w->xml)
		xml_int(w->xml, name, v);
	else
		json_kid(&w->json, name, v);
}

static void real(struct render *w, const char *name, bool has, double v)
{
	if (!has)
		text(w, name, NULL);
	else if (w->xml)
		xml_real(w->xml, name, v);
	else
		json_kreal(&w->json, name, v);
}

static void moment(struct render *w, const char *name, int64_t at_us)
{
	if (w->xml)
		xml_time(w->xml, name, at_us);
	else
		json_ktime(&w->json, name, at_us);
}

/* a list's element that is a bare string */
static void element(struct render *w, const char *name, const char *s)
{
	if (w->xml)
		xml_text(w->xml, name, s);
	else
		json_str(&w->json, s);
}

/* ---- discovery, services --------------------------------------------------------------------- */

void render_discovery(struct buf *out, enum format f, const struct catalog *c,
		      const struct discovery *d)
{
	struct buf url = BUF_INIT;
	char changeset[32];
	struct render w;

	if (!begin(&w, out, f))
		return;
	clock_format_utc(catalog_changeset_us(c), changeset);
	buf_printf(&url, "%s/open311/v2", d->base_url);
	object(&w, "discovery");
	text(&w, "changeset", changeset);
	text(&w, "contact", d->contact);
	text(&w, "key_service", d->key_service);
	list(&w, "endpoints", false);
	object(&w, "endpoint");
	text(&w, "specification", "http://wiki.open311.org/GeoReport_v2");
	text(&w, "url", url.data);
	text(&w, "changeset", changeset);
	text(&w, "type", d->endpoint_type);
	list(&w, "formats", false);
	element(&w, "format", "text/xml");
	element(&w, "format", "application/json");
	list_end(&w, "formats");
	object_end(&w);
	list_end(&w, "endpoints");
	object_end(&w);
	end(&w);
	if (buf_err(&url) && !out->err)
		out->err = buf_err(&url);
	buf_fini(&url);
}

void render_services(struct buf *out, enum format f, const struct town *t)
{
	struct render w;

	if (!begin(&w, out, f))
		return;
	list(&w, "services", true);
	for (const struct offer *o = t->offers; o; o = o->next) {
		if (o->retired)
			continue;
		object(&w, "service");
		text(&w, "service_code", o->code);
		text(&w, "service_name", o->name);
		text(&w, "description", o->description);
		truth(&w, "metadata", o->attributes);
		text(&w, "type", "realtime");
		text(&w, "keywords", o->keywords);
		text(&w, "group", o->group);
		object_end(&w);
	}
	list_end(&w, "services");
	end(&w);
}

static void attribute(struct render *w, const struct attribute *a)
{
	static const char *const datatypes[] = {
		[DATA_STRING] = "string", [DATA_NUMBER] = "number",
		[DATA_DATETIME] = "datetime", [DATA_TEXT] = "text",
		[DATA_SINGLE] = "singlevaluelist", [DATA_MULTI] = "multivaluelist",
	};

	object(w, "attribute");
	truth(w, "variable", a->variable);
	text(w, "code", a->code);
	text(w, "datatype", datatypes[a->datatype]);
	truth(w, "required", a->required && a->variable);
	text_or_null(w, "datatype_description", a->datatype_description);
	number(w, "order", a->ord);
	text(w, "description", a->description);
	if (a->datatype == DATA_SINGLE || a->datatype == DATA_MULTI) {
		list(w, "values", false);
		for (const struct value *v = a->values; v; v = v->next) {
			object(w, "value");
			text(w, "key", v->key);
			text(w, "name", v->name);
			object_end(w);
		}
		list_end(w, "values");
	}
	object_end(w);
}

void render_definition(struct buf *out, enum format f, const struct offer *o)
{
	struct render w;

	if (!begin(&w, out, f))
		return;
	object(&w, "service_definition");
	text(&w, "service_code", o->code);
	list(&w, "attributes", false);
	for (const struct attribute *a = o->attributes; a; a = a->next)
		attribute(&w, a);
	list_end(&w, "attributes");
	object_end(&w);
	end(&w);
}

/* ---- requests -------------------------------------------------------------------------------- */

void render_posted(struct buf *out, enum format f, const char *request, const char *notice,
		   const char *account_id, const char *code)
{
	struct render w;

	if (!begin(&w, out, f))
		return;
	list(&w, "service_requests", true);
	object(&w, "request");
	text(&w, "service_request_id", request);
	text_or_null(&w, "service_notice", notice);
	text_or_null(&w, "account_id", account_id);
	if (code) {
		if (!w.xml)
			json_key(&w.json, "extended_attributes");
		object(&w, "extended_attributes");
		text(&w, "code", code);
		object_end(&w);
	}
	object_end(&w);
	list_end(&w, "service_requests");
	end(&w);
}

enum text_id render_state_text(int state, int outcome)
{
	static const enum text_id states[] = { TEXT_STATUS_RECEIVED, TEXT_STATUS_RECEIVED,
					       TEXT_STATUS_ROUTED, TEXT_STATUS_ACCEPTED,
					       TEXT_STATUS_IN_PROGRESS, TEXT_STATUS_CLOSED };
	static const enum text_id outcomes[] = { TEXT_STATUS_CLOSED, TEXT_OUTCOME_DONE,
						 TEXT_OUTCOME_DECLINED, TEXT_OUTCOME_NOT_OURS,
						 TEXT_OUTCOME_DUPLICATE, TEXT_OUTCOME_NOT_FOUND,
						 TEXT_OUTCOME_WITHDRAWN };

	if (state < 0 || (size_t)state >= ARRAY_SIZE(states))
		return TEXT_STATUS_RECEIVED;
	if (state == CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_CLOSED && outcome > 0 &&
	    (size_t)outcome < ARRAY_SIZE(outcomes))
		return outcomes[outcome];
	return states[state];
}

int render_requests_begin(struct render **ret, struct buf *out, enum format f)
{
	struct render *w = calloc(1, sizeof(*w));

	if (!w || !begin(w, out, f)) {
		free(w);
		return -1;
	}
	list(w, "service_requests", true);
	*ret = w;
	return 0;
}

void render_request(struct render *w, const struct catalog *c, const struct town *t,
		    const struct public_row *row)
{
	const struct offer *o = catalog_offer(c, row->offer);
	const struct department *d = catalog_department(c, row->department);
	bool closed = row->state == CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_CLOSED;

	object(w, "request");
	id(w, "service_request_id", row->request);
	text(w, "status", closed ? "closed" : "open");
	text(w, "status_notes", text_get(t->language, render_state_text(row->state, row->outcome)));
	text(w, "service_name", o ? o->name : NULL);
	text(w, "service_code", o ? o->code : "");
	text_or_null(w, "description", row->description);
	text(w, "agency_responsible", d ? d->name : NULL);
	text_or_null(w, "service_notice", o ? o->notice : NULL);
	moment(w, "requested_datetime", row->requested_at_us);
	moment(w, "updated_datetime", row->updated_at_us);
	moment(w, "expected_datetime", row->expected_at_us);
	text_or_null(w, "address", row->address);
	text_or_null(w, "address_id", row->address_id);
	text(w, "zipcode", NULL);
	real(w, "lat", row->has_place, row->lat);
	real(w, "long", row->has_place, row->lng);
	text_or_null(w, "media_url", row->media_url);
	object_end(w);
}

void render_requests_end(struct render *w)
{
	list_end(w, "service_requests");
	end(w);
	free(w);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void one_error(struct render *w, const char *code, const char *description)
{
	object(w, "error");
	text(w, "code", code);
	text(w, "description", description);
	object_end(w);
}

void render_error(struct buf *out, enum format f, const char *code, const char *description)
{
	struct render w;

	if (!begin(&w, out, f))
		return;
	list(&w, "errors", true);
	one_error(&w, code, description);
	list_end(&w, "errors");
	end(&w);
}

void render_field_errors(struct buf *out, enum format f, const struct field_errors *e, enum lang l,
			 const char *town)
{
	struct buf reason = BUF_INIT;
	struct render w;

	if (!begin(&w, out, f))
		return;
	list(&w, "errors", true);
	for (size_t i = 0; i < e->n; i++) {
		char code[96];

		snprintf(code, sizeof(code), "%s:%.80s", fault_code(e->list[i].fault),
			 e->list[i].field);
		buf_reset(&reason);
		field_error_reason(&e->list[i], l, town, &reason);
		one_error(&w, code, reason.data);
	}
	list_end(&w, "errors");
	end(&w);
	if (buf_err(&reason) && !out->err)
		out->err = buf_err(&reason);
	buf_fini(&reason);
}
