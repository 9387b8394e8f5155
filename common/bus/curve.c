/*
 * curve - tcp:// sockets: protected before they are bound, and bound again when a key is revoked
 *
 * ZeroMQ asks for a key once, at the handshake; a connection lives on when its key is revoked. Its
 * messages are refused by their user id at once. The connection itself can't be closed alone (libzmq
 * 4.3.4 has no way to end one peer of a ROUTER), but a listener owns what it accepted: unbinding ends
 * all of it. So that is done, and only when a key that did come in is no longer admitted. What was
 * received is still handed over; what a slow peer has not taken is lost, as with any broken
 * connection. The port is free when ZeroMQ's own thread has closed it, which is a moment later:
 * binding is tried until it works.
 */
#include <errno.h>
#include <stdio.h>
#include "common/base/err.h"
#include "common/bus/internal.h"
#include "common/bus/options.h"

enum { REBIND_MS = 5, REBIND_MAX_MS = 1000 };

#define METRIC(id, kind, name, help, labels) \
	[METRIC_ID_##id] = { METRIC_##kind, name, help, labels },
static const struct metric_def metrics[] = {
#include "common/bus/metrics.def"
};

bool bus_local(const char *endpoint)
{
	return !strncmp(endpoint, "ipc://", 6) || !strncmp(endpoint, "inproc://", 9);
}

const char *bus_reason(int r)
{
	switch (r) {
	case BUS_E_BARE:
		return "only ipc:// is bound without CURVE, only tcp:// with it; bus.curve_secret_file names its key";
	case BUS_E_SILENT:
		return "self-test: nobody answers for the keys of clients";
	case BUS_E_OPEN:
		return "self-test: a client came in whose key nobody knows";
	default:
		return r < 0 ? strerror(-r) : "";
	}
}

/* ---- the key ------------------------------------------------------------------------------ */

int bus_curve(struct bus *b, const char *secret, struct metrics *m)
{
	int base;

	if (!zmq_has("curve"))
		return err_here(-EOPNOTSUPP);
	if (strlen(secret) != BUS_KEY_TEXT || zmq_curve_public(b->public, secret)) {
		b->public[0] = '\0';
		return err_here(-EINVAL);
	}
	base = metrics_register(m, metrics, ARRAY_SIZE(metrics));
	if (base < 0)
		return base;
	b->metrics = m;
	b->metric = base;
	memcpy(b->secret, secret, sizeof(b->secret));
	return 0;
}

const char *bus_curve_public(const struct bus *b)
{
	return b->public;
}

/* ---- binding ------------------------------------------------------------------------------ */

static struct series *series_of(const struct bus_sock *s, int id)
{
	return metrics_series(s->bus->metrics, s->bus->metric + id, s->domain.name);
}

/* the handler is there, and known to work, before the first socket that needs it */
static int open_zap(struct bus *b)
{
	_cleanup_(zap_freep) struct zap *z = NULL;
	int r;

	if (b->zap)
		return 0;
	r = zap_new(&z, b->zmq, b->loop, b->metrics, b->metric + METRIC_ID_HANDSHAKES);
	if (!r)
		r = zap_check(z, b->zmq, b->secret, b->public);
	if (!r)
		b->zap = steal(z);
	return r;
}

static void bind_again(void *ctx)
{
	struct bus_sock *s = ctx;

	if (zmq_bind(s->zmq, s->bound)) {
		s->rebind_ms = MIN(s->rebind_ms * 2, (unsigned)REBIND_MAX_MS);
		loop_timer_set(s->rebind, s->rebind_ms);
		return;
	}
	series_set(series_of(s, METRIC_ID_BOUND), 1);
	bus_look_again(s);
}

static int protect(struct bus_sock *s, const struct zap_domain *domain)
{
	int r = open_zap(s->bus);

	if (r)
		return r;
	s->domain = *domain;
	list_init(&s->domain.link);
	r = zap_add(s->bus->zap, &s->domain);
	if (!r)
		r = bus_options_curve(s->zmq, s->bus->secret, domain->name);
	if (!r)
		r = monitor_new(&s->monitor, s);
	return r ? r : loop_timer_new(&s->rebind, s->bus->loop, bind_again, s);
}

int bus_serve(struct bus_sock *s, const char *endpoint, const char *domain, bus_admit_fn fn, void *ctx,
	      char *ret_endpoint)
{
	const struct zap_domain d = { .name = domain, .fn = fn, .ctx = ctx };
	int r;

	if (!s->bus->secret[0] || bus_local(endpoint))
		return BUS_E_BARE;
	r = protect(s, &d);
	if (!r)
		r = bus_bind(s, endpoint, s->bound);
	if (r) {
		bus_unprotect(s);
		return r;
	}
	series_set(series_of(s, METRIC_ID_BOUND), 1);
	if (ret_endpoint)
		memcpy(ret_endpoint, s->bound, sizeof(s->bound));
	return 0;
}

void bus_unprotect(struct bus_sock *s)
{
	if (!s->domain.name)
		return;
	series_set(series_of(s, METRIC_ID_BOUND), 0);
	monitor_free(s->monitor);
	s->monitor = NULL;
	loop_timer_free(s->rebind);
	s->rebind = NULL;
	zap_remove(&s->domain);
}

void bus_recheck(struct bus_sock *s)
{
	if (!s->domain.name || !zap_recheck(&s->domain))
		return;
	series_add(series_of(s, METRIC_ID_REBINDS), 1);
	series_set(series_of(s, METRIC_ID_BOUND), 0);
	/* it is not bound while a binding is still being tried: then there is nobody to be closed */
	(void)zmq_unbind(s->zmq, s->bound);
	s->rebind_ms = REBIND_MS;
	loop_timer_set(s->rebind, s->rebind_ms);
	bus_look_again(s);
}
