#pragma once
/*
 * render - a row of NOTE_RENDER to a mail
 */
#include "common/base/config.h"
#include "common/store/store.h"
#include "services/notification/core_mail.h"
#include "services/notification/core_outbox.h"

struct renderer;

struct rendered {
	char from[MAIL_ADDRESS_MAX + 1], to[MAIL_ADDRESS_MAX + 1];
	char message_id[MAIL_ADDRESS_MAX + 64];
	struct buf mail;
};
void rendered_fini(struct rendered *r);

enum render_result {
	RENDER_OK,
	RENDER_NO_ADDRESS, /* erased since */
	RENDER_BAD_ADDRESS,
	RENDER_NO_SENDER, /* the town has none any more, or one that no mail may have */
	RENDER_BAD_DATA, /* an unreadable event, an unknown zone */
	RENDER_NO_MEMORY,
};
/* for the detail of an attempt; closed set */
const char *render_result_name(enum render_result r);

/* secret: the installation's, borrowed for ever */
int renderer_new(struct renderer **ret, struct bytes secret, const struct config *config) _must_check_;
void renderer_free(struct renderer *r);
DEFINE_CLEANUP(struct renderer *, renderer_free)
int renderer_configure(struct renderer *r, const struct config *config) _must_check_;
/* ret is written on RENDER_OK alone */
enum render_result render(struct renderer *r, unsigned lane, const struct out *out,
			  const struct rows *rows, size_t row, int64_t now_us, struct rendered *ret);
