/*
 * who - whose key it is, and what it may see and change
 *
 * On this machine a Hello's text is the key; under CURVE it is the connection's, which ZeroMQ has
 * proved, and the text may be left out.
 *
 * What a filter leaves out is acknowledged under its consumer name. So a key with topics has names of
 * its own: else it could move the position of a name that is meant to get everything, past work
 * that it may not even see.
 */
#include "services/dispatch/dispatch.h"

#include <sodium.h>

#include "common/base/err.h"
#include "common/domain/apikey.h"

enum bus_verdict who_admit(void *ctx, const char *key, char ret_user[static BUS_USER_MAX])
{
	const struct dispatch *d = ctx;

	return d->directory ? directory_admit(d->directory, key, ret_user) : BUS_NOT_YET;
}

static const struct key *open_key(struct dispatch *d, const char *text)
{
	uint8_t hash[APIKEY_HASH_LEN];
	struct apikey key;

	if (!apikey_parse(text, strlen(text), &key))
		return NULL;
	apikey_hash(&key, d->service->secret, hash);
	return directory_open(d->directory, &key, hash);
}

/* Under CURVE the connection's key speaks; a text beside it must be the same department's. */
const struct key *who_says(struct dispatch *d, const char *user, const char *text)
{
	const struct key *said = *text ? open_key(d, text) : NULL;
	const struct key *own = *user ? directory_key(d->directory, user) : said;

	if (*user && *text && (!own || !said || said->department != own->department))
		return NULL;
	return own;
}

static bool may_see(const struct key *k, const char *slug)
{
	for (size_t i = 0; i < k->n_topics; i++)
		if (!strcmp(k->topics[i], slug))
			return true;
	return !k->n_topics;
}

bool who_sees(struct dispatch *d, const struct key *k, const Centraleta__V1__Hello *h, int32_t **ret,
	      size_t *ret_n, struct refusal *why)
{
	const struct department *e = directory_department(d->directory, k->department);
	char *const *slugs = h->n_services ? h->services : k->topics;
	size_t n = h->n_services ? h->n_services : k->n_topics;
	_cleanup_(freep) int32_t *services = calloc(n + 1, sizeof(*services));

	if (!services)
		return refuse(why, REFUSED_UNAVAILABLE, "out of memory");
	for (size_t i = 0; i < n; i++) {
		services[i] = directory_service(d->directory, e->jurisdiction, slugs[i]);
		if (!services[i])
			return refuse(why, REFUSED_INVALID, "services[%zu]: the town has no \"%s\"", i,
				      slugs[i]);
		if (!may_see(k, slugs[i]))
			return refuse(why, REFUSED_FOREIGN, "services[%zu]: the key isn't for \"%s\"", i,
				      slugs[i]);
	}
	*ret = n ? steal(services) : NULL;
	*ret_n = n;
	return true;
}

/* ---- its consumers ------------------------------------------------------------------------------- */

enum { TAIL_BYTES = 6, TAIL_CHARS = 1 + 2 * TAIL_BYTES }; /* "@" and hex digits */

static void tail_of(const struct key *k, char ret[static TAIL_CHARS + 1])
{
	crypto_generichash_state h;
	uint8_t hash[crypto_generichash_BYTES_MIN];

	crypto_generichash_init(&h, NULL, 0, sizeof(hash));
	for (size_t i = 0; i < k->n_topics; i++) /* sorted; a slug has no NUL */
		crypto_generichash_update(&h, (const uint8_t *)k->topics[i], strlen(k->topics[i]) + 1);
	crypto_generichash_final(&h, hash, sizeof(hash));
	ret[0] = '@';
	sodium_bin2hex(ret + 1, TAIL_CHARS, hash, TAIL_BYTES);
}

bool who_is(const struct key *k, const char *consumer, char ret[static NAME_MAX_CHARS + 1],
	    struct refusal *why)
{
	char tail[TAIL_CHARS + 1] = "";

	if (k->n_topics)
		tail_of(k, tail);
	if (strlen(consumer) + strlen(tail) > NAME_MAX_CHARS)
		return refuse(why, REFUSED_INVALID, "consumer: of a key with topics 1 to %d characters",
			      NAME_MAX_CHARS - TAIL_CHARS);
	stpcpy(stpcpy(ret, consumer), tail);
	return true;
}

/* ---- its updates ---------------------------------------------------------------------------------- */

void speaker_fini(struct speaker *s)
{
	free(s->services);
}

bool who_speaks(struct dispatch *d, const struct peer *p, struct speaker *ret, struct refusal *why)
{
	const struct department *e = directory_department(d->directory, p->department);
	const struct key *k = directory_key(d->directory, p->key_id);
	int32_t *services = NULL;

	if (!e || !k)
		return refuse(why, REFUSED_FOREIGN, "work_item: not one of this department");
	if (k->n_topics) {
		services = calloc(k->n_topics, sizeof(*services));
		if (!services)
			return refuse(why, REFUSED_UNAVAILABLE, "out of memory");
	}
	for (size_t i = 0; i < k->n_topics; i++) /* 0, which no work item has, where there is none by that slug */
		services[i] = directory_service(d->directory, e->jurisdiction, k->topics[i]);
	*ret = (struct speaker){ .jurisdiction = e->jurisdiction, .department = e->department,
				 .triage = e->triage, .services = services, .n_services = k->n_topics };
	return true;
}
