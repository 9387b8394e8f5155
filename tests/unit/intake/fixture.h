#pragma once
/*
 * fixture - a catalogue of two towns, and short ways to make submissions
 */
#include "services/intake/core_entry.h"
#include "tests/lib/test.h"

#define NOW_US INT64_C(1774747800000000) /* 2026-03-29T01:30:00Z */

struct catalog *fixture_catalog(void); /* the caller's reference */
/* parses a form's body into s; what it points to lives until the next call */
void fixture_form(struct submission *s, const char *body);
/* checks s as sent to the pothole service of the first town */
bool fixture_check(struct catalog *c, struct submission *s, struct field_errors *e,
		   struct checked *ret);
/* "missing:lat,invalid:email" */
const char *fixture_codes(const struct field_errors *e);
