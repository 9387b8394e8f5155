#pragma once
/*
 * core_render - the Open311 answers in JSON and XML, from one description of each
 *
 * XML is the Open311 form (no attributes, no namespace: G7, G8); JSON is its Spark mapping: the
 * root's name is dropped, containers of one repeated element are arrays (G9). Absent values are
 * null and empty (G15), times carry Z (G11). Failures stay in the buf.
 */
#include "common/base/buf.h"
#include "services/intake/core_catalog.h"
#include "services/intake/core_submission.h"

enum format { FORMAT_JSON, FORMAT_XML };
const char *format_type(enum format f); /* Content-Type */

struct discovery {
	const char *contact, *key_service, *base_url, *endpoint_type;
};
void render_discovery(struct buf *out, enum format f, const struct catalog *c,
		      const struct discovery *d);
void render_services(struct buf *out, enum format f, const struct town *t);
void render_definition(struct buf *out, enum format f, const struct offer *o);

/* the answer to a POST; account_id: the sender's, "" if none; code: NULL without extensions */
void render_posted(struct buf *out, enum format f, const char *id, const char *notice,
		   const char *account_id, const char *code);

struct public_row { /* of request_public */
	int64_t request;
	int32_t offer, department;
	int state, outcome;
	bool has_place;
	double lat, lng;
	const char *description, *address, *address_id, *media_url; /* "" or NULL: none */
	int64_t requested_at_us, updated_at_us, expected_at_us;
};
struct render; /* a list under way */
int render_requests_begin(struct render **ret, struct buf *out, enum format f) _must_check_;
void render_request(struct render *w, const struct catalog *c, const struct town *t,
		    const struct public_row *row);
void render_requests_end(struct render *w); /* frees w */

/* the words for a state, or for the outcome of a closed one, in the town's language */
enum text_id render_state_text(int state, int outcome);

/* one error, its code and what to read */
void render_error(struct buf *out, enum format f, const char *code, const char *description);
/* all of them: codes are "missing:lat" */
void render_field_errors(struct buf *out, enum format f, const struct field_errors *e, enum lang l,
			 const char *town);
