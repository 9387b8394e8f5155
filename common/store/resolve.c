/*
 * resolve - a host name's addresses, looked up without blocking the loop
 *
 * glibc's getaddrinfo_a() looks up on a thread of its own with the machine's usual order of
 * sources (nsswitch), which libevent's evdns doesn't know; it is asked every few milliseconds
 * whether it is done, only while a connection is being made. A look-up that can't be cancelled
 * owns its memory until it ends: resolve_free() then leaves it behind, 200 bytes for each store
 * that is freed while the name servers are silent.
 */
#include <errno.h>
#include <netdb.h>
#include "common/base/err.h"
#include "common/store/internal.h"

struct resolve {
	struct gaicb request;
	struct addrinfo hints;
	char name[256];
};

int resolve_start(struct resolve **ret, const char *name)
{
	struct resolve *r = calloc(1, sizeof(*r));
	struct gaicb *list[1];

	if (!r)
		return err_here(-ENOMEM);
	if (strlen(name) >= sizeof(r->name)) {
		free(r);
		return err_here(-ENAMETOOLONG);
	}
	memcpy(r->name, name, strlen(name));
	r->hints.ai_socktype = SOCK_STREAM;
	r->request.ar_name = r->name;
	r->request.ar_request = &r->hints;
	list[0] = &r->request;
	if (getaddrinfo_a(GAI_NOWAIT, list, 1, NULL)) {
		free(r);
		return err_here(-EAGAIN);
	}
	*ret = r;
	return 0;
}

int resolve_poll(struct resolve *r, struct addresses *ret)
{
	int e = gai_error(&r->request);

	if (e == EAI_INPROGRESS)
		return RESOLVE_E_BUSY;
	ret->n = 0;
	if (e)
		return RESOLVE_E_NONE;
	for (const struct addrinfo *a = r->request.ar_result; a && ret->n < RESOLVE_MAX; a = a->ai_next)
		if (!getnameinfo(a->ai_addr, a->ai_addrlen, ret->text[ret->n], sizeof(ret->text[0]),
				 NULL, 0, NI_NUMERICHOST))
			ret->n++;
	return ret->n ? 0 : RESOLVE_E_NONE;
}

void resolve_free(struct resolve *r)
{
	if (!r || (gai_error(&r->request) == EAI_INPROGRESS &&
		   gai_cancel(&r->request) == EAI_NOTCANCELED))
		return;
	if (r->request.ar_result)
		freeaddrinfo(r->request.ar_result);
	free(r);
}
