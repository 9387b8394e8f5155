#pragma once
/*
 * core_mail - one mail as bytes: RFC 5322 header, RFC 2047 words, RFC 2045 quoted-printable
 *
 * Pure. No value can open another header or another command: controls in header values become
 * spaces, and addresses that are not plain are refused before they get here.
 */
#include "common/base/base.h"
#include "common/base/buf.h"

#define MAIL_ADDRESS_MAX 254 /* RFC 5321 with its erratum 1690 */

/* may go into an envelope as it is: ASCII atext and dots, @, host name labels or labels by dots */
bool mail_address_ok(const char *s);
/* behind the @; of an address that is ok */
const char *mail_domain(const char *address);

struct mail { /* UTF-8, borrowed; from and to are ok addresses, message_id without < > */
	const char *from_name, *from, *to;
	const char *subject;
	const char *message_id;
	const char *language; /* "ca" */
	int64_t date_us;
	struct bytes text, html; /* lines end in LF */
};

/* the whole mail, lines end in CRLF; without dot-stuffing, which is the transport's */
void mail_write(const struct mail *m, struct buf *out);

/* ---- its parts -------------------------------------------------------------------------------- */

/* "Name: value" CRLF, folded; encoded words where the value is not printable ASCII or is long */
void mail_header(struct buf *out, const char *name, const char *value);
/* quoted-printable; LF becomes CRLF, other controls but TAB are dropped */
void mail_quoted_printable(struct buf *out, const char *s, size_t len);
/* "Tue, 24 Nov 2026 08:16:01 +0000" */
void mail_date(struct buf *out, int64_t at_us);
