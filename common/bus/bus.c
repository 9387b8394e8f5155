/*
 * bus - ZeroMQ sockets on the loop
 *
 * ZMQ_FD says only "something may have changed", once: so each wake-up receives until nothing is
 * left, what was sent asks for another turn, and so does a socket whose budget is used up. Asking
 * ZeroMQ is a system call, so it is asked once a turn, not once a message. A multi-part message is
 * either wholly taken or wholly thrown away, because ZeroMQ hands over all parts or none.
 */
#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include "common/base/err.h"
#include "common/bus/internal.h"
#include "common/bus/options.h"

enum { TURN_MAX = 128, DROP_SCALE = 1 << 20 };

/* ---- the context -------------------------------------------------------------------------- */

static uint32_t drop_share(void)
{
	const char *s = getenv("CENTRALETA_BUS_DROP");
	double v = s ? strtod(s, NULL) : 0;

	return v > 0 ? (uint32_t)(fmin(v, 1) * DROP_SCALE) : 0;
}

int bus_new(struct bus **ret, struct loop *l)
{
	_cleanup_(bus_freep) struct bus *b = calloc(1, sizeof(*b));

	if (!b)
		return err_here(-ENOMEM);
	list_init(&b->socks);
	b->loop = l;
	b->drop = drop_share();
	b->zmq = zmq_ctx_new();
	if (!b->zmq)
		return err_here(-errno);
	*ret = steal(b);
	return 0;
}

void bus_free(struct bus *b)
{
	if (!b)
		return;
	assert(list_empty(&b->socks)); /* else ZeroMQ would wait for them for ever */
	zap_free(b->zap);
	if (b->zmq)
		while (zmq_ctx_term(b->zmq) && errno == EINTR)
			;
	sodium_memzero(b->secret, sizeof(b->secret));
	free(b);
}

/* ---- receiving ---------------------------------------------------------------------------- */

static void quieten(struct bus_sock *s)
{
	int events = 0;
	size_t len = sizeof(events);

	if (zmq_getsockopt(s->zmq, ZMQ_EVENTS, &events, &len) && errno == EINTR) /* the next turn does it */
		loop_io_active(s->io, LOOP_READ);
}

/* one part; -EAGAIN: nothing there */
static int part(struct bus_sock *s, zmq_msg_t *m)
{
	while (zmq_msg_recv(m, s->zmq, ZMQ_DONTWAIT) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static struct bytes bytes_of(zmq_msg_t *m)
{
	return (struct bytes){ .data = zmq_msg_data(m), .len = zmq_msg_size(m) };
}

static bool dropped(struct bus_sock *s)
{
	uint32_t share = s->kind == BUS_SUB ? s->bus->drop : 0;

	return share && loop_random(s->bus->loop, DROP_SCALE) < share;
}

/* all parts of a message carry what the handshake found out */
static const char *user_of(const struct bus_sock *s, const zmq_msg_t *m)
{
	const char *user = s->domain.name ? zmq_msg_gets(m, "User-Id") : NULL;

	return user ? user : "";
}

static void hand_over(struct bus_sock *s, zmq_msg_t parts[2], size_t n)
{
	size_t want = s->kind == BUS_DEALER ? 1 : 2;

	if (n != want) {
		s->counts.malformed++;
	} else if (dropped(s)) {
		s->counts.dropped++;
	} else {
		s->counts.received++;
		s->fn(s->ctx, s, n == 2 ? bytes_of(&parts[0]) : (struct bytes){ 0 },
		      user_of(s, &parts[n - 1]), bytes_of(&parts[n - 1]));
	}
}

/* one whole message; false: there was none */
static bool receive(struct bus_sock *s)
{
	zmq_msg_t parts[2], rest;
	size_t n = 0;
	bool more = true;
	int r = 0;

	zmq_msg_init(&parts[0]);
	zmq_msg_init(&parts[1]);
	zmq_msg_init(&rest);
	while (more) {
		zmq_msg_t *m = n < 2 ? &parts[n] : &rest;

		r = part(s, m);
		if (r)
			break;
		more = zmq_msg_more(m);
		n++;
	}
	if (!r)
		hand_over(s, parts, n);
	zmq_msg_close(&rest);
	zmq_msg_close(&parts[1]);
	zmq_msg_close(&parts[0]);
	return !r;
}

static void destroy(struct bus_sock *s)
{
	if (s->zmq)
		zmq_close(s->zmq);
	free(s);
}

static void turn(void *ctx, _unused_ unsigned ready)
{
	struct bus_sock *s = ctx;
	int left = s->turn_max;

	s->inside = true;
	/* what isn't received from is looked at all the same: that is what quietens its descriptor */
	if (s->paused || s->kind == BUS_PUB)
		quieten(s);
	while (!s->dead && !s->paused && s->kind != BUS_PUB) {
		if (left-- == 0) {
			loop_io_active(s->io, LOOP_READ);
			break;
		}
		if (!receive(s))
			break;
	}
	s->inside = false;
	if (s->dead)
		destroy(s);
}

/* sending may have eaten the descriptor's edge: the next turn looks, once for all that was sent */
void bus_look_again(struct bus_sock *s)
{
	if (!s->paused && !s->inside && s->kind != BUS_PUB)
		loop_io_active(s->io, LOOP_READ);
}

void bus_pause(struct bus_sock *s, bool paused)
{
	s->paused = paused;
	if (!paused)
		loop_io_active(s->io, LOOP_READ);
}

/* ---- a socket ----------------------------------------------------------------------------- */

static int watch(struct bus_sock *s)
{
	int fd = -1;
	size_t len = sizeof(fd);
	int r;

	if (zmq_getsockopt(s->zmq, ZMQ_FD, &fd, &len))
		return err_here(-errno);
	r = loop_io_new(&s->io, s->bus->loop, fd, turn, s);
	return r ? r : loop_io_want(s->io, LOOP_READ);
}

int bus_sock_new(struct bus_sock **ret, struct bus *b, enum bus_kind kind,
		 const struct bus_limits *limits, bus_fn fn, void *ctx)
{
	static const int types[] = {
		[BUS_PUB] = ZMQ_PUB,
		[BUS_SUB] = ZMQ_SUB,
		[BUS_ROUTER] = ZMQ_ROUTER,
		[BUS_DEALER] = ZMQ_DEALER,
	};
	_cleanup_(bus_sock_freep) struct bus_sock *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_here(-ENOMEM);
	s->bus = b;
	s->kind = kind;
	s->fn = fn;
	s->ctx = ctx;
	s->turn_max = limits && limits->turn_max ? limits->turn_max : TURN_MAX;
	s->heartbeat_ms = limits ? limits->heartbeat_ms : 0;
	list_add_tail(&b->socks, &s->link);
	s->zmq = zmq_socket(b->zmq, types[kind]);
	if (!s->zmq)
		return err_here(-errno);
	r = bus_options_set(s->zmq, kind, limits);
	if (!r)
		r = watch(s);
	if (r)
		return r;
	*ret = steal(s);
	return 0;
}

void bus_sock_free(struct bus_sock *s)
{
	if (!s || s->dead)
		return;
	list_del(&s->link);
	bus_unprotect(s);
	loop_io_free(s->io);
	s->io = NULL;
	if (s->inside)
		s->dead = true; /* turn() does the rest */
	else
		destroy(s);
}

static int real_endpoint(struct bus_sock *s, char *ret)
{
	size_t len = BUS_ENDPOINT_MAX;

	return zmq_getsockopt(s->zmq, ZMQ_LAST_ENDPOINT, ret, &len) ? err_here(-errno) : 0;
}

int bus_bind(struct bus_sock *s, const char *endpoint, char *ret_endpoint)
{
	int r = bus_options_heartbeat(s->zmq, endpoint, s->heartbeat_ms);

	if (!bus_local(endpoint) && !s->domain.name)
		return BUS_E_BARE;
	if (r)
		return r;
	if (zmq_bind(s->zmq, endpoint))
		return err_here(-errno);
	bus_look_again(s);
	return ret_endpoint ? real_endpoint(s, ret_endpoint) : 0;
}

int bus_connect(struct bus_sock *s, const char *endpoint)
{
	int r = bus_options_heartbeat(s->zmq, endpoint, s->heartbeat_ms);

	if (r)
		return r;
	if (zmq_connect(s->zmq, endpoint))
		return err_here(-errno);
	bus_look_again(s);
	return 0;
}

int bus_disconnect(struct bus_sock *s, const char *endpoint)
{
	if (zmq_disconnect(s->zmq, endpoint))
		return err_here(-errno);
	bus_look_again(s);
	return 0;
}

int bus_subscribe(struct bus_sock *s, const char *topic)
{
	if (zmq_setsockopt(s->zmq, ZMQ_SUBSCRIBE, topic, strlen(topic)))
		return err_here(-errno);
	bus_look_again(s);
	return 0;
}

/* ---- sending ------------------------------------------------------------------------------ */

static int send_part(struct bus_sock *s, struct bytes b, int flags)
{
	while (zmq_send(s->zmq, b.data, b.len, flags | ZMQ_DONTWAIT) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int send_all(struct bus_sock *s, struct bytes id, struct bytes body)
{
	int r = 0;

	if (s->kind != BUS_DEALER) /* once it has the first part, ZeroMQ takes them all */
		r = send_part(s, id, ZMQ_SNDMORE);
	return r ? r : send_part(s, body, 0);
}

int bus_send(struct bus_sock *s, struct bytes id, struct bytes body)
{
	int r = send_all(s, id, body);

	bus_look_again(s);
	switch (r) {
	case 0:
		s->counts.sent++;
		return 0;
	case -EAGAIN:
		s->counts.full++;
		return BUS_E_FULL;
	case -EHOSTUNREACH:
		s->counts.gone++;
		return BUS_E_GONE;
	default:
		return err_here(r);
	}
}

void bus_counts(const struct bus_sock *s, struct bus_counts *ret)
{
	*ret = s->counts;
}
