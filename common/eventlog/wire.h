#pragma once
/*
 * wire - frames between daemons: packing, and unpacking with every field checked
 *
 * A commit is told three times, for those that listen: at once under "lane/<lane>/"; at once under
 * "type/<type>/", each row of events of one type (a hint for whoever waits for it); and under
 * "soon/<lane>/" with what followed within gather_ms. What comes in may be anything: it is unpacked
 * into an arena of fixed size and refused unless each value is one that the log could hold.
 */
#include "common/base/buf.h"
#include "common/eventlog/eventlog.h"

enum wire_kind { WIRE_LANE, WIRE_TYPE, WIRE_SOON };
enum {
	WIRE_EVENTS_MAX = 256, /* in a frame */
	WIRE_BYTES_MAX = 160 * 1024, /* of bodies in a frame, unless it is one event */
	WIRE_ACTOR_MAX = 200,
	WIRE_BODY_MAX = 65536, /* as the table's check */
};

struct wire; /* scratch memory, reused by every frame */
int wire_new(struct wire **ret) _must_check_;
void wire_free(struct wire *w);
DEFINE_CLEANUP(struct wire *, wire_free)

struct wire_frame { /* borrowed until the next call */
	enum wire_kind kind; /* of its topic */
	unsigned lane;
	int32_t generation;
	int64_t seq; /* committed: of the first event; head: the newest */
	const struct event *events; /* seq set */
	size_t n; /* 0: a head */
};

/* events of one lane from first_seq; how many fit into one frame, n > 0 */
size_t wire_fit(const struct event *events, size_t n);
/* 0 and the packed frame, borrowed until the next call; -ENOMEM */
int wire_committed(struct wire *w, unsigned lane, int32_t generation, int64_t first_seq,
		   const struct event *events, size_t n, struct bytes *ret) _must_check_;
int wire_head(struct wire *w, unsigned lane, int32_t generation, int64_t seq,
	      struct bytes *ret) _must_check_;
/* n: a type for WIRE_TYPE, else a lane */
void wire_topic(enum wire_kind kind, unsigned n, char ret[static 16]);
const char *wire_prefix(enum wire_kind kind); /* "lane/": what is listened to for all lanes */

/* NULL and the frame, or what is wrong with it */
const char *wire_read(struct wire *w, struct bytes topic, struct bytes body,
		      struct wire_frame *ret) _must_check_;
