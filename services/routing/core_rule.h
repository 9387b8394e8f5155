#pragma once
/*
 * core_rule - ordered rules: the first that matches says who does the work, and until when
 *
 * A rule names conditions, each optional; all that it names must hold. Pure.
 */
#include "common/base/base.h"

struct answer_value { /* of a list attribute */
	const char *code, *key;
};

/* what rules ask about */
struct rule_facts {
	int32_t service;
	int32_t area; /* 0: no area covers the place, or no place was given */
	int channel; /* Channel of event.proto */
	const struct answer_value *values;
	size_t values_n;
};

struct rule {
	int32_t position; /* first match wins, in ascending order */
	int32_t service, area; /* 0: any */
	int channel; /* 0: any */
	char *attribute, *value; /* NULL: any; else both; owned */
	int32_t department;
	int32_t home_lane; /* the department's */
	bool retired; /* the department is: the rule never matches */
	int priority; /* 1 … 5, 1 is first */
	bool working; /* target in working minutes; else in calendar minutes */
	int32_t target_minutes;
};

enum rule_verdict {
	RULE_MATCHES,
	RULE_OTHER_SERVICE,
	RULE_NO_AREA, /* the rule names an area, the place is in none */
	RULE_OTHER_AREA,
	RULE_OTHER_CHANNEL,
	RULE_NO_VALUE, /* the attribute was not answered */
	RULE_OTHER_VALUE,
	RULE_RETIRED, /* all holds, but the department is retired */
};
const char *rule_verdict_text(enum rule_verdict v); /* "another service" */

/* the first condition that doesn't hold, in the order of the enum */
enum rule_verdict rule_try(const struct rule *r, const struct rule_facts *f);
/* NULL: none matches. rules are sorted by position */
const struct rule *rule_first(const struct rule *rules, size_t n, const struct rule_facts *f);
