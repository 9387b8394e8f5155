/*
 * store - groups in, verdicts out
 *
 * Groups are sent as soon as the one before has left, so that the server never waits for us; libpq
 * matches answers by order. A process that is stopped must not leave the server with the last
 * statement, which takes the lane lock, and without the Sync (reliability F5). libpq writes by
 * itself whenever 8 KiB have gathered, cut at any byte, so:
 *   - a group below 8 KiB is handed over whole and leaves in one send;
 *   - of a larger one all but the last statement is flushed first; then the last statement and the
 *     Sync are handed over, after a Flush message where the cut would fall between the two.
 * Nothing is sent while the pipeline is aborted by an earlier group: libpq then flushes after each
 * statement.
 */
#include <errno.h>
#include <stdio.h>
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/store/internal.h"

#define OUT_CHUNK 8192 /* libpq: fe-misc.c, pqPutMsgEnd() */
#define SYNC_SIZE 5

bool store_ready(const struct store *s)
{
	return s->state == STATE_READY;
}

unsigned store_sessions(const struct store *s)
{
	return s->sessions;
}

size_t store_depth(const struct store *s)
{
	return s->depth;
}

const char *store_last_error(const struct store *s)
{
	return s->last_error;
}

void store_on_state(struct store *s, void (*fn)(void *ctx, bool ready), void *ctx)
{
	s->on_state = fn;
	s->state_ctx = ctx;
}

static void tell_state(struct store *s)
{
	bool ready = store_ready(s);

	if (ready == s->told_ready)
		return;
	s->told_ready = ready;
	store_series_connected(s->series, ready ? 1 : -1);
	if (!ready)
		store_series_reconnect(s->series);
	log_debug("store.state", "connection=%s ready=%d", s->label, ready);
	if (s->on_state)
		s->on_state(s->state_ctx, ready);
}

/* ---- the end of a group ------------------------------------------------------------------- */

static void group_end(struct store *s, struct store_group *g, enum store_verdict v)
{
	struct answer a = { .verdict = v };
	double seconds = (double)(clock_mono_us() - g->submitted_us) / 1e6;

	list_del(&g->node);
	s->depth--;
	store_series_depth(s->series, -1);
	store_series_group(s->series, v, seconds, g->judge.statements);
	memcpy(a.sqlstate, g->judge.sqlstate, sizeof(a.sqlstate));
	memcpy(a.constraint, g->judge.constraint, sizeof(a.constraint));
	memcpy(a.message, g->message, sizeof(a.message));
	if (v == STORE_OK) {
		a.n = g->judge.statements;
		a.rows = g->rows;
	}
	log_debug("store.group", "connection=%s verdict=%s sqlstate=%s statements=%zu", s->label,
		  store_verdict_name(v), a.sqlstate, g->judge.statements);
	g->fn(g->ctx, &a);
	store_group_free(g);
}

static struct store_group *first(struct list *l)
{
	return list_empty(l) ? NULL : list_entry(l->next, struct store_group, node);
}

static void end_waiting(struct store *s)
{
	struct store_group *g;

	while ((g = first(&s->waiting)))
		group_end(s, g, STORE_DOWN);
}

static void end_all(struct store *s)
{
	struct store_group *g;

	while ((g = first(&s->flight)))
		group_end(s, g, judge_verdict(&g->judge));
	end_waiting(s);
}

/* the connection is gone or of no more use; nothing can be submitted from here on */
static void lost(struct store *s, const char *what, const char *text)
{
	conn_error(s, what, text);
	conn_reconnect(s);
	tell_state(s);
	end_all(s);
}

/* The server can't serve us any more: what is in flight is answered, then it is left. */
static void begin_drain(struct store *s)
{
	if (s->state != STATE_READY)
		return;
	s->state = STATE_DRAIN;
	tell_state(s);
	end_waiting(s);
}

/* ---- time --------------------------------------------------------------------------------- */

static void arm_group_timer(struct store *s)
{
	const struct store_group *g = first(&s->flight);
	uint64_t now = clock_mono_ms(), ends;

	if (!g) {
		loop_timer_stop(s->group_timer);
		return;
	}
	ends = MAX(g->sent_ms, s->answered_ms) + s->group_ms;
	loop_timer_set(s->group_timer, ends > now ? ends - now : 0);
}

static void on_group_timer(void *ctx)
{
	struct store *s = ctx;

	/* never a cancel: a cancelled COMMIT lies (reliability R3) */
	lost(s, "group", "no answer in time, connection closed");
}

/* ---- answers ------------------------------------------------------------------------------ */

void store_notice(void *ctx, const PGresult *notice)
{
	struct store *s = ctx;
	const char *sqlstate = PQresultErrorField(notice, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

	if (sqlstate && judge_notice(sqlstate))
		s->notices++;
	log_debug("store.notice", "connection=%s sqlstate=%s message=\"%s\"", s->label,
		  sqlstate ? sqlstate : "", message ? message : "");
}

static void copy_field(char *ret, size_t size, const PGresult *res, int field)
{
	const char *v = PQresultErrorField(res, field);

	snprintf(ret, size, "%s", v ? v : "");
}

/* false: it is libpq's own word for a connection that was lost, which says nothing of the group */
static bool server_error(struct store_group *g, const PGresult *res)
{
	struct judge *j = &g->judge;
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (!PQresultErrorField(res, PG_DIAG_SQLSTATE))
		return false;
	if (j->failed)
		return true;
	j->failed = true;
	j->fatal = !severity || strcmp(severity, "ERROR") != 0;
	copy_field(j->sqlstate, sizeof(j->sqlstate), res, PG_DIAG_SQLSTATE);
	copy_field(j->constraint, sizeof(j->constraint), res, PG_DIAG_CONSTRAINT_NAME);
	copy_field(g->message, sizeof(g->message), res, PG_DIAG_MESSAGE_PRIMARY);
	return true;
}

/* BEGIN, COMMIT and the like have no place in a group: the Sync is what commits */
static bool transaction_tag(const PGresult *res)
{
	static const char *const tags[] = {
		"BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK", "SAVEPOINT", "PREPARE TRANSACTION",
	};
	const char *tag = PQcmdStatus((PGresult *)(uintptr_t)res);

	FOREACH(t, tags)
		if (!strncmp(tag, *t, strlen(*t)))
			return true;
	return false;
}

static void statement_ok(struct store_group *g, PGresult *res)
{
	struct judge *j = &g->judge;

	if (j->results == j->statements || transaction_tag(res)) {
		j->strange = true;
		PQclear(res);
		return;
	}
	g->results[j->results++].result = res;
}

static void group_synced(struct store *s, struct store_group *g)
{
	struct judge *j = &g->judge;

	j->synced = true;
	j->warned = s->notices != g->notices;
	s->answered_ms = clock_mono_ms();
	if (j->strange || (j->failed && judge_reconnect(j->sqlstate)))
		begin_drain(s);
	group_end(s, g, judge_verdict(j));
	arm_group_timer(s);
}

/* takes res; false when the connection is lost */
static bool take_result(struct store *s, struct store_group *g, PGresult *res)
{
	bool sound = true;

	switch (PQresultStatus(res)) {
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		statement_ok(g, res);
		return true;
	case PGRES_PIPELINE_SYNC:
		group_synced(s, g);
		break;
	case PGRES_PIPELINE_ABORTED:
		break;
	case PGRES_FATAL_ERROR:
		sound = server_error(g, res);
		break;
	default:
		g->judge.strange = true;
	}
	PQclear(res);
	return sound;
}

/* all answers that are here; false when the connection is lost */
static bool take_results(struct store *s)
{
	bool last_null = false, sound = true;

	while (sound && !list_empty(&s->flight) && !PQisBusy(s->conn)) {
		PGresult *res = PQgetResult(s->conn);

		if (!res && last_null) /* everything that was sent is answered */
			break;
		last_null = !res;
		if (res)
			sound = take_result(s, first(&s->flight), res);
	}
	/* reads what concerns no group: a parameter's change, the word of a server that ends */
	(void)PQisBusy(s->conn);
	return sound;
}

/* ---- sending ------------------------------------------------------------------------------ */

static size_t wire_size(const struct store_group *g)
{
	size_t size = SYNC_SIZE;

	for (size_t i = 0; i < g->judge.statements; i++)
		size += store_group_wire_size(g, i);
	return size;
}

/* statements up to n */
static int send_until(struct store *s, struct store_group *g, size_t n)
{
	int r = 0;

	while (!r && g->sent < n)
		r = store_group_send(g, g->sent++, s->conn);
	return r;
}

static int send_sync(struct store *s, struct store_group *g)
{
	g->complete = true;
	return PQpipelineSync(s->conn) ? 0 : err_here(-EPIPE);
}

/* Libpq's buffer is empty. Would it write the last statement without the whole Sync behind it? */
static bool cut_before_sync(size_t last_size)
{
	size_t rest = last_size % OUT_CHUNK;

	return rest == 0 || rest + SYNC_SIZE > OUT_CHUNK;
}

static int send_last(struct store *s, struct store_group *g)
{
	size_t n = g->judge.statements;
	int r = 0;

	if (n && cut_before_sync(store_group_wire_size(g, n - 1)) && !PQsendFlushRequest(s->conn))
		r = err_here(-EPIPE);
	if (!r)
		r = send_until(s, g, n);
	return r ? r : send_sync(s, g);
}

static struct store_group *begin_send(struct store *s)
{
	struct store_group *g = first(&s->waiting);

	list_del(&g->node);
	list_add_tail(&s->flight, &g->node);
	g->sent_ms = clock_mono_ms();
	g->notices = s->notices;
	if (first(&s->flight) == g)
		arm_group_timer(s);
	return g;
}

/* One portion, when libpq's buffer is empty. 1: something was handed over; 0: nothing to send. */
static int send_portion(struct store *s)
{
	struct store_group *g = NULL;
	bool aborted = PQpipelineStatus(s->conn) == PQ_PIPELINE_ABORTED;
	int r;

	if (!list_empty(&s->flight))
		g = list_entry(s->flight.prev, struct store_group, node);
	if (!g || g->complete) {
		if (aborted || s->state != STATE_READY || list_empty(&s->waiting))
			return 0;
		g = begin_send(s);
	}
	if (g->judge.failed) /* its own beginning did: the rest would be skipped */
		r = send_sync(s, g);
	else if (aborted)
		return 0;
	else if (g->sent == 0 && g->judge.statements > 1 && wire_size(g) >= OUT_CHUNK)
		r = send_until(s, g, g->judge.statements - 1);
	else
		r = send_last(s, g);
	return r ? r : 1;
}

static void pump(struct store *s)
{
	int r, flushed;

	do {
		flushed = PQflush(s->conn);
		r = flushed ? 0 : send_portion(s);
	} while (r > 0);
	if (r < 0 || flushed < 0)
		lost(s, "send", PQerrorMessage(s->conn));
	else if (conn_want(s, flushed ? LOOP_READ | LOOP_WRITE : LOOP_READ))
		lost(s, "send", "no memory");
}

static void on_pump_timer(void *ctx)
{
	struct store *s = ctx;

	if (s->state == STATE_READY || s->state == STATE_DRAIN)
		pump(s);
}

void store_io(struct store *s)
{
	bool consumed = PQconsumeInput(s->conn);
	bool sound = take_results(s);

	if (!sound || !consumed || PQstatus(s->conn) != CONNECTION_OK) {
		lost(s, "connection", PQerrorMessage(s->conn));
	} else if (s->state == STATE_DRAIN && list_empty(&s->flight)) {
		conn_next_host(s);
		lost(s, "server", "can't serve, leaving it");
	} else {
		pump(s);
	}
}

void store_became_ready(struct store *s)
{
	s->sessions++;
	s->notices = 0;
	s->answered_ms = 0;
	tell_state(s);
	if (s->state == STATE_READY)
		pump(s);
}

int store_submit(struct store_group *g, store_fn fn, void *ctx)
{
	struct store *s = g->store;
	size_t n = store_added(g);

	if (store_group_err(g))
		return store_group_err(g);
	if (s->state != STATE_READY)
		return STORE_E_DOWN;
	if (s->depth >= s->groups_max)
		return STORE_E_FULL;
	if (!g->results)
		g->results = calloc(n + 1, sizeof(*g->results));
	if (!g->rows)
		g->rows = calloc(n + 1, sizeof(*g->rows));
	if (!g->results || !g->rows)
		return err_here(-ENOMEM);
	for (size_t i = 0; i < n; i++)
		g->rows[i] = &g->results[i];
	g->judge.statements = n;
	g->fn = fn;
	g->ctx = ctx;
	g->submitted_us = clock_mono_us();
	list_add_tail(&s->waiting, &g->node);
	s->depth++;
	store_series_depth(s->series, 1);
	loop_timer_set(s->pump_timer, 0);
	return 0;
}

/* ---- new and free ------------------------------------------------------------------------- */

static void on_connect_timer(void *ctx)
{
	conn_start(ctx);
}

static int copy_text(char **ret, const char *text)
{
	if (text && !(*ret = strdup(text)))
		return err_here(-ENOMEM);
	return 0;
}

static int make_parts(struct store *s, const struct store_options *o)
{
	int r = hosts_parse(&s->hosts, o->dsn, s->last_error, sizeof(s->last_error));

	if (r == -EINVAL)
		log_error("store.dsn", "connection=%s reason=\"%s\"", s->label, s->last_error);
	if (!r)
		r = copy_text(&s->session.role, o->role);
	if (!r)
		r = copy_text(&s->session.application_name, o->application_name);
	if (!r)
		r = loop_timer_new(&s->connect_timer, s->loop, on_connect_timer, s);
	if (!r)
		r = loop_timer_new(&s->group_timer, s->loop, on_group_timer, s);
	if (!r)
		r = loop_timer_new(&s->pump_timer, s->loop, on_pump_timer, s);
	if (!r && o->metrics)
		r = store_series_new(&s->series, o->metrics, s->label);
	return r;
}

int store_new(struct store **ret, struct loop *l, const struct store_options *o)
{
	_cleanup_(store_freep) struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_here(-ENOMEM);
	s->loop = l;
	list_init(&s->waiting);
	list_init(&s->flight);
	s->tables = o->tables;
	s->session.read_only = o->read_only;
	s->connect_ms = o->connect_ms ? o->connect_ms : 2000;
	s->group_ms = o->group_ms ? o->group_ms : 3000;
	s->groups_max = o->groups_max ? o->groups_max : 64;
	s->label = o->metrics_label ? o->metrics_label : "store";
	r = make_parts(s, o);
	if (r)
		return r;
	store_series_limit(s->series, (int)s->groups_max);
	snprintf(s->last_error, sizeof(s->last_error), "not connected yet");
	loop_timer_set(s->connect_timer, 0);
	*ret = steal(s);
	return 0;
}

void store_stop(struct store *s)
{
	conn_close(s);
	loop_timer_stop(s->pump_timer);
	s->on_state = NULL;
	tell_state(s);
	end_all(s);
}

void store_free(struct store *s)
{
	if (!s)
		return;
	if (s->pump_timer) { /* the last part but the metrics: complete */
		store_stop(s);
		store_series_limit(s->series, -(int)s->groups_max);
	}
	for (size_t i = 0; i < HOSTS_MAX; i++)
		resolve_free(s->resolve[i]);
	loop_timer_free(s->connect_timer);
	loop_timer_free(s->group_timer);
	loop_timer_free(s->pump_timer);
	hosts_fini(&s->hosts);
	free(s->session.role);
	free(s->session.application_name);
	store_series_free(s->series);
	free(s);
}
