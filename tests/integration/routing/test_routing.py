"""The routing daemon on a real PostgreSQL: what it writes for each event, and that towns change
without a restart. Events are put into the log by event_append, as intake and dispatch do.

Environment: CENTRALETA_BUILD (the build folder), CENTRALETA_EXPLAINED (test_routing_explained).
"""
import importlib
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import psycopg2

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "lib"))
from stack import Stack  # noqa: E402

BUILD = pathlib.Path(os.environ.get("CENTRALETA_BUILD", ROOT / "build"))
EXPLAINED = os.environ.get("CENTRALETA_EXPLAINED",
	str(BUILD / "tests" / "integration" / "routing" / "test_routing_explained"))
RECEIVED, IMPORTED, ROUTED, TRIAGED, PROGRESSED, REFUSED = 1, 2, 3, 4, 6, 8
NOON_US = 1795521600_000_000  # 2026-11-24T12:00:00Z, a Tuesday
MINUTE_US = 60_000_000

# Two towns: girona (1) with areas, rules and hours, lleida (2) with no rules at all.
TOWNS = """
BEGIN;
INSERT INTO jurisdiction (jurisdiction, slug, jurisdiction_id, name, time_zone, triage_department,
	triage_minutes) VALUES (1, 'girona', 'girona.cat', 'Girona', 'Europe/Madrid', 10, 90),
	(2, 'lleida', 'lleida.cat', 'Lleida', 'Europe/Madrid', 20, 60);
INSERT INTO department (department, jurisdiction, slug, name, home_lane) VALUES
	(10, 1, 'triage', 'Triage', 0), (11, 1, 'streets', 'Streets', 1), (12, 1, 'parks', 'Parks', 2),
	(13, 1, 'old', 'Old', 0), (20, 2, 'triage', 'Triage', 3);
UPDATE department SET retired_at = now() WHERE department = 13;
COMMIT;
INSERT INTO department_line (lane, department) SELECT home_lane, department FROM department;
INSERT INTO jurisdiction_lane VALUES (1, 0), (1, 1), (2, 3);
INSERT INTO service (service, jurisdiction, service_code, slug, name) VALUES
	(1, 1, 'pothole', 'pothole', 'Pothole'), (2, 1, 'tree', 'tree', 'Tree'), (3, 1, 'noise', 'noise', 'Noise'),
	(4, 2, 'pothole', 'pothole', 'Pothole');
INSERT INTO area (area, jurisdiction, slug, name, shape) VALUES
	(1, 1, 'city', 'City', public.ST_Multi(public.ST_MakeEnvelope(2, 41, 3, 42, 4326))),
	(2, 1, 'centre', 'Centre', public.ST_Multi(public.ST_MakeEnvelope(2.4, 41.4, 2.6, 41.6, 4326)));
INSERT INTO rule_set VALUES (1, 1);
INSERT INTO rule VALUES
	(1, 1, 1, 1, NULL, NULL, NULL, NULL, 13, 1, 'calendar', 1),
	(1, 1, 2, 1, 2, NULL, NULL, NULL, 11, 1, 'calendar', 240),
	(1, 1, 3, 1, NULL, NULL, 'SIZE', 'large', 11, 2, 'working', 420),
	(1, 1, 4, 2, NULL, NULL, NULL, NULL, 12, 3, 'working', 840),
	(1, 1, 5, NULL, NULL, 1, NULL, NULL, 12, 4, 'calendar', 1440);
INSERT INTO working_hours SELECT 1, d, '08:00', '15:00' FROM generate_series(1, 5) d;
INSERT INTO holiday VALUES (1, '2026-11-25');
UPDATE config_revision SET revision = revision + 1;
"""


def event_module(folder):
	subprocess.run(["protoc", f"--proto_path={ROOT / 'proto'}", f"--python_out={folder}",
		"centraleta/v1/event.proto"], check=True)
	sys.path.insert(0, str(folder))
	return importlib.import_module("centraleta.v1.event_pb2")


class Town(unittest.TestCase):
	"""One store and one daemon for all cases; each makes requests of its own."""

	@classmethod
	def setUpClass(cls):
		cls.folder = tempfile.TemporaryDirectory(prefix="centraleta-routing-")
		cls.addClassCleanup(cls.folder.cleanup)
		folder = pathlib.Path(cls.folder.name)
		folder.chmod(0o755)
		(folder / "gen").mkdir()
		cls.pb = event_module(folder / "gen")
		cls.stack = Stack(folder, BUILD, fsync=False, settings={"log.level": "debug"})
		cls.addClassCleanup(cls.stack.stop)
		cls.stack.start_store()
		cls.db = psycopg2.connect(cls.stack.dsn("postgres"), options="-c search_path=centraleta,public")
		cls.addClassCleanup(cls.db.close)
		cls.db.autocommit = True
		cls.sql(TOWNS)
		cls.daemon = cls.stack.start_daemon("routing").wait_ready()
		cls.number = 1_000_000

	@classmethod
	def tearDownClass(cls):
		code = cls.daemon.stop()
		if code not in (0, None) or "ERROR: AddressSanitizer" in cls.daemon.tail(200):
			raise AssertionError(f"routing ended with {code}:\n" + cls.daemon.tail(60))

	@classmethod
	def sql(cls, text, *params):
		with cls.db.cursor() as c:
			c.execute(text, params or None)
			return c.fetchall() if c.description else None

	@classmethod
	def one(cls, text, *params):
		return cls.sql(text, *params)[0][0]

	# ---- what intake and dispatch do ------------------------------------------------------

	def new_id(self, lane):
		type(self).number += 1
		return self.number * 100 + lane

	def append(self, events):
		"""events: (lane, jurisdiction, key, key_version, type, body)"""
		self.sql("SELECT * FROM event_append(%s::smallint[], %s::int[], %s::bigint[], %s::int[],"
			" %s::smallint[], %s::smallint[], %s::text[], %s::bytea[], %s::bytea[])",
			[e[0] for e in events], [e[1] for e in events], [e[2] for e in events], [e[3] for e in events],
			[e[4] for e in events], [1] * len(events), ["test"] * len(events),
			[psycopg2.Binary(os.urandom(16)) for _ in events],
			[psycopg2.Binary(e[5]) for e in events])

	def received(self, lane=0, town=1, service=3, channel=2, place=None, values=(), at=NOON_US):
		m = self.pb.RequestReceived(service=service, channel=channel, door=1, requested_at_us=at,
			owner=10 * town, deadline_us=at + MINUTE_US)
		if place:
			m.place.lat, m.place.long = place
		for code, key in values:
			m.attributes.add(code=code, key=key)
		return (lane, town, self.new_id(lane), 1, RECEIVED, m.SerializeToString())

	def wait(self, what, timeout=15):
		deadline = time.monotonic() + timeout
		while time.monotonic() < deadline:
			value = what()
			if value:
				return value
			time.sleep(0.02)
		self.fail("nothing came of it:\n" + self.daemon.tail(40))

	def route(self, request, turn=2):
		"""The row, as a dict, once it is there."""
		names = ("jurisdiction", "work_item", "department", "deadline_us", "rule", "area", "service",
			"priority")
		rows = self.wait(lambda: self.sql(
			"SELECT r.jurisdiction, r.work_item, r.department,"
			" (extract(epoch FROM r.deadline) * 1000000)::bigint, (r.rule_version, r.rule_position)::text,"
			" r.area, w.service, w.priority FROM route r JOIN work_item w USING (lane, work_item)"
			" JOIN work_request q ON q.lane = w.lane AND q.work_item = w.work_item"
			" AND q.request_lane = r.lane AND q.request = r.request"
			" WHERE r.lane = %s AND r.request = %s AND r.turn = %s"
			" AND (w.department, w.deadline, w.area) IS NOT DISTINCT FROM (r.department, r.deadline, r.area)"
			" AND w.jurisdiction = r.jurisdiction AND q.jurisdiction = r.jurisdiction",
			request % 100, request, turn))
		self.assertEqual(len(rows), 1)
		return dict(zip(names, rows[0]))

	def deliveries(self, work_item):
		return self.sql("SELECT lane, department, service, kind, work_lane, key_version FROM delivery"
			" WHERE work_item = %s", work_item)

	def event(self, request, version):
		(type_, body), = self.sql("SELECT type, body FROM event WHERE lane = %s AND order_key = %s"
			" AND key_version = %s", request % 100, request, version)
		return type_, self.pb.RequestRouted.FromString(bytes(body))

	def counted(self, kind, town="girona"):
		return self.daemon.metrics().get(
			f'routing_routed_total{{jurisdiction="{town}",kind="{kind}"}}', 0)


class Requests(Town):
	def test_a_rule_decides_and_everything_is_written(self):
		before = self.counted("rule")
		e = self.received(service=1, place=(41.5, 2.5))
		self.append([e])
		r = self.route(e[2])
		self.assertEqual((r["department"], r["area"], r["rule"], r["priority"], r["service"]),
			(11, 2, "(1,2)", 1, 1))
		self.assertEqual(r["deadline_us"], NOON_US + 240 * MINUTE_US)
		self.assertEqual(r["work_item"] % 100, 0)
		self.assertEqual(self.deliveries(r["work_item"]), [(1, 11, 1, 1, 0, 0)])
		type_, m = self.event(e[2], 2)
		self.assertEqual(type_, ROUTED)
		self.assertEqual((m.department, m.work_item, m.area, m.priority, m.deadline_us, m.rule_version,
			m.rule_position, m.service, m.home_lane),
			(11, r["work_item"], 2, 1, r["deadline_us"], 1, 2, 1, 1))
		self.wait(lambda: self.counted("rule") > before)

	def test_conditions_in_turn(self):
		cases = [
			# the first rule's department is retired; the place decides
			(dict(service=1, place=(41.4, 2.4)), 11, "(1,2)", 2, NOON_US + 240 * MINUTE_US),
			# outside the centre, by what was answered: working time, Wednesday is a holiday
			(dict(service=1, place=(41.1, 2.1), values=[("SIZE", "small"), ("SIZE", "large")]), 11, "(1,3)", 1,
				NOON_US + (48 * 60) * MINUTE_US),
			(dict(service=2), 12, "(1,4)", None, NOON_US + (72 * 60) * MINUTE_US),
			(dict(service=3, channel=1), 12, "(1,5)", None, NOON_US + 1440 * MINUTE_US),
			# nothing matches
			(dict(service=1, place=(41.1, 2.1), values=[("SIZE", "small")]), 10, "(0,0)", 1,
				NOON_US + 90 * MINUTE_US),
			(dict(service=3), 10, "(0,0)", None, NOON_US + 90 * MINUTE_US),
			(dict(town=2, service=4, lane=3), 20, "(0,0)", None, NOON_US + 60 * MINUTE_US),
		]
		events = [self.received(**c[0]) for c in cases]
		for e in events:
			self.append([e])
		for e, (_, department, rule, area, deadline) in zip(events, cases):
			r = self.route(e[2])
			self.assertEqual((r["department"], r["rule"], r["area"], r["deadline_us"]),
				(department, rule, area, deadline))

	def test_thousands_are_routed_once_and_explained_alike(self):
		rng = random.Random(311)
		events = [self.received(lane=rng.choice((0, 1)), service=rng.choice((1, 2, 3)),
			channel=rng.choice((1, 2, 3)), at=NOON_US + rng.randrange(10**6) * 10**6,
			place=(41 + rng.randrange(-2, 13) / 10, 2 + rng.randrange(-2, 13) / 10) if rng.random() < .8 else None,
			values=[("SIZE", rng.choice(("small", "large")))] if rng.random() < .5 else ())
			for _ in range(2000)]
		for i in range(0, len(events), 100):
			self.append(sorted(events[i:i + 100], key=lambda e: e[0]))
		ids = [e[2] for e in events]
		self.wait(lambda: self.one("SELECT count(*) FROM event WHERE type = 3 AND order_key = ANY(%s)", ids)
			== len(ids), timeout=60)
		for table in ("route", "work_request"):
			self.assertEqual(self.one(f"SELECT count(*) FROM {table} WHERE request = ANY(%s)", ids), len(ids))
		self.assertEqual(self.one("SELECT count(DISTINCT d.work_item) FROM work_request q JOIN delivery d"
			" USING (work_item) WHERE q.request = ANY(%s)", ids), len(ids))
		self.check_lines()
		done = subprocess.run([EXPLAINED], capture_output=True, text=True,
			env=dict(os.environ, CENTRALETA_TEST_DSN=self.stack.dsn("centraleta_admin")))
		self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

	def test_the_command_explains(self):
		e = self.received(service=1, place=(41.1, 2.1), values=[("SIZE", "large")])
		self.append([e])
		r = self.route(e[2])
		self.assertEqual(r["rule"], "(1,3)")
		said = self.stack.cli("route", "explain", e[2])
		self.assertRegex(said, r"rule 1 .*the department is retired")
		self.assertRegex(said, r"rule 2 .*another area")
		self.assertRegex(said, r"rule 3 .*streets .*matches")
		self.assertNotRegex(said, r"rule 4 ")

	def test_metrics_are_well_formed(self):
		promtool = shutil.which("promtool")
		if not promtool:
			self.skipTest("no promtool on this machine")
		text = self.daemon.get("/metrics")[1]
		self.assertIn("centraleta_routing_config_revision", text)
		done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
		self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

	def check_lines(self):
		"""Each department's stream is dense, and prev leads to the same topic's delivery before."""
		self.assertEqual(self.sql("SELECT lane, department FROM delivery GROUP BY 1, 2"
			" HAVING min(dseq) <> 1 OR max(dseq) <> count(*)"), [])
		self.assertEqual(self.sql("SELECT * FROM (SELECT prev, coalesce(lag(dseq) OVER (PARTITION BY lane,"
			" department, service ORDER BY dseq), 0) AS before FROM delivery) d WHERE prev <> before"), [])
		# the order of a request's lane is the order of a department's numbers
		self.assertEqual(self.one(
			"SELECT count(*) FROM (SELECT e.seq, lag(e.seq) OVER (PARTITION BY d.lane, d.department, e.lane"
			" ORDER BY d.dseq) AS before FROM delivery d JOIN work_request q ON q.work_item = d.work_item"
			" JOIN event e ON e.lane = q.request_lane AND e.order_key = q.request AND e.key_version = 1) x"
			" WHERE before > seq"), 0)

	def test_refused_goes_to_triage(self):
		e = self.received(service=2)
		self.append([e])
		first = self.route(e[2])
		changed = self.pb.RequestChanged(state=1, work_item=first["work_item"], department=12,
			occurred_at_us=1, update_id="u1")
		before = self.counted("refused")
		self.append([(0, 1, e[2], 3, REFUSED, changed.SerializeToString())])
		r = self.route(e[2], turn=4)
		self.assertEqual((r["department"], r["service"], r["priority"], r["rule"]), (10, 2, 3, "(0,0)"))
		self.assertNotEqual(r["work_item"], first["work_item"])
		self.assertEqual(self.deliveries(r["work_item"]), [(0, 10, 2, 1, 0, 0)])
		type_, m = self.event(e[2], 4)
		self.assertEqual((type_, m.department, m.work_item, m.service), (TRIAGED, 10, r["work_item"], 2))
		# the time counts from the refusal as it was stored, not from what a department says
		at = self.one("SELECT (extract(epoch FROM at) * 1000000)::bigint FROM event WHERE lane = 0"
			" AND order_key = %s AND key_version = 3", e[2])
		self.assertEqual(r["deadline_us"], at + 90 * MINUTE_US)
		self.wait(lambda: self.counted("refused") > before)

	def test_refused_while_others_move_the_request_on(self):
		e = self.received(service=2, lane=1)
		self.append([e])
		first = self.route(e[2])
		changed = self.pb.RequestChanged(work_item=first["work_item"], department=12).SerializeToString()
		self.append([(1, 1, e[2], 3, REFUSED, changed), (1, 1, e[2], 4, PROGRESSED, changed),
			(1, 1, e[2], 5, REFUSED, changed)])
		self.assertEqual(self.route(e[2], turn=6)["department"], 10)
		self.assertEqual(self.route(e[2], turn=7)["department"], 10)

	def test_history_has_a_route_and_nothing_goes_out(self):
		request, item = self.new_id(1), self.new_id(1)
		m = self.pb.RequestImported(service=1, channel=1, door=1, department=12, work_item=item, state=5,
			outcome=1, requested_at_us=NOON_US, closed_at_us=NOON_US + 1, deadline_us=NOON_US + 7)
		m.place.lat, m.place.long = 41.5, 2.5
		before = self.counted("imported")
		self.append([(1, 1, request, 1, IMPORTED, m.SerializeToString())])
		r = self.route(request, turn=1)
		self.assertEqual((r["work_item"], r["department"], r["area"], r["deadline_us"], r["rule"]),
			(item, 12, 2, NOON_US + 7, "(0,0)"))
		self.assertEqual(self.deliveries(item), [])
		self.wait(lambda: self.counted("imported") > before)
		# its area is told, and no state changes
		placed = self.one("SELECT body FROM event WHERE order_key = %s AND type = 9 AND key_version IS NULL", request)
		self.assertEqual(self.pb.RequestPlaced.FromString(bytes(placed)).area, 2)
		self.assertEqual(self.one("SELECT count(*) FROM event WHERE order_key = %s", request), 2)

	def test_an_unreadable_event_is_parked_and_the_others_pass(self):
		good = [self.received(lane=1) for _ in range(9)]
		bad = (1, 1, self.new_id(1), 1, RECEIVED, b"\xff\xff\xff")
		lost = (1, 1, self.new_id(1), 3, REFUSED, self.pb.RequestChanged(work_item=77701).SerializeToString())
		self.append(good[:4] + [bad] + good[4:7] + [lost] + good[7:])
		for e in good:
			self.assertEqual(self.route(e[2])["department"], 10)
		parked = self.wait(lambda: len(p := self.sql("SELECT order_key, cause FROM parked"
			" WHERE consumer = 'routing' ORDER BY seq")) == 2 and p)
		self.assertEqual([p[0] for p in parked], [bad[2], lost[2]])

	def test_one_trace_follows_a_request(self):
		e = self.received()
		self.append([e])
		self.route(e[2])
		trace = self.one("SELECT encode(trace, 'hex') FROM event WHERE order_key = %s AND key_version = 2", e[2])
		self.assertEqual(trace, self.one("SELECT encode(trace, 'hex') FROM event WHERE order_key = %s"
			" AND key_version = 1", e[2]))
		self.wait(lambda: re.search(rf"routing.routed .*trace={trace} request={e[2]} ",
			self.daemon.log_path.read_text()))


class Configuration(Town):
	def revision(self):
		return self.daemon.metrics().get("routing_config_revision")

	def change(self, sql):
		"""Returns the new revision."""
		self.sql("BEGIN; " + sql + "; UPDATE config_revision SET revision = revision + 1; COMMIT")
		return self.one("SELECT revision FROM config_revision")

	def wrong(self):
		return self.daemon.metrics().get('routing_config_loads_total{result="wrong"}', 0)

	def test_rules_change_without_a_restart(self):
		new = self.change("INSERT INTO rule_set VALUES (2, 1);"
			" INSERT INTO rule (jurisdiction, version, position, department, target, target_minutes)"
			" VALUES (2, 1, 1, 20, 'calendar', 5)")
		self.wait(lambda: self.revision() == new, timeout=5)
		e = self.received(town=2, service=4, lane=3)
		self.append([e])
		r = self.route(e[2])
		self.assertEqual((r["rule"], r["deadline_us"]), ("(1,1)", NOON_US + 5 * MINUTE_US))

	def test_a_wrong_configuration_keeps_the_old(self):
		for change, back, why in [
			("UPDATE jurisdiction SET time_zone = 'Europe/Atlantis' WHERE jurisdiction = 2",
				"UPDATE jurisdiction SET time_zone = 'Europe/Madrid' WHERE jurisdiction = 2",
				"town lleida: no time zone Europe/Atlantis"),
			("INSERT INTO area (area, jurisdiction, slug, name, shape) VALUES (77, 1, 'broken', 'Broken',"
				" public.ST_GeomFromText('MULTIPOLYGON EMPTY', 4326))", "DELETE FROM area WHERE area = 77",
				"town girona: the shape of area 77 is broken: empty"),
		]:
			old, wrong = self.revision(), self.wrong()
			bad = self.change(change)
			self.wait(lambda: self.wrong() > wrong, timeout=5)
			self.assertIn(why, self.daemon.log_path.read_text())
			self.assertEqual(self.revision(), old)
			e = self.received(service=2)
			self.append([e])
			self.assertEqual(self.route(e[2])["department"], 12)
			self.assertEqual(self.daemon.get("/readyz")[0], 200)
			good = self.change(back)
			self.assertGreater(good, bad)
			self.wait(lambda: self.revision() == good, timeout=5)

	def test_a_request_of_a_new_town_waits_for_it(self):
		e = self.received(town=3, service=5, lane=5)
		self.append([e])
		self.wait(lambda: self.daemon.metrics().get('routing_waits_total{cause="town"}', 0))
		self.change("INSERT INTO jurisdiction (jurisdiction, slug, jurisdiction_id, name, time_zone,"
			" triage_department) VALUES (3, 'reus', 'reus.cat', 'Reus', 'Europe/Madrid', 30);"
			" INSERT INTO department (department, jurisdiction, slug, name, home_lane)"
			" VALUES (30, 3, 'triage', 'Triage', 5); INSERT INTO department_line VALUES (5, 30)")
		self.assertEqual(self.route(e[2])["department"], 30)

	def test_not_ready_before_the_first_configuration(self):
		self.change("UPDATE jurisdiction SET time_zone = 'Europe/Atlantis' WHERE jurisdiction = 2")
		second = self.stack.start_daemon("routing", "routing-2")
		self.wait(lambda: second.get("/readyz")[0] == 503 and "configuration_wrong" in second.tail())
		self.assertIn('"configuration":false', second.get("/readyz")[1].replace(" ", ""))
		self.change("UPDATE jurisdiction SET time_zone = 'Europe/Madrid' WHERE jurisdiction = 2")
		second.wait_ready(5)
		self.assertEqual(second.stop(), 0)


class Sharing(Town):
	def test_two_share_the_lanes_and_one_is_killed(self):
		second = self.stack.start_daemon("routing", "routing-2").wait_ready()
		self.wait(lambda: self.one("SELECT count(DISTINCT member) FROM lease WHERE consumer = 'routing'") == 2,
			timeout=30)
		events = []
		for i in range(60):
			events += [self.received(lane=i % 8, service=2) for _ in range(10)]
			self.append(events[-10:])
			if i == 30:
				second.kill()
		ids = [e[2] for e in events]
		self.wait(lambda: self.one("SELECT count(*) FROM route WHERE request = ANY(%s)", ids) == len(ids),
			timeout=40)
		self.assertEqual(self.one("SELECT count(*) FROM event WHERE type = 3 AND order_key = ANY(%s)", ids),
			len(ids))
		self.assertEqual(self.daemon.stop(), 0)


if __name__ == "__main__":
	unittest.main(verbosity=2)
