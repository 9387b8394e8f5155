/*
 * The raw walk (common/domain/frame) comes first, so what is checked here are values alone.
 */
#include "services/dispatch/core_frame.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/text.h"
#include "common/domain/frame.h"

/* 2000-01-01: what is older was mistyped */
static const int64_t EARLIEST_US = 946684800000000;

const char *refused_name(enum refused code)
{
	static const char *const names[REFUSED_N] = {
		[REFUSED_NOT_HELLO] = "not_hello",     [REFUSED_BAD_KEY] = "bad_key",
		[REFUSED_MALFORMED] = "malformed",     [REFUSED_UNKNOWN_FRAME] = "unknown_frame",
		[REFUSED_TOO_LARGE] = "too_large",     [REFUSED_FUTURE] = "future",
		[REFUSED_FOREIGN] = "foreign",	       [REFUSED_CONFLICT] = "conflict",
		[REFUSED_INVALID] = "invalid",	       [REFUSED_FULL] = "full",
		[REFUSED_UNAVAILABLE] = "unavailable", [REFUSED_ELSEWHERE] = "elsewhere",
	};

	return names[code];
}

bool refuse(struct refusal *r, enum refused code, const char *fmt, ...)
{
	va_list ap;

	r->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(r->reason, sizeof(r->reason), fmt, ap);
	va_end(ap);
	return false;
}

static bool known(const ProtobufCEnumDescriptor *d, int v)
{
	return protobuf_c_enum_descriptor_get_value(d, v) != NULL;
}

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n <= NAME_MAX_CHARS &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static bool check_hello(const Centraleta__V1__Hello *h, struct refusal *ret)
{
	if (!is_name(h->consumer))
		return refuse(ret, REFUSED_INVALID,
			      "consumer: 1 to %d letters, digits, '.', '_' or '-'", NAME_MAX_CHARS);
	if (h->n_services > SERVICES_MAX)
		return refuse(ret, REFUSED_INVALID, "services: more than %d", SERVICES_MAX);
	for (size_t i = 0; i < h->n_services; i++)
		if (!text_is_slug(h->services[i]))
			return refuse(ret, REFUSED_INVALID, "services[%zu]: not a slug", i);
	return true;
}

static bool check_ack(const Centraleta__V1__Ack *a, size_t ranges_max, struct refusal *ret)
{
	if (!a->n_ranges)
		return refuse(ret, REFUSED_INVALID, "ranges: none given");
	if (a->n_ranges > ranges_max)
		return refuse(ret, REFUSED_INVALID, "ranges: more than %zu", ranges_max);
	for (size_t i = 0; i < a->n_ranges; i++)
		if (a->ranges[i]->first < 1 || a->ranges[i]->last < a->ranges[i]->first)
			return refuse(ret, REFUSED_INVALID,
				      "ranges[%zu]: first must be 1 or more, last not before first", i);
	return true;
}

static bool check_vocabulary(const Centraleta__V1__Update *u, struct refusal *ret)
{
	if (u->kind == CENTRALETA__V1__UPDATE_KIND__UPDATE_KIND_UNSPECIFIED ||
	    !known(&centraleta__v1__update_kind__descriptor, (int)u->kind))
		return refuse(ret, REFUSED_INVALID, "kind: missing or unknown");
	if (!known(&centraleta__v1__outcome__descriptor, (int)u->outcome))
		return refuse(ret, REFUSED_INVALID, "outcome: unknown");
	if (!known(&centraleta__v1__refuse_reason__descriptor, (int)u->reason))
		return refuse(ret, REFUSED_INVALID, "reason: unknown");
	if ((u->kind == CENTRALETA__V1__UPDATE_KIND__UPDATE_KIND_RESOLVE) != (u->outcome != 0))
		return refuse(ret, REFUSED_INVALID, "outcome: a RESOLVE has one, no other kind has");
	if ((u->kind == CENTRALETA__V1__UPDATE_KIND__UPDATE_KIND_REFUSE) != (u->reason != 0))
		return refuse(ret, REFUSED_INVALID, "reason: a REFUSE has one, no other kind has");
	return true;
}

static bool check_update(const Centraleta__V1__Update *u, const struct frame_limits *l,
			 struct refusal *ret)
{
	if (!is_name(u->update_id))
		return refuse(ret, REFUSED_INVALID,
			      "update_id: 1 to %d letters, digits, '.', '_' or '-'", NAME_MAX_CHARS);
	if (u->work_item < 1)
		return refuse(ret, REFUSED_INVALID, "work_item: missing");
	if (!check_vocabulary(u, ret))
		return false;
	if (text_length(u->note, strlen(u->note)) > NOTE_MAX)
		return refuse(ret, REFUSED_INVALID, "note: longer than %d characters", NOTE_MAX);
	if (u->kind == CENTRALETA__V1__UPDATE_KIND__UPDATE_KIND_NOTE && !*u->note)
		return refuse(ret, REFUSED_INVALID, "note: a NOTE needs one");
	if (u->occurred_at_us && u->occurred_at_us < EARLIEST_US)
		return refuse(ret, REFUSED_INVALID,
			      "occurred_at_us: before the year 2000 (microseconds since 1970)");
	if (u->occurred_at_us > l->now_us + l->skew_us)
		return refuse(ret, REFUSED_INVALID, "occurred_at_us: in the future");
	return true;
}

static bool check(const Centraleta__V1__DepartmentFrame *f, const struct frame_limits *l, struct refusal *ret)
{
	switch (f->frame_case) {
	case CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_HELLO:
		return check_hello(f->hello, ret);
	case CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_CREDIT:
		return f->credit->more > 0 ||
		       refuse(ret, REFUSED_INVALID, "more: must be 1 or more");
	case CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_ACK:
		return check_ack(f->ack, l->ranges_max, ret);
	case CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_UPDATE:
		return check_update(f->update, l, ret);
	case CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_REPLAY:
		return f->replay->from > 0 ||
		       refuse(ret, REFUSED_INVALID, "from: must be 1 or more");
	case CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_PING:
	case CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_BYE:
		return true;
	default:
		return refuse(ret, f->base.n_unknown_fields ? REFUSED_UNKNOWN_FRAME : REFUSED_MALFORMED,
			      f->base.n_unknown_fields ? "a frame that this version doesn't know" :
							 "an empty frame");
	}
}

Centraleta__V1__DepartmentFrame *department_frame_take(struct bytes raw, const struct frame_limits *l,
						       struct refusal *ret)
{
	_cleanup_(department_frame_freep) Centraleta__V1__DepartmentFrame *f = NULL;
	char reason[FRAME_REASON];
	size_t repeated_max = MAX(l->ranges_max, (size_t)SERVICES_MAX) + 1;

	if (raw.len > l->bytes_max) {
		(void)refuse(ret, REFUSED_TOO_LARGE, "%zu bytes, at most %zu are taken", raw.len,
			     l->bytes_max);
		return NULL;
	}
	if (!frame_fit(&centraleta__v1__department_frame__descriptor, raw, repeated_max, reason)) {
		(void)refuse(ret, REFUSED_MALFORMED, "%s", reason);
		return NULL;
	}
	f = centraleta__v1__department_frame__unpack(NULL, raw.len, raw.data);
	if (!f) {
		(void)refuse(ret, REFUSED_MALFORMED, "not a DepartmentFrame");
		return NULL;
	}
	return check(f, l, ret) ? steal(f) : NULL;
}

void department_frame_free(Centraleta__V1__DepartmentFrame *f)
{
	if (f)
		centraleta__v1__department_frame__free_unpacked(f, NULL);
}
