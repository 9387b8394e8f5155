/*
 * subscriber - all departments of some towns in one process: acknowledges work and notes when it came
 *
 * As docs/examples/subscriber.py, in C, because Python's would take the processor that is to be measured.
 * usage: subscriber ENDPOINT OUT KEY_FILE…
 * OUT gets a line "service_request_id received_us" (of CLOCK_MONOTONIC) for each piece of work, written
 * before it is acknowledged. Prints "ready" when every department was welcomed; ends when it is killed.
 */
#include <errno.h>
#include <stdio.h>
#include <zmq.h>

#include "centraleta/v1/dispatch.pb-c.h"
#include "common/base/clock.h"

enum { DEPARTMENTS_MAX = 256, FRAME_MAX = 65536, BURST_MAX = 256, PING_US = 2000000 };

struct department {
	void *socket;
	char key[256];
	bool welcomed, asked;
	int64_t newest; /* what comes a second time isn't noted again */
	uint64_t said_us, ask_at_us;
};

static FILE *out;

static void die(const char *what)
{
	fprintf(stderr, "subscriber: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void say(struct department *d, const Centraleta__V1__DepartmentFrame *f)
{
	uint8_t bytes[FRAME_MAX];
	size_t len = centraleta__v1__department_frame__pack(f, bytes);

	if (zmq_send(d->socket, bytes, len, 0) < 0)
		die("zmq_send");
	d->said_us = clock_mono_us();
}

static void hello(struct department *d)
{
	Centraleta__V1__Hello h = CENTRALETA__V1__HELLO__INIT;
	Centraleta__V1__DepartmentFrame f = CENTRALETA__V1__DEPARTMENT_FRAME__INIT;

	h.api_key = d->key;
	h.consumer = (char *)"bench";
	f.frame_case = CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_HELLO;
	f.hello = &h;
	say(d, &f);
	d->asked = true;
}

static void credit(struct department *d, int more)
{
	Centraleta__V1__Credit c = CENTRALETA__V1__CREDIT__INIT;
	Centraleta__V1__DepartmentFrame f = CENTRALETA__V1__DEPARTMENT_FRAME__INIT;

	c.more = more;
	f.frame_case = CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_CREDIT;
	f.credit = &c;
	say(d, &f);
}

static void ping(struct department *d)
{
	Centraleta__V1__DepartmentPing p = CENTRALETA__V1__DEPARTMENT_PING__INIT;
	Centraleta__V1__DepartmentFrame f = CENTRALETA__V1__DEPARTMENT_FRAME__INIT;

	f.frame_case = CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_PING;
	f.ping = &p;
	say(d, &f);
}

/* neighbouring numbers become one range */
static void acknowledge(struct department *d, int generation, const int64_t *dseqs, size_t n)
{
	Centraleta__V1__DseqRange ranges[BURST_MAX], *list[BURST_MAX];
	Centraleta__V1__Ack a = CENTRALETA__V1__ACK__INIT;
	Centraleta__V1__DepartmentFrame f = CENTRALETA__V1__DEPARTMENT_FRAME__INIT;

	for (size_t i = 0; i < n; i++) {
		if (a.n_ranges && ranges[a.n_ranges - 1].last + 1 == dseqs[i]) {
			ranges[a.n_ranges - 1].last = dseqs[i];
			continue;
		}
		list[a.n_ranges] = &ranges[a.n_ranges];
		ranges[a.n_ranges++] = (Centraleta__V1__DseqRange){
			PROTOBUF_C_MESSAGE_INIT(&centraleta__v1__dseq_range__descriptor), dseqs[i], dseqs[i] };
	}
	a.generation = generation;
	a.ranges = list;
	f.frame_case = CENTRALETA__V1__DEPARTMENT_FRAME__FRAME_ACK;
	f.ack = &a;
	say(d, &f);
	credit(d, (int)n);
}

static void take_other(struct department *d, const Centraleta__V1__DispatchFrame *f)
{
	if (f->frame_case == CENTRALETA__V1__DISPATCH_FRAME__FRAME_WELCOME) {
		d->welcomed = true;
		credit(d, f->welcome->credit_max);
	} else if (f->frame_case == CENTRALETA__V1__DISPATCH_FRAME__FRAME_REFUSED) {
		if (d->welcomed) /* before, dispatch may not know a new key yet */
			fprintf(stderr, "subscriber: %s %s\n", f->refused->code, f->refused->reason);
		d->asked = false;
		d->ask_at_us = clock_mono_us() + 100000;
	}
}

/* false: nothing is there */
static bool read_one(struct department *d, int64_t *dseqs, size_t *n, int *generation)
{
	zmq_msg_t m;

	zmq_msg_init(&m);
	if (zmq_msg_recv(&m, d->socket, ZMQ_DONTWAIT) < 0)
		return false;
	uint64_t now = clock_mono_us();
	Centraleta__V1__DispatchFrame *f =
		centraleta__v1__dispatch_frame__unpack(NULL, zmq_msg_size(&m), zmq_msg_data(&m));

	if (!f)
		die("a frame that can't be read");
	if (f->frame_case == CENTRALETA__V1__DISPATCH_FRAME__FRAME_WORK) {
		if (f->work->dseq > d->newest)
			fprintf(out, "%s %llu\n", f->work->service_request_id, (unsigned long long)now);
		d->newest = MAX(d->newest, f->work->dseq);
		*generation = f->work->generation;
		dseqs[(*n)++] = f->work->dseq;
	} else {
		take_other(d, f);
	}
	centraleta__v1__dispatch_frame__free_unpacked(f, NULL);
	zmq_msg_close(&m);
	return true;
}

static void read_all(struct department *d)
{
	int64_t dseqs[BURST_MAX];
	size_t n = 0;
	int generation = 0;

	while (n < BURST_MAX && read_one(d, dseqs, &n, &generation))
		;
	if (!n)
		return;
	fflush(out);
	acknowledge(d, generation, dseqs, n);
}

static void connect_one(void *context, struct department *d, const char *endpoint, const char *key_file)
{
	FILE *f = fopen(key_file, "r");
	int unlimited = 0;

	if (!f || !fgets(d->key, sizeof(d->key), f))
		die(key_file);
	fclose(f);
	d->key[strcspn(d->key, "\n")] = '\0';
	d->socket = zmq_socket(context, ZMQ_DEALER);
	if (!d->socket || zmq_setsockopt(d->socket, ZMQ_RCVHWM, &unlimited, sizeof(unlimited)) ||
	    zmq_connect(d->socket, endpoint))
		die(endpoint);
}

static void turn(struct department *d, uint64_t now)
{
	if (!d->asked && now >= d->ask_at_us)
		hello(d);
	else if (now - d->said_us > PING_US)
		ping(d);
}

int main(int argc, char **argv)
{
	static struct department all[DEPARTMENTS_MAX];
	static zmq_pollitem_t items[DEPARTMENTS_MAX];
	size_t n = (size_t)MAX(argc - 3, 0), welcomed = 0;
	void *context = zmq_ctx_new();

	if (argc < 4 || n > DEPARTMENTS_MAX || !(out = fopen(argv[2], "w"))) {
		fputs("usage: subscriber ENDPOINT OUT KEY_FILE...\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < n; i++) {
		connect_one(context, &all[i], argv[1], argv[3 + i]);
		items[i] = (zmq_pollitem_t){ .socket = all[i].socket, .events = ZMQ_POLLIN };
	}
	for (;;) {
		if (zmq_poll(items, (int)n, 50) < 0 && errno != EINTR)
			die("zmq_poll");
		uint64_t now = clock_mono_us();
		size_t before = welcomed;

		welcomed = 0;
		for (size_t i = 0; i < n; i++) {
			if (items[i].revents & ZMQ_POLLIN)
				read_all(&all[i]);
			turn(&all[i], now);
			welcomed += all[i].welcomed;
		}
		if (welcomed == n && before < n) {
			puts("ready");
			fflush(stdout);
		}
	}
}
