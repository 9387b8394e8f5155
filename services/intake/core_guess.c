/*
 * core_guess - fixed windows of ten minutes
 *
 * 50 bits of code against 600 tries in ten minutes from everywhere: a guesser needs, on average,
 * far longer than a request lives, and one address alone gets tired after twenty.
 */
#include <arpa/inet.h>
#include "services/intake/core_guess.h"

/* an IPv4 address whole, an IPv6 by its first 8 bytes, anything else as text */
static uint64_t hash_of(const struct guess *g, const char *address)
{
	struct in6_addr six;
	struct in_addr four;
	const uint8_t *p = (const uint8_t *)address;
	size_t n = strlen(address);
	uint64_t h = g->salt ^ 1469598103934665603u;

	if (inet_pton(AF_INET6, address, &six) == 1) {
		p = six.s6_addr;
		n = 8;
	} else if (inet_pton(AF_INET, address, &four) == 1) {
		p = (const uint8_t *)&four;
		n = sizeof(four);
	}
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 1099511628211u;
	h ^= h >> 29;
	return h * 0xbf58476d1ce4e5b9u >> 32;
}

bool guess_allowed(const struct guess *g, const char *address, uint64_t now_ms)
{
	const struct guess_place *p = &g->places[hash_of(g, address) % GUESS_PLACES];

	if (now_ms - g->total_from_ms < GUESS_WINDOW_MS && g->total >= g->total_max)
		return false;
	return now_ms - p->from_ms >= GUESS_WINDOW_MS || p->wrong < g->address_max;
}

void guess_wrong(struct guess *g, const char *address, uint64_t now_ms)
{
	struct guess_place *p = &g->places[hash_of(g, address) % GUESS_PLACES];

	if (now_ms - g->total_from_ms >= GUESS_WINDOW_MS) {
		g->total_from_ms = now_ms;
		g->total = 0;
	}
	if (now_ms - p->from_ms >= GUESS_WINDOW_MS) {
		p->from_ms = now_ms;
		p->wrong = 0;
	}
	g->total++;
	p->wrong++;
}
