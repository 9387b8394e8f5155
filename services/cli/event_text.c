/*
 * Bodies are read through protobuf-c's own descriptors, so a new field shows without a change here.
 */
#include <ctype.h>
#include <stdio.h>

#include "centraleta/v1/event.pb-c.h"
#include "common/base/clock.h"
#include "services/cli/event_text.h"

static const struct {
	int type;
	const ProtobufCMessageDescriptor *body;
} bodies[] = {
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RECEIVED, &centraleta__v1__request_received__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_IMPORTED, &centraleta__v1__request_imported__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_ROUTED, &centraleta__v1__request_routed__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_TRIAGED, &centraleta__v1__request_routed__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_ACCEPTED, &centraleta__v1__request_changed__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_PROGRESSED, &centraleta__v1__request_changed__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RESOLVED, &centraleta__v1__request_changed__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_REFUSED, &centraleta__v1__request_changed__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_PLACED, &centraleta__v1__request_placed__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_NOTIFIED, &centraleta__v1__request_notified__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_UNDELIVERABLE, &centraleta__v1__request_notified__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_SURVEY_SENT, &centraleta__v1__request_notified__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_SURVEY_ANSWERED,
	  &centraleta__v1__request_survey_answered__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_WORK_ACCEPTED, &centraleta__v1__work_changed__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_WORK_PROGRESSED, &centraleta__v1__work_changed__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_WORK_RESOLVED, &centraleta__v1__work_changed__descriptor },
	{ CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_WORK_REFUSED, &centraleta__v1__work_changed__descriptor },
};

/* EVENT_TYPE_REQUEST_SURVEY_SENT -> request.survey_sent: the first '_' behind the prefix divides */
void event_type_name(int type, char ret[static 64])
{
	const ProtobufCEnumValue *v =
		protobuf_c_enum_descriptor_get_value(&centraleta__v1__event_type__descriptor, type);
	const char *s = v ? v->name + strlen("EVENT_TYPE_") : NULL;
	bool divided = false;
	size_t n = 0;

	if (!s) {
		snprintf(ret, 64, "type-%d", type);
		return;
	}
	for (; *s && n < 63; s++, n++) {
		ret[n] = *s == '_' && !divided ? '.' : (char)tolower((unsigned char)*s);
		divided |= *s == '_';
	}
	ret[n] = '\0';
}

/* CHANNEL_PHONE of Channel -> phone: the words that the enum's own name takes up are left out */
static void enum_word(const ProtobufCEnumDescriptor *d, int value, char ret[static 64])
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);
	const char *s = v ? v->name : "unknown";
	size_t n = 0;

	for (const char *p = d->short_name; v && *p; p++)
		if (isupper((unsigned char)*p))
			s = strchr(s, '_') ? strchr(s, '_') + 1 : s;
	for (; *s && n < 63; s++)
		ret[n++] = (char)tolower((unsigned char)*s);
	ret[n] = '\0';
}

struct field_sink {
	struct buf *text;
	struct json *json;
};

static void put_word(struct field_sink *out, const char *name, const char *value)
{
	if (out->json)
		json_kstr(out->json, name, value);
	else
		buf_printf(out->text, "%s%s=%s", out->text->len ? " " : "", name, value);
}

static void put_int(struct field_sink *out, const char *name, int64_t v)
{
	size_t len = strlen(name);
	char at[32];

	if (v == 0)
		return;
	if (len > 3 && !strcmp(name + len - 3, "_us")) {
		clock_format_utc(v, at);
		put_word(out, name, at);
		return;
	}
	snprintf(at, sizeof(at), "%lld", (long long)v);
	put_word(out, name, at);
}

static void put_real(struct field_sink *out, const char *name, double v)
{
	char text[32];

	snprintf(text, sizeof(text), "%.9g", v);
	put_word(out, name, text);
}

static void put_fields(struct field_sink *out, const ProtobufCMessage *m);

static void put_field(struct field_sink *out, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const void *at = (const char *)m + f->offset;
	char word[64];

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return; /* answers to questions: `request show` has them */
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
		put_int(out, f->name, *(const int32_t *)at);
		break;
	case PROTOBUF_C_TYPE_INT64:
		put_int(out, f->name, *(const int64_t *)at);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		put_real(out, f->name, *(const double *)at);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		enum_word(f->descriptor, (int)*(const uint32_t *)at, word);
		if (*(const uint32_t *)at)
			put_word(out, f->name, word);
		break;
	case PROTOBUF_C_TYPE_STRING:
		if (*(char *const *)at && **(char *const *)at)
			put_word(out, f->name, *(char *const *)at);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		if (*(ProtobufCMessage *const *)at)
			put_fields(out, *(ProtobufCMessage *const *)at);
		break;
	default:
		break;
	}
}

static void put_fields(struct field_sink *out, const ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++)
		put_field(out, m, &m->descriptor->fields[i]);
}

static void put_body(struct field_sink *out, int type, const void *body, size_t len)
{
	FOREACH(b, bodies) {
		ProtobufCMessage *m;

		if (b->type != type)
			continue;
		m = protobuf_c_message_unpack(b->body, NULL, len, body);
		if (m)
			put_fields(out, m);
		else
			put_word(out, "body", "unreadable");
		if (m)
			protobuf_c_message_free_unpacked(m, NULL);
	}
}

void event_body_text(int type, const void *body, size_t len, struct buf *out)
{
	put_body(&(struct field_sink){ .text = out }, type, body, len);
}

void event_body_json(int type, const void *body, size_t len, struct json *out)
{
	put_body(&(struct field_sink){ .json = out }, type, body, len);
}
