#pragma once
/*
 * notification - tells citizens what became of their requests
 *
 * Two parts: decide.c, a consumer of the log, writes which messages are due; sender.c, a chain
 * beside the log, sends them.
 */
#include "common/service/service.h"

extern const struct service_ops notification_ops;
