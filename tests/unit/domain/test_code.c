/* covers common/domain/code.c */
#include "common/domain/code.h"
#include "tests/lib/test.h"

static const struct bytes secret = { (const uint8_t *)"0123456789abcdef0123456789abcdef", 32 };
static const struct bytes other = { (const uint8_t *)"0123456789abcdef0123456789abcdeg", 32 };
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static void make(unsigned lane, int64_t request, unsigned turn, char *ret)
{
	code_make(secret, lane, request, turn, ret);
}

static bool parses(const char *s, const char *want, unsigned lane)
{
	char code[CODE_LEN + 1];
	unsigned got;

	return code_parse(s, strlen(s), code, &got) && !strcmp(code, want) && got == lane;
}

TEST(a_code_is_derived_and_steady)
{
	/* the same by python3, hashlib.blake2b */
	static const struct { unsigned lane; int64_t request; unsigned turn; const char *want; } cases[] = {
		{ 0, 100, 0, "071Z-70H2-GJ1T" },
		{ 7, 123407, 0, "7292-R06C-SBXW" },
		{ 7, 123407, 1, "7BB6-HMQM-PKB5" },
		{ 31, 9007199254740931, 4, "ZM87-AWVN-H3G3" },
	};

	FOREACH(c, cases) {
		char code[CODE_LEN + 1];

		make(c->lane, c->request, c->turn, code);
		ASSERT_STR_EQ(code, c->want);
		ASSERT_TRUE(parses(code, code, c->lane));
	}
}

TEST(each_part_changes_the_code)
{
	char a[CODE_LEN + 1], b[CODE_LEN + 1];

	make(3, 123403, 0, a);
	make(3, 123403, 1, b);
	ASSERT_TRUE(strcmp(a, b));
	make(3, 123503, 0, b);
	ASSERT_TRUE(strcmp(a, b));
	make(4, 123403, 0, b);
	ASSERT_TRUE(strcmp(a + 1, b + 1));
	code_make(other, 3, 123403, 0, b);
	ASSERT_TRUE(strcmp(a, b));
}

TEST(all_lanes_come_back)
{
	for (unsigned lane = 0; lane < 32; lane++) {
		char code[CODE_LEN + 1];

		make(lane, 100 + lane, 0, code);
		ASSERT_TRUE(parses(code, code, lane));
	}
}

TEST(reading_is_forgiving)
{
	char code[CODE_LEN + 1], said[64];
	unsigned seen = 0;

	for (int64_t request = 1; request < 400; request++) {
		size_t n = 0;

		make(1, request, 0, code);
		for (const char *p = code; *p; p++) {
			if (*p == '-')
				continue;
			said[n++] = *p == '0' ? 'o' : *p == '1' ? 'L' : (char)(*p | 0x20 * (*p >= 'A'));
			if (*p == '0' || *p == '1')
				seen++;
			if (n % 5 == 0)
				said[n++] = ' ';
		}
		said[n] = '\0';
		ASSERT_TRUE(parses(said, code, 1));
	}
	ASSERT_GT(seen, 100u);
}

TEST(one_wrong_character_is_seen)
{
	char code[CODE_LEN + 1], wrong[CODE_LEN + 1], got[CODE_LEN + 1];
	unsigned lane, missed = 0, tried = 0;

	make(5, 987605, 0, code);
	for (size_t i = 0; i < CODE_LEN; i++) {
		for (const char *c = alphabet; *c && code[i] != '-'; c++) {
			if (*c == code[i])
				continue;
			memcpy(wrong, code, sizeof(wrong));
			wrong[i] = *c;
			tried++;
			missed += code_parse(wrong, CODE_LEN, got, &lane);
		}
	}
	ASSERT_EQ(tried, 12u * 31);
	ASSERT_LE(missed, 12u); /* modulo 31 can't tell 0 from Z, and no other pair */
}

TEST(neighbours_exchanged_are_seen)
{
	char code[CODE_LEN + 1], wrong[CODE_LEN + 1], got[CODE_LEN + 1];
	unsigned lane, tried = 0;

	for (int64_t request = 1; request < 100; request++) {
		make(2, request, 0, code);
		for (size_t i = 0; i + 2 < CODE_LEN; i++) { /* but the check character's own */
			if (code[i] == '-' || code[i + 1] == '-' || code[i] == code[i + 1])
				continue;
			if (strchr("0Z", code[i]) && strchr("0Z", code[i + 1]))
				continue;
			memcpy(wrong, code, sizeof(wrong));
			wrong[i] = code[i + 1];
			wrong[i + 1] = code[i];
			tried++;
			ASSERT_FALSE(code_parse(wrong, CODE_LEN, got, &lane));
		}
	}
	ASSERT_GT(tried, 500u);
}

TEST(other_texts_are_no_codes)
{
	static const char *const cases[] = { "", "-", "0000-0000-000", "0000-0000-00000", "0000-0000-0001",
					     "UUUU-UUUU-UUUU", "0000_0000_0000", "ñ000-0000-0000" };
	char got[CODE_LEN + 1];
	unsigned lane;

	FOREACH(s, cases)
		ASSERT_FALSE(code_parse(*s, strlen(*s), got, &lane));
	ASSERT_FALSE(code_parse("0000\0000000000", 13, got, &lane));
	ASSERT_TRUE(code_parse("0000-0000-0000", 14, got, &lane)); /* well-formed: the store says no */
}

TEST(the_look_up_hash_is_keyed)
{
	uint8_t a[CODE_HASH_LEN], b[CODE_HASH_LEN];
	char code[CODE_LEN + 1];

	make(1, 101, 0, code);
	code_hash(secret, code, a);
	code_hash(secret, code, b);
	ASSERT_MEM_EQ(a, b, sizeof(a));
	code_hash(other, code, b);
	ASSERT_TRUE(memcmp(a, b, sizeof(a)));
	code[0] = code[0] == '2' ? '3' : '2';
	code_hash(secret, code, b);
	ASSERT_TRUE(memcmp(a, b, sizeof(a)));
}
