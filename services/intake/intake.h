#pragma once
/*
 * intake - the daemon that takes requests, and shows them again
 *
 * Doors (open311.c over HTTP, submit.c over ZeroMQ, pages.c for citizens) make entries; writer.c
 * commits them lane by lane and answers; view.c keeps request_public from the log; load.c keeps the
 * catalogue. Loop thread only.
 */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/domain/code.h"
#include "common/http/http.h"
#include "common/service/service.h"
#include "services/intake/core_entry.h"
#include "services/intake/core_guess.h"
#include "services/intake/core_rate.h"
#include "services/intake/core_render.h"

enum intake_metric {
#define METRIC(id, kind, name, help, labels) id,
#include "services/intake/metrics.def"
#undef METRIC
	METRIC_N
};

enum intake_query {
#define QUERY(id, text) id,
#include "services/intake/queries.def"
#undef QUERY
	QUERY_N
};
extern const struct query intake_queries[QUERY_N];

/* where integrators come in over ZeroMQ: from this machine, and under CURVE */
enum { SUBMIT_LOCAL, SUBMIT_CURVE, SUBMITS };

struct intake {
	struct service *s;
	int metrics_base;
	struct catalog *catalog; /* never NULL; empty until the first load */
	bool loaded;
	bool draining;
	bool disk_full;
	struct buf scratch; /* of entry_new() */
	struct loader *loader;
	struct writer *writer;
	struct reads *reads;
	struct submit *submit[SUBMITS]; /* the second: NULL unless configured */
	struct web *web;
	struct consumer *view;
	struct guess *guess;
	struct rate rate; /* of what is admitted */
	struct loop_timer *watermark;
};

/* intake.c */
extern const struct service_ops intake_ops;
struct series *intake_series(struct intake *in, enum intake_metric m, const char *a, const char *b,
			     const char *c);
/* may a new submission come in at all? BUSY_NONE: yes, and it is counted for the rate */
enum busy_cause intake_admit(struct intake *in);
unsigned intake_retry_ms(const struct intake *in); /* jittered: 0.5 … 3 s */
void intake_count_reject(struct intake *in, const char *door, const char *cause);
const char *intake_channel_name(int channel);
/*
 * The rest of a door's way, the same for all: checks the fields, makes the entry, gives it to the
 * writer. 0: done() comes later, from the loop. INTAKE_E_FIELDS: e says why; INTAKE_E_BUSY:
 * ret_cause. done() isn't called then.
 */
enum { INTAKE_E_FIELDS = 1, INTAKE_E_BUSY };
struct intake_door {
	const struct door *door;
	const struct offer *offer;
	bool may_import;
	entry_fn done;
	void *ctx;
	uint64_t number;
};
int intake_submission(struct intake *in, struct submission *s, const struct intake_door *d,
		      struct field_errors *e, enum busy_cause *ret_cause) _must_check_;
/* the trace of a traceparent that was sent, or a new one */
void intake_trace(const char *traceparent, size_t len, struct trace *ret);

/* load.c */
int loader_new(struct loader **ret, struct intake *in) _must_check_;
void loader_free(struct loader *l);
void loader_want(struct loader *l, int64_t revision);

/* writer.c */
int writer_new(struct writer **ret, struct intake *in) _must_check_;
void writer_free(struct writer *w);
/* 0: the entry is the writer's; BUSY_QUEUE: full, it stays the caller's */
int writer_add(struct writer *w, struct entry *e) _must_check_;
size_t writer_depth(const struct writer *w); /* entries that wait for an answer */
/* what came now would wait too long, or not at all find room */
bool writer_full(const struct writer *w);

/* view.c */
int view_start(struct intake *in) _must_check_;

/* submit.c: which is SUBMIT_LOCAL or SUBMIT_CURVE; NULL where none is configured */
int submit_new(struct submit **ret, struct intake *in, int which) _must_check_;
void submit_free(struct submit *s);
void submit_recheck(struct submit *s); /* keys changed; NULL is fine */
