/* covers services/routing/core.c: every request gets exactly one owner and one deadline */
#include "services/routing/core.h"
#include "tests/lib/test.h"
#include "tests/unit/routing/wkb.h"

#define MINUTE_US INT64_C(60000000)
#define NOON_US INT64_C(1795521600000000) /* 2026-11-24T12:00:00Z, a Tuesday */

static uint64_t rng = 311;

static uint32_t draw(uint32_t below)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(rng >> 33) % below;
}

enum { DEPARTMENTS = 9, AREAS = 4, SERVICES = 6 };

/* areas 1 … 4 are boxes from (0, 0) to (i, i): the smallest that holds a place has it */
static struct towns *town_new(void)
{
	static const struct town_row row = { 1, "girona", "Europe/Madrid", 1, 60 };
	struct towns *t = NULL;
	struct town_fault f;
	struct buf b = BUF_INIT;

	ASSERT_OK(towns_new(&t));
	ASSERT_OK(towns_add_town(t, &row, &f));
	for (int32_t i = 1; i <= DEPARTMENTS; i++) {
		const struct department d = { i, (int16_t)(i % 8), i == DEPARTMENTS };

		ASSERT_OK(towns_add_department(t, 1, &d, &f));
	}
	for (int32_t i = 1; i <= AREAS; i++) {
		wkb_box(&b, 0, 0, i, i);
		ASSERT_OK(towns_add_area(t, 1, i, wkb_bytes(&b), &f));
	}
	buf_fini(&b);
	return t;
}

static void add_rule(struct towns *t, struct rule_row row)
{
	struct town_fault f;

	row.jurisdiction = 1;
	row.version = 8;
	ASSERT_OK(towns_add_rule(t, &row, &f));
}

static struct town_config *seal(struct towns *t)
{
	struct town_fault f;

	ASSERT_OK(towns_seal(t, &f));
	return towns_find(t, 1);
}

TEST(a_rule_gives_department_priority_and_working_deadline)
{
	struct towns *t = town_new();
	const struct route_facts facts = { .service = 5, .channel = 2, .placed = true, .lat = 0.5,
					   .lon = 0.5, .from_us = NOON_US };
	struct town_config *town;
	struct route route;

	add_rule(t, (struct rule_row){ .position = 1, .area = 2, .department = 3,
				       .target = "calendar", .priority = 1, .target_minutes = 1 });
	add_rule(t, (struct rule_row){ .position = 2, .area = 1, .service = 5, .department = 4,
				       .target = "working", .priority = 2, .target_minutes = 420 });
	town = seal(t);
	route_decide(town, &facts, &route);
	ASSERT_EQ((int)route.kind, ROUTE_RULE);
	ASSERT_EQ(route.department, 4);
	ASSERT_EQ(route.home_lane, 4);
	ASSERT_EQ(route.service, 5);
	ASSERT_EQ(route.area, 1); /* the smallest; the rule of area 2 doesn't match */
	ASSERT_EQ(route.priority, 2);
	ASSERT_EQ(route.rule_version, 8);
	ASSERT_EQ(route.rule_position, 2);
	/* 12:00Z is 13:00 local: two hours are left of seven, five follow on Wednesday */
	ASSERT_EQ(route.deadline_us, NOON_US + 24 * 60 * MINUTE_US);
	towns_free(t);
}

TEST(what_no_rule_matches_goes_to_triage)
{
	struct towns *t = town_new();
	const struct route_facts facts = { .service = 5, .channel = 2, .from_us = NOON_US };
	struct town_config *town;
	struct route route;

	add_rule(t, (struct rule_row){ .position = 1, .area = 2, .department = 3,
				       .target = "calendar", .target_minutes = 1 });
	add_rule(t, (struct rule_row){ .position = 2, .department = DEPARTMENTS, /* retired */
				       .target = "calendar", .target_minutes = 1 });
	town = seal(t);
	route_decide(town, &facts, &route);
	ASSERT_EQ((int)route.kind, ROUTE_TRIAGE);
	ASSERT_EQ(route.department, 1);
	ASSERT_EQ(route.home_lane, 1);
	ASSERT_EQ(route.priority, ROUTE_PRIORITY_USUAL);
	ASSERT_EQ(route.deadline_us, NOON_US + 60 * MINUTE_US);
	ASSERT_EQ(route.rule_version, 0);
	ASSERT_EQ(route.rule_position, 0);
	towns_free(t);
}

TEST(a_refused_work_item_goes_on_at_triage)
{
	struct towns *t = town_new();
	const struct route_refused was = { .service = 5, .area = 2, .priority = 1 };
	const struct route_refused bare = { .service = 6 };
	struct town_config *town = seal(t);
	struct route route;

	route_refused(town, &was, NOON_US, &route);
	ASSERT_EQ((int)route.kind, ROUTE_REFUSED);
	ASSERT_EQ(route.department, 1);
	ASSERT_EQ(route.service, 5);
	ASSERT_EQ(route.area, 2);
	ASSERT_EQ(route.priority, 1);
	ASSERT_EQ(route.deadline_us, NOON_US + 60 * MINUTE_US);
	route_refused(town, &bare, NOON_US, &route);
	ASSERT_EQ(route.priority, ROUTE_PRIORITY_USUAL);
	ASSERT_EQ(route.area, 0);
	towns_free(t);
}

TEST(history_keeps_what_was_decided)
{
	struct towns *t = town_new();
	Centraleta__V1__Place place = CENTRALETA__V1__PLACE__INIT;
	Centraleta__V1__RequestImported m = CENTRALETA__V1__REQUEST_IMPORTED__INIT;
	struct town_config *town = seal(t);
	struct route route;

	place.lat = place.long_ = 1.5;
	m.service = 5;
	m.department = 7;
	m.place = &place;
	m.requested_at_us = NOON_US;
	m.deadline_us = NOON_US + 5;
	route_imported(town, &m, &route);
	ASSERT_EQ((int)route.kind, ROUTE_IMPORTED);
	ASSERT_EQ(route.department, 7);
	ASSERT_EQ(route.area, 2);
	ASSERT_EQ(route.deadline_us, NOON_US + 5);
	m.deadline_us = 0;
	m.place = NULL;
	route_imported(town, &m, &route);
	ASSERT_EQ(route.area, 0);
	ASSERT_EQ(route.deadline_us, NOON_US + 60 * MINUTE_US);
	towns_free(t);
}

TEST(facts_are_taken_from_the_event)
{
	Centraleta__V1__RequestReceived m = CENTRALETA__V1__REQUEST_RECEIVED__INIT;
	Centraleta__V1__AttributeValue value = CENTRALETA__V1__ATTRIBUTE_VALUE__INIT;
	Centraleta__V1__AttributeValue *values[ROUTE_VALUES_MAX + 1];
	struct route_facts f;
	char code[] = "SIZE", key[] = "large";

	value.code = code;
	value.key = key;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		values[i] = &value;
	m.service = 5;
	m.channel = CENTRALETA__V1__CHANNEL__CHANNEL_SMS;
	m.requested_at_us = NOON_US;
	m.attributes = values;
	m.n_attributes = ARRAY_SIZE(values);
	route_facts_of(&m, &f);
	ASSERT_EQ(f.service, 5);
	ASSERT_EQ(f.channel, 5);
	ASSERT_FALSE(f.placed);
	ASSERT_EQ(f.from_us, NOON_US);
	ASSERT_EQ(f.values_n, (size_t)ROUTE_VALUES_MAX);
	ASSERT_STR_EQ(f.values[ROUTE_VALUES_MAX - 1].key, "large");
}

/* ---- random rules: gaps, retired departments, areas that aren't there ----------------------- */

static const char *const codes[] = { "SIZE", "COLOUR" };
static const char *const keys[] = { "small", "large", "red" };

static struct rule_row random_rule(int32_t position)
{
	struct rule_row row = {
		.position = position,
		.service = (int32_t)draw(SERVICES),
		.area = draw(2) ? (int32_t)draw(AREAS + 2) : 0,
		.channel = draw(3) ? 0 : (int)draw(4),
		.department = 1 + (int32_t)draw(DEPARTMENTS),
		.priority = 1 + (int)draw(5),
		.target = draw(2) ? "working" : "calendar",
		.target_minutes = 1 + (int32_t)draw(20000),
	};

	if (!draw(3)) {
		row.attribute = codes[draw(2)];
		row.value = keys[draw(3)];
	}
	return row;
}

static struct route_facts random_facts(void)
{
	struct route_facts f = {
		.service = 1 + (int32_t)draw(SERVICES),
		.channel = 1 + (int)draw(4),
		.placed = draw(4),
		.lat = draw(11) / 2.0, /* borders and corners are among these */
		.lon = draw(11) / 2.0,
		.values_n = draw(3),
		.from_us = NOON_US + (int64_t)draw(1000000) * 1000000,
	};

	for (size_t i = 0; i < f.values_n; i++)
		f.values[i] = (struct answer_value){ codes[draw(2)], keys[draw(3)] };
	return f;
}

/* what the rules mean, said once more in another way */
static bool holds(const struct rule *r, const struct route_facts *f)
{
	double far = MAX(f->lat, f->lon);
	int32_t area = !f->placed || far > AREAS ? 0 : far <= 1 ? 1 : (int32_t)(far + 0.5);
	bool answered = !r->attribute;

	for (size_t i = 0; i < f->values_n; i++)
		answered |= r->attribute && !strcmp(r->attribute, f->values[i].code) &&
			    !strcmp(r->value, f->values[i].key);
	return !r->retired && answered && (!r->service || r->service == f->service) &&
	       (!r->area || r->area == area) && (!r->channel || r->channel == f->channel);
}

static void check_decision(struct town_config *town, const struct route_facts *f)
{
	struct route route, explained;
	struct rule_trial trials[40];
	const struct rule *want = NULL;
	size_t tried;

	for (size_t i = 0; i < town->rules_n && !want; i++)
		if (holds(&town->rules[i], f))
			want = &town->rules[i];
	memset(&route, 0x55, sizeof(route));
	route_decide(town, f, &route);
	ASSERT_EQ((int)route.kind, want ? ROUTE_RULE : ROUTE_TRIAGE);
	ASSERT_EQ(route.department, want ? want->department : 1);
	ASSERT_EQ(route.rule_position, want ? want->position : 0);
	ASSERT_EQ(route.home_lane, route.department % 8);
	ASSERT_TRUE(route.department != DEPARTMENTS); /* the retired one */
	ASSERT_TRUE(route.deadline_us > f->from_us);
	ASSERT_TRUE(route.priority >= 1 && route.priority <= 5);

	tried = route_explain(town, f, &explained, trials, ARRAY_SIZE(trials));
	ASSERT_EQ(explained.department, route.department);
	ASSERT_EQ(explained.deadline_us, route.deadline_us);
	ASSERT_EQ(explained.rule_position, route.rule_position);
	ASSERT_EQ(tried, want ? (size_t)(want - town->rules) + 1 : town->rules_n);
	for (size_t i = 0; i < tried; i++) {
		ASSERT_TRUE(trials[i].rule == &town->rules[i]);
		ASSERT_EQ(trials[i].verdict == RULE_MATCHES, trials[i].rule == want);
	}
}

TEST(random_rules_always_give_exactly_one_owner)
{
	for (int round = 0; round < 60; round++) {
		struct towns *t = town_new();
		struct town_config *town;
		int32_t rules = (int32_t)draw(40);

		for (int32_t i = 1; i <= rules; i++)
			add_rule(t, random_rule(3 * i));
		town = seal(t);
		for (int i = 0; i < 60; i++) {
			const struct route_facts f = random_facts();

			check_decision(town, &f);
		}
		towns_free(t);
	}
}

TEST(explaining_writes_no_more_than_asked)
{
	struct towns *t = town_new();
	const struct route_facts f = { .service = 1, .from_us = NOON_US };
	struct rule_trial trials[2] = { { NULL, 0 }, { NULL, 0 } };
	struct route route;
	struct town_config *town;

	for (int32_t i = 1; i <= 5; i++)
		add_rule(t, (struct rule_row){ .position = i, .service = 2, .department = 3,
					       .target = "calendar", .target_minutes = 1 });
	town = seal(t);
	ASSERT_EQ(route_explain(town, &f, &route, trials, 1), 5u);
	ASSERT_EQ((int)trials[0].verdict, RULE_OTHER_SERVICE);
	ASSERT_NULL(trials[1].rule);
	towns_free(t);
}
