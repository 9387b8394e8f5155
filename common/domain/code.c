/*
 * code - derived, read with forgiveness, checked before anybody asks the store
 *
 * What is hashed has a fixed width and byte order, so that a code stays the same on every machine.
 */
#include "common/domain/code.h"
#include "common/domain/mac.h"

#define SYMBOLS 12

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static void put_be(uint8_t *out, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

static unsigned check_value(const uint8_t symbols[static SYMBOLS])
{
	unsigned sum = 0;

	for (unsigned i = 0; i < SYMBOLS - 1; i++)
		sum += (i + 1) * symbols[i];
	return sum % 31;
}

static void write_code(const uint8_t symbols[static SYMBOLS], char ret[static CODE_LEN + 1])
{
	char *p = ret;

	for (unsigned i = 0; i < SYMBOLS; i++) {
		if (i && i % 4 == 0)
			*p++ = '-';
		*p++ = alphabet[symbols[i]];
	}
	*p = '\0';
}

void code_make(struct bytes secret, unsigned lane, int64_t request, unsigned turn,
	       char ret[static CODE_LEN + 1])
{
	uint8_t said[16], hash[16], symbols[SYMBOLS];
	uint64_t bits = 0;

	assert(lane < 32);
	put_be(said, lane, 4);
	put_be(said + 4, (uint64_t)request, 8);
	put_be(said + 12, turn, 4);
	mac("centraleta code", secret, said, sizeof(said), hash, sizeof(hash));
	for (unsigned i = 0; i < 8; i++)
		bits = bits << 8 | hash[i];
	symbols[0] = (uint8_t)lane;
	for (unsigned i = 1; i <= 10; i++, bits >>= 5)
		symbols[i] = bits & 31;
	symbols[SYMBOLS - 1] = (uint8_t)check_value(symbols);
	write_code(symbols, ret);
}

static int symbol_of(char c)
{
	const char *at;

	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	at = c ? strchr(alphabet, c) : NULL;
	return at ? (int)(at - alphabet) : -1;
}

bool code_parse(const char *s, size_t len, char ret[static CODE_LEN + 1], unsigned *ret_lane)
{
	uint8_t symbols[SYMBOLS];
	unsigned n = 0;

	for (size_t i = 0; i < len; i++) {
		int v;

		if (s[i] == '-' || s[i] == ' ')
			continue;
		v = symbol_of(s[i]);
		if (v < 0 || n == SYMBOLS)
			return false;
		symbols[n++] = (uint8_t)v;
	}
	if (n != SYMBOLS || symbols[SYMBOLS - 1] != check_value(symbols))
		return false;
	write_code(symbols, ret);
	*ret_lane = symbols[0];
	return true;
}

void code_hash(struct bytes secret, const char code[static CODE_LEN + 1],
	       uint8_t ret[static CODE_HASH_LEN])
{
	mac("centraleta code look-up", secret, code, CODE_LEN, ret, CODE_HASH_LEN);
}
