/*
 * log - one line to stderr an event, in one write()
 *
 * The line is built in two steps on the stack: the fields as printf gives them, then a copy in
 * which nothing can end the line early or move a terminal's cursor.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/utf8.h"

#define LINE_MAX_BYTES 4096

static const char *const level_names[] = { "ERROR", "WARN", "INFO", "DEBUG" };
static const int priorities[] = { 3, 4, 6, 7 }; /* of syslog(3) */

static struct {
	char service[64];
	enum log_level level;
	bool journal;
} log_state = { .service = "-", .level = LOG_LEVEL_INFO };

/* $JOURNAL_STREAM names stderr's device and inode where that is the journal (systemd.exec(5)) */
static bool stderr_is_journal(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return s && sscanf(s, "%llu:%llu", &device, &inode) == 2 && !fstat(STDERR_FILENO, &st) &&
	       st.st_dev == device && st.st_ino == inode;
}

void log_open(const char *service, enum log_level level)
{
	snprintf(log_state.service, sizeof(log_state.service), "%s", service);
	log_state.level = level;
	log_state.journal = stderr_is_journal();
}

int log_level_parse(const char *name, enum log_level *ret)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(name, names[i])) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool log_enabled(enum log_level level)
{
	return level <= log_state.level;
}

/* length of what may be copied as it is: well-formed and no control */
static size_t harmless(const char *s, size_t len)
{
	uint32_t c;
	size_t n = utf8_next(s, len, &c);

	return n && c >= 0x20 && !(c >= 0x7f && c < 0xa0) && c != 0x2028 && c != 0x2029 ? n : 0;
}

static size_t escape(char *out, size_t room, const char *s)
{
	size_t len = strlen(s), used = 0, n;

	for (size_t i = 0; i < len; i += n) {
		n = harmless(s + i, len - i);
		if (used + (n ? n : 4) > room)
			break;
		if (n) {
			memcpy(out + used, s + i, n);
			used += n;
		} else {
			char hex[8];

			snprintf(hex, sizeof(hex), "\\x%02x", (uint8_t)s[i]);
			memcpy(out + used, hex, 4);
			used += 4;
			n = 1;
		}
	}
	return used;
}

static size_t head(char *out, size_t room, enum log_level level, const char *event)
{
	char at[32];
	int n;

	if (log_state.journal) {
		n = snprintf(out, room, "<%d>%s %.63s %.64s", priorities[level], level_names[level],
			     log_state.service, event);
	} else {
		clock_format_utc(clock_wall_us() / 1000 * 1000, at);
		n = snprintf(out, room, "%s %s %.63s %.64s", at, level_names[level],
			     log_state.service, event);
	}
	return (size_t)n;
}

static void emit(enum log_level level, const char *event, const char *fields)
{
	char line[LINE_MAX_BYTES];
	size_t n = head(line, sizeof(line), level, event);
	ssize_t written;

	if (fields[0])
		line[n++] = ' ';
	n += escape(line + n, sizeof(line) - n - 1, fields);
	line[n++] = '\n';
	do
		written = write(STDERR_FILENO, line, n);
	while (written < 0 && errno == EINTR);
}

void log_at(enum log_level level, const char *event, const char *fmt, ...)
{
	char fields[LINE_MAX_BYTES];
	int saved = errno;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	if (vsnprintf(fields, sizeof(fields), fmt, ap) < 0)
		fields[0] = '\0';
	va_end(ap);
	emit(level, event, fields);
	errno = saved;
}

int log_at_errno(enum log_level level, int r, const char *event)
{
	const char *name = r < 0 ? strerrorname_np(-r) : NULL;

	if (name)
		log_at(level, event, "err=%s at=%s", name, err_at());
	else
		log_at(level, event, "err=%d at=%s", r, err_at());
	return r;
}
