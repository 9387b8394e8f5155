#pragma once
/*
 * core_query - what GET requests asks for (Open311 G70–G74, G81)
 *
 * Pure; time is passed in.
 */
#include "common/http/http.h"
#include "services/intake/core_catalog.h"
#include "services/intake/core_submission.h"

#define QUERY_IDS_MAX 1000
#define QUERY_ROWS_MAX 1000 /* G74 */
#define QUERY_PAGE_MAX 10000
#define QUERY_DAYS_MAX 90

struct request_query {
	size_t ids_n; /* over 0: these alone, all other filters are off */
	int64_t ids[QUERY_IDS_MAX];
	size_t offers_n; /* 0: all */
	int32_t offers[QUERY_IDS_MAX];
	bool open, closed;
	int64_t from_us, to_us; /* [from, to) of the asking time */
	int64_t page, page_size; /* page from 1 */
};

/* false: e says why, every fault at once; a service that doesn't exist is FAULT_UNKNOWN */
bool query_read(struct request_query *ret, const struct http_form *form, const struct catalog *c,
		const struct town *t, int64_t now_us, struct field_errors *e);
/* the query string of another page: all of the form but page, then page; percent-encoded */
void query_write_page(const struct http_form *form, int64_t page, struct buf *out);
