/*
 * zap_frame - see zap_frame.h
 *
 * Requests come from ZeroMQ itself, so one that is wrong means that this isn't the library we know:
 * it is refused as whatever it is.
 */
#include "common/bus/zap_frame.h"

static const char version[] = "1.0";

const char *zap_fault_name(enum zap_fault f)
{
	static const char *const names[] = {
		[ZAP_FINE] = "fine",
		[ZAP_MALFORMED] = "malformed",
		[ZAP_VERSION] = "version",
		[ZAP_MECHANISM] = "mechanism",
	};

	return names[f];
}

static struct bytes text(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

static bool is(struct bytes frame, const char *s)
{
	return frame.len == strlen(s) && !memcmp(frame.data, s, frame.len);
}

enum zap_fault zap_request_read(const struct bytes *frames, size_t n, struct zap_request *ret)
{
	*ret = (struct zap_request){ 0 };
	if (n > 1)
		ret->id = frames[1];
	if (n < ZAP_REQUEST_FRAMES - 1)
		return ZAP_MALFORMED;
	if (!is(frames[0], version))
		return ZAP_VERSION;
	ret->domain = frames[2];
	if (!is(frames[5], "CURVE"))
		return ZAP_MECHANISM;
	if (n != ZAP_REQUEST_FRAMES || frames[6].len != ZAP_KEY_BYTES)
		return ZAP_MALFORMED;
	ret->key = frames[6];
	return ZAP_FINE;
}

void zap_reply_make(struct bytes id, enum zap_status status, const char *user,
		    struct bytes ret[static ZAP_REPLY_FRAMES])
{
	static const struct {
		const char *code, *text;
	} says[] = {
		[ZAP_YES] = { "200", "OK" },
		[ZAP_LATER] = { "300", "not yet" },
		[ZAP_NO] = { "400", "no" },
		[ZAP_ERROR] = { "500", "not understood" },
	};

	ret[0] = text(version);
	ret[1] = id;
	ret[2] = text(says[status].code);
	ret[3] = text(says[status].text);
	ret[4] = text(status == ZAP_YES ? user : "");
	ret[5] = text("");
}
