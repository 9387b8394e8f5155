"""Rows that intake has stored, as parameters of its own statements, for tests/bench/pq."""
import re

import machine
from bench import ROOT, load

# what each parameter of intake_accept() was, by its name; c_…: only where there is a contact
ACCEPT = {"lane": "0::int2 AS scalar_lane", "key_lane": "i.lane AS key_lane", "jurisdiction": "r.jurisdiction", "door": "r.door", "key": "i.key",
	"body_hash": "i.body_hash", "request": "r.request", "service": "r.service", "channel": "r.channel", "lat": "r.lat",
	"long": "r.long", "address": "t.address", "address_id": "r.address_id", "lists": "r.attributes", "frees": "t.attributes",
	"description": "t.description", "media_url": "t.media_url", "owner": "r.owner", "deadline": "r.deadline",
	"requested_at": "r.requested_at", "code_hash": "r.code_hash", "state": "p.state", "outcome": "p.outcome",
	"updated_at": "p.updated_at", "contact_ord": "CASE WHEN c.request IS NOT NULL THEN 0 END AS c_ord", "email": "c.email AS c_email",
	"phone": "c.phone AS c_phone", "first_name": "c.first_name AS c_first", "last_name": "c.last_name AS c_last",
	"account_id": "c.account_id AS c_account", "device_id": "c.device_id AS c_device", "language": "c.language AS c_language",
	"type": "e.type", "actor": "e.actor", "trace": "e.trace", "body": "e.body"}
EVENT = "lane, seq, jurisdiction, order_key, key_version, type, type_version, at, actor, trace, body"
APPEND = "lane, jurisdiction, order_key, key_version, type, type_version, actor, trace, body"


def statement(file, name):
	"""The SQL of a QUERY() in the tree."""
	text = (ROOT / file).read_text()
	found = re.search(rf'QUERY\({name},\s*((?:"[^"]*"\s*)+)\)', text).group(1)
	return "".join(re.findall(r'"([^"]*)"', found))


def accept_template(store):
	"""A SELECT of stored rows in the order of intake_accept()'s parameters."""
	names = store.sql("SELECT unnest(proargnames[:pronargs]) FROM pg_proc WHERE proname = 'intake_accept'").split()
	columns = ", ".join(ACCEPT[n.removeprefix("p_")] for n in names)
	return (f"SELECT {columns} FROM request r JOIN idempotency i ON i.request = r.request JOIN request_text t ON t.request = r.request"
		" JOIN request_public p ON p.request = r.request JOIN event e ON e.order_key = r.request AND e.key_version = 1"
		" LEFT JOIN contact c ON c.request = r.request ORDER BY r.request LIMIT 4096")


def write(bench, source, to, role, template, sql, seconds, first, rows=256, depth=2, lanes=2):
	"""Runs pq from one store into another; CPU includes pq's own."""
	to.sql("CHECKPOINT")
	options = " options='-c search_path=centraleta,public'"
	stored = to.rows()
	before, flushes = to.cpu()[1], machine.device_flushes(bench.temp)
	out = load(bench, "pq", source.stack.dsn() + options, to.stack.dsn(role) + options, lanes, seconds, rows, depth, first, template, sql)[-1]
	per = 1e6 / out["answered"]
	used = to.cpu()[1] - before
	stored = to.rows() - stored
	if stored != out["answered"]:
		raise RuntimeError(f"{out}: {stored} stored")
	return {"rate": out["answered"] / out["seconds"], "answered": out["answered"], "groups": out["groups"],
		"load_cpu": out["cpu"], "postgres_us": used * per, "cpu_us": (used + out["cpu"] * out["seconds"]) * per,
		"flushes": None if flushes is None else machine.device_flushes(bench.temp) - flushes}
