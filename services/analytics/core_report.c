/*
 * Questions and answers; see core_report.h.
 */
#include <stdio.h>

#include "common/base/json.h"
#include "common/base/text.h"
#include "common/base/zone.h"
#include "common/http/http.h"
#include "services/analytics/core_fact.h"
#include "services/analytics/core_report.h"

enum { DEFAULT_DAYS = 90 };

/* ---- the question -------------------------------------------------------------------------------- */

bool report_path(const char *path, struct report_ask *ret)
{
	static const char prefix[] = "/v1/analytics/";
	const char *slug = path + sizeof(prefix) - 1, *end;

	*ret = (struct report_ask){ .group_by = "all" };
	if (strncmp(path, prefix, sizeof(prefix) - 1))
		return false;
	end = strchr(slug, '/');
	if (!end || end == slug || (size_t)(end - slug) >= sizeof(ret->town))
		return false;
	memcpy(ret->town, slug, (size_t)(end - slug));
	ret->csv = !strcmp(end, "/summary.csv");
	return ret->csv || !strcmp(end, "/summary.json");
}

static bool parse_day(const char *s, int32_t *ret)
{
	int year, month, day, used = 0, y2, m2, d2;

	if (sscanf(s, "%4d-%2d-%2d%n", &year, &month, &day, &used) != 3 || used != 10 || s[used])
		return false;
	if (month < 1 || month > 12 || day < 1 || day > 31 || year < 1900)
		return false;
	*ret = civil_to_days(year, month, day);
	civil_from_days(*ret, &y2, &m2, &d2);
	return d2 == day && m2 == month;
}

static const char *parse_pair(struct report_ask *ask, const struct http_pair *p)
{
	static const char *const parts[] = { "all", "day", "service", "department", "channel", "area" };

	if (!strcmp(p->name, "from") && *p->value) {
		ask->from_given = true;
		return parse_day(p->value, &ask->from_day) ? NULL : "must be a day, as 2026-03-29";
	}
	if (!strcmp(p->name, "to") && *p->value) {
		ask->to_given = true;
		return parse_day(p->value, &ask->to_day) ? NULL : "must be a day, as 2026-03-29";
	}
	if (!strcmp(p->name, "group_by") && *p->value) {
		FOREACH(part, parts) {
			if (!strcmp(*part, p->value)) {
				snprintf(ask->group_by, sizeof(ask->group_by), "%s", *part);
				return NULL;
			}
		}
		return "must be all, day, service, department, channel or area";
	}
	return *p->value && strcmp(p->name, "from") && strcmp(p->name, "to") ? "is not known here" : NULL;
}

const char *report_parse(struct report_ask *ask, const char *query, const char **ret_field)
{
	static const char *const fields[] = { "from", "to", "group_by" };
	struct http_form form = { 0 };
	const char *why = NULL;

	*ret_field = "";
	if (http_form_parse(&form, query, strlen(query), 16))
		why = "the query can't be read";
	for (size_t i = 0; !why && i < form.n; i++) {
		why = parse_pair(ask, &form.pairs[i]);
		FOREACH(f, fields)
			if (why && !strcmp(*f, form.pairs[i].name))
				*ret_field = *f;
	}
	http_form_fini(&form);
	return why;
}

void report_default_days(struct report_ask *ask, int32_t today)
{
	if (!ask->to_given)
		ask->to_day = ask->from_given ? MAX(ask->from_day + DEFAULT_DAYS, today + 1) : today + 1;
	if (!ask->from_given)
		ask->from_day = ask->to_day - DEFAULT_DAYS;
}

/* ---- filling --------------------------------------------------------------------------------------- */

static struct report_part *part_of(struct report *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->parts[i].name, name))
			return &r->parts[i];
	return NULL;
}

static const char *part_name(const struct rows *rows, size_t row)
{
	return rows_null(rows, row, 0) ? "unknown" : rows_text(rows, row, 0);
}

void report_fill(struct report *r, const struct rows *days, const struct rows *closes)
{
	r->parts = calloc(rows_count(days) + 1, sizeof(*r->parts));
	for (size_t i = 0; r->parts && i < rows_count(days); i++) {
		struct report_part *p = &r->parts[i];

		p->name = strdup(part_name(days, i));
		p->buckets = calloc(rows_count(closes) + 1, sizeof(*p->buckets));
		p->counts = calloc(rows_count(closes) + 1, sizeof(*p->counts));
		if (!p->name || !p->buckets || !p->counts)
			abort(); /* out of memory for an answer that was bounded: nothing sane is left */
		p->received = rows_int(days, i, 1);
		p->open = rows_int(days, i, 2);
		p->closed = rows_int(days, i, 3);
		p->on_time = rows_int(days, i, 4);
		p->answers = rows_int(days, i, 5);
		p->score_sum = rows_int(days, i, 6);
		p->satisfied = rows_int(days, i, 7);
		r->n = i + 1;
	}
	for (size_t i = 0; i < rows_count(closes); i++) {
		struct report_part *p = part_of(r, part_name(closes, i));

		if (!p || rows_int(closes, i, 2) == 0)
			continue;
		p->buckets[p->buckets_n] = (int16_t)rows_int(closes, i, 1);
		p->counts[p->buckets_n++] = rows_int(closes, i, 2);
	}
}

void report_fini(struct report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->parts[i].name);
		free(r->parts[i].buckets);
		free(r->parts[i].counts);
	}
	free(r->parts);
	*r = (struct report){ 0 };
}

/* ---- the answer -------------------------------------------------------------------------------------- */

static double rate(int64_t part, int64_t whole)
{
	return whole ? (double)part / (double)whole : -1;
}

static double quantile(const struct report_part *p, double q)
{
	return sketch_quantile(p->buckets, p->counts, p->buckets_n, q);
}

static void day_text(int32_t day, char ret[static 16])
{
	int y, m, d;

	civil_from_days(day, &y, &m, &d);
	snprintf(ret, 16, "%04d-%02d-%02d", y, m, d);
}

static void real_or_null(struct json *j, const char *key, double v)
{
	json_key(j, key);
	if (v < 0)
		json_none(j);
	else
		json_double(j, v);
}

static void part_json(struct json *j, const struct report_ask *ask, const struct report_part *p)
{
	json_object_begin(j);
	json_kstr(j, ask->group_by, p->name);
	json_kint(j, "received", p->received);
	json_kint(j, "open", p->open);
	json_kint(j, "closed", p->closed);
	json_kint(j, "on_time", p->on_time);
	real_or_null(j, "on_time_rate", rate(p->on_time, p->closed));
	real_or_null(j, "median_minutes_to_close", quantile(p, 0.5));
	real_or_null(j, "p90_minutes_to_close", quantile(p, 0.9));
	json_kint(j, "survey_answers", p->answers);
	real_or_null(j, "survey_response_rate", rate(p->answers, p->closed));
	real_or_null(j, "survey_mean_score", rate(p->score_sum, p->answers));
	real_or_null(j, "survey_satisfied_rate", rate(p->satisfied, p->answers));
	json_object_end(j);
}

void report_json(const struct report *r, const struct report_ask *ask, struct buf *out)
{
	char from[16], to[16];
	struct json j;

	day_text(ask->from_day, from);
	day_text(ask->to_day, to);
	json_init(&j, out);
	json_object_begin(&j);
	json_kstr(&j, "jurisdiction", ask->town);
	json_kstr(&j, "from", from);
	json_kstr(&j, "to", to);
	json_kstr(&j, "group_by", ask->group_by);
	json_key(&j, "rows");
	json_array_begin(&j);
	for (size_t i = 0; i < r->n; i++)
		part_json(&j, ask, &r->parts[i]);
	json_array_end(&j);
	json_object_end(&j);
}

void report_csv_cell(struct buf *out, const char *text)
{
	bool formula = *text && strchr("=+-@\t\r", *text);

	if (!formula && !strpbrk(text, ",\"\r\n")) {
		buf_str(out, text);
		return;
	}
	buf_ch(out, '"');
	if (formula)
		buf_ch(out, '\'');
	for (; *text; text++) {
		if (*text == '"')
			buf_ch(out, '"');
		buf_ch(out, *text);
	}
	buf_ch(out, '"');
}

static void csv_real(struct buf *out, double v)
{
	buf_ch(out, ',');
	if (v >= 0)
		buf_printf(out, "%.6g", v);
}

void report_csv(const struct report *r, const struct report_ask *ask, struct buf *out)
{
	buf_printf(out,
		   "%s,received,open,closed,on_time,on_time_rate,median_minutes_to_close,p90_minutes_to_close,"
		   "survey_answers,survey_mean_score,survey_satisfied_rate\r\n",
		   ask->group_by);
	for (size_t i = 0; i < r->n; i++) {
		const struct report_part *p = &r->parts[i];

		report_csv_cell(out, p->name);
		buf_printf(out, ",%lld,%lld,%lld,%lld", (long long)p->received, (long long)p->open,
			   (long long)p->closed, (long long)p->on_time);
		csv_real(out, rate(p->on_time, p->closed));
		csv_real(out, quantile(p, 0.5));
		csv_real(out, quantile(p, 0.9));
		buf_printf(out, ",%lld", (long long)p->answers);
		csv_real(out, rate(p->score_sum, p->answers));
		csv_real(out, rate(p->satisfied, p->answers));
		buf_str(out, "\r\n");
	}
}
