"""covers the watching of all five daemons: admin pages, metrics that promtool accepts, one trace, a store away."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))
from stack import KINDS, TOWNS, Stack

BUILD = os.environ.get("CENTRALETA_BUILD", str(ROOT / "build-tests"))
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Watching(unittest.TestCase):
	@classmethod
	def setUpClass(cls):
		cls.folder = tempfile.TemporaryDirectory(prefix="centraleta-watching-")
		os.chmod(cls.folder.name, 0o755)
		cls.stack = Stack(pathlib.Path(cls.folder.name) / "stack", BUILD, settings={"log.level": "debug"})
		cls.stack.start_store()
		jid, name, zone, box = TOWNS["boston"]
		cls.key = cls.stack.load_town("boston", jid, name, zone, box)
		cls.stack.start_daemons()
		cls.start_crew()

	@classmethod
	def start_crew(cls):
		"""Subscribers of every department: dispatch tells of a work item when it sends it."""
		folder = pathlib.Path(cls.folder.name)
		made, crew = folder / "proto", folder / "crew"
		made.mkdir()
		crew.mkdir()
		subprocess.run(["protoc", f"-I{ROOT / 'proto'}", f"--python_out={made}",
			*map(str, (ROOT / "proto/centraleta/v1").glob("*.proto"))], check=True)
		for department in cls.stack.departments("boston"):
			(crew / f"{department}.key").write_text(cls.stack.key("boston", department=department))
		with open(folder / "crew.log", "ab") as log:
			cls.crew = subprocess.Popen([sys.executable, str(ROOT / "deploy/trial/crew.py"), str(made),
				f"ipc://{cls.stack.runtime}/dispatch.work", str(crew), "0.2", "0.6", "1.2"],
				stdin=subprocess.DEVNULL, stdout=log, stderr=log)

	@classmethod
	def tearDownClass(cls):
		cls.crew.kill()
		cls.crew.wait()
		codes = cls.stack.stop()
		cls.folder.cleanup()
		assert set(codes.values()) <= {0}, codes

	def until(self, what, good, seconds=20):
		deadline = time.monotonic() + seconds
		while not good():
			self.assertLess(time.monotonic(), deadline, what)
			time.sleep(0.1)

	def post(self, **headers):
		form = {"jurisdiction_id": "boston.gov", "service_code": "Street Light Outages", "lat": "42.35",
			"long": "-71.06", "email": "one@citizen.test"}
		request = urllib.request.Request(f"http://127.0.0.1:{self.stack.http_port}/open311/v2/requests.json",
			data=urllib.parse.urlencode(form).encode(), headers={"Authorization": "Bearer " + self.key, **headers})
		with urllib.request.urlopen(request, timeout=10) as answer:
			return json.load(answer)[0]["service_request_id"]

	def test_all_are_alive_and_ready(self):
		for kind in KINDS:
			with self.subTest(kind):
				self.assertEqual(self.stack.daemons[kind].get("/livez")[0], 200)
				self.assertEqual(self.stack.daemons[kind].get("/readyz")[0], 200)
				self.assertEqual(self.stack.daemons[kind].get("/nothing")[0], 404)

	def test_promtool_accepts_the_metrics(self):
		if not shutil.which("promtool"):
			self.skipTest("promtool is not installed")
		self.post()
		for kind in KINDS:
			with self.subTest(kind):
				status, page = self.stack.daemons[kind].get("/metrics")
				self.assertEqual(status, 200)
				self.assertIn("centraleta_", page)
				done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
				self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

	def test_one_trace_through_all_daemons(self):
		self.post(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
		for kind in KINDS:
			with self.subTest(kind):
				log = self.stack.daemons[kind].log_path
				self.until(f"{kind} doesn't log the trace",
					lambda: f"trace={TRACE}" in log.read_text(errors="replace"))

	def test_store_away_is_alive_but_not_ready(self):
		self.stack.cluster.immediate_stop()
		try:
			for kind in KINDS:
				with self.subTest(kind):
					daemon = self.stack.daemons[kind]
					self.until(f"{kind} stays ready", lambda: daemon.get("/readyz")[0] == 503)
					self.assertEqual(daemon.get("/livez")[0], 200)
		finally:
			self.stack.cluster.restart()
		for kind in KINDS:
			daemon = self.stack.daemons[kind]
			self.until(f"{kind} isn't ready again", lambda: daemon.get("/readyz")[0] == 200)
		self.assertTrue(self.post())


if __name__ == "__main__":
	unittest.main()
