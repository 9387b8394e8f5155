/*
 * intake - wiring: start, admission, drain, readiness
 *
 * Admission is one question asked by all doors before anything of a submission is read: a store
 * that is away, a full queue or a full disk end at the sender with a time to come back.
 */
#include <errno.h>
#include <sodium.h>
#include <sys/statvfs.h>
#include "services/intake/intake.h"
#include "services/intake/web.h"

static const struct config_key keys[] = {
#define KEY(section_, name_, kind_, fallback_, min_, max_, doc_)                               \
	{ .section = #section_, .name = #name_, .kind = CONFIG_##kind_, .fallback = fallback_, \
	  .min = min_, .max = max_, .doc = doc_ },
#include "services/intake/keys.def"
#undef KEY
	{ .section = NULL },
};

static const struct metric_def metrics[METRIC_N] = {
#define METRIC(id, kind_, name_, help_, labels_) \
	[id] = { .kind = METRIC_##kind_, .name = name_, .help = help_, .labels = labels_ },
#include "services/intake/metrics.def"
#undef METRIC
};

const struct query intake_queries[QUERY_N] = {
#define QUERY(id, text) [id] = { .name = #id, .sql = text },
#include "services/intake/queries.def"
#undef QUERY
};

struct series *intake_series(struct intake *in, enum intake_metric m, const char *a, const char *b,
			     const char *c)
{
	return metrics_series(in->s->metrics, in->metrics_base + (int)m, a, b, c);
}

void intake_count_reject(struct intake *in, const char *door, const char *cause)
{
	series_add(intake_series(in, METRIC_REJECT, door, cause, NULL), 1);
}

const char *intake_channel_name(int channel)
{
	static const char *const names[] = { "none", "phone", "web", "mobile", "email", "sms", "chat",
					     "social", "counter", "staff", "api", "letter" };

	return channel >= 0 && (size_t)channel < ARRAY_SIZE(names) ? names[channel] : "other";
}

/*
 * Any one connection will do: when a single lane's is being made anew, its submissions wait in its
 * queue and the others go on.
 */
static bool store_there(const struct intake *in)
{
	for (unsigned lane = 0; lane < LANE_MAX; lane++)
		if (store_ready(store_pool_lane(in->s->writers, lane)))
			return true;
	return false;
}

enum busy_cause intake_admit(struct intake *in)
{
	if (in->draining)
		return BUSY_DRAINING;
	if (in->disk_full)
		return BUSY_DISK;
	if (!in->loaded || !store_there(in))
		return BUSY_STORE;
	if (writer_full(in->writer))
		return BUSY_QUEUE;
	return rate_take(&in->rate, clock_mono_us()) ? BUSY_NONE : BUSY_RATE;
}

unsigned intake_retry_ms(const struct intake *in)
{
	return 500 + loop_random(in->s->loop, 2500);
}

void intake_trace(const char *traceparent, size_t len, struct trace *ret)
{
	if (!len || !trace_parse(traceparent, len, ret))
		trace_new(ret);
}

int intake_submission(struct intake *in, struct submission *s, const struct intake_door *d,
		      struct field_errors *errors, enum busy_cause *ret_cause)
{
	_cleanup_(entry_freep) struct entry *e = NULL;
	uint8_t unique[16] = { 0 };
	struct checked checked;
	struct trace trace;
	int r;

	if (!submission_check(s, in->catalog, d->offer, d->door, d->may_import, clock_wall_us(),
			      errors, &checked))
		return INTAKE_E_FIELDS;
	*ret_cause = BUSY_STORE;
	if (!d->offer->town->lanes_n)
		return INTAKE_E_BUSY; /* a town that is being made: it gets its lanes in a moment */
	intake_trace(s->traceparent.s, s->traceparent.len, &trace);
	if (!s->text[FIELD_KEY].len) /* a system call that a given key spares */
		randombytes_buf(unique, sizeof(unique));
	r = entry_new(&e, s, &checked, in->catalog, d->offer, d->door, unique, &trace, &in->scratch);
	if (r) {
		log_error_errno(r, "intake.entry");
		return INTAKE_E_BUSY;
	}
	e->done = d->done;
	e->ctx = d->ctx;
	e->number = d->number;
	r = writer_add(in->writer, e);
	if (r) {
		*ret_cause = (enum busy_cause)r;
		return INTAKE_E_BUSY;
	}
	steal(e);
	return 0;
}

/* ---- watermark ------------------------------------------------------------------------------- */

static void read_watermark(void *ctx)
{
	struct intake *in = ctx;
	const struct config *c = in->s->config;
	const char *path = config_str(c, "intake.watermark_path");
	struct statvfs v;
	bool full = false;

	if (!*path)
		return;
	loop_timer_set_us(in->watermark,
			  loop_about_us(in->s->loop, (uint64_t)config_int(c, "intake.watermark_ms")));
	if (statvfs(path, &v)) {
		if (!in->disk_full)
			log_at_errno(LOG_LEVEL_WARN, -errno, "intake.watermark");
		return;
	}
	double share = v.f_blocks ? 100.0 * (double)v.f_bavail / (double)v.f_blocks : 100;
	double left = (double)v.f_bavail * (double)v.f_frsize;

	full = share < (double)config_int(c, "intake.watermark_percent") ||
	       left < (double)config_int(c, "intake.watermark_bytes");
	if (full != in->disk_full)
		log_warn("intake.watermark", "full=%d free_bytes=%.0f free_percent=%.1f", full, left,
			 share);
	in->disk_full = full;
	series_set(intake_series(in, METRIC_FREE, NULL, NULL, NULL), left);
	series_set(intake_series(in, METRIC_WATERMARK, NULL, NULL, NULL), full);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void intake_free(void *self)
{
	struct intake *in = self;

	if (!in)
		return;
	loop_timer_free(in->watermark);
	FOREACH(submit, in->submit)
		submit_free(*submit);
	writer_free(in->writer); /* answers what still waits, so before the web */
	reads_free(in->reads);
	web_free(in->web);
	loader_free(in->loader);
	catalog_unref(in->catalog);
	free(in->guess);
	buf_fini(&in->scratch);
	free(in);
}
DEFINE_CLEANUP(struct intake *, intake_free)

static int make_guess(struct intake *in)
{
	in->guess = calloc(1, sizeof(*in->guess));
	if (!in->guess)
		return err_here(-ENOMEM);
	in->guess->address_max = (unsigned)config_int(in->s->config, "intake.guess_address");
	in->guess->total_max = (unsigned)config_int(in->s->config, "intake.guess_total");
	randombytes_buf(&in->guess->salt, sizeof(in->guess->salt));
	return 0;
}

static int intake_start(struct service *s, int metrics_base, void **ret_self)
{
	_cleanup_(intake_freep) struct intake *in = calloc(1, sizeof(*in));
	int r;

	if (!in)
		return err_here(-ENOMEM);
	in->s = s;
	in->metrics_base = metrics_base;
	in->rate.a_second = (double)config_int(s->config, "intake.rate_max");
	r = catalog_new(&in->catalog, 0);
	if (!r)
		r = make_guess(in);
	if (!r)
		r = loader_new(&in->loader, in);
	if (!r)
		r = writer_new(&in->writer, in);
	if (!r)
		r = reads_new(&in->reads, in);
	if (!r)
		r = submit_new(&in->submit[SUBMIT_LOCAL], in, SUBMIT_LOCAL);
	if (!r)
		r = submit_new(&in->submit[SUBMIT_CURVE], in, SUBMIT_CURVE);
	if (!r)
		r = web_new(&in->web, in);
	if (!r)
		r = view_start(in);
	if (!r)
		r = loop_timer_new(&in->watermark, s->loop, read_watermark, in);
	if (r)
		return r;
	read_watermark(in);
	*ret_self = steal(in);
	return 0;
}

static void intake_on_config(void *self, int64_t revision)
{
	struct intake *in = self;

	loader_want(in->loader, revision);
}

static void intake_drain(void *self)
{
	struct intake *in = self;

	in->draining = true;
	/* intake.submit goes on answering: Busy, cause "draining" */
	web_drain(in->web);
}

static bool intake_drained(const void *self)
{
	const struct intake *in = self;

	return !writer_depth(in->writer) && web_drained(in->web);
}

static bool intake_ready(const void *self, struct json *out)
{
	const struct intake *in = self;
	bool reads = reads_ready(in->reads);

	json_kbool(out, "catalogue", in->loaded);
	json_kbool(out, "public_reads", reads);
	json_kbool(out, "disk", !in->disk_full);
	return in->loaded && reads && !in->disk_full;
}

const struct service_ops intake_ops = {
	.name = "intake",
	.keys = keys,
	.metrics = metrics,
	.metrics_n = ARRAY_SIZE(metrics),
	.queries = intake_queries,
	.queries_n = ARRAY_SIZE(intake_queries),
	.start = intake_start,
	.free = intake_free,
	.on_config = intake_on_config,
	.drain = intake_drain,
	.drained = intake_drained,
	.ready = intake_ready,
};
