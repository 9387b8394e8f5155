"""dispatch.work and intake.submit over tcp:// with CURVE, for clients that know ZeroMQ and the .proto files:
who comes in, who doesn't, and who is thrown out. A second town's keys are tried on the first one's doors.

Environment: CENTRALETA_BUILD (the build folder).
"""
import importlib
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import zmq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "dispatch"))
from town import BUILD, ROOT, Client, Store, frames  # noqa: E402
from mailserver import free_port  # noqa: E402
from stack import Stack  # noqa: E402

OUT_WITHIN = 5  # seconds from a revocation to the end of the connection

SECOND_TOWN = """
BEGIN;
INSERT INTO jurisdiction (jurisdiction, slug, jurisdiction_id, name, time_zone, triage_department)
	VALUES (2, 'lleida', 'lleida.cat', 'Lleida', 'Europe/Madrid', 20);
INSERT INTO department (department, jurisdiction, slug, name, home_lane) VALUES (20, 2, 'triage', 'Triage', 1);
COMMIT;
INSERT INTO department_line (lane, department) VALUES (1, 20);
INSERT INTO service (service, jurisdiction, service_code, slug, name) VALUES (3, 2, 'LLUM', 'lamp', 'Lamp');
INSERT INTO jurisdiction_lane VALUES (1, 0), (2, 1);
UPDATE config_revision SET revision = revision + 1;
"""


class Integrator:
	"""A DEALER of intake.submit."""

	def __init__(self, pb, endpoint, curve=None):
		self.pb, self.context = pb, zmq.Context()
		self.socket = self.context.socket(zmq.DEALER)
		self.socket.linger = 0
		if curve:
			self.socket.curve_serverkey, self.socket.curve_publickey, self.socket.curve_secretkey = curve
		self.socket.connect(endpoint)

	def close(self):
		self.context.destroy(linger=0)

	def say(self, **frame):
		self.socket.send(self.pb.SubmitterFrame(**frame).SerializeToString())

	def receive(self, timeout=10):
		return self.pb.IntakeFrame.FromString(self.socket.recv()) if self.socket.poll(timeout * 1000) else None

	def open(self, key="", timeout=10):
		self.say(open=self.pb.Open(api_key=key))
		return self.receive(timeout)


class Case(unittest.TestCase):
	@classmethod
	def setUpClass(cls):
		cls.folder = tempfile.TemporaryDirectory(prefix="centraleta-curve-")
		cls.addClassCleanup(cls.folder.cleanup)
		folder = pathlib.Path(cls.folder.name)
		folder.chmod(0o755)
		cls.event_pb, cls.pb = frames(folder / "gen")
		subprocess.run(["protoc", f"--proto_path={ROOT / 'proto'}", f"--python_out={folder / 'gen'}",
			"centraleta/v1/intake.proto"], check=True)
		cls.intake_pb = importlib.import_module("centraleta.v1.intake_pb2")
		cls.work, cls.submit = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
		cls.secret_file = folder / "curve"
		cls.stack = Stack(folder, BUILD, fsync=False, settings={"log.level": "debug", "dispatch.heartbeat_ms": 3000,
			"dispatch.probe_ms": 300, "eventlog.probe_ms": 200, "bus.curve_secret_file": cls.secret_file,
			"dispatch.work_tcp": cls.work, "intake.submit_tcp": cls.submit})
		cls.addClassCleanup(cls.leave)
		cls.stack.start_store()
		made = cls.stack.cli("key", "server", json_out=True)
		cls.server = made["curve_public"].encode()
		cls.secret_file.write_text(made["curve_secret"] + "\n")
		cls.secret_file.chmod(0o600)
		cls.store = Store(cls.stack.dsn("postgres"), (folder / "secret").read_bytes().strip(), cls.event_pb)
		cls.addClassCleanup(cls.store.db.close)
		cls.store.sql(SECOND_TOWN)
		for town in ("girona", "lleida"):
			cls.stack.cli("door", "add", town, "web", "--channel", "web")
		cls.store.prepare([0] * 12)
		cls.stack.start_daemons(("dispatch", "intake"))

	@classmethod
	def leave(cls):
		codes = cls.stack.stop()
		for member, d in cls.stack.daemons.items():
			log = d.log_path.read_text(errors="replace")
			if codes[member] != 0 or "Sanitizer" in log or "runtime error" in log:
				raise AssertionError(f"{member} left with {codes[member]}:\n{d.tail(60)}")

	# ---- keys ---------------------------------------------------------------------------------------

	def key(self, *words, town="girona"):
		"""Its id, and what a client needs."""
		k = self.stack.cli("key", "add", town, *words, "--curve-new", json_out=True)
		return k["key_id"], self.curve_of(k)

	def curve_of(self, k):
		return self.server, k["curve_public"].encode(), k["curve_secret"].encode()

	def department(self, *words):
		"""A department of girona that no other case has: number, key id, keys."""
		number, _ = self.store.department()
		return number, *self.key("--department", f"d{number}", *words)

	def stranger(self):
		return self.server, *zmq.curve_keypair()

	# ---- connections ----------------------------------------------------------------------------------

	def client(self, curve, endpoint=None, **more):
		c = Client(self.pb, endpoint or self.work, curve=curve, **more)
		self.addCleanup(c.close)
		return c

	def come_in(self, curve, timeout=15, **more):
		"""A connection with a Welcome. What was refused at the handshake doesn't try again by itself."""
		deadline = time.monotonic() + timeout
		while time.monotonic() < deadline:
			c = self.client(curve, **more).hello()
			f = c.receive(1)
			if f and f.WhichOneof("frame") == "welcome":
				c.generation, c.pings = f.welcome.generation, True
				return c
			c.close()
			time.sleep(0.05)
		self.fail("no welcome\n" + self.stack.daemons["dispatch"].tail())

	def integrator(self, curve, endpoint=None):
		i = Integrator(self.intake_pb, endpoint or self.submit, curve)
		self.addCleanup(i.close)
		return i

	def opened(self, curve, key="", timeout=15):
		deadline = time.monotonic() + timeout
		while time.monotonic() < deadline:
			i = self.integrator(curve)
			f = i.open(key, timeout=1)
			if f and f.WhichOneof("frame") == "opened":
				return i, f.opened
			i.close()
		self.fail("not opened\n" + self.stack.daemons["intake"].tail())

	def stays_out(self, socket, seconds=1.0):
		self.assertEqual(socket.poll(seconds * 1000), 0, "something came back")

	def handshakes(self, daemon, result):
		domain = {"dispatch": "dispatch.work", "intake": "intake.submit"}[daemon]
		return self.stack.daemons[daemon].metrics().get(
			f'bus_handshakes_total{{domain="{domain}",result="{result}"}}', 0)

	def counted(self, daemon, result, before, timeout=10):
		deadline = time.monotonic() + timeout
		while self.handshakes(daemon, result) <= before:
			self.assertLess(time.monotonic(), deadline, f"{daemon}: {result} was never counted")
			time.sleep(0.05)


class Work(Case):
	def test_the_right_key_gets_its_work(self):
		number, _, curve = self.department()
		made = self.store.route(number, n=3)
		c = self.come_in(curve)
		c.credit(10)
		self.assertEqual([w.work_item for w in c.works(3)], [work for _, work in made])
		c.ack((1, 3))
		self.assertEqual(c.expect("ack_stored").ack_stored.position, 3)
		c.update("u1", made[0][1], "accept")
		self.assertEqual(c.stored().update_id, "u1")

	def test_who_is_not_known_stays_outside_and_is_counted(self):
		_, _, curve = self.department()
		self.come_in(curve)
		other_server, _ = zmq.curve_keypair()
		for result, keys in (("unknown", self.stranger()), ("server_key", (other_server, *curve[1:]))):
			before = self.handshakes("dispatch", result)
			c = self.client(keys).hello()
			self.stays_out(c.socket)
			self.counted("dispatch", result, before)
		c = self.client(None).hello()  # without CURVE
		self.stays_out(c.socket)
		before = self.handshakes("dispatch", "unknown")
		_, integrators = self.key("--door", "web")
		c = self.client(integrators).hello()
		self.stays_out(c.socket)
		self.counted("dispatch", "unknown", before)

	def test_a_revoked_key_is_out_at_once_and_the_others_come_back(self):
		number, key_id, curve = self.department()
		_, _, others = self.department()
		c, other = self.come_in(curve), self.come_in(others)
		rebinds = self.stack.daemons["dispatch"].metric_sum("bus_rebinds_total")
		revoked_before = self.handshakes("dispatch", "revoked")
		c.credit(10)
		self.stack.cli("key", "revoke", key_id)
		started = time.monotonic()
		r = c.refused(timeout=OUT_WITHIN)
		self.assertEqual((r.code, r.final), ("bad_key", True))
		c.pings = False
		self.counted("dispatch", "revoked", revoked_before, timeout=OUT_WITHIN)  # the connection itself was closed
		self.assertLess(time.monotonic() - started, OUT_WITHIN)
		self.assertEqual(self.stack.daemons["dispatch"].metric_sum("bus_rebinds_total"), rebinds + 1)
		self.store.route(number, n=1)
		self.assertTrue(c.quiet(1))
		again = self.client(curve).hello()
		self.stays_out(again.socket)
		deadline = time.monotonic() + 10
		while True:  # the connection that wasn't meant is a new one, and says Hello again
			other.hello()
			f = other.receive(1)
			if f and f.WhichOneof("frame") == "welcome":
				break
			self.assertLess(time.monotonic(), deadline)

	def test_a_rotated_key_is_taken_for_a_while(self):
		number, key_id, curve = self.department()
		self.store.route(number, n=1)
		old = self.come_in(curve, consumer="old")
		new = self.stack.cli("key", "rotate", key_id, "--keep", "8s", json_out=True)
		started = time.monotonic()
		c = self.come_in(self.curve_of(new), consumer="new")
		old.credit(1)
		old.works(1)
		self.assertLess(time.monotonic() - started, 8, "too slow a machine for this case")
		self.assertEqual(old.refused(timeout=8 + OUT_WITHIN).code, "bad_key")
		self.assertGreater(time.monotonic() - started, 7)
		deadline = time.monotonic() + 10
		while True:
			c.hello()
			f = c.receive(1)
			if f and f.WhichOneof("frame") == "welcome":
				break
			self.assertLess(time.monotonic(), deadline)
		done = self.stack.cli("key", "rotate", key_id, check=False)
		self.assertEqual(done.returncode, 3, done.stderr)

	def test_topics_limit_a_key(self):
		number, key_id, curve = self.department("--topics", "tree")
		works = [self.store.route(number, service=service)[0][1] for service in (1, 2, 1, 2)]
		c = self.come_in(curve)
		c.credit(10)
		self.assertEqual([w.dseq for w in c.works(2)], [2, 4])
		self.assertTrue(c.quiet(0.5))
		c.update("theirs", works[0], "accept")
		r = c.refused()
		self.assertEqual((r.code, r.update_id, r.reason), ("foreign", "theirs", "work_item: the key isn't for its service"))
		c.update("own", works[1], "accept")
		self.assertEqual(c.stored().update_id, "own")
		c.ack((1, 4))
		self.assertEqual(c.expect("ack_stored").ack_stored.position, 4)
		r = self.client(curve, services=["pothole"]).hello().refused()
		self.assertEqual((r.code, r.final), ("foreign", True))
		self.assertIn('services[0]: the key isn\'t for "pothole"', r.reason)
		whole = self.come_in(self.key("--department", f"d{number}")[1])  # under the same name
		whole.credit(10)
		self.assertEqual([w.dseq for w in whole.works(4)], [1, 2, 3, 4], "the key with topics moved another's position")
		self.assertTrue(c.quiet(0.5, ("fenced",)))
		r = self.client(curve, consumer="c" * 52).hello().refused()
		self.assertEqual((r.code, r.reason), ("invalid", "consumer: of a key with topics 1 to 51 characters"))
		again = self.come_in(self.curve_of(self.stack.cli("key", "rotate", key_id, json_out=True)))
		again.credit(10)
		self.assertTrue(again.quiet(0.5), "the successor of a key goes on where it was")

	def test_another_towns_department(self):
		number, _, _ = self.department()
		made = self.store.route(number, n=1)
		_, curve = self.key("--department", "triage", town="lleida")
		c = self.come_in(curve)
		c.credit(10)
		self.assertTrue(c.quiet(0.5))
		c.update("steal", made[0][1], "accept")
		self.assertEqual(c.refused().code, "foreign")
		c.ack((1, 1))
		self.assertEqual(c.refused().code, "future")
		self.assertIn(self.store.state(made[0][1]), (None, (1, 0, 0)))  # as routing left it

	def test_a_text_beside_the_key_must_be_the_same_departments(self):
		_, _, curve = self.department()
		number, text = self.store.department()
		_, same = self.key("--department", f"d{number}")
		self.come_in(curve)
		self.come_in(same, key=text)
		r = self.client(curve, key=text).hello().refused()
		self.assertEqual((r.code, r.final), ("bad_key", True))

	def test_a_chosen_routing_id_is_refused(self):
		_, _, curve = self.department()
		self.come_in(curve)
		r = self.client(curve, identity=b"somebody").hello().refused()
		self.assertEqual((r.code, r.final), ("invalid", True))
		self.assertIn("routing id", r.reason)

	def test_nobody_comes_in_while_nobody_answers(self):
		_, _, curve = self.department()
		self.come_in(curve)
		d = self.stack.daemons["dispatch"]
		d.kill(signal.SIGSTOP)
		try:
			c = self.client(curve).hello()
			self.stays_out(c.socket, 2)
		finally:
			d.kill(signal.SIGCONT)
		c.expect("welcome", timeout=20)

	def test_the_example_comes_in_as_soon_as_its_key_is_known(self):
		number, _ = self.store.department()
		made = self.store.route(number, n=2)
		keys, out = (pathlib.Path(self.folder.name) / name for name in ("example.keys", "example.out"))
		_, curve = self.key("--department", f"d{number}")
		keys.write_bytes(b"\n".join(curve))
		p = subprocess.Popen([sys.executable, str(ROOT / "docs/examples/subscriber.py"), "--endpoint", self.work, "--curve",
			str(keys), "--consumer", "example", "--out", str(out)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
		try:
			deadline = time.monotonic() + 30
			while not out.exists() or out.read_text().count("\n") < 2:
				self.assertLess(time.monotonic(), deadline)
				time.sleep(0.1)
		finally:
			p.kill()
			p.wait()
		self.assertEqual([json.loads(line)["work_item"] for line in out.read_text().splitlines()], [w for _, w in made])

	def test_ipc_takes_texts_as_before(self):
		number, text = self.store.department()
		self.store.route(number, n=1)
		c = self.client(None, endpoint=f"ipc://{self.stack.runtime}/dispatch.work", key=text)
		c.connect()
		c.credit(1)
		c.works(1)


class Submit(Case):
	def fields(self, number=1, code="POT/1"):
		return {"number": number, "service_code": code, "place": self.event_pb.Place(lat=41.98, long=2.82)}

	def test_the_right_key_submits(self):
		_, curve = self.key("--door", "web")
		i, opened = self.opened(curve)
		self.assertEqual(opened.jurisdiction_id, "girona.cat")
		i.say(submit=self.intake_pb.Submit(**self.fields(7)))
		f = i.receive()
		self.assertEqual((f.WhichOneof("frame"), f.accepted.number), ("accepted", 7))

	def test_who_is_not_known_stays_outside_and_is_counted(self):
		before = self.handshakes("intake", "unknown")
		i = self.integrator(self.stranger())
		self.assertIsNone(i.open(timeout=1))
		self.counted("intake", "unknown", before)
		number, _ = self.store.department()
		before = self.handshakes("intake", "unknown")
		_, departments = self.key("--department", f"d{number}")
		self.assertIsNone(self.integrator(departments).open(timeout=1))
		self.counted("intake", "unknown", before)
		self.assertIsNone(self.integrator(None).open(timeout=1))

	def test_a_revoked_key_is_out_at_once(self):
		key_id, curve = self.key("--door", "web")
		i, _ = self.opened(curve)
		revoked_before = self.handshakes("intake", "revoked")
		self.stack.cli("key", "revoke", key_id)
		started = time.monotonic()
		self.counted("intake", "revoked", revoked_before, timeout=OUT_WITHIN)
		self.assertLess(time.monotonic() - started, OUT_WITHIN)
		try:
			i.socket.send(self.intake_pb.SubmitterFrame(submit=self.intake_pb.Submit(**self.fields())).SerializeToString(),
				zmq.DONTWAIT)
		except zmq.Again:
			pass  # there is no connection left
		self.stays_out(i.socket)
		self.assertIsNone(self.integrator(curve).open(timeout=1))

	def test_another_towns_integrator(self):
		_, curve = self.key("--door", "web", town="lleida")
		i, opened = self.opened(curve)
		self.assertEqual(opened.jurisdiction_id, "lleida.cat")
		i.say(submit=self.intake_pb.Submit(**self.fields(1, "POT/1")))
		f = i.receive()
		self.assertEqual([(e.field, e.code) for e in f.rejected.errors], [("service_code", "unknown")])
		text = self.stack.key("girona", door="web")
		self.opened(self.key("--door", "web")[1], text)  # by now both are known
		f = self.integrator(curve).open(text)
		self.assertEqual(f.refused.code, "bad_key")

	def test_ipc_takes_texts_as_before(self):
		text = self.stack.key("girona", door="web")
		deadline = time.monotonic() + 10
		i = self.integrator(None, f"ipc://{self.stack.runtime}/intake.submit")
		while i.open(text).WhichOneof("frame") != "opened":
			self.assertLess(time.monotonic(), deadline)
			time.sleep(0.05)


class Start(Case):
	"""What is refused before a port is opened."""

	def refuses(self, kind, line, *sets):
		d = self.stack.start_daemon(kind, f"{kind}-wrong", sets=sets)
		del self.stack.daemons[f"{kind}-wrong"]  # it leaves by itself, and not with 0
		self.addCleanup(d.kill)
		self.assertNotEqual(d.process.wait(20), 0)
		self.assertIn(line, d.tail())

	def test_tcp_without_curve(self):
		for kind, key in (("dispatch", "dispatch.work"), ("intake", "intake.submit")):
			port = free_port()
			own = f"{key}_endpoint=ipc://{self.stack.runtime}/wrong"
			none = "bus.curve_secret_file=/nonexistent"
			tcp = f"{key}_tcp=tcp://127.0.0.1:{port}"
			more = [f"intake.listen=127.0.0.1:{free_port()}"] if kind == "intake" else []
			self.refuses(kind, f"key={key}_tcp endpoint=tcp://127.0.0.1:{port} reason=\"only ipc:// is bound without CURVE",
				own, none, tcp, *more)
			self.refuses(kind, f"key={key}_endpoint endpoint=tcp://127.0.0.1:{port} reason=\"only ipc:// is bound",
				f"{key}_endpoint=tcp://127.0.0.1:{port}", *more)

	def test_the_bus_between_daemons_stays_on_the_machine(self):
		self.refuses("dispatch", "key=bus.endpoint endpoint=tcp://127.0.0.1:9", "bus.endpoint=tcp://127.0.0.1:9")

	def test_what_is_no_key(self):
		path = pathlib.Path(self.folder.name) / "no-key"
		path.write_text("not a key")
		self.refuses("dispatch", "key=bus.curve_secret_file", f"bus.curve_secret_file={path}")


if __name__ == "__main__":
	unittest.main()
