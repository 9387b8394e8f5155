/*
 * monitor - handshakes that end before anybody is asked
 *
 * A client without CURVE, with another server's key, or one that says nothing never gets as far as
 * the handler: only ZeroMQ's own events tell of it. They come over a pair of sockets whose sending
 * side blocks ZeroMQ's thread when it is full, so it has no limit here; what waits is bounded by the
 * connections that break while one turn of the loop lasts.
 */
#include <errno.h>
#include <stdio.h>
#include "common/base/err.h"
#include "common/bus/internal.h"

enum { TURN_MAX = 256, EVENT_BYTES = 6 };

struct monitor {
	struct bus_sock *watched;
	void *sock;
	struct loop_io *io;
};

static const char *cause_of(unsigned event, unsigned value)
{
	if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
		return "broken"; /* gone, or too slow; or there is no handler */
	if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
		return "no_curve";
	return value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC ? "server_key" : "protocol";
}

static void count(const struct monitor *m, const uint8_t event[static EVENT_BYTES])
{
	const struct bus_sock *s = m->watched;
	uint16_t what;
	uint32_t value;

	memcpy(&what, event, sizeof(what));
	memcpy(&value, event + sizeof(what), sizeof(value));
	series_add(metrics_series(s->bus->metrics, s->bus->metric + METRIC_ID_HANDSHAKES, s->domain.name,
				  cause_of(what, value)), 1);
}

/* one frame; false: none waits. more: another one belongs to it */
static bool take(struct monitor *m, bool first, bool *ret_more)
{
	zmq_msg_t frame;
	bool got;

	zmq_msg_init(&frame);
	got = zmq_msg_recv(&frame, m->sock, ZMQ_DONTWAIT) >= 0;
	*ret_more = got && zmq_msg_more(&frame);
	if (got && first && zmq_msg_size(&frame) == EVENT_BYTES)
		count(m, zmq_msg_data(&frame));
	zmq_msg_close(&frame);
	return got;
}

static void turn(void *ctx, _unused_ unsigned ready)
{
	struct monitor *m = ctx;
	bool first = true, more;

	for (int left = TURN_MAX; left; left--) {
		if (!take(m, first, &more))
			return;
		first = !more;
	}
	loop_io_active(m->io, LOOP_READ); /* an even number of frames: none is cut in two */
}

static int watch(struct monitor *m)
{
	int fd = -1;
	size_t len = sizeof(fd);
	int r;

	if (zmq_getsockopt(m->sock, ZMQ_FD, &fd, &len))
		return err_here(-errno);
	r = loop_io_new(&m->io, m->watched->bus->loop, fd, turn, m);
	if (!r)
		r = loop_io_want(m->io, LOOP_READ);
	if (!r) /* the descriptor tells of nothing before somebody has looked in vain */
		loop_io_active(m->io, LOOP_READ);
	return r;
}

static int attach(struct monitor *m)
{
	const int events = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
	const int none = 0;
	char endpoint[80];

	snprintf(endpoint, sizeof(endpoint), "inproc://monitor.%.60s", m->watched->domain.name);
	m->sock = zmq_socket(m->watched->bus->zmq, ZMQ_PAIR);
	if (!m->sock || zmq_setsockopt(m->sock, ZMQ_RCVHWM, &none, sizeof(none)) ||
	    zmq_setsockopt(m->sock, ZMQ_LINGER, &none, sizeof(none)) ||
	    zmq_socket_monitor(m->watched->zmq, endpoint, events) || zmq_connect(m->sock, endpoint))
		return err_here(-errno);
	return 0;
}

int monitor_new(struct monitor **ret, struct bus_sock *s)
{
	struct monitor *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return err_here(-ENOMEM);
	m->watched = s;
	r = attach(m);
	if (!r)
		r = watch(m);
	if (r) {
		monitor_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void monitor_free(struct monitor *m)
{
	if (!m)
		return;
	(void)zmq_socket_monitor(m->watched->zmq, NULL, 0); /* first: a sender without a receiver blocks */
	loop_io_free(m->io);
	if (m->sock)
		zmq_close(m->sock);
	free(m);
}
