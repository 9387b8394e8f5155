/*
 * hosts - the hosts of a conninfo, taken apart so that one is tried at a time
 *
 * libpq's own rotation works for blocking connects alone: with PQconnectStart() it stays on a
 * silent host for ever. host, hostaddr and port are lists divided by commas, as in libpq: a port
 * for each host or one for all. A pg_service.conf or $PGHOST with several hosts isn't taken apart.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include "common/base/err.h"
#include "common/store/internal.h"

/* finds an option's value; NULL where it isn't given or is empty */
static const char *option(const PQconninfoOption *options, const char *keyword)
{
	for (const PQconninfoOption *o = options; o->keyword; o++)
		if (!strcmp(o->keyword, keyword))
			return o->val && *o->val ? o->val : NULL;
	return NULL;
}

static size_t list_count(const char *list)
{
	size_t n = 1;

	if (!list)
		return 0;
	for (; *list; list++)
		n += *list == ',';
	return n;
}

/* copies element i of the list; NULL in *ret for an empty one or no list */
static int list_at(const char *list, size_t i, char **ret)
{
	size_t len;

	*ret = NULL;
	if (!list)
		return 0;
	while (i--)
		list = strchr(list, ',') + 1;
	len = strcspn(list, ",");
	if (len && !(*ret = strndup(list, len)))
		return err_here(-ENOMEM);
	return 0;
}

static int host_at(struct host *ret, const char *host, const char *hostaddr, const char *port,
		   size_t i)
{
	int r = list_at(host, i, &ret->host);

	if (!r)
		r = list_at(hostaddr, i, &ret->hostaddr);
	if (!r)
		r = list_at(port, list_count(port) > 1 ? i : 0, &ret->port);
	return r;
}

/* error of PQconninfoParse(): the first line, which names the keyword and never a value */
static void one_line(char *ret, size_t size, const char *text)
{
	snprintf(ret, size, "%.*s", (int)strcspn(text, "\n"), text);
}

int hosts_parse(struct hosts *ret, const char *dsn, char *ret_error, size_t size)
{
	const char *host, *hostaddr, *port;
	char *message = NULL;
	size_t n;
	int r = 0;

	*ret = (struct hosts){ 0 };
	ret->options = PQconninfoParse(dsn, &message);
	if (!ret->options) {
		one_line(ret_error, size, message ? message : "out of memory");
		PQfreemem(message);
		return err_here(-EINVAL);
	}
	host = option(ret->options, "host");
	hostaddr = option(ret->options, "hostaddr");
	port = option(ret->options, "port");
	n = MAX(MAX(list_count(host), list_count(hostaddr)), 1u);
	if (n > HOSTS_MAX || (host && hostaddr && list_count(host) != list_count(hostaddr)) ||
	    (list_count(port) > 1 && list_count(port) != n)) {
		snprintf(ret_error, size, "host, hostaddr and port differ in number or exceed %d", HOSTS_MAX);
		hosts_fini(ret);
		return err_here(-EINVAL);
	}
	ret->n = n;
	for (size_t i = 0; !r && i < n; i++)
		r = host_at(&ret->list[i], host, hostaddr, port, i);
	if (r)
		hosts_fini(ret);
	return r;
}

void hosts_fini(struct hosts *h)
{
	for (size_t i = 0; i < h->n; i++) {
		free(h->list[i].host);
		free(h->list[i].hostaddr);
		free(h->list[i].port);
	}
	PQconninfoFree(h->options);
	*h = (struct hosts){ 0 };
}

const char *hosts_name(const struct hosts *h, size_t i)
{
	const struct host *x = &h->list[i];
	unsigned char addr[sizeof(struct in6_addr)];

	if (!x->host || x->hostaddr || *x->host == '/' || *x->host == '@')
		return NULL;
	if (inet_pton(AF_INET, x->host, addr) == 1 || inet_pton(AF_INET6, x->host, addr) == 1)
		return NULL;
	return x->host;
}

#define PAIRS_MAX 64
struct pairs {
	const char *keywords[PAIRS_MAX + 1], *values[PAIRS_MAX + 1];
	size_t n;
};

static void pair(struct pairs *p, const char *keyword, const char *value)
{
	if (!value || p->n == PAIRS_MAX)
		return;
	p->keywords[p->n] = keyword;
	p->values[p->n++] = value;
}

/* what the dsn may say otherwise; a later pair of the same keyword wins in libpq */
static const char *const defaults[][2] = {
	{ "tcp_user_timeout", "3000" }, /* ms: a dead network is noticed (reliability F17) */
	{ "keepalives_idle", "10" },
	{ "keepalives_interval", "3" },
	{ "keepalives_count", "3" },
	{ "gssencmode", "disable" }, /* its look-ups would block */
};

PGconn *hosts_connect(const struct hosts *h, size_t i, const char *addr,
		      const struct session *session)
{
	const struct host *x = &h->list[i];
	struct pairs p = { 0 };

	pair(&p, "target_session_attrs", session->read_only ? "any" : "read-write");
	FOREACH(d, defaults)
		pair(&p, (*d)[0], (*d)[1]);
	for (const PQconninfoOption *o = h->options; o->keyword; o++)
		if (o->val && *o->val && strcmp(o->keyword, "host") &&
		    strcmp(o->keyword, "hostaddr") && strcmp(o->keyword, "port"))
			pair(&p, o->keyword, o->val);
	pair(&p, "host", x->host);
	pair(&p, "hostaddr", addr ? addr : x->hostaddr);
	pair(&p, "port", x->port);
	pair(&p, "user", session->role);
	pair(&p, "application_name", session->application_name);
	return PQconnectStartParams(p.keywords, p.values, 0);
}
