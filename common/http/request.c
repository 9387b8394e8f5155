/*
 * request - the handler's side of an exchange: what was asked
 *
 * The head is one copy in which NULs end names and values, so that what handlers ask for is a
 * string without an allocation.
 */
#include <arpa/inet.h>
#include <strings.h>
#include "common/base/err.h"
#include "common/http/internal.h"

#define BODY_KEPT (64u << 10) /* a larger body's memory is given back */

struct http_joined {
	struct http_joined *next;
	const char *name; /* into the head: the first of them */
	char value[];
};

int http_request_begin(struct http_request *r, const char *head, const struct http_parser *p)
{
	char *copy;

	buf_add(&r->head, head, p->head_len);
	if (buf_err(&r->head))
		return buf_err(&r->head);
	copy = r->head.data;
	for (size_t i = 0; i < p->fields_n; i++) {
		copy[p->fields[i].name + p->fields[i].name_len] = '\0';
		copy[p->fields[i].value + p->fields[i].value_len] = '\0';
	}
	copy[p->path + p->path_len] = '\0';
	copy[p->query + p->query_len] = '\0';
	r->path = copy + p->path;
	r->query = copy + p->query;
	return 0;
}

static void free_joined(struct http_request *r)
{
	while (r->joined) {
		struct http_joined *j = r->joined;

		r->joined = j->next;
		free(j);
	}
}

void http_request_end(struct http_request *r)
{
	free_joined(r);
	buf_reset(&r->head);
	buf_reset(&r->extra);
	if (r->body.cap > BODY_KEPT)
		buf_fini(&r->body);
	else
		buf_reset(&r->body);
	r->path = r->query = NULL;
	r->extra_csp = r->extra_cache = false;
	r->peer[0] = '\0';
}

void http_request_fini(struct http_request *r)
{
	free_joined(r);
	buf_fini(&r->head);
	buf_fini(&r->body);
	buf_fini(&r->extra);
}

enum http_method http_method(const struct http_request *r)
{
	return http_connection_of(r)->parser.method;
}

const char *http_path(const struct http_request *r)
{
	return r->path;
}

const char *http_query(const struct http_request *r)
{
	return r->query;
}

struct bytes http_body(const struct http_request *r)
{
	return (struct bytes){ (const uint8_t *)(r->body.len ? r->body.data : ""), r->body.len };
}

void http_set_body_max(struct http_request *r, size_t max)
{
	r->body_max = MIN(max, BUF_MAX / 2);
}

void http_on_gone(struct http_request *r, void (*fn)(void *ctx), void *ctx)
{
	r->gone = fn;
	r->gone_ctx = ctx;
}

/* ---- fields ---------------------------------------------------------------------------------- */

/* index of the next field of this name from i on, or fields_n */
static size_t find(const struct http_request *r, const char *name, size_t len, size_t i)
{
	const struct http_parser *p = &http_connection_of(r)->parser;

	for (; i < p->fields_n; i++)
		if (p->fields[i].name_len == len &&
		    !strncasecmp(r->head.data + p->fields[i].name, name, len))
			break;
	return i;
}

/* rare: kept with the request, since the caller gets a string */
static const char *join(struct http_request *r, const char *name, size_t first)
{
	const struct http_parser *p = &http_connection_of(r)->parser;
	size_t name_len = strlen(name), size = 1;
	const char *key = r->head.data + p->fields[first].name;
	struct http_joined *j;
	char *o;

	for (j = r->joined; j; j = j->next)
		if (j->name == key)
			return j->value;
	for (size_t i = first; i < p->fields_n; i = find(r, name, name_len, i + 1))
		size += p->fields[i].value_len + 2;
	j = malloc(sizeof(*j) + size);
	if (!j)
		return NULL;
	o = j->value;
	for (size_t i = first; i < p->fields_n; i = find(r, name, name_len, i + 1)) {
		if (i != first)
			o = mempcpy(o, ", ", 2);
		o = mempcpy(o, r->head.data + p->fields[i].value, p->fields[i].value_len);
	}
	*o = '\0';
	j->name = key;
	j->next = r->joined;
	r->joined = j;
	return j->value;
}

/* what a proxy says counts from our own proxy alone */
static bool is_proxy_field(const char *name)
{
	return !strncasecmp(name, "x-forwarded-", 12) || !strcasecmp(name, "forwarded") ||
	       !strcasecmp(name, "x-real-ip");
}

static bool is_unix(const struct http_request *r)
{
	return !strcmp(http_connection_of(r)->peer, "unix");
}

const char *http_header(const struct http_request *r, const char *name)
{
	const struct http_parser *p = &http_connection_of(r)->parser;
	size_t len = strlen(name);
	size_t i = find(r, name, len, 0);

	if (i == p->fields_n || (is_proxy_field(name) && !is_unix(r)))
		return NULL;
	if (find(r, name, len, i + 1) < p->fields_n)
		return join((struct http_request *)r, name, i); /* a cache: what r says is the same */
	return r->head.data + p->fields[i].value;
}

/* the last address of X-Forwarded-For: the one that our proxy itself saw */
static void forwarded_peer(const struct http_request *r, char ret[static 48])
{
	const char *value = http_header(r, "x-forwarded-for");
	const char *last = value ? strrchr(value, ',') : NULL;
	struct in6_addr any;

	strcpy(ret, "unix");
	if (last)
		value = last + 1 + strspn(last + 1, " \t");
	if (value && strlen(value) < INET6_ADDRSTRLEN &&
	    (inet_pton(AF_INET, value, &any) == 1 || inet_pton(AF_INET6, value, &any) == 1))
		strcpy(ret, value);
}

const char *http_peer(const struct http_request *r)
{
	struct http_request *cache = (struct http_request *)r;

	if (!is_unix(r))
		return http_connection_of(r)->peer;
	if (!r->peer[0])
		forwarded_peer(r, cache->peer);
	return r->peer;
}
