#pragma once
/*
 * service - what the five daemons' mains share: configuration, loop, store, bus, log, admin HTTP,
 * signals, drain, reload
 *
 * service_main() loads the configuration (common keys and the daemon's own), opens the loop, the
 * store's connections, the bus and the event log, starts the daemon, serves /livez, /readyz and
 * /metrics on admin.listen, and runs until TERM: then drain() is called, and the process leaves
 * with 0 when drained() says so or service.drain_ms is over; a second TERM or INT leaves at once.
 * HUP builds the whole new configuration and hands it to reload(); when it is wrong the old stays.
 * Ready is told by a line "service.ready" in the log, and by sd_notify later.
 */
#include "common/base/config.h"
#include "common/base/json.h"
#include "common/base/metrics.h"
#include "common/bus/bus.h"
#include "common/eventlog/eventlog.h"
#include "common/loop/loop.h"
#include "common/store/store.h"

struct service { /* borrowed by the daemon, lives longer than it */
	const struct config *config;
	struct loop *loop;
	struct metrics *metrics;
	struct bus *bus;
	struct store_pool *writers; /* the daemon's own role; eventlog's queries and the ops' */
	struct store *control;
	struct eventlog *log;
	struct bytes secret; /* the installation's: keys and codes; at least 32 bytes */
};

struct service_ops {
	const char *name; /* "routing" */
	const struct config_key *keys; /* ended by { .section = NULL } */
	const struct metric_def *metrics;
	size_t metrics_n;
	const struct query *queries;
	size_t queries_n;
	/* adds its consumers to s->log; s->log is started afterwards. metrics_base + id is a metric */
	int (*start)(struct service *s, int metrics_base, void **ret_self);
	void (*free)(void *self);
	void (*on_config)(void *self, int64_t revision); /* towns changed in the store; may be NULL */
	int (*reload)(void *self, const struct config *config); /* may be NULL */
	void (*drain)(void *self);
	bool (*drained)(const void *self);
	/* one json_kbool() or more a check into an open object; false: not ready */
	bool (*ready)(const void *self, struct json *out);
};

int service_main(int argc, char **argv, const struct service_ops *ops);

extern const struct config_key service_keys[];
/*
 * Common keys (section.key): store.dsn, store.connections, store.group_ms, store.connect_ms,
 * bus.endpoint (of the PUB socket; "" = ipc://<service.runtime_dir>/<member>.pub),
 * service.member ("" = <kind>-<host name>), service.runtime_dir (/run/centraleta),
 * service.drain_ms, service.secret_file, admin.listen (127.0.0.1:0), log.level.
 */
