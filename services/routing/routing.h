#pragma once
/*
 * routing - gives every request a department, a job and a deadline
 */
#include "common/service/service.h"

extern const struct service_ops routing_ops;
