#pragma once
/*
 * event_text - an event for people: its name and its body's fields
 */
#include "common/base/buf.h"
#include "common/base/json.h"

/* "request.received"; "type-99" for one this build doesn't know. ret of 64 bytes */
void event_type_name(int type, char ret[static 64]);
/* "department=3 work_item=500 state=closed"; enum values in lower case; times in UTC */
void event_body_text(int type, const void *body, size_t len, struct buf *out);
/* the same as an open object's members */
void event_body_json(int type, const void *body, size_t len, struct json *out);
