#pragma once
/*
 * import_map - a mapping file, and a CSV row seen through it
 *
 * A mapping is JSON. Of each of these members, "column" names a column, "columns" several that are
 * joined by a space:
 *   id            unique and stable; becomes the idempotency key. Required.
 *   service_code  Required. May have "values" as channel has.
 *   description, address, address_id, lat, long
 *   channel       {"column": …, "values": {"PHONE": "phone", …}, "otherwise": "staff"}
 * and for history:
 *   department    as channel; names become slugs where "values" says nothing else
 *   state         {"column": …, "values": {"Closed": "closed", "Open": "open"}}
 *   outcome       as channel; also "starts": {"beginning of the text": "done", …}
 *   requested, closed, deadline
 *                 {"columns": […], "format": "%Y-%m-%d %H:%M:%S", "time": "23:59:59" (of a bare date)}
 *   skipped_hour  what a time means that the spring change skips: "after" (the default), "refuse"
 *   doubled_hour  and one that the autumn change doubles: "first" (the default), "second", "refuse"
 * A value that "values" does not know and that has no "otherwise" refuses its row. Pure.
 */
#include "centraleta/v1/intake.pb-c.h"
#include "common/base/buf.h"
#include "common/base/zone.h"
#include "services/cli/csv.h"

struct import_map;

/* text: the file's content; ret_error: where and why */
int import_map_new(struct import_map **ret, const char *text, size_t len, bool history,
		   char ret_error[static 256]) _must_check_;
void import_map_free(struct import_map *m);
DEFINE_CLEANUP(struct import_map *, import_map_free)

/* binds the columns to the header; false: ret_error names the column that is missing */
bool import_map_bind(struct import_map *m, const struct csv *header, char ret_error[static 256]);

struct import_row {
	Centraleta__V1__Submit submit; /* strings borrowed from here, from the row or from the map */
	Centraleta__V1__SubmitHistory history;
	Centraleta__V1__Place place;
	char key[256], description[8192], address[1024], department[64], service[256];
	unsigned skipped, doubled; /* times that a daylight-saving change skips or doubles */
};

/* NULL: ret is filled; else the reason why the row is refused (in ret_reason) */
const char *import_map_row(const struct import_map *m, const struct csv *row, const struct zone *zone,
			   struct import_row *ret, char ret_reason[static 256]);
