"""intake where a flush takes long: groups commit without waiting for it and are told after a barrier.

Environment: CENTRALETA_BUILD (the build folder).
"""
import concurrent.futures
import pathlib
import shutil
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))
from barrier import broken_barrier
from case import BUILD, Case, Peer, wait_for

FLUSH_MS = 20
SENDERS = 12


class SlowFlush(Case):
	fsync = True
	settings = {"eventlog.linger_ms": 10000}  # no other commit of the daemon's flushes what a barrier should
	postgres = "recovery_init_sync_method = syncfs"  # not file by file

	@classmethod
	def setUpClass(cls):
		# where the user postgres can read it
		folder = tempfile.TemporaryDirectory(prefix="centraleta-slow-")
		cls.addClassCleanup(folder.cleanup)
		pathlib.Path(folder.name).chmod(0o755)
		library = shutil.copy(BUILD / "tests" / "bench" / "libslow_flush.so", folder.name)
		cls.server_env = {"LD_PRELOAD": library, "SLOW_FLUSH_US": str(FLUSH_MS * 1000)}
		super().setUpClass()

	def setUp(self):
		self.learn()

	def barriers(self):
		return self.daemon.metrics().get('intake_barriers_total{verdict="ok"}', 0)

	def learn(self):
		"""Until the daemon has seen what a flush takes here."""
		def slow():
			self.post()
			return self.daemon.metric_sum("intake_flush_seconds") >= FLUSH_MS / 1000 and self.barriers() > 0
		wait_for("a measured flush", slow)

	def load(self, stop, acknowledged, name):
		"""Posts until stop, each key until it is answered; {key: request}."""
		def sender(n):
			i = 0
			while not stop.is_set():
				try:
					a = self.post(headers={"Idempotency-Key": f"{name}-{n}-{i}"})
				except OSError:
					continue
				if a.status == 200:
					acknowledged[f"{name}-{n}-{i}"] = int(a.json()[0]["service_request_id"])
					i += 1
		return [threading.Thread(target=sender, args=(n,)) for n in range(SENDERS)]

	def cut(self, name, load_s=1.5):
		"""What was acknowledged before the server died under load, without a word to its disk; and is it there?"""
		stop, acknowledged = threading.Event(), {}
		senders = self.load(stop, acknowledged, name)
		for s in senders:
			s.start()
		time.sleep(load_s)
		self.stack.cluster.immediate_stop()
		before = dict(acknowledged)
		stop.set()
		self.stack.cluster.restart()
		for s in senders:
			s.join()
		self.connect()
		stored = dict(self.sql("SELECT key, request FROM idempotency"))
		return before, [k for k, request in before.items() if stored.get(k) != request]

	def test_a_barrier_tells_several_groups(self):
		told, groups = self.barriers(), self.daemon.metrics()['intake_groups_total{verdict="ok"}']
		with concurrent.futures.ThreadPoolExecutor(SENDERS) as pool:
			answers = list(pool.map(lambda i: self.post(headers={"Idempotency-Key": f"several-{i}"}), range(240)))
		self.assertEqual({a.status for a in answers}, {200})
		told, groups = self.barriers() - told, self.daemon.metrics()['intake_groups_total{verdict="ok"}'] - groups
		self.assertLess(told, groups)
		self.assertEqual(self.one("SELECT count(*) FROM idempotency WHERE key LIKE 'several-%%' AND hits = 0"), 240)

	def test_what_was_acknowledged_survives_the_server(self):
		for i in range(3):
			before, lost = self.cut(f"cut-{i}")
			self.assertGreater(len(before), 20)
			self.assertEqual(lost, [])
			self.daemon.wait_ready()
			for key, request in list(before.items())[-20:]:
				self.assertEqual(self.posted(headers={"Idempotency-Key": key})[0], request)
			self.learn()
		for lane in (0, 1):
			self.assertEqual(self.one("SELECT count(*) = max(seq) FROM event WHERE lane = %s", lane), True)
		self.assertEqual(self.one("SELECT count(*) FROM request"), self.one("SELECT count(*) FROM event WHERE type = 1"))

	def test_without_the_barrier_it_would_not(self):
		"""What the test above can see: the barrier is replaced by one that waits for nothing."""
		(body,), = self.sql("SELECT pg_get_functiondef('log_barrier'::regproc)")
		self.addCleanup(lambda: self.sql(body))
		self.sql(broken_barrier(body))
		acknowledged = 0
		for i in range(8):
			before, lost = self.cut(f"open-{i}", load_s=0.4)
			acknowledged += len(before)
			self.daemon.wait_ready()
			if lost:
				return
		self.fail(f"none was lost of {acknowledged}")

	def test_a_barrier_that_is_cut(self):
		stop, acknowledged = threading.Event(), {}
		senders = self.load(stop, acknowledged, "barrier")
		for s in senders:
			s.start()
		try:
			for _ in range(10):
				self.learn()
				wait_for("a barrier", lambda: self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
					" WHERE usename = 'centraleta_intake' AND state = 'active' AND query LIKE '%%log_barrier%%'"))
		finally:
			stop.set()
			for s in senders:
				s.join()
		self.assertGreater(self.daemon.metrics().get('intake_barriers_total{verdict="unsure"}', 0), 0)
		stored = dict(self.sql("SELECT key, request FROM idempotency WHERE key LIKE 'barrier-%%'"))
		self.assertEqual(stored, acknowledged)
		self.assertEqual(self.one("SELECT count(*) FROM request"), self.one("SELECT count(*) FROM event WHERE type = 1"))

	def test_one_bad_row_among_many(self):
		self.sql("ALTER TABLE request_text ADD CONSTRAINT no_poison CHECK (description <> 'poison')")
		self.addCleanup(self.sql, "ALTER TABLE request_text DROP CONSTRAINT no_poison")
		p = Peer(self.stack, self.pb, self.key)
		self.addCleanup(p.close)
		for i in range(100):
			p.submit(number=i, service_code="fanal", address_id="1", idempotency_key=f"bad-{i}",
				description="poison" if i == 77 else "fine")
		frames = [p.receive() for _ in range(100)]
		self.assertEqual([f.rejected.number for f in frames if f.WhichOneof("frame") == "rejected"], [77])
		self.assertEqual(sum(f.WhichOneof("frame") == "accepted" for f in frames), 99)


if __name__ == "__main__":
	unittest.main()
