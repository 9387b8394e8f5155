#pragma once
/*
 * smtp - mails to one mail server, on the loop
 *
 * libcurl's multi interface connects: names, TLS, greeting, EHLO, AUTH, as the URL says. The mail
 * itself is handed over here, since libcurl waits in a blocking way for the answer to a message,
 * and tells with one code of a refused sender, a refused recipient and a broken pipe. Connections
 * are kept and used again. Each mail has one recipient. Loop thread only.
 */
#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/loop/loop.h"
#include "services/notification/core.h"

struct smtp;
struct smtp_transfer;

struct smtp_options {
	const char *url; /* smtp://host:port or smtps://; copied */
	unsigned connect_ms; /* until EHLO is answered */
	unsigned transfer_ms; /* of one mail, connecting included */
	unsigned idle_ms; /* a connection is kept so long without a mail */
};

struct smtp_ops {
	/* just before the message's first byte: false withholds it. Must not free the transfer */
	bool (*may_begin)(void *ctx);
	/*
	 * The transfer ended and is gone after it; called from the loop, never from smtp_send().
	 * detail: stage, reply code or transport error; never an address
	 */
	void (*ended)(void *ctx, const struct smtp_end *end, const char *detail, double seconds);
};

int smtp_new(struct smtp **ret, struct loop *l, const struct smtp_options *o) _must_check_;
void smtp_free(struct smtp *s); /* transfers under way break off without ended() */
DEFINE_CLEANUP(struct smtp *, smtp_free)
int smtp_configure(struct smtp *s, const struct smtp_options *o) _must_check_; /* for later transfers */
size_t smtp_connections(const struct smtp *s);

/*
 * from, to: plain addresses (mail_address_ok()). mail: lines end in CRLF; taken on success, left
 * empty. A transfer without an idle connection opens one: the caller bounds how many there are.
 */
int smtp_send(struct smtp *s, const char *from, const char *to, struct buf *mail,
	      const struct smtp_ops *ops, void *ctx, struct smtp_transfer **ret) _must_check_;
bool smtp_begun(const struct smtp_transfer *t); /* the message's first byte may have left */
void smtp_cancel(struct smtp_transfer *t); /* breaks off without ended(); not from inside ops */
