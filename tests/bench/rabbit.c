/*
 * rabbit - publishes to a durable queue of RabbitMQ with confirms, or takes from it with acknowledgements
 *
 * usage: rabbit publish PORT QUEUE TYPE BYTES RATE SECONDS WINDOW [OUT]
 *        rabbit consume PORT QUEUE TYPE OUT
 * TYPE: quorum or classic. publish: persistent messages of BYTES, at most WINDOW unconfirmed; RATE 0: as
 * fast as confirms come, else open loop with latency from when each was due; what the queue held is
 * thrown away first; prints a line of JSON. OUT:
 * lines "number due_us". consume: a line "service_request_id received_us" for each, till it is killed.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>

#include "common/base/clock.h"

enum { CHANNEL = 1, PREFETCH = 2000, ACK_EVERY = 64, LATENCIES_MAX = 8000000, RING = 1 << 16 };

static amqp_connection_state_t conn;

static void die(const char *what)
{
	fprintf(stderr, "rabbit: %s\n", what);
	exit(1);
}

static void check(amqp_rpc_reply_t r, const char *what)
{
	if (r.reply_type != AMQP_RESPONSE_NORMAL)
		die(what);
}

static void connect_to(int port, const char *queue, const char *type)
{
	amqp_table_entry_t entry = { amqp_cstring_bytes("x-queue-type"),
				     { AMQP_FIELD_KIND_UTF8, { .bytes = amqp_cstring_bytes(type) } } };
	amqp_table_t args = { 1, &entry };
	amqp_socket_t *s;

	conn = amqp_new_connection();
	s = amqp_tcp_socket_new(conn);
	if (!s || amqp_socket_open(s, "127.0.0.1", port))
		die("connect");
	check(amqp_login(conn, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"), "login");
	amqp_channel_open(conn, CHANNEL);
	check(amqp_get_rpc_reply(conn), "channel");
	amqp_queue_declare(conn, CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0, args);
	check(amqp_get_rpc_reply(conn), "queue");
}

struct publisher {
	double rate;
	uint64_t start_us, sent, confirmed, window;
	uint64_t due_us[RING];
	uint32_t *latencies;
	amqp_bytes_t queue, body;
	FILE *out;
};

static void publish_one(struct publisher *p, uint64_t due_us)
{
	amqp_basic_properties_t props = { ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2 };

	p->due_us[++p->sent % RING] = due_us;
	snprintf(p->body.bytes, p->body.len, "{\"service_request_id\":\"%llu\"}", (unsigned long long)p->sent);
	if (p->out)
		fprintf(p->out, "%llu %llu\n", (unsigned long long)p->sent, (unsigned long long)due_us);
	if (amqp_basic_publish(conn, CHANNEL, amqp_empty_bytes, p->queue, 0, 0, &props, p->body))
		die("publish");
}

static void confirmed_upto(struct publisher *p, uint64_t tag)
{
	uint64_t now = clock_mono_us();

	while (p->confirmed < tag) {
		p->confirmed++;
		if (p->confirmed < LATENCIES_MAX)
			p->latencies[p->confirmed - 1] = (uint32_t)(now - p->due_us[p->confirmed % RING]);
	}
}

/* Confirms of a queue come in order but for classic queues under load; a single one then counts as up
 * to it, when all before it came. */
static void take_confirms(struct publisher *p, uint64_t wait_us)
{
	static uint64_t early[RING];
	struct timespec wait = { .tv_nsec = (long)wait_us * 1000 };
	struct pollfd socket = { .fd = amqp_get_sockfd(conn), .events = POLLIN };
	struct timeval none = { 0 };
	amqp_frame_t f;

	/* the library's own waiting knows milliseconds alone, and turns round and round for less */
	if (!amqp_frames_enqueued(conn) && !amqp_data_in_buffer(conn) && ppoll(&socket, 1, &wait, NULL) <= 0)
		return;
	while (amqp_simple_wait_frame_noblock(conn, &f, &none) == AMQP_STATUS_OK) {
		if (f.frame_type != AMQP_FRAME_METHOD || f.payload.method.id != AMQP_BASIC_ACK_METHOD)
			die("not confirmed");
		const amqp_basic_ack_t *a = f.payload.method.decoded;

		if (a->multiple)
			confirmed_upto(p, a->delivery_tag);
		else
			early[a->delivery_tag % RING] = a->delivery_tag;
		while (early[(p->confirmed + 1) % RING] == p->confirmed + 1)
			confirmed_upto(p, p->confirmed + 1);
		amqp_maybe_release_buffers(conn);
	}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void tell(struct publisher *p, double seconds)
{
	size_t n = MIN(p->confirmed, (uint64_t)LATENCIES_MAX);
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	qsort(p->latencies, n, sizeof(*p->latencies), by_value);
	printf("{\"seconds\": %.3f, \"answered\": %llu, \"p50_us\": %u, \"p99_us\": %u, \"cpu\": %.3f}\n", seconds,
	       (unsigned long long)p->confirmed, n ? p->latencies[n / 2] : 0, n ? p->latencies[n * 99 / 100] : 0,
	       ((double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6) / seconds);
}

static void publish(struct publisher *p, double seconds)
{
	uint64_t now, end, due, wait;

	amqp_queue_purge(conn, CHANNEL, p->queue);
	amqp_confirm_select(conn, CHANNEL);
	check(amqp_get_rpc_reply(conn), "confirms");
	p->start_us = clock_mono_us();
	end = p->start_us + (uint64_t)(seconds * 1e6);
	for (now = p->start_us; now < end || (p->confirmed < p->sent && now < end + 10000000); now = clock_mono_us()) {
		wait = 1000;
		while (now < end && p->sent - p->confirmed < p->window) {
			due = p->rate > 0 ? p->start_us + (uint64_t)((double)p->sent * 1e6 / p->rate) : now;
			if (due > now) {
				wait = MIN(due - now, wait);
				break;
			}
			publish_one(p, due);
		}
		take_confirms(p, wait);
	}
	tell(p, (double)(now - p->start_us) / 1e6);
}

static void consume(const char *queue, FILE *out)
{
	const char *name = "\"service_request_id\":\"";

	amqp_basic_qos(conn, CHANNEL, 0, PREFETCH, 0);
	amqp_basic_consume(conn, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
	check(amqp_get_rpc_reply(conn), "consume");
	puts("ready");
	fflush(stdout);
	for (uint64_t n = 1, acked = 0, tag = 0;; n++) {
		struct timeval soon = { 0, 2000 };
		amqp_envelope_t e;
		amqp_rpc_reply_t r = amqp_consume_message(conn, &e, acked < tag ? &soon : NULL, 0);

		if (r.reply_type == AMQP_RESPONSE_NORMAL) {
			const char *id = memmem(e.message.body.bytes, e.message.body.len, name, strlen(name));

			if (id)
				fprintf(out, "%.*s %llu\n", (int)strspn(id + strlen(name), "0123456789"),
					id + strlen(name), (unsigned long long)clock_mono_us());
			tag = e.delivery_tag;
			amqp_destroy_envelope(&e);
		} else if (r.library_error != AMQP_STATUS_TIMEOUT) {
			die("take");
		}
		if (tag - acked >= ACK_EVERY || (tag > acked && r.reply_type != AMQP_RESPONSE_NORMAL)) {
			fflush(out);
			amqp_basic_ack(conn, CHANNEL, tag, 1);
			acked = tag;
		}
		amqp_maybe_release_buffers(conn);
	}
}

int main(int argc, char **argv)
{
	static struct publisher p;
	bool publishes = argc >= 9 && !strcmp(argv[1], "publish");

	if (!publishes && (argc != 6 || strcmp(argv[1], "consume"))) {
		fputs("usage: rabbit publish PORT QUEUE TYPE BYTES RATE SECONDS WINDOW [OUT]\n"
		      "       rabbit consume PORT QUEUE TYPE OUT\n", stderr);
		return 2;
	}
	connect_to(atoi(argv[2]), argv[3], argv[4]);
	if (!publishes) {
		FILE *out = fopen(argv[5], "w");

		if (!out)
			die(argv[5]);
		consume(argv[3], out);
	}
	prctl(PR_SET_TIMERSLACK, 1000);
	p.queue = amqp_cstring_bytes(argv[3]);
	p.body = amqp_bytes_malloc(MAX((size_t)atoi(argv[5]), (size_t)64));
	memset(p.body.bytes, ' ', p.body.len);
	p.rate = strtod(argv[6], NULL);
	p.window = MIN((uint64_t)atoi(argv[8]), (uint64_t)RING / 2);
	p.latencies = malloc(LATENCIES_MAX * sizeof(*p.latencies));
	p.out = argc > 9 ? fopen(argv[9], "w") : NULL;
	publish(&p, strtod(argv[7], NULL));
	return p.out && fclose(p.out);
}
