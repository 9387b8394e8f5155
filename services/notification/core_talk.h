#pragma once
/*
 * core_talk - the bytes of SMTP: replies in, a message as it travels out
 *
 * Pure.
 */
#include "common/base/base.h"
#include "common/base/buf.h"

struct reply { /* zeroed at the start, and by reply_read() when the next reply begins */
	char line[1024];
	size_t len;
	bool done; /* the newest reply is complete */
	int code; /* 200 … 599 */
	char status[16]; /* enhanced status, "5.1.1"; "" if none */
};

enum reply_result {
	REPLY_MORE, /* all was taken, the reply goes on */
	REPLY_DONE, /* *ret_used bytes belonged to it */
	REPLY_BAD, /* not a reply, or longer lines than anybody writes */
};
enum reply_result reply_read(struct reply *r, const char *data, size_t len, size_t *ret_used);

/* dots doubled at the beginning of lines, the last line ended, the final dot */
void talk_message(struct buf *out, const char *mail, size_t len);
