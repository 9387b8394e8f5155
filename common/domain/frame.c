/*
 * A walk over the wire format that allocates nothing. What is counted per message is held in a
 * fixed array by field index; message types of this project have fewer than FIELDS_MAX fields.
 */
#include "common/domain/frame.h"

#include <stdio.h>

#include "common/base/text.h"

enum { FIELDS_MAX = 64, DEPTH_MAX = 8, UNKNOWN_MAX = 4096 };
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LENGTH = 2, WIRE_32 = 5 };

struct walk {
	size_t repeated_max;
	size_t unknown;
	char *reason;
};

static bool say(struct walk *w, const char *where, const char *field, const char *what)
{
	(void)snprintf(w->reason, FRAME_REASON, "%s%s%s: %s", where, field ? "." : "",
		       field ? field : "", what);
	return false;
}

/* 0 and moves on, or -1 */
static int take_varint(struct bytes *b, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 10 && i < b->len; i++) {
		v |= (uint64_t)(b->data[i] & 0x7f) << (7 * i);
		if (!(b->data[i] & 0x80)) {
			b->data += i + 1;
			b->len -= i + 1;
			*ret = v;
			return 0;
		}
	}
	return -1;
}

static int take_run(struct bytes *b, uint64_t n, struct bytes *ret)
{
	if (n > b->len)
		return -1;
	*ret = (struct bytes){ b->data, n };
	b->data += n;
	b->len -= n;
	return 0;
}

/* the bytes of one field's value, of a varint its own encoding */
static int take_value(struct bytes *b, unsigned wire, struct bytes *ret)
{
	const uint8_t *from = b->data;
	uint64_t v;

	switch (wire) {
	case WIRE_VARINT:
		if (take_varint(b, &v) < 0)
			return -1;
		*ret = (struct bytes){ from, (size_t)(b->data - from) };
		return 0;
	case WIRE_64:
		return take_run(b, 8, ret);
	case WIRE_32:
		return take_run(b, 4, ret);
	case WIRE_LENGTH:
		return take_varint(b, &v) < 0 ? -1 : take_run(b, v, ret);
	default:
		return -1; /* groups are not spoken here */
	}
}

static unsigned wire_of(ProtobufCType t)
{
	switch (t) {
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_32;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_LENGTH;
	default:
		return WIRE_VARINT;
	}
}

static bool walk_message(struct walk *w, const ProtobufCMessageDescriptor *type, struct bytes b,
			 unsigned depth);

static bool walk_field(struct walk *w, const ProtobufCMessageDescriptor *type,
		       const ProtobufCFieldDescriptor *f, struct bytes value, unsigned depth)
{
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return walk_message(w, f->descriptor, value, depth + 1);
	if (f->type == PROTOBUF_C_TYPE_STRING && !text_valid((const char *)value.data, value.len))
		return say(w, type->short_name, f->name, "not valid UTF-8, or has a NUL");
	return true;
}

/* a field of a one-of counts for all of its group: the last one would win */
static bool count_field(struct walk *w, const ProtobufCMessageDescriptor *type,
			const ProtobufCFieldDescriptor *f, size_t seen[static FIELDS_MAX])
{
	size_t i = (size_t)(f - type->fields);

	if (i >= FIELDS_MAX)
		return say(w, type->short_name, NULL, "has too many fields");
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		for (i = 0; type->fields[i].quantifier_offset != f->quantifier_offset;)
			i++;
	seen[i]++;
	if (f->label != PROTOBUF_C_LABEL_REPEATED && seen[i] > 1)
		return say(w, type->short_name, f->name, "comes more than once");
	if (seen[i] > w->repeated_max)
		return say(w, type->short_name, f->name, "comes too often");
	return true;
}

/* packed numbers: as many as the run holds */
static bool walk_packed(struct walk *w, const ProtobufCMessageDescriptor *type,
			const ProtobufCFieldDescriptor *f, struct bytes run)
{
	struct bytes value;

	for (size_t n = 0; run.len; n++)
		if (n >= w->repeated_max || take_value(&run, wire_of(f->type), &value) < 0)
			return say(w, type->short_name, f->name, "is a bad run of numbers");
	return true;
}

static bool walk_known(struct walk *w, const ProtobufCMessageDescriptor *type,
		       const ProtobufCFieldDescriptor *f, unsigned wire, struct bytes value,
		       unsigned depth, size_t seen[static FIELDS_MAX])
{
	if (!count_field(w, type, f, seen))
		return false;
	if (wire == wire_of(f->type))
		return walk_field(w, type, f, value, depth);
	if (f->label == PROTOBUF_C_LABEL_REPEATED && wire == WIRE_LENGTH)
		return walk_packed(w, type, f, value);
	return say(w, type->short_name, f->name, "is of another type");
}

static bool walk_message(struct walk *w, const ProtobufCMessageDescriptor *type, struct bytes b,
			 unsigned depth)
{
	size_t seen[FIELDS_MAX] = { 0 };
	const ProtobufCFieldDescriptor *f;
	struct bytes value;
	uint64_t tag;

	if (depth > DEPTH_MAX)
		return say(w, type->short_name, NULL, "nested too deep");
	while (b.len) {
		if (take_varint(&b, &tag) < 0 || tag >> 3 == 0 || tag >> 3 > 536870911 ||
		    take_value(&b, tag & 7, &value) < 0)
			return say(w, type->short_name, NULL, "not a protobuf message");
		f = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
		if (!f) {
			w->unknown += value.len + 1;
			if (w->unknown > UNKNOWN_MAX)
				return say(w, type->short_name, NULL, "too many unknown fields");
		} else if (!walk_known(w, type, f, tag & 7, value, depth, seen)) {
			return false;
		}
	}
	return true;
}

bool frame_fit(const ProtobufCMessageDescriptor *type, struct bytes raw, size_t repeated_max,
	       char reason[static FRAME_REASON])
{
	struct walk w = { .repeated_max = repeated_max, .reason = reason };

	return walk_message(&w, type, raw, 0);
}
