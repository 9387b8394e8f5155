#pragma once
/*
 * core_guess - who tries citizens' codes: wrong ones are counted by address and in all
 *
 * A table of fixed size; addresses share places when there are too many, which only makes the limit
 * stricter for them. IPv6 counts by /64. Pure; time is passed in.
 */
#include "common/base/base.h"

#define GUESS_WINDOW_MS 600000 /* a wrong code is forgotten this long after its window began */
#define GUESS_PLACES 4096

struct guess {
	unsigned address_max, total_max; /* wrong ones in a window */
	uint64_t salt; /* random: places can't be chosen */
	uint64_t total_from_ms;
	unsigned total;
	struct guess_place {
		uint64_t from_ms;
		unsigned wrong;
	} places[GUESS_PLACES];
};

/* may this address try another code? */
bool guess_allowed(const struct guess *g, const char *address, uint64_t now_ms);
void guess_wrong(struct guess *g, const char *address, uint64_t now_ms);
