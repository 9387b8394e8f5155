/*
 * apikey - made from the system's random source, without modulo bias
 */
#include <stdio.h>
#include "common/domain/apikey.h"
#include "common/domain/mac.h"

#define PREFIX "cen_live_"
#define PREFIX_LEN 9
#define SECRET_AT (PREFIX_LEN + APIKEY_ID_LEN + 1)

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static void fill(char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s[i] = base62[randombytes_uniform(62)];
}

static bool all_base62(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!s[i] || !strchr(base62, s[i]))
			return false;
	}
	return true;
}

void apikey_new(struct apikey *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->text, PREFIX, PREFIX_LEN);
	fill(ret->text + PREFIX_LEN, APIKEY_ID_LEN);
	ret->text[SECRET_AT - 1] = '_';
	fill(ret->text + SECRET_AT, APIKEY_LEN - SECRET_AT);
	memcpy(ret->id, ret->text + PREFIX_LEN, APIKEY_ID_LEN);
}

bool apikey_parse(const char *s, size_t len, struct apikey *ret)
{
	if (len != APIKEY_LEN || memcmp(s, PREFIX, PREFIX_LEN) || s[SECRET_AT - 1] != '_' ||
	    !all_base62(s + PREFIX_LEN, APIKEY_ID_LEN) ||
	    !all_base62(s + SECRET_AT, APIKEY_LEN - SECRET_AT))
		return false;
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->text, s, APIKEY_LEN);
	memcpy(ret->id, s + PREFIX_LEN, APIKEY_ID_LEN);
	return true;
}

void apikey_hash(const struct apikey *k, struct bytes secret, uint8_t ret[static APIKEY_HASH_LEN])
{
	mac("centraleta api key", secret, k->text, APIKEY_LEN, ret, APIKEY_HASH_LEN);
}
