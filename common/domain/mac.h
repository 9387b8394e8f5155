#pragma once
/*
 * mac - keyed BLAKE2b under the installation's secret, one key for each purpose
 */
#include <sodium.h>
#include "common/base/base.h"

/* The key is BLAKE2b-256(purpose, NUL, secret), so that no two uses share one. */
static inline _unused_ void mac_begin(crypto_generichash_state *state, const char *purpose,
				      struct bytes secret, size_t out_len)
{
	crypto_generichash_state derive;
	uint8_t key[32];

	assert(secret.len >= 32);
	crypto_generichash_init(&derive, NULL, 0, sizeof(key));
	crypto_generichash_update(&derive, (const uint8_t *)purpose, strlen(purpose) + 1);
	crypto_generichash_update(&derive, secret.data, secret.len);
	crypto_generichash_final(&derive, key, sizeof(key));
	crypto_generichash_init(state, key, sizeof(key), out_len);
	sodium_memzero(key, sizeof(key));
	sodium_memzero(&derive, sizeof(derive));
}

static inline _unused_ void mac(const char *purpose, struct bytes secret, const void *data,
				size_t len, uint8_t *ret, size_t ret_len)
{
	crypto_generichash_state state;

	mac_begin(&state, purpose, secret, ret_len);
	crypto_generichash_update(&state, data, len);
	crypto_generichash_final(&state, ret, ret_len);
	sodium_memzero(&state, sizeof(state));
}
