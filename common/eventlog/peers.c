/*
 * peers - what other daemons say
 *
 * A frame is a hint, never evidence: it is taken into a lane's queue when its generation is the
 * lane's; whether its events are next is decided when the lane looks. Everything else costs a read
 * of the table.
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/eventlog/internal.h"

static void count(struct eventlog *log, const char *use)
{
	series_add(log_series(log, M_FRAMES, use), 1);
}

/* one copy for all consumers */
static int make_run(struct eventlog *log, const struct wire_frame *f, struct run **run)
{
	return *run ? 0 : run_new(run, f->events, f->n, log->wanted);
}

static void on_committed(struct eventlog *log, const struct wire_frame *f)
{
	static const char *const uses[] = { "taken", "ahead", "stale", "foreign" };
	struct log_lane *info = &log->lanes[f->lane];
	_cleanup_(run_unrefp) struct run *run = NULL;

	for_each_consumer(c, log) {
		struct lane *l = &c->lanes[f->lane];
		enum frame_use use;

		if (!c->ops->log || !lane_works(l))
			continue;
		use = frame_use(&info->line, l->seen, f->generation, f->seq, f->n);
		count(log, uses[use]);
		if (use <= FRAME_AHEAD && !make_run(log, f, &run))
			lane_offer(l, run);
	}
	head_seen(log, f->lane, f->seq + (int64_t)f->n - 1);
}

static void on_frame(void *ctx, _unused_ struct bus_sock *s, struct bytes topic,
		     _unused_ const char *user, struct bytes body)
{
	struct eventlog *log = ctx;
	struct wire_frame f;
	const char *why = wire_read(log->wire, topic, body, &f);
	struct log_lane *info;

	if (why) {
		log_debug("eventlog.frame_malformed", "field=%s", why);
		count(log, "malformed");
		return;
	}
	info = &log->lanes[f.lane];
	if (f.generation != info->line.generation) {
		count(log, "foreign");
		if (f.generation > info->line.generation)
			probe_soon(log);
	} else if (f.kind == WIRE_TYPE) {
		count(log, "heard");
		for_each_consumer(c, log)
			consumer_hear(c, f.events, f.n);
	} else if (f.n) {
		on_committed(log, &f);
	} else {
		count(log, "head");
		head_seen(log, f.lane, f.seq);
	}
}

/* ---- connections -------------------------------------------------------------------------- */

static bool wanted(const struct eventlog *log, const char *endpoint)
{
	for (size_t i = 0; i < log->n_members; i++)
		if (log->members[i].alive && !strcmp(log->members[i].endpoint, endpoint))
			return true;
	return false;
}

static bool connected(const struct eventlog *log, const char *endpoint)
{
	for (size_t i = 0; i < log->n_peers; i++)
		if (!strcmp(log->peers[i], endpoint))
			return true;
	return false;
}

static void connect_peer(struct eventlog *log, const char *endpoint)
{
	void *p = realloc(log->peers, (log->n_peers + 1) * sizeof(*log->peers));
	int r = p ? 0 : -ENOMEM;

	if (p)
		log->peers = p;
	if (!r)
		r = bus_connect(log->sub, endpoint);
	if (r) { /* the table is read instead; the next round tries again */
		log_debug("eventlog.peer", "endpoint=%s r=%d", endpoint, r);
		return;
	}
	snprintf(log->peers[log->n_peers++], sizeof(*log->peers), "%s", endpoint);
}

static void disconnect_gone(struct eventlog *log)
{
	for (size_t i = log->n_peers; i-- > 0;) {
		if (wanted(log, log->peers[i]))
			continue;
		if (bus_disconnect(log->sub, log->peers[i]))
			log_debug("eventlog.peer", "endpoint=%s left=no", log->peers[i]);
		log->n_peers--;
		memmove(log->peers[i], log->peers[log->n_peers], sizeof(*log->peers));
	}
}

void peers_update(struct eventlog *log)
{
	disconnect_gone(log);
	for (size_t i = 0; i < log->n_members; i++) {
		const struct member *m = &log->members[i];

		/* own commits are handed over directly */
		if (m->alive && *m->endpoint && strcmp(m->endpoint, log->endpoint) &&
		    !connected(log, m->endpoint))
			connect_peer(log, m->endpoint);
	}
	series_set(log_series(log, M_PEERS), (double)log->n_peers);
}

int peers_new(struct eventlog *log)
{
	char real[ENDPOINT_BYTES];
	int r = bus_sock_new(&log->pub, log->bus, BUS_PUB, NULL, NULL, NULL);

	if (!r)
		r = bus_bind(log->pub, log->endpoint, real);
	if (r)
		return r;
	memcpy(log->endpoint, real, sizeof(real));
	return bus_sock_new(&log->sub, log->bus, BUS_SUB, NULL, on_frame, log);
}

int peers_listen(struct eventlog *log)
{
	uint64_t heard = 0;
	char topic[16];
	int r;

	log->soon = true;
	for_each_consumer(c, log) {
		if (c->ops->log && !c->ops->linger_ms)
			log->soon = false;
		if (c->ops->heard)
			heard |= c->ops->types;
	}
	r = bus_subscribe(log->sub, wire_prefix(log->soon ? WIRE_SOON : WIRE_LANE));
	for (unsigned type = 1; type < 64 && !r; type++) {
		if (heard >> type & 1) {
			wire_topic(WIRE_TYPE, type, topic);
			r = bus_subscribe(log->sub, topic);
		}
	}
	return r;
}

void peers_fini(struct eventlog *log)
{
	bus_sock_free(log->sub);
	bus_sock_free(log->pub);
	free(log->peers);
}
