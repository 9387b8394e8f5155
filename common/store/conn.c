/*
 * conn - making a connection: one host at a time, look-up, handshake, statements
 *
 * Every step has its own bound of connect_ms, since neither connect_timeout nor libpq's rotation
 * work without blocking. Settings and all statements go out in one pipeline; one that can't be
 * prepared is a mismatch of program and schema: it is told loudly and tried again, because a
 * migration may be under way. After each full round of the hosts the pause doubles.
 */
#include <errno.h>
#include <stdio.h>
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/store/internal.h"

#define RESOLVE_POLL_MS 10
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 2000

static const char *const settings[] = {
	"SET lock_timeout = '2s'",
	"SET idle_in_transaction_session_timeout = '5s'",
};

void conn_error(struct store *s, const char *what, const char *text)
{
	/* libpq's first line: names the host, the user and the reason, never the password */
	snprintf(s->last_error, sizeof(s->last_error), "%s: %.*s", what, (int)strcspn(text, "\n"), text);
	log_debug("store.connection", "connection=%s error=\"%s\"", s->label, s->last_error);
}

void conn_close(struct store *s)
{
	loop_io_free(steal(s->io));
	loop_timer_stop(s->connect_timer);
	loop_timer_stop(s->group_timer);
	if (s->conn)
		PQfinish(steal(s->conn));
	s->state = STATE_PAUSE;
}

/* half to all of the pause, so that daemons that lost the same server don't come back as one */
static uint64_t pause_ms(struct store *s)
{
	size_t round = s->failures / s->hosts.n;
	uint32_t most = PAUSE_MAX_MS;

	if (round <= 5)
		most = MIN(PAUSE_MIN_MS << (round ? round - 1 : 0), PAUSE_MAX_MS);
	return most / 2 + loop_random(s->loop, most / 2 + 1);
}

void conn_next_host(struct store *s)
{
	if (++s->address < s->addresses.n)
		return;
	s->address = 0;
	s->addresses.n = 0;
	s->host = (s->host + 1) % s->hosts.n;
	s->failures++;
}

void conn_reconnect(struct store *s)
{
	conn_close(s);
	loop_timer_set(s->connect_timer, pause_ms(s));
}

/* an attempt failed: the next address or host at once, a pause after a full round */
static void fail(struct store *s, const char *what, const char *text)
{
	conn_error(s, what, text);
	conn_next_host(s);
	conn_close(s);
	if (s->address || s->failures % s->hosts.n)
		loop_timer_set(s->connect_timer, 0);
	else
		loop_timer_set(s->connect_timer, pause_ms(s));
}

int conn_want(struct store *s, unsigned want)
{
	return loop_io_want(s->io, want);
}

/* ---- statements --------------------------------------------------------------------------- */

static const struct query *query_at(const struct store *s, size_t i)
{
	for (const struct query_table *t = s->tables; t && t->queries; t++) {
		if (i < t->n)
			return &t->queries[i];
		i -= t->n;
	}
	return NULL;
}

static void prepare_error(struct store *s, const PGresult *res)
{
	size_t n = ARRAY_SIZE(settings);
	const struct query *q = s->prepared < n ? NULL : query_at(s, s->prepared - n);
	const char *name = q ? q->name : s->prepared < n ? settings[s->prepared] : "";
	const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	char line[sizeof(s->last_error) - 16]; /* fail() puts a word before it */

	s->prepare_failed = true;
	snprintf(line, sizeof(line), "statement %s: %s", name, message ? message : "connection lost");
	if (!strstr(s->last_error, line)) /* not again at each attempt */
		log_error("store.prepare", "connection=%s statement=\"%s\" sqlstate=%s message=\"%s\"",
			  s->label, name, sqlstate ? sqlstate : "", message ? message : "");
	snprintf(s->last_error, sizeof(s->last_error), "%s", line);
}

/* one answer of the pipeline; true at its end */
static bool prepare_result(struct store *s, const PGresult *res)
{
	switch (PQresultStatus(res)) {
	case PGRES_PIPELINE_SYNC:
		return true;
	case PGRES_COMMAND_OK:
		s->prepared++;
		return false;
	case PGRES_PIPELINE_ABORTED:
		return false;
	default:
		if (!s->prepare_failed)
			prepare_error(s, res);
		return false;
	}
}

static void prepare_done(struct store *s)
{
	if (s->prepare_failed) {
		char reason[sizeof(s->last_error)];

		memcpy(reason, s->last_error, sizeof(reason));
		fail(s, "prepare", reason);
		return;
	}
	loop_timer_stop(s->connect_timer);
	s->failures = 0;
	s->state = STATE_READY;
	*s->last_error = '\0';
	store_became_ready(s);
}

static void prepare_io(struct store *s)
{
	int consumed = PQconsumeInput(s->conn), flushed = PQflush(s->conn);
	bool done = false, last_null = false;

	while (!done && !PQisBusy(s->conn)) {
		PGresult *res = PQgetResult(s->conn);

		if (!res && last_null)
			break;
		last_null = !res;
		done = res && prepare_result(s, res);
		PQclear(res);
	}
	if (done)
		prepare_done(s);
	else if (!consumed || flushed < 0 || PQstatus(s->conn) != CONNECTION_OK)
		fail(s, "prepare", PQerrorMessage(s->conn));
	else if (conn_want(s, flushed ? LOOP_READ | LOOP_WRITE : LOOP_READ))
		fail(s, "prepare", "no memory");
}

static bool prepare_send(struct store *s)
{
	const struct query *q;

	FOREACH(set, settings)
		if (!PQsendQueryParams(s->conn, *set, 0, NULL, NULL, NULL, NULL, 0))
			return false;
	for (size_t i = 0; (q = query_at(s, i)); i++)
		if (!PQsendPrepare(s->conn, q->name, q->sql, 0, NULL))
			return false;
	return PQpipelineSync(s->conn);
}

static void begin_prepare(struct store *s)
{
	s->state = STATE_PREPARE;
	s->prepared = 0;
	s->prepare_failed = false;
	loop_timer_set(s->connect_timer, s->connect_ms);
	PQsetNoticeReceiver(s->conn, store_notice, s);
	if (PQsetnonblocking(s->conn, 1) || !PQenterPipelineMode(s->conn) || !prepare_send(s))
		fail(s, "prepare", PQerrorMessage(s->conn));
	else
		prepare_io(s);
}

/* ---- handshake ---------------------------------------------------------------------------- */

static void poll_connect(struct store *s);

static void on_io(void *ctx, _unused_ unsigned ready)
{
	struct store *s = ctx;

	if (s->state == STATE_CONNECT)
		poll_connect(s);
	else if (s->state == STATE_PREPARE)
		prepare_io(s);
	else
		store_io(s);
}

/* libpq may have changed its socket */
static void watch_socket(struct store *s, unsigned want)
{
	if (loop_io_new(&s->io, s->loop, PQsocket(s->conn), on_io, s) || conn_want(s, want))
		fail(s, "connect", "no memory");
}

static void poll_connect(struct store *s)
{
	/* the descriptor may be closed and its number used again inside PQconnectPoll() */
	loop_io_free(steal(s->io));
	switch (PQconnectPoll(s->conn)) {
	case PGRES_POLLING_READING:
		watch_socket(s, LOOP_READ);
		break;
	case PGRES_POLLING_WRITING:
		watch_socket(s, LOOP_WRITE);
		break;
	case PGRES_POLLING_OK:
		watch_socket(s, LOOP_READ);
		if (s->io)
			begin_prepare(s);
		break;
	default:
		fail(s, "connect", PQerrorMessage(s->conn));
	}
}

static void begin_connect(struct store *s)
{
	const char *addr = s->addresses.n ? s->addresses.text[s->address] : NULL;

	s->state = STATE_CONNECT;
	loop_timer_set(s->connect_timer, s->connect_ms);
	s->conn = hosts_connect(&s->hosts, s->host, addr, &s->session);
	if (!s->conn || PQstatus(s->conn) == CONNECTION_BAD)
		fail(s, "connect", s->conn ? PQerrorMessage(s->conn) : "no memory");
	else
		watch_socket(s, LOOP_WRITE);
}

/* ---- look-up ------------------------------------------------------------------------------ */

static void poll_resolve(struct store *s)
{
	struct resolve **look_up = &s->resolve[s->host];
	int r = resolve_poll(*look_up, &s->addresses);

	if (r == RESOLVE_E_BUSY) {
		if (clock_mono_ms() < s->attempt_ends_ms)
			loop_timer_set(s->connect_timer, RESOLVE_POLL_MS);
		else
			fail(s, hosts_name(&s->hosts, s->host), "name look-up timed out");
		return;
	}
	resolve_free(steal(*look_up));
	if (r)
		fail(s, hosts_name(&s->hosts, s->host), "name look-up failed");
	else
		begin_connect(s);
}

static void begin_resolve(struct store *s, const char *name)
{
	s->state = STATE_RESOLVE;
	s->attempt_ends_ms = clock_mono_ms() + s->connect_ms;
	s->addresses.n = s->address = 0;
	if (!s->resolve[s->host] && resolve_start(&s->resolve[s->host], name))
		fail(s, name, "name look-up failed to start");
	else
		poll_resolve(s);
}

void conn_start(struct store *s)
{
	const char *name = hosts_name(&s->hosts, s->host);

	switch (s->state) {
	case STATE_PAUSE:
		if (name && !s->addresses.n)
			begin_resolve(s, name);
		else
			begin_connect(s);
		break;
	case STATE_RESOLVE:
		poll_resolve(s);
		break;
	default:
		fail(s, s->state == STATE_PREPARE ? "prepare" : "connect", "timed out");
	}
}
