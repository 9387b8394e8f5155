/* covers common/eventlog: members, leases, take-over, the wire between processes */
#include "tests/integration/eventlog/harness.h"
#include <stdio.h>
#include "common/eventlog/wire.h"

enum { RECEIVED = 1, ROUTED = 3, NOTIFIED = 20 };

static const char *const no_probe[] = { "eventlog.probe_ms=60000", NULL };

static struct app routing(void)
{
	return (struct app){ .name = "routing", .log = true, .in = RECEIVED, .out = ROUTED };
}

/* takes what routing says, appends nothing */
static struct app listener(void)
{
	return (struct app){ .name = "dispatch", .log = true, .in = ROUTED };
}

static bool nobody_lacks(const struct app *a, const struct app *b)
{
	return lanes_held(a) + lanes_held(b) == LANES;
}

TEST(two_members_share_fairly_and_one_takes_all_that_the_other_left)
{
	struct app a = routing(), b = routing();
	struct node n = { 0 }, m = { 0 };

	world_open();
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	WAIT(lanes_held(&a) == LANES, 5000);
	node_open(&m, "routing-2", NULL, &b, NULL);
	node_start(&m);
	WAIT(lanes_held(&a) == LANES / 2 && lanes_held(&b) == LANES / 2, 5000);
	for (unsigned lane = 0; lane < LANES; lane++)
		add_events(lane, RECEIVED, 1000 * (lane + 1), 20);
	WAIT(a.n_seen + b.n_seen == 20 * LANES, 10000);
	ASSERT_GT(a.n_seen, 0u);
	ASSERT_GT(b.n_seen, 0u);
	/* the other's lanes are known from the next round on */
	WAIT(!strcmp(eventlog_holder(n.log, "routing", 7),
		     consumer_holds(b.consumer, 7) ? "service-of-routing-2" : "service-of-routing-1"), 2000);
	node_drain(&m);
	WAIT(lanes_held(&a) == LANES, 5000);
	ASSERT_EQ(pg_number(pg, "SELECT max(unclean) FROM lease"), 0);
	ASSERT_EQ(answers(ROUTED), 20 * LANES);
	node_close(&m);
	node_close(&n);
	world_close();
}

TEST(a_dead_members_lanes_are_taken_when_its_time_is_over)
{
	struct app a = routing(), b = routing();
	struct node n = { 0 }, m = { 0 };
	uint64_t at;

	world_open();
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_open(&m, "routing-2", NULL, &b, NULL);
	node_start(&n);
	node_start(&m);
	WAIT(nobody_lacks(&a, &b) && lanes_held(&b) == LANES / 2, 5000);
	at = clock_mono_ms();
	node_close(&m); /* killed: nothing is released */
	WAIT(lanes_held(&a) == LANES, 8000);
	ASSERT_GE(clock_mono_ms() - at, (uint64_t)1000);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM lease WHERE consumer = 'routing' AND unclean = 1"),
		  LANES / 2);
	node_close(&n);
	world_close();
}

TEST(a_restarted_instance_takes_its_lanes_at_once)
{
	static const char *const sets[] = { "eventlog.alive_ms=60000", NULL };
	struct app a = routing(), b = routing();
	struct node n = { 0 }, m = { 0 };
	uint64_t at;

	world_open();
	node_open(&n, "routing-1", sets, &a, NULL);
	node_start(&n);
	WAIT(lanes_held(&a) == LANES, 5000);
	node_close(&n);
	at = clock_mono_ms();
	node_open(&m, "routing-1", sets, &b, NULL);
	node_start(&m);
	WAIT(lanes_held(&b) == LANES, 5000);
	ASSERT_LE(clock_mono_ms() - at, (uint64_t)4000);
	ASSERT_EQ(pg_number(pg, "SELECT max(epoch) FROM lease WHERE consumer = 'routing'"), 2);
	node_close(&m);
	world_close();
}

TEST(a_newer_process_of_the_name_wins_and_the_older_leaves)
{
	struct app a = routing(), b = routing();
	struct node n = { 0 }, m = { 0 };

	world_open();
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	WAIT(lanes_held(&a) == LANES, 5000);
	node_open(&m, "routing-1", NULL, &b, NULL);
	ASSERT_OK(eventlog_start(m.log));
	WAIT(eventlog_superseded(n.log), 5000);
	WAIT(lanes_held(&b) == LANES, 5000);
	ASSERT_EQ(lanes_held(&a), 0u);
	ASSERT_EQ(a.lost, (unsigned)LANES);
	ASSERT_FALSE(eventlog_superseded(m.log));
	add_events(0, RECEIVED, 1000, 5);
	WAIT(b.n_seen == 5, 5000);
	ASSERT_EQ(answers(ROUTED), 5);
	node_close(&m);
	node_close(&n);
	world_close();
}

/* stores an event of lane 0 and tells of it, as intake does */
static void store_and_tell(struct node *n, int64_t key)
{
	struct event e = { .type = RECEIVED, .type_version = 1, .jurisdiction = 1, .key_version = 1,
			   .order_key = key, .at_us = 1, .actor = "intake", .trace = { { 1 } } };

	add_events(0, RECEIVED, key, 1);
	eventlog_publish(n->log, 0, 1, pg_number(pg, "SELECT max(seq) FROM event WHERE lane = 0"), &e, 1);
}

TEST(frames_travel_without_a_probe)
{
	struct app a = routing(), b = listener();
	struct node n = { 0 }, m = { .kind = "dispatch" };
	long reads;
	int64_t key = 1000;

	world_open();
	node_open(&n, "routing-1", no_probe, &a, NULL);
	node_open(&m, "dispatch-1", no_probe, &b, NULL);
	node_start(&n);
	node_start(&m);
	WAIT(lanes_held(&a) == LANES && lanes_held(&b) == LANES, 5000);
	/* the subscription takes a moment; the first frames may come ahead of what was missed */
	for (size_t seen = b.n_seen; b.n_seen < seen + 2 && key < 1050; key++) {
		store_and_tell(&n, key);
		turns(100);
	}
	reads = node_metric(&m, "catch_up_reads_total{consumer=\"dispatch\"}");
	for (unsigned i = 0; i < 20; i++) {
		size_t seen = b.n_seen;

		store_and_tell(&n, ++key);
		WAIT(b.n_seen == seen + 1, 3000); /* two hops: received, then routed */
	}
	ASSERT_LE(node_metric(&m, "catch_up_reads_total{consumer=\"dispatch\"}"), reads + 2);
	ASSERT_GE(node_metric(&m, "wire_frames_total{use=\"taken\"}"), 30);
	ASSERT_GE(node_metric(&m, "wire_peers"), 1);
	node_close(&m);
	node_close(&n);
	world_close();
}

/* a process that can wait gets a few gathered frames, makes a few groups, and reads no table for it */
TEST(who_lingers_hears_at_once_and_takes_later_in_few_groups)
{
	struct app a = routing(), b = listener();
	struct node n = { 0 }, m = { .kind = "dispatch" };
	unsigned commits, heard;
	long reads;
	int64_t key = 2000;
	uint64_t began;
	size_t seen;

	b.linger_ms = 1000;
	b.listens = true;
	world_open();
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_start(&n);
	node_open(&m, "dispatch-1", NULL, &b, NULL);
	node_start(&m);
	WAIT(lanes_held(&a) == LANES && lanes_held(&b) == LANES, 5000);
	while (!b.heard && key < 2050) { /* the subscription needs its time */
		store_and_tell(&n, key++);
		turns(100);
	}
	turns(2500);
	seen = b.n_seen;
	commits = b.commits;
	heard = b.heard;
	reads = node_metric(&m, "catch_up_reads_total{consumer=\"dispatch\"}");
	began = clock_mono_ms();
	for (unsigned i = 0; i < 20; i++) {
		store_and_tell(&n, key++);
		turns(5);
	}
	WAIT(b.n_seen == seen + 20, 5000);
	ASSERT_EQ(b.heard, heard + 20);
	ASSERT_LE(b.commits, commits + 1 + (clock_mono_ms() - began) / 1000); /* 20 without company */
	ASSERT_LE(node_metric(&m, "catch_up_reads_total{consumer=\"dispatch\"}"), reads + 1);
	ASSERT_GE(node_metric(&m, "wire_frames_total{use=\"heard\"}"), 20);
	node_close(&m);
	node_close(&n);
	world_close();
}

TEST(a_black_hole_costs_at_most_a_probe_a_hop)
{
	struct app a = routing(), b = listener();
	struct node n = { 0 }, m = { .kind = "dispatch" };
	uint64_t at;

	setenv("CENTRALETA_BUS_DROP", "1", 1);
	world_open();
	node_open(&n, "routing-1", NULL, &a, NULL);
	node_open(&m, "dispatch-1", NULL, &b, NULL);
	unsetenv("CENTRALETA_BUS_DROP");
	node_start(&n);
	node_start(&m);
	WAIT(lanes_held(&a) > 0 && lanes_held(&b) > 0, 5000);
	turns(500);
	at = clock_mono_ms();
	for (unsigned lane = 0; lane < LANES; lane++)
		add_events(lane, RECEIVED, 1000 * (lane + 1), 50);
	WAIT(b.n_seen == 50 * LANES, 6000);
	test_note("two hops in %llu ms", (unsigned long long)(clock_mono_ms() - at));
	ASSERT_LE(clock_mono_ms() - at, (uint64_t)3000);
	ASSERT_EQ(node_metric(&m, "wire_frames_total{use=\"taken\"}"), 0);
	ASSERT_EQ(answers(ROUTED), 50 * LANES);
	node_close(&m);
	node_close(&n);
	world_close();
}

/* ---- frames that lie ---------------------------------------------------------------------- */

static struct bus_sock *forger(struct bus *bus, const char *name)
{
	char endpoint[300];
	struct bus_sock *s;

	snprintf(endpoint, sizeof(endpoint), "ipc://%s", test_path(name));
	ASSERT_OK(bus_sock_new(&s, bus, BUS_PUB, NULL, NULL, NULL));
	ASSERT_OK(bus_bind(s, endpoint, NULL));
	snprintf(endpoint, sizeof(endpoint), "INSERT INTO member VALUES ('forger', 1, 'forger', 'ipc://%s', '',"
		 " NULL, now() + interval '1 day')", test_path(name));
	pg_sql(pg, endpoint);
	return s;
}

static struct bytes topic(const char *s)
{
	return (struct bytes){ .data = (const uint8_t *)s, .len = strlen(s) };
}

static void forge(struct bus_sock *s, struct wire *w, int generation, int64_t first, int64_t key)
{
	struct event e = { .type = RECEIVED, .type_version = 1, .jurisdiction = 1, .key_version = 1,
			   .order_key = key, .at_us = 1, .actor = "forger", .trace = { { 1 } } };
	struct bytes frame;

	ASSERT_OK(wire_committed(w, 0, generation, first, &e, 1, &frame));
	ASSERT_OK(bus_send(s, topic("lane/0/"), frame));
}

TEST(forged_frames_change_nothing)
{
	struct app a = routing();
	struct node n = { 0 };
	struct bus_sock *s;
	struct wire *w;
	uint64_t end;

	world_open();
	ASSERT_OK(wire_new(&w));
	node_open(&n, "routing-1", NULL, &a, NULL);
	s = forger(n.bus, "forger.pub");
	node_start(&n);
	add_events(0, RECEIVED, 1000, 3);
	WAIT(a.n_seen == 3, 5000);
	WAIT(pg_number(pg, "SELECT seq FROM progress WHERE consumer = 'routing' AND lane = 0"
		       " ORDER BY step DESC LIMIT 1") == 6, 5000);
	end = clock_mono_ms() + 10000;
	while (node_metric(&n, "wire_frames_total{use=\"malformed\"}") < 2 && clock_mono_ms() < end) {
		ASSERT_OK(bus_send(s, topic("lane/0/"), topic("garbage")));
		turns(50);
	}
	for (unsigned i = 0; i < 5; i++) {
		forge(s, w, 9, 7, 6666); /* of a generation to come */
		forge(s, w, 1, 1, 6666); /* known */
		forge(s, w, 1, 1000000, 6666); /* far beyond */
		forge(s, w, 1, 7, 6666); /* the very next, but it was never stored */
		turns(100);
	}
	ASSERT_GE(node_metric(&n, "wire_frames_total{use=\"malformed\"}"), 2);
	ASSERT_GE(node_metric(&n, "wire_frames_total{use=\"foreign\"}"), 1);
	ASSERT_GE(node_metric(&n, "wire_frames_total{use=\"stale\"}"), 1);
	ASSERT_GE(node_metric(&n, "wire_frames_total{use=\"ahead\"}"), 1);
	ASSERT_GE(node_metric(&n, "groups_total{consumer=\"routing\",verdict=\"fenced\"}"), 1);
	ASSERT_EQ(a.n_seen, 3u);
	add_events(0, RECEIVED, 2000, 3); /* the truth goes on */
	WAIT(a.n_seen == 6, 5000);
	ASSERT_EQ(a.seen[3], 2000);
	ASSERT_EQ(pg_number(pg, "SELECT count(*) FROM event WHERE order_key = 6666"), 0);
	bus_sock_free(s);
	wire_free(w);
	node_close(&n);
	world_close();
}

TEST(what_the_queue_cant_hold_is_read_from_the_table)
{
	static const char *const sets[] = { "eventlog.queue_events=4", NULL };
	struct app a = routing();
	struct node n = { 0 };

	a.batch_max = 2;
	world_open();
	node_open(&n, "routing-1", sets, &a, NULL);
	node_start(&n);
	WAIT(lanes_held(&a) == LANES, 5000);
	for (unsigned i = 0; i < 10; i++) {
		struct event e[3] = { { .type = NOTIFIED, .actor = "x" }, { .type = NOTIFIED, .actor = "x" },
				      { .type = NOTIFIED, .actor = "x" } };

		add_events(0, RECEIVED, 1000 + 100 * i, 20);
		/* as if its own intake had stored them: beyond what the queue takes */
		eventlog_publish(n.log, 0, 1, 1000000, e, 3);
		eventlog_publish(n.log, 0, 1, 2000000, e, 3);
	}
	WAIT(a.n_seen == 200, 20000);
	ASSERT_GE(node_metric(&n, "wire_frames_total{use=\"dropped\"}"), 1);
	ASSERT_LE(node_metric(&n, "wire_queue_events{consumer=\"routing\",lane=\"0\"}"), 1024);
	ASSERT_EQ(answers(ROUTED), 200);
	node_close(&n);
	world_close();
}
