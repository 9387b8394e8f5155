"""What the tests of the intake daemon share: a store with two towns, the daemon, its doors.

Environment: CENTRALETA_BUILD (the build folder).
"""
import http.client
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

import psycopg2
import zmq

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "lib"))
from stack import Stack  # noqa: E402

BUILD = pathlib.Path(os.environ.get("CENTRALETA_BUILD", ROOT / "build"))
RECEIVED, IMPORTED, ROUTED, ACCEPTED, RESOLVED, REFUSED, ANSWERED = 1, 2, 3, 5, 7, 8, 23

TOWNS = """
BEGIN;
INSERT INTO jurisdiction (jurisdiction, slug, jurisdiction_id, name, time_zone, language, triage_department,
	triage_minutes, min_lat, min_long, max_lat, max_long) VALUES
	(1, 'girona', 'girona.cat', 'Girona', 'Europe/Madrid', 'ca', 10, 90, 41, 2, 42, 3),
	(2, 'lleida', 'lleida.cat', 'Lleida', 'Europe/Madrid', 'es', 20, 60, NULL, NULL, NULL, NULL);
INSERT INTO department (department, jurisdiction, slug, name, home_lane) VALUES
	(10, 1, 'triage', 'Triatge', 0), (11, 1, 'streets', 'Carrers & Places', 1), (20, 2, 'triage', 'Triaje', 3);
COMMIT;
INSERT INTO department_line (lane, department) SELECT home_lane, department FROM department;
INSERT INTO jurisdiction_lane VALUES (1, 0), (1, 1), (2, 3);
INSERT INTO service (service, jurisdiction, service_code, slug, name, description, keywords, service_group,
	service_notice) VALUES
	(1, 1, 'clot/vorera & més', 'clot', 'Clot', 'Un forat', 'a,b', 'Via pública', 'El mirem aviat.'),
	(2, 1, 'fanal', 'fanal', 'Fanal', '', '', '', ''),
	(3, 2, 'bache', 'bache', 'Bache', '', '', '', '');
INSERT INTO service_attribute VALUES
	(1, 'MIDA', true, 'singlevaluelist', true, 'Trieu', 1, 'Mida del clot'),
	(1, 'ON', true, 'multivaluelist', false, '', 2, 'On és'),
	(1, 'NOTA', true, 'text', false, '', 3, 'Nota'),
	(1, 'INFO', false, 'text', true, '', 4, 'Només per llegir');
INSERT INTO service_attribute_value VALUES (1, 'MIDA', 'p', 'Petit', 1), (1, 'MIDA', 'g', 'Gran', 2),
	(1, 'ON', 'v', 'Vorera', 1), (1, 'ON', 'c', 'Calçada', 2);
UPDATE config_revision SET revision = revision + 1;
"""


def modules(folder):
	subprocess.run(["protoc", f"--proto_path={ROOT / 'proto'}", f"--python_out={folder}",
		"centraleta/v1/event.proto", "centraleta/v1/intake.proto"], check=True)
	sys.path.insert(0, str(folder))
	return (importlib.import_module("centraleta.v1.event_pb2"),
		importlib.import_module("centraleta.v1.intake_pb2"))


def wait_for(what, fn, timeout=15):
	deadline = time.monotonic() + timeout
	while time.monotonic() < deadline:
		got = fn()
		if got:
			return got
		time.sleep(0.02)
	raise AssertionError(f"never came: {what}")


class Answer:
	def __init__(self, response):
		self.status, self.headers, self.text = response.status, response.headers, response.read().decode()

	def json(self):
		return json.loads(self.text)

	def codes(self):
		return [e["code"] for e in self.json()]


def http_call(port, method, path, form=None, headers=None, body=None, timeout=30):
	c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
	headers = dict(headers or {})
	if form is not None:
		body = urllib.parse.urlencode(form, doseq=True)
	if body is not None and method == "POST":
		headers.setdefault("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	try:
		c.request(method, path, body=body, headers=headers)
		return Answer(c.getresponse())
	finally:
		c.close()


class Peer:
	"""A DEALER of intake.submit."""

	def __init__(self, stack, pb, key=None, endpoint=None):
		self.pb = pb
		self.sock = zmq.Context.instance().socket(zmq.DEALER)
		self.sock.linger = 0
		self.sock.connect(endpoint or f"ipc://{stack.runtime}/intake.submit")
		if key:
			self.opened = wait_for("Opened", lambda: self.open(key))

	def open(self, key):
		"""A new key is known once the daemon has seen the configuration move."""
		self.send(open=self.pb.Open(api_key=key))
		f = self.receive()
		return f.opened if f.WhichOneof("frame") == "opened" else None

	def send(self, **frame):
		self.sock.send(self.pb.SubmitterFrame(**frame).SerializeToString())

	def submit(self, **fields):
		self.send(submit=self.pb.Submit(**fields))

	def receive(self, timeout=15):
		if not self.sock.poll(timeout * 1000):
			raise AssertionError("no answer")
		f = self.pb.IntakeFrame()
		f.ParseFromString(self.sock.recv())
		return f

	def close(self):
		self.sock.close()


class Case(unittest.TestCase):
	settings = {}
	fsync = False
	server_env = {}
	postgres = ""

	@classmethod
	def setUpClass(cls):
		cls.folder = tempfile.TemporaryDirectory(prefix="centraleta-intake-")
		cls.addClassCleanup(cls.folder.cleanup)
		folder = pathlib.Path(cls.folder.name)
		folder.chmod(0o755)
		(folder / "gen").mkdir()
		cls.events, cls.pb = modules(folder / "gen")
		cls.stack = Stack(folder, BUILD, fsync=cls.fsync, postgres=cls.postgres, settings={"log.level": os.environ.get("LEVEL", "debug"),
			"intake.guess_address": 100000, "intake.guess_total": 100000, **cls.settings})
		cls.addClassCleanup(cls.leave)
		cls.stack.cluster.env.update(cls.server_env)
		cls.stack.start_store()
		cls.connect()
		cls.sql(TOWNS)
		for town in ("girona", "lleida"):
			cls.stack.cli("door", "add", town, "web", "--channel", "web")
		cls.key = cls.stack.key("girona", door="web", scopes="submit,import")
		cls.plain_key = cls.stack.key("girona", door="web", scopes="submit")
		cls.lleida_key = cls.stack.key("lleida", door="web", scopes="submit")
		cls.daemon = cls.stack.start_daemon("intake").wait_ready()

	@classmethod
	def leave(cls):
		"""Every daemon leaves with 0, and no sanitizer has anything to say."""
		codes = cls.stack.stop()
		for member, d in cls.stack.daemons.items():
			log = d.log_path.read_text(errors="replace")
			if codes[member] != 0 or "Sanitizer" in log or "runtime error" in log:
				raise AssertionError(f"{member} left with {codes[member]}:\n{d.tail(60)}")

	@classmethod
	def connect(cls):
		cls.db = psycopg2.connect(cls.stack.dsn("postgres"), options="-c search_path=centraleta,public")
		cls.addClassCleanup(cls.db.close)
		cls.db.autocommit = True

	@classmethod
	def sql(cls, text, *params):
		with cls.db.cursor() as c:
			c.execute(text, params or None)
			return c.fetchall() if c.description else None

	@classmethod
	def one(cls, text, *params):
		return cls.sql(text, *params)[0][0]

	def get(self, path, **headers):
		return http_call(self.stack.http_port, "GET", path, headers=headers)

	def post(self, form=None, path="/open311/v2/requests.json", headers=None, **fields):
		form = {"jurisdiction_id": "girona.cat", "api_key": self.key, "service_code": "fanal",
			"lat": "41.5", "long": "2.5", **(form or {}), **fields}
		return http_call(self.stack.http_port, "POST", path, {k: v for k, v in form.items() if v is not None},
			headers)

	def posted(self, *args, **kwargs):
		a = self.post(*args, **kwargs)
		self.assertEqual(a.status, 200, a.text)
		return int(a.json()[0]["service_request_id"]), a.headers["Centraleta-Code"]

	def counts(self, request):
		return [self.one(f"SELECT count(*) FROM {t} WHERE request = %s", request)
			for t in ("request", "request_text", "request_public", "contact")] + \
			[self.one("SELECT count(*) FROM event WHERE order_key = %s", request)]

	def held(self, statement):
		return Held(self.stack.dsn("postgres"), statement)

	def waiting(self):
		"""A back-end of intake that waits for a lock."""
		return wait_for("a waiting back-end", lambda: self.sql("SELECT pid FROM pg_stat_activity"
			" WHERE usename = 'centraleta_intake' AND wait_event_type = 'Lock'"))[0][0]

	def append(self, request, version, type_, body, jurisdiction=1):
		return self.sql("SELECT first_seq FROM event_append(%s::int2[], %s::int4[], %s::int8[], %s::int4[],"
			" %s::int2[], '{1}', '{test}', %s::bytea[], %s::bytea[])", [request % 100], [jurisdiction], [request],
			[version], [type_], [psycopg2.Binary(os.urandom(16))], [psycopg2.Binary(body.SerializeToString())])[0][0]

	def resolve(self, request, outcome=1):
		e = self.events
		self.append(request, 2, ROUTED, e.RequestRouted(department=11, work_item=777707,
			deadline_us=int((time.time() + 3600) * 1e6)))
		self.append(request, 3, RESOLVED, e.RequestChanged(state=e.REQUEST_STATE_CLOSED, outcome=outcome,
			work_item=777707, department=11, occurred_at_us=int(time.time() * 1e6)))


class Held:
	"""A transaction of another session that holds what a statement locks."""

	def __init__(self, dsn, statement):
		self.db = psycopg2.connect(dsn, options="-c search_path=centraleta,public")
		with self.db.cursor() as c:
			c.execute(statement)

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.db.rollback()
		self.db.close()
