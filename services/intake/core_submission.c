/*
 * core_submission - reading a form or a message into one struct, and its hash
 *
 * A message comes here after frame_fit(): its strings are text without NUL.
 */
#include <sodium.h>
#include "common/base/json.h"
#include "common/base/text.h"
#include "services/intake/core_submission.h"

static const char *const field_names[FIELD_N] = {
	[FIELD_SERVICE_CODE] = "service_code", [FIELD_ADDRESS] = "address_string",
	[FIELD_ADDRESS_ID] = "address_id", [FIELD_DESCRIPTION] = "description",
	[FIELD_EMAIL] = "email", [FIELD_PHONE] = "phone", [FIELD_FIRST_NAME] = "first_name",
	[FIELD_LAST_NAME] = "last_name", [FIELD_ACCOUNT_ID] = "account_id",
	[FIELD_DEVICE_ID] = "device_id", [FIELD_MEDIA_URL] = "media_url",
	[FIELD_LANGUAGE] = "language", [FIELD_KEY] = "idempotency_key",
};

const char *field_name(enum field f)
{
	return field_names[f];
}

/* attribute[code] or attribute[code][]; the code may be any text without ']' */
static bool attribute_name(const char *name, size_t len, struct slice *ret_code)
{
	static const char prefix[] = "attribute[";
	const size_t at = sizeof(prefix) - 1;
	const char *end;

	if (len < at + 2 || memcmp(name, prefix, at) != 0)
		return false;
	end = memchr(name + at, ']', len - at);
	if (!end || end == name + at)
		return false;
	size_t rest = len - (size_t)(end + 1 - name);

	if (rest != 0 && !(rest == 2 && !memcmp(end + 1, "[]", 2)))
		return false;
	*ret_code = (struct slice){ name + at, (size_t)(end - name) - at };
	return true;
}

static void add_attribute(struct submission *s, struct slice code, struct slice value)
{
	if (!value.len)
		return;
	if (s->attributes_n == ATTRIBUTES_MAX) {
		s->attributes_over = true;
		return;
	}
	s->attributes[s->attributes_n++] = (struct attribute_input){ code, value };
}

static void take_pair(struct submission *s, const struct http_pair *p)
{
	struct slice value = { p->value, p->value_len }, code;

	if (attribute_name(p->name, p->name_len, &code)) {
		add_attribute(s, code, value);
		return;
	}
	for (unsigned f = 0; f < FIELD_N; f++) {
		if (strlen(field_names[f]) == p->name_len &&
		    !memcmp(field_names[f], p->name, p->name_len)) {
			if (!s->text[f].len)
				s->text[f] = value;
			return;
		}
	}
	if (p->name_len == 3 && !memcmp(p->name, "lat", 3) && !s->lat.len)
		s->lat = value;
	else if (p->name_len == 4 && !memcmp(p->name, "long", 4) && !s->lng.len)
		s->lng = value;
}

static void submission_init(struct submission *s)
{
	/* not the attributes: their count says how many are set */
	memset(s->text, 0, sizeof(s->text));
	s->lat = s->lng = s->traceparent = (struct slice){ 0 };
	s->has_place = s->attributes_over = s->has_history = false;
	s->place_lat = s->place_long = 0;
	s->attributes_n = 0;
	s->channel = 0;
	s->history = (struct history){ 0 };
}

void submission_from_form(struct submission *ret, const struct http_form *form,
			  const char *idempotency, const char *traceparent)
{
	submission_init(ret);
	for (size_t i = 0; i < form->n; i++)
		take_pair(ret, &form->pairs[i]);
	if (idempotency && *idempotency)
		ret->text[FIELD_KEY] = (struct slice){ idempotency, strlen(idempotency) };
	if (traceparent)
		ret->traceparent = (struct slice){ traceparent, strlen(traceparent) };
}

static struct slice of(const char *s)
{
	return (struct slice){ s, s ? strlen(s) : 0 };
}

static bool known(const ProtobufCEnumDescriptor *d, int value, const char *name, const char **ret_what)
{
	if (protobuf_c_enum_descriptor_get_value(d, value))
		return true;
	*ret_what = name;
	return false;
}

static bool history_from(struct history *h, const Centraleta__V1__SubmitHistory *m,
			 const char **ret_what)
{
	*h = (struct history){ .department = of(m->department), .state = (int)m->state,
			       .outcome = (int)m->outcome, .requested_at_us = m->requested_at_us,
			       .closed_at_us = m->closed_at_us, .deadline_us = m->deadline_us };
	return known(&centraleta__v1__request_state__descriptor, h->state, "history.state", ret_what) &&
	       known(&centraleta__v1__outcome__descriptor, h->outcome, "history.outcome", ret_what);
}

bool submission_from_message(struct submission *s, const Centraleta__V1__Submit *m,
			     const char **ret_what)
{
	const char *const texts_in[FIELD_N] = {
		[FIELD_SERVICE_CODE] = m->service_code, [FIELD_ADDRESS] = m->address_string,
		[FIELD_ADDRESS_ID] = m->address_id, [FIELD_DESCRIPTION] = m->description,
		[FIELD_EMAIL] = m->email, [FIELD_PHONE] = m->phone,
		[FIELD_FIRST_NAME] = m->first_name, [FIELD_LAST_NAME] = m->last_name,
		[FIELD_ACCOUNT_ID] = m->account_id, [FIELD_DEVICE_ID] = m->device_id,
		[FIELD_MEDIA_URL] = m->media_url, [FIELD_LANGUAGE] = m->language,
		[FIELD_KEY] = m->idempotency_key,
	};

	submission_init(s);
	for (unsigned f = 0; f < FIELD_N; f++)
		s->text[f] = of(texts_in[f]);
	if (m->place) {
		s->has_place = true;
		s->place_lat = m->place->lat;
		s->place_long = m->place->long_;
	}
	for (size_t i = 0; i < m->n_attributes; i++)
		for (size_t v = 0; v < m->attributes[i]->n_values; v++)
			add_attribute(s, of(m->attributes[i]->code), of(m->attributes[i]->values[v]));
	s->traceparent = of(m->traceparent);
	s->channel = (int)m->channel;
	if (!known(&centraleta__v1__channel__descriptor, s->channel, "channel", ret_what))
		return false;
	s->has_history = m->history;
	return !m->history || history_from(&s->history, m->history, ret_what);
}

/* ---- hash ------------------------------------------------------------------------------------ */

static void hash_bytes(crypto_generichash_state *h, const void *data, size_t len)
{
	uint64_t n = len;

	crypto_generichash_update(h, (const uint8_t *)&n, sizeof(n));
	if (len)
		crypto_generichash_update(h, data, len);
}

void submission_hash(const struct submission *s, uint8_t ret[static 16])
{
	crypto_generichash_state h;

	const int64_t shape[] = { s->has_place, (int64_t)s->attributes_n, s->has_history, s->channel };

	crypto_generichash_init(&h, NULL, 0, 16);
	hash_bytes(&h, shape, sizeof(shape));
	for (unsigned f = 0; f < FIELD_N; f++)
		if (f != FIELD_KEY)
			hash_bytes(&h, s->text[f].s, s->text[f].len);
	if (s->has_place) {
		hash_bytes(&h, &s->place_lat, sizeof(s->place_lat));
		hash_bytes(&h, &s->place_long, sizeof(s->place_long));
	}
	for (size_t i = 0; i < s->attributes_n; i++) {
		hash_bytes(&h, s->attributes[i].code.s, s->attributes[i].code.len);
		hash_bytes(&h, s->attributes[i].value.s, s->attributes[i].value.len);
	}
	if (s->has_history) {
		const struct history *y = &s->history;
		const int64_t numbers[] = { y->state, y->outcome, y->requested_at_us,
					    y->closed_at_us, y->deadline_us };

		hash_bytes(&h, y->department.s, y->department.len);
		hash_bytes(&h, numbers, sizeof(numbers));
	}
	crypto_generichash_final(&h, ret, 16);
}

/* ---- attributes as JSON ---------------------------------------------------------------------- */

static bool same_code(const struct attribute_input *a, const struct attribute_input *b)
{
	return a->code.len == b->code.len && !memcmp(a->code.s, b->code.s, a->code.len);
}

static bool is_list(const struct attribute *a)
{
	return a && (a->datatype == DATA_SINGLE || a->datatype == DATA_MULTI);
}

/* the values of one code, once each, under the code's first place */
static void write_values(struct json *j, const struct submission *s, size_t first)
{
	const struct attribute_input *a = &s->attributes[first];
	char key[65 * 4];
	size_t n = MIN(a->code.len, sizeof(key) - 1);

	memcpy(key, a->code.s, n);
	key[n] = '\0';
	json_key(j, key);
	json_array_begin(j);
	for (size_t i = first; i < s->attributes_n; i++)
		if (same_code(a, &s->attributes[i]))
			json_strn(j, s->attributes[i].value.s, s->attributes[i].value.len);
	json_array_end(j);
}

static void write_attributes(const struct submission *s, const struct catalog *c,
			     const struct offer *o, bool lists, struct buf *out)
{
	struct json j;
	bool any = false;

	for (size_t i = 0; i < s->attributes_n; i++) {
		const struct attribute_input *in = &s->attributes[i];
		const struct attribute *a = catalog_attribute(c, o, in->code.s, in->code.len);
		bool seen = false;

		if (is_list(a) != lists || (a && !a->variable))
			continue;
		for (size_t k = 0; k < i && !seen; k++)
			seen = same_code(&s->attributes[k], in);
		if (seen)
			continue;
		if (!any) {
			json_init(&j, out);
			json_object_begin(&j);
		}
		any = true;
		write_values(&j, s, i);
	}
	if (any)
		json_object_end(&j);
}

void submission_attributes(const struct submission *s, const struct catalog *c,
			   const struct offer *o, struct buf *lists, struct buf *frees)
{
	write_attributes(s, c, o, true, lists);
	write_attributes(s, c, o, false, frees);
}
