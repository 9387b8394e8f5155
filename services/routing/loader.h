#pragma once
/*
 * loader - the towns' configuration in use, and its replacement when the store's moves
 *
 * A new one is built beside the old and swapped whole. One that is wrong (a zone that this machine
 * doesn't know, a broken shape, a rule without a department) is told in the log and in
 * routing_config_loads_total; the old one stays until the revision moves again.
 */
#include "common/service/service.h"
#include "services/routing/core_town.h"

struct loader;

int loader_new(struct loader **ret, struct service *s, int metrics_base) _must_check_;
void loader_free(struct loader *l); /* also with a load under way */
DEFINE_CLEANUP(struct loader *, loader_free)

/* asks the store; while a load is under way another one follows it */
void loader_start(struct loader *l);
/* an event names a town that isn't known: asks after a while, unless that is under way */
void loader_hurry(struct loader *l);
/* NULL until the first load; may be gone on the next turn of the loop */
const struct towns *loader_towns(const struct loader *l);
int64_t loader_revision(const struct loader *l); /* 0: none yet */
