/*
 * render - a row of NOTE_RENDER to a mail
 *
 * The Message-ID is the same for all attempts of a message: lane, event and kind say which, the
 * moment of deciding tells installations with the same numbers apart.
 */
#include "services/notification/render.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>

#include "common/base/err.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/domain/code.h"
#include "services/notification/core.h"
#include "services/notification/core_text.h"

enum render_column { /* of NOTE_RENDER */
	C_SEQ, C_KIND, C_EMAIL, C_LANGUAGE, C_TOWN, C_ZONE, C_MAIL_FROM, C_SERVICE, C_DESCRIPTION,
	C_TURN, C_REQUESTED, C_EXPECTED, C_DEPARTMENT, C_NOTE, C_EVENT,
};

struct renderer {
	struct bytes secret;
	char *base_url;
	GHashTable *zones; /* IANA name to struct zone */
};

void rendered_fini(struct rendered *r)
{
	buf_fini(&r->mail);
}

const char *render_result_name(enum render_result r)
{
	static const char *const names[] = { "ok", "no_address", "bad_address", "no_sender", "bad_data",
					     "no_memory" };

	return names[r];
}

static void zone_free_pointer(gpointer z)
{
	zone_free(z);
}

int renderer_configure(struct renderer *r, const struct config *config)
{
	const char *url = config_str(config, "notification.public_base_url");
	size_t len = strlen(url);
	char *copy;

	if (strncmp(url, "http://", 7) && strncmp(url, "https://", 8)) {
		log_error("config.invalid",
			  "key=notification.public_base_url reason=\"must begin with http:// or https://\"");
		return err_here(-EINVAL);
	}
	while (len && url[len - 1] == '/')
		len--;
	copy = strndup(url, len);
	if (!copy)
		return err_here(-ENOMEM);
	free(r->base_url);
	r->base_url = copy;
	return 0;
}

int renderer_new(struct renderer **ret, struct bytes secret, const struct config *config)
{
	_cleanup_(renderer_freep) struct renderer *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return err_here(-ENOMEM);
	r->secret = secret;
	r->zones = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, zone_free_pointer);
	e = renderer_configure(r, config);
	if (e)
		return e;
	*ret = steal(r);
	return 0;
}

void renderer_free(struct renderer *r)
{
	if (!r)
		return;
	g_hash_table_destroy(r->zones);
	free(r->base_url);
	free(r);
}

static const struct zone *zone_of(struct renderer *r, const char *name)
{
	struct zone *z = g_hash_table_lookup(r->zones, name);

	if (!z && !zone_new(&z, name))
		g_hash_table_insert(r->zones, g_strdup(name), z);
	return z;
}

static enum render_result check(const struct rows *rows, size_t row)
{
	const char *email = rows_text(rows, row, C_EMAIL);

	if (!email[0])
		return RENDER_NO_ADDRESS;
	if (!mail_address_ok(email))
		return RENDER_BAD_ADDRESS;
	if (!mail_address_ok(rows_text(rows, row, C_MAIL_FROM)))
		return RENDER_NO_SENDER;
	return RENDER_OK;
}

/* false: the event of a resolved request can't be read, or nobody knows the zone */
static bool gather(struct renderer *r, const struct out *out, const struct rows *rows, size_t row,
		   const char *code, struct text_facts *f)
{
	*f = (struct text_facts){
		.kind = (Centraleta__V1__MessageKind)out->key.kind,
		.language = text_language(rows_text(rows, row, C_LANGUAGE)),
		.base_url = r->base_url,
		.town = rows_text(rows, row, C_TOWN),
		.service = rows_text(rows, row, C_SERVICE),
		.description = rows_text(rows, row, C_DESCRIPTION),
		.department = rows_text(rows, row, C_DEPARTMENT),
		.note = rows_text(rows, row, C_NOTE),
		.code = code,
		.request = out->request,
		.requested_us = rows_time(rows, row, C_REQUESTED),
		.expected_us = rows_time(rows, row, C_EXPECTED),
		.zone = zone_of(r, rows_text(rows, row, C_ZONE)),
	};
	if (!f->zone)
		return false;
	return f->kind != CENTRALETA__V1__MESSAGE_KIND__MESSAGE_KIND_RESOLVED ||
		!core_outcome_of_event(rows_bytes(rows, row, C_EVENT), &f->outcome);
}

static void message_id(char *to, size_t size, unsigned lane, const struct out *out, const char *from)
{
	snprintf(to, size, "%u.%lld.%d.%llx@%s", lane, (long long)out->key.cause_seq, out->key.kind,
		 (unsigned long long)out->created_us, mail_domain(from));
}

static int compose(const struct text_facts *f, int64_t now_us, struct rendered *to)
{
	struct buf text = BUF_INIT, html = BUF_INIT, subject = BUF_INIT;

	text_subject(f, &subject);
	text_body(f, &text, &html);
	const struct mail m = {
		.from_name = f->town,
		.from = to->from,
		.to = to->to,
		.subject = subject.data ? subject.data : "",
		.message_id = to->message_id,
		.language = catalogue_codes[f->language],
		.date_us = now_us,
		.text = { (const uint8_t *)text.data, text.len },
		.html = { (const uint8_t *)html.data, html.len },
	};

	if (!buf_err(&text) && !buf_err(&html) && !buf_err(&subject))
		mail_write(&m, &to->mail);
	int e = buf_err(&text) ?: buf_err(&html) ?: buf_err(&subject) ?: buf_err(&to->mail);

	buf_fini(&text);
	buf_fini(&html);
	buf_fini(&subject);
	return e;
}

enum render_result render(struct renderer *r, unsigned lane, const struct out *out,
			  const struct rows *rows, size_t row, int64_t now_us, struct rendered *ret)
{
	struct rendered made = { .mail = BUF_INIT };
	char code[CODE_LEN + 1];
	struct text_facts f;
	enum render_result result = check(rows, row);

	if (result != RENDER_OK)
		return result;
	code_make(r->secret, lane, out->request, (unsigned)rows_int(rows, row, C_TURN), code);
	if (!gather(r, out, rows, row, code, &f))
		return RENDER_BAD_DATA;
	snprintf(made.from, sizeof(made.from), "%s", rows_text(rows, row, C_MAIL_FROM));
	snprintf(made.to, sizeof(made.to), "%s", rows_text(rows, row, C_EMAIL));
	message_id(made.message_id, sizeof(made.message_id), lane, out, made.from);
	if (compose(&f, now_us, &made)) {
		buf_fini(&made.mail);
		return RENDER_NO_MEMORY;
	}
	*ret = made;
	return RENDER_OK;
}
