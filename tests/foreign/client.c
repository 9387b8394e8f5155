/*
 * A foreign client in C: libzmq, protobuf-c and what protoc-c made of the .proto files, nothing else.
 * It takes and says the same as client.py.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "centraleta/v1/dispatch.pb-c.h"
#include "centraleta/v1/intake.pb-c.h"

#define INTO(x) CENTRALETA__V1__INTAKE_FRAME__FRAME_##x
#define WORK(x) CENTRALETA__V1__DISPATCH_FRAME__FRAME_##x

enum {
	PING_MS = 1000, PATIENCE_MS = 2000, LIMIT_MS = 15000,
	KEY = 40, FRAME_MAX = 1 << 18, WINDOW_MAX = 4096, BATCH = 256,
	DENIED = 3, BROKEN = 4,
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(BROKEN);
}

/* ---- a DEALER under CURVE, what its monitor says, and whether stdin has ended --------------------- */

struct connection {
	void *socket, *monitor;
	bool leaving;
	uint8_t out[FRAME_MAX];
};

static void set_keys(void *socket, const char *path)
{
	static const int options[] = { ZMQ_CURVE_SERVERKEY, ZMQ_CURVE_PUBLICKEY, ZMQ_CURVE_SECRETKEY };
	char key[KEY + 2];
	FILE *f = fopen(path, "r");

	must(f, path);
	for (size_t i = 0; i < 3; i++) {
		must(fscanf(f, "%41s", key) == 1, path);
		must(!zmq_setsockopt(socket, options[i], key, KEY + 1), "CURVE");
	}
	fclose(f);
}

static void connection_open(struct connection *c, const char *endpoint, const char *keys)
{
	void *zmq = zmq_ctx_new();
	const int wait_ms = 1000;

	c->socket = zmq_socket(zmq, ZMQ_DEALER);
	must(c->socket, "socket");
	zmq_setsockopt(c->socket, ZMQ_LINGER, &wait_ms, sizeof(wait_ms));
	zmq_setsockopt(c->socket, ZMQ_SNDTIMEO, &wait_ms, sizeof(wait_ms));
	set_keys(c->socket, keys);
	must(!zmq_socket_monitor(c->socket, "inproc://monitor",
				 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_DISCONNECTED), "monitor");
	c->monitor = zmq_socket(zmq, ZMQ_PAIR);
	must(!zmq_connect(c->monitor, "inproc://monitor"), "monitor");
	must(!zmq_connect(c->socket, endpoint), endpoint);
}

static void connection_close(struct connection *c)
{
	zmq_close(c->monitor);
	zmq_close(c->socket);
	usleep(200000); /* exit() ends ZeroMQ's thread, and what it has not sent yet */
}

static void say(struct connection *c, const ProtobufCMessage *m)
{
	size_t len = protobuf_c_message_get_packed_size(m);

	must(len <= sizeof(c->out), "frame");
	protobuf_c_message_pack(m, c->out);
	(void)zmq_send(c->socket, c->out, len, 0); /* fails without a connection: the monitor says why */
}

static void look(struct connection *c)
{
	uint8_t event[6], endpoint[256];
	uint32_t value;
	uint16_t what;

	while (zmq_recv(c->monitor, event, sizeof(event), ZMQ_DONTWAIT) == sizeof(event)) {
		(void)zmq_recv(c->monitor, endpoint, sizeof(endpoint), 0);
		memcpy(&what, event, sizeof(what));
		memcpy(&value, event + sizeof(what), sizeof(value));
		if (what == ZMQ_EVENT_DISCONNECTED) {
			printf("closed\n");
			continue;
		}
		printf("denied %u\n", value);
		fflush(stdout);
		exit(DENIED);
	}
}

/* true: frames may be there */
static bool await(struct connection *c, long ms)
{
	zmq_pollitem_t items[] = { { c->socket, 0, ZMQ_POLLIN, 0 }, { c->monitor, 0, ZMQ_POLLIN, 0 },
				   { NULL, STDIN_FILENO, ZMQ_POLLIN, 0 } };
	char ignored[64];

	fflush(stdout);
	(void)zmq_poll(items, c->leaving ? 2 : 3, ms);
	if (!c->leaving && items[2].revents && read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0)
		c->leaving = true;
	look(c);
	return items[0].revents;
}

/* the next frame of descriptor, or NULL; protobuf_c_message_free_unpacked() */
static ProtobufCMessage *next(struct connection *c, const ProtobufCMessageDescriptor *descriptor)
{
	ProtobufCMessage *m = NULL;
	zmq_msg_t part;

	zmq_msg_init(&part);
	if (zmq_msg_recv(&part, c->socket, ZMQ_DONTWAIT) >= 0) {
		m = protobuf_c_message_unpack(descriptor, NULL, zmq_msg_size(&part), zmq_msg_data(&part));
		must(m, "unpack");
	}
	zmq_msg_close(&part);
	return m;
}

/* ---- intake.submit ----------------------------------------------------------------------------------- */

struct submission { /* a place in the window; number 0: free */
	uint64_t number;
	int64_t due_ms; /* to be said again */
};

struct submitter {
	struct connection connection;
	int32_t window;
	int64_t asked_ms;
	const char *prefix;
	char **codes;
	int n_codes;
	struct submission out[WINDOW_MAX];
	uint64_t next, count, done;
};

static void ask_open(struct submitter *s)
{
	Centraleta__V1__SubmitterFrame f = CENTRALETA__V1__SUBMITTER_FRAME__INIT;
	Centraleta__V1__Open open = CENTRALETA__V1__OPEN__INIT;

	if (s->window || now_ms() < s->asked_ms + 1000)
		return;
	s->asked_ms = now_ms();
	f.frame_case = CENTRALETA__V1__SUBMITTER_FRAME__FRAME_OPEN;
	f.open = &open;
	say(&s->connection, &f.base);
}

static void send_submission(struct submitter *s, struct submission *x)
{
	Centraleta__V1__SubmitterFrame f = CENTRALETA__V1__SUBMITTER_FRAME__INIT;
	Centraleta__V1__Submit m = CENTRALETA__V1__SUBMIT__INIT;
	Centraleta__V1__Place place = CENTRALETA__V1__PLACE__INIT;
	char key[128], text[128];

	snprintf(key, sizeof(key), "%s-%" PRIu64, s->prefix, x->number);
	snprintf(text, sizeof(text), "foreign %s %" PRIu64, s->prefix, x->number);
	place.lat = 41.98;
	place.long_ = 2.82;
	m.number = x->number;
	m.idempotency_key = key;
	m.service_code = s->codes[x->number % (uint64_t)s->n_codes];
	m.place = &place;
	m.description = text;
	f.frame_case = CENTRALETA__V1__SUBMITTER_FRAME__FRAME_SUBMIT;
	f.submit = &m;
	x->due_ms = now_ms() + 10000; /* no answer: the connection was closed. The key makes it one request */
	say(&s->connection, &f.base);
}

/* what is due again, and new ones as far as window and rate let */
static void fill(struct submitter *s, int64_t begun_ms, double rate)
{
	int64_t now = now_ms();

	for (struct submission *x = s->out; x < s->out + s->window; x++) {
		if (x->number && x->due_ms <= now) {
			send_submission(s, x);
		} else if (!x->number && s->next <= s->count &&
			   (rate <= 0 || (double)s->next - 1 < (double)(now - begun_ms) / 1000 * rate)) {
			x->number = s->next++;
			send_submission(s, x);
		}
	}
}

static struct submission *find(struct submitter *s, uint64_t number)
{
	for (struct submission *x = s->out; x < s->out + WINDOW_MAX; x++)
		if (number && x->number == number)
			return x;
	return NULL;
}

static void take_opened(struct submitter *s, const Centraleta__V1__IntakeFrame *f)
{
	if (f->frame_case == INTO(OPENED)) {
		s->window = f->opened->window < WINDOW_MAX ? f->opened->window : WINDOW_MAX;
		printf("opened %s\n", f->opened->jurisdiction_id);
	} else if (f->frame_case == INTO(REFUSED)) {
		printf("refused %s\n", f->refused->code);
		s->window = 0;
		if (strcmp(f->refused->code, "not_open"))
			exit(DENIED);
	}
}

static void take_answer(struct submitter *s, const Centraleta__V1__IntakeFrame *f)
{
	struct submission *x;

	switch (f->frame_case) {
	case INTO(BUSY):
		x = find(s, f->busy->number);
		if (x)
			x->due_ms = now_ms() + f->busy->retry_after_ms;
		return;
	case INTO(ACCEPTED):
		x = find(s, f->accepted->number);
		if (x)
			printf("accepted %" PRIu64 " %s\n", x->number, f->accepted->service_request_id);
		break;
	case INTO(REJECTED):
		x = find(s, f->rejected->number);
		if (x)
			printf("rejected %" PRIu64 " %s %s\n", x->number, f->rejected->errors[0]->field,
			       f->rejected->errors[0]->code);
		break;
	default:
		take_opened(s, f);
		return;
	}
	if (x) {
		x->number = 0;
		s->done++;
	}
}

static void take_answers(struct submitter *s, long ms)
{
	Centraleta__V1__IntakeFrame *f;

	if (!await(&s->connection, ms))
		return;
	while ((f = (void *)next(&s->connection, &centraleta__v1__intake_frame__descriptor))) {
		take_answer(s, f);
		centraleta__v1__intake_frame__free_unpacked(f, NULL);
	}
}

static void submit(char **argv, int argc)
{
	static struct submitter s;
	double rate = atof(argv[4]);
	int64_t begun_ms = now_ms();

	s.prefix = argv[2];
	s.count = strtoull(argv[3], NULL, 10);
	s.codes = argv + 5;
	s.n_codes = argc - 5;
	s.next = 1;
	connection_open(&s.connection, argv[0], argv[1]);
	while (s.done < s.count) {
		ask_open(&s);
		fill(&s, begun_ms, rate);
		take_answers(&s, rate > 0 ? 20 : 200);
	}
	printf("done %" PRIu64 "\n", s.done);
	connection_close(&s.connection);
}

static void hold(char **argv)
{
	static struct submitter s;

	connection_open(&s.connection, argv[0], argv[1]);
	while (!s.connection.leaving) {
		ask_open(&s);
		take_answers(&s, 200);
	}
}

/* ---- dispatch.work ----------------------------------------------------------------------------------- */

struct department {
	struct connection connection;
	const char *consumer, *service; /* service: NULL: all */
	bool live, over; /* over: refused for good */
	int32_t generation;
	int64_t said_ms, retry_ms;
	int64_t position, last; /* acknowledged and stored; received */
};

static void say_frame(struct department *d, int which, void *content)
{
	Centraleta__V1__DepartmentFrame f = CENTRALETA__V1__DEPARTMENT_FRAME__INIT;

	f.frame_case = (Centraleta__V1__DepartmentFrame__FrameCase)which;
	f.hello = content; /* one member of the union as good as another */
	say(&d->connection, &f.base);
}

static void hello(struct department *d)
{
	Centraleta__V1__Hello h = CENTRALETA__V1__HELLO__INIT;
	char *services[] = { (char *)d->service };

	h.consumer = (char *)d->consumer;
	h.services = services;
	h.n_services = d->service != NULL;
	d->live = false;
	d->retry_ms = now_ms() + 3000;
	say_frame(d, CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_HELLO, &h);
}

static void credit(struct department *d, int32_t more)
{
	Centraleta__V1__Credit c = CENTRALETA__V1__CREDIT__INIT;

	c.more = more;
	say_frame(d, CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_CREDIT, &c);
}

static void acknowledge(struct department *d, Centraleta__V1__DseqRange *ranges, size_t n)
{
	Centraleta__V1__DseqRange *list[BATCH];
	Centraleta__V1__Ack a = CENTRALETA__V1__ACK__INIT;

	for (size_t i = 0; i < n; i++)
		list[i] = &ranges[i];
	a.generation = d->generation;
	a.ranges = list;
	a.n_ranges = n;
	say_frame(d, CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_ACK, &a);
}

static void tick(struct department *d)
{
	Centraleta__V1__DepartmentPing ping = CENTRALETA__V1__DEPARTMENT_PING__INIT;
	int64_t now = now_ms();

	if (!d->live && !d->over && now > d->retry_ms)
		hello(d);
	if (!d->live || now <= d->said_ms + PING_MS)
		return;
	d->said_ms = now;
	say_frame(d, CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_PING, &ping);
}

static void take_refused(struct department *d, const Centraleta__V1__Refused *r)
{
	if (!strcmp(r->code, "not_hello")) {
		hello(d); /* the connection is a new one */
		return;
	}
	if (r->retry_after_ms) {
		d->live = false;
		d->retry_ms = now_ms() + r->retry_after_ms;
		return;
	}
	printf("refused %s %d %s\n", r->code, r->final, r->reason);
	d->over = r->final;
	d->live = d->live && !r->final;
}

static void take_work(struct department *d, const Centraleta__V1__Work *w)
{
	printf("work %" PRId64 " %" PRId64 " %d %s %s %" PRId64 "\n", w->dseq, w->prev, w->redelivered,
	       w->service_request_id, w->topic, w->work_item);
	d->last = w->dseq > d->last ? w->dseq : d->last;
}

static void take(struct department *d, const Centraleta__V1__DispatchFrame *f)
{
	switch (f->frame_case) {
	case WORK(WELCOME):
		d->live = true;
		d->generation = f->welcome->generation;
		d->position = d->last = f->welcome->position;
		printf("welcome %" PRId64 " %" PRId64 "\n", f->welcome->position, f->welcome->newest);
		break;
	case WORK(REFUSED):
		take_refused(d, f->refused);
		break;
	case WORK(ACK_STORED):
		d->position = f->ack_stored->position;
		break;
	case WORK(FENCED):
		printf("fenced\n");
		break;
	case WORK(GONE):
		printf("gone\n");
		break;
	default:
		break;
	}
}

/* up to a batch of frames */
static void take_batch(struct department *d)
{
	Centraleta__V1__DseqRange ranges[BATCH];
	Centraleta__V1__DispatchFrame *f;
	size_t works = 0;

	while (works < BATCH && (f = (void *)next(&d->connection, &centraleta__v1__dispatch_frame__descriptor))) {
		take(d, f);
		if (f->frame_case == WORK(WELCOME))
			credit(d, f->welcome->credit_max);
		if (f->frame_case == WORK(WORK)) {
			take_work(d, f->work);
			centraleta__v1__dseq_range__init(&ranges[works]);
			ranges[works].first = ranges[works].last = f->work->dseq;
			works++;
		}
		centraleta__v1__dispatch_frame__free_unpacked(f, NULL);
	}
	fflush(stdout); /* written down first */
	if (works)
		acknowledge(d, ranges, works);
	if (works && !d->connection.leaving)
		credit(d, (int32_t)works);
}

static void subscribe(char **argv)
{
	static struct department d;
	Centraleta__V1__Bye bye = CENTRALETA__V1__BYE__INIT;

	d.consumer = argv[2];
	connection_open(&d.connection, argv[0], argv[1]);
	hello(&d);
	while (!d.connection.leaving || d.position < d.last) {
		tick(&d);
		if (await(&d.connection, 200))
			take_batch(&d);
	}
	say_frame(&d, CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_BYE, &bye);
	printf("left %" PRId64 "\n", d.position);
	fflush(stdout);
	connection_close(&d.connection);
}

/* ---- what must be refused ---------------------------------------------------------------------------- */

static void attempt_update(struct department *d, const char *item)
{
	Centraleta__V1__Update u = CENTRALETA__V1__UPDATE__INIT;
	char id[128];

	snprintf(id, sizeof(id), "%s-%s", d->consumer, item);
	u.update_id = id;
	u.work_item = strtoll(item, NULL, 10);
	u.kind = CENTRALETA__V1__UPDATE_KIND__UPDATE_KIND_ACCEPT;
	say_frame(d, CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_UPDATE, &u);
}

static void attempt_ack(struct department *d, const char *dseq)
{
	Centraleta__V1__DseqRange range = CENTRALETA__V1__DSEQ_RANGE__INIT;

	range.first = 1;
	range.last = strtoll(dseq, NULL, 10);
	acknowledge(d, &range, 1);
}

/* true: refused, that's it */
static bool take_attempt(struct department *d, const Centraleta__V1__DispatchFrame *f, const char *what,
			 const char *arg)
{
	take(d, f);
	if (f->frame_case == WORK(WELCOME) && !strcmp(what, "update"))
		attempt_update(d, arg);
	if (f->frame_case == WORK(WELCOME) && !strcmp(what, "ack"))
		attempt_ack(d, arg);
	if (f->frame_case == WORK(UPDATE_STORED))
		printf("update_stored\n");
	if (f->frame_case == WORK(ACK_STORED))
		printf("ack_stored\n");
	if (f->frame_case == WORK(WORK))
		printf("work\n");
	return f->frame_case == WORK(REFUSED) && !f->refused->retry_after_ms && (d->live || f->refused->final);
}

static void attempt(char **argv)
{
	static struct department d;
	Centraleta__V1__DispatchFrame *f;
	int64_t end = now_ms() + LIMIT_MS;
	bool refused = false;

	d.consumer = argv[2];
	d.service = strcmp(argv[3], "topic") ? NULL : argv[4];
	connection_open(&d.connection, argv[0], argv[1]);
	hello(&d);
	while (!refused && now_ms() < end) {
		tick(&d);
		if (!await(&d.connection, 200))
			continue;
		while (!refused && (f = (void *)next(&d.connection, &centraleta__v1__dispatch_frame__descriptor))) {
			refused = take_attempt(&d, f, argv[3], argv[4]);
			if (f->frame_case == WORK(WELCOME))
				end = now_ms() + PATIENCE_MS;
			centraleta__v1__dispatch_frame__free_unpacked(f, NULL);
		}
	}
	if (!refused)
		printf("nothing\n");
}

int main(int argc, char **argv)
{
	const char *command = argc > 3 ? argv[1] : "";

	if (!strcmp(command, "submit") && argc > 7)
		submit(argv + 2, argc - 2);
	else if (!strcmp(command, "open"))
		hold(argv + 2);
	else if (!strcmp(command, "subscribe") && argc == 5)
		subscribe(argv + 2);
	else if (!strcmp(command, "try") && argc == 7)
		attempt(argv + 2);
	else
		return 2;
	return 0;
}
