/*
 * core_entry - a checked submission turned into one block that waits for its group
 *
 * Everything variable is first collected in a scratch buffer that is used again and again, then
 * copied behind the struct: one allocation a submission.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include "common/base/err.h"
#include "services/intake/core_entry.h"

#define KEY_LANES 8 /* fixed in the schema, for ever: an idempotency key stays where it is */

const char *busy_name(enum busy_cause c)
{
	static const char *const names[] = {
		[BUSY_NONE] = "", [BUSY_STORE] = "store", [BUSY_QUEUE] = "queue",
		[BUSY_DISK] = "disk", [BUSY_WINDOW] = "window", [BUSY_DRAINING] = "draining",
		[BUSY_UNSURE] = "store", [BUSY_RATE] = "rate",
	};

	return names[c];
}

/* adds len bytes and a NUL; where they begin */
static size_t put(struct buf *b, const void *data, size_t len)
{
	size_t at = b->len;

	buf_add(b, data, len);
	buf_ch(b, '\0');
	return at;
}

static uint64_t key_hash(int32_t town, int32_t door, const char *key, size_t len)
{
	crypto_generichash_state h;
	const int32_t scope[2] = { town, door };
	uint8_t out[16];
	uint64_t v = 0;

	crypto_generichash_init(&h, NULL, 0, sizeof(out));
	crypto_generichash_update(&h, (const uint8_t *)scope, sizeof(scope));
	crypto_generichash_update(&h, (const uint8_t *)key, len);
	crypto_generichash_final(&h, out, sizeof(out));
	for (unsigned i = 0; i < sizeof(v); i++)
		v = v << 8 | out[i];
	return v;
}

/* ---- event bodies ---------------------------------------------------------------------------- */

struct choices {
	Centraleta__V1__AttributeValue values[ATTRIBUTES_MAX], *list[ATTRIBUTES_MAX];
	size_t n;
};

/*
 * The list attributes, as pairs of the definition's own strings: those outlive this call and are
 * closed vocabulary by construction.
 */
static void choose(struct choices *ch, const struct submission *s, const struct catalog *c,
		   const struct offer *o)
{
	ch->n = 0;
	for (size_t i = 0; i < s->attributes_n; i++) {
		const struct attribute_input *in = &s->attributes[i];
		const struct attribute *a = catalog_attribute(c, o, in->code.s, in->code.len);
		const struct value *v = NULL;

		if (a && a->variable && (a->datatype == DATA_SINGLE || a->datatype == DATA_MULTI))
			v = catalog_value(c, o, a, in->value.s, in->value.len);
		if (!v)
			continue;
		Centraleta__V1__AttributeValue *x = &ch->values[ch->n];

		centraleta__v1__attribute_value__init(x);
		/* protobuf-c's structs have no const; packing doesn't write */
		x->code = (char *)(uintptr_t)a->code;
		x->key = (char *)(uintptr_t)v->key;
		ch->list[ch->n++] = x;
	}
}

static size_t pack(struct buf *b, const ProtobufCMessage *m, size_t *ret_len)
{
	size_t len = protobuf_c_message_get_packed_size(m), at = b->len;
	char *p = buf_reserve(b, len + 1);

	*ret_len = len;
	if (!p)
		return 0;
	protobuf_c_message_pack(m, (uint8_t *)p);
	b->len += len;
	return at;
}

static size_t pack_received(struct buf *b, const struct entry *e, struct choices *ch, size_t *ret_len)
{
	Centraleta__V1__RequestReceived m = CENTRALETA__V1__REQUEST_RECEIVED__INIT;
	Centraleta__V1__Place place = CENTRALETA__V1__PLACE__INIT;

	m.service = e->offer;
	m.channel = (Centraleta__V1__Channel)e->channel;
	m.door = e->door;
	if (e->has_place) {
		place.lat = e->place_lat;
		place.long_ = e->place_long;
		m.place = &place;
	}
	m.attributes = ch->list;
	m.n_attributes = ch->n;
	m.requested_at_us = e->requested_at_us;
	m.owner = e->owner;
	m.deadline_us = e->deadline_us;
	return pack(b, &m.base, ret_len);
}

int entry_finish_history(struct entry *e, int64_t work_item)
{
	Centraleta__V1__RequestImported m = CENTRALETA__V1__REQUEST_IMPORTED__INIT;
	Centraleta__V1__Place place = CENTRALETA__V1__PLACE__INIT;

	if (e->kind != ENTRY_HISTORY || e->body)
		return 0;
	m.service = e->offer;
	m.channel = (Centraleta__V1__Channel)e->channel;
	m.door = e->door;
	if (e->has_place) {
		place.lat = e->place_lat;
		place.long_ = e->place_long;
		m.place = &place;
	}
	m.department = e->owner;
	m.work_item = work_item;
	m.state = (Centraleta__V1__RequestState)e->state;
	m.outcome = (Centraleta__V1__Outcome)e->outcome;
	m.requested_at_us = e->requested_at_us;
	m.closed_at_us = e->closed_at_us;
	m.deadline_us = e->deadline_us;
	uint8_t *body = malloc(protobuf_c_message_get_packed_size(&m.base) + 1);

	if (!body)
		return err_here(-ENOMEM);
	e->body_len = protobuf_c_message_pack(&m.base, body);
	e->body = body;
	e->work_item = work_item;
	return 0;
}

/* ---- the entry ------------------------------------------------------------------------------- */

/* where things begin in the scratch; only has_… of body, lists, frees may be missing */
struct places {
	size_t text[FIELD_N], lists, frees, body;
	bool has_lists, has_frees, has_body;
};

static int settle(struct entry **ret, const struct entry *from, const struct places *at,
		  struct buf *scratch)
{
	struct entry *e;
	int r = buf_err(scratch);

	e = r ? NULL : malloc(sizeof(*e) + scratch->len);
	if (!e) {
		buf_reset(scratch);
		return err_here(r ? r : -ENOMEM);
	}
	*e = *from;
	memcpy(e->memory, scratch->data, scratch->len);
	for (unsigned f = 0; f < FIELD_N; f++)
		e->text[f] = e->memory + at->text[f];
	e->lists = at->has_lists ? e->memory + at->lists : NULL;
	e->frees = at->has_frees ? e->memory + at->frees : NULL;
	e->body = at->has_body ? (const uint8_t *)e->memory + at->body : NULL;
	list_init(&e->link);
	buf_reset(scratch);
	*ret = e;
	return 0;
}

static void put_attributes(struct buf *b, const struct submission *s, const struct catalog *c,
			   const struct offer *o, struct places *at)
{
	struct buf none = BUF_INIT;

	at->lists = b->len;
	submission_attributes(s, c, o, b, &none);
	at->has_lists = b->len > at->lists;
	buf_ch(b, '\0');
	if (none.len) {
		at->frees = put(b, none.data, none.len);
		at->has_frees = true;
	}
	if (buf_err(&none))
		b->err = b->err ? b->err : buf_err(&none);
	buf_fini(&none);
}

static void put_key(struct buf *b, const struct submission *s, const uint8_t unique[static 16],
		    struct places *at)
{
	char made[5 + 32 + 1] = "auto:";

	if (s->text[FIELD_KEY].len) {
		at->text[FIELD_KEY] = put(b, s->text[FIELD_KEY].s, s->text[FIELD_KEY].len);
		return;
	}
	sodium_bin2hex(made + 5, 33, unique, 16);
	at->text[FIELD_KEY] = put(b, made, strlen(made));
}

static void from_checked(struct entry *e, const struct submission *s, const struct checked *k,
			 const struct offer *o, const struct door *d)
{
	e->kind = s->has_history ? ENTRY_HISTORY : ENTRY_REQUEST;
	e->language = k->language;
	e->town = o->town->id;
	e->door = d->id;
	e->offer = o->id;
	e->owner = k->owner;
	e->channel = k->channel;
	e->state = k->state;
	e->outcome = k->outcome;
	e->has_place = s->has_place;
	e->has_contact = k->has_contact;
	e->place_lat = s->place_lat;
	e->place_long = s->place_long;
	e->requested_at_us = k->requested_at_us;
	e->deadline_us = k->deadline_us;
	e->closed_at_us = k->closed_at_us;
	e->updated_at_us = k->closed_at_us ? k->closed_at_us : k->requested_at_us;
	submission_hash(s, e->body_hash);
}

int entry_new(struct entry **ret, const struct submission *s, const struct checked *k,
	      const struct catalog *c, const struct offer *o, const struct door *d,
	      const uint8_t unique[static 16], const struct trace *trace, struct buf *scratch)
{
	struct entry e = { .trace = *trace };
	struct places at = { 0 };
	struct choices ch;

	if (!o->town->lanes_n)
		return err_here(-EINVAL);
	from_checked(&e, s, k, o, d);
	buf_reset(scratch);
	for (unsigned f = 0; f < FIELD_N; f++)
		if (f != FIELD_KEY)
			at.text[f] = put(scratch, s->text[f].s ? s->text[f].s : "", s->text[f].len);
	put_key(scratch, s, unique, &at);
	if (!buf_err(scratch)) {
		const char *key = scratch->data + at.text[FIELD_KEY];
		uint64_t h = key_hash(e.town, e.door, key, strlen(key));

		e.key_lane = (uint8_t)(h % KEY_LANES);
		e.lane = o->town->lanes[h / KEY_LANES % o->town->lanes_n];
	}
	put_attributes(scratch, s, c, o, &at);
	if (e.kind == ENTRY_REQUEST) {
		choose(&ch, s, c, o);
		at.body = pack_received(scratch, &e, &ch, &e.body_len);
		at.has_body = true;
	}
	return settle(ret, &e, &at, scratch);
}

int entry_new_survey(struct entry **ret, const struct survey_input *in, const struct trace *trace,
		     struct buf *scratch)
{
	struct entry e = {
		.kind = ENTRY_SURVEY, .trace = *trace, .lane = (uint8_t)in->lane, .town = in->town,
		.request = in->request, .closing_seq = in->closing_seq, .score = in->score,
		.language = in->language, .requested_at_us = in->at_us,
	};
	Centraleta__V1__RequestSurveyAnswered m = CENTRALETA__V1__REQUEST_SURVEY_ANSWERED__INIT;
	struct places at = { .has_body = true };
	char key[32];

	buf_reset(scratch);
	put(scratch, "", 0); /* all other texts point here */
	at.text[FIELD_DESCRIPTION] = put(scratch, in->comment, strlen(in->comment));
	/* two answers for one request never share a group */
	snprintf(key, sizeof(key), "survey:%lld", (long long)in->request);
	at.text[FIELD_KEY] = put(scratch, key, strlen(key));
	m.closing_seq = in->closing_seq;
	m.score = in->score;
	m.occurred_at_us = in->at_us;
	at.body = pack(scratch, &m.base, &e.body_len);
	return settle(ret, &e, &at, scratch);
}

void entry_free(struct entry *e)
{
	if (!e)
		return;
	if (e->kind == ENTRY_HISTORY)
		free((void *)(uintptr_t)e->body);
	list_del(&e->link);
	free(e);
}

int entry_compare(const struct entry *a, const struct entry *b)
{
	if (a->key_lane != b->key_lane)
		return a->key_lane < b->key_lane ? -1 : 1;
	if (a->town != b->town)
		return a->town < b->town ? -1 : 1;
	if (a->door != b->door)
		return a->door < b->door ? -1 : 1;
	return strcmp(a->text[FIELD_KEY], b->text[FIELD_KEY]);
}
