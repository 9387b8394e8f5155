/*
 * admin - /livez, /readyz and /metrics
 *
 * An answer of /livez is the proof itself: it comes from the loop that does the daemon's work.
 */
#include <stdio.h>
#include "common/service/internal.h"

static void write_checks(struct process *p, struct json *out, bool *ready)
{
	const bool store = store_pool_ready(p->writers), control = store_ready(p->control);
	const bool log = eventlog_ready(p->log), running = p->phase == PHASE_RUNNING;

	json_key(out, "checks");
	json_object_begin(out);
	json_kbool(out, "running", running);
	json_kbool(out, "store", store);
	json_kbool(out, "control", control);
	json_kbool(out, "eventlog", log);
	*ready = running && store && control && log;
	if (p->ops->ready && !p->ops->ready(p->self, out))
		*ready = false;
	json_object_end(out);
	if (!control)
		json_kstr(out, "store_error", store_last_error(p->control));
}

bool admin_checks(struct process *p, struct json *out)
{
	bool ready;

	json_object_begin(out);
	json_kstr(out, "service", p->ops->name);
	json_kstr(out, "member", p->member);
	write_checks(p, out, &ready);
	json_kbool(out, "ready", ready);
	json_object_end(out);
	return ready;
}

static void answer_ready(struct process *p, struct http_request *r)
{
	_cleanup_(buf_fini) struct buf body = BUF_INIT;
	struct json out;
	bool ready;

	json_init(&out, &body);
	ready = admin_checks(p, &out) && !buf_err(&body);
	http_reply(r, ready ? 200 : 503, "application/json", body.data, body.len);
}

static void answer_metrics(struct process *p, struct http_request *r)
{
	_cleanup_(buf_fini) struct buf body = BUF_INIT;

	metrics_write(p->metrics, &body);
	if (buf_err(&body))
		http_reply(r, 503, "text/plain; charset=utf-8", "out of memory\n", 14);
	else
		http_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", body.data, body.len);
}

static void handle(void *ctx, struct http_request *r)
{
	struct process *p = ctx;
	const char *path = http_path(r);
	enum http_method method = http_method(r);

	if (method != HTTP_GET && method != HTTP_HEAD) {
		http_reply_header(r, "Allow", "GET, HEAD");
		http_reply(r, 405, "text/plain; charset=utf-8", "GET or HEAD\n", 12);
	} else if (!strcmp(path, "/livez")) {
		http_reply(r, 200, "application/json", "{\"live\":true}", 13);
	} else if (!strcmp(path, "/readyz")) {
		answer_ready(p, r);
	} else if (!strcmp(path, "/metrics")) {
		answer_metrics(p, r);
	} else {
		http_reply(r, 404, "text/plain; charset=utf-8", "/livez, /readyz, /metrics\n", 26);
	}
}

int admin_start(struct process *p)
{
	static const struct http_ops ops = { .handle = handle };
	static const struct http_limits limits = {
		.body_max = 1024, .connections_max = 64, .output_max = 16 << 20,
	};
	int r = http_server_new(&p->admin, p->loop, config_str(p->first, "admin.listen"), &limits,
				&ops, p, p->metrics, "admin");

	return r ? r : runtime_admin_file(p);
}
