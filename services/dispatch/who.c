/*
 * who - whose key it is, and what it may see
 *
 * On this machine a Hello's text is the key; under CURVE it is the connection's, which ZeroMQ has
 * proved, and the text may be left out.
 */
#include "services/dispatch/dispatch.h"

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
