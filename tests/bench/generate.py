"""Many stored requests out of few: the product makes the first ones, PostgreSQL repeats them.

make() lets the whole suite take ten thousand of the shipped requests, mail some, and do all of their work, so
each table holds what the product writes. multiply() repeats every row of every table with other numbers, other
times and places a little off: a request's rows stay those of one request, lanes and departments' lines stay
dense, heads and positions are moved behind them. The idempotency keys, codes and update ids are new ones.
"""
import time

from suite import Suite

FIRST = 10_000
STEP_DAYS = 3.65  # between two copies of a request: a million spread over a year, ten over ten
CHUNK = 10  # copies in one transaction
DAY = "interval '1 day'"

# of a request's copy k, how far back: the same for all rows of that copy
BACK = "(({n} - k) * {step} + (b.{id} / 100 % 9973) * {step} / 9973) * " + DAY
PLACE = "b.{0} + ((b.request / 100 * 7 + k * 131) % 1000 - 500) * 0.00001"
REQUEST, WORK = "b.request + k * {ids}", "b.work_item + k * {ids}"
SEQ = "b.{0} + k * (SELECT h.seq FROM bench.head h WHERE h.lane = b.lane)"
DSEQ = "b.dseq + k * (SELECT h.dseq FROM bench.line h WHERE h.lane = b.lane AND h.department = b.department)"
PREV = """CASE WHEN b.prev = 0 THEN (k - 1) * (SELECT h.dseq FROM bench.line h WHERE h.lane = b.lane
	AND h.department = b.department) + (SELECT t.dseq FROM bench.topic t WHERE t.lane = b.lane
	AND t.department = b.department AND t.service = b.service) ELSE b.prev + k * (SELECT h.dseq FROM bench.line h
	WHERE h.lane = b.lane AND h.department = b.department) END"""


def back(column, id_column="request"):
	return f"b.{column} - " + BACK.replace("{id}", id_column)


# what differs in a copy, by table; columns that aren't named are the same
TABLES = {
	"request": {"request": REQUEST, "lat": PLACE.format("lat"), "long": PLACE.format("long"), "deadline": back("deadline"),
		"requested_at": back("requested_at"), "code_hash": "decode(md5(encode(b.code_hash, 'hex') || k), 'hex')"},
	"request_text": {"request": REQUEST},
	"contact": {"request": REQUEST},
	"request_public": {"request": REQUEST, "lat": PLACE.format("lat"), "long": PLACE.format("long"),
		"requested_at": back("requested_at"), "updated_at": back("updated_at"), "expected_at": back("expected_at")},
	"idempotency": {"key": "b.key || '-' || k", "request": REQUEST},
	"route": {"request": REQUEST, "work_item": WORK, "deadline": back("deadline"), "at": back("at")},
	"work_item": {"work_item": WORK, "deadline": back("deadline", "work_item"), "created_at": back("created_at", "work_item")},
	"work_request": {"work_item": WORK, "request": REQUEST},
	"work_state": {"work_item": WORK, "updated_at": back("updated_at", "work_item")},
	"update_text": {"update_id": "left(b.update_id, 48) || '-' || k", "work_item": WORK, "at": back("at", "work_item")},
	"delivery": {"dseq": DSEQ, "prev": PREV, "work_item": WORK, "at": back("at", "work_item")},
	"event": {"seq": SEQ.format("seq"), "order_key": "b.order_key + k * {ids}", "at": back("at", "order_key")},
	"message": {"cause_seq": SEQ.format("cause_seq"), "request": REQUEST, "created_at": back("created_at")},
	"attempt": {"cause_seq": SEQ.format("cause_seq"), "at": back("at", "cause_seq")},
	"survey": {"request": REQUEST, "closing_seq": SEQ.format("closing_seq"), "sent_at": back("sent_at")},
	"analytics_request": {"request": REQUEST, "requested_at": back("requested_at"), "deadline": back("deadline"),
		"closed_at": back("closed_at")},
}
# sums; copies may fall on one day
ROLLUPS = {
	"rollup_day": (("lane", "jurisdiction", "day", "service", "department", "channel", "area"),
		("received", "open", "closed", "on_time", "answers", "score_sum", "satisfied")),
	"rollup_close": (("lane", "jurisdiction", "day", "service", "department", "channel", "area", "bucket"), ("n",)),
}

PREPARE = """
CREATE SCHEMA bench;
CREATE TABLE bench.head AS SELECT lane, max(seq) AS seq FROM event GROUP BY lane;
CREATE TABLE bench.line AS SELECT lane, department, max(dseq) AS dseq FROM delivery GROUP BY lane, department;
CREATE TABLE bench.topic AS SELECT lane, department, service, max(dseq) AS dseq FROM delivery
	GROUP BY lane, department, service;
"""
FINISH = """
INSERT INTO progress (consumer, lane, step, seq, at)
SELECT p.consumer, p.lane, p.step + 1, {n} * h.seq, now() FROM (SELECT DISTINCT ON (consumer, lane) * FROM progress
	ORDER BY consumer, lane, step DESC) p JOIN bench.head h ON h.lane = p.lane AND h.seq = p.seq;
DELETE FROM delivery_ack;
INSERT INTO delivery_ack (lane, department, consumer, step, first, last)
SELECT l.lane, l.department, a.consumer, a.step, 0, {n} * l.dseq FROM bench.line l
	JOIN bench.reader a USING (lane, department);
INSERT INTO send_mark SELECT lane, {n} * seq, 0 FROM bench.head
	ON CONFLICT (lane) DO UPDATE SET cause_seq = excluded.cause_seq;
SELECT setval('entity_number', {n} * {ids} / 100 + 1, false);
DROP SCHEMA bench CASCADE;
"""


def wait_settled(stack, seconds=300):
	"""Until each consumer of the log stands at its head and every delivery is acknowledged."""
	sql = """SELECT (SELECT count(*) FROM (SELECT DISTINCT ON (p.consumer, p.lane) p.lane, p.seq FROM progress p
		WHERE p.consumer NOT IN ('dispatch.department', 'notification.send') ORDER BY p.consumer, p.lane, p.step DESC) p
		JOIN (SELECT lane, max(seq) AS seq FROM event GROUP BY lane) h USING (lane) WHERE p.seq <> h.seq)
		+ (SELECT count(*) FROM work_state WHERE state NOT IN (4, 5))"""
	end, left = time.monotonic() + seconds, ""
	while time.monotonic() < end:
		left = stack.cluster.psql(sql)
		if left == "0":
			return
		time.sleep(1)
	raise RuntimeError(f"not settled, {left} left")


def make(folder, build, postgres, rate=400):
	"""A stopped suite that has done all the work of FIRST requests."""
	suite = Suite(folder, build, mail_every=10, postgres=postgres, crew_delays=("0.2", "0.4", "0.8"))
	try:
		suite.start()
		suite.load(rate, FIRST / rate, "first").communicate()
		wait_settled(suite.stack)
		time.sleep(8)  # rollups and marks
	finally:
		suite.stop()


def copy_of(cluster, table, changes, values, first, last):
	columns = cluster.psql(f"SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute"
		f" WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped").split(",")
	selected = ", ".join(changes.get(c, f"b.{c}") for c in columns)
	for word, value in values.items():
		selected = selected.replace("{" + word + "}", str(value))
	return (f"INSERT INTO {table} ({', '.join(columns)}) SELECT {selected} FROM generate_series({first}, {last}) k,"
		f" LATERAL (SELECT * FROM bench.{table} OFFSET 0) b;")


def multiply(cluster, n, say):
	"""n: how many times as much afterwards."""
	ids = int(cluster.psql("SELECT (greatest(max(request), (SELECT max(work_item) FROM work_item)) / 100 / 256 + 1) * 256 * 100"
		" FROM request"))
	values = {"n": n, "ids": f"{ids}::bigint", "step": STEP_DAYS}  # ten millions are beyond an integer
	cluster.psql(PREPARE + "CREATE TABLE bench.reader AS SELECT lane, department, consumer, max(step) AS step FROM delivery_ack"
		" GROUP BY lane, department, consumer;"
		+ "".join(f"CREATE TABLE bench.{t} AS SELECT * FROM {t};" for t in [*TABLES, *ROLLUPS]))
	for first in range(1, n, CHUNK):
		last = min(first + CHUNK, n) - 1
		cluster.psql("BEGIN;" + "".join(copy_of(cluster, t, c, values, first, last) for t, c in TABLES.items()) + "COMMIT")
		if first % 100 == 1:
			say(f"{last} of {n - 1} copies")
	for table, (keys, sums) in ROLLUPS.items():
		day = f"(b.day - (({n} - k) * {STEP_DAYS})::integer - 1)"
		cluster.psql(f"INSERT INTO {table} ({', '.join(keys + sums)}) SELECT "
			+ ", ".join(day if c == "day" else f"b.{c}" for c in keys) + "".join(f", sum(b.{c})" for c in sums)
			+ f" FROM bench.{table} b, generate_series(1, {n - 1}) k GROUP BY "
			+ ", ".join(day if c == "day" else f"b.{c}" for c in keys))
	cluster.psql(FINISH.format(n=n, ids=values["ids"]))
	cluster.psql("VACUUM (ANALYZE)")
	cluster.psql("CHECKPOINT")
