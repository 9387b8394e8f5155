#pragma once
/*
 * sender_internal - what the parts of the sender share
 */
#include "common/base/ids.h"
#include "services/notification/sender.h"

struct sender_settings {
	size_t in_flight, memory_max, page_rows, batch_max, domains_max;
	unsigned attempts_max;
	int64_t mark_step;
	uint64_t poll_ms, rescan_ms, mark_ms, start_within_ms, leave_ms;
	struct backoff message, relay;
};

struct send_lane {
	struct sender *sender;
	unsigned lane;
	bool held, loaded;
	int64_t epoch;
	struct outbox *box; /* of epoch, also after the lane was lost; NULL: never held */
	struct outbox *shelf; /* what was in hand before an answer was lost; see scan.c */
	struct loop_timer *timer; /* the next thing to look at */
	struct loop_timer *soon; /* on the next turn: many messages are told of at once */
	/* the scan: messages up to here were looked at */
	int64_t scan_seq;
	int32_t scan_kind;
	struct scan *scan; /* a page is being read */
	/* the mark: up to mark_seq all is settled, as of mark_version; put_off_seq: the first that was
	 * forgotten unsettled since the scan began, INT64_MAX: none */
	int64_t mark_seq, mark_version, put_off_seq;
	uint64_t mark_at_ms; /* when it is next looked whether it can go on */
	bool mark_due; /* it can: the next group stores it */
	bool starved; /* something is due, but no mail may start */
	uint64_t scan_at_ms, rescan_at_ms;
	uint64_t leave_by_ms; /* the lane is to be given back: nothing new begins; 0: it is not */
};

/* A mail between the decision and its end. Lives on when its lane is lost. Ends in its outbox. */
struct flight {
	struct list link;
	struct sender *sender;
	struct send_lane *lane;
	int64_t epoch;
	struct out_key key;
	int32_t attempt;
	int64_t created_us;
	struct trace trace;
	uint64_t decided_ms;
	bool orphan; /* the lane was another's meanwhile: its end can't be stored */
	struct rendered mail;
	struct smtp_transfer *transfer; /* NULL: not begun */
};

struct sender {
	struct service *svc;
	int metrics_base;
	struct sender_settings settings;
	struct renderer *renderer;
	struct smtp *smtp;
	struct consumer *chain;
	struct penalties *domains;
	unsigned relay_failures;
	uint64_t relay_until_ms;
	struct loop_timer *relay_timer;
	struct loop_timer *poll_timer;
	struct poll *poll; /* under way; NULL: none */
	struct list flights;
	size_t flying;
	size_t reserved; /* picked by groups, not flying yet */
	size_t memory; /* messages of all lanes */
	bool draining;
	struct send_lane lanes[LANE_MAX];
};

#define SENDER_SERIES(s, id, ...) \
	metrics_series((s)->svc->metrics, (s)->metrics_base + (id), ##__VA_ARGS__)
#define CHANNEL_EMAIL CENTRALETA__V1__MESSAGE_CHANNEL__MESSAGE_CHANNEL_EMAIL
#define STATE(name) CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_##name

const char *kind_name(int32_t kind); /* for labels and logs */
const char *attempt_state_name(Centraleta__V1__AttemptState s);

/* scan.c */
void send_lane_held(struct send_lane *l, int64_t epoch);
void send_lane_lost(struct send_lane *l);
bool send_lane_may_leave(struct send_lane *l);
void send_lane_fini(struct send_lane *l);
void send_lane_look(struct send_lane *l); /* kicks and reads as needed, sets the timer */
void send_lane_forget(struct send_lane *l, struct out *out); /* out of memory; the store knows the rest */
void send_lane_read_again(struct send_lane *l, uint64_t after_ms); /* all behind the mark, page by page */
/* it will be read again; until then it isn't settled */
void send_lane_put_off(struct send_lane *l, struct out *out, uint64_t after_ms);
/* up to where all is settled, if that is worth storing; 0: it isn't */
int64_t send_lane_mark(const struct send_lane *l);
void sender_poll(void *sender); /* looks for messages that nobody told us of, every poll_ms */
void sender_poll_fini(struct sender *s);
size_t send_lane_memory_max(const struct send_lane *l);

/* step.c */
extern const struct consumer_ops sender_chain_ops;

/* flight.c */
size_t sender_slots(const struct sender *s); /* mails that may start now */
int flight_new(struct flight **ret, struct send_lane *l, const struct out *out, int32_t attempt,
	       struct rendered *mail) _must_check_;
void flight_free(struct flight *f);
DEFINE_CLEANUP(struct flight *, flight_free)
/* takes it; its end comes to the outbox, also when it can't even begin */
void flight_launch(struct flight *f);
void flights_of_lane_lost(struct send_lane *l);
void sender_look_at_starved(struct sender *s);
void sender_gauges(struct sender *s);
