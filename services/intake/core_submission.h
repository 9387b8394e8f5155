#pragma once
/*
 * core_submission - one submission as it was sent, and the checks that every door shares
 *
 * Fields are borrowed from the form or the protobuf message. An empty field counts as not sent
 * (Open311: G13). submission_check() tells every field error at once (G28); town and service must
 * be settled before it (G32). Pure; time is passed in.
 */
#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/http/http.h"
#include "services/intake/core_catalog.h"
#include "centraleta/v1/intake.pb-c.h"

struct slice {
	const char *s; /* NULL or len 0: not sent */
	size_t len;
};

enum field {
	FIELD_SERVICE_CODE,
	FIELD_ADDRESS,
	FIELD_ADDRESS_ID,
	FIELD_DESCRIPTION,
	FIELD_EMAIL,
	FIELD_PHONE,
	FIELD_FIRST_NAME,
	FIELD_LAST_NAME,
	FIELD_ACCOUNT_ID,
	FIELD_DEVICE_ID,
	FIELD_MEDIA_URL,
	FIELD_LANGUAGE,
	FIELD_KEY, /* idempotency */
	FIELD_N,
};
const char *field_name(enum field f); /* "address_string" */

#define ATTRIBUTES_MAX 128 /* values of attributes in one submission */
#define DESCRIPTION_MAX 4000 /* code points, G62 */
#define COMMENT_MAX 2000 /* code points of a survey's comment */
#define FORM_PAIRS_MAX 256

struct attribute_input {
	struct slice code, value;
};

struct history {
	struct slice department;
	int state, outcome; /* RequestState, Outcome of event.proto */
	int64_t requested_at_us, closed_at_us, deadline_us;
};

struct submission {
	struct slice text[FIELD_N];
	struct slice lat, lng; /* of a form: still text */
	bool has_place; /* of a message, or once the check has read lat and lng */
	double place_lat, place_long;
	struct attribute_input attributes[ATTRIBUTES_MAX];
	size_t attributes_n;
	bool attributes_over; /* there were more */
	struct slice traceparent;
	int channel; /* 0: the door's */
	bool has_history;
	struct history history;
};

/* ---- errors ---------------------------------------------------------------------------------- */

enum fault {
	FAULT_MISSING,
	FAULT_UNKNOWN,
	FAULT_TOO_LONG, /* limit: characters */
	FAULT_TOO_MANY, /* limit */
	FAULT_ENCODING,
	FAULT_CONTROL,
	FAULT_NUMBER,
	FAULT_RANGE,
	FAULT_EMAIL,
	FAULT_URL,
	FAULT_LANGUAGE,
	FAULT_DATETIME,
	FAULT_WINDOW, /* limit: days */
	FAULT_VALUE,
	FAULT_SEVERAL,
	FAULT_SCOPE,
	FAULT_ORDER,
	FAULT_FUTURE,
	FAULT_STATE,
	FAULT_STATUS,
	FAULT_PAGE, /* limit */
	FAULT_ID,
	FAULT_DATA,
	FAULT_PLACE,
	FAULT_OUTSIDE,
	FAULT_CONFLICT,
	FAULT_N,
};
const char *fault_code(enum fault f); /* of FieldError and "missing:lat" */

#define FIELD_ERRORS_MAX 64

struct field_error {
	char field[80]; /* attribute[code] is cut here */
	enum fault fault;
	int64_t limit;
};
struct field_errors {
	struct field_error list[FIELD_ERRORS_MAX];
	size_t n; /* further ones are dropped */
};

void field_errors_add(struct field_errors *e, const char *field, enum fault f, int64_t limit);
/* the reason to read, in the language; place: name of the town */
void field_error_reason(const struct field_error *e, enum lang l, const char *town, struct buf *out);

/* ---- from the wire --------------------------------------------------------------------------- */

/* names that Open311 doesn't know are left alone; idempotency: the header's value or "" */
void submission_from_form(struct submission *ret, const struct http_form *form,
			  const char *idempotency, const char *traceparent);
/* Borrowed from m. False: an enum has a value that is not known; ret_what is the field's name. */
bool submission_from_message(struct submission *ret, const Centraleta__V1__Submit *m,
			     const char **ret_what);

/* ---- the checks ------------------------------------------------------------------------------ */

struct checked {
	enum lang language;
	int channel;
	int64_t requested_at_us, deadline_us, closed_at_us;
	int32_t owner; /* triage, or history's department */
	int state, outcome;
	bool has_contact;
};

/*
 * Every field against its limits, the service's definition, the town's box. e gets the faults, in
 * the order of fields; s gets its place read. True: ret is set, nothing was added to e.
 */
bool submission_check(struct submission *s, const struct catalog *c, const struct offer *o,
		      const struct door *d, bool may_import, int64_t now_us, struct field_errors *e,
		      struct checked *ret);

/*
 * JSON of the attributes: lists (closed vocabularies, of the definition) and frees (free types, and
 * codes that the definition doesn't have, kept aside). {"code": ["value", …]}. Each stays empty
 * where there is none.
 */
void submission_attributes(const struct submission *s, const struct catalog *c,
			   const struct offer *o, struct buf *lists, struct buf *frees);

/* 16 bytes over everything the citizen said; not over the key, the trace and the jurisdiction */
void submission_hash(const struct submission *s, uint8_t ret[static 16]);
bool email_valid(const char *s, size_t len);
