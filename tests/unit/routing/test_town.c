/* covers services/routing/core_town.c and load.c: what is taken, and what is refused with which words */
#include "services/routing/load.h"
#include "tests/lib/test.h"
#include "tests/unit/routing/wkb.h"

static struct towns *one_town(void)
{
	static const struct town_row row = { 1, "girona", "Europe/Madrid", 10, 60 };
	static const struct department d[] = { { 10, 0, false }, { 11, 3, false }, { 12, 4, true } };
	struct towns *t = NULL;
	struct town_fault f;

	ASSERT_OK(towns_new(&t));
	ASSERT_OK(towns_add_town(t, &row, &f));
	FOREACH(p, d)
		ASSERT_OK(towns_add_department(t, 1, p, &f));
	return t;
}

TEST(a_town_is_found_by_its_number)
{
	struct towns *t = NULL;
	struct town_fault f;
	struct towns_count n;

	ASSERT_OK(towns_new(&t));
	ASSERT_NULL(towns_find(t, 1));
	for (int32_t i = 1; i <= 50; i++) {
		const struct town_row row = { 3 * i, "town", "UTC", i, 60 };

		ASSERT_OK(towns_add_town(t, &row, &f));
	}
	for (int32_t i = 50; i >= 1; i--) { /* against the order that the builder expects */
		const struct department d = { .department = i, .home_lane = (int16_t)(i % 8) };

		ASSERT_OK(towns_add_department(t, 3 * i, &d, &f));
	}
	ASSERT_OK(towns_seal(t, &f));
	for (int32_t j = 0; j <= 151; j++) {
		const struct town_config *town = towns_find(t, j);

		ASSERT_EQ(town != NULL, j && j % 3 == 0 && j <= 150);
		if (town)
			ASSERT_EQ(town->triage.home_lane, j / 3 % 8);
	}
	towns_count(t, &n);
	ASSERT_EQ(n.towns, 50u);
	ASSERT_EQ(n.departments, 50u);
	towns_free(t);
}

TEST(wrong_towns_are_refused)
{
	static const struct {
		struct town_row row;
		const char *why;
	} cases[] = {
		{ { 2, "lleida", "Europe/Lleida", 10, 60 }, "town lleida: no time zone Europe/Lleida" },
		{ { 2, "lleida", "Europe/Madrid", 10, 0 }, "triage_minutes is 0" },
		{ { 1, "lleida", "Europe/Madrid", 10, 60 }, "comes twice, or out of order" },
	};
	struct towns *t = one_town();
	struct town_fault f;

	FOREACH(c, cases) {
		ASSERT_EQ(towns_add_town(t, &c->row, &f), TOWN_E_FAULT);
		ASSERT_HAS(f.text, c->why);
	}
	towns_free(t);
}

TEST(a_town_without_its_triage_department_is_refused)
{
	static const struct town_row row = { 2, "lleida", "Europe/Madrid", 10, 60 };
	struct towns *t = one_town();
	struct town_fault f;

	ASSERT_OK(towns_add_town(t, &row, &f)); /* department 10 is Girona's */
	ASSERT_EQ(towns_seal(t, &f), TOWN_E_FAULT);
	ASSERT_HAS(f.text, "town lleida: triage department 10 isn't one of the town's");
	towns_free(t);
}

TEST(wrong_rules_are_refused)
{
	static const struct {
		struct rule_row row;
		const char *why;
	} cases[] = {
		{ { 1, 5, 2, 0, 0, 0, NULL, NULL, 99, 3, "calendar", 60 }, "rule 2 leads to department 99" },
		{ { 1, 5, 1, 0, 0, 0, NULL, NULL, 10, 3, "calendar", 60 }, "rule 1 comes twice" },
		{ { 1, 6, 2, 0, 0, 0, NULL, NULL, 10, 3, "calendar", 60 }, "versions 5 and 6 together" },
		{ { 1, 5, 2, 0, 0, 0, "A", NULL, 10, 3, "calendar", 60 }, "an attribute without a value" },
		{ { 1, 5, 2, 0, 0, 0, NULL, "A", 10, 3, "calendar", 60 }, "a value without" },
		{ { 1, 5, 2, 0, 0, 0, NULL, NULL, 10, 3, "lunar", 60 }, "target lunar" },
		{ { 1, 5, 2, 0, 0, 0, NULL, NULL, 10, 3, "working", 0 }, "target_minutes 0" },
		{ { 7, 5, 2, 0, 0, 0, NULL, NULL, 10, 3, "working", 9 }, "a rule of an unknown town" },
	};
	static const struct rule_row good = { 1, 5, 1, 0, 0, 0, NULL, NULL, 11, 3, "working", 60 };
	static const struct rule_row retired = { 1, 5, 2, 0, 0, 0, "A", "B", 12, 3, "calendar", 60 };
	struct towns *t = one_town();
	const struct town_config *town = towns_find(t, 1);
	struct town_fault f;

	ASSERT_OK(towns_add_rule(t, &good, &f));
	FOREACH(c, cases) {
		ASSERT_EQ(towns_add_rule(t, &c->row, &f), TOWN_E_FAULT);
		ASSERT_HAS(f.text, c->why);
	}
	ASSERT_OK(towns_add_rule(t, &retired, &f));
	ASSERT_EQ(town->rules_n, 2u);
	ASSERT_EQ(town->rule_version, 5);
	ASSERT_EQ(town->rules[0].home_lane, 3);
	ASSERT_TRUE(town->rules[0].working && !town->rules[0].retired);
	ASSERT_TRUE(!town->rules[1].working && town->rules[1].retired);
	towns_free(t);
}

TEST(wrong_hours_and_shapes_are_refused)
{
	static const uint8_t junk[] = { 1, 2, 3 };
	const struct span never = { 1, 600, 600 };
	struct towns *t = one_town();
	struct town_fault f;

	ASSERT_EQ(towns_add_hours(t, 1, never, &f), TOWN_E_FAULT);
	ASSERT_HAS(f.text, "town girona: working hours from minute 600 to 600 of weekday 1");
	ASSERT_EQ(towns_add_area(t, 1, 44, (struct bytes){ junk, sizeof(junk) }, &f), TOWN_E_FAULT);
	ASSERT_HAS(f.text, "town girona: the shape of area 44 is broken: ");
	ASSERT_EQ(towns_add_hours(t, 9, never, &f), TOWN_E_FAULT);
	ASSERT_EQ(towns_add_holiday(t, 9, 1, &f), TOWN_E_FAULT);
	ASSERT_EQ(towns_add_area(t, 9, 44, (struct bytes){ junk, sizeof(junk) }, &f), TOWN_E_FAULT);
	ASSERT_HAS(f.text, "an area of an unknown town: jurisdiction 9");
	towns_free(t);
}

/* ---- the loader over rows of the test's own ------------------------------------------------- */

enum { COLUMNS = 12 };
struct cell {
	bool set;
	int64_t integer;
	const char *text;
	struct bytes bytes;
};
#define I(v) { .set = true, .integer = (v) }
#define T(v) { .set = true, .text = (v) }
#define NONE { 0 }
typedef const struct cell row_cells[COLUMNS];

static bool cell_null(const void *ctx, size_t row, unsigned col)
{
	return !((const row_cells *)ctx)[row][col].set;
}

static int64_t cell_integer(const void *ctx, size_t row, unsigned col)
{
	return ((const row_cells *)ctx)[row][col].integer;
}

static const char *cell_text(const void *ctx, size_t row, unsigned col)
{
	return ((const row_cells *)ctx)[row][col].text;
}

static struct bytes cell_bytes(const void *ctx, size_t row, unsigned col)
{
	return ((const row_cells *)ctx)[row][col].bytes;
}

static struct load_rows table(const row_cells *rows, size_t n)
{
	return (struct load_rows){ rows, n, cell_null, cell_integer, cell_text, cell_bytes };
}

static row_cells revision_4[] = { { I(4) } }, revision_5[] = { { I(5) } };
static row_cells town_rows[] = {
	{ I(1), T("girona"), T("Europe/Madrid"), I(10), I(60) },
	{ I(2), T("lleida"), T("Europe/Madrid"), I(20), I(90) },
};
static row_cells rule_rows[] = {
	{ I(1), I(3), I(1), I(7), NONE, I(2), T("A"), T("B"), I(11), I(2), T("working"), I(30) },
	{ I(2), I(1), I(5), NONE, I(44), NONE, NONE, NONE, I(20), I(3), T("calendar"), I(40) },
};
static row_cells department_rows[] = {
	{ I(1), I(10), I(0), I(0) },
	{ I(1), I(11), I(6), I(0) },
	{ I(2), I(20), I(7), I(1) },
};
static row_cells hours_rows[] = { { I(2), I(6), I(540), I(1440) } };
static row_cells holiday_rows[] = { { I(2), I(20000) } };

static void tables_fill(struct load_rows rows[LOAD_N])
{
	for (int i = 0; i < LOAD_N; i++)
		rows[i] = table(NULL, 0);
	rows[LOAD_REVISION] = rows[LOAD_REVISION_AGAIN] = table(revision_4, 1);
	rows[LOAD_TOWNS] = table(town_rows, ARRAY_SIZE(town_rows));
	rows[LOAD_RULES] = table(rule_rows, ARRAY_SIZE(rule_rows));
	rows[LOAD_DEPARTMENTS] = table(department_rows, ARRAY_SIZE(department_rows));
	rows[LOAD_HOURS] = table(hours_rows, ARRAY_SIZE(hours_rows));
	rows[LOAD_HOLIDAYS] = table(holiday_rows, ARRAY_SIZE(holiday_rows));
}

TEST(all_tables_are_loaded)
{
	struct load_rows rows[LOAD_N];
	struct buf wkb = BUF_INIT;
	struct cell area_rows[1][COLUMNS] = { { I(2), I(44) } };
	struct towns *t = NULL;
	struct town_fault f;
	int64_t revision = 0;
	struct town_config *girona, *lleida;

	wkb_box(&wkb, 0, 0, 1, 1);
	area_rows[0][2] = (struct cell){ .set = true, .bytes = wkb_bytes(&wkb) };
	tables_fill(rows);
	rows[LOAD_AREAS] = table((const row_cells *)area_rows, 1);
	ASSERT_OK(load_towns(rows, &t, &revision, &f));
	ASSERT_EQ(revision, 4);
	girona = towns_find(t, 1);
	lleida = towns_find(t, 2);
	ASSERT_EQ(girona->rules[0].service, 7);
	ASSERT_EQ(girona->rules[0].area, 0);
	ASSERT_EQ(girona->rules[0].channel, 2);
	ASSERT_STR_EQ(girona->rules[0].attribute, "A");
	ASSERT_STR_EQ(girona->rules[0].value, "B");
	ASSERT_EQ(girona->rules[0].home_lane, 6);
	ASSERT_EQ(girona->rules[0].priority, 2);
	ASSERT_EQ(girona->rule_version, 3);
	ASSERT_EQ(girona->calendar.spans_n, 5u);
	ASSERT_EQ(lleida->rules[0].area, 44);
	ASSERT_NULL(lleida->rules[0].attribute);
	ASSERT_TRUE(lleida->rules[0].retired && lleida->triage.retired);
	ASSERT_EQ(lleida->triage_minutes, 90);
	ASSERT_EQ(lleida->calendar.spans_n, 1u);
	ASSERT_EQ(lleida->calendar.holidays[0], 20000);
	ASSERT_EQ(area_index_find(lleida->areas, 0.5, 0.5), 44);
	towns_free(t);
	buf_fini(&wkb);
}

TEST(a_configuration_that_moved_or_is_wrong_is_not_taken)
{
	static row_cells stray[] = { { I(3), I(30), I(0), I(0) } };
	struct load_rows rows[LOAD_N];
	struct towns *t = NULL;
	struct town_fault f;
	int64_t revision = 0;

	tables_fill(rows);
	rows[LOAD_REVISION_AGAIN] = table(revision_5, 1);
	ASSERT_EQ(load_towns(rows, &t, &revision, &f), LOAD_E_MOVED);
	rows[LOAD_REVISION] = table(revision_5, 0);
	ASSERT_EQ(load_towns(rows, &t, &revision, &f), LOAD_E_FAULT);
	tables_fill(rows);
	rows[LOAD_DEPARTMENTS] = table(stray, 1);
	ASSERT_EQ(load_towns(rows, &t, &revision, &f), LOAD_E_FAULT);
	ASSERT_HAS(f.text, "a department of an unknown town: jurisdiction 3");
	ASSERT_NULL(t);
	ASSERT_EQ(revision, 4); /* the one that is wrong */
}
