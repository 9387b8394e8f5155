/* covers common/domain/apikey.c */
#include "common/domain/apikey.h"
#include "tests/lib/test.h"

static const struct bytes secret = { (const uint8_t *)"0123456789abcdef0123456789abcdef", 32 };
static const struct bytes other = { (const uint8_t *)"0123456789abcdef0123456789abcdeg", 32 };

TEST(a_new_key_is_of_its_form_and_new)
{
	struct apikey a, b, parsed;

	apikey_new(&a);
	apikey_new(&b);
	ASSERT_EQ(strlen(a.text), 65u);
	ASSERT_EQ(strlen(a.id), 12u);
	ASSERT_TRUE(!strncmp(a.text, "cen_live_", 9));
	ASSERT_TRUE(!strncmp(a.text + 9, a.id, 12));
	ASSERT_TRUE(strcmp(a.text, b.text));
	ASSERT_TRUE(strcmp(a.id, b.id));
	ASSERT_TRUE(apikey_parse(a.text, strlen(a.text), &parsed));
	ASSERT_STR_EQ(parsed.id, a.id);
	ASSERT_STR_EQ(parsed.text, a.text);
}

TEST(any_damage_is_seen_by_form_or_hash)
{
	uint8_t hash[APIKEY_HASH_LEN], damaged[APIKEY_HASH_LEN];
	struct apikey k, p;
	char text[APIKEY_LEN + 1];

	apikey_new(&k);
	apikey_hash(&k, secret, hash);
	for (size_t i = 0; i < APIKEY_LEN; i++) {
		memcpy(text, k.text, sizeof(text));
		text[i] = text[i] == 'x' ? 'y' : 'x';
		if (!apikey_parse(text, APIKEY_LEN, &p))
			continue;
		apikey_hash(&p, secret, damaged);
		ASSERT_TRUE(memcmp(hash, damaged, sizeof(hash)));
	}
}

TEST(other_forms_are_refused)
{
	struct apikey k, p;
	char text[APIKEY_LEN + 2];

	apikey_new(&k);
	memcpy(text, k.text, APIKEY_LEN + 1);
	ASSERT_FALSE(apikey_parse("", 0, &p));
	ASSERT_FALSE(apikey_parse(text, APIKEY_LEN - 1, &p));
	strcat(text, "a");
	ASSERT_FALSE(apikey_parse(text, APIKEY_LEN + 1, &p));
	text[0] = 'C';
	ASSERT_FALSE(apikey_parse(text, APIKEY_LEN, &p));
	text[0] = 'c';
	text[30] = '-';
	ASSERT_FALSE(apikey_parse(text, APIKEY_LEN, &p));
	text[30] = '\0';
	ASSERT_FALSE(apikey_parse(text, APIKEY_LEN, &p));
}

TEST(the_hash_is_keyed_and_steady)
{
	/* python3: key = blake2b(b"centraleta api key\0" + secret, digest_size=32).digest();
	 * blake2b(text, key=key, digest_size=32) */
	static const char text[] = "cen_live_000000000001_0000000000000000000000000000000000000000001";
	static const uint8_t want[APIKEY_HASH_LEN] = {
		0x2d, 0xc8, 0xf2, 0x7f, 0x73, 0x6d, 0xa4, 0xd2,
		0xd8, 0xfe, 0x80, 0xc3, 0x36, 0xda, 0x11, 0x19,
		0x06, 0xfe, 0x4c, 0x03, 0xa6, 0xc6, 0x19, 0x60,
		0x30, 0xc2, 0x79, 0xcc, 0x24, 0x35, 0x49, 0x3a,
	};
	uint8_t a[APIKEY_HASH_LEN], b[APIKEY_HASH_LEN];
	struct apikey k;

	ASSERT_TRUE(apikey_parse(text, strlen(text), &k));
	apikey_hash(&k, secret, a);
	apikey_hash(&k, other, b);
	ASSERT_MEM_EQ(a, want, sizeof(want));
	ASSERT_TRUE(memcmp(a, b, sizeof(a)));
}
