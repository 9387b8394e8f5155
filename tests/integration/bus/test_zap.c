/* covers common/bus: zap, zap_check, curve, monitor; the loopback, and raw ZeroMQ clients */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <zmq.h>
#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "common/bus/options.h"
#include "common/bus/zap.h"
#include "tests/lib/test.h"

struct pair {
	char public[BUS_KEY_TEXT + 1], secret[BUS_KEY_TEXT + 1];
};

struct guest { /* what the door knows of a key */
	struct pair keys;
	const char *user;
	enum bus_verdict verdict;
};

static struct loop *loop;
static struct bus *bus;
static struct metrics *metrics;
static struct bus_sock *door;
static struct pair server;
static char endpoint[BUS_ENDPOINT_MAX];
static void *clients; /* their context */
static struct guest ada, bea;
static unsigned got;
static char last_user[BUS_USER_MAX], last_word[64];

static void make_pair(struct pair *p)
{
	ASSERT_EQ(zmq_curve_keypair(p->public, p->secret), 0);
}

static enum bus_verdict admit(void *ctx, const char *key, char ret_user[static BUS_USER_MAX])
{
	struct guest *const known[] = { &ada, &bea };

	(void)ctx;
	FOREACH(g, known) {
		if (strcmp((*g)->keys.public, key))
			continue;
		if ((*g)->verdict == BUS_ADMITTED)
			snprintf(ret_user, BUS_USER_MAX, "%s", (*g)->user);
		return (*g)->verdict;
	}
	return BUS_UNKNOWN;
}

static void on_message(void *ctx, struct bus_sock *s, struct bytes id, const char *user, struct bytes body)
{
	(void)ctx;
	ASSERT_TRUE(bus_id_given(id));
	snprintf(last_user, sizeof(last_user), "%s", user);
	snprintf(last_word, sizeof(last_word), "%.*s", (int)body.len, (const char *)body.data);
	ASSERT_OK(bus_send(s, id, body));
	got++;
}

static void open_door(void)
{
	got = 0;
	make_pair(&server);
	make_pair(&ada.keys);
	make_pair(&bea.keys);
	ada = (struct guest){ ada.keys, "ada", BUS_ADMITTED };
	bea = (struct guest){ bea.keys, "bea", BUS_ADMITTED };
	ASSERT_OK(loop_new(&loop));
	ASSERT_OK(metrics_new(&metrics));
	ASSERT_OK(bus_new(&bus, loop));
	ASSERT_OK(bus_curve(bus, server.secret, metrics));
	ASSERT_STR_EQ(bus_curve_public(bus), server.public);
	ASSERT_OK(bus_sock_new(&door, bus, BUS_ROUTER, NULL, on_message, NULL));
	ASSERT_OK(bus_serve(door, "tcp://127.0.0.1:*", "door", admit, NULL, endpoint));
	clients = zmq_ctx_new();
}

static void close_door(void)
{
	zmq_ctx_term(clients);
	bus_sock_free(door);
	bus_free(bus);
	metrics_free(metrics);
	loop_free(loop);
}

static void turns(uint64_t ms)
{
	uint64_t end = clock_mono_ms() + ms;

	while (clock_mono_ms() < end)
		ASSERT_OK(loop_once(loop, 10));
}

static bool wait_got(unsigned want)
{
	uint64_t end = clock_mono_ms() + 5000;

	while (got < want && clock_mono_ms() < end)
		ASSERT_OK(loop_once(loop, 10));
	return got >= want;
}

/* "name{labels} value", or the other, is among the metrics, now or soon */
static bool counted_either(const char *line, const char *other)
{
	uint64_t end = clock_mono_ms() + 8000;
	struct buf text = BUF_INIT;
	bool found = false;

	while (!found && clock_mono_ms() < end) {
		ASSERT_OK(loop_once(loop, 10));
		buf_reset(&text);
		metrics_write(metrics, &text);
		found = strstr(text.data, line) || strstr(text.data, other);
	}
	if (!found)
		test_note("%s", text.data);
	buf_fini(&text);
	return found;
}

static bool counted(const char *line)
{
	return counted_either(line, line);
}

/* keys NULL: without CURVE */
static void *dealer(const struct pair *keys, const char *of_server)
{
	void *s = zmq_socket(clients, ZMQ_DEALER);
	int zero = 0;

	ASSERT_EQ(zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof(zero)), 0);
	if (keys)
		ASSERT_OK(bus_options_curve_client(s, keys->public, keys->secret, of_server));
	ASSERT_EQ(zmq_connect(s, endpoint), 0);
	return s;
}

static void say(void *s, const char *word)
{
	ASSERT_GE(zmq_send(s, word, strlen(word), ZMQ_DONTWAIT), 0);
}

/* says it again and again until it is answered: a connection may be coming back */
static bool say_until_heard(void *s, const char *word)
{
	uint64_t end = clock_mono_ms() + 5000;
	char answer[64];

	while (clock_mono_ms() < end) {
		(void)zmq_send(s, word, strlen(word), ZMQ_DONTWAIT); /* no connection: the next one does */
		turns(30);
		if (zmq_recv(s, answer, sizeof(answer), ZMQ_DONTWAIT) == (int)strlen(word) &&
		    !memcmp(answer, word, strlen(word)))
			return true;
	}
	return false;
}

TEST(a_known_key_comes_in_under_its_name)
{
	void *s;

	open_door();
	s = dealer(&ada.keys, server.public);
	say(s, "hello");
	ASSERT_TRUE(wait_got(1));
	ASSERT_STR_EQ(last_user, "ada");
	ASSERT_STR_EQ(last_word, "hello");
	ASSERT_TRUE(counted("bus_handshakes_total{domain=\"door\",result=\"admitted\"} 1"));
	ASSERT_TRUE(counted("bus_bound{domain=\"door\"} 1"));
	zmq_close(s);
	close_door();
}

TEST(nobody_else_does_and_each_cause_is_counted)
{
	struct pair stranger, other_server;
	void *s[6];

	open_door();
	make_pair(&stranger);
	make_pair(&other_server);
	bea.verdict = BUS_REVOKED;
	s[0] = dealer(&stranger, server.public);
	s[1] = dealer(&bea.keys, server.public);
	s[2] = dealer(&ada.keys, other_server.public);
	for (size_t i = 3; i < ARRAY_SIZE(s); i++)
		s[i] = dealer(NULL, NULL);
	FOREACH(p, s)
		say(*p, "let me in");
	ASSERT_TRUE(counted("bus_handshakes_total{domain=\"door\",result=\"unknown\"} 1"));
	ASSERT_TRUE(counted("bus_handshakes_total{domain=\"door\",result=\"revoked\"} 1"));
	ASSERT_TRUE(counted("bus_handshakes_total{domain=\"door\",result=\"server_key\"} "));
	/* a client that sees the difference first may be gone before it has said what it takes */
	ASSERT_TRUE(counted_either("bus_handshakes_total{domain=\"door\",result=\"no_curve\"} ",
				   "bus_handshakes_total{domain=\"door\",result=\"broken\"} "));
	ASSERT_EQ(got, 0u);
	FOREACH(p, s)
		zmq_close(*p);
	close_door();
}

TEST(who_comes_too_early_comes_again_by_itself)
{
	void *s;

	open_door();
	ada.verdict = BUS_NOT_YET;
	s = dealer(&ada.keys, server.public);
	say(s, "hello");
	ASSERT_TRUE(counted("bus_handshakes_total{domain=\"door\",result=\"not_yet\"} "));
	ASSERT_EQ(got, 0u);
	ada.verdict = BUS_ADMITTED;
	bus_recheck(door); /* else ZeroMQ keeps it waiting until the handshake's time is over */
	ASSERT_TRUE(wait_got(1));
	ASSERT_TRUE(counted("bus_rebinds_total{domain=\"door\"} 1"));
	bus_recheck(door);
	ASSERT_TRUE(counted("bus_rebinds_total{domain=\"door\"} 1"));
	zmq_close(s);
	close_door();
}

TEST(a_revoked_key_loses_its_connection_and_the_others_come_back)
{
	void *a, *b;
	unsigned before;

	open_door();
	a = dealer(&ada.keys, server.public);
	b = dealer(&bea.keys, server.public);
	ASSERT_TRUE(say_until_heard(a, "a"));
	ASSERT_TRUE(say_until_heard(b, "b"));
	bus_recheck(door); /* nothing has changed */
	ASSERT_TRUE(say_until_heard(a, "again"));
	ada.verdict = BUS_REVOKED;
	bus_recheck(door);
	ASSERT_TRUE(counted("bus_rebinds_total{domain=\"door\"} 1"));
	ASSERT_TRUE(say_until_heard(b, "back"));
	ASSERT_STR_EQ(last_user, "bea");
	ASSERT_TRUE(counted("bus_handshakes_total{domain=\"door\",result=\"revoked\"} 1"));
	turns(50);
	before = got;
	(void)zmq_send(a, "still here", 10, ZMQ_DONTWAIT); /* there is no connection that takes it */
	turns(300);
	ASSERT_EQ(got, before);
	bus_recheck(door); /* it is known no more, so once is enough */
	ASSERT_TRUE(counted("bus_rebinds_total{domain=\"door\"} 1"));
	zmq_close(a);
	zmq_close(b);
	close_door();
}

TEST(a_socket_may_be_freed_while_it_is_being_bound_again)
{
	void *a;

	open_door();
	a = dealer(&ada.keys, server.public);
	ASSERT_TRUE(say_until_heard(a, "a"));
	ada.verdict = BUS_UNKNOWN;
	bus_recheck(door);
	zmq_close(a);
	close_door();
}

TEST(a_second_socket_of_the_same_name_is_refused)
{
	struct bus_sock *other;

	open_door();
	ASSERT_OK(bus_sock_new(&other, bus, BUS_ROUTER, NULL, on_message, NULL));
	ASSERT_EQ(bus_serve(other, "tcp://127.0.0.1:*", "door", admit, NULL, NULL), -EEXIST);
	bus_sock_free(other);
	ASSERT_OK(bus_sock_new(&other, bus, BUS_ROUTER, NULL, on_message, NULL));
	ASSERT_EQ(bus_serve(other, endpoint, "window", admit, NULL, NULL), -EADDRINUSE);
	bus_sock_free(other);
	close_door();
}

TEST(what_is_no_secret_key_is_told)
{
	static const char *const wrong[] = { "", "short", "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
					     "0000000000000000000000000000000000000000000" };
	struct metrics *m;

	ASSERT_OK(loop_new(&loop));
	ASSERT_OK(metrics_new(&m));
	ASSERT_OK(bus_new(&bus, loop));
	FOREACH(w, wrong)
		ASSERT_EQ(bus_curve(bus, *w, m), -EINVAL);
	bus_free(bus);
	metrics_free(m);
	loop_free(loop);
}

/* ---- the self-test: a handler that isn't there, and one that lets in everybody ---------------- */

/* a door in context whose handler lives elsewhere, so that nobody answers there */
static int check_with_a_handler_elsewhere(void *context)
{
	void *elsewhere = zmq_ctx_new();
	struct zap *z;
	int r;

	make_pair(&server);
	ASSERT_OK(loop_new(&loop));
	ASSERT_OK(metrics_new(&metrics));
	static const struct metric_def def = { METRIC_COUNTER, "handshakes_total", "x", "domain,result" };
	ASSERT_OK(zap_new(&z, elsewhere, loop, metrics, metrics_register(metrics, &def, 1)));
	r = zap_check(z, context, server.secret, server.public);
	zap_free(z);
	zmq_ctx_term(elsewhere);
	loop_free(loop);
	metrics_free(metrics);
	return r;
}

TEST(a_dead_handler_lets_nobody_in_and_is_noticed)
{
	void *context = zmq_ctx_new();

	ASSERT_EQ(check_with_a_handler_elsewhere(context), BUS_E_SILENT);
	zmq_ctx_term(context);
}

/* RFC 27's worst: yes to whoever asks */
static void *say_yes(void *s)
{
	static const char *const reply[] = { "1.0", "1", "200", "OK", "friend", "" };
	char frame[64];
	int more;
	size_t len = sizeof(more);

	do {
		if (zmq_recv(s, frame, sizeof(frame), 0) < 0)
			break;
		zmq_getsockopt(s, ZMQ_RCVMORE, &more, &len);
	} while (more);
	for (size_t i = 0; i < ARRAY_SIZE(reply); i++)
		zmq_send(s, reply[i], strlen(reply[i]), i + 1 < ARRAY_SIZE(reply) ? ZMQ_SNDMORE : 0);
	zmq_close(s);
	return NULL;
}

TEST(a_door_that_is_open_to_all_is_noticed)
{
	void *context = zmq_ctx_new();
	void *handler = zmq_socket(context, ZMQ_REP);
	int wait_ms = 5000;
	pthread_t thread;

	ASSERT_EQ(zmq_setsockopt(handler, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms)), 0);
	ASSERT_EQ(zmq_bind(handler, "inproc://zeromq.zap.01"), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, say_yes, handler), 0);
	ASSERT_EQ(check_with_a_handler_elsewhere(context), BUS_E_OPEN);
	pthread_join(thread, NULL);
	zmq_ctx_term(context);
}
