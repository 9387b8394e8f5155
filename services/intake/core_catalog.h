#pragma once
/*
 * core_catalog - towns, services, doors and keys in memory
 *
 * Built once from the store's rows, then never changed: a new revision is a new catalogue, and the
 * old one is freed with its last reference. Every look-up is one probe of a hash table. Strings
 * live as long as the catalogue. Pure; -ENOMEM is the only failure.
 */
#include "common/base/base.h"
#include "common/base/ids.h"
#include "common/base/zone.h"
#include "common/domain/apikey.h"
#include "services/intake/core_text.h"

enum datatype { DATA_STRING, DATA_NUMBER, DATA_DATETIME, DATA_TEXT, DATA_SINGLE, DATA_MULTI };

struct value { /* of a list attribute */
	struct value *next;
	const char *key, *name;
};

struct attribute {
	struct attribute *next; /* by ord */
	const char *code, *datatype_description, *description;
	enum datatype datatype;
	bool variable, required;
	int ord;
	size_t index; /* among its service's, from 0 */
	struct value *values, **values_end;
};

struct offer { /* what can be asked for: Open311's service */
	struct offer *next;
	int32_t id;
	struct town *town;
	const char *code, *name, *description, *keywords, *group, *notice;
	bool retired;
	size_t attributes_n;
	struct attribute *attributes, **attributes_end;
};

struct town {
	struct town *next;
	int32_t id;
	const char *slug, *jurisdiction_id, *name;
	enum lang language;
	int32_t triage; /* department */
	int64_t triage_us; /* birth deadline after the request */
	bool boxed;
	double min_lat, min_long, max_lat, max_long;
	struct zone *zone;
	uint8_t lanes[LANE_MAX];
	unsigned lanes_n; /* 0: can't take requests */
	bool retired;
	struct offer *offers, **offers_end;
};

struct department {
	int32_t id;
	struct town *town;
	const char *slug, *name;
};

struct door {
	int32_t id;
	struct town *town;
	int channel;
};

struct key {
	const char *id;
	struct door *door;
	bool submit, import;
	bool revoked; /* then only catalog_key_curve() finds it */
	uint8_t hash[APIKEY_HASH_LEN]; /* all 0: it has no text */
	const char *curve; /* CURVE public key in Z85; NULL or "": none */
};

struct catalog;

int catalog_new(struct catalog **ret, int64_t revision) _must_check_;
struct catalog *catalog_ref(struct catalog *c);
void catalog_unref(struct catalog *c); /* NULL is fine */
DEFINE_CLEANUP(struct catalog *, catalog_unref)

/* ---- building: what p points to is copied; towns first, then the rest in any order ---------- */

/* zone: -ENOENT if there is no such zone; the town's next, offers and zone are set here */
int catalog_add_town(struct catalog *c, const struct town *t, const char *zone) _must_check_;
/* rows of unknown towns, services or doors are left out: 0 */
int catalog_add_lane(struct catalog *c, int32_t town, unsigned lane) _must_check_;
int catalog_add_offer(struct catalog *c, int32_t town, const struct offer *o) _must_check_;
int catalog_add_attribute(struct catalog *c, int32_t offer, const struct attribute *a) _must_check_;
int catalog_add_value(struct catalog *c, int32_t offer, const char *code, const char *key,
		      const char *name) _must_check_;
int catalog_add_department(struct catalog *c, int32_t town, int32_t id, const char *slug,
			   const char *name) _must_check_;
int catalog_add_door(struct catalog *c, int32_t town, int32_t id, int channel) _must_check_;
int catalog_add_key(struct catalog *c, const struct key *k, int32_t door) _must_check_;
/* the newest of the rows' times: with the revision it makes the changeset */
void catalog_saw_time(struct catalog *c, int64_t at_us);

/* ---- look-up: NULL = there is none ---------------------------------------------------------- */

struct town *catalog_towns(const struct catalog *c);
size_t catalog_towns_n(const struct catalog *c); /* without retired ones */
int64_t catalog_revision(const struct catalog *c);
/*
 * Moment of the newest change as told by the rows, plus a microsecond a revision: sorts by time,
 * differs after every change, and is the same in all processes.
 */
int64_t catalog_changeset_us(const struct catalog *c);
struct town *catalog_town(const struct catalog *c, int32_t id);
struct town *catalog_jurisdiction(const struct catalog *c, const char *jurisdiction_id, size_t len);
struct offer *catalog_offer(const struct catalog *c, int32_t id);
struct offer *catalog_code(const struct catalog *c, const struct town *t, const char *code, size_t len);
struct attribute *catalog_attribute(const struct catalog *c, const struct offer *o, const char *code,
				    size_t len);
struct value *catalog_value(const struct catalog *c, const struct offer *o,
			    const struct attribute *a, const char *key, size_t len);
struct department *catalog_department(const struct catalog *c, int32_t id);
struct department *catalog_department_slug(const struct catalog *c, const struct town *t,
					   const char *slug, size_t len);
struct door *catalog_door(const struct catalog *c, int32_t id);
struct key *catalog_key_id(const struct catalog *c, const char *id);
struct key *catalog_key_curve(const struct catalog *c, const char *curve); /* also a revoked one */
/* the key whose text this is; hashes are compared in constant time */
struct key *catalog_key(const struct catalog *c, struct bytes secret, const char *text, size_t len);
