"""The notification daemon on a real PostgreSQL, with a real Postfix and with mail servers that die.

Events are put into the log by event_append, as intake and dispatch do. What is looked at: the mails
that arrived, the rows of message, attempt and survey, the events, metrics and log lines.

Environment: CENTRALETA_BUILD (the build folder).
"""
import email.utils
import importlib
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import psycopg2

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import mailserver  # noqa: E402
from peer import Peer  # noqa: E402
from stack import Stack  # noqa: E402

BUILD = pathlib.Path(os.environ.get("CENTRALETA_BUILD", ROOT / "build"))
RECEIVED, RESOLVED, NOTIFIED, UNDELIVERABLE, SURVEY_SENT = 1, 7, 20, 21, 22
SENDING, SENT, FAILED, UNCERTAIN, GIVEN_UP = 1, 2, 3, 4, 5
PROGRESS, CLOSED = 4, 5
DONE, NOT_FOUND = 1, 5
NOON_US = 1795521600_000_000  # 2026-11-24T12:00:00Z

TOWNS = """
BEGIN;
INSERT INTO jurisdiction (jurisdiction, slug, jurisdiction_id, name, time_zone, language,
	triage_department, mail_from) VALUES
	(1, 'girona', 'girona.cat', 'Girona · 311', 'Europe/Madrid', 'ca', 10, '311@girona.test'),
	(2, 'mute', 'mute.test', 'Mute', 'UTC', 'en', 20, NULL);
INSERT INTO department (department, jurisdiction, slug, name, home_lane) VALUES
	(10, 1, 'triage', 'Triatge', 0), (11, 1, 'llums', 'Enllumenat', 1), (20, 2, 'triage', 'Triage', 3);
COMMIT;
INSERT INTO jurisdiction_lane SELECT 1, l FROM generate_series(0, 7) l;
INSERT INTO service (service, jurisdiction, service_code, slug, name) VALUES
	(1, 1, 'lamp', 'lamp', 'Fanal apagat'), (2, 2, 'lamp', 'lamp', 'Lamp');
UPDATE config_revision SET revision = revision + 1;
"""

# the one that a comment of queries.def gives to the operators' command
UNCERTAIN_LIST = """
SELECT m.lane, m.cause_seq, m.kind, m.request, m.jurisdiction, a.attempt, a.message_id, a.detail, a.at
FROM attempt a JOIN message m USING (lane, cause_seq, kind, channel)
WHERE a.state = 4
	AND NOT EXISTS (SELECT 1 FROM attempt n WHERE n.lane = a.lane
		AND n.cause_seq = a.cause_seq AND n.kind = a.kind AND n.channel = a.channel
		AND (n.attempt, n.state) > (a.attempt, a.state))
ORDER BY a.at
"""

FAST = {
	"log.level": "debug", "notification.poll_ms": 200, "notification.retry_base_ms": 200,
	"notification.retry_cap_ms": 1000, "notification.relay_retry_ms": 100,
	"notification.relay_retry_cap_ms": 300,
}


def event_module(folder):
	subprocess.run(["protoc", f"--proto_path={ROOT / 'proto'}", f"--python_out={folder}",
		"centraleta/v1/event.proto"], check=True)
	sys.path.insert(0, str(folder))
	return importlib.import_module("centraleta.v1.event_pb2")


class Case(unittest.TestCase):
	"""A store of its own, towns, and no daemon yet."""

	settings = {}

	@classmethod
	def setUpClass(cls):
		cls.folder = tempfile.TemporaryDirectory(prefix="centraleta-note-")
		cls.addClassCleanup(cls.folder.cleanup)
		folder = pathlib.Path(cls.folder.name)
		folder.chmod(0o755)
		if not hasattr(Case, "pb"):
			Case.gen = tempfile.TemporaryDirectory()
			Case.pb = event_module(pathlib.Path(Case.gen.name))
		cls.stack = Stack(folder, BUILD, fsync=False, settings={**FAST, **cls.settings})
		cls.addClassCleanup(cls.stack.stop)
		cls.stack.start_store()
		cls.connect()
		cls.sql(TOWNS)
		cls.numbers = itertools.count(1_000_000)

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

	@classmethod
	def start(cls, port, member="notification", **sets):
		sets = {"notification.smtp_url": f"smtp://127.0.0.1:{port}", **sets}
		return cls.stack.start_daemon("notification", member,
			[f"{k}={v}" for k, v in sets.items()]).wait_ready()

	# ---- what intake and dispatch do ------------------------------------------------------

	@classmethod
	def request(cls, address=None, language="ca", lane=0, town=1, text="El fanal no va."):
		"""A request and its event; returns its number."""
		number = next(cls.numbers) * 100 + lane
		cls.sql("INSERT INTO request (lane, request, jurisdiction, service, channel, door, owner, deadline,"
			" requested_at, code_hash) VALUES (%s, %s, %s, %s, 2, 1, 10, '2026-12-24Z', '2026-11-24 12:00Z',"
			" decode(md5(%s::text), 'hex'))", lane, number, town, town, number)
		cls.sql("INSERT INTO request_text (lane, request, jurisdiction, description) VALUES (%s, %s, %s, %s)",
			lane, number, town, text)
		cls.sql("INSERT INTO request_public (lane, request, jurisdiction, service, state, department,"
			" description, address, media_url, requested_at, updated_at, expected_at) VALUES"
			" (%s, %s, %s, %s, 2, 11, %s, '', '', '2026-11-24 12:00Z', '2026-11-24 12:00Z', '2026-12-01 09:00Z')",
			lane, number, town, town, text)
		if address is not None:
			cls.sql("INSERT INTO contact (lane, request, jurisdiction, email, language)"
				" VALUES (%s, %s, %s, %s, %s)", lane, number, town, address, language)
		m = cls.pb.RequestReceived(service=town, channel=2, door=1, requested_at_us=NOON_US, owner=10,
			deadline_us=NOON_US)
		cls.append(lane, town, number, 1, RECEIVED, m.SerializeToString())
		return number

	@classmethod
	def resolve(cls, number, state=CLOSED, outcome=DONE, note="", version=2):
		lane, item = number % 100, next(cls.numbers) * 100 + 5
		cls.sql("INSERT INTO work_request VALUES (5, %s, %s, %s, 1)", item, lane, number)
		if note:
			cls.sql("INSERT INTO update_text (lane, department, update_id, work_item, jurisdiction, kind, note,"
				" body_hash, at) VALUES (5, 11, %s, %s, 1, 3, %s, decode(md5(''), 'hex'), now())",
				str(item), item, note)
		m = cls.pb.RequestChanged(state=state, outcome=outcome, work_item=item, department=11,
			occurred_at_us=NOON_US)
		cls.append(lane, 1, number, version, RESOLVED, m.SerializeToString())

	@classmethod
	def append(cls, lane, town, key, version, kind, body):
		cls.sql("SELECT * FROM event_append(%s::smallint[], %s::int[], %s::bigint[], %s::int[],"
			" %s::smallint[], '{1}'::smallint[], '{test}'::text[], %s::bytea[], %s::bytea[])",
			[lane], [town], [key], [version], [kind], [psycopg2.Binary(os.urandom(16))],
			[psycopg2.Binary(body)])

	# ---- what came of it -----------------------------------------------------------------

	def wait(self, what, timeout=20):
		deadline = time.monotonic() + timeout
		while time.monotonic() < deadline:
			value = what()
			if value:
				return value
			time.sleep(0.03)
		logs = "\n".join(d.tail(25) for d in self.stack.daemons.values())
		self.fail("nothing came of it:\n" + logs)

	def message(self, number, kind=1):
		rows = self.sql("SELECT channel, language FROM message WHERE lane = %s AND request = %s AND kind = %s",
			number % 100, number, kind)
		self.assertLessEqual(len(rows), 1)
		return rows[0] if rows else None

	def attempts(self, number, kind=1):
		"""[(attempt, state, detail, message_id)]"""
		return self.sql("SELECT a.attempt, a.state, a.detail, a.message_id FROM attempt a"
			" JOIN message m USING (lane, cause_seq, kind, channel)"
			" WHERE m.lane = %s AND m.request = %s AND m.kind = %s ORDER BY 1, 2", number % 100, number, kind)

	def newest(self, number, kind=1):
		rows = self.attempts(number, kind)
		return rows[-1][1] if rows else 0

	def wait_state(self, number, state, kind=1, timeout=20):
		self.wait(lambda: self.newest(number, kind) == state, timeout)

	def message_id(self, number, kind=1):
		ids = {row[3] for row in self.attempts(number, kind) if row[3]}
		self.assertEqual(len(ids), 1, "the Message-ID is one for all attempts")
		return ids.pop()

	def events(self, number):
		"""Types of the events that this daemon said of a request."""
		return [r[0] for r in self.sql("SELECT type FROM event WHERE lane = %s AND order_key = %s AND type >= 20"
			" AND key_version IS NULL AND actor = 'notification' ORDER BY seq", number % 100, number)]

	def uncertain(self):
		return {row[3] for row in self.sql(UNCERTAIN_LIST)}


@unittest.skipIf(mailserver.available(), mailserver.available())
class WithPostfix(Case):
	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.mail = mailserver.Postfix(replies={"nobody@citizen.test": "550 5.1.1 No such box",
			"later@slow.test": "450 4.2.0 Try again"}, domains=["citizen.test", "slow.test"])
		cls.mail.start(pathlib.Path(cls.folder.name) / "mail")
		cls.addClassCleanup(cls.mail.stop)
		cls.daemon = cls.start(cls.mail.port)

	def mail_of(self, number, kind=1):
		wanted = "<%s>" % self.message_id(number, kind)
		return self.wait(lambda: [m for m in self.mail.messages() if m["Message-ID"] == wanted])

	def test_received_in_three_languages(self):
		cases = {"ca": "1 de desembre de 2026", "es": "1 de diciembre de 2026", "en": "1 December 2026"}
		for lane, (language, date) in enumerate(cases.items()):
			number = self.request(f"{language}@citizen.test", language, lane, text="No va.\r\n<b>Àngel</b>")
			self.wait_state(number, SENT)
			(mail,) = self.mail_of(number)
			text = mailserver.text_of(mail)
			self.assertEqual(mail.defects, [])
			self.assertEqual(mail["X-Original-To"], f"{language}@citizen.test")
			self.assertEqual(mail["Return-Path"], "<311@girona.test>")
			self.assertEqual(mail["From"].addresses[0].display_name, "Girona · 311")
			self.assertEqual(mail["From"].addresses[0].addr_spec, "311@girona.test")
			self.assertEqual(mail["Content-Language"], language)
			self.assertEqual(mail["Auto-Submitted"], "auto-generated")
			self.assertEqual(mail["X-Auto-Response-Suppress"], "All")
			self.assertTrue(mail["Message-ID"].endswith("@girona.test>"))
			self.assertLess(abs(email.utils.parsedate_to_datetime(mail["Date"]).timestamp() - time.time()), 60)
			self.assertFalse([h for h in mail.keys() if h.lower().startswith("list-")])
			self.assertIn(str(number), mail["Subject"])
			for part in (str(number), "Fanal apagat", "> No va.\n> <b>Àngel</b>", date):
				self.assertIn(part, text)
			url = re.search(r"^http\S+/r/([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})\?lang=" + language + "$", text, re.M)
			self.assertTrue(url, text)
			self.assertIn(": " + url[1] + "\n", text)
			html = mail.get_body(("html",)).get_content()
			self.assertIn("&lt;b&gt;Àngel", html)
			self.assertEqual([a[1] for a in self.attempts(number)], [SENDING, SENT])
			self.assertEqual(self.message(number), (1, language))
			self.wait(lambda n=number: self.events(n) == [NOTIFIED])

	def test_resolved_with_note_and_survey(self):
		number = self.request("done@citizen.test", "en", 3)
		self.resolve(number, PROGRESS, 0)  # one of two departments is done
		self.resolve(number, CLOSED, NOT_FOUND, "We went on Monday.\nNo lamp there.", version=3)
		self.wait_state(number, SENT, kind=2)
		(mail,) = self.mail_of(number, kind=2)
		text = mailserver.text_of(mail)
		for part in ("did not find the problem", "Enllumenat writes:", "> We went on Monday.\n> No lamp there."):
			self.assertIn(part, text)
		self.assertRegex(text, r"(?m)^http\S+/r/\S{14}/survey\?lang=en$")
		self.wait(lambda: self.events(number) == [NOTIFIED, NOTIFIED, SURVEY_SENT])
		closing = self.one("SELECT seq FROM event WHERE lane = 3 AND order_key = %s AND key_version = 3", number)
		self.assertEqual(self.sql("SELECT closing_seq FROM survey WHERE request = %s", number), [(closing,)])
		self.assertEqual(self.one("SELECT count(*) FROM message WHERE request = %s", number), 2)

	def test_nobody_to_write_to(self):
		mute = self.request("x@citizen.test", "en", 4, town=2)
		number = self.request(None, lane=4)
		self.resolve(number)
		self.wait(lambda: self.message(number, 2))
		self.assertEqual([self.message(mute), self.message(number), self.message(number, 2)],
			[(0, "en"), (0, "ca"), (0, "ca")])
		self.assertEqual(self.attempts(number) + self.attempts(number, 2) + self.attempts(mute), [])
		self.assertEqual(self.sql("SELECT * FROM survey WHERE request = %s", number), [])

	def test_addresses_that_no_mail_may_have(self):
		evil = ["a b@citizen.test", "a@citizen.test\r\nRCPT TO:<b@citizen.test>", "núria@citizen.test",
			"<a@citizen.test>", "a@citizen.test,b@citizen.test", "@", "a" * 250 + "@citizen.test"]
		numbers = [self.request(address, lane=5) for address in evil]
		for number in numbers:
			self.wait_state(number, GIVEN_UP)
			self.assertEqual([a[:3] for a in self.attempts(number)], [(1, GIVEN_UP, "bad_address")])
			self.wait(lambda n=number: self.events(n) == [UNDELIVERABLE])

	def test_erased_before_it_was_sent(self):
		number = self.request("erased@slow.test", lane=6)
		self.sql("INSERT INTO message (lane, cause_seq, kind, channel, request, jurisdiction, language, trace)"
			" VALUES (6, 900000000, 2, 1, %s, 1, 'ca', %s)", number + 100, psycopg2.Binary(bytes(16)))
		self.wait(lambda: self.sql("SELECT 1 FROM attempt WHERE lane = 6 AND cause_seq = 900000000"
			" AND attempt = 1 AND state = 5 AND detail = 'no_address'"))

	def test_refused_for_good(self):
		number = self.request("nobody@citizen.test", lane=6)
		self.wait_state(number, GIVEN_UP)
		self.assertEqual([a[:3] for a in self.attempts(number)],
			[(1, SENDING, ""), (1, GIVEN_UP, "rcpt 550 5.1.1")])
		self.wait(lambda: self.events(number) == [UNDELIVERABLE])

	def test_later_is_tried_again_and_holds_up_nobody(self):
		number = self.request("later@slow.test", lane=7)
		self.wait(lambda: len(self.attempts(number)) >= 6)
		self.assertEqual([a[:3] for a in self.attempts(number)[:4]],
			[(1, SENDING, ""), (1, FAILED, "rcpt 450 4.2.0"), (2, SENDING, ""), (2, FAILED, "rcpt 450 4.2.0")])
		self.message_id(number)
		other = self.request("prompt@citizen.test", lane=7)
		self.wait_state(other, SENT, timeout=5)
		self.assertGreaterEqual(self.daemon.metrics()["notification_domains_failing"], 1)

	def test_a_dead_mail_server_stops_no_lane(self):
		self.mail.stop()
		numbers = [self.request(f"late{i}@citizen.test", lane=i % 8) for i in range(30)]
		self.wait(lambda: all(self.message(n) for n in numbers))
		self.wait(lambda: self.daemon.metrics()["notification_relay_backoff_seconds"] > 0)
		self.mail.restart()
		for number in numbers:
			self.wait_state(number, SENT)
		for number in numbers:
			self.assertEqual(len(self.mail_of(number)), 1)

	def test_reload(self):
		self.stack.settings["notification.public_base_url"] = "https://new.girona.test/"
		self.stack.write_config()
		self.daemon.kill(signal.SIGHUP)
		self.wait(lambda: "reload" in self.daemon.log_path.read_text())
		number = self.request("reload@citizen.test", lane=1)
		self.wait_state(number, SENT)
		(mail,) = self.mail_of(number)
		self.assertRegex(mailserver.text_of(mail), r"(?m)^https://new\.girona\.test/r/\S{14}\?lang=ca$")

	def test_what_is_watched(self):
		number = self.request("trace@citizen.test", lane=1)
		self.wait_state(number, SENT)
		status, text = self.daemon.get("/metrics")
		self.assertEqual(status, 200)
		promtool = shutil.which("promtool")
		if promtool:
			subprocess.run([promtool, "check", "metrics"], input=text, text=True, check=True)
		m = self.daemon.metrics()
		self.assertGreaterEqual(m['notification_messages_total{kind="received",outcome="sent"}'], 1)
		self.assertEqual(m["notification_in_flight_limit"], 16)
		trace = self.one("SELECT encode(trace, 'hex') FROM message WHERE request = %s", number)
		log = self.daemon.log_path.read_text()
		for name in ("message.decided", "mail.sent"):
			self.assertRegex(log, f"{name}.*trace={trace}")
		self.assertNotIn("@citizen.test", log)
		self.assertNotIn("fanal no va", log)


class PeerCase(Case):
	"""A mail server that does what a script says. The oracle: 0 twice; 1, or uncertain and listed."""

	settings = {"notification.connect_ms": 2000}

	def with_peer(self, script, **sets):
		peer = Peer(script)
		self.addCleanup(peer.stop)
		daemon = self.start(peer.port, **sets)
		self.addCleanup(daemon.kill)
		return peer, daemon

	def check(self, peer, numbers):
		listed = self.uncertain()
		for number in numbers:
			state, copies = self.newest(number), peer.count(self.message_id(number))
			self.assertLessEqual(copies, 1, "twice")
			self.assertIn(state, (SENT, UNCERTAIN))
			self.assertEqual(number in listed, state == UNCERTAIN)
			if state == SENT:
				self.assertEqual(copies, 1)
				self.assertEqual(self.events(number), [NOTIFIED])


class WithPeer(PeerCase):
	"""A mail server that dies."""

	def test_dies_at_each_stage(self):
		for stage in ("greeting", "ehlo", "mail", "rcpt", "data", "body", "dot"):
			with self.subTest(stage=stage):
				deaths = itertools.count()

				def script(at, _mail, stage=stage, deaths=deaths):
					return "die" if at == stage and next(deaths) < 3 else None
				peer, daemon = self.with_peer(script)
				numbers = [self.request(f"c{i}@citizen.test", lane=i % 8) for i in range(12)]
				self.wait(lambda n=numbers: all(self.newest(x) in (SENT, UNCERTAIN) for x in n))
				self.wait(lambda n=numbers: all(self.events(x) for x in n if self.newest(x) == SENT))
				self.check(peer, numbers)
				uncertain = [n for n in numbers if self.newest(n) == UNCERTAIN]
				self.assertEqual(bool(uncertain), stage in ("body", "dot"))
				self.assertLessEqual(len(uncertain), 3)
				self.assertEqual(daemon.stop(), 0)

	def killed_at(self, stage):
		peer, daemon = self.with_peer(lambda at, _mail: "hang" if at == stage else None)
		number = self.request("killed@citizen.test", lane=2)
		self.assertTrue(peer.hanging.wait(20))
		self.assertEqual(self.newest(number), SENDING)
		daemon.kill()
		peer.script = lambda at, mail: None
		peer.release()
		daemon = self.start(peer.port)
		self.addCleanup(daemon.kill)
		self.wait_state(number, UNCERTAIN)
		other = self.request("next@citizen.test", lane=2)
		self.wait_state(other, SENT)
		self.assertIn(number, self.uncertain())
		self.assertEqual([a[1] for a in self.attempts(number)], [SENDING, UNCERTAIN])
		self.assertEqual(daemon.stop(), 0)
		return peer.count(self.message_id(number))

	def test_killed_between_sending_and_sent(self):
		self.assertEqual(self.killed_at("dot"), 1)

	def test_killed_before_the_first_byte(self):
		self.assertEqual(self.killed_at("rcpt"), 0)

	def test_leaves_when_what_flies_has_landed(self):
		def slow(at, _mail):
			if at == "dot":
				time.sleep(0.7)
		peer, daemon = self.with_peer(slow)
		numbers = [self.request(f"s{i}@citizen.test", lane=i) for i in range(8)]
		self.wait(lambda: peer.begun >= 4)
		self.assertEqual(daemon.stop(), 0)
		self.assertFalse([n for n in numbers if self.newest(n) in (SENDING, UNCERTAIN)])
		daemon = self.start(peer.port)
		for number in numbers:
			self.wait_state(number, SENT)
		self.check(peer, numbers)
		self.assertEqual(daemon.stop(), 0)

	def test_too_late_for_the_first_byte(self):
		slow = itertools.count()

		def script(at, _mail):
			if at == "data" and next(slow) == 0:
				time.sleep(1.5)
		peer, daemon = self.with_peer(script, **{"notification.start_within_ms": 1000})
		number = self.request("slow@citizen.test", lane=1)
		self.wait_state(number, SENT)
		self.assertEqual([a[:3] for a in self.attempts(number)], [(1, SENDING, ""), (1, FAILED, "withheld"),
			(2, SENDING, ""), (2, SENT, "body 250 2.0.0")])
		self.assertEqual(daemon.metrics()["notification_withheld_total"], 1)
		self.check(peer, [number])
		self.assertEqual(daemon.stop(), 0)

	def test_memory_is_bounded_and_nothing_forgotten(self):
		is_open = threading.Event()
		peer, daemon = self.with_peer(
			lambda at, _mail: "421 busy" if at == "greeting" and not is_open.is_set() else None,
			**{"notification.memory_max": 64, "notification.page_rows": 10})
		numbers = [self.request(f"m{i}@citizen.test", lane=i % 2) for i in range(120)]
		self.wait(lambda: all(self.message(n) for n in numbers))
		self.assertLessEqual(daemon.metrics()["notification_memory_messages"], 64)
		is_open.set()
		for number in numbers:
			self.wait_state(number, SENT, timeout=40)
		self.check(peer, numbers)
		self.assertEqual(daemon.stop(), 0)

	def test_lost_answers(self):
		peer, daemon = self.with_peer(lambda at, _mail: None)
		numbers, stop = [], threading.Event()

		def cut():
			db = psycopg2.connect(self.stack.dsn("postgres"))
			db.autocommit = True
			with db.cursor() as c:
				while not stop.wait(0.15):
					c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
						" WHERE usename = 'centraleta_notification' ORDER BY random() LIMIT 2")
			db.close()
		t = threading.Thread(target=cut)
		t.start()
		for i in range(300):
			numbers.append(self.request(f"l{i}@citizen.test", lane=i % 8))
		stop.set()
		t.join()
		self.wait(lambda: all(self.newest(n) in (SENT, UNCERTAIN) for n in numbers), timeout=40)
		self.wait(lambda: all(self.events(n) for n in numbers if self.newest(n) == SENT))
		self.check(peer, numbers)
		uncertain = [n for n in numbers if self.newest(n) == UNCERTAIN]
		self.assertEqual(uncertain, [], "this process knows what it did")
		self.assertEqual(daemon.stop(), 0)


class Mark(PeerCase):
	"""Up to where all is settled: a take-over looks behind it."""

	settings = {"notification.mark_ms": 200, "notification.mark_step": 1, "notification.poll_ms": 100}

	def mark(self, lane=0):
		rows = self.sql("SELECT cause_seq FROM send_mark WHERE lane = %s", lane)
		return rows[0][0] if rows else 0

	def cause(self, number):
		return self.one("SELECT min(seq) FROM event WHERE lane = 0 AND order_key = %s AND type = %s", number, RECEIVED)

	def rows_read(self, daemon):
		return daemon.metric_sum("notification_page_rows_sum")

	def test_a_new_holder_looks_behind_it(self):
		peer, daemon = self.with_peer(lambda at, _mail: None)
		numbers = [self.request(f"a{i}@citizen.test" if i % 2 else None) for i in range(60)]
		last = self.request("last@citizen.test")
		for number in (numbers[59], last):
			self.wait_state(number, SENT)
		self.wait(lambda: self.mark() >= self.cause(numbers[59]))
		self.assertEqual(daemon.stop(), 0)
		daemon = self.start(peer.port)
		self.addCleanup(daemon.kill)
		late = self.request("late@citizen.test")
		self.wait_state(late, SENT)
		self.assertLess(self.rows_read(daemon), 10)
		self.check(peer, [n for i, n in enumerate(numbers) if i % 2] + [last, late])
		self.assertEqual(daemon.stop(), 0)

	def test_what_is_not_settled_holds_it(self):
		later = threading.Event()
		later.set()
		peer, daemon = self.with_peer(lambda at, _mail: "450 later" if at == "rcpt" and later.is_set() else None,
			**{"notification.retry_base_ms": 600000, "notification.retry_cap_ms": 600000})
		waits = self.request("waits@citizen.test")
		self.wait_state(waits, FAILED)
		later.clear()
		others = [self.request(f"b{i}@elsewhere.test") for i in range(20)]
		for number in others:
			self.wait_state(number, SENT)
		time.sleep(1)
		self.assertLess(self.mark(), self.cause(waits))
		self.assertEqual(daemon.stop(), 0)
		daemon = self.start(peer.port)
		self.addCleanup(daemon.kill)
		self.wait_state(waits, SENT)
		self.request(None)
		self.request(None)
		self.wait(lambda: self.mark() >= self.cause(others[-1]))
		self.assertEqual(daemon.stop(), 0)

	def test_a_message_of_the_past_moves_it_back(self):
		peer, daemon = self.with_peer(lambda at, _mail: None)
		self.sql("ALTER TABLE message ADD CONSTRAINT poison CHECK (language <> 'es')")
		past = self.request("past@citizen.test", language="es")
		others = [self.request(f"c{i}@citizen.test") for i in range(20)]
		for number in others:
			self.wait_state(number, SENT)
		self.wait(lambda: self.sql("SELECT 1 FROM parked WHERE consumer = 'notification' AND seq = %s", self.cause(past)))
		self.wait(lambda: self.mark() >= self.cause(others[-2]))
		version = self.one("SELECT version FROM send_mark WHERE lane = 0")
		self.sql("ALTER TABLE message DROP CONSTRAINT poison")
		self.sql("UPDATE parked SET wish = 'retry'")
		self.wait_state(past, SENT)
		self.assertEqual(self.one("SELECT version FROM send_mark WHERE lane = 0"), version + 1)
		self.request("next@citizen.test")
		after = self.request("after@citizen.test")
		self.wait_state(after, SENT)
		self.wait(lambda: self.mark() >= self.cause(others[-1]))
		self.check(peer, [past, after, *others])
		self.assertEqual(daemon.stop(), 0)


class TwoProcesses(Case):
	settings = {"eventlog.alive_ms": 2000, "eventlog.renew_ms": 300, "notification.start_within_ms": 1200}

	def test_a_sleeper_wakes(self):
		peer = Peer(lambda at, _mail: time.sleep(0.02) if at == "rcpt" else None)
		self.addCleanup(peer.stop)
		a = self.start(peer.port, "note-a")
		self.addCleanup(a.kill)
		b = self.start(peer.port, "note-b")
		self.addCleanup(b.kill)
		self.wait(lambda: {r[0] for r in self.sql("SELECT DISTINCT member FROM lease"
			" WHERE consumer = 'notification.send'")} == {"note-a", "note-b"})
		numbers = []
		for round_ in range(60):
			numbers += [self.request(f"t{round_}.{lane}@citizen.test", lane=lane) for lane in range(8)]
			if round_ == 10:
				a.kill(signal.SIGSTOP)
			if round_ == 50:
				a.kill(signal.SIGCONT)
			time.sleep(0.1)
		self.wait(lambda: all(self.newest(n) in (SENT, UNCERTAIN) for n in numbers), timeout=40)
		time.sleep(1)
		twice = [n for n in numbers if peer.count(self.message_id(n)) > 1]
		missing = [n for n in numbers if peer.count(self.message_id(n)) == 0 and n not in self.uncertain()]
		self.assertEqual((twice, missing), ([], []))
		self.assertLess(len(self.uncertain()), 60)
		self.assertEqual((a.stop(), b.stop()), (0, 0))

	def test_lanes_move_under_load(self):
		peer = Peer(lambda at, _mail: time.sleep(0.05) if at == "dot" else None)
		self.addCleanup(peer.stop)
		a = self.start(peer.port, "note-a")
		self.addCleanup(a.kill)
		numbers, stop = [], threading.Event()

		def load():
			for i in itertools.count():
				if stop.wait(0.005):
					return
				numbers.append(self.request(f"m{i}@citizen.test", lane=i % 8))
		t = threading.Thread(target=load)
		t.start()
		for _ in range(2):
			b = self.start(peer.port, "note-b")
			self.addCleanup(b.kill)
			self.wait(lambda: self.one("SELECT count(*) FROM lease WHERE consumer = 'notification.send'"
				" AND member = 'note-b'") == 4)
			time.sleep(0.5)
			self.assertEqual(b.stop(), 0)
		stop.set()
		t.join()
		self.wait(lambda: all(self.newest(n) in (SENT, UNCERTAIN) for n in numbers), timeout=40)
		self.assertEqual([n for n in numbers if peer.count(self.message_id(n)) != 1], [])
		self.assertEqual(self.uncertain() & set(numbers), set(), "a lane that is given back leaves nothing open")
		self.assertEqual(a.stop(), 0)


if __name__ == "__main__":
	unittest.main()
