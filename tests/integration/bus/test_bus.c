/* covers common/bus; ipc:// endpoints in the test's folder and the real loop */
#include <errno.h>
#include <stdio.h>
#include <zmq.h>
#include "common/base/clock.h"
#include "common/bus/bus.h"
#include "tests/lib/test.h"

struct peer {
	struct bus_sock *sock;
	unsigned got;
	char id[256], last[256];
	size_t id_len;
	bool echo, free_inside;
	uint64_t oldest_us; /* of messages that carry their sending time */
};

static struct loop *loop;
static struct bus *bus;

static struct bytes of(const char *s)
{
	return (struct bytes){ .data = (const uint8_t *)s, .len = strlen(s) };
}

static void on_message(void *ctx, struct bus_sock *s, struct bytes id, _unused_ const char *user,
		       struct bytes body)
{
	struct peer *p = ctx;

	p->got++;
	p->id_len = id.len;
	if (id.len)
		memcpy(p->id, id.data, MIN(id.len, sizeof(p->id)));
	snprintf(p->last, sizeof(p->last), "%.*s", (int)body.len, (const char *)body.data);
	if (body.len == sizeof(uint64_t)) {
		uint64_t at;

		memcpy(&at, body.data, sizeof(at));
		p->oldest_us = MAX(p->oldest_us, clock_mono_us() - at);
	}
	if (p->echo)
		ASSERT_OK(bus_send(s, id, body));
	if (p->free_inside) {
		bus_sock_free(s);
		p->sock = NULL;
	}
}

static void open_bus(void)
{
	ASSERT_OK(loop_new(&loop));
	ASSERT_OK(bus_new(&bus, loop));
}

static void close_bus(void)
{
	bus_free(bus);
	loop_free(loop);
}

static void make(struct peer *p, enum bus_kind kind, const struct bus_limits *limits)
{
	*p = (struct peer){ 0 };
	ASSERT_OK(bus_sock_new(&p->sock, bus, kind, limits, on_message, p));
}

static const char *endpoint(const char *name)
{
	static char buf[256];

	snprintf(buf, sizeof(buf), "ipc://%s", test_path(name));
	return buf;
}

static bool wait_for(const unsigned *n, unsigned want, uint64_t within_ms)
{
	uint64_t end = clock_mono_ms() + within_ms;

	while (*n < want && clock_mono_ms() < end)
		ASSERT_OK(loop_once(loop, 20));
	return *n >= want;
}

static void turns(uint64_t ms)
{
	uint64_t end = clock_mono_ms() + ms;

	while (clock_mono_ms() < end)
		ASSERT_OK(loop_once(loop, 10));
}

static int send_soon(struct bus_sock *s, struct bytes id, struct bytes body)
{
	uint64_t end = clock_mono_ms() + 5000;
	int r;

	while ((r = bus_send(s, id, body)) == BUS_E_FULL && clock_mono_ms() < end)
		ASSERT_OK(loop_once(loop, 5));
	return r;
}

/* a router and a dealer that are connected */
static void pair(struct peer *router, struct peer *dealer, const struct bus_limits *limits)
{
	make(router, BUS_ROUTER, limits);
	make(dealer, BUS_DEALER, limits);
	ASSERT_OK(bus_bind(router->sock, endpoint("r"), NULL));
	ASSERT_OK(bus_connect(dealer->sock, endpoint("r")));
}

static void unpair(struct peer *router, struct peer *dealer)
{
	bus_sock_free(dealer->sock);
	bus_sock_free(router->sock);
}

TEST(router_and_dealer_answer_each_other)
{
	struct peer router, dealer;

	open_bus();
	pair(&router, &dealer, NULL);
	router.echo = true;
	ASSERT_OK(send_soon(dealer.sock, of(""), of("hello")));
	ASSERT_TRUE(wait_for(&dealer.got, 1, 5000));
	ASSERT_STR_EQ(dealer.last, "hello");
	ASSERT_GT(router.id_len, 0u);
	unpair(&router, &dealer);
	close_bus();
}

TEST(nothing_is_queued_for_nobody)
{
	struct peer dealer;

	open_bus();
	make(&dealer, BUS_DEALER, NULL);
	ASSERT_OK(bus_connect(dealer.sock, endpoint("nobody")));
	ASSERT_EQ(bus_send(dealer.sock, of(""), of("x")), BUS_E_FULL);
	bus_sock_free(dealer.sock);
	close_bus();
}

TEST(a_router_says_that_a_peer_is_unknown)
{
	struct peer router;
	struct bus_counts counts;

	open_bus();
	make(&router, BUS_ROUTER, NULL);
	ASSERT_OK(bus_bind(router.sock, endpoint("r"), NULL));
	ASSERT_EQ(bus_send(router.sock, of("stranger"), of("x")), BUS_E_GONE);
	bus_counts(router.sock, &counts);
	ASSERT_EQ(counts.gone, 1u);
	bus_sock_free(router.sock);
	close_bus();
}

static bool full_for_good(struct bus_sock *s)
{
	if (bus_send(s, of(""), of("x")) != BUS_E_FULL)
		return false;
	turns(20);
	return bus_send(s, of(""), of("x")) == BUS_E_FULL;
}

TEST(a_paused_peer_fills_up_and_gets_the_rest_later)
{
	static const struct bus_limits small = { .send_hwm = 5, .receive_hwm = 5 };
	struct peer router, dealer;
	unsigned sent = 0;

	open_bus();
	pair(&router, &dealer, &small);
	bus_pause(router.sock, true);
	ASSERT_OK(send_soon(dealer.sock, of(""), of("x")));
	while (sent < 20000 && !full_for_good(dealer.sock))
		sent++;
	ASSERT_LT(sent, 20000u);
	ASSERT_EQ(router.got, 0u);
	bus_pause(router.sock, false);
	ASSERT_TRUE(wait_for(&router.got, sent, 5000));
	unpair(&router, &dealer);
	close_bus();
}

/* a burst must be drained although the descriptor tells of it once */
static void burst(unsigned n, int turn_max)
{
	struct bus_limits limits = { .turn_max = turn_max, .send_hwm = 5000, .receive_hwm = 5000 };
	struct peer router, dealer;

	open_bus();
	pair(&router, &dealer, &limits);
	router.echo = true;
	ASSERT_OK(send_soon(dealer.sock, of(""), of("x")));
	ASSERT_TRUE(wait_for(&dealer.got, 1, 5000));
	for (unsigned i = 0; i < n; i++) {
		uint64_t at = clock_mono_us();

		ASSERT_OK(bus_send(dealer.sock, of(""),
				   (struct bytes){ .data = (uint8_t *)&at, .len = sizeof(at) }));
	}
	ASSERT_TRUE(wait_for(&dealer.got, n + 1, 10000));
	ASSERT_EQ(router.got, n + 1);
	ASSERT_LT(router.oldest_us, 1000000u);
	unpair(&router, &dealer);
	close_bus();
}

TEST(bursts_are_drained_whatever_the_budget)
{
	uint32_t seed = (uint32_t)clock_mono_us();

	test_note("seed %u", seed);
	burst(1000, 1);
	for (unsigned i = 0; i < 8; i++) {
		seed = seed * 1664525 + 1013904223;
		burst(1 + (seed >> 8) % 2000, (int)(1 + (seed >> 20) % 200));
	}
}

TEST(messages_of_a_wrong_shape_are_counted_and_dropped)
{
	struct peer router;
	struct bus_counts counts = { 0 };
	void *ctx = zmq_ctx_new();
	void *raw = zmq_socket(ctx, ZMQ_DEALER);

	open_bus();
	make(&router, BUS_ROUTER, NULL);
	ASSERT_OK(bus_bind(router.sock, endpoint("r"), NULL));
	ASSERT_EQ(zmq_connect(raw, endpoint("r")), 0);
	ASSERT_EQ(zmq_send(raw, "a", 1, ZMQ_SNDMORE), 1);
	ASSERT_EQ(zmq_send(raw, "b", 1, ZMQ_SNDMORE), 1);
	ASSERT_EQ(zmq_send(raw, "c", 1, 0), 1);
	ASSERT_EQ(zmq_send(raw, "good", 4, 0), 4);
	ASSERT_TRUE(wait_for(&router.got, 1, 5000));
	bus_counts(router.sock, &counts);
	ASSERT_EQ(counts.malformed, 1u);
	ASSERT_EQ(counts.received, 1u);
	ASSERT_STR_EQ(router.last, "good");
	zmq_close(raw);
	zmq_ctx_term(ctx);
	bus_sock_free(router.sock);
	close_bus();
}

TEST(a_message_beyond_the_limit_never_arrives)
{
	static const struct bus_limits limits = { .message_max = 100 };
	static const uint8_t big[200] = { 'x' };
	struct peer router, dealer;

	open_bus();
	pair(&router, &dealer, &limits);
	ASSERT_OK(send_soon(dealer.sock, of(""), (struct bytes){ .data = big, .len = sizeof(big) }));
	turns(200);
	ASSERT_EQ(router.got, 0u);
	ASSERT_OK(send_soon(dealer.sock, of(""), of("small"))); /* it comes back */
	ASSERT_TRUE(wait_for(&router.got, 1, 5000));
	unpair(&router, &dealer);
	close_bus();
}

TEST(a_socket_may_be_freed_inside_its_callback)
{
	struct peer router, dealer;

	open_bus();
	pair(&router, &dealer, NULL);
	router.free_inside = true;
	ASSERT_OK(send_soon(dealer.sock, of(""), of("x")));
	ASSERT_OK(bus_send(dealer.sock, of(""), of("y")));
	ASSERT_TRUE(wait_for(&router.got, 1, 5000));
	turns(50);
	ASSERT_EQ(router.got, 1u);
	bus_sock_free(dealer.sock);
	close_bus();
}

static void subscribe(struct peer *pub, struct peer *sub)
{
	make(pub, BUS_PUB, NULL);
	make(sub, BUS_SUB, NULL);
	ASSERT_OK(bus_bind(pub->sock, endpoint("p"), NULL));
	ASSERT_OK(bus_subscribe(sub->sock, "lane/3/"));
	ASSERT_OK(bus_connect(sub->sock, endpoint("p")));
}

TEST(a_subscriber_gets_its_topic_alone)
{
	struct peer pub, sub;
	uint64_t end = clock_mono_ms() + 5000;

	open_bus();
	subscribe(&pub, &sub);
	while (!sub.got && clock_mono_ms() < end) {
		ASSERT_OK(bus_send(pub.sock, of("lane/2/"), of("two")));
		ASSERT_OK(bus_send(pub.sock, of("lane/3/"), of("three")));
		ASSERT_OK(loop_once(loop, 20));
	}
	ASSERT_STR_EQ(sub.last, "three");
	ASSERT_MEM_EQ(sub.id, "lane/3/", 7);
	ASSERT_OK(bus_disconnect(sub.sock, endpoint("p")));
	unpair(&pub, &sub);
	close_bus();
}

TEST(a_black_hole_swallows_what_subscribers_get)
{
	struct peer pub, sub;
	struct bus_counts counts = { 0 };
	uint64_t end = clock_mono_ms() + 5000;

	setenv("CENTRALETA_BUS_DROP", "1", 1);
	open_bus();
	unsetenv("CENTRALETA_BUS_DROP");
	subscribe(&pub, &sub);
	while (counts.dropped < 3 && clock_mono_ms() < end) {
		ASSERT_OK(bus_send(pub.sock, of("lane/3/"), of("x")));
		ASSERT_OK(loop_once(loop, 20));
		bus_counts(sub.sock, &counts);
	}
	ASSERT_GE(counts.dropped, 3u);
	ASSERT_EQ(sub.got, 0u);
	unpair(&pub, &sub);
	close_bus();
}

TEST(binding_where_another_is_says_so)
{
	struct peer a, b;

	open_bus();
	make(&a, BUS_ROUTER, NULL);
	make(&b, BUS_ROUTER, NULL);
	ASSERT_OK(bus_bind(a.sock, "inproc://here", NULL));
	ASSERT_EQ(bus_bind(b.sock, "inproc://here", NULL), -EADDRINUSE);
	unpair(&a, &b);
	close_bus();
}

TEST(nothing_is_bound_to_the_network_without_curve)
{
	static const char *const endpoints[] = { "tcp://127.0.0.1:*", "tcp://*:*", "udp://127.0.0.1:9", "tcp:", "" };
	struct peer a;

	open_bus();
	make(&a, BUS_ROUTER, NULL);
	FOREACH(e, endpoints)
		ASSERT_EQ(bus_bind(a.sock, *e, NULL), BUS_E_BARE);
	ASSERT_EQ(bus_serve(a.sock, "tcp://127.0.0.1:*", "door", NULL, NULL, NULL), BUS_E_BARE);
	bus_sock_free(a.sock);
	close_bus();
}
