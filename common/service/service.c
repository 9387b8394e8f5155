/*
 * service - one process from its command line to its exit status
 *
 * Parts are made from the bottom up and freed from the top down; before the first is freed the
 * stores are stopped, so that whoever waits for a group hears its end while it still lives.
 *
 * A timer looks at readiness and at the drain: both are answers of several parts, which would
 * otherwise all have to know whom to tell. How late it comes is the loop's lag.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/service/internal.h"

#define WATCH_MS 1000
#define WATCH_UNREADY_MS 10
#define WATCH_DRAIN_MS 5

#define METRIC(id, kind, name, help, labels) \
	[METRIC_ID_##id] = { METRIC_##kind, name, help, labels },
static const struct metric_def own_metrics[] = {
#include "common/service/metrics.def"
};

/* ---- drain --------------------------------------------------------------------------------- */

static void enter(struct process *p, enum phase phase)
{
	p->phase = phase;
	if (phase == PHASE_DRAINING) {
		runtime_notify("STOPPING=1");
		if (p->ops->drain)
			p->ops->drain(p->self);
	} else if (phase == PHASE_LEAVING) {
		eventlog_drain(p->log);
	} else {
		loop_stop(p->loop);
	}
}

static void begin_drain(struct process *p)
{
	uint64_t drain_ms = (uint64_t)config_int(p->service.config, "service.drain_ms");
	uint64_t now = clock_mono_ms();

	log_info("service.draining", "drain_ms=%llu", (unsigned long long)drain_ms);
	p->drain_ends_ms = now + drain_ms;
	p->phase_ends_ms = now + drain_ms / 2; /* the other half is for giving the lanes back */
	enter(p, PHASE_DRAINING);
}

/* each step as far as it goes */
static void go_on_draining(struct process *p)
{
	uint64_t now = clock_mono_ms();

	if (p->phase == PHASE_DRAINING) {
		bool done = !p->ops->drained || p->ops->drained(p->self);

		if (!done && now < p->phase_ends_ms)
			return;
		if (!done)
			log_warn("service.drain", "part=daemon reason=\"time is over\"");
		enter(p, PHASE_LEAVING);
	}
	if (p->phase == PHASE_LEAVING) {
		bool done = eventlog_drained(p->log);

		if (!done && now < p->drain_ends_ms)
			return;
		if (!done)
			log_warn("service.drain", "part=eventlog reason=\"time is over\"");
		enter(p, PHASE_STOPPED);
	}
}

/* ---- watching -------------------------------------------------------------------------------- */

static void set_ready(struct process *p, bool ready)
{
	p->ready = ready;
	series_set(metrics_series(p->metrics, p->metrics_base + METRIC_ID_READY), ready);
}

static void watch_ready(struct process *p)
{
	_cleanup_(buf_fini) struct buf text = BUF_INIT;
	struct json out;
	bool ready;

	json_init(&out, &text);
	ready = admin_checks(p, &out);
	if (ready == p->ready)
		return;
	set_ready(p, ready);
	if (ready) {
		log_info("service.ready", "member=%s admin=%s", p->member,
			 http_server_address(p->admin));
		runtime_notify("READY=1");
	} else if (p->phase == PHASE_RUNNING) {
		log_warn("service.unready", "state=%s", buf_err(&text) ? "" : text.data);
	}
}

static void watch_again(struct process *p)
{
	uint64_t after_us = p->phase != PHASE_RUNNING ? WATCH_DRAIN_MS * 1000 :
			    p->ready ? loop_about_us(p->loop, WATCH_MS) : WATCH_UNREADY_MS * 1000;

	p->watch_due_us = clock_mono_us() + after_us;
	loop_timer_set_us(p->watch, after_us);
}

static void on_watch(void *ctx)
{
	struct process *p = ctx;
	uint64_t now = clock_mono_us();

	if (p->watch_due_us)
		series_observe(metrics_series(p->metrics, p->metrics_base + METRIC_ID_LAG),
			       now > p->watch_due_us ? (double)(now - p->watch_due_us) / 1e6 : 0);
	if (p->phase == PHASE_RUNNING)
		watch_ready(p);
	else
		go_on_draining(p);
	if (p->phase != PHASE_STOPPED)
		watch_again(p);
}

static void on_signal(void *ctx, int signo)
{
	struct process *p = ctx;

	if (signo == SIGHUP) {
		if (p->phase == PHASE_RUNNING)
			reload_config(p);
		return;
	}
	if (p->phase == PHASE_RUNNING) {
		set_ready(p, false);
		begin_drain(p);
		p->watch_due_us = 0; /* it comes before it was due */
		loop_timer_set(p->watch, 0);
	} else if (p->phase != PHASE_STOPPED) {
		log_warn("service.drain", "part=all reason=\"second signal\"");
		enter(p, PHASE_STOPPED);
	}
}

static void on_config(void *ctx, int64_t revision)
{
	struct process *p = ctx;

	if (p->self && p->ops->on_config)
		p->ops->on_config(p->self, revision);
}

/* ---- making the parts ------------------------------------------------------------------------ */

static int open_metrics(struct process *p)
{
	int r = metrics_new(&p->metrics);

	if (r)
		return r;
	p->metrics_base = metrics_register(p->metrics, own_metrics, ARRAY_SIZE(own_metrics));
	if (p->metrics_base < 0)
		return p->metrics_base;
	series_set(metrics_series(p->metrics, p->metrics_base + METRIC_ID_INFO, p->ops->name,
				  CENTRALETA_VERSION), 1);
	series_set(metrics_series(p->metrics, p->metrics_base + METRIC_ID_START),
		   (double)(clock_wall_us() / 1000) / 1000);
	return 0;
}

static int open_stores(struct process *p)
{
	const struct config *c = p->first;
	const char *role = config_str(c, "store.role");
	char own_role[80], application[160];
	struct store_options o = {
		.dsn = config_str(c, "store.dsn"),
		.application_name = application,
		.role = role[0] ? role : own_role,
		.tables = p->queries,
		.connect_ms = (unsigned)config_int(c, "store.connect_ms"),
		.group_ms = (unsigned)config_int(c, "store.group_ms"),
		.groups_max = (unsigned)config_int(c, "store.groups_max"),
		.metrics = p->metrics,
		.metrics_label = "lane",
	};
	int r;

	snprintf(own_role, sizeof(own_role), "centraleta_%.60s", p->ops->name);
	snprintf(application, sizeof(application), "centraleta %s", p->member);
	p->queries[0] = eventlog_queries;
	p->queries[1] = (struct query_table){ p->ops->queries, p->ops->queries_n };
	r = store_pool_new(&p->writers, p->loop, &o, (unsigned)config_int(c, "store.connections"));
	o.metrics_label = "control";
	return r ? r : store_new(&p->control, p->loop, &o);
}

static int open_log(struct process *p)
{
	const struct eventlog_options o = {
		.loop = p->loop,
		.bus = p->bus,
		.writers = p->writers,
		.control = p->control,
		.metrics = p->metrics,
		.config = p->first,
		.kind = p->ops->name,
		.on_config = on_config,
		.ctx = p,
	};

	return eventlog_new(&p->log, &o);
}

static void lend(struct process *p)
{
	p->service.config = p->first;
	p->service.loop = p->loop;
	p->service.metrics = p->metrics;
	p->service.bus = p->bus;
	p->service.writers = p->writers;
	p->service.control = p->control;
	p->service.log = p->log;
}

static int open_parts(struct process *p)
{
	int r = open_metrics(p);

	if (!r)
		r = loop_new(&p->loop);
	if (!r)
		r = bus_new(&p->bus, p->loop);
	if (!r)
		r = runtime_curve(p);
	if (!r)
		r = open_stores(p);
	if (!r)
		r = open_log(p);
	if (!r)
		lend(p);
	return r;
}

static int start_daemon(struct process *p)
{
	int base = metrics_register(p->metrics, p->ops->metrics, p->ops->metrics_n);
	int r;

	if (base < 0)
		return base;
	r = p->ops->start(&p->service, base, &p->self);
	return r ? r : eventlog_start(p->log);
}

static int start_watching(struct process *p)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	int r = admin_start(p);

	if (!r)
		r = loop_timer_new(&p->watch, p->loop, on_watch, p);
	for (size_t i = 0; !r && i < ARRAY_SIZE(signals); i++)
		r = loop_signal(p->loop, signals[i], on_signal, p);
	if (r)
		return r;
	loop_timer_set(p->watch, 0);
	return 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void process_fini(struct process *p)
{
	if (p->admin_file[0])
		unlink(p->admin_file);
	http_server_free(p->admin);
	if (p->writers)
		store_pool_stop(p->writers);
	if (p->control)
		store_stop(p->control);
	eventlog_free(p->log); /* hands back what the daemon gave it, so the daemon still lives */
	p->service.log = NULL;
	if (p->self)
		p->ops->free(p->self);
	store_free(p->control);
	store_pool_free(p->writers);
	bus_free(p->bus);
	loop_timer_free(p->watch);
	loop_free(p->loop);
	metrics_free(p->metrics);
	config_free(p->current);
	config_free(p->first);
}

static int prepare(struct process *p)
{
	enum log_level level;
	int r = runtime_level(p->first, &level);

	if (r)
		return r;
	log_open(p->ops->name, level);
	r = runtime_member(p);
	if (!r)
		r = runtime_secret(p);
	if (!r)
		r = runtime_endpoint(p);
	if (!r)
		r = runtime_folder(p);
	return r;
}

static int run(struct process *p)
{
	int r = open_parts(p);

	if (!r)
		r = start_daemon(p);
	if (!r)
		r = start_watching(p);
	if (r) {
		log_error_errno(err_fold(r), "service.start");
		return EXIT_FAILURE;
	}
	log_info("service.start", "member=%s admin=%s version=%s", p->member,
		 http_server_address(p->admin), CENTRALETA_VERSION);
	r = loop_run(p->loop);
	if (r)
		log_error_errno(err_fold(r), "service.loop");
	log_info("service.stopped", "member=%s", p->member);
	/* a part that can't go on stops the loop by itself and has told why */
	return r || p->phase != PHASE_STOPPED ? EXIT_FAILURE : EXIT_SUCCESS;
}

int service_main(int argc, char **argv, const struct service_ops *ops)
{
	static struct config_key no_keys = { .section = NULL };
	struct process p = { .ops = ops };
	char program[64];
	int r;

	snprintf(program, sizeof(program), "centraleta-%.48s", ops->name);
	log_open(ops->name, LOG_LEVEL_INFO);
	p.tables[0] = service_keys;
	p.tables[1] = eventlog_keys;
	p.tables[2] = ops->keys ? ops->keys : &no_keys;
	r = config_load(&p.first, argc, argv, program, p.tables);
	if (r)
		return r == CONFIG_E_DONE ? EXIT_SUCCESS : EX_CONFIG;
	signal(SIGPIPE, SIG_IGN);
	r = prepare(&p) ? EX_CONFIG : run(&p);
	process_fini(&p);
	return r;
}
