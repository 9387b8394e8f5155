"""The dispatch daemon on a real PostgreSQL, with departments over ZeroMQ. What routing commits is put
there by SQL; each case has a department of its own.

Environment: CENTRALETA_BUILD (the build folder).
"""
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from town import BUILD, ROOT, Client, Store, frames  # noqa: E402
from stack import Stack  # noqa: E402

SETTINGS = {"log.level": "debug", "dispatch.redeliver_ms": 1500, "dispatch.heartbeat_ms": 1000,
	"dispatch.position_ms": 300, "dispatch.probe_ms": 300, "dispatch.credit_max": 64,
	"dispatch.updates_max": 32}
OPEN, ACCEPTED, IN_PROGRESS, RESOLVED, REFUSED = 1, 2, 3, 4, 5
DONE, NOT_OURS = 1, 3


class Case(unittest.TestCase):
	"""One store for the cases of a class. daemons: {member: settings}."""
	daemons = {"dispatch": ()}

	@classmethod
	def setUpClass(cls):
		cls.folder = tempfile.TemporaryDirectory(prefix="centraleta-dispatch-")
		cls.addClassCleanup(cls.folder.cleanup)
		folder = pathlib.Path(cls.folder.name)
		folder.chmod(0o755)
		cls.event_pb, cls.pb = frames(folder / "gen")
		cls.stack = Stack(folder, BUILD, fsync=False, settings=SETTINGS)
		cls.addClassCleanup(cls.stack.stop)
		cls.stack.start_store()
		cls.store = Store(cls.stack.dsn("postgres"), (folder / "secret").read_bytes().strip(), cls.event_pb)
		cls.addClassCleanup(cls.store.db.close)
		cls.store.prepare([0] * 16 + [1, 2, 2, 3, 4])
		for member, sets in cls.daemons.items():
			cls.stack.start_daemon("dispatch", member, sets=[s.format(run=cls.stack.runtime) for s in sets])
		for member in cls.daemons:
			cls.stack.daemons[member].wait_ready()

	def daemon(self):
		return self.stack.daemons["dispatch"]

	def endpoint(self, member="dispatch"):
		return f"ipc://{self.stack.runtime}/{member}.work"

	def client(self, key="", consumer="c", services=(), endpoint=None):
		c = Client(self.pb, endpoint or self.endpoint(), key, consumer, services)
		self.addCleanup(c.close)
		return c

	def department(self, n=0, lane=0, consumer="c", **more):
		"""A department with n deliveries and a live client: number, client, [(request, work_item)]."""
		number, key = self.store.department(lane)
		made = self.store.route(number, n=n, **more)
		client = self.client(key, consumer)
		client.connect()
		return number, client, made

	def wait(self, what, timeout=15, why=""):
		deadline = time.monotonic() + timeout
		while time.monotonic() < deadline:
			value = what()
			if value:
				return value
			time.sleep(0.02)
		logs = "\n".join(d.tail(25) for d in self.stack.daemons.values())
		self.fail(f"nothing came of it {why}\n{logs}")


class Work(Case):
	def test_work_holds_what_the_department_needs(self):
		number, client, made = self.department(1)
		client.credit(1)
		w = client.works(1)[0]
		self.assertEqual((w.dseq, w.prev, w.generation, w.work_item), (1, 0, 1, made[0][1]))
		self.assertEqual((w.service_request_id, w.topic), (str(made[0][0]), f"girona/d{number}/pothole/"))
		self.assertEqual((w.service_code, w.service_name, w.priority, w.area), ("POT/1", "Pothole", 2, "centre"))
		self.assertEqual((w.description, w.address, w.channel), ("a hole", "Carrer Nou 1", 2))
		self.assertEqual((w.place.lat, w.place.long, w.requested_at_us), (41.98, 2.82, 1795521600_000_000))
		self.assertEqual(sorted((a.code, a.key) for a in w.attributes),
			[("LIT", "no"), ("SIZE", "deep"), ("SIZE", "large")])
		self.assertRegex(w.traceparent, "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")
		self.assertGreater(w.deadline_us, 0)
		self.assertFalse(w.redelivered)

	def test_welcome_says_where_everybody_stands(self):
		_, client, _ = self.department(3)
		client.credit(3)
		client.works(3)
		client.ack((1, 2))
		client.expect("ack_stored")
		w = client.hello().expect("welcome").welcome
		self.assertEqual((w.oldest, w.newest, w.position), (1, 3, 2))
		self.assertEqual((w.credit_max, w.updates_max, w.heartbeat_ms), (64, 32, 1000))
		self.assertEqual(w.jurisdiction_id, "girona.cat")

	def test_the_log_opens_the_state_and_wakes_the_department(self):
		number, client, _ = self.department()
		client.credit(5)
		started = time.monotonic()
		made = self.store.route(number, n=1)
		client.works(1)
		self.assertLess(time.monotonic() - started, 5)
		self.wait(lambda: self.store.state(made[0][1]) == (OPEN, 0, 0))

	def test_history_fills_the_state_and_delivers_nothing(self):
		number, client, _ = self.department()
		client.credit(5)
		request, work = self.store.new_id(3), self.store.new_id(3)
		body = self.event_pb.RequestImported(service=1, department=number, work_item=work, state=5, outcome=2,
			requested_at_us=1, closed_at_us=1600000000_000_000)
		self.store.append([(3, request, 1, 2, body.SerializeToString())])
		self.wait(lambda: self.store.state(work) == (RESOLVED, 2, 0))
		self.assertTrue(client.quiet())

	def test_nothing_is_sent_without_credit(self):
		_, client, _ = self.department(5)
		self.assertTrue(client.quiet(0.7))
		client.credit(2)
		self.assertEqual([w.dseq for w in client.works(2)], [1, 2])
		self.assertTrue(client.quiet(0.7))

	def test_no_more_are_out_than_the_limit(self):
		_, client, _ = self.department(80)
		client.credit(1000)
		client.credit(1000)
		self.assertEqual([w.dseq for w in client.works(64)], list(range(1, 65)))
		self.assertTrue(client.quiet(0.5))
		client.ack((1, 10))
		client.credit(1000)
		self.assertEqual([w.dseq for w in client.works(10)], list(range(65, 75)))

	def test_a_filter_counts_the_rest_as_acknowledged(self):
		number, key = self.store.department()
		for service in (1, 2, 1, 2, 2):
			self.store.route(number, service=service)
		client = self.client(key, services=["tree"])
		client.connect()
		client.credit(10)
		works = client.works(3)
		self.assertEqual([(w.dseq, w.prev) for w in works], [(2, 0), (4, 2), (5, 4)])
		client.ack((2, 2), (4, 5))
		self.assertEqual(client.expect("ack_stored").ack_stored.position, 5)
		self.wait(lambda: self.store.acknowledged(number, "c") == {1, 2, 3, 4, 5})

	def test_names_are_apart(self):
		number, client, _ = self.department(2)
		client.credit(10)
		client.works(2)
		client.ack((1, 2))
		client.expect("ack_stored")
		other = self.client(client.key, "other")
		self.assertEqual(other.connect().position, 0)
		other.credit(10)
		self.assertEqual(len(other.works(2)), 2)


class Acknowledgements(Case):
	def test_in_any_order(self):
		number, client, _ = self.department(40)
		client.credit(64)
		client.works(40)
		numbers = list(range(1, 41))
		random.Random(7).shuffle(numbers)
		for d in numbers:
			client.ack((d, d))
		self.wait(lambda: self.store.acknowledged(number, "c") == set(range(1, 41)))
		answered, position = set(), 0
		while len(answered) < 40:
			a = client.expect("ack_stored").ack_stored
			answered |= {d for r in a.ranges for d in range(r.first, r.last + 1)}
			self.assertGreaterEqual(a.position, position)
			position = a.position
		self.assertEqual(position, 40)
		self.assertTrue(client.quiet(1.8))

	def test_twice_and_overlapping(self):
		number, client, _ = self.department(6)
		client.credit(10)
		client.works(6)
		for ranges in ([(2, 4)], [(2, 4)], [(3, 5), (1, 1)], [(1, 6)]):
			client.ack(*ranges)
			client.expect("ack_stored")
		self.assertEqual(self.store.acknowledged(number, "c"), {1, 2, 3, 4, 5, 6})

	def test_late_after_it_was_sent_again(self):
		_, client, _ = self.department(1)
		client.credit(10)
		client.works(1)
		again = client.works(1)[0]
		self.assertTrue(again.redelivered)
		client.ack((1, 1))
		self.assertEqual(client.expect("ack_stored").ack_stored.position, 1)
		self.assertTrue(client.quiet(2))

	def test_never(self):
		_, client, _ = self.department(3)
		client.credit(3)
		client.works(3)
		client.ack((2, 2))
		for _ in range(2):
			self.assertEqual([(w.dseq, w.redelivered) for w in client.works(2)], [(1, True), (3, True)])

	def test_a_new_connection_gets_what_is_not_acknowledged(self):
		_, client, _ = self.department(4)
		client.credit(4)
		client.works(4)
		client.ack((1, 1), (3, 3))
		client.expect("ack_stored")
		again = self.client(client.key)
		self.assertEqual(again.connect().position, 1)
		again.credit(10)
		self.assertEqual([(w.dseq, w.redelivered) for w in again.works(2)], [(2, True), (4, True)])

	def test_of_the_future_stores_nothing(self):
		number, client, _ = self.department(5)
		client.credit(2)
		client.works(2)
		client.ack((1, 1), (2, 3))
		r = client.refused()
		self.assertEqual((r.code, r.final), ("future", False))
		self.assertIn("3 was not sent; the last sent is 2", r.reason)
		client.ack((1, 2))
		self.assertEqual(client.expect("ack_stored").ack_stored.position, 2)
		self.assertEqual(self.store.acknowledged(number, "c"), {1, 2})

	def test_of_another_generation(self):
		_, client, _ = self.department(1)
		client.credit(1)
		client.works(1)
		client.ack((1, 1), generation=7)
		self.assertEqual(client.expect("gone").gone.generation, 1)
		client.say(replay=self.pb.Replay(generation=7, **{"from": 1}))
		self.assertEqual(client.expect("gone").gone.oldest, 1)

	def test_another_department_has_other_numbers(self):
		one, client, _ = self.department(3)
		client.credit(3)
		client.works(3)
		other, foreign, _ = self.department(0)
		foreign.ack((1, 3))
		self.assertEqual(foreign.refused().code, "future")
		self.assertEqual(self.store.acknowledged(one, "c") | self.store.acknowledged(other, "c"), set())

	def test_a_replay_sends_acknowledged_ones_again(self):
		_, client, _ = self.department(4)
		client.credit(4)
		client.works(4)
		client.ack((1, 4))
		client.expect("ack_stored")
		client.say(replay=self.pb.Replay(generation=1, **{"from": 3}))
		client.credit(10)
		self.assertEqual([(w.dseq, w.redelivered) for w in client.works(2)], [(3, True), (4, True)])
		self.assertTrue(client.quiet(2)) # acknowledged before: not awaited
		client.say(replay=self.pb.Replay(generation=1, **{"from": 9}))
		self.assertEqual(client.refused().code, "future")

	def test_rows_are_folded(self):
		number, client, _ = self.department(30)
		client.credit(64)
		client.works(30)
		for d in [n for n in range(1, 31) if n not in (5, 20)]:
			client.ack((d, d))
			client.expect("ack_stored")
		self.wait(lambda: self.store.sql("SELECT first, last FROM delivery_ack WHERE department = %s ORDER BY first",
			number) == [(0, 4), (6, 19), (21, 30)])


	def test_numbers_that_are_no_longer_kept(self):
		number, client, _ = self.department(6)
		client.credit(6)
		client.works(6)
		client.ack((1, 1))
		client.expect("ack_stored")
		self.store.sql("DELETE FROM delivery WHERE department = %s AND dseq < 5", number)
		again = self.client(client.key)
		w = again.connect()
		self.assertEqual((w.oldest, w.position), (5, 4))
		self.assertEqual(again.expect("gone").gone.oldest, 5)
		again.credit(6)
		self.assertEqual([x.dseq for x in again.works(2)], [5, 6])
		again.say(replay=self.pb.Replay(generation=1, **{"from": 2}))
		self.assertEqual(again.expect("gone").gone.oldest, 5)
		newcomer = self.client(client.key, "newcomer")
		self.assertEqual(newcomer.connect().position, 4)
		self.assertTrue(newcomer.quiet(0.3, kinds=("gone",)))

	def test_numbers_that_a_rewind_jumped_over(self):
		number, client, _ = self.department(3)
		client.credit(10)
		client.works(3)
		client.ack((1, 3))
		client.expect("ack_stored")
		self.store.sql("UPDATE department_line SET generation = 2, after = 3, base = 1000000003 WHERE department = %s",
			number)
		for _ in range(100): # until the daemon has seen it
			client.ack((1, 1))
			f = client.expect("gone", "ack_stored")
			if f.WhichOneof("frame") == "gone":
				break
			time.sleep(0.05)
		self.assertEqual(f.gone.generation, 2)
		self.store.route(number)
		w = client.works(1)[0]
		self.assertEqual((w.generation, w.dseq), (2, 1000000004))
		self.assertEqual(client.connect().position, 1000000003)
		client.credit(1)
		client.works(1)
		client.ack((w.dseq, w.dseq))
		self.assertEqual(client.expect("ack_stored").ack_stored.position, w.dseq)


class Updates(Case):
	def test_a_whole_life(self):
		number, client, [(request, work)] = self.department(1)
		for update_id, kind, outcome, state in (("a", "accept", 0, ACCEPTED), ("p", "progress", 0, IN_PROGRESS),
				("p2", "progress", 0, IN_PROGRESS), ("r", "resolve", DONE, RESOLVED)):
			client.update(update_id, work, kind, outcome, note=f"note of {update_id}")
			s = client.stored()
			self.assertEqual((s.update_id, s.state), (update_id, state))
		self.assertEqual(self.store.history(request), [(1, "received"), (2, "routed"), (3, "accepted"),
			(4, "progressed"), (5, "progressed"), (6, "resolved")])
		self.assertEqual(self.store.history(work), [(1, "work accepted"), (2, "work progressed"),
			(3, "work progressed"), (4, "work resolved")])
		self.assertEqual(self.store.state(work), (RESOLVED, DONE, 4))
		m = self.store.changed(request, 6)
		self.assertEqual((m.state, m.outcome, m.work_item, m.department, m.update_id), (5, DONE, work, number, "r"))
		self.assertEqual(self.store.sql("SELECT DISTINCT actor, trace = (SELECT trace FROM event WHERE lane = 0"
			" AND order_key = %s AND key_version = 1) FROM event WHERE order_key IN (%s, %s) AND type >= 5",
			request, request, work), [(f"department/{number}", True)])
		self.assertEqual(self.store.one("SELECT note FROM update_text WHERE work_item = %s AND kind = 3", work), "note of r")

	def test_a_burst_in_one_go(self):
		_, client, made = self.department(10)
		for _, work in made:
			client.update(f"{work}.a", work, "accept")
			client.update(f"{work}.p", work, "progress")
			client.update(f"{work}.r", work, "resolve", DONE)
		for _ in range(30):
			client.stored()
		for request, work in made:
			self.assertEqual([n for n, _ in self.store.history(request)], [1, 2, 3, 4, 5])
			self.assertEqual(self.store.state(work), (RESOLVED, DONE, 3))

	def test_a_repeat_changes_nothing_and_is_answered_the_same(self):
		_, client, [(request, work)] = self.department(1)
		for _ in range(2):
			client.update("u", work, "accept", note="soon")
		client.update("u", work, "accept", note="soon")
		for _ in range(3):
			self.assertEqual(client.stored().state, ACCEPTED)
		self.assertEqual(len(self.store.history(work)), 1)
		client.update("p", work, "progress")
		client.stored()
		client.update("u", work, "accept", note="soon")
		self.assertEqual(client.stored().state, ACCEPTED)
		self.assertEqual(len(self.store.history(request)), 4)
		client.update("u", work, "accept", note="later")
		r = client.refused()
		self.assertEqual((r.code, r.update_id), ("conflict", "u"))
		self.assertGreaterEqual(self.store.one("SELECT hits FROM update_text WHERE work_item = %s AND update_id = 'u'", work), 1)

	def test_steps_that_are_not_allowed(self):
		_, client, [(request, work)] = self.department(1)
		client.update("r", work, "resolve", DONE)
		client.stored()
		client.update("late", work, "progress")
		r = client.refused()
		self.assertEqual((r.code, r.update_id, r.final), ("conflict", "late", False))
		self.assertIn("the work item is resolved", r.reason)
		client.update("bare", work, "resolve")
		self.assertIn("outcome", client.refused().reason)
		client.update("odd", work, "accept", DONE)
		self.assertEqual(client.refused().update_id, "odd")
		self.assertEqual(len(self.store.history(work)), 1)

	def test_a_note_is_for_the_citizen_and_changes_no_state(self):
		_, client, [(request, work)] = self.department(1)
		client.update("n", work, "note", note="çà et là")
		self.assertEqual(client.stored().state, 0)
		self.assertEqual(self.store.one("SELECT note FROM update_text WHERE work_item = %s", work), "çà et là")
		self.assertEqual(self.store.history(work), [])
		client.update("n2", work, "note", note="x" * 4001)
		self.assertIn("note: longer than 4000", client.refused().reason)

	def test_foreign_and_unknown_work(self):
		_, client, _ = self.department(1)
		_, _, [(_, others)] = self.department(1)
		for work in (others, 424200, 99999999, 131):
			client.update("u", work, "accept")
			r = client.refused()
			self.assertEqual((r.code, r.reason), ("foreign", "work_item: not one of this department"))
		self.assertEqual(self.store.history(others), [])

	def test_a_refused_request_waits_for_routing(self):
		_, client, [(request, work)] = self.department(1)
		client.update("x", work, "refuse", reason="REFUSE_REASON_WRONG_DEPARTMENT")
		self.assertEqual(client.stored().state, REFUSED)
		self.assertEqual(self.store.history(request)[-1], (3, "refused"))
		self.assertEqual((self.store.changed(request, 3).state, self.store.changed(request, 3).outcome), (1, 0))
		self.assertEqual((self.store.changed(work, 1).reason, self.store.changed(work, 1).outcome), (1, NOT_OURS))
		self.assertEqual(self.store.state(work), (REFUSED, NOT_OURS, 1))

	def test_triage_can_not_refuse(self):
		client = self.client(self.store.key(10))
		self.store.moved()
		client.connect()
		[(_, work)] = self.store.route(10)
		client.update("x", work, "refuse", reason="REFUSE_REASON_NO_CAPACITY")
		self.assertIn("triage", client.refused().reason)
		client.update("r", work, "resolve", 2)
		client.stored()

	def test_one_work_item_of_requests_in_three_lanes(self):
		_, client, [(request, work)] = self.department(1, lane=2)
		others = [self.store.request(lane) for lane in (1, 5)]
		for other in others:
			self.store.link(work % 100, work, other % 100, other)
		client.update("r", work, "resolve", DONE)
		client.stored()
		self.assertEqual(self.store.history(request)[-1], (3, "resolved"))
		for other in others:
			self.assertEqual(self.store.history(other), [(1, "received"), (2, "resolved")])
			self.assertEqual(self.store.changed(other, 2).state, 5)

	def test_two_work_items_of_one_request(self):
		one, first, [(request, work)] = self.department(1)
		two, second, [(_, other)] = self.department(1, lane=1)
		self.store.link(other % 100, other, request % 100, request)
		first.update("r", work, "resolve", DONE)
		first.stored()
		self.assertEqual((self.store.history(request)[-1], self.store.changed(request, 3).state), ((3, "progressed"), 2))
		second.update("r", other, "resolve", DONE)
		second.stored()
		self.assertEqual((self.store.history(request)[-1], self.store.changed(request, 4).state), ((4, "resolved"), 5))

	def test_two_lines_change_one_request_at_once(self):
		"""Work items of two home lanes, one request: every version once, the conflicts decided again."""
		one, first, [(request, work)] = self.department(1)
		two, second, [(_, other)] = self.department(1, lane=3)
		self.store.link(other % 100, other, request % 100, request)
		for client, item in ((first, work), (second, other)):
			for i in range(20):
				client.update(f"p{i}", item, "progress")
		for client in (first, second):
			for _ in range(20):
				client.stored()
		versions = [v for v, _ in self.store.history(request)]
		self.assertEqual(versions, list(range(1, 43)))
		self.assertEqual(len(self.store.history(work)), 20)
		self.assertEqual(len(self.store.history(other)), 20)

	def test_updates_beyond_the_queue_are_refused_with_a_time(self):
		_, client, [(_, work)] = self.department(1)
		lock = self.store.sql
		lock("BEGIN")
		lock("SELECT 1 FROM lane WHERE lane = 0 FOR NO KEY UPDATE") # nothing commits on lane 0
		try:
			for i in range(40):
				client.update(f"p{i}", work, "progress")
			refused = [client.refused() for _ in range(8)]
		finally:
			lock("COMMIT")
		self.assertEqual({r.code for r in refused}, {"full"})
		self.assertTrue(all(r.retry_after_ms > 0 for r in refused))
		self.assertEqual(sorted(r.update_id for r in refused), sorted(f"p{i}" for i in range(32, 40)))
		for _ in range(32):
			client.stored()
		self.assertEqual(len(self.store.history(work)), 32)


class Connections(Case):
	def test_keys(self):
		number, key = self.store.department()
		self.client(key).connect()
		for bad in ("", "cen_live_x", key[:-1] + "b", "cen_live_000000000000_" + "a" * 43):
			r = self.client(bad).hello().refused()
			self.assertEqual((r.code, r.final), ("bad_key", True))

	def test_a_revoked_key_ends_its_connections(self):
		number, client, _ = self.department(1)
		self.store.sql("UPDATE api_key SET revoked_at = now() WHERE department = %s", number)
		self.store.moved()
		r = client.refused(timeout=5)
		self.assertEqual((r.code, r.final), ("bad_key", True))
		client.credit(1)
		self.assertEqual(client.refused().code, "not_hello")

	def test_hello_is_first(self):
		client = self.client()
		client.credit(1)
		client.ack((1, 1))
		client.update("u", 101, "accept")
		client.say(replay=self.pb.Replay(generation=1, **{"from": 1}))
		client.say(ping=self.pb.DepartmentPing())
		for _ in range(5):
			r = client.refused()
			self.assertEqual((r.code, r.final), ("not_hello", False))

	def test_a_newer_connection_fences_the_older(self):
		number, old, _ = self.department(3)
		old.credit(1)
		old.works(1)
		new = self.client(old.key)
		new.connect()
		old.expect("fenced")
		old.ack((1, 1))
		old.credit(10)
		self.assertTrue(old.quiet(0.5, kinds=("work", "ack_stored", "refused")))
		new.credit(3)
		self.assertEqual([w.dseq for w in new.works(3)], [1, 2, 3])
		self.assertEqual(self.store.acknowledged(number, "c"), set())
		old.connect() # says Hello again: now it is the newer one
		new.expect("fenced")

	def test_unknown_services_and_names(self):
		number, key = self.store.department()
		self.client(key).connect()
		r = self.client(key, services=["sewers"]).hello().refused()
		self.assertEqual((r.code, r.final), ("invalid", True))
		self.assertIn("services[0]", r.reason)
		self.assertIn("consumer", self.client(key, consumer="a b").hello().refused().reason)

	def test_malformed_frames_lose_nothing(self):
		number, client, [(request, work)] = self.department(1)
		client.credit(5)
		client.works(1)
		raw = (b"", b"\xff" * 50, b"\x0a\x7f", b"\x22\x03\x0a\x01\xc0", b"\x32\x00\x3a\x00",
			b"\x22\x05\x0a\x03a\0b", b"\x1a" + b"\x80\x01" + b"\x12\x00" * 64, b"\xfa\x01\x00", b"\x00" * 70000)
		codes = []
		for data in raw:
			client.raw(data)
			codes.append(client.refused().code)
		self.assertEqual(codes, ["malformed"] * 6 + ["invalid", "unknown_frame", "too_large"])
		client.ack((1, 1))
		self.assertEqual(client.expect("ack_stored").ack_stored.position, 1)
		metrics = self.daemon().metrics()
		self.assertGreaterEqual(metrics['dispatch_refused_total{code="malformed"}'], 6)
		self.assertGreaterEqual(metrics['dispatch_refused_total{code="too_large"}'], 1)

	def test_text_of_the_corpora(self):
		"""Each string goes into a note and comes back from the store as it was, or is refused."""
		path = ROOT.parent / "shared" / "data" / "corpora"
		if not path.is_dir():
			self.skipTest("no corpora")
		_, client, [(_, work)] = self.department(1)
		texts = [t for f in sorted(path.glob("text/*")) if f.is_file()
			for t in f.read_bytes().split(b"\n") if t][:400]
		self.assertTrue(texts)
		taken = 0
		for i, t in enumerate(texts):
			u = b"\x0a" + bytes([len(f"t{i}")]) + f"t{i}".encode() + b"\x10" + varint(work) + b"\x18\x05\x32" + varint(len(t)) + t
			client.raw(b"\x22" + varint(len(u)) + u)
			f = client.expect("update_stored", "refused")
			if f.WhichOneof("frame") == "refused":
				self.assertIn(f.refused.code, ("malformed", "invalid", "too_large"))
				continue
			taken += 1
			self.assertEqual(self.store.one("SELECT note FROM update_text WHERE work_item = %s AND update_id = %s",
				work, f"t{i}"), t.decode())
		self.assertGreater(taken, 0)

	def test_heartbeats(self):
		_, client, _ = self.department()
		client.pings = False
		for _ in range(2): # unasked, since nothing else was said
			client.expect("pong", timeout=3)
		client.say(ping=self.pb.DepartmentPing())
		client.expect("pong")
		time.sleep(4) # silent for three intervals
		client.credit(1)
		self.assertEqual(client.refused().code, "not_hello")

	def test_bye(self):
		_, client, _ = self.department()
		client.say(bye=self.pb.Bye())
		client.credit(1)
		self.assertEqual(client.refused().code, "not_hello")

	def test_metrics_pass_promtool(self):
		self.department(1)[1].credit(1)
		status, text = self.daemon().get("/metrics")
		self.assertEqual(status, 200)
		done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
		self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


def varint(n):
	out = bytearray()
	while n > 127:
		out.append(n & 127 | 128)
		n >>= 7
	return bytes(out + bytes([n]))


class Limits(Case):
	daemons = {"dispatch": ("dispatch.connections_max=3", "dispatch.consumers_max=2")}

	def test_connections_and_names(self):
		number, key = self.store.department()
		for name in "ab":
			self.client(key, name).connect()
		r = self.client(key, "c").hello().refused()
		self.assertEqual((r.code, r.final), ("full", True))
		self.assertIn("consumer names", r.reason)
		third = self.client(self.store.department()[1])
		third.connect()
		r = self.client(self.store.department()[1]).hello().refused()
		self.assertEqual((r.code, r.reason), ("full", "3 connections, the most there may be"))
		self.assertGreater(r.retry_after_ms, 0)
		third.say(bye=self.pb.Bye())
		self.client(third.key).connect()


class Restarts(Case):
	def test_a_killed_daemon_goes_on_where_it_stood(self):
		number, client, made = self.department(6)
		client.credit(6)
		client.works(6)
		client.ack((1, 2), (4, 4))
		client.expect("ack_stored")
		client.update("a", made[0][1], "accept")
		client.stored()
		self.daemon().kill()
		client.ack((5, 5)) # into the void, or the next one refuses it
		self.daemon().start().wait_ready()
		w = client.connect()
		self.assertEqual(w.position, 2)
		client.credit(10)
		self.assertEqual([x.dseq for x in client.works(3)], [3, 5, 6])
		client.ack((3, 6))
		client.update("a", made[0][1], "accept") # no answer was seen: said again
		self.assertEqual(client.stored().state, ACCEPTED)
		self.assertEqual(len(self.store.history(made[0][1])), 1)
		self.wait(lambda: self.store.acknowledged(number, "c") == {1, 2, 3, 4, 5, 6})

	def test_term_leaves_with_0_and_tells_its_clients(self):
		_, client, _ = self.department(1)
		self.assertEqual(self.daemon().stop(), 0)
		r = client.refused(timeout=5)
		self.assertTrue(r.final)
		self.assertIn(r.code, ("unavailable", "elsewhere"))
		self.daemon().start().wait_ready()
		client.connect()

	def test_the_store_is_away(self):
		number, client, [(request, work)] = self.department(1)
		client.credit(1)
		client.works(1)
		self.stack.cluster.immediate_stop()
		client.ack((1, 1))
		client.update("a", work, "accept")
		r = self.client(client.key, "another").hello().refused(timeout=8)
		self.assertEqual(r.code, "unavailable")
		self.assertGreater(r.retry_after_ms, 0)
		self.stack.cluster.restart()
		self.store.connect()
		f = client.expect("update_stored", "refused", timeout=30)
		if f.WhichOneof("frame") == "refused": # its lease ran out meanwhile
			client.connect()
			client.update("a", work, "accept")
			client.stored()
		self.assertEqual(len(self.store.history(work)), 1)

	def test_the_example_survives_restarts_of_both(self):
		number, key = self.store.department()
		folder = pathlib.Path(self.folder.name)
		out, key_file = folder / "out.jsonl", folder / "key"
		key_file.write_text(key + "\n")
		argv = ["/usr/bin/python3", str(ROOT / "docs" / "examples" / "subscriber.py"), "--endpoint", self.endpoint(),
			"--key-file", str(key_file), "--consumer", "example", "--out", str(out), "--accept-after", "0.05",
			"--progress-after", "0.1", "--resolve-after", "0.2"]
		log = open(folder / "subscriber.log", "w")
		self.addCleanup(log.close)
		subscriber = subprocess.Popen(argv, stderr=log)
		made = []
		try:
			for turn in range(6):
				made += self.store.route(number, n=20)
				time.sleep(0.4)
				if turn % 3 == 1:
					subscriber.kill()
					subscriber.wait()
					subscriber = subprocess.Popen(argv, stderr=log)
				if turn % 3 == 2:
					self.daemon().kill()
					self.daemon().start().wait_ready()
			self.wait(lambda: self.store.one("SELECT count(*) FROM work_state WHERE department = %s AND state = 4",
				number) == len(made), timeout=40)
			self.wait(lambda: len(self.store.acknowledged(number, "example")) == len(made), timeout=40)
		finally:
			subscriber.terminate()
			subscriber.wait()
		rows = [json.loads(line) for line in out.read_text().splitlines()]
		works = [(r["dseq"], r["work_item"], r["service_request_id"]) for r in rows if "dseq" in r]
		self.assertEqual(sorted(works), [(i + 1, w, str(q)) for i, (q, w) in enumerate(made)])
		for request, work in made:
			self.assertEqual([n for _, n in self.store.history(work)], ["work accepted", "work progressed", "work resolved"])


class TwoProcesses(Case):
	daemons = {m: ("dispatch.work_endpoint=ipc://{run}/" + m + ".work",) for m in ("left", "right")}

	def daemon(self):
		return self.stack.daemons["left"]

	def other(self, member):
		return "right" if member == "left" else "left"

	def holder(self, lane):
		return self.store.one("SELECT member FROM lease WHERE consumer = 'dispatch.department' AND lane = %s", lane)

	def test_the_other_one_says_who_has_the_lane(self):
		self.wait(lambda: {self.holder(lane) for lane in range(8)} == {"left", "right"}, timeout=30)
		number, key = self.store.department(lane=2)
		holder = self.holder(2)
		wrong = self.client(key, endpoint=self.endpoint(self.other(holder)))
		r = self.wait(lambda: (lambda r: r if r.code == "elsewhere" else None)(wrong.hello().refused()))
		self.assertTrue(r.final)
		self.assertEqual(r.reason, self.endpoint(holder))
		right = self.client(key, endpoint=r.reason)
		right.connect()
		self.store.route(number, lane=5)
		right.credit(1)
		right.works(1)

	def test_a_stopped_process_commits_nothing_when_it_wakes(self):
		number, key = self.store.department(lane=4)
		holder = self.wait(lambda: self.holder(4), timeout=30)
		made = self.store.route(number, n=10)
		client = self.client(key, endpoint=self.endpoint(holder))
		client.connect()
		client.credit(10)
		client.works(10)
		stopped = self.stack.daemons[holder]
		stopped.kill(signal.SIGSTOP)
		for d, (_, work) in enumerate(made[:5], 1):
			client.ack((d, d)) # waits in the stopped one's queue
			client.update(f"{work}.a", work, "accept")
		self.wait(lambda: self.holder(4) == self.other(holder), timeout=40)
		taker = self.client(key, endpoint=self.endpoint(self.other(holder)))
		taker.connect(timeout=30)
		taker.credit(10)
		self.assertEqual([w.dseq for w in taker.works(10)], list(range(1, 11)))
		for d, (_, work) in enumerate(made, 1):
			taker.ack((d, d))
			taker.update(f"{work}.a", work, "accept")
		for _ in made:
			self.assertEqual(taker.stored().state, ACCEPTED)
		stopped.kill(signal.SIGCONT)
		self.assertIn(client.refused(timeout=20).code, ("not_hello", "elsewhere", "unavailable"))
		for request, work in made:
			self.assertEqual(self.store.history(work), [(1, "work accepted")])
			self.assertEqual([v for v, _ in self.store.history(request)], [1, 2, 3])
		steps = self.store.sql("SELECT lane, count(*), max(step) FROM progress WHERE consumer = 'dispatch.department'"
			" GROUP BY lane")
		for lane, count, newest in steps:
			self.assertEqual(count, newest + 1, f"steps of lane {lane} are dense")


if __name__ == "__main__":
	unittest.main(verbosity=2)
