/*
 * fuzz_notification - what a mail server says, and what citizens' words do to a mail
 *
 * The first byte is the size of the pieces in which a reply arrives.
 */
#include "services/notification/core_mail.h"
#include "services/notification/core_talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void replies(const char *s, size_t len, size_t piece)
{
	struct reply r = { 0 };
	size_t used;

	while (len) {
		enum reply_result got = reply_read(&r, s, MIN(piece, len), &used);

		if (got == REPLY_BAD)
			return;
		assert(used && used <= MIN(piece, len));
		assert(got == REPLY_MORE || (r.code >= 200 && r.code < 600));
		s += used;
		len -= used;
	}
}

/* lines are short, end in CRLF, hold ASCII alone, and none is a dot */
static void check_lines(const struct buf *b)
{
	size_t line = 0;

	for (size_t i = 0; i < b->len; i++) {
		assert((uint8_t)b->data[i] < 127);
		assert(line || b->data[i] != '.');
		line++;
		if (b->data[i] == '\n') {
			assert(i && b->data[i - 1] == '\r');
			line = 0;
		}
		assert(line <= 78);
	}
}

/* one field: every line but the first is folded */
static void check_header(const struct buf *b)
{
	for (size_t i = 0; i + 1 < b->len; i++)
		if (b->data[i] == '\n')
			assert(b->data[i + 1] == ' ');
	check_lines(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf out = BUF_INIT;
	char *s;

	if (!len)
		return 0;
	replies((const char *)data + 1, len - 1, data[0] % 16 + 1u);
	mail_quoted_printable(&out, (const char *)data, len);
	check_lines(&out);
	buf_reset(&out);
	s = strndup((const char *)data, len);
	if (!s)
		return 0;
	mail_header(&out, "Subject", s);
	check_header(&out);
	if (mail_address_ok(s))
		assert(!strpbrk(s, " \r\n\t<>,;:\"()[]\\") && strlen(mail_domain(s)));
	free(s);
	buf_fini(&out);
	return 0;
}
