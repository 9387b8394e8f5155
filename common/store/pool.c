/*
 * pool - one connection a lane, ready when all are
 */
#include <errno.h>
#include "common/base/err.h"
#include "common/store/internal.h"

struct store_pool {
	struct store **stores;
	unsigned n;
	bool told_ready;
	void (*on_state)(void *ctx, bool ready);
	void *ctx;
};

bool store_pool_ready(const struct store_pool *p)
{
	for (unsigned i = 0; i < p->n; i++)
		if (!store_ready(p->stores[i]))
			return false;
	return true;
}

static void on_store_state(void *ctx, _unused_ bool ready)
{
	struct store_pool *p = ctx;
	bool all = store_pool_ready(p);

	if (all == p->told_ready)
		return;
	p->told_ready = all;
	if (p->on_state)
		p->on_state(p->ctx, all);
}

int store_pool_new(struct store_pool **ret, struct loop *l, const struct store_options *o,
		   unsigned connections)
{
	_cleanup_(store_pool_freep) struct store_pool *p = calloc(1, sizeof(*p));

	assert(connections);
	if (!p || !(p->stores = calloc(connections, sizeof(struct store *))))
		return err_here(-ENOMEM);
	for (; p->n < connections; p->n++) {
		int r = store_new(&p->stores[p->n], l, o);

		if (r)
			return r;
		store_on_state(p->stores[p->n], on_store_state, p);
	}
	*ret = steal(p);
	return 0;
}

void store_pool_stop(struct store_pool *p)
{
	for (unsigned i = 0; i < p->n; i++)
		store_stop(p->stores[i]);
}

void store_pool_free(struct store_pool *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < p->n; i++)
		store_free(p->stores[i]);
	free(p->stores);
	free(p);
}

struct store *store_pool_lane(struct store_pool *p, unsigned lane)
{
	return p->stores[lane % p->n];
}

void store_pool_on_state(struct store_pool *p, void (*fn)(void *ctx, bool ready), void *ctx)
{
	p->on_state = fn;
	p->ctx = ctx;
}
