/*
 * Sorted arrays: built once, searched often.
 */
#include "services/dispatch/directory.h"

#include <errno.h>
#include <stdio.h>

#include <sodium.h>

#include "common/base/err.h"
#include "common/base/text.h"

struct service_slug {
	int32_t jurisdiction, service;
	char slug[64];
};

struct directory {
	struct key *keys; /* by id, also revoked ones */
	const struct key **curves; /* those that have one, by it */
	struct department *departments; /* by number */
	struct service_slug *services; /* by town and slug */
	size_t n_keys, n_curves, n_departments, n_services, in_force;
	uint64_t lasts_ms;
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct key *)a)->id, ((const struct key *)b)->id);
}

static int by_curve(const void *a, const void *b)
{
	return strcmp((*(const struct key *const *)a)->curve, (*(const struct key *const *)b)->curve);
}

static int by_department(const void *a, const void *b)
{
	int32_t x = ((const struct department *)a)->department;
	int32_t y = ((const struct department *)b)->department;

	return (x > y) - (x < y);
}

static int by_service(const void *a, const void *b)
{
	const struct service_slug *x = a, *y = b;

	if (x->jurisdiction != y->jurisdiction)
		return x->jurisdiction < y->jurisdiction ? -1 : 1;
	return strcmp(x->slug, y->slug);
}

static void copy_text(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t sort_texts(char **texts, size_t n)
{
	size_t kept = 0;

	qsort(texts, n, sizeof(*texts), by_text);
	for (size_t i = 0; i < n; i++)
		if (!kept || strcmp(texts[kept - 1], texts[i]))
			texts[kept++] = texts[i];
	return kept;
}

/* "b,a,b" */
static int take_topics(struct key *k, const char *text)
{
	size_t n = *text != '\0';
	char *rest;

	for (const char *p = text; *p; p++)
		n += *p == ',';
	k->topics_text = rest = strdup(text);
	k->topics = calloc(n + 1, sizeof(*k->topics));
	if (!k->topics_text || !k->topics)
		return err_here(-ENOMEM);
	while (k->n_topics < n)
		k->topics[k->n_topics++] = strsep(&rest, ",");
	k->n_topics = sort_texts(k->topics, n);
	return 0;
}

static int take_key(struct directory *d, const struct rows *r, size_t i)
{
	struct key *k = &d->keys[d->n_keys];
	struct bytes hash = rows_bytes(r, i, 2);

	d->n_keys++;
	copy_text(k->id, sizeof(k->id), rows_text(r, i, 0));
	k->department = (int32_t)rows_int(r, i, 1);
	if (hash.len == sizeof(k->hash))
		memcpy(k->hash, hash.data, sizeof(k->hash));
	copy_text(k->curve, sizeof(k->curve), rows_text(r, i, 3));
	k->revoked = rows_int(r, i, 5);
	d->in_force += !k->revoked;
	if (!rows_null(r, i, 6))
		d->lasts_ms = MIN(d->lasts_ms, (uint64_t)rows_int(r, i, 6));
	return take_topics(k, rows_text(r, i, 4));
}

static int take_keys(struct directory *d, const struct rows *r)
{
	int k = 0;

	d->lasts_ms = UINT64_MAX;
	for (size_t i = 0; i < rows_count(r) && !k; i++)
		k = take_key(d, r, i);
	qsort(d->keys, d->n_keys, sizeof(*d->keys), by_key);
	for (size_t i = 0; i < d->n_keys; i++)
		if (*d->keys[i].curve)
			d->curves[d->n_curves++] = &d->keys[i];
	qsort(d->curves, d->n_curves, sizeof(*d->curves), by_curve);
	return k;
}

static void take_departments(struct directory *d, const struct rows *r)
{
	d->n_departments = rows_count(r);
	for (size_t i = 0; i < d->n_departments; i++) {
		struct department *e = &d->departments[i];

		e->department = (int32_t)rows_int(r, i, 0);
		e->jurisdiction = (int32_t)rows_int(r, i, 1);
		e->home_lane = (unsigned)rows_int(r, i, 2);
		copy_text(e->slug, sizeof(e->slug), rows_text(r, i, 3));
		copy_text(e->town, sizeof(e->town), rows_text(r, i, 4));
		copy_text(e->jurisdiction_id, sizeof(e->jurisdiction_id), rows_text(r, i, 5));
		e->triage = rows_int(r, i, 6) != 0;
	}
	qsort(d->departments, d->n_departments, sizeof(*d->departments), by_department);
}

static void take_services(struct directory *d, const struct rows *r)
{
	d->n_services = rows_count(r);
	for (size_t i = 0; i < d->n_services; i++) {
		d->services[i].service = (int32_t)rows_int(r, i, 0);
		d->services[i].jurisdiction = (int32_t)rows_int(r, i, 1);
		copy_text(d->services[i].slug, sizeof(d->services[i].slug), rows_text(r, i, 2));
	}
	qsort(d->services, d->n_services, sizeof(*d->services), by_service);
}

int directory_new(struct directory **ret, const struct rows *const rows[static DIRECTORY_N])
{
	_cleanup_(directory_freep) struct directory *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_here(-ENOMEM);
	d->keys = calloc(rows_count(rows[DIRECTORY_KEYS]) + 1, sizeof(*d->keys));
	d->curves = calloc(rows_count(rows[DIRECTORY_KEYS]) + 1, sizeof(*d->curves));
	d->departments = calloc(rows_count(rows[DIRECTORY_DEPARTMENTS]) + 1, sizeof(*d->departments));
	d->services = calloc(rows_count(rows[DIRECTORY_SERVICES]) + 1, sizeof(*d->services));
	if (!d->keys || !d->curves || !d->departments || !d->services)
		return err_here(-ENOMEM);
	r = take_keys(d, rows[DIRECTORY_KEYS]);
	if (r)
		return r;
	take_departments(d, rows[DIRECTORY_DEPARTMENTS]);
	take_services(d, rows[DIRECTORY_SERVICES]);
	*ret = steal(d);
	return 0;
}

void directory_free(struct directory *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n_keys; i++) {
		free(d->keys[i].topics_text);
		free(d->keys[i].topics);
	}
	free(d->keys);
	free(d->curves);
	free(d->departments);
	free(d->services);
	free(d);
}

size_t directory_keys(const struct directory *d)
{
	return d->in_force;
}

uint64_t directory_lasts_ms(const struct directory *d)
{
	return d->lasts_ms;
}

static bool opens(const struct directory *d, const struct key *k)
{
	return !k->revoked && directory_department(d, k->department);
}

const struct key *directory_key(const struct directory *d, const char *key_id)
{
	const struct key *found;
	struct key k;

	copy_text(k.id, sizeof(k.id), key_id);
	found = bsearch(&k, d->keys, d->n_keys, sizeof(k), by_key);
	return found && opens(d, found) ? found : NULL;
}

const struct key *directory_open(const struct directory *d, const struct apikey *key,
				 const uint8_t hash[static APIKEY_HASH_LEN])
{
	const struct key *k = directory_key(d, key->id);

	return k && !sodium_is_zero(k->hash, sizeof(k->hash)) &&
	       text_equal_secret(k->hash, hash, APIKEY_HASH_LEN) ? k : NULL;
}

enum bus_verdict directory_admit(const struct directory *d, const char *curve,
				 char ret_id[static BUS_USER_MAX])
{
	struct key searched;
	const struct key *k = &searched, **found;

	copy_text(searched.curve, sizeof(searched.curve), curve);
	found = bsearch(&k, d->curves, d->n_curves, sizeof(*d->curves), by_curve);
	if (!found)
		return BUS_UNKNOWN;
	if (!opens(d, *found))
		return BUS_REVOKED;
	copy_text(ret_id, BUS_USER_MAX, (*found)->id);
	return BUS_ADMITTED;
}

bool directory_valid(const struct directory *d, const char *key_id, int32_t department)
{
	const struct key *k = directory_key(d, key_id);

	return k && k->department == department;
}

const struct department *directory_department(const struct directory *d, int32_t department)
{
	const struct department e = { .department = department };

	return bsearch(&e, d->departments, d->n_departments, sizeof(e), by_department);
}

int32_t directory_service(const struct directory *d, int32_t jurisdiction, const char *slug)
{
	struct service_slug e = { .jurisdiction = jurisdiction };
	const struct service_slug *s;

	copy_text(e.slug, sizeof(e.slug), slug);
	s = bsearch(&e, d->services, d->n_services, sizeof(e), by_service);
	return s ? s->service : 0;
}
