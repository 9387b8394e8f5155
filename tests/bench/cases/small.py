"""Small: what the suite costs where it stands, and how soon it stands.

One release build of the five daemons with both towns. 100,000 requests are posted, departments
acknowledge; when all of it is done, resident memory is read, and for a minute the CPU, the voluntary
context switches of all threads and the store's transactions are counted. Then the store gets a hundred
towns with five thousand rules, and each daemon is started again, several times, and
timed to its "service.ready".
"""
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "lib"))
from stack import KINDS
from suite import Suite, cpu_of, rss_of, switches_of

NAME = "small"
TITLE = "Small: memory, idle cost, start"

REQUESTS = 100_000
RATE = 1250
IDLE_S = 60
STARTS = 5
TOWNS = 100
RULES = 5000
MIB = 1 << 20

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
	before = {k: (cpu_of(p), switches_of(p)) for k, p in pids.items()}
	time.sleep(seconds)
	after = {k: (cpu_of(p), switches_of(p)) for k, p in pids.items()}
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


def start(bench, stack, kind, note, must=None):
	samples = [start_ms(stack, kind) for _ in range(STARTS)]
	bench.result(f"start to ready, {kind}", sorted(samples)[STARTS // 2], "ms", must=must, note=note, samples=samples)


def measure(bench, suite):
	stack = suite.stack
	out, _ = suite.load(RATE, REQUESTS / RATE, "small").communicate()
	stored = int(stack.cluster.psql("SELECT count(*) FROM request"))
	wait_done(stack)
	for kind in KINDS:
		bench.result(f"resident memory, {kind}", rss_of(stack.daemons[kind].process.pid) / MIB, "MiB",
			must=("<=", 40), aim=("<=", 15), note=f"after {stored:,} requests")
	daemons, store = idle(stack, IDLE_S / 2)
	bench.result("idle switches, dispatch, departments connected", daemons["dispatch"][1], "/s",
		note=f"{len(stack.departments('boston')) + len(stack.departments('kansas-city'))} connections that say each 5 s"
		" that they live")
	suite.stop_crews()
	time.sleep(20)  # the departments are found gone, and the last of what they acknowledged is pruned
	daemons, store = idle(stack)
	for kind, (share, switches) in daemons.items():
		bench.result(f"idle CPU, {kind}", share * 100, "%", must=("<=", 0.2), aim=("<=", 0.05), note=f"{IDLE_S} s")
		bench.result(f"idle switches, {kind}", switches, "/s", must=("<=", 10), aim=("<=", 3),
			note="voluntary, all threads")
	bench.result("idle transactions of the store", store, "/s", must=("<=", 8), aim=("<=", 5), note="five daemons")
	note = many_towns(stack)
	time.sleep(2)
	for kind in KINDS:
		start(bench, stack, kind, note, must=("<=", 200))
		bench.result(f"size of the program, {kind}", stack.program(kind).stat().st_size / 1024, "KiB")
	stack.cluster.psql("BEGIN;" + AREAS + "COMMIT; ANALYZE area")
	time.sleep(2)
	start(bench, stack, "routing", stack.cluster.psql(COUNTS))


def run(bench):
	with tempfile.TemporaryDirectory(prefix="centraleta-small-") as folder:
		suite = Suite(folder, bench.build)
		try:
			suite.start()
			measure(bench, suite)
		finally:
			suite.stop()
