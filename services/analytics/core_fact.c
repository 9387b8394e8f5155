/*
 * Facts and their contributions; see core_fact.h for why they are booked as differences.
 */
#include <errno.h>

#include "centraleta/v1/event.pb-c.h"
#include "services/analytics/core_fact.h"

enum { SATISFIED_FROM = 7 };

size_t fact_contribution(const struct fact *f, const struct zone *zone, int sign, struct day_delta *ret)
{
	const struct day_key key = {
		.jurisdiction = f->jurisdiction,
		.service = f->service,
		.department = f->department,
		.area = f->area,
		.channel = f->channel,
		.bucket = -1,
		.day = zone_day(zone, f->requested_at_us),
	};

	ret[0] = (struct day_delta){ .key = key, .received = sign, .open = f->closed_at_us ? 0 : sign };
	if (!f->closed_at_us)
		return 1;
	ret[1] = (struct day_delta){ .key = key, .closed = sign };
	ret[1].key.day = zone_day(zone, f->closed_at_us);
	ret[1].on_time = f->closed_at_us <= f->deadline_us ? sign : 0;
	if (f->score >= 0) {
		ret[1].answers = sign;
		ret[1].score_sum = sign * f->score;
		ret[1].satisfied = f->score >= SATISFIED_FROM ? sign : 0;
	}
	ret[2] = (struct day_delta){ .key = ret[1].key, .n = sign };
	ret[2].key.bucket = close_bucket(f->requested_at_us, f->closed_at_us);
	return 3;
}

/* ---- events ------------------------------------------------------------------------------------ */

static int apply_received(struct fact *f, bool *known, const struct event *e)
{
	Centraleta__V1__RequestReceived *b =
		centraleta__v1__request_received__unpack(NULL, e->body.len, e->body.data);

	if (!b)
		return -EINVAL;
	if (!*known)
		*f = (struct fact){ .request = e->order_key,
				    .jurisdiction = e->jurisdiction,
				    .service = b->service,
				    .department = b->owner,
				    .channel = (int16_t)b->channel,
				    .score = -1,
				    .requested_at_us = b->requested_at_us,
				    .deadline_us = b->deadline_us };
	centraleta__v1__request_received__free_unpacked(b, NULL);
	if (*known)
		return 1;
	*known = true;
	return 0;
}

static int apply_imported(struct fact *f, bool *known, const struct event *e)
{
	Centraleta__V1__RequestImported *b =
		centraleta__v1__request_imported__unpack(NULL, e->body.len, e->body.data);

	if (!b)
		return -EINVAL;
	if (!*known)
		*f = (struct fact){ .request = e->order_key,
				    .jurisdiction = e->jurisdiction,
				    .service = b->service,
				    .department = b->department,
				    .channel = (int16_t)b->channel,
				    .score = -1,
				    .requested_at_us = b->requested_at_us,
				    .deadline_us = b->deadline_us,
				    .closed_at_us = b->closed_at_us };
	centraleta__v1__request_imported__free_unpacked(b, NULL);
	if (*known)
		return 1;
	*known = true;
	return 0;
}

static int apply_routed(struct fact *f, bool *known, const struct event *e)
{
	Centraleta__V1__RequestRouted *b =
		centraleta__v1__request_routed__unpack(NULL, e->body.len, e->body.data);

	if (!b)
		return -EINVAL;
	if (*known) {
		f->department = b->department;
		f->area = b->area;
		f->deadline_us = b->deadline_us;
	}
	centraleta__v1__request_routed__free_unpacked(b, NULL);
	return *known ? 0 : 1;
}

static int apply_placed(struct fact *f, bool *known, const struct event *e)
{
	Centraleta__V1__RequestPlaced *b =
		centraleta__v1__request_placed__unpack(NULL, e->body.len, e->body.data);

	if (!b)
		return -EINVAL;
	if (*known)
		f->area = b->area;
	centraleta__v1__request_placed__free_unpacked(b, NULL);
	return *known ? 0 : 1;
}

static int apply_changed(struct fact *f, bool *known, const struct event *e)
{
	Centraleta__V1__RequestChanged *b =
		centraleta__v1__request_changed__unpack(NULL, e->body.len, e->body.data);
	bool closed;

	if (!b)
		return -EINVAL;
	closed = b->state == CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_CLOSED;
	if (*known)
		f->closed_at_us = closed ? b->occurred_at_us : 0;
	centraleta__v1__request_changed__free_unpacked(b, NULL);
	return *known ? 0 : 1;
}

static int apply_answered(struct fact *f, bool *known, const struct event *e)
{
	Centraleta__V1__RequestSurveyAnswered *b =
		centraleta__v1__request_survey_answered__unpack(NULL, e->body.len, e->body.data);

	if (!b)
		return -EINVAL;
	if (*known)
		f->score = (int16_t)b->score;
	centraleta__v1__request_survey_answered__free_unpacked(b, NULL);
	return *known ? 0 : 1;
}

int fact_apply(struct fact *f, bool *known, const struct event *e)
{
	switch (e->type) {
	case CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RECEIVED:
		return apply_received(f, known, e);
	case CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_IMPORTED:
		return apply_imported(f, known, e);
	case CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_ROUTED:
	case CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_TRIAGED:
		return apply_routed(f, known, e);
	case CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_PLACED:
		return apply_placed(f, known, e);
	case CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RESOLVED:
	case CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_REFUSED:
		return apply_changed(f, known, e);
	case CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_SURVEY_ANSWERED:
		return apply_answered(f, known, e);
	default:
		return 1;
	}
}

/* ---- merging ------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct day_key *x = &((const struct day_delta *)a)->key;
	const struct day_key *y = &((const struct day_delta *)b)->key;

	if (x->jurisdiction != y->jurisdiction)
		return x->jurisdiction < y->jurisdiction ? -1 : 1;
	if (x->day != y->day)
		return x->day < y->day ? -1 : 1;
	if (x->service != y->service)
		return x->service < y->service ? -1 : 1;
	if (x->department != y->department)
		return x->department < y->department ? -1 : 1;
	if (x->channel != y->channel)
		return x->channel < y->channel ? -1 : 1;
	if (x->area != y->area)
		return x->area < y->area ? -1 : 1;
	return (x->bucket > y->bucket) - (x->bucket < y->bucket);
}

static void add(struct day_delta *to, const struct day_delta *d)
{
	to->received += d->received;
	to->open += d->open;
	to->closed += d->closed;
	to->on_time += d->on_time;
	to->answers += d->answers;
	to->score_sum += d->score_sum;
	to->satisfied += d->satisfied;
	to->n += d->n;
}

static bool is_zero(const struct day_delta *d)
{
	return !d->received && !d->open && !d->closed && !d->on_time && !d->answers && !d->score_sum &&
	       !d->satisfied && !d->n;
}

size_t day_delta_merge(struct day_delta *rows, size_t n)
{
	size_t merged = 0, left = 0;

	qsort(rows, n, sizeof(*rows), compare);
	for (size_t i = 0; i < n; i++) {
		if (merged && !compare(&rows[merged - 1], &rows[i]))
			add(&rows[merged - 1], &rows[i]);
		else
			rows[merged++] = rows[i];
	}
	for (size_t i = 0; i < merged; i++)
		if (!is_zero(&rows[i]))
			rows[left++] = rows[i];
	return left;
}

/* ---- the sketch ------------------------------------------------------------------------------------ */

int16_t close_bucket(int64_t requested_at_us, int64_t closed_at_us)
{
	int64_t minutes = (closed_at_us - requested_at_us) / 60000000;
	int e;

	if (minutes < 1)
		minutes = 1;
	e = 63 - __builtin_clzll((unsigned long long)minutes);
	return (int16_t)(4 * e + (int)((minutes * 4) >> e) - 4);
}

double bucket_low(int16_t bucket)
{
	return bucket == 0 ? 0 : (double)(4 + bucket % 4) * (double)(1ull << (bucket / 4)) / 4;
}

double bucket_high(int16_t bucket)
{
	return (double)(5 + bucket % 4) * (double)(1ull << (bucket / 4)) / 4;
}

double sketch_quantile(const int16_t *buckets, const int64_t *counts, size_t n, double q)
{
	int64_t total = 0, before = 0;
	double rank;

	for (size_t i = 0; i < n; i++)
		total += counts[i];
	rank = q * (double)total;
	for (size_t i = 0; i < n && total > 0; i++) {
		if (counts[i] > 0 && (double)(before + counts[i]) >= rank) {
			double part = (rank - (double)before) / (double)counts[i];

			return bucket_low(buckets[i]) +
			       part * (bucket_high(buckets[i]) - bucket_low(buckets[i]));
		}
		before += counts[i];
	}
	return -1;
}
