#pragma once
/*
 * load - the configuration of all towns from the store: one statement a table, one loader
 *
 * The daemon asks over the pipeline, `centraleta route explain` with a blocking connection; both
 * run load_sql[] in order and hand the results to load_towns().
 *
 * Columns are of int4, int8, text and bytea alone, so that any driver can serve struct load_rows.
 */
#include "common/base/base.h"
#include "services/routing/core_town.h"

/*
 * The revision is read first and last: when it differs, the configuration was changed under our
 * eyes. Rules come before what they name, so that this can't be older than they are.
 */
enum load_query {
#define QUERY(id, text) id,
#include "services/routing/load.def"
#undef QUERY
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
 * Return: 0; LOAD_E_FAULT: ret_fault says what is wrong in which town (ret_revision is set here
 * too, so that a fault is told once a revision); LOAD_E_MOVED: the
 * configuration was changed between the first and the last statement, ask again; -ENOMEM.
 */
int load_towns(const struct load_rows rows[static LOAD_N], struct towns **ret, int64_t *ret_revision,
	       struct town_fault *ret_fault) _must_check_;
