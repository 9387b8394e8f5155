#pragma once
/*
 * apikey - cen_live_<id>_<secret>: made by the operators' command, checked by intake and dispatch
 *
 * id is 12 and secret 43 characters of base62 (256 random bits). The store keeps
 * BLAKE2b-256(whole key) under the installation's secret (32 bytes or more), so a dump of the
 * store can't be searched for weak keys and a key is compared in constant time.
 */
#include "common/base/base.h"

#define APIKEY_ID_LEN 12
#define APIKEY_LEN (9 + APIKEY_ID_LEN + 1 + 43)
#define APIKEY_HASH_LEN 32

struct apikey {
	char text[APIKEY_LEN + 1]; /* shown once */
	char id[APIKEY_ID_LEN + 1];
};

void apikey_new(struct apikey *ret);
/* false: not of this form */
bool apikey_parse(const char *s, size_t len, struct apikey *ret);
void apikey_hash(const struct apikey *k, struct bytes secret, uint8_t ret[static APIKEY_HASH_LEN]);
