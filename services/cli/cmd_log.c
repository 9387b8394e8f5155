/*
 * The log for people: request show, tail, parked, message.
 */
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "common/base/ids.h"
#include "common/base/text.h"
#include "services/cli/cli.h"
#include "services/cli/commands.h"
#include "services/cli/event_text.h"

/* ---- events, one a line --------------------------------------------------------------------------- */

#define EVENT_COLUMNS                                                                             \
	"e.lane, e.seq, to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS at," \
	" e.type, j.slug AS jurisdiction, e.order_key, e.key_version, e.actor,"                   \
	" encode(e.trace, 'hex') AS trace, encode(e.body, 'hex') AS body"

enum { E_LANE, E_SEQ, E_AT, E_TYPE, E_TOWN, E_KEY, E_VERSION, E_ACTOR, E_TRACE, E_BODY };

static size_t unhex(const char *hex, uint8_t *out, size_t max)
{
	size_t n = 0;
	unsigned v;

	for (; n < max && sscanf(hex + 2 * n, "%2x", &v) == 1; n++)
		out[n] = (uint8_t)v;
	return n;
}

static void event_json(const PGresult *r, int row, int type, const char *name, const uint8_t *body, size_t len,
		       struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_object_begin(&j);
	json_kint(&j, "lane", atoi(PQgetvalue(r, row, E_LANE)));
	json_kstr(&j, "seq", PQgetvalue(r, row, E_SEQ));
	json_kstr(&j, "at", PQgetvalue(r, row, E_AT));
	json_kstr(&j, "type", name);
	json_kstr(&j, "jurisdiction", PQgetvalue(r, row, E_TOWN));
	json_kstr(&j, "order_key", PQgetvalue(r, row, E_KEY));
	json_kint(&j, "key_version", atoi(PQgetvalue(r, row, E_VERSION)));
	json_kstr(&j, "actor", PQgetvalue(r, row, E_ACTOR));
	json_kstr(&j, "trace", PQgetvalue(r, row, E_TRACE));
	json_key(&j, "body");
	json_object_begin(&j);
	event_body_json(type, body, len, &j);
	json_object_end(&j);
	json_object_end(&j);
}

static void print_event(const struct cli *c, const PGresult *r, int row)
{
	_cleanup_(buf_fini) struct buf out = BUF_INIT;
	_cleanup_(freep) uint8_t *body = malloc(65536);
	int type = atoi(PQgetvalue(r, row, E_TYPE));
	size_t len = body ? unhex(PQgetvalue(r, row, E_BODY), body, 65536) : 0;
	char name[64];

	event_type_name(type, name);
	if (c->json)
		event_json(r, row, type, name, body, len, &out);
	else
		event_body_text(type, body, len, &out);
	if (c->json)
		puts(out.data ? out.data : "{}");
	else
		printf("%s  %s/%-8s %-24s %-12s %-10s %-16s %s\n", PQgetvalue(r, row, E_AT),
		       PQgetvalue(r, row, E_LANE), PQgetvalue(r, row, E_SEQ), name,
		       PQgetvalue(r, row, E_TOWN), PQgetvalue(r, row, E_KEY), PQgetvalue(r, row, E_ACTOR),
		       out.data ? out.data : "");
}

/* ---- request show ----------------------------------------------------------------------------------- */

static int show_head(struct cli *c, const char *lane, const char *id)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c,
		"SELECT r.request AS service_request_id, j.slug AS jurisdiction, s.service_code, s.name AS service,"
		" (ARRAY['received','routed','accepted','in progress','closed'])[p.state] AS state,"
		" (ARRAY['done','declined','not ours','duplicate','not found','withdrawn'])"
		"  [nullif(p.outcome, 0)] AS outcome,"
		" coalesce(d.slug, o.slug) AS owner, coalesce(w.deadline, r.deadline) AS deadline,"
		" r.requested_at, p.updated_at,"
		" (ARRAY['phone','web','mobile','email','sms','chat','social','counter','staff','api','letter'])[r.channel] AS channel,"
		" r.lat, r.long, t.address, t.description,"
		" (SELECT string_agg(k, ', ') FROM (SELECT unnest(ARRAY["
		"   CASE WHEN x.email IS NOT NULL THEN 'mail' END, CASE WHEN x.phone IS NOT NULL THEN 'phone' END]) k"
		"  ) q) AS contact_by"
		" FROM centraleta.request r JOIN centraleta.jurisdiction j USING (jurisdiction)"
		" JOIN centraleta.service s ON s.service = r.service"
		" JOIN centraleta.department o ON o.department = r.owner"
		" LEFT JOIN centraleta.request_public p ON p.lane = r.lane AND p.request = r.request"
		" LEFT JOIN centraleta.request_text t ON t.lane = r.lane AND t.request = r.request"
		" LEFT JOIN centraleta.contact x ON x.lane = r.lane AND x.request = r.request"
		" LEFT JOIN LATERAL (SELECT * FROM centraleta.route w WHERE w.lane = r.lane"
		"  AND w.request = r.request ORDER BY turn DESC LIMIT 1) w ON true"
		" LEFT JOIN centraleta.department d ON d.department = w.department"
		" WHERE r.lane = $1 AND r.request = $2",
		2, (const char *[]){ lane, id });
	const char *names[33] = { NULL }, *values[33] = { NULL };

	if (!r)
		return CLI_FAILED;
	if (PQntuples(r) == 0)
		return cli_fail(CLI_NOT_FOUND, "no request %s", id);
	for (int i = 0; i < PQnfields(r) && i < 32; i++) {
		names[i] = PQfname(r, i);
		values[i] = PQgetisnull(r, 0, i) ? NULL : PQgetvalue(r, 0, i);
	}
	cli_print_one(c, names, values);
	return CLI_OK;
}

/* its own events and those of its work items, messages and departments' words, by time */
static int show_history(struct cli *c, const char *lane, const char *id)
{
	_cleanup_(PQclearp) PGresult *events = cli_query(
		c,
		"SELECT " EVENT_COLUMNS " FROM centraleta.event e JOIN centraleta.jurisdiction j USING (jurisdiction)"
		" WHERE (e.lane = $1 AND e.order_key = $2) OR (e.lane, e.order_key) IN (SELECT w.lane, w.work_item"
		"  FROM centraleta.work_request w WHERE w.request_lane = $1 AND w.request = $2)"
		" ORDER BY e.at, e.lane, e.seq",
		2, (const char *[]){ lane, id });
	_cleanup_(PQclearp) PGresult *notes = cli_query(
		c,
		"SELECT u.at, d.slug AS department, u.note FROM centraleta.update_text u"
		" JOIN centraleta.department d USING (department)"
		" WHERE (u.lane, u.work_item) IN (SELECT w.lane, w.work_item FROM centraleta.work_request w"
		"  WHERE w.request_lane = $1 AND w.request = $2) AND u.note <> '' ORDER BY u.at",
		2, (const char *[]){ lane, id });
	_cleanup_(PQclearp) PGresult *messages = cli_query(
		c,
		"SELECT m.created_at, (ARRAY['received','resolved'])[m.kind] AS kind,"
		" CASE m.channel WHEN 0 THEN 'no address' ELSE 'mail' END AS channel, m.language,"
		" (SELECT (ARRAY['sending','sent','failed','uncertain','undeliverable'])[a.state]"
		"  FROM centraleta.attempt a WHERE a.lane = m.lane AND a.cause_seq = m.cause_seq"
		"  AND a.kind = m.kind AND a.channel = m.channel ORDER BY a.attempt DESC, a.state DESC LIMIT 1) AS state,"
		" (SELECT max(a.message_id) FROM centraleta.attempt a WHERE a.lane = m.lane"
		"  AND a.cause_seq = m.cause_seq AND a.kind = m.kind AND a.channel = m.channel) AS message_id"
		" FROM centraleta.message m WHERE m.lane = $1 AND m.request = $2 ORDER BY m.created_at",
		2, (const char *[]){ lane, id });

	if (!events || !notes || !messages)
		return CLI_FAILED;
	if (!c->json)
		puts("\nhistory");
	for (int i = 0; i < PQntuples(events); i++)
		print_event(c, events, i);
	if (!c->json && PQntuples(notes))
		puts("\nwhat departments said");
	if (PQntuples(notes))
		cli_print(c, notes);
	if (!c->json && PQntuples(messages))
		puts("\nmessages");
	if (PQntuples(messages))
		cli_print(c, messages);
	return CLI_OK;
}

int cmd_request(struct cli *c, int argc, char **argv)
{
	int64_t id;
	char lane[8];
	int r;

	if (argc != 3 || strcmp(argv[1], "show"))
		return cli_usage("request");
	if (!text_to_i64(argv[2], strlen(argv[2]), &id) || id_lane(id) < 0)
		return cli_fail(CLI_USAGE, "'%s' is no service_request_id", argv[2]);
	snprintf(lane, sizeof(lane), "%d", id_lane(id));
	r = show_head(c, lane, argv[2]);
	return r ? r : show_history(c, lane, argv[2]);
}

/* ---- tail ------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t stopped;

static void stop(int signo _unused_)
{
	stopped = 1;
}

/* prints what came behind after[], which moves on; how many, or -1 */
static int tail_once(struct cli *c, const char *town, int64_t after[static LANE_MAX])
{
	_cleanup_(buf_fini) struct buf positions = BUF_INIT;
	_cleanup_(PQclearp) PGresult *r = NULL;

	buf_ch(&positions, '{');
	for (int l = 0; l < LANE_MAX; l++)
		buf_printf(&positions, "%s%lld", l ? "," : "", (long long)after[l]);
	buf_ch(&positions, '}');
	r = cli_query(c,
		      "SELECT " EVENT_COLUMNS " FROM unnest($1::bigint[]) WITH ORDINALITY AS p (seq, lane1)"
		      " CROSS JOIN LATERAL (SELECT * FROM centraleta.event e WHERE e.lane = p.lane1 - 1"
		      "  AND e.seq > p.seq ORDER BY e.seq LIMIT 500) e"
		      " JOIN centraleta.jurisdiction j USING (jurisdiction) ORDER BY e.at, e.lane, e.seq",
		      1, (const char *[]){ positions.data });
	if (!r)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		int64_t seq = strtoll(PQgetvalue(r, i, E_SEQ), NULL, 10);
		int lane = atoi(PQgetvalue(r, i, E_LANE));

		after[lane] = MAX(after[lane], seq);
		if (!town || !strcmp(town, PQgetvalue(r, i, E_TOWN)))
			print_event(c, r, i);
	}
	fflush(stdout);
	return PQntuples(r);
}

static int tail_start(struct cli *c, long back, int64_t after[static LANE_MAX])
{
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c, "SELECT lane, coalesce((SELECT max(seq) FROM centraleta.event e WHERE e.lane = l.lane), 0)"
		   " FROM centraleta.lane l", 0, NULL);

	if (!r)
		return CLI_FAILED;
	for (int i = 0; i < PQntuples(r); i++)
		after[atoi(PQgetvalue(r, i, 0))] = MAX(0, strtoll(PQgetvalue(r, i, 1), NULL, 10) - back);
	return CLI_OK;
}

int cmd_tail(struct cli *c, int argc, char **argv)
{
	const char *town = NULL, *back = "10";
	bool once = false;
	const struct option_spec specs[] = {
		{ "jurisdiction", &town, NULL, false },
		{ "back", &back, NULL, false },
		{ "once", NULL, &once, false },
		{ NULL, NULL, NULL, false },
	};
	int64_t after[LANE_MAX] = { 0 };
	int n;

	if (cli_options("tail", argc, argv, specs, NULL, 0, 0) < 0)
		return CLI_USAGE;
	if (tail_start(c, strtol(back, NULL, 10), after))
		return CLI_FAILED;
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	do {
		n = tail_once(c, town, after);
		if (n == 0 && !once)
			nanosleep(&(struct timespec){ .tv_nsec = 250000000 }, NULL);
	} while (n >= 0 && !stopped && (!once || n > 0));
	return n < 0 ? CLI_FAILED : CLI_OK;
}

/* ---- parked ----------------------------------------------------------------------------------------- */

static int parked_list(struct cli *c)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c,
		"SELECT p.consumer, p.lane, p.seq, e.type, j.slug AS jurisdiction, p.order_key, p.cause, p.detail,"
		" p.owner, p.deadline, p.wish, p.parked_at FROM centraleta.parked p"
		" JOIN centraleta.jurisdiction j USING (jurisdiction)"
		" LEFT JOIN centraleta.event e ON e.lane = p.lane AND e.seq = p.seq"
		" ORDER BY p.deadline, p.consumer, p.lane, p.seq",
		0, NULL);

	if (!r)
		return CLI_FAILED;
	cli_print(c, r);
	return CLI_OK;
}

static int parked_show(struct cli *c, const char *const *key)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c,
		"SELECT " EVENT_COLUMNS " FROM centraleta.event e JOIN centraleta.jurisdiction j USING (jurisdiction)"
		" JOIN centraleta.parked p ON p.lane = e.lane AND p.seq = e.seq"
		" WHERE p.consumer = $1 AND p.lane = $2 AND p.seq = $3",
		3, key);

	if (!r)
		return CLI_FAILED;
	if (PQntuples(r) == 0)
		return cli_fail(CLI_NOT_FOUND, "not parked; 'centraleta parked list' shows what is");
	print_event(c, r, 0);
	return CLI_OK;
}

static int parked_wish(struct cli *c, const char *const *key, const char *wish)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(c,
						    "UPDATE centraleta.parked SET wish = $4 WHERE consumer = $1"
						    " AND lane = $2 AND seq = $3 RETURNING 1",
						    4, (const char *[]){ key[0], key[1], key[2], wish });

	if (!r)
		return CLI_FAILED;
	if (PQntuples(r) == 0)
		return cli_fail(CLI_NOT_FOUND, "not parked; 'centraleta parked list' shows what is");
	if (!c->json)
		printf("marked: the consumer %s does it within a few seconds\n", key[0]);
	return CLI_OK;
}

int cmd_parked(struct cli *c, int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	const char *const *key = (const char *const *)argv + 2;

	if (!strcmp(verb, "list") && argc == 2)
		return parked_list(c);
	if (argc != 5)
		return cli_usage("parked");
	if (!strcmp(verb, "show"))
		return parked_show(c, key);
	if (!strcmp(verb, "retry") || !strcmp(verb, "discard"))
		return parked_wish(c, key, verb);
	return cli_usage("parked");
}

/* ---- message ---------------------------------------------------------------------------------------- */

/* messages whose newest row says so; uncertain ones may have left and are not sent again by themselves */
int cmd_message(struct cli *c, int argc, char **argv)
{
	_cleanup_(PQclearp) PGresult *r = NULL;
	const char *state = argc == 3 && !strcmp(argv[1], "list") ? argv[2] : "";

	if (strcmp(state, "uncertain") && strcmp(state, "undeliverable") && strcmp(state, "failed"))
		return cli_usage("message");
	r = cli_query(c,
		      "SELECT j.slug AS jurisdiction, m.request AS service_request_id,"
		      " (ARRAY['received','resolved'])[m.kind] AS kind, a.attempt, a.message_id, a.detail, a.at"
		      " FROM centraleta.message m JOIN centraleta.jurisdiction j USING (jurisdiction)"
		      " JOIN LATERAL (SELECT * FROM centraleta.attempt a WHERE a.lane = m.lane"
		      "  AND a.cause_seq = m.cause_seq AND a.kind = m.kind AND a.channel = m.channel"
		      "  ORDER BY a.attempt DESC, a.state DESC LIMIT 1) a ON true"
		      " WHERE a.state = CASE $1 WHEN 'failed' THEN 3 WHEN 'uncertain' THEN 4 ELSE 5 END"
		      " ORDER BY a.at DESC LIMIT 1000",
		      1, &state);
	if (!r)
		return CLI_FAILED;
	cli_print(c, r);
	return CLI_OK;
}
