/*
 * Sorted arrays: built once, searched often.
 */
#include "services/dispatch/directory.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/err.h"
#include "common/base/text.h"

struct key {
	char id[APIKEY_ID_LEN + 1];
	int32_t department;
	uint8_t hash[APIKEY_HASH_LEN];
};

struct service_slug {
	int32_t jurisdiction, service;
	char slug[64];
};

struct directory {
	struct key *keys; /* by id */
	struct department *departments; /* by number */
	struct service_slug *services; /* by town and slug */
	size_t n_keys, n_departments, n_services;
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct key *)a)->id, ((const struct key *)b)->id);
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

static void take_keys(struct directory *d, const struct rows *r)
{
	for (size_t i = 0; i < rows_count(r); i++) {
		struct key *k = &d->keys[d->n_keys];
		struct bytes hash = rows_bytes(r, i, 2);

		if (hash.len != APIKEY_HASH_LEN)
			continue;
		copy_text(k->id, sizeof(k->id), rows_text(r, i, 0));
		k->department = (int32_t)rows_int(r, i, 1);
		memcpy(k->hash, hash.data, hash.len);
		d->n_keys++;
	}
	qsort(d->keys, d->n_keys, sizeof(*d->keys), by_key);
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

	if (!d)
		return err_here(-ENOMEM);
	d->keys = calloc(rows_count(rows[DIRECTORY_KEYS]) + 1, sizeof(*d->keys));
	d->departments = calloc(rows_count(rows[DIRECTORY_DEPARTMENTS]) + 1, sizeof(*d->departments));
	d->services = calloc(rows_count(rows[DIRECTORY_SERVICES]) + 1, sizeof(*d->services));
	if (!d->keys || !d->departments || !d->services)
		return err_here(-ENOMEM);
	take_keys(d, rows[DIRECTORY_KEYS]);
	take_departments(d, rows[DIRECTORY_DEPARTMENTS]);
	take_services(d, rows[DIRECTORY_SERVICES]);
	*ret = steal(d);
	return 0;
}

void directory_free(struct directory *d)
{
	if (!d)
		return;
	free(d->keys);
	free(d->departments);
	free(d->services);
	free(d);
}

size_t directory_keys(const struct directory *d)
{
	return d->n_keys;
}

static const struct key *find_key(const struct directory *d, const char *id)
{
	struct key k;

	copy_text(k.id, sizeof(k.id), id);
	return bsearch(&k, d->keys, d->n_keys, sizeof(k), by_key);
}

const struct department *directory_open(const struct directory *d, const struct apikey *key,
					const uint8_t hash[static APIKEY_HASH_LEN])
{
	const struct key *k = find_key(d, key->id);

	if (!k || !text_equal_secret(k->hash, hash, APIKEY_HASH_LEN))
		return NULL;
	return directory_department(d, k->department);
}

bool directory_valid(const struct directory *d, const char *key_id, int32_t department)
{
	const struct key *k = find_key(d, key_id);

	return k && k->department == department && directory_department(d, department);
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
