#pragma once
/*
 * log - one line to stderr an event: time, level, service, event, key=value…
 *
 * The first argument is a constant, greppable name. Never payloads, secrets or personal data.
 * Control characters in values are escaped; a line holds 4 KiB at most. When stderr is a journal
 * ($JOURNAL_STREAM) a <N> priority leads the line and the time is left to the journal.
 */
#include "common/base/base.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_open(const char *service, enum log_level level);
int log_level_parse(const char *name, enum log_level *ret) _must_check_;
void log_at(enum log_level level, const char *event, const char *fmt, ...) _printf_(3, 4);
/* adds err= and at=, returns r */
int log_at_errno(enum log_level level, int r, const char *event);
bool log_enabled(enum log_level level);

#define log_error(event, ...) log_at(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...) log_at(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...) log_at(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...)                                               \
	do {                                                                \
		if (log_enabled(LOG_LEVEL_DEBUG))                           \
			log_at(LOG_LEVEL_DEBUG, event, __VA_ARGS__);        \
	} while (0)
#define log_error_errno(r, event) log_at_errno(LOG_LEVEL_ERROR, r, event)
