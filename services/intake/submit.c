/*
 * submit - intake.submit: many submissions in flight from each integrator, over ZeroMQ
 *
 * A ROUTER knows no connections, only routing ids, so a peer is what has sent a good Open under one
 * id. Peers are kept in a bounded table; when it is full, the one that has been silent longest and
 * waits for nothing is forgotten, and is told so (not_open) when it comes back. Every frame gets an
 * answer: its result, or what was wrong with it.
 *
 * There is one for this machine and one under CURVE, each with peers of its own. Under CURVE each
 * message says by whose key its connection came in, and that decides: a routing id may be another
 * connection's by now.
 */
#include <errno.h>
#include <stdio.h>
#include "common/domain/frame.h"
#include "services/intake/intake.h"

#define FRAME_MAX (256u << 10)
#define REPEATED_MAX 128 /* attributes, and values of one */
#define BUCKETS 1024
#define ARENA_BYTES (32u << 10) /* a usual frame unpacked has less than 2 KiB */
#define ALIGN 16

struct peer {
	struct list link; /* of its bucket */
	struct list age; /* oldest first */
	int32_t door;
	char key_id[APIKEY_ID_LEN + 1];
	unsigned unanswered;
	bool dead; /* forgotten while something was unanswered */
	struct submit *submit; /* NULL: the socket is gone */
	size_t id_len;
	uint8_t id[];
};

struct submit {
	struct intake *in;
	struct bus_sock *sock;
	bool curve;
	struct list buckets[BUCKETS];
	struct list ages;
	size_t peers_n, peers_max;
	unsigned window;
	struct buf out, text;
	ProtobufCAllocator allocator;
	size_t used; /* of the arena, by the frame at hand */
	_Alignas(ALIGN) uint8_t arena[ARENA_BYTES];
};

/* ---- memory of one frame: from an arena that the next one empties; malloc() for what is larger -- */

static void *arena_alloc(void *ctx, size_t size)
{
	struct submit *s = ctx;
	uint8_t *p = s->arena + s->used;

	if (size > ARENA_BYTES - s->used)
		return malloc(size);
	s->used = MIN(s->used + (size + ALIGN - 1) / ALIGN * ALIGN, (size_t)ARENA_BYTES);
	return p;
}

static void arena_free(void *ctx, void *p)
{
	const struct submit *s = ctx;
	uintptr_t begin = (uintptr_t)s->arena, at = (uintptr_t)p;

	if (at < begin || at > begin + ARENA_BYTES)
		free(p);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void send_frame(struct submit *s, struct bytes id, const Centraleta__V1__IntakeFrame *f)
{
	size_t len = protobuf_c_message_get_packed_size(&f->base);
	char *p;
	int r;

	buf_reset(&s->out);
	p = buf_reserve(&s->out, len + 1);
	if (!p)
		return;
	protobuf_c_message_pack(&f->base, (uint8_t *)p);
	r = bus_send(s->sock, id, (struct bytes){ (const uint8_t *)p, len });
	if (r) /* the sender asks again by its key */
		log_debug("intake.submit.lost", "why=%s", r == BUS_E_FULL ? "full" : "gone");
}

static void refuse(struct submit *s, struct bytes id, uint64_t number, const char *code,
		   const char *reason)
{
	Centraleta__V1__IntakeFrame f = CENTRALETA__V1__INTAKE_FRAME__INIT;
	Centraleta__V1__IntakeRefused m = CENTRALETA__V1__INTAKE_REFUSED__INIT;

	intake_count_reject(s->in, "submit", code);
	m.number = number;
	/* protobuf-c's structs have no const; packing doesn't write */
	m.code = (char *)(uintptr_t)code;
	m.reason = (char *)(uintptr_t)reason;
	f.frame_case = CENTRALETA__V1__INTAKE_FRAME__FRAME_REFUSED;
	f.refused = &m;
	send_frame(s, id, &f);
}

static void send_busy(struct submit *s, struct bytes id, uint64_t number, enum busy_cause cause)
{
	Centraleta__V1__IntakeFrame f = CENTRALETA__V1__INTAKE_FRAME__INIT;
	Centraleta__V1__Busy m = CENTRALETA__V1__BUSY__INIT;

	intake_count_reject(s->in, "submit", busy_name(cause));
	m.number = number;
	m.retry_after_ms = (int32_t)intake_retry_ms(s->in);
	m.cause = (char *)(uintptr_t)busy_name(cause);
	f.frame_case = CENTRALETA__V1__INTAKE_FRAME__FRAME_BUSY;
	f.busy = &m;
	send_frame(s, id, &f);
}

static void send_rejected(struct submit *s, struct bytes id, uint64_t number,
			  const struct field_errors *e, const struct town *t)
{
	Centraleta__V1__IntakeFrame f = CENTRALETA__V1__INTAKE_FRAME__INIT;
	Centraleta__V1__Rejected m = CENTRALETA__V1__REJECTED__INIT;
	Centraleta__V1__FieldError errors[FIELD_ERRORS_MAX], *list[FIELD_ERRORS_MAX];
	size_t at[FIELD_ERRORS_MAX];

	buf_reset(&s->text);
	for (size_t i = 0; i < e->n; i++) {
		at[i] = s->text.len;
		field_error_reason(&e->list[i], t->language, t->name, &s->text);
		buf_ch(&s->text, '\0');
	}
	for (size_t i = 0; i < e->n; i++) {
		centraleta__v1__field_error__init(&errors[i]);
		errors[i].field = (char *)(uintptr_t)e->list[i].field;
		errors[i].code = (char *)(uintptr_t)fault_code(e->list[i].fault);
		errors[i].reason = buf_err(&s->text) ? errors[i].code : s->text.data + at[i];
		list[i] = &errors[i];
		intake_count_reject(s->in, "submit", fault_code(e->list[i].fault));
	}
	m.number = number;
	m.errors = list;
	m.n_errors = e->n;
	f.frame_case = CENTRALETA__V1__INTAKE_FRAME__FRAME_REJECTED;
	f.rejected = &m;
	send_frame(s, id, &f);
}

static void reject_one(struct submit *s, struct bytes id, uint64_t number, const struct town *t,
		       const char *field, enum fault fault)
{
	struct field_errors e = { .n = 0 };

	field_errors_add(&e, field, fault, 0);
	send_rejected(s, id, number, &e, t);
}

static void send_accepted(struct submit *s, struct bytes id, uint64_t number,
			  const struct entry_result *res)
{
	Centraleta__V1__IntakeFrame f = CENTRALETA__V1__INTAKE_FRAME__INIT;
	Centraleta__V1__Accepted m = CENTRALETA__V1__ACCEPTED__INIT;
	char request[24];

	snprintf(request, sizeof(request), "%lld", (long long)res->request);
	m.number = number;
	m.service_request_id = request;
	m.code = (char *)(uintptr_t)res->code;
	m.repeated_key = res->repeated;
	f.frame_case = CENTRALETA__V1__INTAKE_FRAME__FRAME_ACCEPTED;
	f.accepted = &m;
	send_frame(s, id, &f);
}

/* ---- peers ----------------------------------------------------------------------------------- */

static struct list *bucket(struct submit *s, struct bytes id)
{
	uint64_t h = 1469598103934665603u;

	for (size_t i = 0; i < id.len; i++)
		h = (h ^ id.data[i]) * 1099511628211u;
	return &s->buckets[(h ^ h >> 32) % BUCKETS];
}

static struct peer *peer_find(struct submit *s, struct bytes id)
{
	struct peer *p;

	list_for_each(p, bucket(s, id), link) {
		if (p->id_len == id.len && !memcmp(p->id, id.data, id.len)) {
			list_del(&p->age);
			list_add_tail(&s->ages, &p->age);
			return p;
		}
	}
	return NULL;
}

static void peer_forget(struct peer *p)
{
	struct submit *s = p->submit;

	list_del(&p->link);
	list_del(&p->age);
	s->peers_n--;
	series_add(intake_series(s->in, METRIC_PEERS, NULL, NULL, NULL), -1);
	p->dead = true;
	if (!p->unanswered)
		free(p);
}

/* makes room for one; false: all wait for answers */
static bool make_room(struct submit *s)
{
	struct peer *p;

	if (s->peers_n < s->peers_max)
		return true;
	list_for_each(p, &s->ages, age) {
		if (!p->unanswered) {
			peer_forget(p);
			return true;
		}
	}
	return false;
}

static struct peer *peer_new(struct submit *s, struct bytes id)
{
	struct peer *p = make_room(s) ? malloc(sizeof(*p) + id.len) : NULL;

	if (!p)
		return NULL;
	*p = (struct peer){ .submit = s, .id_len = id.len };
	memcpy(p->id, id.data, id.len);
	list_add_tail(bucket(s, id), &p->link);
	list_add_tail(&s->ages, &p->age);
	s->peers_n++;
	series_add(intake_series(s->in, METRIC_PEERS, NULL, NULL, NULL), 1);
	return p;
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* Under CURVE the connection's key speaks; a text beside it must open the same door. */
static const struct key *open_key(const struct submit *s, const char *user, const char *text)
{
	const struct intake *in = s->in;
	const struct key *said = catalog_key(in->catalog, in->s->secret, text, strlen(text));
	const struct key *own = s->curve ? catalog_key_id(in->catalog, user) : said;

	if (s->curve && *text && (!own || !said || said->door != own->door))
		return NULL;
	return own;
}

static void take_open(struct submit *s, struct bytes id, const char *user, const Centraleta__V1__Open *m)
{
	struct intake *in = s->in;
	const struct key *k = open_key(s, user, m->api_key);
	Centraleta__V1__IntakeFrame f = CENTRALETA__V1__INTAKE_FRAME__INIT;
	Centraleta__V1__Opened opened = CENTRALETA__V1__OPENED__INIT;
	struct peer *p = peer_find(s, id);

	if (!in->loaded) {
		send_busy(s, id, 0, BUSY_STORE);
		return;
	}
	if (s->curve && !bus_id_given(id)) {
		refuse(s, id, 0, "routing_id", "Leave the socket's routing id to ZeroMQ.");
		return;
	}
	if (!k || !(k->submit || k->import) || k->door->town->retired) {
		if (p)
			peer_forget(p);
		refuse(s, id, 0, "bad_key", "The API key is not valid here.");
		return;
	}
	if (!p)
		p = peer_new(s, id);
	if (!p) {
		send_busy(s, id, 0, BUSY_QUEUE);
		return;
	}
	p->door = k->door->id;
	snprintf(p->key_id, sizeof(p->key_id), "%s", k->id);
	opened.jurisdiction_id = (char *)(uintptr_t)k->door->town->jurisdiction_id;
	opened.window = (int32_t)s->window;
	f.frame_case = CENTRALETA__V1__INTAKE_FRAME__FRAME_OPENED;
	f.opened = &opened;
	send_frame(s, id, &f);
}

static void answered(void *ctx, const struct entry *e, const struct entry_result *res)
{
	struct peer *p = ctx;
	struct submit *s = p->submit;
	struct bytes id = { p->id, p->id_len };
	const struct town *t;

	p->unanswered--;
	if (p->dead || !s) {
		if (!p->unanswered)
			free(p);
		return;
	}
	t = catalog_town(s->in->catalog, e->town);
	if (res->end == ENTRY_ACCEPTED)
		send_accepted(s, id, e->number, res);
	else if (res->end == ENTRY_BUSY || !t)
		send_busy(s, id, e->number, res->cause);
	else
		reject_one(s, id, e->number, t,
			   res->end == ENTRY_CONFLICT ? "idempotency_key" : "submission",
			   res->end == ENTRY_CONFLICT ? FAULT_CONFLICT : FAULT_DATA);
}

/* the peer's key as it is now: it may have been revoked since Open */
static const struct key *peer_key(struct submit *s, const struct peer *p)
{
	const struct key *k = catalog_key_id(s->in->catalog, p->key_id);

	return k && k->door->id == p->door && !k->door->town->retired ? k : NULL;
}

static void submit_checked(struct submit *s, struct peer *p, const struct key *k,
			   struct submission *in, uint64_t number)
{
	const struct town *t = k->door->town;
	struct bytes id = { p->id, p->id_len };
	const struct slice *code = &in->text[FIELD_SERVICE_CODE];
	struct intake_door d = { .door = k->door, .may_import = k->import, .done = answered,
				 .ctx = p, .number = number };
	struct field_errors e = { .n = 0 };
	enum busy_cause busy = BUSY_STORE;
	int r;

	if (!code->len) {
		reject_one(s, id, number, t, "service_code", FAULT_MISSING);
		return;
	}
	d.offer = catalog_code(s->in->catalog, t, code->s, code->len);
	if (!d.offer) {
		reject_one(s, id, number, t, "service_code", FAULT_UNKNOWN);
		return;
	}
	r = intake_submission(s->in, in, &d, &e, &busy);
	if (!r)
		p->unanswered++;
	else if (r == INTAKE_E_FIELDS)
		send_rejected(s, id, number, &e, t);
	else
		send_busy(s, id, number, busy);
}

static void take_submit(struct submit *s, struct bytes id, const Centraleta__V1__Submit *m)
{
	static struct submission in; /* 6 KiB; used up before the next frame */
	struct peer *p = peer_find(s, id);
	const struct key *k = p ? peer_key(s, p) : NULL;
	enum busy_cause busy;
	const char *what = NULL;

	if (!p) {
		refuse(s, id, m->number, "not_open", "Send Open with an API key first.");
	} else if (!k) {
		if (s->in->loaded)
			peer_forget(p);
		refuse(s, id, m->number, "bad_key", "The API key was revoked.");
	} else if (p->unanswered >= s->window) {
		send_busy(s, id, m->number, BUSY_WINDOW);
	} else if ((busy = intake_admit(s->in))) {
		send_busy(s, id, m->number, busy);
	} else if (!submission_from_message(&in, m, &what)) {
		reject_one(s, id, m->number, k->door->town, what, FAULT_VALUE);
	} else {
		submit_checked(s, p, k, &in, m->number);
	}
}

static void take_frame(struct submit *s, struct bytes id, const char *user,
		       const Centraleta__V1__SubmitterFrame *m)
{
	Centraleta__V1__IntakeFrame f = CENTRALETA__V1__INTAKE_FRAME__INIT;
	Centraleta__V1__IntakePong pong = CENTRALETA__V1__INTAKE_PONG__INIT;

	switch (m->frame_case) {
	case CENTRALETA__V1__SUBMITTER_FRAME__FRAME_OPEN:
		take_open(s, id, user, m->open);
		return;
	case CENTRALETA__V1__SUBMITTER_FRAME__FRAME_SUBMIT:
		take_submit(s, id, m->submit);
		return;
	case CENTRALETA__V1__SUBMITTER_FRAME__FRAME_PING:
		(void)peer_find(s, id); /* still there */
		f.frame_case = CENTRALETA__V1__INTAKE_FRAME__FRAME_PONG;
		f.pong = &pong;
		send_frame(s, id, &f);
		return;
	default:
		refuse(s, id, 0, "unknown_frame", "The frame holds none of open, submit, ping.");
	}
}

/* the sender's number in a frame that isn't fit, so that it knows which one; 0: can't be told */
static uint64_t number_of(const Centraleta__V1__SubmitterFrame *m)
{
	return m && m->frame_case == CENTRALETA__V1__SUBMITTER_FRAME__FRAME_SUBMIT ? m->submit->number
										   : 0;
}

/*
 * Is the message's key still in force, and is it the one that this peer came in by? false: it was
 * answered.
 */
static bool user_stands(struct submit *s, struct bytes id, const char *user)
{
	struct peer *p = peer_find(s, id);
	bool known = catalog_key_id(s->in->catalog, user);

	if (p && (!known || strcmp(p->key_id, user)))
		peer_forget(p);
	if (!known)
		refuse(s, id, 0, "bad_key", "The connection's CURVE key is unknown or was revoked.");
	return known;
}

static void received(void *ctx, struct bus_sock *sock, struct bytes id, const char *user,
		     struct bytes body)
{
	Centraleta__V1__SubmitterFrame *m;
	struct submit *s = ctx;
	char reason[FRAME_REASON] = "";
	bool fit;

	(void)sock;
	if (s->curve && !user_stands(s, id, user))
		return;
	if (body.len > FRAME_MAX) {
		refuse(s, id, 0, "too_large", "A frame may have 262144 bytes.");
		return;
	}
	s->used = 0;
	fit = frame_fit(&centraleta__v1__submitter_frame__descriptor, body, REPEATED_MAX, reason);
	m = centraleta__v1__submitter_frame__unpack(&s->allocator, body.len, body.data);
	if (fit && m)
		take_frame(s, id, user, m);
	else
		refuse(s, id, number_of(m), "malformed", reason);
	if (m)
		centraleta__v1__submitter_frame__free_unpacked(m, &s->allocator);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* bus_admit_fn: a user is a key's id */
static enum bus_verdict admit(void *ctx, const char *key, char ret_user[static BUS_USER_MAX])
{
	const struct submit *s = ctx;
	const struct key *k = catalog_key_curve(s->in->catalog, key);

	if (!s->in->loaded)
		return BUS_NOT_YET;
	if (!k || !(k->submit || k->import))
		return BUS_UNKNOWN;
	if (k->revoked || k->door->town->retired)
		return BUS_REVOKED;
	snprintf(ret_user, BUS_USER_MAX, "%s", k->id);
	return BUS_ADMITTED;
}

static int bind_socket(struct submit *s, const char *key, const char *endpoint)
{
	/* larger than FRAME_MAX, so that a frame somewhat too large is told so, not cut off */
	const struct bus_limits limits = { .message_max = 4 * FRAME_MAX, .send_hwm = 8192,
					   .receive_hwm = 8192 };
	char real[BUS_ENDPOINT_MAX];
	int r = bus_sock_new(&s->sock, s->in->s->bus, BUS_ROUTER, &limits, received, s);

	if (r)
		return r;
	r = s->curve ? bus_serve(s->sock, endpoint, "intake.submit", admit, s, real) :
		       bus_bind(s->sock, endpoint, real);
	if (r)
		log_error("intake.listen", "key=%s endpoint=%s reason=\"%s\"", key, endpoint, bus_reason(r));
	else
		log_info("intake.listen", "submit=%s", real);
	return r;
}

static int submit_make(struct submit **ret, struct intake *in, bool curve, const char *key,
		       const char *endpoint)
{
	struct submit *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_here(-ENOMEM);
	s->in = in;
	s->curve = curve;
	s->allocator = (ProtobufCAllocator){ arena_alloc, arena_free, s };
	s->peers_max = (size_t)config_int(in->s->config, "intake.peers_max");
	s->window = (unsigned)config_int(in->s->config, "intake.window");
	list_init(&s->ages);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&s->buckets[i]);
	r = bind_socket(s, key, endpoint);
	if (r) {
		submit_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

int submit_new(struct submit **ret, struct intake *in, int which)
{
	const struct config *c = in->s->config;
	const char *local = config_str(c, "intake.submit_endpoint"), *tcp = config_str(c, "intake.submit_tcp");
	char made[300];

	if (which == SUBMIT_CURVE)
		return *tcp ? submit_make(ret, in, true, "intake.submit_tcp", tcp) : 0;
	snprintf(made, sizeof(made), "ipc://%s/intake.submit", config_str(c, "service.runtime_dir"));
	return submit_make(ret, in, false, "intake.submit_endpoint", *local ? local : made);
}

void submit_recheck(struct submit *s)
{
	if (s)
		bus_recheck(s->sock);
}

void submit_free(struct submit *s)
{
	struct peer *p;

	if (!s)
		return;
	list_for_each(p, &s->ages, age) {
		p->submit = NULL;
		list_init(&p->link);
		list_init(&p->age);
		if (!p->unanswered)
			free(p);
	}
	bus_sock_free(s->sock);
	buf_fini(&s->out);
	buf_fini(&s->text);
	free(s);
}
