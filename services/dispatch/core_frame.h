#pragma once
/*
 * core_frame - frames of departments: from bytes to a checked message, or a refusal that names the
 * field and the reason
 *
 * Pure. docs/PROTOCOL.md lists the codes.
 */
#include "common/base/base.h"
#include "centraleta/v1/dispatch.pb-c.h"

enum { NOTE_MAX = 4000, NAME_MAX_CHARS = 64, SERVICES_MAX = 256 };

/* one for each code of dispatch.proto's Refused; a label of the refusal counter too */
enum refused {
	REFUSED_NOT_HELLO,
	REFUSED_BAD_KEY,
	REFUSED_MALFORMED,
	REFUSED_UNKNOWN_FRAME,
	REFUSED_TOO_LARGE,
	REFUSED_FUTURE,
	REFUSED_FOREIGN,
	REFUSED_CONFLICT,
	REFUSED_INVALID,
	REFUSED_FULL,
	REFUSED_UNAVAILABLE,
	REFUSED_ELSEWHERE,
	REFUSED_N,
};
const char *refused_name(enum refused code);

struct refusal {
	enum refused code;
	char reason[256];
};
/* fills r; false, so that a check can end in it */
bool refuse(struct refusal *r, enum refused code, const char *fmt, ...) _printf_(3, 4);

struct frame_limits {
	size_t bytes_max; /* of a frame */
	size_t ranges_max; /* of an Ack */
	int64_t now_us; /* wall clock */
	int64_t skew_us; /* how far in the future occurred_at may lie */
};

/* NULL: refused; else free with department_frame_free() */
Centraleta__V1__DepartmentFrame *department_frame_take(struct bytes raw, const struct frame_limits *l,
						       struct refusal *ret);
void department_frame_free(Centraleta__V1__DepartmentFrame *f);
DEFINE_CLEANUP(Centraleta__V1__DepartmentFrame *, department_frame_free)
