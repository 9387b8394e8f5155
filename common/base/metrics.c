/*
 * metrics - counters, gauges and histograms, written as Prometheus text 0.0.4
 *
 * A series is found by its label values through a small hash table of its metric; whoever is in a
 * hurry keeps the pointer. Series are never freed before the whole: the pointers stay valid.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include "common/base/metrics.h"

#define LABELS_MAX 8
#define NAME_PREFIX "centraleta_"

static const double bounds_seconds[] = {
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
	0.1,	0.25,	 0.5,	 1,	2.5,	5,     10,   30,    60,
};
static const double bounds_size[] = {
	1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536,
};

struct series {
	struct series *next; /* of the same hash */
	struct series *after; /* in the order of making, for writing */
	uint64_t hash;
	double value; /* histogram: sum */
	uint64_t count; /* of a histogram */
	const double *bounds; /* NULL: not a histogram */
	size_t bounds_n;
	uint64_t *buckets; /* one more than bounds */
	size_t key_len;
	char *key; /* label values, each with its NUL */
};

struct metric {
	const struct metric_def *def;
	char label[LABELS_MAX][32];
	unsigned labels_n;
	struct series **slots;
	size_t slots_n; /* a power of two */
	struct series *first, *last;
	size_t n;
};

struct metrics {
	struct metric *metrics;
	size_t n;
	struct series sink;
	struct series *dropped;
};

static const struct metric_def own_defs[] = {
	{ METRIC_COUNTER, "metrics_dropped_total",
	  "Series that were not made because a metric holds too many, or for want of memory", "" },
};

static void series_free(struct series *s)
{
	free(s->buckets);
	free(s->key);
	free(s);
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	for (struct metric *t = m->metrics; t < m->metrics + m->n; t++) {
		for (struct series *s = t->first, *after; s; s = after) {
			after = s->after;
			series_free(s);
		}
		free(t->slots);
	}
	free(m->metrics);
	free(m);
}

int metrics_new(struct metrics **ret)
{
	_cleanup_(metrics_freep) struct metrics *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	r = metrics_register(m, own_defs, ARRAY_SIZE(own_defs));
	if (r < 0)
		return r;
	m->dropped = metrics_series(m, r);
	*ret = steal(m);
	return 0;
}

static void split_labels(struct metric *t)
{
	const char *p = t->def->labels;

	while (*p) {
		size_t n = strcspn(p, ",");

		assert(t->labels_n < LABELS_MAX && n > 0 && n < sizeof(t->label[0]));
		memcpy(t->label[t->labels_n], p, n);
		t->label[t->labels_n++][n] = '\0';
		p += n + (p[n] == ',');
	}
}

int metrics_register(struct metrics *m, const struct metric_def *defs, size_t n)
{
	size_t base = m->n;
	struct metric *metrics;

	if (!n)
		return (int)base;
	for (size_t i = 0; i < m->n; i++)
		if (m->metrics[i].def == defs)
			return (int)i;
	metrics = reallocarray(m->metrics, m->n + n, sizeof(*metrics));
	if (!metrics)
		return -ENOMEM;
	m->metrics = metrics;
	for (size_t i = 0; i < n; i++) {
		struct metric *t = &metrics[m->n++];

		*t = (struct metric){ .def = &defs[i] };
		split_labels(t);
		if (!t->labels_n) /* shown as zero from the start */
			metrics_series(m, (int)(base + i));
	}
	return (int)base;
}

static uint64_t hash_of(const char *key, size_t len) /* FNV-1a */
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)key[i]) * 0x100000001b3;
	return h;
}

static bool grow(struct metric *t)
{
	size_t n = t->slots_n ? t->slots_n * 2 : 4;
	struct series **slots;

	if (t->n < t->slots_n)
		return true;
	slots = calloc(n, sizeof(struct series *));
	if (!slots)
		return false;
	for (struct series *s = t->first; s; s = s->after) {
		s->next = slots[s->hash & (n - 1)];
		slots[s->hash & (n - 1)] = s;
	}
	free(t->slots);
	t->slots = slots;
	t->slots_n = n;
	return true;
}

static bool add_buckets(struct series *s, enum metric_kind kind)
{
	if (kind != METRIC_SECONDS && kind != METRIC_SIZE)
		return true;
	s->bounds = kind == METRIC_SECONDS ? bounds_seconds : bounds_size;
	s->bounds_n = kind == METRIC_SECONDS ? ARRAY_SIZE(bounds_seconds) : ARRAY_SIZE(bounds_size);
	s->buckets = calloc(s->bounds_n + 1, sizeof(*s->buckets));
	return s->buckets;
}

static struct series *add_series(struct metric *t, const char *key, size_t len, uint64_t hash)
{
	struct series *s;

	if (t->n >= METRICS_SERIES_MAX || !grow(t))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = malloc(len + 1);
	if (!s->key || !add_buckets(s, t->def->kind)) {
		series_free(s);
		return NULL;
	}
	memcpy(s->key, key, len);
	s->key_len = len;
	s->hash = hash;
	s->next = t->slots[hash & (t->slots_n - 1)];
	t->slots[hash & (t->slots_n - 1)] = s;
	if (t->last)
		t->last->after = s;
	else
		t->first = s;
	t->last = s;
	t->n++;
	return s;
}

struct series *metrics_series(struct metrics *m, int metric, ...)
{
	struct metric *t = &m->metrics[metric];
	char key[LABELS_MAX * 64];
	size_t len = 0;
	struct series *s;
	uint64_t hash;
	va_list ap;

	assert(metric >= 0 && (size_t)metric < m->n);
	va_start(ap, metric);
	for (unsigned i = 0; i < t->labels_n; i++) {
		const char *v = va_arg(ap, const char *);
		size_t n = strnlen(v, 63);

		memcpy(key + len, v, n);
		key[len + n] = '\0';
		len += n + 1;
	}
	va_end(ap);
	hash = hash_of(key, len);
	for (s = t->slots_n ? t->slots[hash & (t->slots_n - 1)] : NULL; s; s = s->next) {
		if (s->hash == hash && s->key_len == len && !memcmp(s->key, key, len))
			return s;
	}
	s = add_series(t, key, len, hash);
	if (s)
		return s;
	if (m->dropped)
		series_add(m->dropped, 1);
	return &m->sink;
}

void series_add(struct series *s, double v)
{
	s->value += v;
}

void series_set(struct series *s, double v)
{
	s->value = v;
}

void series_observe(struct series *s, double v)
{
	size_t i = 0;

	s->value += v;
	s->count++;
	if (!s->bounds)
		return;
	while (i < s->bounds_n && v > s->bounds[i])
		i++;
	s->buckets[i]++;
}

double series_value(const struct series *s)
{
	return s->bounds ? (double)s->count : s->value;
}

static void write_number(struct buf *out, double v)
{
	if (isnan(v))
		buf_str(out, "NaN");
	else if (isinf(v))
		buf_str(out, v > 0 ? "+Inf" : "-Inf");
	else if (fabs(v) < 1e15 && v == floor(v))
		buf_i64(out, (int64_t)v);
	else
		buf_printf(out, "%.15g", v);
}

static void write_escaped(struct buf *out, const char *s, bool quote)
{
	for (; *s; s++) {
		if (*s == '\\')
			buf_str(out, "\\\\");
		else if (*s == '\n')
			buf_str(out, "\\n");
		else if (*s == '"' && quote)
			buf_str(out, "\\\"");
		else
			buf_ch(out, *s);
	}
}

/* name_suffix{label="value",le="…"}; le may be NULL */
static void write_name(struct buf *out, const struct metric *t, const struct series *s,
		       const char *suffix, const char *le)
{
	const char *value = s->key;

	buf_printf(out, NAME_PREFIX "%s%s", t->def->name, suffix);
	if (!t->labels_n && !le) {
		buf_ch(out, ' ');
		return;
	}
	buf_ch(out, '{');
	for (unsigned i = 0; i < t->labels_n; i++) {
		buf_printf(out, "%s%s=\"", i ? "," : "", t->label[i]);
		write_escaped(out, value, true);
		buf_ch(out, '"');
		value += strlen(value) + 1;
	}
	if (le)
		buf_printf(out, "%sle=\"%s\"", t->labels_n ? "," : "", le);
	buf_str(out, "} ");
}

static void write_histogram(struct buf *out, const struct metric *t, const struct series *s)
{
	uint64_t sum = 0;
	char le[32];

	for (size_t i = 0; i <= s->bounds_n; i++) {
		if (i < s->bounds_n)
			snprintf(le, sizeof(le), "%g", s->bounds[i]);
		else
			strcpy(le, "+Inf");
		sum += s->buckets[i];
		write_name(out, t, s, "_bucket", le);
		buf_u64(out, sum);
		buf_ch(out, '\n');
	}
	write_name(out, t, s, "_sum", NULL);
	write_number(out, s->value);
	buf_ch(out, '\n');
	write_name(out, t, s, "_count", NULL);
	buf_u64(out, s->count);
	buf_ch(out, '\n');
}

static void write_metric(struct buf *out, const struct metric *t)
{
	static const char *const types[] = { "counter", "gauge", "histogram", "histogram" };

	buf_printf(out, "# HELP " NAME_PREFIX "%s ", t->def->name);
	write_escaped(out, t->def->help, false);
	buf_printf(out, "\n# TYPE " NAME_PREFIX "%s %s\n", t->def->name, types[t->def->kind]);
	for (const struct series *s = t->first; s; s = s->after) {
		if (s->bounds) {
			write_histogram(out, t, s);
			continue;
		}
		write_name(out, t, s, "", NULL);
		write_number(out, s->value);
		buf_ch(out, '\n');
	}
}

void metrics_write(const struct metrics *m, struct buf *out)
{
	for (const struct metric *t = m->metrics; t < m->metrics + m->n; t++) {
		if (t->first)
			write_metric(out, t);
	}
}
