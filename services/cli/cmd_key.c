/*
 * Keys of integrators and departments. A key is a text that is said in the first frame or in a
 * request, or a CURVE key pair, with which a connection over tcp:// is made. Of either the store
 * holds what can't be used: a hash, or the public half. Secrets are shown once.
 */
#include <stdio.h>
#include <zmq.h>

#include "common/base/text.h"
#include "common/domain/apikey.h"
#include "services/cli/cli.h"
#include "services/cli/commands.h"

const char cli_key_help[] =
	"  --scopes LIST           of submit, import (doors; default submit), dispatch (departments)\n"
	"  --topics LIST           services (slugs) that a department's key may see; default: all\n"
	"  --curve PUBLIC          a CURVE key for tcp://, of a pair that its owner has made (Z85)\n"
	"  --curve-new             the same with a new pair\n"
	"  --keep TIME             rotate: how long the old key is still taken: 30s, 10m, 12h, 7d (7d)\n"
	"rotate makes a key of the same kind for the same door or department, unless --curve or\n"
	"--curve-new say otherwise. server makes a pair for the daemons' tcp:// sockets: its secret goes\n"
	"into bus.curve_secret_file of all hosts, its public half to all clients.\n"
	"What is secret is shown once.";

enum { KEEP_DEFAULT_S = 7 * 86400, KEEP_MAX_S = 365 * 86400, CURVE_TEXT = 40, CURVE_BYTES = 32 };

struct key_new { /* what is to be stored, and what is to be shown */
	const char *town, *door, *department, *scopes, *topics;
	const char *old; /* rotate: id of the one before */
	const char *keep; /* rotate: seconds */
	bool curve;
	struct apikey text; /* its id is that of either kind */
	char hash[2 * APIKEY_HASH_LEN + 1];
	char public[CURVE_TEXT + 1], secret[CURVE_TEXT + 1]; /* secret "": its owner has it */
};

/* ---- making --------------------------------------------------------------------------------------- */

static int make_text(struct cli *c, struct key_new *k)
{
	const char *secret = config_secret(c->config, "service.secret_file");
	uint8_t hash[APIKEY_HASH_LEN];

	if (!secret || strlen(secret) < 32)
		return cli_fail(CLI_FAILED, "service.secret_file must name the installation's secret"
					    " (32 bytes or more), the one the daemons have");
	apikey_hash(&k->text, (struct bytes){ (const uint8_t *)secret, strlen(secret) }, hash);
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(k->hash + 2 * i, 3, "%02x", hash[i]);
	return CLI_OK;
}

static int make_pair(char public[static CURVE_TEXT + 1], char secret[static CURVE_TEXT + 1])
{
	return zmq_curve_keypair(public, secret) ?
		       cli_fail(CLI_FAILED, "this machine's libzmq was built without CURVE") : CLI_OK;
}

/* given: the public key of --curve, or NULL for a new pair */
static int make_curve(struct key_new *k, const char *given)
{
	uint8_t raw[CURVE_BYTES];

	k->curve = true;
	if (!given)
		return make_pair(k->public, k->secret);
	if (strlen(given) != CURVE_TEXT || !zmq_z85_decode(raw, given))
		return cli_fail(CLI_USAGE, "key: --curve takes a public key of CURVE: 40 characters of Z85");
	memcpy(k->public, given, sizeof(k->public));
	return CLI_OK;
}

static void show(struct cli *c, const struct key_new *k)
{
	if (!k->curve)
		cli_print_one(c, (const char *[]){ "key_id", "key", NULL },
			      (const char *[]){ k->text.id, k->text.text });
	else if (*k->secret)
		cli_print_one(c, (const char *[]){ "key_id", "curve_public", "curve_secret", NULL },
			      (const char *[]){ k->text.id, k->public, k->secret });
	else
		cli_print_one(c, (const char *[]){ "key_id", "curve_public", NULL },
			      (const char *[]){ k->text.id, k->public });
}

/* NULL where it is of the other kind */
static const char *hash_of(const struct key_new *k)
{
	return k->curve ? NULL : k->hash;
}

static const char *public_of(const struct key_new *k)
{
	return k->curve ? k->public : NULL;
}

/* ---- add ------------------------------------------------------------------------------------------ */

static int add_key(struct cli *c, void *arg)
{
	struct key_new *k = arg;
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c,
		"INSERT INTO centraleta.api_key (key_id, jurisdiction, door, department, scopes, topics, hash,"
		" curve_key)"
		" SELECT $2, $1::integer, d.door, e.department, string_to_array($5, ','),"
		"  coalesce(string_to_array($6, ','), '{}'), decode($7, 'hex'), $8"
		" FROM (SELECT 1) one"
		" LEFT JOIN centraleta.door d ON d.jurisdiction = $1::integer AND d.slug = $3"
		" LEFT JOIN centraleta.department e ON e.jurisdiction = $1::integer AND e.slug = $4"
		" WHERE d.door IS NOT NULL OR e.department IS NOT NULL RETURNING 1",
		8, (const char *[]){ k->town, k->text.id, k->door, k->department, k->scopes, k->topics,
				     hash_of(k), public_of(k) });

	if (!r)
		return CLI_FAILED;
	if (PQntuples(r) == 0)
		return cli_fail(CLI_NOT_FOUND, "the town has no %s '%s'", k->door ? "door" : "department",
				k->door ? k->door : k->department);
	return CLI_OK;
}

/* a topic that no service has would be a key that sees nothing */
static int check_topics(struct cli *c, const struct key_new *k)
{
	_cleanup_(PQclearp) PGresult *r = NULL;

	if (!k->topics)
		return CLI_OK;
	if (!k->department)
		return cli_fail(CLI_USAGE, "key: --topics is for --department");
	r = cli_query(c,
		      "SELECT t FROM unnest(string_to_array($2, ',')) t WHERE NOT EXISTS (SELECT 1 FROM"
		      " centraleta.service s WHERE s.jurisdiction = $1::integer AND s.slug = t)"
		      " UNION ALL SELECT '' WHERE $2 = '' LIMIT 1",
		      2, (const char *[]){ k->town, k->topics });
	if (!r)
		return CLI_FAILED;
	return PQntuples(r) ? cli_fail(CLI_NOT_FOUND, "the town has no service with the slug '%s'",
				       PQgetvalue(r, 0, 0)) : CLI_OK;
}

static int key_add(struct cli *c, struct key_new *k, const char *curve, bool curve_new)
{
	int r;

	if (!k->door == !k->department)
		return cli_fail(CLI_USAGE, "key: either --door or --department");
	if (!k->scopes)
		k->scopes = k->door ? "submit" : "dispatch";
	r = check_topics(c, k);
	if (!r)
		r = curve || curve_new ? make_curve(k, curve) : make_text(c, k);
	if (!r)
		r = cli_change(c, add_key, k);
	if (!r)
		show(c, k);
	return r;
}

/* ---- rotate --------------------------------------------------------------------------------------- */

static int rotate_key(struct cli *c, void *arg)
{
	struct key_new *k = arg;
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c,
		"WITH old AS (UPDATE centraleta.api_key SET revoked_at = now() + make_interval(secs => $2::float8)"
		" WHERE key_id = $1 AND revoked_at IS NULL RETURNING jurisdiction, door, department, scopes, topics)"
		" INSERT INTO centraleta.api_key (key_id, jurisdiction, door, department, scopes, topics, hash,"
		" curve_key) SELECT $3, jurisdiction, door, department, scopes, topics, decode($4, 'hex'), $5"
		" FROM old RETURNING 1",
		5, (const char *[]){ k->old, k->keep, k->text.id, hash_of(k), public_of(k) });

	if (!r)
		return CLI_FAILED;
	return PQntuples(r) ? CLI_OK : cli_fail(CLI_NOT_FOUND, "no key of this id that was to stay");
}

/* seconds of 30s, 10m, 12h, 7d as text */
static int parse_keep(const char *s, char ret[static 16])
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	size_t len = strlen(s);
	int64_t n;

	FOREACH(u, units) {
		if (!len || s[len - 1] != u->unit || !text_to_i64(s, len - 1, &n) || n < 0 ||
		    n > KEEP_MAX_S / u->seconds)
			continue;
		snprintf(ret, 16, "%lld", (long long)(n * u->seconds));
		return CLI_OK;
	}
	return cli_fail(CLI_USAGE, "key: --keep takes 30s, 10m, 12h, 7d; a year at most");
}

static int is_curve(struct cli *c, const char *key_id, bool *ret)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c, "SELECT curve_key IS NOT NULL FROM centraleta.api_key WHERE key_id = $1", 1, &key_id);

	if (!r)
		return CLI_FAILED;
	if (PQntuples(r) == 0)
		return cli_fail(CLI_NOT_FOUND, "no key '%s'", key_id);
	*ret = *PQgetvalue(r, 0, 0) == 't';
	return CLI_OK;
}

static int key_rotate(struct cli *c, struct key_new *k, const char *curve, bool curve_new, const char *keep)
{
	char seconds[16];
	bool as_curve = false;
	int r = is_curve(c, k->old, &as_curve);

	snprintf(seconds, sizeof(seconds), "%d", KEEP_DEFAULT_S);
	if (!r && keep)
		r = parse_keep(keep, seconds);
	k->keep = seconds;
	if (!r)
		r = curve || curve_new || as_curve ? make_curve(k, curve) : make_text(c, k);
	if (!r)
		r = cli_change(c, rotate_key, k);
	if (!r)
		show(c, k);
	return r;
}

/* ---- the rest ------------------------------------------------------------------------------------- */

static int revoke_key(struct cli *c, void *arg)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(c,
						    "UPDATE centraleta.api_key SET revoked_at = now() WHERE key_id = $1"
						    " AND (revoked_at IS NULL OR revoked_at > now()) RETURNING 1",
						    1, arg);

	if (!r)
		return CLI_FAILED;
	return PQntuples(r) ? CLI_OK : cli_fail(CLI_NOT_FOUND, "no living key of this id");
}

static int key_list(struct cli *c, const char *town)
{
	_cleanup_(PQclearp) PGresult *r = cli_query(
		c,
		"SELECT k.key_id, d.slug AS door, e.slug AS department,"
		" array_to_string(k.scopes, ',') AS scopes, array_to_string(k.topics, ',') AS topics,"
		" k.curve_key, k.created_at, k.revoked_at"
		" FROM centraleta.api_key k LEFT JOIN centraleta.door d USING (door)"
		" LEFT JOIN centraleta.department e ON e.department = k.department"
		" WHERE k.jurisdiction = $1 ORDER BY k.created_at",
		1, &town);

	if (!r)
		return CLI_FAILED;
	cli_print(c, r);
	return CLI_OK;
}

static int key_server(struct cli *c)
{
	char public[CURVE_TEXT + 1], secret[CURVE_TEXT + 1];
	int r = make_pair(public, secret);

	if (!r)
		cli_print_one(c, (const char *[]){ "curve_public", "curve_secret", NULL },
			      (const char *[]){ public, secret });
	return r;
}

int cmd_key(struct cli *c, int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "", *p = NULL, *curve = NULL, *keep = NULL;
	struct key_new k = { 0 };
	bool curve_new = false, server = !strcmp(verb, "server");
	const struct option_spec specs[] = {
		{ "door", &k.door, NULL, false },	{ "department", &k.department, NULL, false },
		{ "scopes", &k.scopes, NULL, false },	{ "topics", &k.topics, NULL, false },
		{ "curve", &curve, NULL, false },	{ "curve-new", NULL, &curve_new, false },
		{ "keep", &keep, NULL, false },		{ NULL, NULL, NULL, false },
	};
	char town[16];
	int r;

	if (argc < 2)
		return cli_usage("key");
	if (cli_options("key", argc - 1, argv + 1, specs, &p, !server, !server) < 0)
		return CLI_USAGE;
	if (curve && curve_new)
		return cli_fail(CLI_USAGE, "key: either --curve or --curve-new");
	apikey_new(&k.text);
	k.town = town;
	k.old = p;
	if (server)
		return key_server(c);
	if (!strcmp(verb, "revoke"))
		return cli_change(c, revoke_key, &p);
	if (!strcmp(verb, "rotate"))
		return key_rotate(c, &k, curve, curve_new, keep);
	r = cli_town(c, p, town);
	if (r)
		return r;
	if (!strcmp(verb, "add"))
		return key_add(c, &k, curve, curve_new);
	return strcmp(verb, "list") ? cli_usage("key") : key_list(c, town);
}
