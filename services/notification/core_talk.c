/*
 * core_talk - the bytes of SMTP
 */
#include "services/notification/core_talk.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void take_status(struct reply *r)
{
	size_t n = 0;

	for (const char *s = r->line + 4; n < sizeof(r->status) - 1 && (is_digit(s[n]) || s[n] == '.'); n++)
		r->status[n] = s[n];
	r->status[n] = 0;
}

/* a whole line without its end */
static enum reply_result take_line(struct reply *r)
{
	const char *s = r->line;

	r->line[r->len] = 0;
	if (r->len < 3 || s[0] < '2' || s[0] > '5' || !is_digit(s[1]) || !is_digit(s[2]))
		return REPLY_BAD;
	if (r->len > 3 && s[3] != ' ' && s[3] != '-')
		return REPLY_BAD;
	r->code = (s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0');
	if (r->len > 3)
		take_status(r);
	r->done = r->len == 3 || s[3] == ' ';
	r->len = 0;
	return r->done ? REPLY_DONE : REPLY_MORE;
}

enum reply_result reply_read(struct reply *r, const char *data, size_t len, size_t *ret_used)
{
	if (r->done)
		*r = (struct reply){ 0 };
	for (size_t i = 0; i < len; i++) {
		enum reply_result result;

		if (data[i] == '\r')
			continue;
		if (data[i] != '\n') {
			if (r->len + 1 >= sizeof(r->line) || !data[i])
				return REPLY_BAD;
			r->line[r->len++] = data[i];
			continue;
		}
		result = take_line(r);
		if (result != REPLY_MORE) {
			*ret_used = i + 1;
			return result;
		}
	}
	*ret_used = len;
	return REPLY_MORE;
}

void talk_message(struct buf *out, const char *mail, size_t len)
{
	bool start = true;

	for (size_t i = 0; i < len; i++) {
		if (start && mail[i] == '.')
			buf_ch(out, '.');
		buf_ch(out, mail[i]);
		start = mail[i] == '\n';
	}
	buf_str(out, start ? ".\r\n" : "\r\n.\r\n");
}
