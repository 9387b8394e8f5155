/*
 * core_catalog - one arena and one hash table
 *
 * Rows come once and stay, so everything is carved from chunks and freed with them. One table
 * serves all look-ups: an entry is found by what it is, by a number that narrows it (the town of a
 * service code), and by a name.
 */
#include <errno.h>
#include <sodium.h>
#include "common/base/err.h"
#include "common/base/text.h"
#include "services/intake/core_catalog.h"

#define CHUNK (64u << 10)

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(16) uint8_t data[];
};

enum what { TOWN_ID, TOWN_NAME, OFFER_ID, OFFER_CODE, ATTRIBUTE, VALUE, DEPARTMENT_ID,
	DEPARTMENT_SLUG, DOOR_ID, KEY_ID, KEY_CURVE };

struct node {
	struct node *next;
	uint64_t hash;
	enum what what;
	int64_t scope;
	const char *name; /* "" where the scope says all */
	size_t len;
	void *value;
};

struct catalog {
	unsigned refs;
	int64_t revision, newest_us;
	struct chunk *chunks;
	struct node **buckets;
	size_t buckets_n, nodes_n, towns_n;
	struct town *towns, **towns_end;
};

static void *carve(struct catalog *c, size_t size)
{
	struct chunk *k = c->chunks;

	size = (size + 15) & ~(size_t)15;
	if (!k || k->size - k->used < size) {
		size_t room = MAX(size, (size_t)CHUNK);

		k = calloc(1, sizeof(*k) + room);
		if (!k)
			return NULL;
		k->size = room;
		k->next = c->chunks;
		c->chunks = k;
	}
	k->used += size;
	return k->data + k->used - size;
}

static const char *keep(struct catalog *c, const char *s, bool *ok)
{
	size_t len = s ? strlen(s) : 0;
	char *p = carve(c, len + 1);

	if (!p) {
		*ok = false;
		return "";
	}
	if (len)
		memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

static uint64_t hash_of(enum what what, int64_t scope, const char *name, size_t len)
{
	uint64_t h = 1469598103934665603u ^ ((uint64_t)scope * 0x9e3779b97f4a7c15u + what);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 1099511628211u;
	return h ^ h >> 32;
}

static void *find(const struct catalog *c, enum what what, int64_t scope, const char *name, size_t len)
{
	uint64_t h = hash_of(what, scope, name, len);

	for (const struct node *n = c->buckets[h & (c->buckets_n - 1)]; n; n = n->next)
		if (n->hash == h && n->what == what && n->scope == scope && n->len == len &&
		    !memcmp(n->name, name, len))
			return n->value;
	return NULL;
}

static int grow(struct catalog *c)
{
	size_t n = c->buckets_n * 2;
	struct node **to = calloc(n, sizeof(*to));

	if (!to)
		return err_here(-ENOMEM);
	for (size_t i = 0; i < c->buckets_n; i++) {
		for (struct node *e = c->buckets[i], *next; e; e = next) {
			next = e->next;
			e->next = to[e->hash & (n - 1)];
			to[e->hash & (n - 1)] = e;
		}
	}
	free(c->buckets);
	c->buckets = to;
	c->buckets_n = n;
	return 0;
}

/* name lives in the arena; what is already there stays (unique keys of the store) */
static int put(struct catalog *c, enum what what, int64_t scope, const char *name, void *value)
{
	size_t len = strlen(name);
	struct node *n;
	int r;

	if (c->nodes_n >= c->buckets_n) {
		r = grow(c);
		if (r)
			return r;
	}
	n = carve(c, sizeof(*n));
	if (!n)
		return err_here(-ENOMEM);
	*n = (struct node){ .hash = hash_of(what, scope, name, len), .what = what, .scope = scope,
			    .name = name, .len = len, .value = value };
	n->next = c->buckets[n->hash & (c->buckets_n - 1)];
	c->buckets[n->hash & (c->buckets_n - 1)] = n;
	c->nodes_n++;
	return 0;
}

int catalog_new(struct catalog **ret, int64_t revision)
{
	struct catalog *c = calloc(1, sizeof(*c));

	if (!c)
		return err_here(-ENOMEM);
	c->refs = 1;
	c->revision = revision;
	c->towns_end = &c->towns;
	c->buckets_n = 256;
	c->buckets = calloc(c->buckets_n, sizeof(*c->buckets));
	if (!c->buckets) {
		free(c);
		return err_here(-ENOMEM);
	}
	*ret = c;
	return 0;
}

struct catalog *catalog_ref(struct catalog *c)
{
	c->refs++;
	return c;
}

void catalog_unref(struct catalog *c)
{
	if (!c || --c->refs)
		return;
	for (struct town *t = c->towns; t; t = t->next)
		zone_free(t->zone);
	for (struct chunk *k = c->chunks, *next; k; k = next) {
		next = k->next;
		free(k);
	}
	free(c->buckets);
	free(c);
}

int catalog_add_town(struct catalog *c, const struct town *from, const char *zone)
{
	struct town *t = carve(c, sizeof(*t));
	bool ok = t;
	int r;

	if (!t)
		return err_here(-ENOMEM);
	*t = *from;
	t->next = NULL;
	t->slug = keep(c, from->slug, &ok);
	t->jurisdiction_id = keep(c, from->jurisdiction_id, &ok);
	t->name = keep(c, from->name, &ok);
	t->lanes_n = 0;
	t->offers = NULL;
	t->offers_end = &t->offers;
	t->zone = NULL;
	if (!ok)
		return err_here(-ENOMEM);
	r = zone_new(&t->zone, zone);
	if (r)
		return r;
	*c->towns_end = t;
	c->towns_end = &t->next;
	c->towns_n += !t->retired;
	r = put(c, TOWN_ID, t->id, "", t);
	if (!r && !t->retired)
		r = put(c, TOWN_NAME, 0, t->jurisdiction_id, t);
	return r;
}

int catalog_add_lane(struct catalog *c, int32_t town, unsigned lane)
{
	struct town *t = catalog_town(c, town);

	if (t && lane < LANE_MAX && t->lanes_n < LANE_MAX)
		t->lanes[t->lanes_n++] = (uint8_t)lane;
	return 0;
}

int catalog_add_offer(struct catalog *c, int32_t town, const struct offer *from)
{
	struct town *t = catalog_town(c, town);
	struct offer *o;
	bool ok = true;
	int r;

	if (!t)
		return 0;
	o = carve(c, sizeof(*o));
	if (!o)
		return err_here(-ENOMEM);
	*o = (struct offer){ .id = from->id, .town = t, .retired = from->retired };
	o->code = keep(c, from->code, &ok);
	o->name = keep(c, from->name, &ok);
	o->description = keep(c, from->description, &ok);
	o->keywords = keep(c, from->keywords, &ok);
	o->group = keep(c, from->group, &ok);
	o->notice = keep(c, from->notice, &ok);
	o->attributes_end = &o->attributes;
	if (!ok)
		return err_here(-ENOMEM);
	*t->offers_end = o;
	t->offers_end = &o->next;
	r = put(c, OFFER_ID, o->id, "", o);
	if (!r && !o->retired)
		r = put(c, OFFER_CODE, t->id, o->code, o);
	return r;
}

int catalog_add_attribute(struct catalog *c, int32_t offer, const struct attribute *from)
{
	struct offer *o = catalog_offer(c, offer);
	struct attribute *a;
	bool ok = true;

	if (!o)
		return 0;
	a = carve(c, sizeof(*a));
	if (!a)
		return err_here(-ENOMEM);
	*a = *from;
	a->next = NULL;
	a->code = keep(c, from->code, &ok);
	a->datatype_description = keep(c, from->datatype_description, &ok);
	a->description = keep(c, from->description, &ok);
	a->values = NULL;
	a->values_end = &a->values;
	a->index = o->attributes_n;
	if (!ok)
		return err_here(-ENOMEM);
	*o->attributes_end = a;
	o->attributes_end = &a->next;
	o->attributes_n++;
	return put(c, ATTRIBUTE, o->id, a->code, a);
}

/* one number for (service, attribute): both are small */
static int64_t value_scope(const struct offer *o, const struct attribute *a)
{
	return (int64_t)o->id << 20 | (int64_t)a->index;
}

int catalog_add_value(struct catalog *c, int32_t offer, const char *code, const char *key,
		      const char *name)
{
	struct offer *o = catalog_offer(c, offer);
	struct attribute *a = o ? catalog_attribute(c, o, code, strlen(code)) : NULL;
	struct value *v;
	bool ok = true;

	if (!a)
		return 0;
	v = carve(c, sizeof(*v));
	if (!v)
		return err_here(-ENOMEM);
	v->next = NULL;
	v->key = keep(c, key, &ok);
	v->name = keep(c, name, &ok);
	if (!ok)
		return err_here(-ENOMEM);
	*a->values_end = v;
	a->values_end = &v->next;
	return put(c, VALUE, value_scope(o, a), v->key, v);
}

int catalog_add_department(struct catalog *c, int32_t town, int32_t id, const char *slug,
			   const char *name)
{
	struct town *t = catalog_town(c, town);
	struct department *d;
	bool ok = true;
	int r;

	if (!t)
		return 0;
	d = carve(c, sizeof(*d));
	if (!d)
		return err_here(-ENOMEM);
	*d = (struct department){ .id = id, .town = t };
	d->slug = keep(c, slug, &ok);
	d->name = keep(c, name, &ok);
	if (!ok)
		return err_here(-ENOMEM);
	r = put(c, DEPARTMENT_ID, id, "", d);
	return r ? r : put(c, DEPARTMENT_SLUG, town, d->slug, d);
}

int catalog_add_door(struct catalog *c, int32_t town, int32_t id, int channel)
{
	struct town *t = catalog_town(c, town);
	struct door *d;

	if (!t)
		return 0;
	d = carve(c, sizeof(*d));
	if (!d)
		return err_here(-ENOMEM);
	*d = (struct door){ .id = id, .town = t, .channel = channel };
	return put(c, DOOR_ID, id, "", d);
}

int catalog_add_key(struct catalog *c, const struct key *from, int32_t door)
{
	struct door *d = catalog_door(c, door);
	struct key *k;
	bool ok = true;
	int r;

	if (!d)
		return 0;
	k = carve(c, sizeof(*k));
	if (!k)
		return err_here(-ENOMEM);
	*k = *from;
	k->id = keep(c, from->id, &ok);
	k->curve = keep(c, from->curve, &ok);
	k->door = d;
	if (!ok)
		return err_here(-ENOMEM);
	r = k->revoked ? 0 : put(c, KEY_ID, 0, k->id, k);
	return r || !*k->curve ? r : put(c, KEY_CURVE, 0, k->curve, k);
}

void catalog_saw_time(struct catalog *c, int64_t at_us)
{
	c->newest_us = MAX(c->newest_us, at_us);
}

struct town *catalog_towns(const struct catalog *c)
{
	return c->towns;
}

size_t catalog_towns_n(const struct catalog *c)
{
	return c->towns_n;
}

int64_t catalog_revision(const struct catalog *c)
{
	return c->revision;
}

int64_t catalog_changeset_us(const struct catalog *c)
{
	return c->newest_us + c->revision;
}

struct town *catalog_town(const struct catalog *c, int32_t id)
{
	return find(c, TOWN_ID, id, "", 0);
}

struct town *catalog_jurisdiction(const struct catalog *c, const char *jurisdiction_id, size_t len)
{
	return find(c, TOWN_NAME, 0, jurisdiction_id, len);
}

struct offer *catalog_offer(const struct catalog *c, int32_t id)
{
	return find(c, OFFER_ID, id, "", 0);
}

struct offer *catalog_code(const struct catalog *c, const struct town *t, const char *code, size_t len)
{
	return find(c, OFFER_CODE, t->id, code, len);
}

struct attribute *catalog_attribute(const struct catalog *c, const struct offer *o, const char *code,
				    size_t len)
{
	return find(c, ATTRIBUTE, o->id, code, len);
}

struct value *catalog_value(const struct catalog *c, const struct offer *o,
			    const struct attribute *a, const char *key, size_t len)
{
	return find(c, VALUE, value_scope(o, a), key, len);
}

struct department *catalog_department(const struct catalog *c, int32_t id)
{
	return find(c, DEPARTMENT_ID, id, "", 0);
}

struct department *catalog_department_slug(const struct catalog *c, const struct town *t,
					   const char *slug, size_t len)
{
	return find(c, DEPARTMENT_SLUG, t->id, slug, len);
}

struct door *catalog_door(const struct catalog *c, int32_t id)
{
	return find(c, DOOR_ID, id, "", 0);
}

struct key *catalog_key_id(const struct catalog *c, const char *id)
{
	return find(c, KEY_ID, 0, id, strlen(id));
}

struct key *catalog_key_curve(const struct catalog *c, const char *curve)
{
	return find(c, KEY_CURVE, 0, curve, strlen(curve));
}

struct key *catalog_key(const struct catalog *c, struct bytes secret, const char *text, size_t len)
{
	struct apikey given;
	uint8_t hash[APIKEY_HASH_LEN];
	struct key *k;

	if (!apikey_parse(text, len, &given))
		return NULL;
	k = find(c, KEY_ID, 0, given.id, strlen(given.id));
	apikey_hash(&given, secret, hash);
	return k && !sodium_is_zero(k->hash, sizeof(k->hash)) && text_equal_secret(hash, k->hash, sizeof(hash)) ? k : NULL;
}
