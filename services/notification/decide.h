#pragma once
/*
 * decide - the log consumer `notification`: which messages an event asks for
 */
#include "services/notification/sender.h"

struct decider;

int decider_new(struct decider **ret, struct service *svc, int metrics_base, struct sender *sender) _must_check_;
void decider_free(struct decider *d);
DEFINE_CLEANUP(struct decider *, decider_free)
