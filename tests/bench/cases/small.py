"""Small: what the suite costs where it stands, and how soon it stands.

One release build of the five daemons with both towns. 100,000 requests are posted, departments
acknowledge; when all of it is done, resident memory is read, and for a minute the CPU, the voluntary
context switches of all threads and the store's transactions are counted. Then the store gets a hundred
towns with five thousand rules, and each daemon is started again, several times, and
timed to its "service.ready".
"""
import time

import machine
from stack import KINDS
from suite import Suite

NAME = "small"
TITLE = "Small: memory, idle cost, start"

REQUESTS = 100_000
RATE = 1250
IDLE_S = 60
STARTS = 5
TOWNS = 100
RULES = 5000

# towns like the first one: its departments, services and areas, and a share of its rules
CLONE = """
CREATE TEMPORARY TABLE made ON COMMIT DROP AS
SELECT n, nextval(pg_get_serial_sequence('jurisdiction', 'jurisdiction'))::integer AS j
FROM generate_series(1, %(towns)s) n;
INSERT INTO jurisdiction (jurisdiction, slug, jurisdiction_id, name, time_zone, triage_department, mail_from)
SELECT m.j, 'town-' || m.n, 'town-' || m.n || '.test', 'Town ' || m.n, t.time_zone, 0, 't@town.test'
FROM made m, jurisdiction t WHERE t.slug = 'boston';
INSERT INTO department (jurisdiction, slug, name, home_lane)
SELECT m.j, d.slug, d.name, m.j %% 8 FROM made m, department d JOIN jurisdiction t USING (jurisdiction)
WHERE t.slug = 'boston';
INSERT INTO department_line (lane, department)
SELECT d.home_lane, d.department FROM department d JOIN made m ON m.j = d.jurisdiction;
UPDATE jurisdiction j SET triage_department =
	(SELECT min(d.department) FROM department d WHERE d.jurisdiction = j.jurisdiction)
FROM made m WHERE m.j = j.jurisdiction;
INSERT INTO jurisdiction_lane SELECT m.j, l.lane FROM made m, lane l;
INSERT INTO service (jurisdiction, service_code, slug, name, description, service_group)
SELECT m.j, s.service_code, s.slug, s.name, s.description, s.service_group
FROM made m, service s JOIN jurisdiction t USING (jurisdiction) WHERE t.slug = 'boston';
INSERT INTO rule_set (jurisdiction, version) SELECT j, 1 FROM made;
INSERT INTO rule (jurisdiction, version, position, service, channel, department, priority, target,
	target_minutes)
SELECT m.j, 1, r.position, ns.service, r.channel, nd.department, r.priority, r.target, r.target_minutes
FROM made m, rule r JOIN jurisdiction t ON t.jurisdiction = r.jurisdiction AND t.slug = 'boston'
LEFT JOIN service os ON os.service = r.service
JOIN department od ON od.department = r.department,
LATERAL (SELECT (SELECT s.service FROM service s WHERE s.jurisdiction = m.j AND s.slug = os.slug)) ns (service),
LATERAL (SELECT (SELECT d.department FROM department d WHERE d.jurisdiction = m.j AND d.slug = od.slug)) nd (department)
WHERE r.position <= %(rules)s;
INSERT INTO door (jurisdiction, slug, channel) SELECT j, 'web', 2 FROM made;
UPDATE config_revision SET revision = revision + 1;
"""
# Boston's polygons for every town: fifty megabytes of coordinates
AREAS = """
INSERT INTO area (jurisdiction, slug, name, shape)
SELECT m.jurisdiction, a.slug, a.name, a.shape FROM jurisdiction m, area a JOIN jurisdiction t USING (jurisdiction)
WHERE t.slug = 'boston' AND m.slug LIKE 'town-%';
UPDATE config_revision SET revision = revision + 1;
"""
COUNTS = """SELECT (SELECT count(*) FROM jurisdiction) || ' towns, ' || (SELECT count(*) FROM rule) || ' rules, '
	|| (SELECT count(*) FROM area) || ' polygons, ' || (SELECT count(*) FROM service) || ' services'"""


def transactions(stack):
	sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'centraleta'"
	return int(stack.cluster.psql(sql))


def wait_done(stack, seconds=90):
	"""Until nothing is numbered, counted or acknowledged any more."""
	sql = """SELECT (SELECT sum(seq) FROM (SELECT DISTINCT ON (consumer, lane) seq FROM progress
		ORDER BY consumer, lane, step DESC) p) || ' ' || (SELECT count(*) FROM delivery_ack)"""
	end, before = time.monotonic() + seconds, None
	while time.monotonic() < end:
		now = stack.cluster.psql(sql)
		if now == before:
			return
		before = now
		time.sleep(6)


def idle(stack, seconds=IDLE_S):
	"""Per daemon (CPU share, switches/s), and the store's transactions a second."""
	pids = {kind: stack.daemons[kind].process.pid for kind in KINDS}
	time.sleep(1)
	asked = transactions(stack)
	began = time.monotonic()
	before = {k: (machine.cpu_seconds(p), machine.switches(p)) for k, p in pids.items()}
	time.sleep(seconds)
	after = {k: (machine.cpu_seconds(p), machine.switches(p)) for k, p in pids.items()}
	took = time.monotonic() - began
	time.sleep(1.1)  # back-ends report what they did once a second
	# of our own sessions the one that asked last time is in between, with what psql asks at its start
	own = 1
	rate = (transactions(stack) - asked - own) / (took + 1.1)
	return {k: ((after[k][0] - before[k][0]) / took, (after[k][1] - before[k][1]) / took) for k in pids}, rate


def start_ms(stack, kind):
	"""From the fork to service.ready, as the daemon's own log tells it."""
	stack.daemons[kind].stop()
	daemon = stack.daemons[kind]
	offset = daemon.log_path.stat().st_size
	daemon.start()
	began = time.monotonic()
	while time.monotonic() < began + 20:
		with open(daemon.log_path, "rb") as log:
			log.seek(offset)
			if b"service.ready" in log.read():
				return (time.monotonic() - began) * 1000
		time.sleep(0.001)
	raise RuntimeError(f"{kind} does not get ready:\n" + daemon.tail())


def many_towns(stack):
	have = int(stack.cluster.psql("SELECT count(*) FROM jurisdiction"))
	rules = int(stack.cluster.psql("SELECT count(*) FROM rule"))
	towns = TOWNS - have
	stack.cluster.psql("BEGIN;" + CLONE % {"towns": towns, "rules": (RULES - rules) // towns + 1} + "COMMIT; ANALYZE")
	return stack.cluster.psql(COUNTS)


def rest(suite):
	stack = suite.stack
	suite.load(RATE, REQUESTS / RATE, "small").communicate()
	stored = int(stack.cluster.psql("SELECT count(*) FROM request"))
	wait_done(stack)
	out = {"stored": stored, "resident": {k: machine.rss_kb(stack.daemons[k].process.pid) / 1024 for k in KINDS}}
	out["connections"] = len(stack.departments("boston")) + len(stack.departments("kansas-city"))
	out["connected"], _ = idle(stack, IDLE_S / 3)
	suite.stop_crews()
	time.sleep(18)  # the departments are found gone
	out["idle"], out["transactions"] = idle(stack)
	return out


def start(suite):
	stack = suite.stack
	out = {"note": many_towns(stack)}
	time.sleep(2)
	out["ms"] = {kind: [start_ms(stack, kind) for _ in range(STARTS)] for kind in KINDS}
	out["size"] = {kind: stack.program(kind).stat().st_size for kind in KINDS}
	stack.cluster.psql("BEGIN;" + AREAS + "COMMIT; ANALYZE area")
	time.sleep(2)
	out["more"] = {"note": stack.cluster.psql(COUNTS), "ms": [start_ms(stack, "routing") for _ in range(STARTS)]}
	return out


def measure(bench, name, function, crews):
	def started():
		suite = Suite(bench.temp / name, bench.build)
		try:
			return function(suite.start(crews=crews))
		finally:
			suite.stop()
	return bench.round(name, {"product": started})["sides"]["product"]


def median(samples):
	return sorted(samples)[len(samples) // 2]


def run(bench):
	r = measure(bench, "rest", rest, True)
	for kind in KINDS:
		bench.result(f"resident memory, {kind}", r["resident"][kind], "MiB", must="<= 40", aim="<= 15",
			note=f"after {r['stored']:,} requests")
	for kind in KINDS:
		bench.result(f"idle CPU, {kind}", r["idle"][kind][0] * 100, "%", must="<= 0.2", aim="<= 0.05", note=f"{IDLE_S} s")
	for kind in KINDS:
		bench.result(f"idle switches, {kind}", r["idle"][kind][1], "/s", must="<= 10", aim="<= 3",
			note="voluntary, all threads")
	bench.result("idle switches, dispatch, departments connected", r["connected"]["dispatch"][1], "/s",
		note=f"{r['connections']} connections that say each 5 s that they live")
	bench.result("idle transactions of the store", r["transactions"], "/s", must="<= 8", aim="<= 5", note="five daemons")
	s = measure(bench, "start", start, False)
	for kind in KINDS:
		bench.result(f"start to ready, {kind}", median(s["ms"][kind]), "ms", must="<= 200", note=s["note"], samples=s["ms"][kind])
	bench.result("start to ready, routing", median(s["more"]["ms"]), "ms", note=s["more"]["note"] + ", 50 MB of coordinates",
		samples=s["more"]["ms"])
	for kind in KINDS:
		bench.result(f"size of the program, {kind}", s["size"][kind] / 1024, "KiB")
