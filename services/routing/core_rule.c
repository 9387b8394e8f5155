/*
 * core_rule - matching
 *
 * One function tries a rule for routing and for explaining, so that the explanation can't differ
 * from what was done.
 */
#include "services/routing/core_rule.h"

const char *rule_verdict_text(enum rule_verdict v)
{
	static const char *const texts[] = {
		[RULE_MATCHES] = "matches",
		[RULE_OTHER_SERVICE] = "another service",
		[RULE_NO_AREA] = "the place is in no area",
		[RULE_OTHER_AREA] = "another area",
		[RULE_OTHER_CHANNEL] = "another channel",
		[RULE_NO_VALUE] = "the attribute was not answered",
		[RULE_OTHER_VALUE] = "another value of the attribute",
		[RULE_RETIRED] = "the department is retired",
	};

	return v < ARRAY_SIZE(texts) ? texts[v] : "unknown";
}

/* a list attribute may have several answers: one that fits is enough */
static enum rule_verdict try_value(const struct rule *r, const struct rule_facts *f)
{
	enum rule_verdict v = RULE_NO_VALUE;

	for (size_t i = 0; i < f->values_n; i++) {
		if (strcmp(f->values[i].code, r->attribute))
			continue;
		if (!strcmp(f->values[i].key, r->value))
			return RULE_MATCHES;
		v = RULE_OTHER_VALUE;
	}
	return v;
}

enum rule_verdict rule_try(const struct rule *r, const struct rule_facts *f)
{
	if (r->service && r->service != f->service)
		return RULE_OTHER_SERVICE;
	if (r->area && !f->area)
		return RULE_NO_AREA;
	if (r->area && r->area != f->area)
		return RULE_OTHER_AREA;
	if (r->channel && r->channel != f->channel)
		return RULE_OTHER_CHANNEL;
	if (r->attribute) {
		enum rule_verdict v = try_value(r, f);

		if (v != RULE_MATCHES)
			return v;
	}
	return r->retired ? RULE_RETIRED : RULE_MATCHES;
}

const struct rule *rule_first(const struct rule *rules, size_t n, const struct rule_facts *f)
{
	for (size_t i = 0; i < n; i++)
		if (rule_try(&rules[i], f) == RULE_MATCHES)
			return &rules[i];
	return NULL;
}
