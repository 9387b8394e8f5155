#pragma once
/*
 * internal - what the files of service share: the process
 */
#include "common/base/log.h"
#include "common/http/http.h"
#include "common/service/service.h"

enum phase {
	PHASE_RUNNING,
	PHASE_DRAINING, /* the daemon finishes what is in flight */
	PHASE_LEAVING, /* the event log gives its lanes back */
	PHASE_STOPPED,
};

enum { METRIC_ID_INFO, METRIC_ID_START, METRIC_ID_READY, METRIC_ID_LAG, METRIC_ID_RELOADS };

struct process {
	struct service service; /* what the daemon sees */
	const struct service_ops *ops;
	void *self; /* the daemon; NULL until start() */
	const struct config_key *tables[4];
	struct query_table queries[3];
	struct config *first; /* of the start: borrowed by all parts for ever */
	struct config *current; /* NULL: still the first */
	char member[128];
	char admin_file[512]; /* "": not written */
	struct loop *loop;
	struct metrics *metrics;
	struct bus *bus;
	struct store_pool *writers;
	struct store *control;
	struct eventlog *log;
	struct http_server *admin;
	struct loop_timer *watch; /* readiness and drain */
	uint64_t watch_due_us; /* 0: at once */
	int metrics_base;
	enum phase phase;
	uint64_t phase_ends_ms, drain_ends_ms; /* monotonic */
	bool ready; /* as last told */
};

/* admin.c */
int admin_start(struct process *p) _must_check_;
/* writes the object of /readyz; false: not ready */
bool admin_checks(struct process *p, struct json *out);

/* runtime.c: the process's surroundings */
int runtime_level(const struct config *c, enum log_level *ret) _must_check_; /* -EINVAL: told */
int runtime_member(struct process *p) _must_check_; /* names the process; -EINVAL: told */
int runtime_folder(struct process *p) _must_check_; /* -errno: told */
int runtime_secret(struct process *p) _must_check_; /* -EINVAL: told */
int runtime_endpoint(const struct process *p) _must_check_; /* -EINVAL: told */
int runtime_curve(struct process *p) _must_check_; /* gives the bus its key, if there is one; < 0: told */
int runtime_admin_file(struct process *p) _must_check_;
void runtime_notify(const char *state); /* sd_notify(3) */

/* reload.c */
void reload_config(struct process *p);
