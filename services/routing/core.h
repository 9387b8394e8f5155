#pragma once
/*
 * core - from what happened to a request to who owns it and until when
 *
 * Total: every request of a known town gets exactly one department and one deadline; what no rule
 * matches goes to the town's triage department. Pure, and the same for the daemon and for
 * `centraleta route explain`.
 */
#include "common/base/base.h"
#include "services/routing/core_town.h"
#include "centraleta/v1/event.pb-c.h"

enum route_kind { ROUTE_RULE, ROUTE_TRIAGE, ROUTE_REFUSED, ROUTE_IMPORTED };
const char *route_kind_name(enum route_kind k);

enum { ROUTE_PRIORITY_USUAL = 3 };

struct route {
	enum route_kind kind;
	int32_t department;
	int16_t home_lane; /* the department's; 0 of an imported request, which isn't delivered */
	int32_t service;
	int32_t area; /* 0: none */
	int priority;
	int64_t deadline_us;
	int32_t rule_version, rule_position; /* 0: no rule */
};

#define ROUTE_VALUES_MAX 64 /* answers of one request that rules look at */

/* what the decision about a new request rests on */
struct route_facts {
	int32_t service;
	int channel;
	bool placed;
	double lat, lon; /* if placed */
	struct answer_value values[ROUTE_VALUES_MAX]; /* borrowed texts */
	size_t values_n;
	int64_t from_us; /* deadlines count from here: when it was asked */
};

/* texts stay borrowed from m; answers beyond ROUTE_VALUES_MAX are left out */
void route_facts_of(const Centraleta__V1__RequestReceived *m, struct route_facts *ret);

void route_decide(const struct town_config *town, const struct route_facts *f, struct route *ret);

/* one rule that was looked at */
struct rule_trial {
	const struct rule *rule;
	enum rule_verdict verdict;
};
/*
 * The same decision, and all rules up to the one that matched with the reason why each did not.
 * Returns how many were tried; at most `max` are written.
 */
size_t route_explain(const struct town_config *town, const struct route_facts *f, struct route *ret,
		     struct rule_trial *ret_trials, size_t max);

/* what a refused work item was; it goes on at triage with the same service, area and priority */
struct route_refused {
	int32_t service, area;
	int priority; /* 0: unknown, the usual */
};
void route_refused(const struct town_config *town, const struct route_refused *w, int64_t now_us,
		   struct route *ret);

/* a row of history: what was decided elsewhere, put in our words */
void route_imported(const struct town_config *town, const Centraleta__V1__RequestImported *m,
		    struct route *ret);
