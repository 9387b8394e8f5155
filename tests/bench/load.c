/*
 * load - posts forms at a steady rate over keep-alive connections and tells latencies
 *
 * Open loop: the n-th request is due at start + n / rate, and its latency counts from then, also
 * when no connection was free. RATE 0 is a closed loop: each connection posts again as soon as it was
 * answered. One line of JSON an interval; its "cpu" is the share of a core that load itself took.
 * What is refused (any status but 200) is counted and not tried again; "strange" are refusals that are no
 * 503 with Retry-After and Open311's list of errors. Plain epoll, one thread.
 *
 * usage: load PORT RATE SECONDS CONNECTIONS INTERVAL PREFIX FORMS [IDS]
 * FORMS: lines "api-key TAB form body", taken in turn. PREFIX begins the idempotency keys. IDS gets a
 * line "service_request_id due_us" (of CLOCK_MONOTONIC) for each request that was taken.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"

enum { ANSWER_MAX = 65536, LATENCIES_MAX = 4000000, CONNECTIONS_MAX = 1024 };

struct conn {
	int fd;
	bool busy;
	uint64_t due_us;
	struct buf out;
	char in[ANSWER_MAX];
	size_t in_len;
};

struct form {
	const char *key, *body;
};

struct load {
	int epoll, port;
	double rate;
	const char *prefix;
	struct form *forms;
	size_t forms_n;
	struct conn *conns;
	size_t conns_n;
	uint64_t start_us, sent, cpu_us;
	uint32_t *latencies;
	size_t n;
	uint64_t refused, strange, broken;
	FILE *ids;
	bool over; /* nothing more is sent */
};

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void connect_one(struct load *l, struct conn *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)l->port) };
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int on = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev))
		die("epoll_ctl");
	c->busy = false;
	c->in_len = 0;
}

static void read_forms(struct load *l, const char *path)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	if (!f)
		die(path);
	while ((len = getline(&line, &cap, f)) > 0) {
		char *copy = strndup(line, (size_t)len - (line[len - 1] == '\n')), *tab = strchr(copy, '\t');

		if (!tab)
			continue;
		*tab = '\0';
		l->forms = realloc(l->forms, (l->forms_n + 1) * sizeof(*l->forms));
		l->forms[l->forms_n++] = (struct form){ copy, tab + 1 };
	}
	free(line);
	fclose(f);
	if (!l->forms_n)
		die("no forms");
}

/* loopback takes a request of this size in one write */
static void send_next(struct load *l, struct conn *c, uint64_t due_us)
{
	const struct form *f = &l->forms[l->sent % l->forms_n];

	buf_reset(&c->out);
	buf_printf(&c->out,
		   "POST /open311/v2/requests.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
		   "Idempotency-Key: %s-%llu\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
		   "Content-Length: %zu\r\n\r\n%s",
		   f->key, l->prefix, (unsigned long long)l->sent, strlen(f->body), f->body);
	if (write(c->fd, c->out.data, c->out.len) != (ssize_t)c->out.len) {
		l->broken++;
		close(c->fd);
		connect_one(l, c);
		return;
	}
	l->sent++;
	c->busy = true;
	c->due_us = due_us;
}

/* true: a whole answer is in */
static bool whole(struct conn *c, int *ret_status)
{
	char *end, *length;

	c->in[c->in_len] = '\0';
	end = strstr(c->in, "\r\n\r\n");
	if (!end)
		return false;
	length = strcasestr(c->in, "\r\ncontent-length:");
	if (!length || length > end)
		return false;
	if (c->in_len < (size_t)(end + 4 - c->in) + strtoul(length + 17, NULL, 10))
		return false;
	*ret_status = atoi(c->in + 9);
	return true;
}

/* in holds one whole answer with its NUL */
static bool well_refused(const struct conn *c, int status)
{
	const char *body = strstr(c->in, "\r\n\r\n"), *after = strcasestr(c->in, "\r\nretry-after: ");

	return status == 503 && after && after < body && after[15] >= '1' && after[15] <= '9' &&
	       strcasestr(c->in, "\r\ncontent-type: application/json") && !strncmp(body + 4, "[{", 2) &&
	       strstr(body, "\"code\":") && strstr(body, "\"description\":") && strstr(body, "}]");
}

static void note_id(struct load *l, const struct conn *c)
{
	const char *name = "\"service_request_id\":", *id = strstr(c->in, name);

	if (!id)
		return;
	id += strlen(name) + strspn(id + strlen(name), "\" ");
	fprintf(l->ids, "%.*s %llu\n", (int)strspn(id, "0123456789"), id, (unsigned long long)c->due_us);
}

static void on_readable(struct load *l, struct conn *c)
{
	ssize_t n = read(c->fd, c->in + c->in_len, sizeof(c->in) - 1 - c->in_len);
	int status;

	if (n <= 0) {
		l->broken += c->busy;
		close(c->fd);
		connect_one(l, c);
		return;
	}
	c->in_len += (size_t)n;
	if (!whole(c, &status))
		return;
	if (status != 200) {
		l->refused++;
		l->strange += !well_refused(c, status);
	} else if (l->n < LATENCIES_MAX) {
		l->latencies[l->n++] = (uint32_t)MIN(clock_mono_us() - c->due_us, (uint64_t)UINT32_MAX);
	}
	if (l->ids && status == 200)
		note_id(l, c);
	c->busy = false;
	c->in_len = 0;
	if (l->rate == 0 && !l->over)
		send_next(l, c, clock_mono_us());
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint64_t own_cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void tell(struct load *l, double seconds)
{
	uint64_t cpu = own_cpu_us();

	qsort(l->latencies, l->n, sizeof(*l->latencies), by_value);
	printf("{\"seconds\": %.3f, \"answered\": %zu, \"refused\": %llu, \"strange\": %llu, \"broken\": %llu, \"p50_us\": %u, \"p99_us\": %u, \"cpu\": %.3f}\n",
	       seconds, l->n, (unsigned long long)l->refused, (unsigned long long)l->strange,
	       (unsigned long long)l->broken,
	       l->n ? l->latencies[l->n / 2] : 0, l->n ? l->latencies[l->n * 99 / 100] : 0,
	       (double)(cpu - l->cpu_us) / 1e6 / seconds);
	fflush(stdout);
	l->cpu_us = cpu;
	l->n = 0;
	l->refused = l->strange = l->broken = 0;
}

static struct conn *idle(struct load *l)
{
	for (size_t i = 0; i < l->conns_n; i++)
		if (!l->conns[i].busy)
			return &l->conns[i];
	return NULL;
}

/* returns how long to wait for the next one, at most a millisecond */
static uint64_t send_due(struct load *l, uint64_t now)
{
	struct conn *c;

	while (!l->over && (c = idle(l))) {
		uint64_t due = l->rate > 0 ? l->start_us + (uint64_t)((double)l->sent * 1e6 / l->rate) : now;

		if (due > now)
			return MIN(due - now, (uint64_t)1000);
		send_next(l, c, due);
	}
	return 1000;
}

static bool any_busy(const struct load *l)
{
	for (size_t i = 0; i < l->conns_n; i++)
		if (l->conns[i].busy)
			return true;
	return false;
}

static void run(struct load *l, double seconds, double interval)
{
	struct epoll_event events[64];
	struct timespec wait = { 0 };
	uint64_t end, now, told;

	told = l->start_us = clock_mono_us();
	end = l->start_us + (uint64_t)(seconds * 1e6);
	for (now = told; now < end || (any_busy(l) && now < end + 10000000); now = clock_mono_us()) {
		l->over = now >= end;
		wait.tv_nsec = (long)send_due(l, now) * 1000;
		int n = epoll_pwait2(l->epoll, events, ARRAY_SIZE(events), &wait, NULL);

		for (int i = 0; i < n; i++)
			on_readable(l, events[i].data.ptr);
		if (now - told >= (uint64_t)(interval * 1e6)) {
			tell(l, (double)(now - told) / 1e6);
			told = now;
		}
	}
	if (l->n || l->refused)
		tell(l, (double)(now - told) / 1e6);
}

int main(int argc, char **argv)
{
	struct load l = { .latencies = malloc(LATENCIES_MAX * sizeof(uint32_t)) };

	if (argc != 8 && argc != 9) {
		fputs("usage: load PORT RATE SECONDS CONNECTIONS INTERVAL PREFIX FORMS [IDS]\n", stderr);
		return 2;
	}
	prctl(PR_SET_TIMERSLACK, 1000);
	l.port = atoi(argv[1]);
	l.rate = strtod(argv[2], NULL);
	l.conns_n = MIN((size_t)atoi(argv[4]), (size_t)CONNECTIONS_MAX);
	l.prefix = argv[6];
	read_forms(&l, argv[7]);
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	l.conns = calloc(l.conns_n, sizeof(*l.conns));
	if (argc == 9 && !(l.ids = fopen(argv[8], "w")))
		die(argv[8]);
	if (!l.latencies || !l.conns || l.epoll < 0 || l.rate < 0)
		die("start");
	for (size_t i = 0; i < l.conns_n; i++)
		connect_one(&l, &l.conns[i]);
	run(&l, strtod(argv[3], NULL), strtod(argv[5], NULL));
	if (l.ids && fclose(l.ids))
		die(argv[8]);
	return 0; /* what is left belongs to the process */
}
