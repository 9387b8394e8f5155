#pragma once
/*
 * frame - is a received protobuf message fit to be unpacked?
 *
 * protobuf-c cuts strings at NUL, checks no UTF-8, lets the last of several win and turns a
 * megabyte of empty messages into 75. So the raw bytes are walked first, along the descriptor:
 * wire types and lengths are right, strings are valid UTF-8 without NUL, a field that isn't
 * repeated comes once, a repeated one at most repeated_max times, unknown fields (of a newer
 * sender) take 4 KiB at most, nesting is 8 deep at most. Cap the size before.
 *
 * Values (ranges, enums, lengths) are the caller's to check after unpacking. Pure.
 */
#include "common/base/base.h"
#include <protobuf-c/protobuf-c.h>

#define FRAME_REASON 160

/* true, or false with a reason that names the field; never a value */
bool frame_fit(const ProtobufCMessageDescriptor *type, struct bytes raw, size_t repeated_max,
	       char reason[static FRAME_REASON]) _must_check_;
