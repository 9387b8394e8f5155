/* covers services/intake/core_entry.c, core_queue.c and core_catalog.c; no clock, no network */
#include <sodium.h>
#include <stdio.h>
#include "services/intake/core_queue.h"
#include "tests/unit/intake/fixture.h"

static const uint8_t unique[16] = { 1, 2, 3 };
static const struct trace trace = { { 9 } };

static struct entry *entry_of(struct catalog *c, const char *form)
{
	static struct buf scratch;
	struct field_errors e;
	struct submission s;
	struct checked k;
	struct entry *ret;

	ASSERT_TRUE(sodium_init() >= 0);
	fixture_form(&s, form);
	ASSERT_TRUE(fixture_check(c, &s, &e, &k));
	ASSERT_OK(entry_new(&ret, &s, &k, c, catalog_offer(c, 101), catalog_door(c, 31), unique, &trace,
			    &scratch));
	buf_fini(&scratch);
	return ret;
}

#define GOOD "lat=42.3&long=-71.1&attribute[SIZE]=s"

TEST(one_block_holds_all_that_was_said)
{
	struct catalog *c = fixture_catalog();
	struct entry *e = entry_of(c, GOOD "&description=d&email=a%40b.example&attribute[X]=1"
					   "&attribute[WHERE]=path&idempotency_key=K");
	Centraleta__V1__RequestReceived *m =
		centraleta__v1__request_received__unpack(NULL, e->body_len, e->body);

	ASSERT_STR_EQ(e->text[FIELD_DESCRIPTION], "d");
	ASSERT_STR_EQ(e->text[FIELD_EMAIL], "a@b.example");
	ASSERT_STR_EQ(e->text[FIELD_PHONE], "");
	ASSERT_STR_EQ(e->text[FIELD_KEY], "K");
	ASSERT_STR_EQ(e->lists, "{\"SIZE\":[\"s\"],\"WHERE\":[\"path\"]}");
	ASSERT_STR_EQ(e->frees, "{\"X\":[\"1\"]}");
	ASSERT_NOT_NULL(m);
	ASSERT_EQ(m->service, 101);
	ASSERT_EQ(m->owner, 11);
	ASSERT_EQ(m->n_attributes, 2);
	ASSERT_STR_EQ(m->attributes[1]->key, "path");
	ASSERT_REAL_EQ(m->place->lat, 42.3, 1e-12);
	centraleta__v1__request_received__free_unpacked(m, NULL);
	entry_free(e);
	catalog_unref(c);
}

TEST(the_key_decides_the_lanes)
{
	struct catalog *c = fixture_catalog();
	unsigned lanes = 0, key_lanes = 0;

	for (int i = 0; i < 200; i++) {
		char form[128];

		snprintf(form, sizeof(form), GOOD "&idempotency_key=%d", i);
		struct entry *a = entry_of(c, form), *b = entry_of(c, form);

		ASSERT_EQ(a->lane, b->lane);
		ASSERT_EQ(a->key_lane, b->key_lane);
		ASSERT_EQ(entry_compare(a, b), 0);
		ASSERT_TRUE(a->lane == 2 || a->lane == 5);
		ASSERT_LT(a->key_lane, 8);
		lanes |= 1u << a->lane;
		key_lanes |= 1u << a->key_lane;
		entry_free(a);
		entry_free(b);
	}
	ASSERT_EQ(lanes, 1 << 2 | 1 << 5);
	ASSERT_EQ(key_lanes, 0xff);
	catalog_unref(c);
}

TEST(no_key_makes_one)
{
	struct catalog *c = fixture_catalog();
	struct entry *e = entry_of(c, GOOD);

	ASSERT_STR_EQ(e->text[FIELD_KEY], "auto:01020300000000000000000000000000");
	entry_free(e);
	catalog_unref(c);
}

TEST(history_gets_its_body_with_its_work_item)
{
	struct catalog *c = fixture_catalog();
	struct buf scratch = BUF_INIT;
	struct field_errors errors = { .n = 0 };
	struct submission s;
	struct checked k;
	struct entry *e;

	fixture_form(&s, GOOD);
	s.has_history = true;
	s.history = (struct history){ .department = { "roads", 5 }, .state = 5, .outcome = 1,
				      .requested_at_us = NOW_US - 10, .closed_at_us = NOW_US - 5 };
	ASSERT_TRUE(submission_check(&s, c, catalog_offer(c, 101), catalog_door(c, 31), true, NOW_US,
				     &errors, &k));
	ASSERT_OK(entry_new(&e, &s, &k, c, catalog_offer(c, 101), catalog_door(c, 31), unique, &trace,
			    &scratch));
	ASSERT_EQ(e->kind, ENTRY_HISTORY);
	ASSERT_EQ(e->updated_at_us, NOW_US - 5);
	ASSERT_NULL(e->body);
	ASSERT_OK(entry_finish_history(e, 4207));
	ASSERT_OK(entry_finish_history(e, 9999)); /* keeps the first */
	Centraleta__V1__RequestImported *m =
		centraleta__v1__request_imported__unpack(NULL, e->body_len, e->body);

	ASSERT_EQ(m->work_item, 4207);
	ASSERT_EQ(m->department, 12);
	ASSERT_EQ(m->closed_at_us, NOW_US - 5);
	centraleta__v1__request_imported__free_unpacked(m, NULL);
	entry_free(e);
	buf_fini(&scratch);
	catalog_unref(c);
}

/* ---- the queue ------------------------------------------------------------------------------- */

static struct entry *plain(int32_t town, const char *key, enum entry_kind kind)
{
	struct entry *e = calloc(1, sizeof(*e));

	ASSERT_NOT_NULL(e);
	list_init(&e->link);
	e->town = town;
	e->kind = kind;
	e->text[FIELD_KEY] = key;
	e->give_up_ms = 100;
	return e;
}

static void free_all(struct entry **list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		list[i]->kind = ENTRY_REQUEST;
		entry_free(list[i]);
	}
}

TEST(towns_take_turns)
{
	static const char *const keys[] = { "a", "b", "c", "d", "e", "f" };
	struct entry *out[8];
	struct queue *q;
	size_t n, ones = 0;

	ASSERT_OK(queue_new(&q));
	for (int i = 0; i < 6; i++)
		ASSERT_OK(queue_add(q, plain(1, keys[i], ENTRY_REQUEST)));
	ASSERT_OK(queue_add(q, plain(2, "x", ENTRY_REQUEST)));
	ASSERT_OK(queue_add(q, plain(2, "y", ENTRY_REQUEST)));
	n = queue_take(q, out, 4);
	ASSERT_EQ(n, 4);
	for (size_t i = 0; i < n; i++)
		ones += out[i]->town == 1;
	ASSERT_EQ(ones, 2);
	free_all(out, n);
	n = queue_take(q, out, 8);
	ASSERT_EQ(n, 4);
	ASSERT_EQ(queue_length(q), 0);
	free_all(out, n);
	queue_free(q);
}

TEST(one_key_is_once_in_a_group)
{
	struct entry *out[8];
	struct queue *q;

	ASSERT_OK(queue_new(&q));
	ASSERT_OK(queue_add(q, plain(1, "k", ENTRY_REQUEST)));
	ASSERT_OK(queue_add(q, plain(1, "k", ENTRY_REQUEST)));
	ASSERT_OK(queue_add(q, plain(1, "b", ENTRY_REQUEST)));
	ASSERT_EQ(queue_take(q, out, 8), 2);
	ASSERT_STR_EQ(out[0]->text[FIELD_KEY], "b");
	ASSERT_STR_EQ(out[1]->text[FIELD_KEY], "k");
	free_all(out, 2);
	ASSERT_EQ(queue_take(q, out, 8), 1);
	free_all(out, 1);
	queue_free(q);
}

TEST(surveys_have_groups_of_their_own)
{
	struct entry *out[8];
	struct queue *q;

	ASSERT_OK(queue_new(&q));
	ASSERT_OK(queue_add(q, plain(1, "a", ENTRY_REQUEST)));
	ASSERT_OK(queue_add(q, plain(1, "s", ENTRY_SURVEY)));
	ASSERT_OK(queue_add(q, plain(2, "b", ENTRY_REQUEST)));
	ASSERT_OK(queue_add(q, plain(3, "h", ENTRY_HISTORY)));
	ASSERT_EQ(queue_take(q, out, 8), 3);
	free_all(out, 3);
	ASSERT_EQ(queue_take(q, out, 8), 1);
	ASSERT_EQ(out[0]->kind, ENTRY_SURVEY);
	free_all(out, 1);
	queue_free(q);
}

TEST(what_waits_too_long_is_found)
{
	struct entry *e;
	struct queue *q;

	ASSERT_OK(queue_new(&q));
	ASSERT_OK(queue_add(q, plain(1, "a", ENTRY_REQUEST)));
	ASSERT_NULL(queue_expired(q, 99));
	e = queue_expired(q, 100);
	ASSERT_NOT_NULL(e);
	ASSERT_EQ(queue_length(q), 0);
	entry_free(e);
	queue_free(q);
}

/* ---- the catalogue --------------------------------------------------------------------------- */

TEST(finds_by_id_and_by_name_within_its_town)
{
	struct catalog *c = fixture_catalog();
	const struct town *boston = catalog_jurisdiction(c, "boston.gov", 10);
	const struct town *girona = catalog_jurisdiction(c, "girona.cat", 10);

	ASSERT_EQ(boston->id, 1);
	ASSERT_NULL(catalog_jurisdiction(c, "boston", 6));
	ASSERT_EQ(catalog_code(c, boston, "pot/hole+&", 10)->id, 101);
	ASSERT_NULL(catalog_code(c, girona, "pot/hole+&", 10));
	ASSERT_NULL(catalog_code(c, boston, "old", 3)); /* retired: shown, not taken */
	ASSERT_STR_EQ(catalog_offer(c, 102)->name, "Old");
	ASSERT_EQ(catalog_department_slug(c, boston, "roads", 5)->id, 12);
	ASSERT_NULL(catalog_department_slug(c, girona, "roads", 5));
	ASSERT_EQ(catalog_towns_n(c), 2);
	catalog_unref(c);
}

TEST(grows_over_many_rows)
{
	struct catalog *c = fixture_catalog();
	char code[16];

	for (int i = 0; i < 5000; i++) {
		snprintf(code, sizeof(code), "S%d", i);
		ASSERT_OK(catalog_add_offer(c, 1, &(struct offer){ .id = 1000 + i, .code = code }));
	}
	ASSERT_EQ(catalog_code(c, catalog_town(c, 1), "S4999", 5)->id, 5999);
	ASSERT_STR_EQ(catalog_offer(c, 1000)->code, "S0");
	catalog_unref(c);
}

TEST(keys_are_known_by_their_whole_text)
{
	static const uint8_t secret_bytes[32] = "0123456789abcdef0123456789abcde";
	const struct bytes secret = { secret_bytes, sizeof(secret_bytes) };
	struct catalog *c = fixture_catalog();
	struct key k = { .submit = true };
	struct apikey made;

	ASSERT_TRUE(sodium_init() >= 0);
	apikey_new(&made);
	apikey_hash(&made, secret, k.hash);
	k.id = made.id;
	ASSERT_OK(catalog_add_key(c, &k, 31));
	ASSERT_EQ(catalog_key(c, secret, made.text, strlen(made.text))->door->id, 31);
	made.text[APIKEY_LEN - 1] = made.text[APIKEY_LEN - 1] == 'a' ? 'b' : 'a';
	ASSERT_NULL(catalog_key(c, secret, made.text, strlen(made.text)));
	ASSERT_NULL(catalog_key(c, secret, "x", 1));
	catalog_unref(c);
}

TEST(a_curve_key_has_no_text_and_a_revoked_one_is_known_as_such)
{
	static const char a[] = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
	static const char b[] = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6";
	static const uint8_t secret_bytes[32] = "0123456789abcdef0123456789abcde";
	const struct bytes secret = { secret_bytes, sizeof(secret_bytes) };
	struct catalog *c = fixture_catalog();
	struct key living = { .id = "000000000001", .submit = true, .curve = a };
	struct key revoked = { .id = "000000000002", .submit = true, .curve = b, .revoked = true };
	char text[APIKEY_LEN + 1];

	ASSERT_OK(catalog_add_key(c, &living, 31));
	ASSERT_OK(catalog_add_key(c, &revoked, 31));
	ASSERT_STR_EQ(catalog_key_curve(c, a)->id, living.id);
	ASSERT_FALSE(catalog_key_curve(c, a)->revoked);
	ASSERT_TRUE(catalog_key_curve(c, b)->revoked);
	ASSERT_EQ(catalog_key_id(c, living.id)->door->id, 31);
	ASSERT_NULL(catalog_key_id(c, revoked.id));
	ASSERT_NULL(catalog_key_curve(c, ""));
	ASSERT_NULL(catalog_key_curve(c, living.id));
	snprintf(text, sizeof(text), "cen_live_%s_%043d", living.id, 0);
	ASSERT_NULL(catalog_key(c, secret, text, strlen(text)));
	catalog_unref(c);
}

TEST(the_changeset_moves_with_the_revision)
{
	struct catalog *a, *b;

	ASSERT_OK(catalog_new(&a, 3));
	ASSERT_OK(catalog_new(&b, 4));
	catalog_saw_time(a, NOW_US);
	catalog_saw_time(b, NOW_US);
	ASSERT_LT(catalog_changeset_us(a), catalog_changeset_us(b));
	catalog_unref(a);
	catalog_unref(b);
}
