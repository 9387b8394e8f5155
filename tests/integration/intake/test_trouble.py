"""The intake daemon where the store is away, slow, or answers twice.

Environment: CENTRALETA_BUILD (the build folder), GHOSTS (how often each ghost is played; 1).
"""
import concurrent.futures
import os
import pathlib
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from case import Case, http_call, Peer, wait_for  # noqa: E402
from mailserver import free_port  # noqa: E402

GHOSTS = int(os.environ.get("GHOSTS", "1"))


class Trouble(Case):
	def test_a_lane_that_is_held_for_a_while(self):
		with concurrent.futures.ThreadPoolExecutor(4) as pool:
			with self.held("SELECT 1 FROM lane FOR UPDATE"):
				waits = [pool.submit(self.post, headers={"Idempotency-Key": f"held-{i}"}) for i in range(4)]
				self.waiting()
				time.sleep(2.5)  # past lock_timeout: the group is refused and sent again
			answers = [w.result() for w in waits]
		self.assertEqual([a.status for a in answers], [200] * 4)
		self.assertEqual(self.one("SELECT count(*) FROM idempotency WHERE key LIKE 'held-%%' AND hits = 0"), 4)

	def ghost(self, lock, key):
		"""A back-end sleeps inside the group until the daemon has given it up; then it goes on."""
		with concurrent.futures.ThreadPoolExecutor(1) as pool:
			held = self.held(lock)
			first = pool.submit(self.post, headers={"Idempotency-Key": key})
			pid = self.waiting()
			os.kill(pid, signal.SIGSTOP)
			try:
				held.__exit__()
				answer = first.result()
			finally:
				os.kill(pid, signal.SIGCONT)
		wait_for("the ghost's end", lambda: not self.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", pid))
		return answer

	def one_effect(self, key):
		again = self.post(headers={"Idempotency-Key": key})
		self.assertEqual(again.status, 200, again.text)
		request = int(again.json()[0]["service_request_id"])
		self.assertEqual(self.counts(request), [1, 1, 1, 0, 1])
		[(stored,)] = self.sql("SELECT request FROM idempotency WHERE key = %s", key)
		self.assertEqual(stored, request)
		return request

	def test_ghost_before_the_key(self):
		for i in range(GHOSTS):
			key = f"ghost-key-{i}"
			answer = self.ghost("LOCK TABLE idempotency IN EXCLUSIVE MODE", key)
			self.assertEqual(answer.status, 200, answer.text)
			self.assertEqual(self.one_effect(key), int(answer.json()[0]["service_request_id"]))

	def test_ghost_at_the_lane(self):
		for i in range(GHOSTS):
			key = f"ghost-lane-{i}"
			answer = self.ghost("SELECT 1 FROM lane FOR UPDATE", key)
			self.assertEqual((answer.status, answer.codes()), (503, ["busy:store"]))
			self.assertRegex(answer.headers["Retry-After"], r"^[1-4]$")
			self.one_effect(key)
			self.assertEqual(self.post().status, 200)  # the lane goes on

	def test_store_away_and_back(self):
		acknowledged, stop = [], threading.Event()

		def load(n):
			i = 0
			while not stop.is_set():
				i += 1
				a = self.post(headers={"Idempotency-Key": f"away-{n}-{i}"})
				if a.status == 200:
					acknowledged.append(int(a.json()[0]["service_request_id"]))
				elif a.status != 503 or not a.headers["Retry-After"]:
					acknowledged.append(a.text)
					return
				else:
					time.sleep(0.05)
		with concurrent.futures.ThreadPoolExecutor(4) as pool:
			workers = [pool.submit(load, n) for n in range(4)]
			wait_for("some answers", lambda: len(acknowledged) > 20)
			self.stack.cluster.immediate_stop()
			before = time.monotonic()
			a = self.post()
			self.assertEqual(a.status, 503)
			self.assertLess(time.monotonic() - before, 9)
			self.assertNotEqual(self.daemon.get("/readyz")[0], 200)
			self.stack.cluster.restart()
			n = len(acknowledged)
			wait_for("answers again", lambda: len(acknowledged) > n + 20, 30)
			stop.set()
			for w in workers:
				w.result()
		self.connect()
		stored = {r for (r,) in self.sql("SELECT request FROM request")}
		self.assertEqual([a for a in acknowledged if a not in stored], [])
		self.assertEqual(self.one("SELECT count(*) FROM request") , self.one("SELECT count(*) FROM idempotency"))
		self.assertEqual(self.one("SELECT count(*) FROM event WHERE type = 1"), len(stored))
		self.daemon.wait_ready()

	def other_daemon(self, *sets):
		port = free_port()
		daemon = self.stack.start_daemon("intake", member="other", sets=[f"intake.listen=127.0.0.1:{port}",
			f"intake.submit_endpoint=ipc://{self.stack.runtime}/other.submit", *sets])
		self.addCleanup(daemon.stop)
		return daemon, port

	def post_to(self, port, **headers):
		return http_call(port, "POST", "/open311/v2/requests.json", {"jurisdiction_id": "girona.cat",
			"api_key": self.key, "service_code": "fanal", "lat": "41.5", "long": "2.5"}, headers)

	def test_a_stuck_lane_holds_up_no_other(self):
		p = Peer(self.stack, self.pb, self.key)
		self.addCleanup(p.close)
		with self.held("SELECT 1 FROM lane WHERE lane = 0 FOR UPDATE"):
			for i in range(64):
				p.submit(number=i, service_code="fanal", address_id="1", idempotency_key=f"stuck-{i}")
			early = [p.receive(1).accepted for _ in range(self.on_lane(1, p))]
			self.assertEqual({int(a.service_request_id) % 100 for a in early}, {1})
		late = [p.receive().accepted for _ in range(64 - len(early))]
		self.assertEqual({int(a.service_request_id) % 100 for a in late}, {0})

	def on_lane(self, lane, peer):
		"""How many of the 64 keys went to the lane: those are stored while the other is stuck."""
		count = "SELECT count(*) FROM idempotency WHERE key LIKE 'stuck-%%' AND request_lane = %s"
		wait_for("rows of the free lane", lambda: self.one(count, lane) > 0)
		before = -1
		while before != self.one(count, lane):
			before = self.one(count, lane)
			time.sleep(0.3)
		self.assertGreater(before, 10)
		return before

	def test_two_processes_take_one_key_once(self):
		daemon, port = self.other_daemon()
		daemon.wait_ready()
		with concurrent.futures.ThreadPoolExecutor(8) as pool:
			for i in range(20):
				ports = [port, self.stack.http_port] * 2
				answers = list(pool.map(lambda q: self.post_to(q, **{"Idempotency-Key": f"both-{i}"}), ports))
				self.assertEqual({a.status for a in answers}, {200})
				self.assertEqual(len({a.json()[0]["service_request_id"] for a in answers}), 1)
		self.assertEqual(self.one("SELECT count(*) FROM idempotency WHERE key LIKE 'both-%%'"), 20)
		for lane in (0, 1):
			self.assertEqual(self.one("SELECT count(*) = max(seq) FROM event WHERE lane = %s", lane), True)

	def test_a_full_disk_is_told_before_the_body(self):
		daemon, port = self.other_daemon("intake.watermark_path=/tmp", "intake.watermark_percent=100")
		a = wait_for("an answer", lambda: self.try_post(port, "busy:disk"))
		self.assertEqual((a.status, a.codes()), (503, ["busy:disk"]))
		self.assertEqual(daemon.metric_sum("intake_watermark_passed"), 1)
		p = Peer(self.stack, self.pb, self.key, f"ipc://{self.stack.runtime}/other.submit")
		p.submit(number=5, service_code="fanal")
		self.assertEqual(p.receive().busy.cause, "disk")
		p.close()

	def try_post(self, port, code):
		try:
			a = self.post_to(port)
		except OSError:
			return None
		return a if a.status != 503 or a.codes() == [code] else None

	def test_more_than_the_configured_rate_is_told(self):
		daemon, port = self.other_daemon("intake.rate_max=2")
		daemon.wait_ready()
		began = time.monotonic()
		answers = [self.post_to(port) for _ in range(8)]
		taken = [a for a in answers if a.status == 200]
		self.assertGreaterEqual(len(taken), 1)
		self.assertLessEqual(len(taken), 2 + 2 * (time.monotonic() - began))
		for a in answers:
			if a.status != 200:
				self.assertEqual((a.status, a.codes()), (503, ["busy:rate"]))
				self.assertIn(int(a.headers["Retry-After"]), range(1, 5))
		time.sleep(1)
		self.assertEqual(self.post_to(port).status, 200)
		self.assertEqual(daemon.stop(), 0)

	def test_a_full_queue_is_told(self):
		daemon, port = self.other_daemon("intake.queue_max=1")
		daemon.wait_ready()
		with concurrent.futures.ThreadPoolExecutor(1) as pool:
			with self.held("SELECT 1 FROM lane FOR UPDATE"):
				first = pool.submit(self.post_to, port)
				self.waiting()
				a = self.post_to(port)
				self.assertEqual((a.status, a.codes()), (503, ["busy:queue"]))
			self.assertEqual(first.result().status, 200)
		self.assertEqual(daemon.stop(), 0)


class TwoGroups(Case):
	"""A second group of a lane is on its way where half a full one has gathered behind the first."""
	settings = {"intake.batch_max": 8}

	def test_two_of_a_lane_and_no_more_and_both_survive_their_connection(self):
		p = Peer(self.stack, self.pb, self.key)
		self.addCleanup(p.close)
		before = self.daemon.metric_sum("intake_batch_submissions_count")
		with self.held("SELECT 1 FROM lane FOR UPDATE"):
			for i in range(32):
				p.submit(number=i, service_code="fanal", address_id="1", idempotency_key=f"two-{i}")
			self.waiting()
			wait_for("two groups of each lane", lambda: self.daemon.metric_sum("intake_batch_submissions_count") == before + 4)
			time.sleep(0.5)
			self.assertEqual(self.daemon.metric_sum("intake_batch_submissions_count"), before + 4)
			self.assertGreater(self.daemon.metric_sum("intake_queue_submissions"), 0)
			self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
				" WHERE usename = 'centraleta_intake' AND wait_event_type = 'Lock'")
		numbers = [p.receive().accepted.number for _ in range(32)]
		self.assertEqual(sorted(numbers), list(range(32)))
		self.assertEqual(self.one("SELECT count(*) FROM idempotency WHERE key LIKE 'two-%%'"), 32)
		self.assertEqual(self.one("SELECT count(*) FROM request"), 32)
		self.assertEqual(self.one("SELECT count(*) FROM event WHERE type = 1"), 32)


if __name__ == "__main__":
	unittest.main()
