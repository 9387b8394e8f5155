/* covers services/intake/core_submission.c and core_check.c; no clock, no network */
#include <jansson.h>
#include <sodium.h>
#include "common/base/text.h"
#include "tests/unit/intake/fixture.h"

#define PLACE "lat=42.3&long=-71.1"
#define GOOD PLACE "&attribute[SIZE]=s"

TEST(tells_every_fault_at_once)
{
	static const struct { const char *form, *codes; } cases[] = {
		{ GOOD, "" },
		{ "address_string=Main+St&attribute%5BSIZE%5D=l", "" },
		{ "address_id=7&attribute[SIZE]=l", "" },
		{ "attribute[SIZE]=s", "missing:lat" },
		{ "lat=&long=&attribute[SIZE]=s", "missing:lat" },
		{ "lat=42.3&attribute[SIZE]=s", "missing:long" },
		{ "long=-71.1&address_string=x&attribute[SIZE]=s", "missing:lat" },
		{ "lat=north&long=west&attribute[SIZE]=s", "invalid:lat,invalid:long" },
		{ "lat=42.3x&long=-71.1&attribute[SIZE]=s", "invalid:lat" },
		{ "lat=91&long=181&attribute[SIZE]=s", "invalid:lat,invalid:long" },
		{ "lat=nan&long=inf&attribute[SIZE]=s", "invalid:lat,invalid:long" },
		{ "lat=41&long=2&attribute[SIZE]=s", "outside:lat" },
		{ PLACE, "missing:attribute[SIZE]" },
		{ PLACE "&attribute[SIZE]=huge", "invalid:attribute[SIZE]" },
		{ PLACE "&attribute[SIZE][]=s&attribute[SIZE][]=l", "invalid:attribute[SIZE]" },
		{ GOOD "&attribute[WHERE][]=street&attribute[WHERE][]=path", "" },
		{ GOOD "&attribute[WHERE]=sea", "invalid:attribute[WHERE]" },
		{ GOOD "&attribute[DEPTH]=deep&attribute[SEEN]=2026-03-29T01:30:00",
		  "invalid:attribute[DEPTH],invalid:attribute[SEEN]" },
		{ GOOD "&attribute[DEPTH]=1.5&attribute[SEEN]=2026-03-29T01:30:00Z", "" },
		{ GOOD "&attribute[SIGN]=a%0Ab", "invalid:attribute[SIGN]" },
		{ GOOD "&attribute[NOTE]=a%0Ab", "" },
		{ GOOD "&attribute[INFO]=ignored", "" },
		{ GOOD "&attribute[NEW]=kept+aside", "" },
		{ GOOD "&email=nobody", "invalid:email" },
		{ GOOD "&email=a%40b.example%0D%0ABcc%3A+c%40d.example", "invalid:email" },
		{ GOOD "&email=a%40b.example", "" },
		{ GOOD "&media_url=javascript%3Aalert(1)", "invalid:media_url" },
		{ GOOD "&media_url=http%3A%2F%2F169.254.169.254%2F", "" },
		{ GOOD "&language=fr&first_name=%00x", "invalid:first_name,invalid:language" },
		{ GOOD "&description=%C3%28", "invalid:description" },
		{ GOOD "&description=a%0Ab", "" },
		{ GOOD "&description=a%08b", "invalid:description" },
		{ GOOD "&description=a%C2%85b", "invalid:description" },
		{ "email=x&phone=a%0Ab&lat=1", "missing:long,missing:attribute[SIZE],invalid:email,"
					       "invalid:phone" },
	};
	struct catalog *c = fixture_catalog();
	struct field_errors e;
	struct submission s;
	struct checked k;

	FOREACH(t, cases) {
		fixture_form(&s, t->form);
		bool ok = fixture_check(c, &s, &e, &k);

		test_note("%s", t->form);
		ASSERT_STR_EQ(fixture_codes(&e), t->codes);
		ASSERT_EQ(ok, !*t->codes);
	}
	catalog_unref(c);
}

TEST(counts_code_points_not_bytes)
{
	struct catalog *c = fixture_catalog();
	struct field_errors e;
	struct submission s;
	struct checked k;
	struct buf text = BUF_INIT;

	fixture_form(&s, GOOD);
	for (int i = 0; i < DESCRIPTION_MAX; i++)
		buf_str(&text, "\xf0\x9f\x9a\xa7");
	s.text[FIELD_DESCRIPTION] = (struct slice){ text.data, text.len };
	ASSERT_TRUE(fixture_check(c, &s, &e, &k));
	buf_ch(&text, 'x');
	s.text[FIELD_DESCRIPTION] = (struct slice){ text.data, text.len };
	ASSERT_FALSE(fixture_check(c, &s, &e, &k));
	ASSERT_STR_EQ(fixture_codes(&e), "too_long:description");
	buf_reset(&text);
	field_error_reason(&e.list[0], LANG_CA, "Boston", &text);
	ASSERT_STR_EQ(text.data, "description és massa llarg: com a màxim 4000 caràcters.");
	buf_fini(&text);
	catalog_unref(c);
}

TEST(bounds_the_number_of_attributes)
{
	struct catalog *c = fixture_catalog();
	struct buf form = BUF_INIT;
	struct field_errors e;
	struct submission s;
	struct checked k;

	buf_str(&form, GOOD);
	for (int i = 0; i < ATTRIBUTES_MAX; i++)
		buf_printf(&form, "&attribute[N%d]=v", i);
	fixture_form(&s, form.data);
	ASSERT_EQ(s.attributes_n, ATTRIBUTES_MAX);
	ASSERT_FALSE(fixture_check(c, &s, &e, &k));
	ASSERT_STR_EQ(fixture_codes(&e), "too_long:attribute");
	buf_fini(&form);
	catalog_unref(c);
}

TEST(a_wild_attribute_name_is_told_as_text)
{
	struct catalog *c = fixture_catalog();
	struct field_errors e;
	struct submission s;
	struct checked k;

	fixture_form(&s, GOOD "&attribute[%FF%FE]=v&attribute[a%0Ab]=v&attribute[]=v&attribute[x=v");
	ASSERT_FALSE(fixture_check(c, &s, &e, &k));
	ASSERT_EQ(e.n, 2);
	for (size_t i = 0; i < e.n; i++)
		ASSERT_TRUE(text_valid(e.list[i].field, strlen(e.list[i].field)));
	catalog_unref(c);
}

TEST(sorts_attributes_into_closed_and_free)
{
	struct catalog *c = fixture_catalog();
	struct buf lists = BUF_INIT, frees = BUF_INIT;
	struct submission s;

	fixture_form(&s, GOOD "&attribute[WHERE][]=street&attribute[NOTE]=%22hi%22&attribute[WHERE][]=path"
			      "&attribute[ODD]=1&attribute[INFO]=x");
	submission_attributes(&s, c, catalog_offer(c, 101), &lists, &frees);
	ASSERT_STR_EQ(lists.data, "{\"SIZE\":[\"s\"],\"WHERE\":[\"street\",\"path\"]}");
	ASSERT_STR_EQ(frees.data, "{\"NOTE\":[\"\\\"hi\\\"\"],\"ODD\":[\"1\"]}");
	buf_fini(&lists);
	buf_fini(&frees);
	catalog_unref(c);
}

TEST(takes_birth_owner_and_deadline_from_the_town)
{
	struct catalog *c = fixture_catalog();
	struct field_errors e;
	struct submission s;
	struct checked k;

	fixture_form(&s, GOOD "&language=es-MX&phone=1");
	ASSERT_TRUE(fixture_check(c, &s, &e, &k));
	ASSERT_EQ(k.owner, 11);
	ASSERT_EQ(k.deadline_us, NOW_US + INT64_C(172800000000));
	ASSERT_EQ(k.channel, 2);
	ASSERT_EQ(k.language, LANG_ES);
	ASSERT_TRUE(k.has_contact);
	fixture_form(&s, GOOD "&language=es");
	ASSERT_TRUE(fixture_check(c, &s, &e, &k));
	ASSERT_FALSE(k.has_contact);
	catalog_unref(c);
}

static bool check_history(struct catalog *c, struct history h, bool may, struct field_errors *e,
			  struct checked *k)
{
	struct submission s;

	fixture_form(&s, PLACE);
	s.has_history = true;
	s.history = h;
	e->n = 0;
	return submission_check(&s, c, catalog_offer(c, 101), catalog_door(c, 31), may, NOW_US, e, k);
}

TEST(history_must_fit_together)
{
	const int64_t t = NOW_US - 1000000;
	const struct slice roads = { "roads", 5 }, none = { NULL, 0 }, other = { "parks", 5 };
	const struct { struct history h; bool may; const char *codes; } cases[] = {
		{ { roads, 5, 1, t, t, 0 }, true, "" },
		{ { roads, 4, 0, t, 0, 0 }, true, "" },
		{ { roads, 5, 1, t, t, 0 }, false, "invalid:history" },
		{ { none, 0, 0, 0, 0, 0 }, true, "missing:history.department,missing:history.requested_at,"
						 "missing:history.state" },
		{ { other, 5, 1, t, t, 0 }, true, "unknown:history.department" },
		{ { roads, 5, 0, t, 0, 0 }, true, "missing:history.outcome,missing:history.closed_at" },
		{ { roads, 2, 1, t, t, 0 }, true, "invalid:history.outcome,invalid:history.closed_at" },
		{ { roads, 5, 1, t, t - 1, 0 }, true, "invalid:history.closed_at" },
		{ { roads, 5, 1, t, NOW_US + 1, 0 }, true, "invalid:history.closed_at" },
		{ { roads, 4, 0, NOW_US + 1, 0, 0 }, true, "invalid:history.requested_at" },
		{ { roads, 4, 0, t, 0, t - 1 }, true, "invalid:history.deadline" },
	};
	struct catalog *c = fixture_catalog();
	struct field_errors e;
	struct checked k;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_history(c, cases[i].h, cases[i].may, &e, &k);
		test_note("case %zu", i);
		ASSERT_STR_EQ(fixture_codes(&e), cases[i].codes);
	}
	ASSERT_TRUE(check_history(c, cases[0].h, true, &e, &k));
	ASSERT_EQ(k.owner, 12);
	ASSERT_EQ(k.deadline_us, t + INT64_C(172800000000));
	catalog_unref(c);
}

TEST(unknown_enum_values_are_named)
{
	Centraleta__V1__Submit m = CENTRALETA__V1__SUBMIT__INIT;
	Centraleta__V1__SubmitHistory h = CENTRALETA__V1__SUBMIT_HISTORY__INIT;
	struct submission s;
	const char *what = "";

	ASSERT_TRUE(submission_from_message(&s, &m, &what));
	m.channel = (Centraleta__V1__Channel)99;
	ASSERT_FALSE(submission_from_message(&s, &m, &what));
	ASSERT_STR_EQ(what, "channel");
	m.channel = CENTRALETA__V1__CHANNEL__CHANNEL_WEB;
	m.history = &h;
	h.state = (Centraleta__V1__RequestState)-1;
	ASSERT_FALSE(submission_from_message(&s, &m, &what));
	ASSERT_STR_EQ(what, "history.state");
}

TEST(the_hash_follows_what_was_said)
{
	uint8_t a[16], b[16];
	struct submission s;

	ASSERT_TRUE(sodium_init() >= 0);
	fixture_form(&s, GOOD "&description=x&idempotency_key=1");
	submission_hash(&s, a);
	fixture_form(&s, "description=x&idempotency_key=2&" GOOD);
	submission_hash(&s, b);
	ASSERT_MEM_EQ(a, b, 16);
	fixture_form(&s, GOOD "&description=y");
	submission_hash(&s, b);
	ASSERT_TRUE(memcmp(a, b, 16) != 0);
	fixture_form(&s, GOOD "&phone=x");
	submission_hash(&s, b);
	ASSERT_TRUE(memcmp(a, b, 16) != 0);
}

/* one text through every text field: valid UTF-8 JSON comes out, or every field is refused */
static void through_every_field(struct catalog *c, const char *text, size_t len)
{
	struct buf lists = BUF_INIT, frees = BUF_INIT;
	struct field_errors e;
	struct submission s;
	struct checked k;

	fixture_form(&s, GOOD);
	for (unsigned f = 0; f < FIELD_N; f++)
		s.text[f] = (struct slice){ text, len };
	s.attributes[s.attributes_n++] = (struct attribute_input){ { "NOTE", 4 }, { text, len } };
	s.attributes[s.attributes_n++] = (struct attribute_input){ { text, len }, { "v", 1 } };
	s.lat = s.lng = (struct slice){ text, len };
	bool ok = fixture_check(c, &s, &e, &k);
	for (size_t i = 0; i < e.n; i++)
		ASSERT_TRUE(text_valid(e.list[i].field, strlen(e.list[i].field)));
	if (!text_valid(text, len))
		ASSERT_FALSE(ok);
	fixture_form(&s, GOOD);
	s.text[FIELD_DESCRIPTION] = (struct slice){ text, len };
	s.attributes[s.attributes_n++] = (struct attribute_input){ { "NOTE", 4 }, { text, len } };
	if (fixture_check(c, &s, &e, &k)) {
		submission_attributes(&s, c, catalog_offer(c, 101), &lists, &frees);
		ASSERT_OK(buf_err(&frees));
		if (frees.len) {
			json_t *j = json_loadb(frees.data, frees.len, JSON_REJECT_DUPLICATES, NULL);

			ASSERT_NOT_NULL(j);
			json_decref(j);
		}
	}
	buf_fini(&lists);
	buf_fini(&frees);
}

TEST(naughty_strings)
{
	json_t *all = json_load_file(test_data("corpora/text/blns.json"), JSON_ALLOW_NUL, NULL);
	struct catalog *c = fixture_catalog();

	ASSERT_NOT_NULL(all);
	ASSERT_GT(json_array_size(all), 400);
	for (size_t i = 0; i < json_array_size(all); i++)
		through_every_field(c, json_string_value(json_array_get(all, i)),
				    json_string_length(json_array_get(all, i)));
	json_decref(all);
	catalog_unref(c);
}

static void lines_of(const char *name)
{
	size_t len;
	char *text = test_read_file(test_data(name), &len);
	struct catalog *c = fixture_catalog();

	for (char *p = text, *end; p < text + len; p = end + 1) {
		end = memchr(p, '\n', (size_t)(text + len - p));
		if (!end)
			end = text + len;
		through_every_field(c, p, (size_t)(end - p));
	}
	free(text);
	catalog_unref(c);
}

TEST(formulas_and_metadata_addresses)
{
	lines_of("corpora/text/csv-payload.txt");
	lines_of("corpora/text/cloud-metadata.txt");
}

/* num:valid hex:BYTES and num:invalid hex:BYTES:…; what the corpus calls invalid is refused */
TEST(utf8_sequences)
{
	size_t len, tried = 0;
	char *text = test_read_file(test_data("corpora/text/utf8tests.txt"), &len);
	struct catalog *c = fixture_catalog();

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		const bool invalid = strstr(line, ":invalid hex:");
		char *p = line[0] == '#' ? NULL : strstr(line, "valid hex:");
		char bytes[256];
		size_t n = 0;

		if (!p)
			continue;
		for (p += strlen("valid hex:"); n < sizeof(bytes); n++) {
			char two[3] = "", *end;

			p += strspn(p, " ");
			memcpy(two, p, strnlen(p, 2));
			bytes[n] = (char)strtoul(two, &end, 16);
			if (end != two + 2)
				break;
			p += 2;
		}
		tried++;
		if (invalid)
			ASSERT_FALSE(text_valid(bytes, n));
		through_every_field(c, bytes, n);
	}
	ASSERT_GT(tried, 50);
	free(text);
	catalog_unref(c);
}
