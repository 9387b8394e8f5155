#pragma once
/*
 * sender - the chain notification.send: what is due leaves, and what became of it is stored
 *
 * scan.c reads what is due into memory, step.c turns it into groups of the chain, flight.c hands
 * mails to smtp. A message is in one lane's outbox; a mail that is being handed over is a flight.
 * Order of an attempt: `sending` is stored, then its mail leaves, then its end is stored with its
 * event. Whatever breaks that order leaves `sending` behind, which a new holder turns into
 * `uncertain`.
 */
#include "common/service/service.h"
#include "services/notification/core_backoff.h"
#include "services/notification/core_outbox.h"
#include "services/notification/render.h"
#include "services/notification/smtp.h"

struct sender;

enum note_query { /* the table is in queries.c */
#define QUERY(id, text) QUERY_ENUM(id, text)
#include "services/notification/queries.def"
#undef QUERY
	NOTE_QUERIES,
};
extern const struct query notification_queries[NOTE_QUERIES];

enum note_metric { /* the table is in notification.c */
#define METRIC(id, kind, name, help, labels) id,
#include "services/notification/metrics.def"
#undef METRIC
	NOTE_METRICS,
};

int sender_new(struct sender **ret, struct service *svc, int metrics_base) _must_check_;
void sender_free(struct sender *s);
DEFINE_CLEANUP(struct sender *, sender_free)
int sender_reload(struct sender *s, const struct config *config) _must_check_;
void sender_drain(struct sender *s); /* begins nothing new; what flies is stored */
bool sender_drained(const struct sender *s);

/* A message that was just decided, durable. Unless the lane is held here, nothing happens. */
struct message_row {
	int64_t cause_seq;
	int32_t kind;
	int32_t jurisdiction;
	int64_t request;
	int64_t created_us;
	struct trace trace;
};
void sender_tell(struct sender *s, unsigned lane, const struct message_row *m);
