/*
 * core_town - building the configuration of all towns
 *
 * Rows of all towns come table by table and sorted by town, so the town of a row is nearly always
 * that of the row before: towns_of() looks there first.
 */
#include <stdarg.h>
#include <stdio.h>
#include "services/routing/array.h"
#include "services/routing/core_town.h"

struct towns {
	struct town_config **list; /* by jurisdiction; owned */
	size_t n;
	size_t last; /* of the row before */
};

static void town_free(struct town_config *town)
{
	free(town->slug);
	free(town->departments);
	for (size_t i = 0; i < town->rules_n; i++) {
		free(town->rules[i].attribute);
		free(town->rules[i].value);
	}
	free(town->rules);
	calendar_fini(&town->calendar);
	area_index_free(town->areas);
	free(town);
}
DEFINE_CLEANUP(struct town_config *, town_free)

int towns_new(struct towns **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : err_here(-ENOMEM);
}

void towns_free(struct towns *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		town_free(t->list[i]);
	free(t->list);
	free(t);
}

static int fault(struct town_fault *ret, const struct town_config *town, const char *fmt, ...)
	_printf_(3, 4);

static int fault(struct town_fault *ret, const struct town_config *town, const char *fmt, ...)
{
	int n = snprintf(ret->text, sizeof(ret->text), "town %s: ", town->slug);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ret->text + n, sizeof(ret->text) - n, fmt, ap);
	va_end(ap);
	return TOWN_E_FAULT;
}

static int unknown_town(struct town_fault *ret, const char *what, int32_t jurisdiction)
{
	snprintf(ret->text, sizeof(ret->text), "%s of an unknown town: jurisdiction %d", what,
		 jurisdiction);
	return TOWN_E_FAULT;
}

static int by_jurisdiction(const void *key, const void *item)
{
	const int32_t *jurisdiction = key;
	struct town_config *const *town = item;

	return (*jurisdiction > (*town)->jurisdiction) - (*jurisdiction < (*town)->jurisdiction);
}

struct town_config *towns_find(const struct towns *t, int32_t jurisdiction)
{
	struct town_config **town = NULL;

	if (t->n)
		town = bsearch(&jurisdiction, t->list, t->n, sizeof(*t->list), by_jurisdiction);
	return town ? *town : NULL;
}

static struct town_config *towns_of(struct towns *t, int32_t jurisdiction)
{
	while (t->last < t->n && t->list[t->last]->jurisdiction < jurisdiction)
		t->last++;
	if (t->last < t->n && t->list[t->last]->jurisdiction == jurisdiction)
		return t->list[t->last];
	t->last = 0;
	return towns_find(t, jurisdiction);
}

static int town_new(struct town_config **ret, const struct town_row *row, struct town_fault *ret_fault)
{
	_cleanup_(town_freep) struct town_config *town = calloc(1, sizeof(*town));
	int r;

	if (!town)
		return err_here(-ENOMEM);
	town->jurisdiction = row->jurisdiction;
	town->triage.department = row->triage_department;
	town->triage_minutes = row->triage_minutes;
	town->slug = strdup(row->slug);
	if (!town->slug)
		return err_here(-ENOMEM);
	if (row->triage_minutes <= 0)
		return fault(ret_fault, town, "triage_minutes is %d, must be 1 or more",
			     row->triage_minutes);
	r = calendar_init(&town->calendar, row->time_zone);
	if (r == -ENOENT)
		return fault(ret_fault, town, "no time zone %.64s in this machine's tzdata",
			     row->time_zone);
	if (r)
		return r;
	r = area_index_new(&town->areas);
	if (r)
		return r;
	*ret = steal(town);
	return 0;
}

int towns_add_town(struct towns *t, const struct town_row *row, struct town_fault *ret)
{
	_cleanup_(town_freep) struct town_config *town = NULL;
	int r = town_new(&town, row, ret);

	if (r)
		return r;
	if (t->n && t->list[t->n - 1]->jurisdiction >= row->jurisdiction)
		return fault(ret, town, "comes twice, or out of order");
	r = array_grow((void **)&t->list, t->n, sizeof(*t->list));
	if (r)
		return r;
	t->list[t->n++] = steal(town);
	return 0;
}

static int by_department(const void *a, const void *b)
{
	const struct department *x = a, *y = b;

	return (x->department > y->department) - (x->department < y->department);
}

int towns_add_department(struct towns *t, int32_t jurisdiction, const struct department *d,
			 struct town_fault *ret)
{
	struct town_config *town = towns_of(t, jurisdiction);
	int r;

	if (!town)
		return unknown_town(ret, "a department", jurisdiction);
	if (town->departments_n &&
	    town->departments[town->departments_n - 1].department >= d->department)
		return fault(ret, town, "department %d comes twice, or out of order", d->department);
	r = array_grow((void **)&town->departments, town->departments_n, sizeof(*d));
	if (r)
		return r;
	town->departments[town->departments_n++] = *d;
	return 0;
}

const struct department *town_department(const struct town_config *town, int32_t department)
{
	const struct department key = { .department = department };

	if (!town->departments_n)
		return NULL;
	return bsearch(&key, town->departments, town->departments_n, sizeof(key), by_department);
}

/* what the store's constraints promise, asked again: a wrong rule must not route by accident */
static int rule_check(const struct town_config *town, const struct rule_row *row,
		      struct town_fault *ret)
{
	const int32_t last = town->rules_n ? town->rules[town->rules_n - 1].position : 0;

	if (town->rules_n && row->version != town->rule_version)
		return fault(ret, town, "rules of the versions %d and %d together",
			     town->rule_version, row->version);
	if (row->position <= last)
		return fault(ret, town, "rule %d comes twice, or out of order", row->position);
	if (!town_department(town, row->department))
		return fault(ret, town, "rule %d leads to department %d, which the town doesn't have",
			     row->position, row->department);
	if (!row->attribute != !row->value)
		return fault(ret, town, "rule %d has an attribute without a value, or a value without "
			     "an attribute", row->position);
	if (strcmp(row->target, "calendar") && strcmp(row->target, "working"))
		return fault(ret, town, "rule %d has the target %.32s: neither calendar nor working",
			     row->position, row->target);
	if (row->target_minutes <= 0)
		return fault(ret, town, "rule %d has target_minutes %d, must be 1 or more",
			     row->position, row->target_minutes);
	return 0;
}

int towns_add_rule(struct towns *t, const struct rule_row *row, struct town_fault *ret)
{
	struct town_config *town = towns_of(t, row->jurisdiction);
	const struct department *d;
	struct rule *rule;
	int r;

	if (!town)
		return unknown_town(ret, "a rule", row->jurisdiction);
	r = rule_check(town, row, ret);
	if (!r)
		r = array_grow((void **)&town->rules, town->rules_n, sizeof(*town->rules));
	if (r)
		return r;
	d = town_department(town, row->department);
	rule = &town->rules[town->rules_n++];
	*rule = (struct rule){
		.position = row->position,
		.service = row->service,
		.area = row->area,
		.channel = row->channel,
		.attribute = row->attribute ? strdup(row->attribute) : NULL,
		.value = row->value ? strdup(row->value) : NULL,
		.department = d->department,
		.home_lane = d->home_lane,
		.retired = d->retired,
		.priority = row->priority,
		.working = !strcmp(row->target, "working"),
		.target_minutes = row->target_minutes,
	};
	town->rule_version = row->version;
	return row->attribute && (!rule->attribute || !rule->value) ? err_here(-ENOMEM) : 0;
}

int towns_add_hours(struct towns *t, int32_t jurisdiction, struct span span, struct town_fault *ret)
{
	struct town_config *town = towns_of(t, jurisdiction);
	int r;

	if (!town)
		return unknown_town(ret, "working hours", jurisdiction);
	r = calendar_add_span(&town->calendar, span);
	if (r == -EINVAL)
		return fault(ret, town, "working hours from minute %d to %d of weekday %d",
			     span.opens, span.closes, span.weekday);
	return r;
}

int towns_add_holiday(struct towns *t, int32_t jurisdiction, int32_t day, struct town_fault *ret)
{
	struct town_config *town = towns_of(t, jurisdiction);

	if (!town)
		return unknown_town(ret, "a holiday", jurisdiction);
	return calendar_add_holiday(&town->calendar, day);
}

int towns_add_area(struct towns *t, int32_t jurisdiction, int32_t area, struct bytes wkb,
		   struct town_fault *ret)
{
	struct town_config *town = towns_of(t, jurisdiction);
	int r;

	if (!town)
		return unknown_town(ret, "an area", jurisdiction);
	r = area_index_add(town->areas, area, wkb);
	if (r == AREA_E_BROKEN)
		return fault(ret, town, "the shape of area %d is broken: %s", area,
			     area_index_reason(town->areas));
	return r;
}

int towns_seal(struct towns *t, struct town_fault *ret)
{
	for (size_t i = 0; i < t->n; i++) {
		struct town_config *town = t->list[i];
		const struct department *triage = town_department(town, town->triage.department);
		int r;

		if (!triage)
			return fault(ret, town, "triage department %d isn't one of the town's",
				     town->triage.department);
		town->triage = *triage;
		r = calendar_seal(&town->calendar);
		if (r)
			return r;
	}
	return 0;
}

void towns_count(const struct towns *t, struct towns_count *ret)
{
	*ret = (struct towns_count){ .towns = t->n };
	for (size_t i = 0; i < t->n; i++) {
		ret->departments += t->list[i]->departments_n;
		ret->rules += t->list[i]->rules_n;
		ret->areas += area_index_count(t->list[i]->areas);
	}
}
