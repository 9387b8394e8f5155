/*
 * core - routing decisions
 */
#include "services/routing/core.h"

const char *route_kind_name(enum route_kind k)
{
	static const char *const names[] = {
		[ROUTE_RULE] = "rule",
		[ROUTE_TRIAGE] = "triage",
		[ROUTE_REFUSED] = "refused",
		[ROUTE_IMPORTED] = "imported",
	};

	return k < ARRAY_SIZE(names) ? names[k] : "unknown";
}

void route_facts_of(const Centraleta__V1__RequestReceived *m, struct route_facts *ret)
{
	*ret = (struct route_facts){
		.service = m->service,
		.channel = m->channel,
		.placed = m->place != NULL,
		.lat = m->place ? m->place->lat : 0,
		.lon = m->place ? m->place->long_ : 0,
		.values_n = MIN(m->n_attributes, (size_t)ROUTE_VALUES_MAX),
		.from_us = m->requested_at_us,
	};
	for (size_t i = 0; i < ret->values_n; i++)
		ret->values[i] = (struct answer_value){ m->attributes[i]->code, m->attributes[i]->key };
}

static struct rule_facts rule_facts_of(const struct town_config *town, const struct route_facts *f)
{
	return (struct rule_facts){
		.service = f->service,
		.area = f->placed ? area_index_find(town->areas, f->lat, f->lon) : 0,
		.channel = f->channel,
		.values = f->values,
		.values_n = f->values_n,
	};
}

static void route_by_rule(const struct town_config *town, const struct rule *rule, int64_t from_us,
			  struct route *ret)
{
	ret->kind = ROUTE_RULE;
	ret->department = rule->department;
	ret->home_lane = rule->home_lane;
	ret->priority = rule->priority;
	ret->rule_version = town->rule_version;
	ret->rule_position = rule->position;
	ret->deadline_us = rule->working ? calendar_working_deadline(&town->calendar, from_us,
								     rule->target_minutes)
					 : calendar_deadline(from_us, rule->target_minutes);
}

static void route_to_triage(const struct town_config *town, enum route_kind kind, int64_t from_us,
			    struct route *ret)
{
	ret->kind = kind;
	ret->department = town->triage.department;
	ret->home_lane = town->triage.home_lane;
	ret->priority = ROUTE_PRIORITY_USUAL;
	ret->deadline_us = calendar_deadline(from_us, town->triage_minutes);
}

static void route_apply(const struct town_config *town, const struct rule_facts *f,
			const struct rule *rule, int64_t from_us, struct route *ret)
{
	*ret = (struct route){ .service = f->service, .area = f->area };
	if (rule)
		route_by_rule(town, rule, from_us, ret);
	else
		route_to_triage(town, ROUTE_TRIAGE, from_us, ret);
}

void route_decide(const struct town_config *town, const struct route_facts *f, struct route *ret)
{
	const struct rule_facts facts = rule_facts_of(town, f);
	const struct rule *rule = rule_first(town->rules, town->rules_n, &facts);

	route_apply(town, &facts, rule, f->from_us, ret);
}

size_t route_explain(const struct town_config *town, const struct route_facts *f, struct route *ret,
		     struct rule_trial *ret_trials, size_t max)
{
	const struct rule_facts facts = rule_facts_of(town, f);
	const struct rule *matched = NULL;
	size_t tried = 0;

	while (tried < town->rules_n && !matched) {
		const struct rule *rule = &town->rules[tried];
		enum rule_verdict v = rule_try(rule, &facts);

		if (v == RULE_MATCHES)
			matched = rule;
		if (tried < max)
			ret_trials[tried] = (struct rule_trial){ rule, v };
		tried++;
	}
	route_apply(town, &facts, matched, f->from_us, ret);
	return tried;
}

void route_refused(const struct town_config *town, const struct route_refused *w, int64_t now_us,
		   struct route *ret)
{
	*ret = (struct route){ .service = w->service, .area = w->area };
	route_to_triage(town, ROUTE_REFUSED, now_us, ret);
	if (w->priority)
		ret->priority = w->priority;
}

void route_imported(const struct town_config *town, const Centraleta__V1__RequestImported *m,
		    struct route *ret)
{
	*ret = (struct route){
		.kind = ROUTE_IMPORTED,
		.department = m->department,
		.service = m->service,
		.area = m->place ? area_index_find(town->areas, m->place->lat, m->place->long_) : 0,
		.priority = ROUTE_PRIORITY_USUAL,
		.deadline_us = m->deadline_us,
	};
	/* history without a target is measured by the town's own for what nobody decided */
	if (!ret->deadline_us)
		ret->deadline_us = calendar_deadline(m->requested_at_us, town->triage_minutes);
}
