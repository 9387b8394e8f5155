/*
 * core_mail - one mail as bytes
 *
 * Quoted-printable, since most text is Latin letters: a mail stays readable in a queue file. The
 * boundary holds "=_", which quoted-printable can't produce, so it needs no search of the text.
 */
#include "services/notification/core_mail.h"

#include "common/base/text.h"
#include "common/base/zone.h"

#define LINE_MAX_QP 76
#define WORD_BYTES 36 /* of UTF-8 in one encoded word: 48 of base64, 60 with its frame */
#define BOUNDARY "=_centraleta_alternative"

/* ---- addresses ---------------------------------------------------------------------------------- */

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool dotted(const char *s, size_t len, const char *also, size_t label_max)
{
	size_t label = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '.') {
			if (!label)
				return false;
			label = 0;
		} else if (s[i] && (is_alnum(s[i]) || strchr(also, s[i]))) {
			if (++label > label_max)
				return false;
		} else {
			return false;
		}
	}
	return label > 0;
}

bool mail_address_ok(const char *s)
{
	size_t len = strnlen(s, MAIL_ADDRESS_MAX + 1);
	const char *at = memchr(s, '@', len);

	if (len > MAIL_ADDRESS_MAX || !at || at - s > 64)
		return false;
	return dotted(s, (size_t)(at - s), "!#$%&'*+-/=?^_`{|}~", 64) &&
		dotted(at + 1, len - (size_t)(at + 1 - s), "-", 63) && at[1] != '-';
}

const char *mail_domain(const char *address)
{
	return strchr(address, '@') + 1;
}

/* ---- header ------------------------------------------------------------------------------------- */

static void base64(struct buf *out, const char *s, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = 0;

		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (i + k < len ? (uint8_t)s[i + k] : 0);
		buf_ch(out, digits[v >> 18]);
		buf_ch(out, digits[v >> 12 & 63]);
		buf_ch(out, i + 1 < len ? digits[v >> 6 & 63] : '=');
		buf_ch(out, i + 2 < len ? digits[v & 63] : '=');
	}
}

/* the longest run of whole code points within WORD_BYTES */
static size_t word_length(const char *s, size_t len)
{
	size_t n = MIN(len, (size_t)WORD_BYTES);

	while (n < len && n > 1 && ((uint8_t)s[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static void encoded_words(struct buf *out, const char *s, size_t len)
{
	while (len) {
		size_t n = word_length(s, len);

		buf_str(out, "=?UTF-8?B?");
		base64(out, s, n);
		buf_str(out, "?=");
		s += n;
		len -= n;
		if (len)
			buf_str(out, "\r\n ");
	}
}

/* controls become spaces: no value ends its line */
static void without_controls(struct buf *out, const char *s)
{
	for (; *s; s++)
		buf_ch(out, (uint8_t)*s < ' ' || *s == 127 ? ' ' : *s);
}

static bool is_plain(const char *s, size_t max)
{
	size_t n = 0;

	for (; s[n]; n++)
		if ((uint8_t)s[n] < ' ' || (uint8_t)s[n] > 126 || n > max)
			return false;
	return !strstr(s, "=?");
}

static void header_value(struct buf *out, const char *value)
{
	struct buf clean = BUF_INIT;

	without_controls(&clean, value);
	if (clean.len && is_plain(clean.data, 60))
		buf_str(out, clean.data);
	else
		encoded_words(out, clean.data, clean.len);
	buf_fini(&clean);
}

void mail_header(struct buf *out, const char *name, const char *value)
{
	buf_str(out, name);
	buf_str(out, ": ");
	header_value(out, value);
	buf_str(out, "\r\n");
}

static void phrase(struct buf *out, const char *name)
{
	if (!is_plain(name, 60)) {
		header_value(out, name);
		return;
	}
	buf_ch(out, '"');
	for (; *name; name++) {
		if (*name == '"' || *name == '\\')
			buf_ch(out, '\\');
		buf_ch(out, *name);
	}
	buf_ch(out, '"');
}

void mail_date(struct buf *out, int64_t at_us)
{
	static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	int64_t s = at_us / 1000000;
	int32_t day = (int32_t)(s / 86400);
	int rest = (int)(s % 86400);
	int y, m, d;

	civil_from_days(day, &y, &m, &d);
	buf_printf(out, "%s, %d %s %d %02d:%02d:%02d +0000", days[civil_weekday(day) - 1], d,
		   months[m - 1], y, rest / 3600, rest / 60 % 60, rest % 60);
}

/* ---- body --------------------------------------------------------------------------------------- */

static bool must_be_quoted(const char *s, size_t len, size_t i, size_t column)
{
	uint8_t c = (uint8_t)s[i];
	bool last = i + 1 == len || s[i + 1] == '\n';

	if (c == '=' || c > 126 || (c < ' ' && c != '\t'))
		return true;
	if ((c == ' ' || c == '\t') && last)
		return true;
	/* a dot alone, and mailboxes' "From " */
	return !column && (c == '.' || (c == 'F' && len - i >= 5 && !memcmp(s + i, "From ", 5)));
}

void mail_quoted_printable(struct buf *out, const char *s, size_t len)
{
	size_t column = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\n') {
			buf_str(out, "\r\n");
			column = 0;
			continue;
		}
		if ((uint8_t)s[i] < ' ' && s[i] != '\t')
			continue;
		size_t need = must_be_quoted(s, len, i, column) ? 3 : 1;

		if (column + need > LINE_MAX_QP - 1) {
			buf_str(out, "=\r\n");
			column = 0;
			need = must_be_quoted(s, len, i, column) ? 3 : 1;
		}
		if (need == 3)
			buf_printf(out, "=%02X", (uint8_t)s[i]);
		else
			buf_ch(out, s[i]);
		column += need;
	}
}

static void part(struct buf *out, const char *type, struct bytes body)
{
	buf_printf(out,
		   "--" BOUNDARY "\r\n"
		   "Content-Type: %s; charset=utf-8\r\n"
		   "Content-Transfer-Encoding: quoted-printable\r\n\r\n", type);
	mail_quoted_printable(out, (const char *)body.data, body.len);
	buf_str(out, "\r\n");
}

void mail_write(const struct mail *m, struct buf *out)
{
	buf_str(out, "Date: ");
	mail_date(out, m->date_us);
	buf_str(out, "\r\nFrom: ");
	phrase(out, m->from_name);
	buf_printf(out, "\r\n <%s>\r\nTo: <%s>\r\n", m->from, m->to);
	mail_header(out, "Subject", m->subject);
	buf_printf(out, "Message-ID: <%s>\r\n", m->message_id);
	buf_printf(out,
		   "MIME-Version: 1.0\r\n"
		   "Content-Language: %s\r\n"
		   "Auto-Submitted: auto-generated\r\n"
		   "X-Auto-Response-Suppress: All\r\n"
		   "Content-Type: multipart/alternative;\r\n boundary=\"" BOUNDARY "\"\r\n\r\n",
		   m->language);
	part(out, "text/plain", m->text);
	part(out, "text/html", m->html);
	buf_str(out, "--" BOUNDARY "--\r\n");
}
