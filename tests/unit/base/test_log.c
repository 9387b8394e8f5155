/* covers common/base/log.c */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/log.h"
#include "tests/lib/test.h"

TEST(a_line_has_time_level_service_event_fields)
{
	_cleanup_(freep) char *line = NULL;
	char level[8], service[16], event[32], fields[32];
	int year;

	test_stderr_begin();
	log_open("routing", LOG_LEVEL_INFO);
	log_warn("delivery.retry", "attempt=%d", 3);
	line = test_stderr_end();
	ASSERT_EQ(sscanf(line, "%d-%*sZ", &year), 1);
	ASSERT_EQ(sscanf(line, "%*s %7s %15s %31s %31s", level, service, event, fields), 4);
	ASSERT_GT(year, 2020);
	ASSERT_STR_EQ(level, "WARN");
	ASSERT_STR_EQ(service, "routing");
	ASSERT_STR_EQ(event, "delivery.retry");
	ASSERT_STR_EQ(fields, "attempt=3");
	ASSERT_EQ(line[strlen(line) - 1], '\n');
}

TEST(a_value_cannot_forge_a_line)
{
	_cleanup_(freep) char *line = NULL;

	test_stderr_begin();
	log_open("intake", LOG_LEVEL_INFO);
	log_info("a", "v=%s", "x\n2026 ERROR forged\x1b[2J\x7f\xc2\x85\xff" "ñ");
	line = test_stderr_end();
	ASSERT_TRUE(strchr(line, '\n') == line + strlen(line) - 1);
	ASSERT_HAS(line, "v=x\\x0a2026 ERROR forged\\x1b[2J\\x7f\\xc2\\x85\\xff" "ñ\n");
}

TEST(a_long_line_is_cut_at_4_kib)
{
	_cleanup_(freep) char *line = NULL;
	char long_value[9000];

	memset(long_value, '\n', sizeof(long_value));
	long_value[sizeof(long_value) - 1] = '\0';
	test_stderr_begin();
	log_info("a", "v=%s", long_value);
	line = test_stderr_end();
	ASSERT_LE(strlen(line), 4096u);
	ASSERT_GT(strlen(line), 4000u);
	ASSERT_EQ(line[strlen(line) - 1], '\n');
}

TEST(levels_are_obeyed)
{
	_cleanup_(freep) char *lines = NULL;
	enum log_level level = LOG_LEVEL_ERROR;

	ASSERT_OK(log_level_parse("debug", &level));
	ASSERT_EQ(level, LOG_LEVEL_DEBUG);
	ASSERT_EQ(log_level_parse("loud", &level), -EINVAL);
	test_stderr_begin();
	log_open("x", LOG_LEVEL_WARN);
	log_info("not.this", "%s", "");
	log_debug("nor.this", "%s", "");
	log_error("but.this", "%s", "");
	lines = test_stderr_end();
	log_open("x", LOG_LEVEL_INFO);
	ASSERT_NULL(strstr(lines, ".this n"));
	ASSERT_NULL(strstr(lines, "not.this"));
	ASSERT_HAS(lines, "but.this\n");
}

TEST(an_error_is_named_with_its_place)
{
	_cleanup_(freep) char *line = NULL;

	test_stderr_begin();
	ASSERT_EQ(log_error_errno(err_here(-ENOSPC), "photo.write"), -ENOSPC);
	line = test_stderr_end();
	ASSERT_HAS(line, "photo.write err=ENOSPC at=tests/unit/base/test_log.c:");
}

TEST(a_journal_gets_a_priority_and_no_time)
{
	_cleanup_(freep) char *line = NULL;
	char stream[64];
	struct stat st;

	test_stderr_begin();
	ASSERT_EQ(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open("intake", LOG_LEVEL_INFO);
	log_error("service.start", "a=%d", 1);
	unsetenv("JOURNAL_STREAM");
	line = test_stderr_end();
	log_open("intake", LOG_LEVEL_INFO);
	ASSERT_STR_EQ(line, "<3>ERROR intake service.start a=1\n");
}
