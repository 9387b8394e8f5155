/*
 * zap - see zap.h
 *
 * A REP socket takes one request after the other; each is answered at once from what the daemon has
 * in memory, so nothing is kept between two. Its descriptor is edge-triggered like all of ZeroMQ's:
 * a turn receives until nothing is left.
 */
#include <errno.h>
#include <zmq.h>
#include "common/base/err.h"
#include "common/base/metrics.h"
#include "common/bus/zap.h"
#include "common/bus/zap_frame.h"

#define ENDPOINT "inproc://zeromq.zap.01"

enum { TURN_MAX = 64, PARTS = ZAP_REQUEST_FRAMES + 1 };

struct zap {
	void *sock;
	struct loop_io *io;
	struct list domains;
	struct metrics *metrics;
	int metric;
};

/* ---- one request -------------------------------------------------------------------------- */

static bool receive_part(void *sock, zmq_msg_t *m)
{
	int r;

	do
		r = zmq_msg_recv(m, sock, ZMQ_DONTWAIT);
	while (r < 0 && errno == EINTR);
	return r >= 0;
}

/* a whole one: how many parts it had, of which PARTS are kept; 0: none waits */
static size_t receive(void *sock, zmq_msg_t parts[static PARTS])
{
	size_t n = 0;
	bool more = true;

	while (more) {
		zmq_msg_t *m = &parts[MIN(n, (size_t)PARTS - 1)];

		if (!receive_part(sock, m))
			return 0;
		more = zmq_msg_more(m);
		n++;
	}
	return n;
}

/* An answer that can't be sent is none: the connection is dropped when its time is over. */
static void send_reply(void *sock, const struct bytes frames[static ZAP_REPLY_FRAMES])
{
	for (size_t i = 0; i < ZAP_REPLY_FRAMES; i++) {
		int flags = ZMQ_DONTWAIT | (i + 1 < ZAP_REPLY_FRAMES ? ZMQ_SNDMORE : 0);

		while (zmq_send(sock, frames[i].data, frames[i].len, flags) < 0)
			if (errno != EINTR)
				return;
	}
}

/* ---- judging ------------------------------------------------------------------------------ */

static struct zap_domain *domain_of(const struct zap *z, struct bytes name)
{
	struct zap_domain *d;

	list_for_each(d, &z->domains, link)
		if (strlen(d->name) == name.len && !memcmp(d->name, name.data, name.len))
			return d;
	return NULL;
}

/* false: out of memory */
static bool remember(struct zap_domain *d, const char *key)
{
	size_t cap = d->cap_admitted ? d->cap_admitted * 2 : 16;
	void *p;

	for (size_t i = 0; i < d->n_admitted; i++)
		if (!strcmp(d->admitted[i], key))
			return true;
	if (d->n_admitted == d->cap_admitted) {
		p = reallocarray(d->admitted, cap, sizeof(*d->admitted));
		if (!p)
			return false;
		d->admitted = p;
		d->cap_admitted = cap;
	}
	memcpy(d->admitted[d->n_admitted++], key, sizeof(*d->admitted));
	return true;
}

static enum bus_verdict ask(struct zap_domain *d, struct bytes key, char user[static BUS_USER_MAX])
{
	char text[BUS_KEY_TEXT + 1];
	enum bus_verdict v;

	if (!zmq_z85_encode(text, key.data, key.len))
		return BUS_UNKNOWN;
	v = d->fn(d->ctx, text, user);
	if (v == BUS_ADMITTED && (!*user || !remember(d, text)))
		v = BUS_NOT_YET; /* nobody comes in who couldn't be thrown out again */
	d->too_early |= v == BUS_NOT_YET;
	return v;
}

static void count(struct zap *z, const char *domain, const char *result)
{
	series_add(metrics_series(z->metrics, z->metric, domain, result), 1);
}

static enum zap_status judge(struct zap *z, enum zap_fault fault, const struct zap_request *q,
			     char user[static BUS_USER_MAX])
{
	static const struct {
		const char *name;
		enum zap_status status;
	} verdicts[] = {
		[BUS_ADMITTED] = { "admitted", ZAP_YES },
		[BUS_UNKNOWN] = { "unknown", ZAP_NO },
		[BUS_REVOKED] = { "revoked", ZAP_NO },
		[BUS_NOT_YET] = { "not_yet", ZAP_LATER },
	};
	struct zap_domain *d = domain_of(z, q->domain);
	enum bus_verdict v;

	if (fault || !d) {
		count(z, d ? d->name : "none", fault ? zap_fault_name(fault) : "domain");
		return fault ? ZAP_ERROR : ZAP_NO;
	}
	v = ask(d, q->key, user);
	count(z, d->name, verdicts[v].name);
	return verdicts[v].status;
}

static bool serve_one(struct zap *z)
{
	zmq_msg_t parts[PARTS];
	struct bytes frames[PARTS], reply[ZAP_REPLY_FRAMES];
	char user[BUS_USER_MAX] = "";
	struct zap_request q;
	enum zap_fault fault;
	size_t n;

	FOREACH(m, parts)
		zmq_msg_init(m);
	n = receive(z->sock, parts);
	for (size_t i = 0; i < PARTS; i++)
		frames[i] = (struct bytes){ zmq_msg_data(&parts[i]), zmq_msg_size(&parts[i]) };
	if (n) {
		fault = zap_request_read(frames, n, &q);
		zap_reply_make(q.id, judge(z, fault, &q, user), user, reply);
		send_reply(z->sock, reply);
	}
	FOREACH(m, parts)
		zmq_msg_close(m);
	return n;
}

unsigned zap_serve(struct zap *z)
{
	unsigned n = 0;

	while (n < TURN_MAX && serve_one(z))
		n++;
	return n;
}

static void turn(void *ctx, _unused_ unsigned ready)
{
	struct zap *z = ctx;

	if (zap_serve(z) == TURN_MAX)
		loop_io_active(z->io, LOOP_READ);
}

/* ---- domains ------------------------------------------------------------------------------ */

int zap_add(struct zap *z, struct zap_domain *d)
{
	if (domain_of(z, (struct bytes){ (const uint8_t *)d->name, strlen(d->name) }))
		return err_here(-EEXIST);
	list_add_tail(&z->domains, &d->link);
	return 0;
}

void zap_remove(struct zap_domain *d)
{
	if (!d->name)
		return;
	list_del(&d->link);
	free(d->admitted);
	*d = (struct zap_domain){ 0 };
}

bool zap_recheck(struct zap_domain *d)
{
	char user[BUS_USER_MAX];
	bool end = d->too_early;

	for (size_t i = 0; i < d->n_admitted && !end; i++) {
		enum bus_verdict v = d->fn(d->ctx, d->admitted[i], user);

		end = v == BUS_UNKNOWN || v == BUS_REVOKED;
	}
	if (end)
		d->n_admitted = 0; /* who comes back asks again */
	d->too_early = false;
	return end;
}

/* ---- life --------------------------------------------------------------------------------- */

void *zap_socket(const struct zap *z)
{
	return z->sock;
}

static int watch(struct zap *z, struct loop *l)
{
	int fd = -1;
	size_t len = sizeof(fd);
	int r;

	if (zmq_getsockopt(z->sock, ZMQ_FD, &fd, &len))
		return err_here(-errno);
	r = loop_io_new(&z->io, l, fd, turn, z);
	return r ? r : loop_io_want(z->io, LOOP_READ);
}

int zap_new(struct zap **ret, void *zmq_context, struct loop *l, struct metrics *m, int metric)
{
	_cleanup_(zap_freep) struct zap *z = calloc(1, sizeof(*z));
	int linger = 0, r;

	if (!z)
		return err_here(-ENOMEM);
	list_init(&z->domains);
	z->metrics = m;
	z->metric = metric;
	z->sock = zmq_socket(zmq_context, ZMQ_REP);
	if (!z->sock || zmq_setsockopt(z->sock, ZMQ_LINGER, &linger, sizeof(linger)) ||
	    zmq_bind(z->sock, ENDPOINT))
		return err_here(-errno);
	r = watch(z, l);
	if (r)
		return r;
	*ret = steal(z);
	return 0;
}

void zap_free(struct zap *z)
{
	if (!z)
		return;
	loop_io_free(z->io);
	if (z->sock)
		zmq_close(z->sock);
	free(z);
}
