/*
 * queries - the daemon's statements
 */
#include "services/notification/sender.h"

const struct query notification_queries[NOTE_QUERIES] = {
#define QUERY(id, text) QUERY_ENTRY(id, text)
#include "services/notification/queries.def"
#undef QUERY
};
