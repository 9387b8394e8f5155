/*
 * core_backoff - doubling with jitter, and the table of destinations that failed lately
 */
#include "services/notification/core_backoff.h"

#include <errno.h>
#include <glib.h>
#include "common/base/err.h"

uint64_t backoff_delay_ms(const struct backoff *b, unsigned failures, uint32_t random)
{
	uint64_t ms = b->base_ms;

	if (!failures)
		return 0;
	while (--failures && ms < b->cap_ms)
		ms *= 2;
	ms = MIN(ms, b->cap_ms);
	return ms - ms / 4 + ms / 4 * (random & 0xffff) / 0xffff;
}

struct penalty {
	unsigned failures;
	uint64_t until_ms;
};

struct penalties {
	GHashTable *by_name; /* lower-case name to struct penalty */
	size_t max;
};

int penalties_new(struct penalties **ret, size_t max)
{
	struct penalties *p = calloc(1, sizeof(*p));

	if (!p)
		return err_here(-ENOMEM);
	p->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	p->max = max;
	*ret = p;
	return 0;
}

void penalties_free(struct penalties *p)
{
	if (!p)
		return;
	g_hash_table_destroy(p->by_name);
	free(p);
}

static struct penalty *find(const struct penalties *p, const char *name)
{
	char *lower = g_ascii_strdown(name, -1);
	struct penalty *found = g_hash_table_lookup(p->by_name, lower);

	g_free(lower);
	return found;
}

uint64_t penalties_until(const struct penalties *p, const char *name, uint64_t now_ms)
{
	const struct penalty *found = find(p, name);

	return found && found->until_ms > now_ms ? found->until_ms : 0;
}

static gboolean is_past(gpointer name _unused_, gpointer value, gpointer now_ms)
{
	return ((const struct penalty *)value)->until_ms <= *(const uint64_t *)now_ms;
}

void penalties_fail(struct penalties *p, const char *name, const struct backoff *b, uint64_t now_ms,
		    uint32_t random)
{
	struct penalty *found = find(p, name);

	if (!found) {
		if (g_hash_table_size(p->by_name) >= p->max)
			g_hash_table_foreach_remove(p->by_name, is_past, &now_ms);
		if (g_hash_table_size(p->by_name) >= p->max)
			return;
		found = g_new0(struct penalty, 1);
		g_hash_table_insert(p->by_name, g_ascii_strdown(name, -1), found);
	}
	found->failures++;
	found->until_ms = now_ms + backoff_delay_ms(b, found->failures, random);
}

void penalties_clear(struct penalties *p, const char *name)
{
	char *lower = g_ascii_strdown(name, -1);

	g_hash_table_remove(p->by_name, lower);
	g_free(lower);
}

size_t penalties_count(const struct penalties *p)
{
	return g_hash_table_size(p->by_name);
}
