/*
 * submit - sends requests to intake.submit with full windows and tells how fast they are accepted
 *
 * usage: submit ENDPOINT SENDERS WINDOW SECONDS PREFIX FORMS
 * Each sender is a connection of its own with WINDOW submissions unanswered; senders take the keys of
 * FORMS (as for load) in turn. What is Busy is counted and its place is taken by another one. Prints a
 * line of JSON at the end.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <zmq.h>

#include "centraleta/v1/intake.pb-c.h"
#include "common/base/clock.h"

enum { SENDERS_MAX = 16, WINDOW_MAX = 4096, FRAME_MAX = 65536, LATENCIES_MAX = 16000000, KEYS_MAX = 8 };

struct form {
	const char *key;
	char *service_code, *address, *description, *email;
	double lat, lon;
};

struct sender {
	void *socket;
	const char *key;
	size_t next; /* of the forms */
	uint64_t sent_us[WINDOW_MAX]; /* by number */
	uint32_t free[WINDOW_MAX];
	size_t free_n;
};

static struct form *forms;
static size_t forms_n;
static const char *prefix, *keys[KEYS_MAX];
static size_t keys_n;
static uint64_t sent, answered, busy, rejected;
static uint32_t *latencies;

static void die(const char *what)
{
	fprintf(stderr, "submit: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void decode(char *s)
{
	char *to = s, hex[3] = "";

	for (; *s; s++, to++) {
		if (*s == '%' && s[1] && s[2]) {
			memcpy(hex, s + 1, 2);
			*to = (char)strtol(hex, NULL, 16);
			s += 2;
		} else {
			*to = *s == '+' ? ' ' : *s;
		}
	}
	*to = '\0';
}

static void take_field(struct form *f, const char *name, char *value)
{
	decode(value);
	if (!strcmp(name, "service_code"))
		f->service_code = value;
	else if (!strcmp(name, "address_string"))
		f->address = value;
	else if (!strcmp(name, "description"))
		f->description = value;
	else if (!strcmp(name, "email"))
		f->email = value;
	else if (!strcmp(name, "lat"))
		f->lat = strtod(value, NULL);
	else if (!strcmp(name, "long"))
		f->lon = strtod(value, NULL);
}

static const char *known_key(const char *key)
{
	for (size_t i = 0; i < keys_n; i++)
		if (!strcmp(keys[i], key))
			return keys[i];
	if (keys_n == KEYS_MAX)
		die("too many keys");
	return keys[keys_n++] = key;
}

static void read_forms(const char *path)
{
	FILE *in = fopen(path, "r");
	char *line = NULL, *rest, *pair;
	size_t cap = 0;
	ssize_t len;

	if (!in)
		die(path);
	while ((len = getline(&line, &cap, in)) > 0) {
		char *copy = strndup(line, (size_t)len - (line[len - 1] == '\n')), *tab = strchr(copy, '\t');
		struct form f = { .service_code = (char *)"", .address = (char *)"", .description = (char *)"",
				  .email = (char *)"" };

		if (!tab)
			continue;
		*tab = '\0';
		f.key = known_key(copy);
		for (rest = tab + 1; (pair = strsep(&rest, "&"));) {
			char *value = strchr(pair, '=');

			if (value)
				*value = '\0', take_field(&f, pair, value + 1);
		}
		forms = realloc(forms, (forms_n + 1) * sizeof(*forms));
		forms[forms_n++] = f;
	}
	free(line);
	fclose(in);
}

static void say(struct sender *s, const Centraleta__V1__SubmitterFrame *f)
{
	zmq_msg_t m;

	zmq_msg_init_size(&m, centraleta__v1__submitter_frame__get_packed_size(f));
	centraleta__v1__submitter_frame__pack(f, zmq_msg_data(&m));
	if (zmq_msg_send(&m, s->socket, 0) < 0)
		die("zmq_msg_send");
}

static const struct form *next_form(struct sender *s)
{
	do
		s->next = (s->next + 1) % forms_n;
	while (strcmp(forms[s->next].key, s->key));
	return &forms[s->next];
}

static void submit_one(struct sender *s)
{
	Centraleta__V1__Submit m = CENTRALETA__V1__SUBMIT__INIT;
	Centraleta__V1__Place place = CENTRALETA__V1__PLACE__INIT;
	Centraleta__V1__SubmitterFrame f = CENTRALETA__V1__SUBMITTER_FRAME__INIT;
	const struct form *form = next_form(s);
	char key[128];

	snprintf(key, sizeof(key), "%s-%llu", prefix, (unsigned long long)sent++);
	place.lat = form->lat;
	place.long_ = form->lon;
	m.number = s->free[--s->free_n];
	m.idempotency_key = key;
	m.service_code = form->service_code;
	m.place = &place;
	m.address_string = form->address;
	m.description = form->description;
	m.email = form->email;
	f.frame_case = CENTRALETA__V1__SUBMITTER_FRAME__FRAME_SUBMIT;
	f.submit = &m;
	s->sent_us[m.number] = clock_mono_us();
	say(s, &f);
}

static void take(struct sender *s, const Centraleta__V1__IntakeFrame *f)
{
	uint64_t number;

	if (f->frame_case == CENTRALETA__V1__INTAKE_FRAME__FRAME_ACCEPTED) {
		number = f->accepted->number;
		if (answered < LATENCIES_MAX)
			latencies[answered] = (uint32_t)(clock_mono_us() - s->sent_us[number]);
		answered++;
	} else if (f->frame_case == CENTRALETA__V1__INTAKE_FRAME__FRAME_BUSY) {
		number = f->busy->number;
		busy++;
	} else if (f->frame_case == CENTRALETA__V1__INTAKE_FRAME__FRAME_REJECTED) {
		number = f->rejected->number;
		rejected++;
	} else {
		return;
	}
	s->free[s->free_n++] = (uint32_t)number;
}

static void read_all(struct sender *s)
{
	zmq_msg_t m;

	zmq_msg_init(&m);
	while (zmq_msg_recv(&m, s->socket, ZMQ_DONTWAIT) >= 0) {
		Centraleta__V1__IntakeFrame *f =
			centraleta__v1__intake_frame__unpack(NULL, zmq_msg_size(&m), zmq_msg_data(&m));

		if (!f || f->frame_case == CENTRALETA__V1__INTAKE_FRAME__FRAME_REFUSED)
			die(f ? f->refused->code : "a frame that can't be read");
		take(s, f);
		centraleta__v1__intake_frame__free_unpacked(f, NULL);
	}
	zmq_msg_close(&m);
}

static void open_one(struct sender *s, void *context, const char *endpoint, const char *key, size_t window)
{
	Centraleta__V1__Open o = CENTRALETA__V1__OPEN__INIT;
	Centraleta__V1__SubmitterFrame f = CENTRALETA__V1__SUBMITTER_FRAME__INIT;

	s->key = key;
	s->socket = zmq_socket(context, ZMQ_DEALER);
	if (!s->socket || zmq_connect(s->socket, endpoint))
		die(endpoint);
	o.api_key = (char *)key;
	f.frame_case = CENTRALETA__V1__SUBMITTER_FRAME__FRAME_OPEN;
	f.open = &o;
	say(s, &f);
	while (s->free_n < window) {
		s->free[s->free_n] = (uint32_t)s->free_n;
		s->free_n++;
	}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void tell(double seconds)
{
	size_t n = MIN(answered, (uint64_t)LATENCIES_MAX);
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	qsort(latencies, n, sizeof(*latencies), by_value);
	printf("{\"seconds\": %.3f, \"answered\": %llu, \"busy\": %llu, \"refused\": %llu, \"p50_us\": %u, \"p99_us\": %u, \"cpu\": %.3f}\n",
	       seconds, (unsigned long long)answered, (unsigned long long)busy, (unsigned long long)rejected,
	       n ? latencies[n / 2] : 0, n ? latencies[n * 99 / 100] : 0,
	       ((double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6) / seconds);
}

int main(int argc, char **argv)
{
	static struct sender senders[SENDERS_MAX];
	zmq_pollitem_t items[SENDERS_MAX];
	void *context = zmq_ctx_new();
	uint64_t start, now, end;

	if (argc != 7 || atoi(argv[2]) > SENDERS_MAX || atoi(argv[3]) > WINDOW_MAX) {
		fputs("usage: submit ENDPOINT SENDERS WINDOW SECONDS PREFIX FORMS\n", stderr);
		return 2;
	}
	int n = atoi(argv[2]);

	prefix = argv[5];
	read_forms(argv[6]);
	latencies = malloc(LATENCIES_MAX * sizeof(*latencies));
	for (int i = 0; i < n; i++) {
		open_one(&senders[i], context, argv[1], keys[(size_t)i % keys_n], (size_t)atoi(argv[3]));
		items[i] = (zmq_pollitem_t){ .socket = senders[i].socket, .events = ZMQ_POLLIN };
	}
	start = clock_mono_us();
	end = start + (uint64_t)(strtod(argv[4], NULL) * 1e6);
	for (now = start; now < end || (answered + busy + rejected < sent && now < end + 10000000); now = clock_mono_us()) {
		for (int i = 0; i < n; i++)
			while (now < end && senders[i].free_n)
				submit_one(&senders[i]);
		if (zmq_poll(items, n, 10) < 0)
			die("zmq_poll");
		for (int i = 0; i < n; i++)
			if (items[i].revents & ZMQ_POLLIN)
				read_all(&senders[i]);
	}
	tell((double)(now - start) / 1e6);
	return 0;
}
