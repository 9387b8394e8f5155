/*
 * peers - connections of departments
 *
 * A peer is known by its socket and routing id from a good Hello on; what comes from others is answered
 * and leaves nothing behind. Under CURVE each message says by whose key its connection came in: that
 * decides, as a routing id may be another connection's by now. The connection is bound to the
 * department of its key, so acknowledgements and updates can't name another's stream. A consumer name
 * has one live connection: a newer Hello fences the older, whose frames are ignored from then on until
 * it says Hello again.
 */
#include "services/dispatch/dispatch.h"

#include <errno.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"

enum { SILENT_INTERVALS = 3 };

struct peer *peer_by_serial(struct dispatch *d, uint64_t serial)
{
	return g_hash_table_lookup(d->serials, &serial);
}

static struct peer *peer_find(struct dispatch *d, struct bytes id)
{
	g_autoptr(GBytes) key = g_bytes_new_static(id.data, id.len);

	return g_hash_table_lookup(d->peers, key);
}

static void peer_unbind(struct peer *p)
{
	if (p->name)
		p->name->peer = NULL;
	p->name = NULL;
}

void peer_drop(struct dispatch *d, struct peer *p)
{
	g_autoptr(GBytes) key = g_bytes_new_static(p->id, p->id_len);

	peer_unbind(p);
	g_hash_table_remove(d->serials, &p->serial);
	g_hash_table_remove(d->peers, key); /* frees p */
	series_set(d->metric[M_CONNECTIONS], g_hash_table_size(d->peers));
}

static struct peer *peer_new(struct dispatch *d, struct bytes id)
{
	struct peer *p;

	if (id.len > PEER_ID_MAX)
		return NULL;
	p = g_new0(struct peer, 1);
	memcpy(p->id, id.data, id.len);
	p->id_len = (uint16_t)id.len;
	p->serial = ++d->next_serial;
	g_hash_table_insert(d->peers, g_bytes_new_static(p->id, p->id_len), p);
	g_hash_table_insert(d->serials, &p->serial, p);
	series_set(d->metric[M_CONNECTIONS], g_hash_table_size(d->peers));
	return p;
}

static void refuse_peer(struct dispatch *d, struct peer *p, const struct refusal *why)
{
	say_refused(d, peer_id(p), why, NULL, false);
}

static void drop_with(struct dispatch *d, struct peer *p, const struct refusal *why)
{
	say_refused(d, peer_id(p), why, NULL, true);
	peer_drop(d, p);
}

/* ---- Hello -------------------------------------------------------------------------------------- */

/* fills why with who has the lane instead, as a peer of that id can reach it */
static void elsewhere(struct dispatch *d, unsigned lane, struct bytes id, struct refusal *why)
{
	const char *holder = eventlog_holder(d->service->log, "dispatch.department", lane);
	const char *at = id.data[0] == SOCK_CURVE ? strstr(holder, "tcp://") : holder;

	if (!*holder || d->lines[lane] || !strcmp(holder, d->endpoint))
		(void)refuse(why, REFUSED_UNAVAILABLE, "the department's lane is changing hands");
	else if (at)
		(void)refuse(why, REFUSED_ELSEWHERE, "%.*s", (int)strcspn(at, " "), at);
	else
		(void)refuse(why, REFUSED_UNAVAILABLE, "who serves the department now isn't reached from outside");
}

static void fence(struct dispatch *d, struct peer *old)
{
	Centraleta__V1__Fenced fenced = CENTRALETA__V1__FENCED__INIT;
	Centraleta__V1__DispatchFrame f = CENTRALETA__V1__DISPATCH_FRAME__INIT;

	f.frame_case = CENTRALETA__V1__DISPATCH_FRAME__FRAME_FENCED;
	f.fenced = &fenced;
	(void)say(d, old, &f);
	log_info("dispatch.fenced", "department=%d consumer=%s", old->department, old->name->consumer);
	peer_unbind(old);
	old->state = PEER_FENCED;
	series_add(d->metric[M_FENCED], 1);
}

/* what isn't kept any more can't be acknowledged; true: somebody had a position before that */
static bool pass_what_is_gone(struct dept *t, struct name *n)
{
	bool had = n->since != 0;

	if (t->oldest <= n->acked.low + 1)
		return false;
	if (ack_set_add(&n->acked, 1, t->oldest - 1))
		return false; /* out of memory: it stays where it is */
	n->changes++;
	flow_skipped(&n->flow, t->oldest - 1);
	return had;
}

static void welcome(struct dispatch *d, struct peer *p, struct dept *t)
{
	const struct department *e = directory_department(d->directory, t->department);
	Centraleta__V1__Welcome w = CENTRALETA__V1__WELCOME__INIT;
	Centraleta__V1__DispatchFrame f = CENTRALETA__V1__DISPATCH_FRAME__INIT;

	w.generation = t->generation;
	w.oldest = t->oldest;
	w.newest = t->newest;
	w.position = p->name->acked.low;
	w.heartbeat_ms = (int32_t)d->limits.heartbeat_ms;
	w.credit_max = (int32_t)d->limits.credit_max;
	w.updates_max = (int32_t)d->limits.updates_max;
	w.jurisdiction_id = (char *)(e ? e->jurisdiction_id : "");
	w.department = (char *)(e ? e->slug : "");
	f.frame_case = CENTRALETA__V1__DISPATCH_FRAME__FRAME_WELCOME;
	f.welcome = &w;
	(void)say(d, p, &f);
}

static void say_gone(struct dispatch *d, struct peer *p, const struct dept *t)
{
	Centraleta__V1__Gone g = CENTRALETA__V1__GONE__INIT;
	Centraleta__V1__DispatchFrame f = CENTRALETA__V1__DISPATCH_FRAME__INIT;

	g.generation = t->generation;
	g.oldest = t->oldest;
	f.frame_case = CENTRALETA__V1__DISPATCH_FRAME__FRAME_GONE;
	f.gone = &g;
	(void)say(d, p, &f);
}

static void greeted(struct ask *a, struct line *l, struct dept *t, const struct answer *answer)
{
	struct peer *p = peer_by_serial(a->d, a->peer);
	struct refusal why;
	bool gone;

	if (!p || !p->name || p->state != PEER_GREETING)
		return;
	if (!l || !t || answer->verdict != STORE_OK || line_take_rows(l, answer->rows[0])) {
		(void)refuse(&why, REFUSED_UNAVAILABLE, "the store is away");
		drop_with(a->d, p, &why);
		return;
	}
	p->state = PEER_LIVE;
	gone = pass_what_is_gone(t, p->name);
	welcome(a->d, p, t);
	if (gone)
		say_gone(a->d, p, t);
	follow_dept(t);
}

static void ask_numbers(struct dispatch *d, struct peer *p, struct dept *t)
{
	_cleanup_(column_freep) struct column *c = NULL;
	struct store_group *g = dispatch_group(d, t->line->lane);

	if (g && !column_new(&c, COLUMN_INT4)) {
		store_add(g, &dispatch_queries[DISPATCH_PROBE]);
		store_p_int2(g, (int16_t)t->line->lane);
		column_int(c, t->department);
		store_p_column(g, c);
	}
	dispatch_ask(d,
		     (struct ask){ .lane = t->line->lane, .epoch = t->line->epoch,
				   .department = t->department, .peer = p->serial, .fn = greeted },
		     g);
}

/* the consumer name of a good Hello */
static struct name *hello_name(struct dispatch *d, struct dept *t, const struct key *k,
			       const char *said, struct refusal *why)
{
	char consumer[NAME_MAX_CHARS + 1];
	struct name *n;

	if (!who_is(k, said, consumer, why))
		return NULL;
	n = dept_name(t, consumer);
	if (n)
		return n;
	if (t->n_names >= d->limits.consumers_max) {
		(void)refuse(why, REFUSED_FULL, "the department has %zu consumer names, the most there may be",
			     t->n_names);
		return NULL;
	}
	if (dept_name_new(t, consumer, &n)) {
		(void)refuse(why, REFUSED_UNAVAILABLE, "out of memory");
		return NULL;
	}
	return n;
}

static int by_number(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

/* the connection gets the name; who had it is fenced */
static void peer_bind(struct dispatch *d, struct peer *p, struct name *n, const char *key_id,
		 int32_t *services, size_t n_services)
{
	peer_unbind(p);
	if (n->peer)
		fence(d, n->peer);
	free(n->services);
	n->services = services;
	n->n_services = services ? n_services : 0;
	if (n->n_services > 1)
		qsort(n->services, n->n_services, sizeof(*n->services), by_number);
	n->peer = p;
	p->name = n;
	p->department = n->dept->department;
	memcpy(p->key_id, key_id, sizeof(p->key_id));
	p->state = PEER_GREETING;
	p->full_until_ms = 0;
	flow_restart(&n->flow, &n->acked);
	log_info("dispatch.hello", "department=%d consumer=%s", p->department, n->consumer);
	ask_numbers(d, p, n->dept);
	follow_probe_again(d);
}

/* the line and the department of a key; NULL: refused */
static struct dept *hello_dept(struct dispatch *d, const struct department *e, struct bytes id,
			       struct refusal *why)
{
	struct line *l = e->home_lane < LANE_MAX ? d->lines[e->home_lane] : NULL;
	struct dept *t;

	if (!l || !l->loaded || !consumer_holds(d->chain, e->home_lane)) {
		if (e->home_lane < LANE_MAX)
			elsewhere(d, e->home_lane, id, why);
		else
			(void)refuse(why, REFUSED_UNAVAILABLE, "the department's lane doesn't exist");
		return NULL;
	}
	t = line_dept(l, e->department);
	if (!t || !t->loaded) {
		(void)refuse(why, REFUSED_UNAVAILABLE, "the department is new, try again");
		return NULL;
	}
	return t;
}

static bool may_connect(struct dispatch *d, const struct peer *p, struct bytes id, struct refusal *why)
{
	if (id.data[0] == SOCK_CURVE && !bus_id_given((struct bytes){ id.data + 1, id.len - 1 }))
		return refuse(why, REFUSED_INVALID, "the socket's routing id: leave it to ZeroMQ");
	if (d->draining)
		return refuse(why, REFUSED_UNAVAILABLE, "going down");
	if (!d->directory)
		return refuse(why, REFUSED_UNAVAILABLE, "starting");
	if (!p && g_hash_table_size(d->peers) >= d->limits.connections_max)
		return refuse(why, REFUSED_FULL, "%zu connections, the most there may be",
			      d->limits.connections_max);
	return true;
}

static bool hello(struct dispatch *d, struct peer *p, struct bytes id, const char *user,
		  const Centraleta__V1__Hello *h, struct refusal *why)
{
	_cleanup_(freep) int32_t *services = NULL;
	const struct key *k;
	size_t n_services;
	struct dept *t;
	struct name *n;

	if (!may_connect(d, p, id, why))
		return false;
	k = who_says(d, user, h->api_key);
	if (!k)
		return refuse(why, REFUSED_BAD_KEY, "api_key: unknown, revoked or not a department's");
	t = hello_dept(d, directory_department(d->directory, k->department), id, why);
	if (!t || !who_sees(d, k, h, &services, &n_services, why))
		return false;
	n = hello_name(d, t, k, h->consumer, why);
	if (!n)
		return false;
	if (!p)
		p = peer_new(d, id);
	if (!p)
		return refuse(why, REFUSED_MALFORMED, "the routing id is too long");
	peer_bind(d, p, n, k->id, steal(services), n_services);
	return true;
}

static void take_hello(struct dispatch *d, struct peer *p, struct bytes id, const char *user,
		       const Centraleta__V1__Hello *h)
{
	struct refusal why;

	if (hello(d, p, id, user, h, &why))
		return;
	say_refused(d, id, &why, NULL, true);
	p = peer_find(d, id);
	if (p)
		peer_drop(d, p);
}

/* ---- the other frames ---------------------------------------------------------------------------- */

static bool queue_acks(struct dispatch *d, struct name *n, const Centraleta__V1__Ack *a,
		       struct refusal *why)
{
	struct ack_range *bigger;
	size_t cap = MAX(n->cap_pending, (size_t)64);

	if (n->n_pending + a->n_ranges > d->limits.acks_queued_max)
		return refuse(why, REFUSED_FULL, "%zu ranges wait for their commit", n->n_pending);
	while (cap < n->n_pending + a->n_ranges)
		cap *= 2;
	if (cap > n->cap_pending) {
		bigger = reallocarray(n->pending, cap, sizeof(*bigger));
		if (!bigger)
			return refuse(why, REFUSED_UNAVAILABLE, "out of memory");
		n->pending = bigger;
		n->cap_pending = cap;
	}
	for (size_t i = 0; i < a->n_ranges; i++)
		n->pending[n->n_pending++] =
			(struct ack_range){ a->ranges[i]->first, a->ranges[i]->last };
	return true;
}

static void take_ack(struct dispatch *d, struct peer *p, const Centraleta__V1__Ack *a)
{
	struct name *n = p->name;
	struct refusal why;

	if (a->generation != n->dept->generation) {
		say_gone(d, p, n->dept);
		return;
	}
	for (size_t i = 0; i < a->n_ranges; i++)
		if (a->ranges[i]->last > n->flow.sent_max) {
			(void)refuse(&why, REFUSED_FUTURE,
				     "ranges[%zu]: %lld was not sent; the last sent is %lld", i,
				     (long long)a->ranges[i]->last, (long long)n->flow.sent_max);
			refuse_peer(d, p, &why);
			return;
		}
	if (queue_acks(d, n, a, &why))
		chain_ack(d, n);
	else
		refuse_peer(d, p, &why);
}

static bool queue_update(struct dispatch *d, struct peer *p, const Centraleta__V1__Update *u,
			 struct refusal *why)
{
	_cleanup_(speaker_fini) struct speaker by = { 0 };
	struct line *l = p->name->dept->line;
	struct queued *q;

	if (p->n_updates >= d->limits.updates_max)
		return refuse(why, REFUSED_FULL, "%zu updates wait for their commit", p->n_updates);
	if (id_lane(u->work_item) < 0 || id_lane(u->work_item) >= eventlog_lanes(d->service->log))
		return refuse(why, REFUSED_FOREIGN, "work_item: not one of this department");
	if (!who_speaks(d, p, &by, why))
		return false;
	q = calloc(1, sizeof(*q));
	if (q)
		q->update = update_of_frame(u, &by, clock_wall_us());
	if (!q || !q->update) {
		free(q);
		return refuse(why, REFUSED_UNAVAILABLE, "out of memory");
	}
	q->peer = p->serial;
	list_add_tail(&l->updates, &q->in_line);
	l->n_updates++;
	p->n_updates++;
	series_set(d->metric[M_QUEUE], (double)++d->n_queued);
	return true;
}

static void take_update(struct dispatch *d, struct peer *p, const Centraleta__V1__Update *u)
{
	struct refusal why;

	if (queue_update(d, p, u, &why))
		consumer_kick(d->chain, p->name->dept->line->lane);
	else
		say_refused(d, peer_id(p), &why, u->update_id, false);
}

static void take_replay(struct dispatch *d, struct peer *p, const Centraleta__V1__Replay *r)
{
	struct name *n = p->name;
	struct dept *t = n->dept;
	struct refusal why;

	if (r->generation != t->generation || (t->oldest && r->from < t->oldest)) {
		say_gone(d, p, t);
		return;
	}
	if (r->from > MAX(t->newest, n->flow.sent_max) + 1) {
		(void)refuse(&why, REFUSED_FUTURE, "from: the newest is %lld", (long long)t->newest);
		refuse_peer(d, p, &why);
		return;
	}
	flow_replay(&n->flow, r->from);
	follow_dept(t);
}

static void pong(struct dispatch *d, struct peer *p)
{
	Centraleta__V1__DispatchPong g = CENTRALETA__V1__DISPATCH_PONG__INIT;
	Centraleta__V1__DispatchFrame f = CENTRALETA__V1__DISPATCH_FRAME__INIT;

	g.newest = p->name->dept->newest;
	f.frame_case = CENTRALETA__V1__DISPATCH_FRAME__FRAME_PONG;
	f.pong = &g;
	(void)say(d, p, &f);
}

static void take_bound(struct dispatch *d, struct peer *p, const Centraleta__V1__DepartmentFrame *f)
{
	switch (f->frame_case) {
	case CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_CREDIT:
		flow_credit(&p->name->flow, f->credit->more);
		follow_dept(p->name->dept);
		break;
	case CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_ACK:
		take_ack(d, p, f->ack);
		break;
	case CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_UPDATE:
		take_update(d, p, f->update);
		break;
	case CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_REPLAY:
		take_replay(d, p, f->replay);
		break;
	case CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_PING:
		pong(d, p);
		break;
	default:
		peer_drop(d, p); /* Bye */
		break;
	}
}

/* an update is refused by its name, so that its sender can tell which one it was */
static void refuse_frame(struct dispatch *d, struct bytes id, struct bytes body, const struct refusal *why)
{
	_cleanup_(department_frame_freep) Centraleta__V1__DepartmentFrame *f = NULL;
	const char *update_id = NULL;

	if (why->code == REFUSED_INVALID)
		f = centraleta__v1__department_frame__unpack(NULL, body.len, body.data);
	if (f && f->frame_case == CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_UPDATE)
		update_id = f->update->update_id;
	say_refused(d, id, why, update_id, false);
}

/*
 * Under CURVE, before anything else is looked at: is the message's key still in force, and is it the
 * one that this peer came in by? false: it was answered.
 */
static bool user_stands(struct dispatch *d, struct bytes id, const char *user, struct peer **p)
{
	struct refusal why;

	if (*p && strcmp((*p)->key_id, user)) { /* another connection, the former one is gone */
		peer_drop(d, *p);
		*p = NULL;
	}
	if (d->directory && directory_key(d->directory, user))
		return true;
	(void)refuse(&why, REFUSED_BAD_KEY, "the connection's CURVE key: unknown or revoked");
	if (*p)
		drop_with(d, *p, &why);
	else
		say_refused(d, id, &why, NULL, true);
	return false;
}

static void take_frame(struct dispatch *d, struct peer *p, struct bytes id, const char *user,
		       const Centraleta__V1__DepartmentFrame *f)
{
	struct refusal why;

	if (f->frame_case == CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_HELLO) {
		take_hello(d, p, id, user, f->hello);
		p = peer_find(d, id);
		if (p)
			p->heard_ms = p->said_ms = clock_mono_ms();
	} else if (!p) {
		(void)refuse(&why, REFUSED_NOT_HELLO, "say Hello first");
		say_refused(d, id, &why, NULL, false);
	} else if (!p->name) {
		series_add(d->metric[M_IGNORED], 1);
		if (f->frame_case == CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_BYE)
			peer_drop(d, p);
	} else {
		take_bound(d, p, f);
	}
}

static void take(struct dispatch *d, struct bytes id, const char *user, struct bytes body)
{
	const struct frame_limits limits = { .bytes_max = d->limits.frame_max,
					     .ranges_max = d->limits.ack_ranges_max,
					     .now_us = clock_wall_us(),
					     .skew_us = d->limits.skew_us };
	_cleanup_(department_frame_freep) Centraleta__V1__DepartmentFrame *f = NULL;
	struct peer *p = peer_find(d, id);
	struct refusal why;

	if (id.data[0] == SOCK_CURVE && !user_stands(d, id, user, &p))
		return;
	if (p)
		p->heard_ms = clock_mono_ms();
	f = department_frame_take(body, &limits, &why);
	if (f)
		take_frame(d, p, id, user, f);
	else
		refuse_frame(d, id, body, &why);
}

void peers_receive(void *ctx, struct bus_sock *s, struct bytes id, const char *user, struct bytes body)
{
	struct dispatch *d = ctx;
	uint8_t where[PEER_ID_MAX];

	if (id.len >= sizeof(where))
		return; /* ZeroMQ's are shorter */
	where[0] = s == d->socks[SOCK_CURVE] ? SOCK_CURVE : SOCK_LOCAL;
	memcpy(where + 1, id.data, id.len);
	take(d, (struct bytes){ where, id.len + 1 }, user, body);
}

/* ---- time, keys, lanes ---------------------------------------------------------------------------- */

/* a list that may be worked on while peers are dropped */
static GList *all_peers(struct dispatch *d)
{
	return g_hash_table_get_values(d->peers);
}

void peers_tick(struct dispatch *d, uint64_t now_ms)
{
	g_autoptr(GList) peers = all_peers(d);
	uint64_t silent_ms = (uint64_t)d->limits.heartbeat_ms * SILENT_INTERVALS;

	for (GList *i = peers; i; i = i->next) {
		struct peer *p = i->data;

		if (now_ms > p->heard_ms + silent_ms) {
			log_info("dispatch.silent", "department=%d consumer=%s", p->department,
				 p->name ? p->name->consumer : "");
			series_add(d->metric[M_SILENT], 1);
			peer_drop(d, p);
		} else if (p->state == PEER_LIVE && now_ms >= p->said_ms + d->limits.heartbeat_ms * 3 / 4) {
			pong(d, p);
		}
	}
}

void peers_recheck(struct dispatch *d)
{
	g_autoptr(GList) peers = all_peers(d);
	struct refusal why;

	(void)refuse(&why, REFUSED_BAD_KEY, "api_key: revoked");
	for (GList *i = peers; i; i = i->next) {
		struct peer *p = i->data;

		if (!directory_valid(d->directory, p->key_id, p->department))
			drop_with(d, p, &why);
	}
	if (d->socks[SOCK_CURVE])
		bus_recheck(d->socks[SOCK_CURVE]); /* what was just said is still sent */
}

void peers_line_lost(struct dispatch *d, struct line *l)
{
	g_autoptr(GList) peers = all_peers(d);
	struct refusal why;

	for (GList *i = peers; i; i = i->next) {
		struct peer *p = i->data;

		if (!p->name || p->name->dept->line != l)
			continue;
		elsewhere(d, l->lane, peer_id(p), &why);
		drop_with(d, p, &why);
	}
}
