"""A town in a private store, what routing would write for it, and a department's end of dispatch.work."""
import hashlib
import importlib
import os
import pathlib
import subprocess
import sys
import time

import psycopg2
import zmq

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "lib"))

BUILD = pathlib.Path(os.environ.get("CENTRALETA_BUILD", ROOT / "build"))
NOW_US = 1795521600_000_000  # 2026-11-24T12:00:00Z
EVENTS = {1: "received", 2: "imported", 3: "routed", 5: "accepted", 6: "progressed", 7: "resolved", 8: "refused",
	40: "work accepted", 41: "work progressed", 42: "work resolved", 43: "work refused"}

TOWN = """
BEGIN;
INSERT INTO jurisdiction (jurisdiction, slug, jurisdiction_id, name, time_zone, triage_department)
	VALUES (1, 'girona', 'girona.cat', 'Girona', 'Europe/Madrid', 10);
INSERT INTO department (department, jurisdiction, slug, name, home_lane) VALUES (10, 1, 'triage', 'Triage', 0);
COMMIT;
INSERT INTO department_line (lane, department) VALUES (0, 10);
INSERT INTO service (service, jurisdiction, service_code, slug, name) VALUES
	(1, 1, 'POT/1', 'pothole', 'Pothole'), (2, 1, 'TREE', 'tree', 'Tree');
INSERT INTO area (area, jurisdiction, slug, name, shape) VALUES
	(1, 1, 'centre', 'Centre', public.ST_Multi(public.ST_MakeEnvelope(2, 41, 3, 42, 4326)));
UPDATE config_revision SET revision = revision + 1;
"""


def frames(folder):
	"""The modules of event.proto and dispatch.proto."""
	folder.mkdir()
	subprocess.run(["protoc", f"--proto_path={ROOT / 'proto'}", f"--python_out={folder}",
		"centraleta/v1/event.proto", "centraleta/v1/dispatch.proto"], check=True)
	sys.path.insert(0, str(folder))
	return importlib.import_module("centraleta.v1.event_pb2"), importlib.import_module("centraleta.v1.dispatch_pb2")


def key_hash(secret, key):
	"""As common/domain/apikey, told a second time."""
	purpose = hashlib.blake2b(b"centraleta api key\0" + secret, digest_size=32).digest()
	return hashlib.blake2b(key.encode(), digest_size=32, key=purpose).digest()


class Store:
	"""The town's rows, and what the other daemons would do."""

	def __init__(self, dsn, secret, event_pb):
		self.dsn = dsn
		self.connect()
		self.secret, self.pb, self.traces, self.ready = secret, event_pb, {}, {}
		self.number, self.next_department = 1_000_000, 100
		self.sql(TOWN)

	def connect(self):
		self.db = psycopg2.connect(self.dsn, options="-c search_path=centraleta,public")
		self.db.autocommit = True

	def sql(self, text, *params):
		with self.db.cursor() as c:
			c.execute(text, params or None)
			return c.fetchall() if c.description else None

	def one(self, text, *params):
		rows = self.sql(text, *params)
		return rows[0][0] if rows else None

	def new_id(self, lane):
		self.number += 1
		return self.number * 100 + lane

	def moved(self):
		"""The daemons see new departments and keys once the revision has moved."""
		self.sql("UPDATE config_revision SET revision = revision + 1")

	def key(self, department):
		key_id = f"{self.new_id(0):012d}"
		key = f"cen_live_{key_id}_{'a' * 43}"
		self.sql("INSERT INTO api_key (key_id, jurisdiction, department, scopes, hash)"
			" VALUES (%s, 1, %s, '{dispatch}', %s)", key_id, department, key_hash(self.secret, key))
		return key

	def prepare(self, lanes):
		"""Departments for the cases to come: a daemon takes a second to see a new one."""
		for lane in lanes:
			self.ready.setdefault(lane, []).append(self.new_department(lane))
		self.moved()

	def department(self, lane=0):
		"""Number and key of a department that no other case has."""
		if self.ready.get(lane):
			return self.ready[lane].pop()
		made = self.new_department(lane)
		self.moved()
		return made

	def new_department(self, lane):
		self.next_department += 1
		n = self.next_department
		self.sql("INSERT INTO department (department, jurisdiction, slug, name, home_lane)"
			" VALUES (%s, 1, %s, %s, %s)", n, f"d{n}", f"Department {n}", lane)
		self.sql("INSERT INTO department_line (lane, department) VALUES (%s, %s)", lane, n)
		return n, self.key(n)

	def append(self, events):
		"""events: (lane, key, key_version, type, body); a key keeps its trace"""
		traces = [self.traces.setdefault(e[1], os.urandom(16)) for e in events]
		return self.sql("SELECT * FROM event_append(%s::smallint[], %s::int[], %s::bigint[], %s::int[],"
			" %s::smallint[], %s::smallint[], %s::text[], %s::bytea[], %s::bytea[])",
			[e[0] for e in events], [1] * len(events), [e[1] for e in events], [e[2] for e in events],
			[e[3] for e in events], [1] * len(events), ["test"] * len(events),
			[psycopg2.Binary(t) for t in traces], [psycopg2.Binary(e[4]) for e in events])

	def request(self, lane=0, service=1, description="a hole"):
		request = self.new_id(lane)
		self.sql("INSERT INTO request (lane, request, jurisdiction, service, channel, door, lat, long, attributes,"
			" owner, deadline, requested_at, code_hash) VALUES (%s, %s, 1, %s, 2, 1, 41.98, 2.82,"
			" '{\"SIZE\": [\"large\", \"deep\"], \"LIT\": \"no\"}', 10, now() + interval '1 day',"
			" to_timestamp(%s / 1e6), %s)", lane, request, service, NOW_US, os.urandom(16))
		self.sql("INSERT INTO request_text (lane, request, jurisdiction, description, address)"
			" VALUES (%s, %s, 1, %s, 'Carrer Nou 1')", lane, request, description)
		self.append([(lane, request, 1, 1, b"")])
		return request

	def route(self, department, lane=0, service=1, home=None, n=1):
		"""n requests with a work item and a delivery each: [(request, work_item)], as routing commits them."""
		home = self.one("SELECT home_lane FROM department WHERE department = %s", department) if home is None else home
		made = []
		for _ in range(n):
			request, work = self.request(lane, service), self.new_id(lane)
			self.sql("BEGIN")
			self.sql("INSERT INTO work_item VALUES (%s, %s, 1, %s, %s, 1, 2, now() + interval '1 day')",
				lane, work, department, service)
			self.sql("INSERT INTO work_request VALUES (%s, %s, %s, %s, 1)", lane, work, lane, request)
			self.sql("SELECT delivery_append(ARRAY[%s]::smallint[], ARRAY[%s], ARRAY[1], ARRAY[%s],"
				" ARRAY[1]::smallint[], ARRAY[%s]::smallint[], ARRAY[%s]::bigint[], ARRAY[0])",
				home, department, service, lane, work)
			body = self.pb.RequestRouted(department=department, work_item=work, area=1, priority=2,
				deadline_us=NOW_US, service=service, home_lane=home)
			self.append([(lane, request, 2, 3, body.SerializeToString())])
			self.sql("COMMIT")
			made.append((request, work))
		return made

	def link(self, work_lane, work, lane, request):
		self.sql("INSERT INTO work_request VALUES (%s, %s, %s, %s, 1)", work_lane, work, lane, request)

	def history(self, key):
		"""[(version, name)] of a request or a work item."""
		return [(v, EVENTS[t]) for v, t in self.sql("SELECT key_version, type FROM event"
			" WHERE lane = %s AND order_key = %s ORDER BY seq", key % 100, key)]

	def changed(self, key, version):
		"""The body of one of dispatch's events."""
		kind, body = self.sql("SELECT type, body FROM event WHERE lane = %s AND order_key = %s AND key_version = %s",
			key % 100, key, version)[0]
		m = self.pb.WorkChanged() if kind >= 40 else self.pb.RequestChanged()
		m.ParseFromString(bytes(body))
		return m

	def state(self, work):
		rows = self.sql("SELECT state, outcome, key_version FROM work_state WHERE lane = %s AND work_item = %s",
			work % 100, work)
		return rows[0] if rows else None

	def acknowledged(self, department, consumer):
		"""The set of numbers that the store says are acknowledged."""
		return {d for first, last in self.sql("SELECT greatest(first, 1), last FROM delivery_ack"
			" WHERE department = %s AND consumer = %s", department, consumer) for d in range(first, last + 1)}


class Client:
	"""A department's DEALER. expect() fails a test that waits in vain. curve: the server's public key, and
	the client's public and secret ones."""

	def __init__(self, pb, endpoint, key="", consumer="c", services=(), curve=None, identity=None):
		self.pb, self.key, self.consumer, self.services = pb, key, consumer, list(services)
		self.context = zmq.Context()
		self.socket = self.context.socket(zmq.DEALER)
		self.socket.linger = 0
		if curve:
			self.socket.curve_serverkey, self.socket.curve_publickey, self.socket.curve_secretkey = curve
		if identity:
			self.socket.identity = identity
		self.socket.connect(endpoint)
		self.kept = []
		self.generation = 1
		self.pings = False # from the Welcome on
		self.pinged = 0

	def close(self):
		self.context.destroy(linger=0)

	def raw(self, data):
		self.socket.send(data)

	def say(self, **frame):
		self.raw(self.pb.DepartmentFrame(**frame).SerializeToString())

	def hello(self):
		self.say(hello=self.pb.Hello(api_key=self.key, consumer=self.consumer, services=self.services))
		return self

	def connect(self, timeout=20):
		"""Hello until there is a Welcome: a new department takes a moment to be known."""
		deadline = time.monotonic() + timeout
		while True:
			f = self.hello().expect("welcome", "refused", timeout=5)
			if f.WhichOneof("frame") == "welcome":
				self.generation, self.pings = f.welcome.generation, True
				return f.welcome
			if time.monotonic() > deadline:
				raise AssertionError(f"no welcome: {f}")
			time.sleep(0.05)

	def credit(self, more):
		self.say(credit=self.pb.Credit(more=more))

	def ack(self, *ranges, generation=None):
		self.say(ack=self.pb.Ack(generation=self.generation if generation is None else generation,
			ranges=[self.pb.DseqRange(first=f, last=l) for f, l in ranges]))

	def update(self, update_id, work, kind, outcome=0, **more):
		self.say(update=self.pb.Update(update_id=update_id, work_item=work,
			kind=f"UPDATE_KIND_{kind.upper()}", outcome=outcome, **more))

	def receive(self, timeout):
		"""The next frame, or None. Keeps the connection alive meanwhile."""
		deadline = time.monotonic() + timeout
		while True:
			now = time.monotonic()
			if self.pings and now > self.pinged + 0.5:
				self.pinged = now
				self.say(ping=self.pb.DepartmentPing())
			if self.socket.poll(max(0, min(deadline - now, 0.25)) * 1000):
				return self.pb.DispatchFrame.FromString(self.socket.recv())
			if now >= deadline:
				return None

	def expect(self, *kinds, timeout=10):
		"""The next frame of one of these kinds; others are kept for later, pongs dropped."""
		for i, f in enumerate(self.kept):
			if f.WhichOneof("frame") in kinds:
				return self.kept.pop(i)
		deadline = time.monotonic() + timeout
		while True:
			f = self.receive(deadline - time.monotonic())
			if f is None:
				raise AssertionError(f"none of {kinds} came; kept: {[k.WhichOneof('frame') for k in self.kept]}")
			kind = f.WhichOneof("frame")
			if kind in kinds:
				return f
			if kind != "pong":
				self.kept.append(f)

	def works(self, n, timeout=10):
		return [self.expect("work", timeout=timeout).work for _ in range(n)]

	def quiet(self, seconds=0.5, kinds=("work",)):
		"""True when none of these kinds comes."""
		deadline = time.monotonic() + seconds
		while time.monotonic() < deadline:
			f = self.receive(deadline - time.monotonic())
			if f is not None and f.WhichOneof("frame") != "pong":
				self.kept.append(f)
		return not any(f.WhichOneof("frame") in kinds for f in self.kept)

	def refused(self, timeout=10):
		return self.expect("refused", timeout=timeout).refused

	def stored(self, timeout=10):
		return self.expect("update_stored", timeout=timeout).update_stored
