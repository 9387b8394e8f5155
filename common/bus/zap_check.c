/*
 * zap_check - is the door closed? Asked before a tcp:// socket is bound
 *
 * A library without CURVE, a handler that isn't asked, a domain that isn't enforced: each would let
 * anybody in without a word. So a socket of the check's own, protected as the real ones, is knocked at
 * twice: by a stranger whose key nobody knows, then by a friend. The handler must refuse the one and
 * let in the other, whose message must name it; what the stranger sends must not arrive.
 */
#include <errno.h>
#include <stdio.h>
#include <zmq.h>
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/bus/options.h"
#include "common/bus/zap.h"

#define DOMAIN "self-test"

enum { PATIENCE_MS = 3000, STEP_MS = 20 };

struct check {
	struct zap *zap;
	struct zap_domain domain;
	char friend[BUS_KEY_TEXT + 1]; /* the public key that is known */
	bool refused; /* somebody was */
	void *context, *door;
	void *guests[2];
	const char *public; /* of the server */
	uint64_t ends_ms; /* monotonic */
};

static enum bus_verdict admit(void *ctx, const char *key, char ret_user[static BUS_USER_MAX])
{
	struct check *c = ctx;

	if (strcmp(key, c->friend)) {
		c->refused = true;
		return BUS_UNKNOWN;
	}
	snprintf(ret_user, BUS_USER_MAX, "friend");
	return BUS_ADMITTED;
}

static int open_door(struct check *c, const char *secret, char endpoint[static BUS_ENDPOINT_MAX])
{
	size_t len = BUS_ENDPOINT_MAX;
	int r;

	c->door = zmq_socket(c->context, ZMQ_ROUTER);
	if (!c->door)
		return err_here(-errno);
	r = bus_options_set(c->door, BUS_ROUTER, NULL);
	if (!r)
		r = bus_options_curve(c->door, secret, DOMAIN);
	if (r)
		return r;
	if (zmq_bind(c->door, "tcp://127.0.0.1:*") ||
	    zmq_getsockopt(c->door, ZMQ_LAST_ENDPOINT, endpoint, &len))
		return err_here(-errno);
	return 0;
}

/* connects and says one word; which: 0 or 1 */
static int knock(struct check *c, int which, const char *endpoint, char ret_public[static BUS_KEY_TEXT + 1])
{
	char secret[BUS_KEY_TEXT + 1];
	int linger = 0, r;
	void *s = c->guests[which] = zmq_socket(c->context, ZMQ_DEALER);

	if (!s || zmq_curve_keypair(ret_public, secret) ||
	    zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof(linger)))
		return err_here(-errno);
	r = bus_options_curve_client(s, ret_public, secret, c->public);
	if (r)
		return r;
	/* a fresh DEALER keeps it until it is in */
	if (zmq_connect(s, endpoint) || zmq_send(s, which ? "friend" : "stranger", which ? 6 : 8, 0) < 0)
		return err_here(-errno);
	return 0;
}

/* lets the handler work for a moment; true: something is inside the door */
static bool step(struct check *c)
{
	zmq_pollitem_t items[] = {
		{ .socket = zap_socket(c->zap), .events = ZMQ_POLLIN },
		{ .socket = c->door, .events = ZMQ_POLLIN },
	};

	if (zmq_poll(items, ARRAY_SIZE(items), STEP_MS) > 0 && items[0].revents)
		zap_serve(c->zap);
	return items[1].revents;
}

/* the word inside must be the friend's, and say so */
static int look(struct check *c)
{
	zmq_msg_t id, word;
	const char *user;
	bool good;

	zmq_msg_init(&id);
	zmq_msg_init(&word);
	good = zmq_msg_recv(&id, c->door, ZMQ_DONTWAIT) >= 0 &&
	       zmq_msg_recv(&word, c->door, ZMQ_DONTWAIT) == 6 &&
	       !memcmp(zmq_msg_data(&word), "friend", 6);
	user = good ? zmq_msg_gets(&word, "User-Id") : NULL;
	good = user && !strcmp(user, "friend");
	zmq_msg_close(&word);
	zmq_msg_close(&id);
	return good ? 0 : BUS_E_OPEN;
}

static int run(struct check *c, const char *endpoint)
{
	char stranger[BUS_KEY_TEXT + 1];
	int r = knock(c, 0, endpoint, stranger);

	while (!r && !c->refused) {
		if (step(c))
			return BUS_E_OPEN;
		if (clock_mono_ms() > c->ends_ms)
			return BUS_E_SILENT;
	}
	if (!r)
		r = knock(c, 1, endpoint, c->friend);
	while (!r) {
		if (step(c))
			return look(c);
		if (clock_mono_ms() > c->ends_ms)
			return BUS_E_SILENT;
	}
	return r;
}

int zap_check(struct zap *z, void *zmq_context, const char *secret, const char *public)
{
	struct check c = {
		.zap = z,
		.domain = { .name = DOMAIN, .fn = admit, .ctx = &c },
		.context = zmq_context,
		.public = public,
		.ends_ms = clock_mono_ms() + PATIENCE_MS,
	};
	char endpoint[BUS_ENDPOINT_MAX];
	int r;

	list_init(&c.domain.link);
	r = zap_add(z, &c.domain);
	if (!r)
		r = open_door(&c, secret, endpoint);
	if (!r)
		r = run(&c, endpoint);
	FOREACH(s, c.guests)
		if (*s)
			zmq_close(*s);
	if (c.door)
		zmq_close(c.door);
	zap_remove(&c.domain);
	return r;
}
