/*
 * covers the server's promises to its handlers (request.c, reply.c, connection.c): in one process,
 * over a Unix socket
 */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/http/http.h"
#include "tests/lib/test.h"

struct fixture {
	struct loop *loop;
	struct http_server *server;
	struct http_request *held; /* the last one given to handle() */
	unsigned handled, gone, errors;
	bool hook, hold;
	char error_path[64];
	int fd;
	char got[8192];
	size_t got_len;
};

static void on_gone(void *ctx)
{
	struct fixture *f = ctx;

	f->gone++;
	f->held = NULL;
}

static void handle(void *ctx, struct http_request *r)
{
	struct fixture *f = ctx;

	f->handled++;
	f->held = r;
	if (f->hook)
		http_on_gone(r, on_gone, f);
	if (!f->hold)
		http_reply(r, 200, "text/plain", "yes", 3);
}

static const char *error_body(void *ctx, const char *path, int status, const char *reason,
			      struct buf *out)
{
	struct fixture *f = ctx;

	f->errors++;
	snprintf(f->error_path, sizeof(f->error_path), "%s", path);
	buf_printf(out, "{\"status\":%d,\"detail\":\"%s\"}", status, reason);
	return "application/problem+json";
}

static void turn(struct fixture *f, unsigned ms)
{
	uint64_t end = clock_mono_ms() + ms;

	do {
		ssize_t n = recv(f->fd, f->got + f->got_len, sizeof(f->got) - 1 - f->got_len, MSG_DONTWAIT);

		if (n > 0)
			f->got[f->got_len += (size_t)n] = '\0';
		ASSERT_OK(loop_once(f->loop, 2));
	} while (clock_mono_ms() < end);
}

static void begin(struct fixture *f, const struct http_limits *limits)
{
	static const struct http_ops ops = { .handle = handle, .error_body = error_body };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char listen[128];

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/s", test_folder());
	snprintf(listen, sizeof(listen), "unix:%s", sun.sun_path);
	ASSERT_OK(loop_new(&f->loop));
	ASSERT_OK(http_server_new(&f->server, f->loop, listen, limits, &ops, f, NULL, "test"));
	f->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ASSERT_EQ(connect(f->fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
}

static void end(struct fixture *f)
{
	http_server_free(f->server);
	loop_free(f->loop);
	close(f->fd);
}

static void say(struct fixture *f, const char *s)
{
	ASSERT_EQ(write(f->fd, s, strlen(s)), strlen(s));
	turn(f, 20);
}

static const char get[] = "GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";

TEST(freeing_the_server_tells_the_hooks)
{
	struct fixture f = { .hold = true, .hook = true };

	begin(&f, NULL);
	say(&f, get);
	ASSERT_EQ(f.handled, 1);
	ASSERT_EQ(http_server_connections(f.server), 1);
	http_server_free(steal(f.server));
	ASSERT_EQ(f.gone, 1);
	end(&f);
}

TEST(freeing_the_server_takes_requests_without_hooks_along)
{
	struct fixture f = { .hold = true };

	begin(&f, NULL);
	say(&f, get);
	ASSERT_EQ(f.handled, 1);
	end(&f); /* the sanitizer looks for what was left */
}

TEST(an_answered_request_has_no_hook_any_more)
{
	struct fixture f = { .hook = true };

	begin(&f, NULL);
	say(&f, get);
	ASSERT_HAS(f.got, "\r\n\r\nyes");
	end(&f);
	ASSERT_EQ(f.gone, 0);
}

TEST(a_request_not_answered_in_time_is_gone_once)
{
	const struct http_limits limits = { .answer_ms = 30 };
	struct fixture f = { .hold = true, .hook = true };

	begin(&f, &limits);
	say(&f, get);
	turn(&f, 60);
	ASSERT_HAS(f.got, "HTTP/1.1 503 ");
	ASSERT_HAS(f.got, "{\"status\":503");
	ASSERT_STR_EQ(f.error_path, "/a");
	ASSERT_EQ(f.gone, 1);
	end(&f);
	ASSERT_EQ(f.gone, 1);
}

TEST(a_late_answer_is_dropped_and_its_request_readable_until_then)
{
	const struct http_limits limits = { .answer_ms = 30 };
	struct fixture f = { .hold = true };

	begin(&f, &limits);
	say(&f, get);
	turn(&f, 60);
	ASSERT_HAS(f.got, "HTTP/1.1 503 ");
	shutdown(f.fd, SHUT_WR);
	turn(&f, 20);
	ASSERT_EQ(http_server_connections(f.server), 0);
	ASSERT_STR_EQ(http_path(f.held), "/a");
	ASSERT_STR_EQ(http_query(f.held), "b=c");
	ASSERT_STR_EQ(http_peer(f.held), "192.0.2.1");
	http_reply(f.held, 200, "text/plain", "tardy", 5);
	turn(&f, 10);
	ASSERT_NULL(strstr(f.got, "tardy"));
	end(&f);
}

TEST(fields_of_the_handler_cannot_end_the_head)
{
	struct fixture f = { .hold = true };

	begin(&f, NULL);
	say(&f, get);
	http_reply_header(f.held, "Location", "/x\r\nSet-Cookie: a=b\r\n\r\n<html>");
	http_reply_header(f.held, "Cache-Control", "max-age=5");
	http_reply_header(f.held, "X-Content-Type-Options", "sniff");
	http_reply(f.held, 303, NULL, NULL, 0);
	turn(&f, 10);
	ASSERT_HAS(f.got, "Location: /x  Set-Cookie: a=b    <html>\r\n");
	ASSERT_HAS(f.got, "Cache-Control: max-age=5\r\n");
	ASSERT_NULL(strstr(f.got, "no-store"));
	ASSERT_HAS(f.got, "X-Content-Type-Options: nosniff\r\n");
	ASSERT_NULL(strstr(f.got, ": sniff"));
	ASSERT_HAS(f.got, "Content-Length: 0\r\n");
	end(&f);
}

TEST(an_answer_without_a_body_has_no_length)
{
	struct fixture f = { .hold = true };

	begin(&f, NULL);
	for (int status = 204; status <= 304; status += 100) {
		f.got_len = 0;
		say(&f, get);
		http_reply(f.held, status, "text/plain", "ignored", 7);
		turn(&f, 10);
		ASSERT_NULL(strstr(f.got, "Content-Length"));
		ASSERT_NULL(strstr(f.got, "ignored"));
	}
	ASSERT_EQ(f.handled, 2); /* on the same connection */
	end(&f);
}

TEST(an_error_before_the_path_is_known_has_none)
{
	struct fixture f = { 0 };

	begin(&f, NULL);
	say(&f, "GET /secret HTTP/1.1\n");
	ASSERT_EQ(f.errors, 1);
	ASSERT_STR_EQ(f.error_path, "");
	ASSERT_HAS(f.got, "Content-Type: application/problem+json\r\n");
	ASSERT_EQ(f.handled, 0);
	end(&f);
}

TEST(the_next_request_knows_nothing_of_the_last)
{
	struct fixture f = { .hold = true };

	begin(&f, NULL);
	say(&f, "POST /a?b HTTP/1.1\r\nHost: x\r\nX: 1\r\nX: 2\r\nContent-Length: 3\r\n\r\nabc");
	ASSERT_STR_EQ(http_header(f.held, "x"), "1, 2");
	ASSERT_EQ(http_body(f.held).len, 3);
	ASSERT_EQ(http_method(f.held), HTTP_POST);
	http_reply_header(f.held, "X-Once", "1");
	http_reply(f.held, 200, "text/plain", "a", 1);
	turn(&f, 10);
	f.got_len = 0;
	say(&f, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
	ASSERT_NULL(http_header(f.held, "x"));
	ASSERT_EQ(http_body(f.held).len, 0);
	ASSERT_STR_EQ(http_query(f.held), "");
	ASSERT_STR_EQ(http_path(f.held), "/b");
	http_reply(f.held, 200, "text/plain", "b", 1);
	turn(&f, 10);
	ASSERT_NULL(strstr(f.got, "X-Once"));
	end(&f);
}
