/* covers common/bus/options.c; a ZeroMQ context, no network */
#include <zmq.h>
#include "common/bus/options.h"
#include "tests/lib/test.h"

static int get(void *z, int option)
{
	int v = -77;
	size_t len = sizeof(v);

	ASSERT_EQ(zmq_getsockopt(z, option, &v, &len), 0);
	return v;
}

static int64_t message_max(void *z)
{
	int64_t v = -77;
	size_t len = sizeof(v);

	ASSERT_EQ(zmq_getsockopt(z, ZMQ_MAXMSGSIZE, &v, &len), 0);
	return v;
}

TEST(every_socket_is_bounded_by_default)
{
	static const int types[] = {
		[BUS_PUB] = ZMQ_PUB,
		[BUS_SUB] = ZMQ_SUB,
		[BUS_ROUTER] = ZMQ_ROUTER,
		[BUS_DEALER] = ZMQ_DEALER,
	};
	void *ctx = zmq_ctx_new();

	for (unsigned kind = 0; kind < ARRAY_SIZE(types); kind++) {
		void *z = zmq_socket(ctx, types[kind]);

		ASSERT_OK(bus_options_set(z, (enum bus_kind)kind, NULL));
		ASSERT_EQ(get(z, ZMQ_SNDHWM), 1000);
		ASSERT_EQ(get(z, ZMQ_RCVHWM), 1000);
		ASSERT_EQ(get(z, ZMQ_LINGER), 200);
		ASSERT_EQ(get(z, ZMQ_HEARTBEAT_IVL), 3000);
		ASSERT_EQ(get(z, ZMQ_HEARTBEAT_TIMEOUT), 6000);
		ASSERT_EQ(get(z, ZMQ_HEARTBEAT_TTL), 9000);
		ASSERT_EQ(get(z, ZMQ_HANDSHAKE_IVL), 5000);
		ASSERT_EQ(get(z, ZMQ_RECONNECT_IVL), 50);
		ASSERT_EQ(get(z, ZMQ_RECONNECT_IVL_MAX), 2000);
		ASSERT_EQ(get(z, ZMQ_TCP_MAXRT), 10000);
		ASSERT_EQ(get(z, ZMQ_IMMEDIATE), kind == BUS_DEALER);
		ASSERT_EQ(message_max(z), 262144);
		zmq_close(z);
	}
	zmq_ctx_term(ctx);
}

TEST(given_limits_win)
{
	static const struct bus_limits limits = {
		.send_hwm = 11,
		.receive_hwm = 12,
		.message_max = 1313,
		.linger_ms = 14,
		.heartbeat_ms = 1500,
	};
	void *ctx = zmq_ctx_new();
	void *z = zmq_socket(ctx, ZMQ_ROUTER);

	ASSERT_OK(bus_options_set(z, BUS_ROUTER, &limits));
	ASSERT_EQ(get(z, ZMQ_SNDHWM), 11);
	ASSERT_EQ(get(z, ZMQ_RCVHWM), 12);
	ASSERT_EQ(get(z, ZMQ_LINGER), 14);
	ASSERT_EQ(get(z, ZMQ_HEARTBEAT_IVL), 1500);
	ASSERT_EQ(get(z, ZMQ_HEARTBEAT_TIMEOUT), 3000);
	ASSERT_EQ(message_max(z), 1313);
	/* the kernel tells of the end of a peer on this machine */
	ASSERT_OK(bus_options_heartbeat(z, "ipc:///run/x", 1500));
	ASSERT_EQ(get(z, ZMQ_HEARTBEAT_IVL), 30000);
	ASSERT_EQ(get(z, ZMQ_HEARTBEAT_TTL), 90000);
	ASSERT_OK(bus_options_heartbeat(z, "tcp://127.0.0.1:1", 1500));
	ASSERT_EQ(get(z, ZMQ_HEARTBEAT_IVL), 1500);
	zmq_close(z);
	zmq_ctx_term(ctx);
}

TEST(a_curve_server_enforces_its_domain)
{
	char public[BUS_KEY_TEXT + 1], secret[BUS_KEY_TEXT + 1], text[64] = "";
	size_t len = sizeof(text);
	void *ctx = zmq_ctx_new();
	void *z = zmq_socket(ctx, ZMQ_ROUTER);

	ASSERT_EQ(zmq_curve_keypair(public, secret), 0);
	ASSERT_OK(bus_options_curve(z, secret, "door"));
	ASSERT_EQ(get(z, ZMQ_CURVE_SERVER), 1);
	ASSERT_EQ(get(z, 93), 1); /* ZMQ_ZAP_ENFORCE_DOMAIN, which Debian's header hides */
	ASSERT_EQ(zmq_getsockopt(z, ZMQ_ZAP_DOMAIN, text, &len), 0);
	ASSERT_STR_EQ(text, "door");
	len = BUS_KEY_TEXT + 1;
	ASSERT_EQ(zmq_getsockopt(z, ZMQ_CURVE_SECRETKEY, text, &len), 0);
	ASSERT_STR_EQ(text, secret);
	zmq_close(z);
	zmq_ctx_term(ctx);
}

TEST(a_client_has_both_its_keys_and_the_servers)
{
	char public[BUS_KEY_TEXT + 1], secret[BUS_KEY_TEXT + 1], server[BUS_KEY_TEXT + 1], text[64];
	size_t len = BUS_KEY_TEXT + 1;
	void *ctx = zmq_ctx_new();
	void *z = zmq_socket(ctx, ZMQ_DEALER);

	ASSERT_EQ(zmq_curve_keypair(server, secret), 0);
	ASSERT_EQ(zmq_curve_keypair(public, secret), 0);
	ASSERT_OK(bus_options_curve_client(z, public, secret, server));
	ASSERT_EQ(zmq_getsockopt(z, ZMQ_CURVE_SERVERKEY, text, &len), 0);
	ASSERT_STR_EQ(text, server);
	len = BUS_KEY_TEXT + 1;
	ASSERT_EQ(zmq_getsockopt(z, ZMQ_CURVE_PUBLICKEY, text, &len), 0);
	ASSERT_STR_EQ(text, public);
	memset(text, '~', BUS_KEY_TEXT); /* not of Z85 */
	ASSERT_LT(bus_options_curve_client(z, text, secret, server), 0);
	zmq_close(z);
	zmq_ctx_term(ctx);
}
