/* covers common/eventlog/wire.c: what comes in may be anything */
#include "common/eventlog/wire.h"
#include "tests/lib/test.h"

static const uint8_t body[] = { 8, 1, 16, 2 };

static void fill(struct event *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		e[i] = (struct event){ .lane = 3, .type = 1, .type_version = 1, .jurisdiction = 4, .key_version = 1,
				       .order_key = 10000 + (int64_t)i, .at_us = 1790812800000000, .actor = "citizen",
				       .trace = { { 1, 2, 3 } }, .body = { body, sizeof(body) } };
}

static struct bytes topic_of(unsigned lane, char room[static 16])
{
	wire_topic(WIRE_LANE, lane, room);
	return (struct bytes){ (const uint8_t *)room, strlen(room) };
}

TEST(frames_come_back_as_sent)
{
	struct wire *w = NULL, *r = NULL;
	struct event events[5];
	struct wire_frame f;
	struct bytes packed;
	char topic[16];

	fill(events, 5);
	ASSERT_OK(wire_new(&w));
	ASSERT_OK(wire_new(&r));
	ASSERT_EQ(wire_fit(events, 5), 5);
	ASSERT_OK(wire_committed(w, 3, 2, 77, events, 5, &packed));
	ASSERT_TRUE(wire_read(r, topic_of(3, topic), packed, &f) == NULL);
	ASSERT_EQ(f.lane, 3);
	ASSERT_EQ(f.generation, 2);
	ASSERT_EQ(f.seq, 77);
	ASSERT_EQ(f.n, 5);
	ASSERT_EQ(f.events[4].seq, 81);
	ASSERT_EQ(f.events[4].order_key, 10004);
	ASSERT_STR_EQ(f.events[4].actor, "citizen");
	ASSERT_MEM_EQ(f.events[4].body.data, body, sizeof(body));
	ASSERT_OK(wire_head(w, 3, 2, 99, &packed));
	ASSERT_TRUE(wire_read(r, topic_of(3, topic), packed, &f) == NULL);
	ASSERT_EQ(f.n, 0);
	ASSERT_EQ(f.seq, 99);
	wire_free(w);
	wire_free(r);
}

static const char *read_under(struct wire *r, enum wire_kind kind, unsigned n, struct bytes packed,
			      struct wire_frame *f)
{
	char topic[16];

	wire_topic(kind, n, topic);
	return wire_read(r, (struct bytes){ (const uint8_t *)topic, strlen(topic) }, packed, f);
}

TEST(a_frame_says_under_which_kind_of_topic_it_came)
{
	struct wire *w = NULL, *r = NULL;
	struct event events[2];
	struct wire_frame f;
	struct bytes packed;

	fill(events, 2);
	ASSERT_OK(wire_new(&w));
	ASSERT_OK(wire_new(&r));
	ASSERT_OK(wire_committed(w, 3, 1, 1, events, 2, &packed));
	ASSERT_TRUE(read_under(r, WIRE_SOON, 3, packed, &f) == NULL);
	ASSERT_EQ(f.kind, WIRE_SOON);
	ASSERT_TRUE(read_under(r, WIRE_TYPE, 1, packed, &f) == NULL);
	ASSERT_EQ(f.kind, WIRE_TYPE);
	ASSERT_TRUE(read_under(r, WIRE_TYPE, 2, packed, &f) != NULL);
	ASSERT_TRUE(read_under(r, WIRE_SOON, 4, packed, &f) != NULL);
	events[1].type = 2; /* two types under the topic of one */
	ASSERT_OK(wire_committed(w, 3, 1, 1, events, 2, &packed));
	ASSERT_TRUE(read_under(r, WIRE_TYPE, 1, packed, &f) != NULL);
	ASSERT_TRUE(read_under(r, WIRE_LANE, 3, packed, &f) == NULL);
	ASSERT_EQ(f.kind, WIRE_LANE);
	wire_free(w);
	wire_free(r);
}

TEST(another_lane_than_the_topics_is_refused)
{
	struct wire *w = NULL, *r = NULL;
	struct event events[1];
	struct wire_frame f;
	struct bytes packed;
	char topic[16];

	fill(events, 1);
	ASSERT_OK(wire_new(&w));
	ASSERT_OK(wire_new(&r));
	ASSERT_OK(wire_committed(w, 3, 1, 1, events, 1, &packed));
	ASSERT_TRUE(wire_read(r, topic_of(4, topic), packed, &f) != NULL);
	ASSERT_OK(wire_head(w, 3, 1, -1, &packed));
	ASSERT_TRUE(wire_read(r, topic_of(3, topic), packed, &f) != NULL);
	ASSERT_OK(wire_head(w, 3, 0, 1, &packed));
	ASSERT_TRUE(wire_read(r, topic_of(3, topic), packed, &f) != NULL);
	ASSERT_TRUE(wire_read(r, topic_of(3, topic), (struct bytes){ NULL, 0 }, &f) != NULL);
	wire_free(w);
	wire_free(r);
}

/* Cut anywhere and with any byte changed: it is refused, or what comes out is within the log's bounds. */
TEST(damage_is_refused_or_harmless)
{
	struct wire *w = NULL, *r = NULL;
	struct event events[3];
	struct wire_frame f;
	struct bytes packed;
	uint8_t copy[1024];
	char topic[16];
	size_t refused = 0;

	fill(events, 3);
	ASSERT_OK(wire_new(&w));
	ASSERT_OK(wire_new(&r));
	ASSERT_OK(wire_committed(w, 3, 1, 1, events, 3, &packed));
	ASSERT_TRUE(packed.len < sizeof(copy));
	for (size_t at = 0; at < packed.len; at++) {
		for (unsigned flip = 1; flip < 256; flip <<= 1) {
			memcpy(copy, packed.data, packed.len);
			copy[at] ^= (uint8_t)flip;
			if (wire_read(r, topic_of(3, topic), (struct bytes){ copy, packed.len }, &f)) {
				refused++;
				continue;
			}
			ASSERT_TRUE(f.lane == 3 && f.generation > 0 && f.seq >= 0 && f.n <= WIRE_EVENTS_MAX);
			for (size_t i = 0; i < f.n; i++)
				ASSERT_TRUE(f.events[i].body.len <= WIRE_BODY_MAX && f.events[i].actor &&
					    f.events[i].seq == f.seq + (int64_t)i);
		}
		refused += wire_read(r, topic_of(3, topic), (struct bytes){ packed.data, at }, &f) != NULL;
	}
	ASSERT_TRUE(refused > packed.len);
	wire_free(w);
	wire_free(r);
}
