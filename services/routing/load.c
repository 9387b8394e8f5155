/*
 * load - statements and rows into core_town
 *
 * Each statement sees its own snapshot. Where the revision is the same before and after, nothing
 * changed in between, since every change of these tables raises it in its own transaction.
 */
#include "services/routing/load.h"

const char *const load_sql[LOAD_N] = {
#define QUERY(id, text) [id] = text,
#include "services/routing/load.def"
#undef QUERY
};

struct loading {
	struct towns *towns;
	struct town_fault *fault;
};

static int64_t integer(const struct load_rows *rows, size_t row, unsigned col)
{
	return rows->integer(rows->ctx, row, col);
}

static const char *text_or_null(const struct load_rows *rows, size_t row, unsigned col)
{
	return rows->null(rows->ctx, row, col) ? NULL : rows->text(rows->ctx, row, col);
}

static int load_town(struct loading *l, const struct load_rows *rows, size_t i)
{
	const struct town_row row = {
		.jurisdiction = integer(rows, i, 0),
		.slug = rows->text(rows->ctx, i, 1),
		.time_zone = rows->text(rows->ctx, i, 2),
		.triage_department = integer(rows, i, 3),
		.triage_minutes = integer(rows, i, 4),
	};

	return towns_add_town(l->towns, &row, l->fault);
}

static int load_rule(struct loading *l, const struct load_rows *rows, size_t i)
{
	const struct rule_row row = {
		.jurisdiction = integer(rows, i, 0),
		.version = integer(rows, i, 1),
		.position = integer(rows, i, 2),
		.service = integer(rows, i, 3),
		.area = integer(rows, i, 4),
		.channel = integer(rows, i, 5),
		.attribute = text_or_null(rows, i, 6),
		.value = text_or_null(rows, i, 7),
		.department = integer(rows, i, 8),
		.priority = integer(rows, i, 9),
		.target = rows->text(rows->ctx, i, 10),
		.target_minutes = integer(rows, i, 11),
	};

	return towns_add_rule(l->towns, &row, l->fault);
}

static int load_department(struct loading *l, const struct load_rows *rows, size_t i)
{
	const struct department d = {
		.department = integer(rows, i, 1),
		.home_lane = integer(rows, i, 2),
		.retired = integer(rows, i, 3),
	};

	return towns_add_department(l->towns, integer(rows, i, 0), &d, l->fault);
}

static int load_hours(struct loading *l, const struct load_rows *rows, size_t i)
{
	const struct span span = {
		.weekday = integer(rows, i, 1),
		.opens = integer(rows, i, 2),
		.closes = integer(rows, i, 3),
	};

	return towns_add_hours(l->towns, integer(rows, i, 0), span, l->fault);
}

static int load_holiday(struct loading *l, const struct load_rows *rows, size_t i)
{
	return towns_add_holiday(l->towns, integer(rows, i, 0), integer(rows, i, 1), l->fault);
}

static int load_area(struct loading *l, const struct load_rows *rows, size_t i)
{
	return towns_add_area(l->towns, integer(rows, i, 0), integer(rows, i, 1),
			      rows->bytes(rows->ctx, i, 2), l->fault);
}

static int load_table(struct loading *l, const struct load_rows *rows,
		      int (*row)(struct loading *l, const struct load_rows *rows, size_t i))
{
	int r = 0;

	for (size_t i = 0; i < rows->n && !r; i++)
		r = row(l, rows, i);
	return r;
}

static int load_tables(struct loading *l, const struct load_rows rows[static LOAD_N])
{
	int r = load_table(l, &rows[LOAD_TOWNS], load_town);

	if (!r)
		r = load_table(l, &rows[LOAD_DEPARTMENTS], load_department);
	if (!r)
		r = load_table(l, &rows[LOAD_RULES], load_rule);
	if (!r)
		r = load_table(l, &rows[LOAD_HOURS], load_hours);
	if (!r)
		r = load_table(l, &rows[LOAD_HOLIDAYS], load_holiday);
	if (!r)
		r = load_table(l, &rows[LOAD_AREAS], load_area);
	return r ? r : towns_seal(l->towns, l->fault);
}

int load_towns(const struct load_rows rows[static LOAD_N], struct towns **ret, int64_t *ret_revision,
	       struct town_fault *ret_fault)
{
	_cleanup_(towns_freep) struct towns *towns = NULL;
	struct loading l = { .fault = ret_fault };
	int64_t revision;
	int r;

	if (rows[LOAD_REVISION].n != 1 || rows[LOAD_REVISION_AGAIN].n != 1) {
		*ret_fault = (struct town_fault){ "config_revision has not exactly one row" };
		*ret_revision = 0;
		return LOAD_E_FAULT;
	}
	revision = integer(&rows[LOAD_REVISION], 0, 0);
	if (integer(&rows[LOAD_REVISION_AGAIN], 0, 0) != revision)
		return LOAD_E_MOVED;
	r = towns_new(&towns);
	if (r)
		return r;
	l.towns = towns;
	r = load_tables(&l, rows);
	if (r < 0)
		return r;
	*ret_revision = revision;
	if (r)
		return LOAD_E_FAULT;
	*ret = steal(towns);
	return 0;
}
