#pragma once
/*
 * core_town - what routing knows of each town: departments, rules in force, calendar, areas
 *
 * Built from plain rows, in the order of the add functions below, then sealed; nothing changes
 * afterwards (but GEOS' indexes, which grow at their first question). A new configuration is a new
 * object beside the old one. The daemon and `centraleta route explain` both fill it by load.h.
 */
#include "common/base/base.h"
#include "services/routing/core_area.h"
#include "services/routing/core_calendar.h"
#include "services/routing/core_rule.h"

struct department {
	int32_t department;
	int16_t home_lane;
	bool retired;
};

struct town_config {
	int32_t jurisdiction;
	char *slug;
	struct department triage; /* gets what no rule matches; retired or not */
	int32_t triage_minutes; /* of real time */
	struct department *departments; /* by number */
	size_t departments_n;
	int32_t rule_version; /* in force; 0: the town has no rules */
	struct rule *rules; /* by position */
	size_t rules_n;
	struct calendar calendar;
	struct area_index *areas;
};

struct towns;

enum { TOWN_E_FAULT = 1 };
struct town_fault { /* what is wrong, for a log line and the operator */
	char text[400];
};

int towns_new(struct towns **ret) _must_check_;
void towns_free(struct towns *t);
DEFINE_CLEANUP(struct towns *, towns_free)

/* ---- building ------------------------------------------------------------------------------
 *
 * Each returns 0; TOWN_E_FAULT: the row is wrong, ret says why; -ENOMEM. Texts are copied.
 */
struct town_row {
	int32_t jurisdiction;
	const char *slug, *time_zone;
	int32_t triage_department, triage_minutes;
};
/* towns first, in ascending order */
int towns_add_town(struct towns *t, const struct town_row *row, struct town_fault *ret) _must_check_;
/* before the rules */
int towns_add_department(struct towns *t, int32_t jurisdiction, const struct department *d,
			 struct town_fault *ret) _must_check_;
struct rule_row {
	int32_t jurisdiction, version, position;
	int32_t service, area; /* 0: any */
	int channel; /* 0: any */
	const char *attribute, *value; /* NULL: any */
	int32_t department;
	int priority;
	const char *target; /* "calendar" or "working" */
	int32_t target_minutes;
};
/* of the version in force only, each town's by ascending position */
int towns_add_rule(struct towns *t, const struct rule_row *row, struct town_fault *ret) _must_check_;
int towns_add_hours(struct towns *t, int32_t jurisdiction, struct span span,
		    struct town_fault *ret) _must_check_;
int towns_add_holiday(struct towns *t, int32_t jurisdiction, int32_t day,
		      struct town_fault *ret) _must_check_;
int towns_add_area(struct towns *t, int32_t jurisdiction, int32_t area, struct bytes wkb,
		   struct town_fault *ret) _must_check_;
/* once, at the end: every town has its triage department, calendars are put in order */
int towns_seal(struct towns *t, struct town_fault *ret) _must_check_;

/* ---- asking --------------------------------------------------------------------------------- */

/* NULL: not known. Owned by t */
struct town_config *towns_find(const struct towns *t, int32_t jurisdiction);
/* NULL: the town has no such department */
const struct department *town_department(const struct town_config *town, int32_t department);

struct towns_count {
	size_t towns, departments, rules, areas;
};
void towns_count(const struct towns *t, struct towns_count *ret);
