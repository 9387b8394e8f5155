"""The analytics daemon on a real PostgreSQL: an event that can't be read is set aside alone, and
its lane goes on counting; towns that can't be read are asked for again, at a measured pace. Events are put into the log by event_append, as intake does.

Environment: CENTRALETA_BUILD (the build folder).
"""
import importlib
import os
import pathlib
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
RECEIVED = 1
NOON_US = 1795521600_000_000
TOWN = """
BEGIN;
INSERT INTO jurisdiction (jurisdiction, slug, jurisdiction_id, name, time_zone, triage_department,
	triage_minutes) VALUES (1, 'girona', 'girona.cat', 'Girona', 'Europe/Madrid', 10, 90);
INSERT INTO department (department, jurisdiction, slug, name, home_lane)
	VALUES (10, 1, 'triage', 'Triage', 0);
COMMIT;
INSERT INTO department_line (lane, department) SELECT home_lane, department FROM department;
INSERT INTO jurisdiction_lane VALUES (1, 0);
INSERT INTO service (service, jurisdiction, service_code, slug, name)
	VALUES (1, 1, 'pothole', 'pothole', 'Pothole');
UPDATE config_revision SET revision = revision + 1;
"""


def event_module(folder):
	subprocess.run(["protoc", f"--proto_path={ROOT / 'proto'}", f"--python_out={folder}",
		"centraleta/v1/event.proto"], check=True)
	sys.path.insert(0, str(folder))
	return importlib.import_module("centraleta.v1.event_pb2")


class Analytics(unittest.TestCase):
	def setUp(self):
		self.folder = tempfile.TemporaryDirectory(prefix="centraleta-analytics-")
		self.addCleanup(self.folder.cleanup)
		folder = pathlib.Path(self.folder.name)
		folder.chmod(0o755)
		(folder / "gen").mkdir()
		self.pb = event_module(folder / "gen")
		self.stack = Stack(folder, BUILD, fsync=False)
		self.addCleanup(self.stack.stop)
		self.stack.start_store()
		self.db = psycopg2.connect(self.stack.dsn("postgres"), options="-c search_path=centraleta,public")
		self.addCleanup(self.db.close)
		self.db.autocommit = True
		self.sql(TOWN)

	def sql(self, text, *params):
		with self.db.cursor() as c:
			c.execute(text, params or None)
			return c.fetchall() if c.description else None

	def append(self, bodies, first):
		n = len(bodies)
		self.sql("SELECT * FROM event_append(%s::smallint[], %s::int[], %s::bigint[], %s::int[],"
			" %s::smallint[], %s::smallint[], %s::text[], %s::bytea[], %s::bytea[])",
			[0] * n, [1] * n, [(first + i) * 100 for i in range(n)], [1] * n, [RECEIVED] * n, [1] * n,
			["test"] * n, [psycopg2.Binary(os.urandom(16)) for _ in range(n)],
			[psycopg2.Binary(b) for b in bodies])

	def received(self):
		return self.pb.RequestReceived(service=1, channel=2, door=1, requested_at_us=NOON_US, owner=10,
			deadline_us=NOON_US + 60_000_000).SerializeToString()

	def counted(self):
		return self.sql("SELECT coalesce(sum(received), 0)::int FROM rollup_day")[0][0]

	def test_one_among_good_ones_is_parked_and_the_lane_goes_on(self):
		bodies = [self.received() for _ in range(40)]
		bodies[17] = b"\xff\xff\xff"
		self.append(bodies, 1000)
		daemon = self.stack.start_daemon("analytics").wait_ready()
		deadline = time.monotonic() + 30
		while self.counted() < 39 and time.monotonic() < deadline:
			time.sleep(0.05)
		self.assertEqual(self.counted(), 39, daemon.tail(20))
		self.assertEqual(self.sql("SELECT lane, seq, order_key, cause FROM parked WHERE consumer = 'analytics'"),
			[(0, 18, 101700, "data")])
		self.append([self.received()], 2000)
		while self.counted() < 40 and time.monotonic() < deadline:
			time.sleep(0.05)
		self.assertEqual(self.counted(), 40)
		self.assertEqual(daemon.stop(), 0, daemon.tail(20))

	def test_towns_that_cant_be_read_are_asked_for_at_a_measured_pace(self):
		self.append([self.received()], 1000)
		self.sql("REVOKE SELECT ON jurisdiction FROM centraleta_daemon")
		daemon = self.stack.start_daemon("analytics")
		time.sleep(4)
		asked = sum(v for k, v in daemon.metrics().items()
			if k.startswith("store_group_seconds_count") and 'verdict="bug"' in k)
		self.assertGreaterEqual(asked, 2)
		self.assertLess(asked, 40)
		self.sql("GRANT SELECT ON jurisdiction TO centraleta_daemon")
		daemon.wait_ready()
		deadline = time.monotonic() + 20
		while self.counted() < 1 and time.monotonic() < deadline:
			time.sleep(0.05)
		self.assertEqual(self.counted(), 1)
		self.assertEqual(daemon.stop(), 0, daemon.tail(20))


if __name__ == "__main__":
	unittest.main(verbosity=2)
