/*
 * writer_group - one call of intake_accept() or intake_survey_answer(), and what it returned
 */
#include <errno.h>
#include "services/intake/writer.h"
#include "centraleta/v1/event.pb-c.h"

/* columns of intake_accept() behind p_lane, in its order */
enum accept_column {
	C_KEY_LANE, C_JURISDICTION, C_DOOR, C_KEY, C_BODY_HASH, C_REQUEST, C_SERVICE, C_CHANNEL,
	C_LAT, C_LONG, C_ADDRESS, C_ADDRESS_ID, C_LISTS, C_FREES, C_DESCRIPTION, C_MEDIA_URL,
	C_OWNER, C_DEADLINE, C_REQUESTED_AT, C_CODE_HASH, C_STATE, C_OUTCOME, C_UPDATED_AT,
	C_CONTACT_ORD, C_EMAIL, C_PHONE, C_FIRST_NAME, C_LAST_NAME, C_ACCOUNT_ID, C_DEVICE_ID,
	C_LANGUAGE, C_TYPE, C_ACTOR, C_TRACE, C_BODY, C_N
};
_Static_assert(C_N == ACCEPT_COLUMNS, "intake_accept()'s parameters");

static const enum column_type accept_types[C_N] = {
	[C_KEY_LANE] = COLUMN_INT2, [C_JURISDICTION] = COLUMN_INT4, [C_DOOR] = COLUMN_INT4,
	[C_KEY] = COLUMN_TEXT, [C_BODY_HASH] = COLUMN_BYTEA, [C_REQUEST] = COLUMN_INT8,
	[C_SERVICE] = COLUMN_INT4, [C_CHANNEL] = COLUMN_INT2, [C_LAT] = COLUMN_REAL,
	[C_LONG] = COLUMN_REAL, [C_ADDRESS] = COLUMN_TEXT, [C_ADDRESS_ID] = COLUMN_TEXT,
	[C_LISTS] = COLUMN_JSONB, [C_FREES] = COLUMN_JSONB, [C_DESCRIPTION] = COLUMN_TEXT,
	[C_MEDIA_URL] = COLUMN_TEXT, [C_OWNER] = COLUMN_INT4, [C_DEADLINE] = COLUMN_TIME,
	[C_REQUESTED_AT] = COLUMN_TIME, [C_CODE_HASH] = COLUMN_BYTEA, [C_STATE] = COLUMN_INT2,
	[C_OUTCOME] = COLUMN_INT2, [C_UPDATED_AT] = COLUMN_TIME, [C_CONTACT_ORD] = COLUMN_INT4,
	[C_EMAIL] = COLUMN_TEXT, [C_PHONE] = COLUMN_TEXT, [C_FIRST_NAME] = COLUMN_TEXT,
	[C_LAST_NAME] = COLUMN_TEXT, [C_ACCOUNT_ID] = COLUMN_TEXT, [C_DEVICE_ID] = COLUMN_TEXT,
	[C_LANGUAGE] = COLUMN_TEXT, [C_TYPE] = COLUMN_INT2, [C_ACTOR] = COLUMN_TEXT,
	[C_TRACE] = COLUMN_BYTEA, [C_BODY] = COLUMN_BYTEA,
};

int writer_columns(struct writer *w)
{
	int r = 0;

	for (unsigned i = 0; i < C_N && !r; i++)
		r = column_new(&w->columns[i], accept_types[i]);
	return r;
}

static void add_text(struct writer *w, enum accept_column c, const char *s)
{
	column_text(w->columns[c], *s ? s : NULL);
}

static void add_contact(struct writer *w, const struct entry *e, size_t ord)
{
	column_int(w->columns[C_CONTACT_ORD], (int64_t)ord);
	add_text(w, C_EMAIL, e->text[FIELD_EMAIL]);
	add_text(w, C_PHONE, e->text[FIELD_PHONE]);
	add_text(w, C_FIRST_NAME, e->text[FIELD_FIRST_NAME]);
	add_text(w, C_LAST_NAME, e->text[FIELD_LAST_NAME]);
	add_text(w, C_ACCOUNT_ID, e->text[FIELD_ACCOUNT_ID]);
	add_text(w, C_DEVICE_ID, e->text[FIELD_DEVICE_ID]);
	column_text(w->columns[C_LANGUAGE], lang_name(e->language));
}

static int event_type(const struct entry *e)
{
	return e->kind == ENTRY_HISTORY	 ? CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_IMPORTED
	       : e->kind == ENTRY_SURVEY ? CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_SURVEY_ANSWERED
					 : CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_RECEIVED;
}

static const char *actor(const struct entry *e)
{
	return e->kind == ENTRY_HISTORY ? "intake" : "citizen";
}

static void add_place(struct writer *w, const struct entry *e)
{
	if (e->has_place) {
		column_real(w->columns[C_LAT], e->place_lat);
		column_real(w->columns[C_LONG], e->place_long);
	} else {
		column_null(w->columns[C_LAT]);
		column_null(w->columns[C_LONG]);
	}
}

static void add_entry(struct writer *w, const struct entry *e, size_t ord)
{
	struct column **c = w->columns;

	column_int(c[C_KEY_LANE], e->key_lane);
	column_int(c[C_JURISDICTION], e->town);
	column_int(c[C_DOOR], e->door);
	column_text(c[C_KEY], e->text[FIELD_KEY]);
	column_bytea(c[C_BODY_HASH], e->body_hash, sizeof(e->body_hash));
	column_int(c[C_REQUEST], e->request);
	column_int(c[C_SERVICE], e->offer);
	column_int(c[C_CHANNEL], e->channel);
	add_place(w, e);
	column_text(c[C_ADDRESS], e->text[FIELD_ADDRESS]);
	add_text(w, C_ADDRESS_ID, e->text[FIELD_ADDRESS_ID]);
	column_text(c[C_LISTS], e->lists);
	column_text(c[C_FREES], e->frees);
	column_text(c[C_DESCRIPTION], e->text[FIELD_DESCRIPTION]);
	column_text(c[C_MEDIA_URL], e->text[FIELD_MEDIA_URL]);
	column_int(c[C_OWNER], e->owner);
	column_time(c[C_DEADLINE], e->deadline_us);
	column_time(c[C_REQUESTED_AT], e->requested_at_us);
	column_bytea(c[C_CODE_HASH], e->code_hash, sizeof(e->code_hash));
	column_int(c[C_STATE], e->state);
	column_int(c[C_OUTCOME], e->outcome);
	column_time(c[C_UPDATED_AT], e->updated_at_us);
	if (e->has_contact)
		add_contact(w, e, ord);
	column_int(c[C_TYPE], event_type(e));
	column_text(c[C_ACTOR], actor(e));
	column_bytea(c[C_TRACE], e->trace.id, sizeof(e->trace.id));
	column_bytea(c[C_BODY], e->body, e->body_len);
}

/* most columns of intake_survey_answer() are borrowed from those of their type above */
static void add_answer(struct writer *w, const struct entry *e, struct column *closing)
{
	struct column **c = w->columns;

	column_int(c[C_REQUEST], e->request);
	column_int(closing, e->closing_seq);
	column_int(c[C_JURISDICTION], e->town);
	column_int(c[C_STATE], e->score);
	column_text(c[C_DESCRIPTION], e->text[FIELD_DESCRIPTION]);
	column_text(c[C_LANGUAGE], lang_name(e->language));
	column_time(c[C_REQUESTED_AT], e->requested_at_us);
	column_bytea(c[C_TRACE], e->trace.id, sizeof(e->trace.id));
	column_bytea(c[C_BODY], e->body, e->body_len);
}

static void build_accept(struct group *g, struct store_group *s)
{
	struct writer *w = g->lane->writer;

	for (size_t i = 0; i < g->n; i++)
		add_entry(w, g->entries[i], i + 1);
	store_add(s, &intake_queries[QUERY_ACCEPT]);
	store_p_int2(s, g->lane->number);
	for (unsigned i = 0; i < C_N; i++)
		store_p_column(s, w->columns[i]);
}

static int build_survey(struct group *g, struct store_group *s)
{
	_cleanup_(column_freep) struct column *closing = NULL;
	struct writer *w = g->lane->writer;
	int r = column_new(&closing, COLUMN_INT8);

	if (r)
		return r;
	for (size_t i = 0; i < g->n; i++)
		add_answer(w, g->entries[i], closing);
	store_add(s, &intake_queries[QUERY_SURVEY]);
	store_p_int2(s, g->lane->number);
	store_p_column(s, w->columns[C_REQUEST]);
	store_p_column(s, closing);
	store_p_column(s, w->columns[C_JURISDICTION]);
	store_p_column(s, w->columns[C_STATE]);
	store_p_column(s, w->columns[C_DESCRIPTION]);
	store_p_column(s, w->columns[C_LANGUAGE]);
	store_p_column(s, w->columns[C_REQUESTED_AT]);
	store_p_column(s, w->columns[C_TRACE]);
	store_p_column(s, w->columns[C_BODY]);
	return 0;
}

/* one that was sent before waits for its own flush */
static void add_early(struct group *g, struct store_group *s)
{
	struct writer *w = g->lane->writer;

	g->early = !g->tries && barrier_there(w);
	if (!g->early)
		return;
	g->session = store_sessions(w->in->s->control);
	store_add(s, &intake_queries[QUERY_EARLY]);
}

int writer_send(struct group *g, store_fn fn)
{
	_cleanup_(store_group_freep) struct store_group *s = NULL;
	struct intake *in = g->lane->writer->in;
	int r = store_group_new(&s, store_pool_lane(in->s->writers, g->lane->number));

	if (r)
		return r;
	add_early(g, s);
	if (g->entries[0]->kind == ENTRY_SURVEY)
		r = build_survey(g, s);
	else
		build_accept(g, s);
	if (!r)
		r = store_submit(s, fn, g);
	if (r)
		return r;
	steal(s);
	g->sent_us = clock_mono_us();
	return 0;
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* a row of intake_accept() */
static struct outcome accept_row(const struct rows *rows, size_t i)
{
	return (struct outcome){
		.lane = (unsigned)rows_int(rows, i, 1), .request = rows_int(rows, i, 2),
		.turn = (unsigned)rows_int(rows, i, 3), .hits = (int32_t)rows_int(rows, i, 4),
		.kept = rows_int(rows, i, 5), .fresh = !rows_null(rows, i, 6),
		.seq = rows_int(rows, i, 6), .at_us = rows_time(rows, i, 8),
	};
}

/* a row of intake_survey_answer() */
static struct outcome survey_row(const struct rows *rows, size_t i)
{
	return (struct outcome){
		.kept = rows_int(rows, i, 1) || rows_int(rows, i, 2), .fresh = !rows_null(rows, i, 3),
		.seq = rows_int(rows, i, 3), .at_us = rows_time(rows, i, 5),
	};
}

void writer_read(struct group *g, const struct answer *a)
{
	const struct rows *rows = a->rows[a->n - 1];
	bool survey = g->entries[0]->kind == ENTRY_SURVEY;

	if (g->early)
		g->server = rows_time(a->rows[0], 0, 1);
	for (size_t i = 0; i < rows_count(rows) && i < g->n; i++) {
		g->outcomes[i] = survey ? survey_row(rows, i) : accept_row(rows, i);
		if (g->outcomes[i].fresh)
			g->generation = (int)rows_int(rows, i, survey ? 4 : 7);
	}
}

static struct event event_of(const struct lane *l, const struct entry *e, const struct outcome *o)
{
	return (struct event){
		.lane = l->number, .type = (int16_t)event_type(e), .type_version = 1,
		.jurisdiction = e->town, .key_version = e->kind == ENTRY_SURVEY ? 0 : 1, .seq = o->seq,
		.order_key = e->request, .at_us = o->at_us, .trace = e->trace, .actor = actor(e),
		.body = { e->body, e->body_len },
	};
}

static void accepted(struct group *g, struct entry *e, const struct outcome *o)
{
	struct writer *w = g->lane->writer;
	struct entry_result r = {
		.end = o->kept ? ENTRY_ACCEPTED : ENTRY_CONFLICT,
		.request = o->request,
	};

	if (o->request == e->request && !o->turn) /* nearly always */
		memcpy(r.code, e->code, sizeof(r.code));
	else if (o->kept)
		code_make(w->in->s->secret, o->lane, o->request, o->turn, r.code);
	/* a hit of our own ids is a commit whose answer was lost, not a known key */
	r.repeated = o->hits > 0 && r.request != e->request;
	if (o->hits > 0)
		series_add(intake_series(w->in, METRIC_HITS, NULL, NULL, NULL), 1);
	writer_answer(w, e, &r);
}

static void survey_answered(struct group *g, struct entry *e, const struct outcome *o)
{
	const struct entry_result r = {
		.end = o->kept ? ENTRY_ACCEPTED : ENTRY_ANSWERED_BEFORE,
		.request = e->request,
	};

	writer_answer(g->lane->writer, e, &r);
}

void writer_committed(struct group *g)
{
	struct event *events = calloc(g->n, sizeof(*events));
	size_t n = 0;

	for (size_t i = 0; i < g->n; i++) {
		const struct outcome *o = &g->outcomes[i];

		if (events && o->fresh)
			events[n++] = event_of(g->lane, g->entries[i], o);
		if (g->entries[i]->kind == ENTRY_SURVEY)
			survey_answered(g, g->entries[i], o);
		else
			accepted(g, g->entries[i], o);
	}
	/* without memory for it nothing is published: consumers read the table a second later */
	if (n)
		eventlog_publish(g->lane->writer->in->s->log, g->lane->number, g->generation,
				 events[0].seq, events, n);
	free(events);
}
