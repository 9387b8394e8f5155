#pragma once
/*
 * code - the citizen's secret for one request: XXXX-XXXX-XXXX
 *
 * Crockford base32: 1 character of lane, 10 of a keyed BLAKE2b over (lane, request, turn), 1 check
 * character (sum of position-weighted values modulo 31). Derived, so it can be told again; raising
 * turn revokes it. The store keeps a second keyed hash of it for look-up. Reading accepts lower
 * case, O as 0, I and L as 1, and leaves '-' and spaces out.
 */
#include "common/base/base.h"

#define CODE_LEN 14 /* with its two '-' */
#define CODE_HASH_LEN 16

void code_make(struct bytes secret, unsigned lane, int64_t request, unsigned turn,
	       char ret[static CODE_LEN + 1]);
/* canonical form and lane; false: not a code (also when only the check character is wrong) */
bool code_parse(const char *s, size_t len, char ret[static CODE_LEN + 1], unsigned *ret_lane);
void code_hash(struct bytes secret, const char code[static CODE_LEN + 1],
	       uint8_t ret[static CODE_HASH_LEN]);
