/*
 * notification - the tables of the daemon, and how its two parts hang together
 */
#include "services/notification/notification.h"

#include <errno.h>

#include "common/base/err.h"
#include "services/notification/decide.h"
#include "services/notification/sender.h"

struct notification {
	struct sender *sender;
	struct decider *decider;
};

static const struct config_key keys[] = {
#define KEY(...) { __VA_ARGS__ },
#include "services/notification/keys.def"
#undef KEY
	{ .section = NULL },
};

static const struct metric_def metrics[] = {
#define METRIC(id, kind, name, help, labels) { kind, name, help, labels },
#include "services/notification/metrics.def"
#undef METRIC
};

static void notification_free(void *self)
{
	struct notification *n = self;

	if (!n)
		return;
	decider_free(n->decider);
	sender_free(n->sender);
	free(n);
}

static int notification_start(struct service *s, int metrics_base, void **ret_self)
{
	struct notification *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return err_here(-ENOMEM);
	r = sender_new(&n->sender, s, metrics_base);
	if (!r)
		r = decider_new(&n->decider, s, metrics_base, n->sender);
	if (r) {
		notification_free(n);
		return r;
	}
	*ret_self = n;
	return 0;
}

static int notification_reload(void *self, const struct config *config)
{
	return sender_reload(((struct notification *)self)->sender, config);
}

static void notification_drain(void *self)
{
	sender_drain(((struct notification *)self)->sender);
}

static bool notification_drained(const void *self)
{
	return sender_drained(((const struct notification *)self)->sender);
}

const struct service_ops notification_ops = {
	.name = "notification",
	.keys = keys,
	.metrics = metrics,
	.metrics_n = ARRAY_SIZE(metrics),
	.queries = notification_queries,
	.queries_n = NOTE_QUERIES,
	.start = notification_start,
	.free = notification_free,
	.reload = notification_reload,
	.drain = notification_drain,
	.drained = notification_drained,
};
