#include <stdio.h>
#include "tests/unit/intake/fixture.h"

struct catalog *fixture_catalog(void)
{
	struct catalog *c;
	const struct town boston = {
		.id = 1, .slug = "boston", .jurisdiction_id = "boston.gov", .name = "Boston",
		.language = LANG_EN, .triage = 11, .triage_us = INT64_C(172800000000), .boxed = true,
		.min_lat = 42.2, .min_long = -71.2, .max_lat = 42.4, .max_long = -70.9,
	};
	const struct town girona = { .id = 2, .slug = "girona", .jurisdiction_id = "girona.cat",
				     .name = "Girona", .language = LANG_CA, .triage = 21,
				     .triage_us = INT64_C(172800000000) };

	ASSERT_OK(catalog_new(&c, 7));
	ASSERT_OK(catalog_add_town(c, &boston, "America/New_York"));
	ASSERT_OK(catalog_add_town(c, &girona, "Europe/Madrid"));
	ASSERT_OK(catalog_add_lane(c, 1, 2));
	ASSERT_OK(catalog_add_lane(c, 1, 5));
	ASSERT_OK(catalog_add_lane(c, 2, 3));
	ASSERT_OK(catalog_add_department(c, 1, 11, "triage", "Triage desk"));
	ASSERT_OK(catalog_add_department(c, 1, 12, "roads", "Roads & Bridges"));
	ASSERT_OK(catalog_add_department(c, 2, 21, "triatge", "Triatge"));
	ASSERT_OK(catalog_add_offer(c, 1, &(struct offer){ .id = 101, .code = "pot/hole+&", .name = "Pothole",
							   .notice = "We look at it." }));
	ASSERT_OK(catalog_add_offer(c, 1, &(struct offer){ .id = 102, .code = "old", .name = "Old",
							   .retired = true }));
	ASSERT_OK(catalog_add_offer(c, 2, &(struct offer){ .id = 201, .code = "clot", .name = "Clot" }));
	static const struct attribute attributes[] = {
		{ .code = "SIZE", .datatype = DATA_SINGLE, .variable = true, .required = true, .ord = 1 },
		{ .code = "WHERE", .datatype = DATA_MULTI, .variable = true, .ord = 2 },
		{ .code = "DEPTH", .datatype = DATA_NUMBER, .variable = true, .ord = 3 },
		{ .code = "SEEN", .datatype = DATA_DATETIME, .variable = true, .ord = 4 },
		{ .code = "NOTE", .datatype = DATA_TEXT, .variable = true, .ord = 5 },
		{ .code = "SIGN", .datatype = DATA_STRING, .variable = true, .ord = 6 },
		{ .code = "INFO", .datatype = DATA_TEXT, .required = true, .ord = 7,
		  .description = "Read <this>" },
	};
	FOREACH(a, attributes)
		ASSERT_OK(catalog_add_attribute(c, 101, a));
	ASSERT_OK(catalog_add_value(c, 101, "SIZE", "s", "Small"));
	ASSERT_OK(catalog_add_value(c, 101, "SIZE", "l", "Large"));
	ASSERT_OK(catalog_add_value(c, 101, "WHERE", "street", "Street"));
	ASSERT_OK(catalog_add_value(c, 101, "WHERE", "path", "Path"));
	ASSERT_OK(catalog_add_door(c, 1, 31, 2));
	ASSERT_OK(catalog_add_door(c, 2, 32, 3));
	return c;
}

void fixture_form(struct submission *s, const char *body)
{
	static struct http_form form;

	http_form_fini(&form);
	ASSERT_OK(http_form_parse(&form, body, strlen(body), FORM_PAIRS_MAX));
	submission_from_form(s, &form, NULL, NULL);
}

bool fixture_check(struct catalog *c, struct submission *s, struct field_errors *e,
		   struct checked *ret)
{
	e->n = 0;
	return submission_check(s, c, catalog_offer(c, 101), catalog_door(c, 31), false, NOW_US, e, ret);
}

const char *fixture_codes(const struct field_errors *e)
{
	static char out[4096];
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < e->n; i++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s:%s", i ? "," : "",
				      fault_code(e->list[i].fault), e->list[i].field);
	return out;
}
