/* covers core_mail.c and core_text.c: whole mails against golden/, and every way to break a header */
#include "services/notification/core_mail.h"
#include "services/notification/core_text.h"
#include "tests/lib/test.h"

#define UTC_2026_11_24 INT64_C(1795508161) /* 08:16:01 */

static const struct text_facts sample = {
	.base_url = "https://311.town.test",
	.town = "Vila-seca d'Amunt",
	.service = "Fanal apagat",
	.description = "El fanal del carrer de l'Àngel, 3\r\n<b>fa dies</b> que no va.\n.\nFrom here",
	.department = "Enllumenat & Vies",
	.note = "S'ha canviat la llum.\nGràcies!",
	.code = "0AB2-CDEF-GH7Z",
	.request = 123403,
	.requested_us = (UTC_2026_11_24 - 86400) * 1000000,
	.expected_us = (UTC_2026_11_24 + 86400 * 130) * 1000000,
	.outcome = CENTRALETA__V1__OUTCOME__OUTCOME_DONE,
};

static char *whole(struct text_facts *f, struct buf *out)
{
	struct buf text = BUF_INIT, html = BUF_INIT, subject = BUF_INIT;
	struct zone *z;

	ASSERT_OK(zone_new(&z, "Europe/Madrid"));
	f->zone = z;
	text_body(f, &text, &html);
	text_subject(f, &subject);
	const struct mail m = {
		.from_name = "Vila-seca d'Amunt · 311",
		.from = "no-reply@town.test",
		.to = "citizen@citizen.test",
		.subject = subject.data,
		.message_id = "3.17.1.k2x@town.test",
		.language = catalogue_codes[f->language],
		.date_us = UTC_2026_11_24 * 1000000,
		.text = { (const uint8_t *)text.data, text.len },
		.html = { (const uint8_t *)html.data, html.len },
	};

	mail_write(&m, out);
	ASSERT_OK(buf_err(out));
	buf_fini(&text);
	buf_fini(&html);
	buf_fini(&subject);
	zone_free(z);
	return out->data;
}

static void against_golden(Centraleta__V1__MessageKind kind, const char *kind_name)
{
	for (int l = 0; l < CATALOGUE_LANGUAGES; l++) {
		struct text_facts f = sample;
		struct buf out = BUF_INIT;
		char name[96];

		f.kind = kind;
		f.language = (enum catalogue_language)l;
		whole(&f, &out);
		snprintf(name, sizeof(name), "tests/unit/notification/golden/%s-%s.eml", kind_name,
			 catalogue_codes[l]);
		if (getenv("GOLDEN_WRITE"))
			test_write_file(test_source(name), out.data);
		char *golden = test_read_file(test_source(name), NULL);

		ASSERT_STR_EQ(out.data, golden);
		free(golden);
		buf_fini(&out);
	}
}

TEST(received_in_three_languages)
{
	against_golden(CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RECEIVED, "received");
}

TEST(no_date_is_promised_before_a_department_has_it)
{
	struct text_facts f = sample;
	struct buf out = BUF_INIT;

	f.kind = CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RECEIVED;
	f.language = CATALOGUE_EN;
	ASSERT_TRUE(strstr(whole(&f, &out), "You should have an answer by") != NULL);
	buf_fini(&out);
	f.expected_us = 0;
	ASSERT_TRUE(strstr(whole(&f, &out), "You should have an answer by") == NULL);
	buf_fini(&out);
}

TEST(resolved_in_three_languages)
{
	against_golden(CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RESOLVED, "resolved");
}

TEST(every_line_is_short_and_ends_in_crlf)
{
	struct text_facts f = sample;
	struct buf out = BUF_INIT;
	char *long_text = malloc(20001);
	size_t line = 0;

	for (size_t i = 0; i < 10000; i++)
		memcpy(long_text + 2 * i, i % 97 ? "é" : "\n.", 2);
	long_text[20000] = 0;
	f.kind = CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RESOLVED;
	f.note = long_text;
	whole(&f, &out);
	for (size_t i = 0; i < out.len; i++) {
		if (out.data[i] == '\n') {
			ASSERT_EQ(out.data[i - 1], '\r');
			ASSERT_LE(line, 77);
			line = 0;
			ASSERT_NE(out.data[i + 1], '.');
		} else {
			ASSERT_TRUE(out.data[i] != '\r' || out.data[i + 1] == '\n');
			ASSERT_LT((uint8_t)out.data[i], 127);
			line++;
		}
	}
	free(long_text);
	buf_fini(&out);
}

static size_t lines_that_begin(const char *mail, const char *with)
{
	size_t n = strncmp(mail, with, strlen(with)) ? 0 : 1;

	for (const char *p = mail; (p = strchr(p, '\n')); p++)
		n += !strncmp(p + 1, with, strlen(with));
	return n;
}

TEST(no_value_opens_a_header)
{
	static const char *const evil[] = {
		"x\r\nBcc: all@citizen.test", "x\nBcc: all@citizen.test", "x\r\n\r\nbody", "\r", "\n",
		"x\rBcc: all@citizen.test", "=?UTF-8?B?DQpCY2M6IHg=?=", "\"\r\nBcc: y", "\x01\x7f\x1b[2J",
	};

	FOREACH(e, evil) {
		struct buf out = BUF_INIT;
		struct mail m = { .from_name = *e, .from = "a@b.test", .to = "c@d.test", .subject = *e,
				  .message_id = "1@b.test", .language = "en" };

		mail_write(&m, &out);
		char *end = strstr(out.data, "\r\n\r\n");

		ASSERT_NOT_NULL(end);
		*end = 0;
		ASSERT_EQ(lines_that_begin(out.data, "Bcc"), 0);
		ASSERT_EQ(lines_that_begin(out.data, "Content-Type: multipart/alternative"), 1);
		ASSERT_EQ(lines_that_begin(out.data, "Auto-Submitted: auto-generated\r"), 1);
		for (const char *p = out.data; *p; p++)
			ASSERT_TRUE((uint8_t)*p >= ' ' || *p == '\r' || *p == '\n');
		buf_fini(&out);
	}
}

TEST(a_name_cannot_leave_its_quotes)
{
	struct buf out = BUF_INIT;
	struct mail m = { .from_name = "Town\" <evil@x.test>, \"\\", .from = "a@b.test", .to = "c@d.test",
			  .subject = "s", .message_id = "1@b.test", .language = "en" };

	mail_write(&m, &out);
	ASSERT_HAS(out.data, "From: \"Town\\\" <evil@x.test>, \\\"\\\\\"\r\n <a@b.test>\r\n");
	buf_fini(&out);
}

TEST(encoded_words_hold_whole_characters)
{
	static const struct { const char *value, *want; } cases[] = {
		{ "plain", "S: plain\r\n" },
		{ "Núm. 1", "S: =?UTF-8?B?TsO6bS4gMQ==?=\r\n" },
		/* 35 bytes, then a character of two: it goes into the second word */
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaéb",
		  "S: =?UTF-8?B?YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=?=\r\n"
		  " =?UTF-8?B?w6li?=\r\n" },
	};

	FOREACH(c, cases) {
		struct buf out = BUF_INIT;

		mail_header(&out, "S", c->value);
		ASSERT_STR_EQ(out.data, c->want);
		buf_fini(&out);
	}
}

TEST(quoted_printable)
{
	static const struct { const char *value, *want; } cases[] = {
		{ "a=b", "a=3Db" },
		{ "trailing \nnext\t", "trailing=20\r\nnext=09" },
		{ ".\n.x\na.", "=2E\r\n=2Ex\r\na." },
		{ "From me\nTo From ", "=46rom me\r\nTo From=20" },
		{ "\x01\x1bno\r\x7f", "no=7F" },
		{ "1234567890123456789012345678901234567890123456789012345678901234567890123456789",
		  "123456789012345678901234567890123456789012345678901234567890123456789012345=\r\n6789" },
		{ "12345678901234567890123456789012345678901234567890123456789012345678901234é",
		  "12345678901234567890123456789012345678901234567890123456789012345678901234=\r\n=C3=A9" },
	};

	FOREACH(c, cases) {
		struct buf out = BUF_INIT;

		mail_quoted_printable(&out, c->value, strlen(c->value));
		ASSERT_STR_EQ(out.data, c->want);
		buf_fini(&out);
	}
}

TEST(addresses)
{
	static const char *const good[] = {
		"a@b", "first.last+tag@sub.town.test", "o'brien@x-y.test", "x@10.0.0.1",
	};
	static const char *const bad[] = {
		"", "@", "a@", "@b", "a", "a@@b", "a@b@c", "a b@c", "a@b c", "a@b\r\nRCPT TO:<x@y>",
		"a\n@b", ".a@b", "a.@b", "a..b@c", "a@.b", "a@b.", "a@b..c", "a@-b", "<a@b>", "a@b>",
		"\"a b\"@c", "a@[127.0.0.1]", "núria@b.test", "a@b.tést", "a@b,c@d", "a\x7f@b", "a\t@b",
		"12345678901234567890123456789012345678901234567890123456789012345@b",
	};
	char long_one[300];

	FOREACH(a, good)
		ASSERT_TRUE(mail_address_ok(*a));
	FOREACH(a, bad)
		if (mail_address_ok(*a))
			TEST_FAIL("'%s' was taken", *a);
	memset(long_one, 'd', sizeof(long_one));
	memcpy(long_one, "a@", 2);
	for (size_t i = 12; i < sizeof(long_one); i += 10)
		long_one[i] = '.';
	long_one[254] = 0;
	ASSERT_TRUE(mail_address_ok(long_one));
	long_one[254] = 'd';
	long_one[255] = 0;
	ASSERT_FALSE(mail_address_ok(long_one));
	ASSERT_STR_EQ(mail_domain("x@town.test"), "town.test");
}

TEST(dates_in_the_towns_zone)
{
	static const struct { const char *zone; int64_t at; enum catalogue_language language; const char *want; } cases[] = {
		{ "Europe/Madrid", UTC_2026_11_24, CATALOGUE_CA, "24 de novembre de 2026" },
		{ "Europe/Madrid", UTC_2026_11_24, CATALOGUE_ES, "24 de noviembre de 2026" },
		{ "America/New_York", UTC_2026_11_24, CATALOGUE_EN, "24 November 2026" },
		{ "America/Los_Angeles", UTC_2026_11_24 - 3600, CATALOGUE_EN, "23 November 2026" },
		{ "Europe/Madrid", UTC_2026_11_24 + 86400 * 130, CATALOGUE_CA, "3 d'abril de 2027" },
	};

	FOREACH(c, cases) {
		struct buf out = BUF_INIT;
		struct zone *z;

		ASSERT_OK(zone_new(&z, c->zone));
		text_date(&out, c->language, z, c->at * 1000000);
		ASSERT_STR_EQ(out.data, c->want);
		buf_fini(&out);
		zone_free(z);
	}
}

TEST(unknown_language_is_english)
{
	ASSERT_EQ(text_language("ca"), CATALOGUE_CA);
	ASSERT_EQ(text_language("es"), CATALOGUE_ES);
	ASSERT_EQ(text_language("xx"), CATALOGUE_EN);
}
