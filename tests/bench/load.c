/*
 * load - posts forms at a steady rate over keep-alive connections and tells latencies
 *
 * Open loop: the n-th request is due at start + n / rate, and its latency counts from then, also
 * when no connection was free. One line of JSON an interval. What is refused (any status but 200)
 * is counted and not tried again. Plain epoll, one thread.
 *
 * usage: load PORT RATE SECONDS CONNECTIONS INTERVAL PREFIX FORMS
 * FORMS: lines "api-key TAB form body", taken in turn. PREFIX begins the idempotency keys.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
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
	uint64_t start_us, sent;
	uint32_t *latencies;
	size_t n;
	uint64_t refused, broken;
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
	if (status != 200)
		l->refused++;
	else if (l->n < LATENCIES_MAX)
		l->latencies[l->n++] = (uint32_t)MIN(clock_mono_us() - c->due_us, (uint64_t)UINT32_MAX);
	c->busy = false;
	c->in_len = 0;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void tell(struct load *l, double seconds)
{
	qsort(l->latencies, l->n, sizeof(*l->latencies), by_value);
	printf("{\"seconds\": %.3f, \"answered\": %zu, \"refused\": %llu, \"broken\": %llu, \"p50_us\": %u, \"p99_us\": %u}\n",
	       seconds, l->n, (unsigned long long)l->refused, (unsigned long long)l->broken,
	       l->n ? l->latencies[l->n / 2] : 0, l->n ? l->latencies[l->n * 99 / 100] : 0);
	fflush(stdout);
	l->n = 0;
	l->refused = l->broken = 0;
}

static struct conn *idle(struct load *l)
{
	for (size_t i = 0; i < l->conns_n; i++)
		if (!l->conns[i].busy)
			return &l->conns[i];
	return NULL;
}

static void send_due(struct load *l, uint64_t now, bool last)
{
	struct conn *c;

	while (!last && (c = idle(l))) {
		uint64_t due = l->start_us + (uint64_t)((double)l->sent * 1e6 / l->rate);

		if (due > now)
			return;
		send_next(l, c, due);
	}
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
	uint64_t end, now, told;

	told = l->start_us = clock_mono_us();
	end = l->start_us + (uint64_t)(seconds * 1e6);
	for (now = told; now < end || (any_busy(l) && now < end + 10000000); now = clock_mono_us()) {
		send_due(l, now, now >= end);
		int n = epoll_wait(l->epoll, events, ARRAY_SIZE(events), 1);

		for (int i = 0; i < n; i++)
			on_readable(l, events[i].data.ptr);
		if (now - told >= (uint64_t)(interval * 1e6)) {
			tell(l, (double)(now - told) / 1e6);
			told = now;
		}
	}
	if (l->n)
		tell(l, (double)(now - told) / 1e6);
}

int main(int argc, char **argv)
{
	struct load l = { .latencies = malloc(LATENCIES_MAX * sizeof(uint32_t)) };

	if (argc != 8) {
		fputs("usage: load PORT RATE SECONDS CONNECTIONS INTERVAL PREFIX FORMS\n", stderr);
		return 2;
	}
	l.port = atoi(argv[1]);
	l.rate = strtod(argv[2], NULL);
	l.conns_n = MIN((size_t)atoi(argv[4]), (size_t)CONNECTIONS_MAX);
	l.prefix = argv[6];
	read_forms(&l, argv[7]);
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	l.conns = calloc(l.conns_n, sizeof(*l.conns));
	if (!l.latencies || !l.conns || l.epoll < 0 || l.rate <= 0)
		die("start");
	for (size_t i = 0; i < l.conns_n; i++)
		connect_one(&l, &l.conns[i]);
	run(&l, strtod(argv[3], NULL), strtod(argv[5], NULL));
	return 0; /* what is left belongs to the process */
}
