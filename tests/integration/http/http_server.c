/*
 * http_server - the HTTP server with small handlers, for the tests that speak to it over a socket
 *
 * http_server LISTEN [limit=value]...: writes its address and a newline to stdout, serves until
 * TERM, drains. /echo gives the body back, /big?N N bytes, /late?MS answers after a time
 * (/late?MS&hookless without asking to be told when the peer is gone), /refuse is answered in admit(), everything else tells method and path. /metrics.
 */
#include <signal.h>
#include <stdio.h>
#include "common/base/log.h"
#include "common/http/http.h"

struct app {
	struct loop *loop;
	struct metrics *metrics;
	struct http_server *server;
	struct loop_timer *idle; /* looks whether draining is over */
};

struct late {
	struct http_request *request;
	struct loop_timer *timer;
};

static void late_free(void *p)
{
	struct late *l = p;

	loop_timer_free(l->timer);
	free(l);
}

static void on_late(void *ctx)
{
	struct late *l = ctx;

	http_reply(l->request, 200, "text/plain", "late\n", 5);
	late_free(l);
}

static void answer_late(struct app *app, struct http_request *r)
{
	struct late *l = calloc(1, sizeof(*l));

	if (!l || loop_timer_new(&l->timer, app->loop, on_late, l))
		abort();
	l->request = r;
	if (!strstr(http_query(r), "hookless"))
		http_on_gone(r, late_free, l);
	loop_timer_set(l->timer, (uint64_t)atoi(http_query(r)));
}

static void answer_big(struct http_request *r)
{
	size_t n = (size_t)atol(http_query(r));
	char *body = malloc(n + 1);

	if (!body)
		abort();
	memset(body, 'x', n);
	http_reply(r, 200, "text/plain", body, n);
	free(body);
}

static void tell(struct http_request *r)
{
	static const char *const names[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH" };
	struct buf b = BUF_INIT;
	const char *x = http_header(r, "x");

	buf_printf(&b, "%s %s?%s %zu peer=%s x=%s\n", names[http_method(r)], http_path(r), http_query(r),
		   http_body(r).len, http_peer(r), x ? x : "-");
	http_reply(r, 200, "text/plain", b.data, b.len);
	buf_fini(&b);
}

static void answer_metrics(struct app *app, struct http_request *r)
{
	struct buf b = BUF_INIT;

	metrics_write(app->metrics, &b);
	http_reply(r, 200, "text/plain; version=0.0.4", b.data, b.len);
	buf_fini(&b);
}

static void admit(_unused_ void *ctx, struct http_request *r)
{
	if (!strcmp(http_path(r), "/refuse"))
		http_reply(r, 403, "text/plain", "no\n", 3);
	else if (!strcmp(http_path(r), "/small"))
		http_set_body_max(r, 10);
}

static void handle(void *ctx, struct http_request *r)
{
	const char *path = http_path(r);

	if (!strcmp(path, "/echo"))
		http_reply(r, 200, "application/octet-stream", http_body(r).data, http_body(r).len);
	else if (!strcmp(path, "/late"))
		answer_late(ctx, r);
	else if (!strcmp(path, "/big"))
		answer_big(r);
	else if (!strcmp(path, "/metrics"))
		answer_metrics(ctx, r);
	else
		tell(r);
}

static void set_limit(struct http_limits *l, const char *arg)
{
#define LIMIT(field)                                                                  \
	if (!strncmp(arg, #field "=", sizeof(#field)))                                \
		l->field = (typeof(l->field))strtoul(arg + sizeof(#field), NULL, 10)
	LIMIT(head_max);
	LIMIT(fields_max);
	LIMIT(target_max);
	LIMIT(body_max);
	LIMIT(output_max);
	LIMIT(head_ms);
	LIMIT(body_ms);
	LIMIT(answer_ms);
	LIMIT(idle_ms);
	LIMIT(connections_max);
	LIMIT(per_address_max);
#undef LIMIT
}

static void on_idle(void *ctx)
{
	struct app *app = ctx;

	if (!http_server_connections(app->server))
		loop_stop(app->loop);
	else
		loop_timer_set(app->idle, 20);
}

/* drains; leaves when the last connection is gone, or at the second signal */
static void on_term(void *ctx, _unused_ int signo)
{
	struct app *app = ctx;

	if (!app->idle) {
		http_server_drain(app->server);
		if (loop_timer_new(&app->idle, app->loop, on_idle, app))
			abort();
		loop_timer_set(app->idle, 0);
	} else {
		loop_stop(app->loop);
	}
}

static int start(struct app *app, const char *listen, const struct http_limits *limits)
{
	static const struct http_ops ops = { .admit = admit, .handle = handle };
	int r = loop_new(&app->loop);

	if (!r)
		r = metrics_new(&app->metrics);
	if (!r)
		r = http_server_new(&app->server, app->loop, listen, limits, &ops, app, app->metrics,
				    "test");
	if (!r)
		r = loop_signal(app->loop, SIGTERM, on_term, app);
	return r;
}

int main(int argc, char **argv)
{
	struct http_limits limits = { 0 };
	struct app app = { 0 };
	int r;

	for (int i = 2; i < argc; i++)
		set_limit(&limits, argv[i]);
	r = start(&app, argc > 1 ? argv[1] : "127.0.0.1:0", &limits);
	if (r) {
		log_error_errno(r, "http_server.start");
	} else {
		printf("%s\n", http_server_address(app.server));
		fflush(stdout);
		r = loop_run(app.loop);
	}
	http_server_free(app.server);
	loop_timer_free(app.idle);
	metrics_free(app.metrics);
	loop_free(app.loop);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
