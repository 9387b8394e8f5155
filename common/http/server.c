/*
 * server - accepts, counts and turns away
 *
 * Out of descriptors: the reserve is given up for a moment to tell the first in the queue, then
 * the listener rests for 100 ms. Left on, a level-triggered listener would spin.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/http/internal.h"

#define ACCEPTS_A_TURN 64
#define PAUSE_MS 100

static void set_defaults(struct http_limits *l)
{
#define DEFAULT(field, value) l->field = l->field ? l->field : (value)
	DEFAULT(head_max, 16 << 10);
	DEFAULT(fields_max, 100);
	DEFAULT(target_max, 2 << 10);
	DEFAULT(body_max, 1 << 20);
	DEFAULT(output_max, 1 << 20);
	DEFAULT(head_ms, 10000);
	DEFAULT(body_ms, 30000);
	DEFAULT(answer_ms, 30000);
	DEFAULT(idle_ms, 75000);
	DEFAULT(connections_max, 1024);
	DEFAULT(per_address_max, 256);
#undef DEFAULT
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* a walk: connections are few, accepting is rare beside requests */
static bool address_full(const struct http_server *s, const uint8_t key[static 16])
{
	static const uint8_t is_unix[16];
	struct http_connection *c;
	unsigned n = 0;

	if (!memcmp(key, is_unix, 16))
		return false;
	list_for_each(c, &s->connections, node)
		if (!memcmp(c->address, key, 16) && ++n >= s->limits.per_address_max)
			return true;
	return false;
}

static void turn_away(struct http_server *s, int fd, enum http_refusal why)
{
	http_count(s->m.refused[why]);
	http_refuse(s, fd, "too many connections, try again later");
	close(fd);
}

static void admit(struct http_server *s, int fd, const struct sockaddr_storage *peer)
{
	uint8_t key[16];
	char text[48];

	http_peer_key(peer, key, text);
	if (s->connections_n >= s->limits.connections_max)
		turn_away(s, fd, HTTP_REFUSED_CONNECTIONS);
	else if (address_full(s, key))
		turn_away(s, fd, HTTP_REFUSED_ADDRESS);
	else if (http_connection_new(s, fd, peer))
		turn_away(s, fd, HTTP_REFUSED_MEMORY);
}

static void rest(struct http_server *s)
{
	log_debug("http.listener_rests", "address=%s ms=%d", s->listener.address, PAUSE_MS);
	if (loop_io_want(s->accept_io, 0)) /* wanting nothing can't fail */
		return;
	loop_timer_set(s->pause, PAUSE_MS);
}

static void on_pause_over(void *ctx)
{
	struct http_server *s = ctx;

	if (s->reserve_fd < 0)
		s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (loop_io_want(s->accept_io, LOOP_READ))
		loop_timer_set(s->pause, PAUSE_MS);
}

/* no descriptor was left for the first in the queue */
static void shed(struct http_server *s)
{
	int fd;

	http_count(s->m.refused[HTTP_REFUSED_DESCRIPTORS]);
	if (s->reserve_fd < 0)
		return;
	close(s->reserve_fd);
	fd = accept4(s->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		http_refuse(s, fd, "too many connections, try again later");
		close(fd);
	}
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_accept(void *ctx, _unused_ unsigned ready)
{
	struct http_server *s = ctx;

	for (int i = 0; i < ACCEPTS_A_TURN && s->listener.fd >= 0; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t len = sizeof(peer);
		int fd = accept4(s->listener.fd, (struct sockaddr *)&peer, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			admit(s, fd, &peer);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)
			continue;
		if (errno == EMFILE || errno == ENFILE)
			shed(s);
		rest(s);
		return;
	}
}

/* ---- life ------------------------------------------------------------------------------------ */

static int start_listening(struct http_server *s, const char *listen)
{
	int r = http_listener_open(&s->listener, listen);

	if (!r)
		r = loop_timer_new(&s->pause, s->loop, on_pause_over, s);
	if (!r)
		r = loop_io_new(&s->accept_io, s->loop, s->listener.fd, on_accept, s);
	if (!r)
		r = loop_io_want(s->accept_io, LOOP_READ);
	return r;
}

int http_server_new(struct http_server **ret, struct loop *l, const char *listen,
		    const struct http_limits *limits, const struct http_ops *ops, void *ctx,
		    struct metrics *metrics, const char *metrics_label)
{
	_cleanup_(http_server_freep) struct http_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_here(-ENOMEM);
	s->loop = l;
	s->ops = *ops;
	s->ctx = ctx;
	s->listener.fd = -1;
	s->date_at = -1;
	list_init(&s->connections);
	list_init(&s->orphans);
	if (limits)
		s->limits = *limits;
	set_defaults(&s->limits);
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (s->reserve_fd < 0)
		return err_here(-errno);
	r = http_metrics_init(&s->m, metrics, metrics_label);
	if (!r)
		r = start_listening(s, listen);
	if (r)
		return r;
	*ret = steal(s);
	return 0;
}

static void stop_listening(struct http_server *s)
{
	loop_io_free(steal(s->accept_io));
	loop_timer_free(steal(s->pause));
	http_listener_close(&s->listener);
}

void http_server_free(struct http_server *s)
{
	struct http_connection *c;

	if (!s)
		return;
	stop_listening(s);
	while (!list_empty(&s->connections))
		http_connection_close(list_entry(s->connections.next, struct http_connection, node));
	list_for_each(c, &s->orphans, node) {
		list_del(&c->node);
		loop_defer_free(s->loop, http_connection_free, c);
	}
	if (s->reserve_fd >= 0)
		close(s->reserve_fd);
	buf_fini(&s->scratch);
	free(s);
}

const char *http_server_address(const struct http_server *s)
{
	return s->listener.address;
}

void http_server_drain(struct http_server *s)
{
	struct http_connection *c;

	s->draining = true;
	stop_listening(s);
	list_for_each(c, &s->connections, node)
		http_connection_drain(c);
}

size_t http_server_connections(const struct http_server *s)
{
	return s->connections_n;
}
