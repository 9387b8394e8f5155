#pragma once
/*
 * zap_frame - frames of ZeroMQ's authentication protocol (RFC 27): a request, and the reply to it
 *
 * Pure. A request has version, request id, domain, address, identity, mechanism and credentials; of
 * CURVE that is one frame, the client's public key. A reply has version, request id, status, its
 * text, the user id and metadata.
 */
#include "common/base/base.h"

enum { ZAP_REQUEST_FRAMES = 7, ZAP_REPLY_FRAMES = 6, ZAP_KEY_BYTES = 32 };

/* names are in zap_fault_name() */
enum zap_fault { ZAP_FINE, ZAP_MALFORMED, ZAP_VERSION, ZAP_MECHANISM };
const char *zap_fault_name(enum zap_fault f);

struct zap_request { /* borrowed from the frames; what isn't there is empty */
	struct bytes id, domain, key;
};
enum zap_fault zap_request_read(const struct bytes *frames, size_t n, struct zap_request *ret);

enum zap_status {
	ZAP_YES, /* 200 */
	ZAP_LATER, /* 300: libzmq's clients try again by themselves */
	ZAP_NO, /* 400: the client is told, and libzmq's don't try again */
	ZAP_ERROR, /* 500: the same, of a request that isn't understood */
};
/* user: of ZAP_YES alone; ret borrows from the arguments */
void zap_reply_make(struct bytes id, enum zap_status status, const char *user,
		    struct bytes ret[static ZAP_REPLY_FRAMES]);
