/*
 * reload - HUP: the whole new configuration, or the old one
 *
 * The first configuration is never freed, since everything made at the start borrows from it.
 * What only counts at the start is told when it differs.
 */
#include <stdio.h>
#include "common/service/internal.h"

static void warn_changed(const struct process *p, const struct config *c)
{
	const struct config_key *const common[] = { service_keys, eventlog_keys };
	char name[160];

	FOREACH(t, common) {
		for (const struct config_key *k = *t; k->section; k++) {
			snprintf(name, sizeof(name), "%s.%s", k->section, k->name);
			if (strcmp(name, "log.level") &&
			    strcmp(config_str(c, name), config_str(p->first, name)))
				log_warn("service.reload",
					 "key=%s reason=\"counts after a restart\"", name);
		}
	}
}

static void count(struct process *p, const char *result)
{
	series_add(metrics_series(p->metrics, p->metrics_base + METRIC_ID_RELOADS, result), 1);
}

void reload_config(struct process *p)
{
	_cleanup_(config_freep) struct config *new = NULL;
	enum log_level level;
	int r = config_reload(p->service.config, &new);

	if (!r)
		r = runtime_level(new, &level);
	if (!r && p->ops->reload)
		r = p->ops->reload(p->self, new);
	if (r) {
		count(p, "refused");
		log_error("service.reload", "result=refused");
		return;
	}
	count(p, "done");
	warn_changed(p, new);
	log_open(p->ops->name, level);
	config_free(p->current);
	p->current = steal(new);
	p->service.config = p->current;
	log_info("service.reload", "result=done");
}
