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
 * Ready is told by a line "service.ready" in the log and to $NOTIFY_SOCKET (sd_notify(3)).
 *
 * The real address of admin.listen stands in "service.start" and "service.ready" (admin=ADDR) and,
 * as long as the process lives, in the file <service.runtime_dir>/<member>.admin.
 */
#include "common/base/config.h"
#include "common/base/json.h"
#include "common/base/metrics.h"
#include "common/bus/bus.h"
#include "common/eventlog/eventlog.h"
#include "common/loop/loop.h"
#include "common/store/store.h"

struct service { /* borrowed by the daemon, lives longer than it */
	const struct config *config; /* the newest that was accepted */
	const char *member; /* this process's name */
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
	/* adds its consumers to s->log, which is started afterwards; metrics_base + id: a metric */
	int (*start)(struct service *s, int metrics_base, void **ret_self);
	/* last: all groups have ended, the event log and its consumers are gone (log is NULL) */
	void (*free)(void *self);
	/* the towns' configuration changed in the store; may be NULL */
	void (*on_config)(void *self, int64_t revision);
	/*
	 * Takes the new configuration or keeps the old, whole (unless 0). Keep nothing borrowed
	 * from the one before but what start() was given, which lives on. May be NULL.
	 */
	int (*reload)(void *self, const struct config *config);
	/* take nothing new, finish what is in flight; the event log is drained after drained() */
	void (*drain)(void *self);
	bool (*drained)(const void *self);
	/*
	 * One json_kbool() or more, each a check, into an open object; false: not ready. Asked
	 * often: no work in it.
	 */
	bool (*ready)(const void *self, struct json *out);
};

/* the exit status: 0; 1: can't go on, told in the log; 78 (EX_CONFIG) */
int service_main(int argc, char **argv, const struct service_ops *ops);

/*
 * The common keys, in keys.def. store.role "" is centraleta_<name>; bus.endpoint "" (of the PUB
 * socket) is ipc://<service.runtime_dir>/<member>.pub; service.member "" is <name>-<host name>.
 * service.secret_file must hold 32 bytes of text or more.
 */
extern const struct config_key service_keys[];
