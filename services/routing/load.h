#pragma once
/*
 * load - the configuration of all towns from the store: one statement a table, one loader
 *
 * The daemon asks over the pipeline, `centraleta route explain` with a blocking connection; both
 * run load_queries[] in order in one transaction and hand the results to load_towns().
 *
 * Columns are of int4, int8, text and bytea alone, so that any driver can serve struct load_rows.
 */
#include "common/base/base.h"
#include "services/routing/core_town.h"

enum load_query {
	LOAD_REVISION, /* first and last: when they differ, it changed under our eyes */
	LOAD_TOWNS,
	LOAD_RULES, /* before what rules name, so that this can't be newer than that */
	LOAD_DEPARTMENTS,
	LOAD_HOURS,
	LOAD_HOLIDAYS,
	LOAD_AREAS,
	LOAD_REVISION_AGAIN,
	LOAD_N
};
extern const char *const load_sql[LOAD_N]; /* no parameters */

/* one statement's result, borrowed; all functions get ctx */
struct load_rows {
	const void *ctx;
	size_t n;
	bool (*null)(const void *ctx, size_t row, unsigned col);
	int64_t (*integer)(const void *ctx, size_t row, unsigned col); /* int4, int8; 0 if NULL */
	const char *(*text)(const void *ctx, size_t row, unsigned col); /* NUL-terminated */
	struct bytes (*bytes)(const void *ctx, size_t row, unsigned col); /* bytea */
};

enum { LOAD_E_FAULT = 1, LOAD_E_MOVED };

/*
 * load_towns() - a sealed configuration from the results of load_sql[]
 *
 * Return: 0; LOAD_E_FAULT: ret_fault says what is wrong in which town; LOAD_E_MOVED: the
 * configuration was changed between the first and the last statement, ask again; -ENOMEM.
 */
int load_towns(const struct load_rows rows[static LOAD_N], struct towns **ret, int64_t *ret_revision,
	       struct town_fault *ret_fault) _must_check_;
