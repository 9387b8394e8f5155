/*
 * Mapping files; see import_map.h for their language.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "common/base/text.h"
#include "services/cli/channels.h"
#include "services/cli/import_map.h"

enum { FIELD_COLUMNS_MAX = 8 };

enum field_id {
	F_ID, F_SERVICE, F_DESCRIPTION, F_ADDRESS, F_ADDRESS_ID, F_LAT, F_LONG, F_CHANNEL,
	F_DEPARTMENT, F_STATE, F_OUTCOME, F_REQUESTED, F_CLOSED, F_DEADLINE, FIELDS_N,
};

static const char *const field_names[FIELDS_N] = {
	"id", "service_code", "description", "address", "address_id", "lat", "long", "channel",
	"department", "state", "outcome", "requested", "closed", "deadline",
};

struct field {
	const char *columns[FIELD_COLUMNS_MAX]; /* borrowed from the JSON tree */
	size_t columns_n;
	size_t at[FIELD_COLUMNS_MAX]; /* in the header */
	json_t *values, *starts; /* objects or NULL; borrowed */
	const char *otherwise, *format, *time;
};

struct import_map {
	json_t *root;
	struct field fields[FIELDS_N];
	bool history;
	bool refuse_skipped, refuse_doubled, later_doubled;
};

void import_map_free(struct import_map *m)
{
	if (!m)
		return;
	json_decref(m->root);
	free(m);
}

/* ---- reading the mapping ----------------------------------------------------------------------------- */

static bool take_columns(struct field *f, json_t *o)
{
	json_t *one = json_object_get(o, "column"), *many = json_object_get(o, "columns"), *c;
	size_t i;

	if (json_is_string(one))
		f->columns[f->columns_n++] = json_string_value(one);
	json_array_foreach(many, i, c) {
		if (!json_is_string(c) || f->columns_n == FIELD_COLUMNS_MAX)
			return false;
		f->columns[f->columns_n++] = json_string_value(c);
	}
	return f->columns_n > 0;
}

static const char *take_field(struct field *f, json_t *o)
{
	if (json_is_string(o)) {
		f->columns[f->columns_n++] = json_string_value(o);
		return NULL;
	}
	if (!json_is_object(o))
		return "must be a column's name or an object";
	if (!take_columns(f, o))
		return "needs \"column\" or \"columns\" (8 names at most)";
	f->values = json_object_get(o, "values");
	f->starts = json_object_get(o, "starts");
	f->otherwise = json_string_value(json_object_get(o, "otherwise"));
	f->format = json_string_value(json_object_get(o, "format"));
	f->time = json_string_value(json_object_get(o, "time"));
	if ((f->values && !json_is_object(f->values)) || (f->starts && !json_is_object(f->starts)))
		return "\"values\" and \"starts\" must be objects";
	return NULL;
}

static enum field_id field_of(const char *name)
{
	for (size_t i = 0; i < FIELDS_N; i++)
		if (!strcmp(field_names[i], name))
			return (enum field_id)i;
	return FIELDS_N;
}

static const char *take_policy(struct import_map *m, const char *name, const char *value)
{
	if (!value)
		return "must be a text";
	if (!strcmp(name, "skipped_hour")) {
		m->refuse_skipped = !strcmp(value, "refuse");
		return m->refuse_skipped || !strcmp(value, "after") ? NULL : "must be \"after\" or \"refuse\"";
	}
	m->refuse_doubled = !strcmp(value, "refuse");
	m->later_doubled = !strcmp(value, "second");
	return m->refuse_doubled || m->later_doubled || !strcmp(value, "first")
		       ? NULL
		       : "must be \"first\", \"second\" or \"refuse\"";
}

static const char *take_member(struct import_map *m, const char *name, json_t *value)
{
	enum field_id id = field_of(name);

	if (!strcmp(name, "skipped_hour") || !strcmp(name, "doubled_hour"))
		return take_policy(m, name, json_string_value(value));
	if (!strcmp(name, "comment"))
		return NULL;
	return id == FIELDS_N ? "is not known in a mapping" : take_field(&m->fields[id], value);
}

static const char *check_complete(const struct import_map *m, const char **ret_name)
{
	static const enum field_id always[] = { F_ID, F_SERVICE };
	static const enum field_id history[] = { F_DEPARTMENT, F_STATE, F_OUTCOME, F_REQUESTED, F_CLOSED };

	FOREACH(f, always) {
		*ret_name = field_names[*f];
		if (!m->fields[*f].columns_n)
			return "is missing";
	}
	FOREACH(f, history) {
		*ret_name = field_names[*f];
		if (m->history && !m->fields[*f].columns_n)
			return "is missing; history needs it (or import with --live)";
	}
	for (size_t i = F_REQUESTED; i <= F_DEADLINE; i++) {
		*ret_name = field_names[i];
		if (m->fields[i].columns_n && !m->fields[i].format)
			return "needs a \"format\"";
	}
	return NULL;
}

int import_map_new(struct import_map **ret, const char *text, size_t len, bool history,
		   char ret_error[static 256])
{
	_cleanup_(import_map_freep) struct import_map *m = calloc(1, sizeof(*m));
	json_error_t error;
	const char *name = "", *why = NULL;
	json_t *value;

	if (!m)
		return -ENOMEM;
	m->history = history;
	m->root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(m->root)) {
		snprintf(ret_error, 256, "line %d: %s", error.line, m->root ? "must be an object" : error.text);
		return -EINVAL;
	}
	json_object_foreach(m->root, name, value) {
		why = take_member(m, name, value);
		if (why)
			break;
	}
	if (!why)
		why = check_complete(m, &name);
	if (why) {
		snprintf(ret_error, 256, "\"%.100s\" %s", name, why);
		return -EINVAL;
	}
	*ret = steal(m);
	return 0;
}

bool import_map_bind(struct import_map *m, const struct csv *header, char ret_error[static 256])
{
	for (size_t f = 0; f < FIELDS_N; f++) {
		for (size_t c = 0; c < m->fields[f].columns_n; c++) {
			size_t at = 0;

			while (at < header->n && strcmp(csv_field(header, at), m->fields[f].columns[c]))
				at++;
			if (at == header->n) {
				snprintf(ret_error, 256, "the header has no column '%.100s' (mapping \"%s\")",
					 m->fields[f].columns[c], field_names[f]);
				return false;
			}
			m->fields[f].at[c] = at;
		}
	}
	return true;
}

/* ---- rows ----------------------------------------------------------------------------------------------- */

struct reading {
	const struct import_map *map;
	const struct csv *row;
	const struct zone *zone;
	struct import_row *out;
	char *reason;
};

static bool refuse(struct reading *r, enum field_id f, const char *why, const char *value)
{
	snprintf(r->reason, 256, "%s: %s%s%.120s%s", field_names[f], why, *value ? " '" : "", value,
		 *value ? "'" : "");
	return false;
}

/* the field's columns joined, spaces at the ends off; cut to fit */
static void raw(const struct reading *r, enum field_id id, char *ret, size_t size)
{
	const struct field *f = &r->map->fields[id];
	size_t n = 0;

	ret[0] = '\0';
	for (size_t c = 0; c < f->columns_n; c++) {
		const char *s = csv_field(r->row, f->at[c]);
		size_t len;

		s += strspn(s, " \t\r\n");
		len = strlen(s);
		while (len && strchr(" \t\r\n", s[len - 1]))
			len--;
		if (len && n + len + 2 <= size) {
			n += (size_t)snprintf(ret + n, size - n, "%s%.*s", n ? " " : "", (int)len, s);
		} else if (len) {
			/* too long: keep all that fits; the daemon's limit answers for it */
			n += (size_t)snprintf(ret + n, size - n, "%s", n ? " " : "");
			memcpy(ret + n, s, size - 1 - n);
			ret[size - 1] = '\0';
			return;
		}
	}
}

/* raw text through values, starts, otherwise; NULL: none of them knows it */
static const char *mapped(const struct field *f, const char *text)
{
	const char *start, *to = json_string_value(json_object_get(f->values, text));
	json_t *value;

	if (to)
		return to;
	json_object_foreach(f->starts, start, value)
		if (!strncmp(text, start, strlen(start)))
			return json_string_value(value);
	return f->otherwise;
}

static bool read_place(struct reading *r)
{
	char lat[64], lon[64];

	raw(r, F_LAT, lat, sizeof(lat));
	raw(r, F_LONG, lon, sizeof(lon));
	if (!*lat && !*lon)
		return true;
	centraleta__v1__place__init(&r->out->place);
	if (!text_to_double(lat, strlen(lat), &r->out->place.lat))
		return refuse(r, F_LAT, "is no number", lat);
	if (!text_to_double(lon, strlen(lon), &r->out->place.long_))
		return refuse(r, F_LONG, "is no number", lon);
	r->out->submit.place = &r->out->place;
	return true;
}

static bool read_texts(struct reading *r)
{
	struct import_row *o = r->out;
	char id[200], service[256];

	raw(r, F_ID, id, sizeof(id));
	if (!*id)
		return refuse(r, F_ID, "is empty", "");
	snprintf(o->key, sizeof(o->key), "import:%s", id);
	raw(r, F_SERVICE, service, sizeof(service));
	if (!*service)
		return refuse(r, F_SERVICE, "is empty", "");
	snprintf(o->service, sizeof(o->service), "%s",
		 r->map->fields[F_SERVICE].values && mapped(&r->map->fields[F_SERVICE], service)
			 ? mapped(&r->map->fields[F_SERVICE], service)
			 : service);
	raw(r, F_DESCRIPTION, o->description, sizeof(o->description));
	raw(r, F_ADDRESS, o->address, sizeof(o->address));
	o->submit.idempotency_key = o->key;
	o->submit.service_code = o->service;
	o->submit.description = o->description;
	o->submit.address_string = o->address;
	return true;
}

static bool read_channel(struct reading *r)
{
	const struct field *f = &r->map->fields[F_CHANNEL];
	char text[128];
	const char *to;

	if (!f->columns_n)
		return true;
	raw(r, F_CHANNEL, text, sizeof(text));
	to = mapped(f, text);
	if (!to)
		return refuse(r, F_CHANNEL, "the mapping does not know", text);
	r->out->submit.channel = (Centraleta__V1__Channel)cli_channel(to);
	return r->out->submit.channel || refuse(r, F_CHANNEL, "there is no channel", to);
}

static bool read_department(struct reading *r)
{
	char text[128];
	const char *to;

	raw(r, F_DEPARTMENT, text, sizeof(text));
	to = mapped(&r->map->fields[F_DEPARTMENT], text);
	if (!to && !*text)
		return refuse(r, F_DEPARTMENT, "is empty", "");
	if (to)
		snprintf(r->out->department, sizeof(r->out->department), "%s", to);
	else
		text_to_slug(text, r->out->department);
	r->out->history.department = r->out->department;
	return true;
}

static bool read_state(struct reading *r)
{
	char text[128];
	const char *to;

	raw(r, F_STATE, text, sizeof(text));
	to = mapped(&r->map->fields[F_STATE], text);
	if (to && !strcmp(to, "closed"))
		r->out->history.state = CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_CLOSED;
	else if (to && !strcmp(to, "open"))
		r->out->history.state = CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_ROUTED;
	else
		return refuse(r, F_STATE, "the mapping makes neither open nor closed of", text);
	return true;
}

static bool read_outcome(struct reading *r)
{
	static const char *const names[] = { "", "done", "declined", "not_ours", "duplicate", "not_found",
					     "withdrawn" };
	char text[2048];
	const char *to;

	if (r->out->history.state != CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_CLOSED)
		return true;
	raw(r, F_OUTCOME, text, sizeof(text));
	to = mapped(&r->map->fields[F_OUTCOME], text);
	for (size_t i = 1; to && i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], to))
			r->out->history.outcome = (Centraleta__V1__Outcome)i;
	return r->out->history.outcome || refuse(r, F_OUTCOME, "the mapping makes no outcome of", text);
}

/* ---- times ------------------------------------------------------------------------------------------------ */

static bool count_hit(struct reading *r, enum field_id id, enum zone_hit hit, const char *text)
{
	r->out->skipped += hit == ZONE_SKIPPED;
	r->out->doubled += hit == ZONE_TWICE;
	if (hit == ZONE_SKIPPED && r->map->refuse_skipped)
		return refuse(r, id, "daylight saving skips", text);
	if (hit == ZONE_TWICE && r->map->refuse_doubled)
		return refuse(r, id, "daylight saving doubles", text);
	return true;
}

/* an empty text leaves *ret 0 */
static bool read_time(struct reading *r, enum field_id id, int64_t *ret)
{
	const struct field *f = &r->map->fields[id];
	struct tm tm = { 0 };
	struct civil c;
	char text[128];
	const char *end;

	*ret = 0;
	raw(r, id, text, sizeof(text));
	if (!*text)
		return true;
	end = strptime(text, f->format, &tm);
	if (!end || *end)
		return refuse(r, id, "is not of the mapping's format", text);
	if (f->time && !strptime(f->time, "%H:%M:%S", &tm))
		return refuse(r, id, "\"time\" must be HH:MM:SS, not", f->time);
	c = (struct civil){ .year = tm.tm_year + 1900, .month = tm.tm_mon + 1, .day = tm.tm_mday,
			    .hour = tm.tm_hour, .minute = tm.tm_min, .second = tm.tm_sec };
	return count_hit(r, id, zone_instant(r->zone, &c, r->map->later_doubled, ret), text);
}

static bool read_times(struct reading *r)
{
	Centraleta__V1__SubmitHistory *h = &r->out->history;
	bool closed = h->state == CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_CLOSED;

	if (!read_time(r, F_REQUESTED, &h->requested_at_us) || !read_time(r, F_DEADLINE, &h->deadline_us))
		return false;
	if (!h->requested_at_us)
		return refuse(r, F_REQUESTED, "is empty", "");
	if (!closed)
		return true;
	if (!read_time(r, F_CLOSED, &h->closed_at_us))
		return false;
	if (!h->closed_at_us)
		return refuse(r, F_CLOSED, "is empty though the state is closed", "");
	return h->closed_at_us >= h->requested_at_us || refuse(r, F_CLOSED, "is before it was asked", "");
}

const char *import_map_row(const struct import_map *m, const struct csv *row, const struct zone *zone,
			   struct import_row *ret, char ret_reason[static 256])
{
	struct reading r = { .map = m, .row = row, .zone = zone, .out = ret, .reason = ret_reason };

	memset(ret, 0, offsetof(struct import_row, key));
	ret->skipped = ret->doubled = 0;
	centraleta__v1__submit__init(&ret->submit);
	centraleta__v1__submit_history__init(&ret->history);
	ret_reason[0] = '\0';
	if (!read_texts(&r) || !read_place(&r) || !read_channel(&r))
		return ret_reason;
	if (!m->history)
		return NULL;
	if (!read_department(&r) || !read_state(&r) || !read_outcome(&r) || !read_times(&r))
		return ret_reason;
	ret->submit.history = &ret->history;
	return NULL;
}
