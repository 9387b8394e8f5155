"""covers services/cli and services/analytics: `centraleta` as a newcomer uses it, and the figures."""
import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))
from mailserver import free_port
from stack import KINDS, TOWNS, Stack

BUILD = os.environ.get("CENTRALETA_BUILD", str(ROOT / "build-tests"))


class Command(unittest.TestCase):
	@classmethod
	def setUpClass(cls):
		cls.folder = tempfile.TemporaryDirectory(prefix="centraleta-command-")
		os.chmod(cls.folder.name, 0o755)
		cls.stack = Stack(pathlib.Path(cls.folder.name) / "stack", BUILD)
		cls.stack.start_store()
		jid, name, zone, box = TOWNS["boston"]
		cls.key = cls.stack.load_town("boston", jid, name, zone, box)
		cls.stack.start_daemons()

	@classmethod
	def tearDownClass(cls):
		codes = cls.stack.stop()
		cls.folder.cleanup()
		assert set(codes.values()) <= {0}, codes

	def cli(self, *args):
		return self.stack.cli(*args, check=False)

	def fails(self, code, text, *args):
		done = self.cli(*args)
		self.assertEqual(done.returncode, code, (args, done.stdout, done.stderr))
		self.assertIn(text, done.stderr)
		self.assertEqual(done.stdout, "")

	def post(self, **form):
		form = {"jurisdiction_id": "boston.gov", "service_code": "Street Light Outages", "lat": "42.35",
			"long": "-71.06", **form}
		request = urllib.request.Request(f"http://127.0.0.1:{self.stack.http_port}/open311/v2/requests.json",
			data=urllib.parse.urlencode(form).encode(), headers={"Authorization": "Bearer " + self.key})
		with urllib.request.urlopen(request, timeout=10) as answer:
			return json.load(answer)[0]["service_request_id"]

	def figures(self, path):
		return urllib.request.urlopen(f"http://127.0.0.1:{self.stack.analytics_port}{path}", timeout=10)

	# ---- help and errors --------------------------------------------------------------------------

	def test_help_names_every_command(self):
		text = self.cli("help").stdout
		for command in ("migrate", "up", "jurisdiction", "department", "service", "area", "rule", "door", "key",
				"import", "request", "route", "tail", "parked", "message", "analytics"):
			self.assertIn(f"\n  {command} ", text)
			self.assertEqual(self.cli("help", command).returncode, 0)

	def test_wrong_words_are_told(self):
		self.fails(2, "no command 'reqest'", "reqest")
		self.fails(2, "--time-zone is required", "jurisdiction", "add", "x", "--id", "x", "--name", "X")
		self.fails(2, "no time zone 'Mars'", "jurisdiction", "add", "x", "--id", "x", "--name", "X", "--time-zone", "Mars")
		self.fails(2, "did you mean --name", "jurisdiction", "add", "x", "--nme", "X")
		self.fails(2, "is no slug", "jurisdiction", "add", "A b", "--id", "x", "--name", "X", "--time-zone", "UTC")
		self.fails(3, "no town 'atlantis'", "department", "list", "atlantis")
		self.fails(2, "is no service_request_id", "request", "show", "abc")
		self.fails(3, "no request 99999900", "request", "show", "99999900")
		self.fails(1, "it is there already", "door", "add", "boston", "web", "--channel", "web")
		self.fails(2, "--channel takes", "door", "add", "boston", "pigeon", "--channel", "pigeon")
		self.fails(5, "the store doesn't answer", "--dsn", "host=/nonexistent", "jurisdiction", "list")

	def test_a_wrong_rule_changes_nothing(self):
		before = self.stack.cli("rule", "list", "boston")
		path = pathlib.Path(self.folder.name) / "rules.csv"
		path.write_text("service,department,minutes\nStreet Light Outages,pwdx,60\nStreet Light Outages,nobody,60\n")
		self.fails(1, "rules.csv:3: department 'nobody' is not known in this town; nothing was changed", "rule", "load",
			"boston", path)
		self.assertEqual(self.stack.cli("rule", "list", "boston"), before)

	# ---- towns are data -----------------------------------------------------------------------------

	def test_a_new_town_needs_no_restart(self):
		self.stack.cli("jurisdiction", "add", "vic", "--id", "vic.cat", "--name", "Vic", "--time-zone", "Europe/Madrid",
			"--language", "ca")
		self.stack.cli("department", "add", "vic", "brigada", "--name", "Brigada")
		self.stack.cli("service", "add", "vic", "010", "--name", "Enllumenat")
		self.stack.cli("door", "add", "vic", "web", "--channel", "web")
		rules = pathlib.Path(self.folder.name) / "vic.csv"
		rules.write_text("service,department,target,minutes\n010,brigada,working,480\n")
		self.stack.cli("rule", "load", "vic", rules)
		key = self.stack.key("vic", door="web")
		deadline = time.monotonic() + 10
		while True:
			request = urllib.request.Request(f"http://127.0.0.1:{self.stack.http_port}/open311/v2/requests.json",
				data=urllib.parse.urlencode({"jurisdiction_id": "vic.cat", "service_code": "010",
					"address_string": "Plaça Major 1"}).encode(), headers={"Authorization": "Bearer " + key})
			try:
				with urllib.request.urlopen(request, timeout=10) as answer:
					one = json.load(answer)[0]["service_request_id"]
				break
			except urllib.error.HTTPError as e:
				self.assertIn(e.code, (403, 404))
				self.assertLess(time.monotonic(), deadline, e.read())
				time.sleep(0.1)
		while "routed" not in self.stack.cli("request", "show", one):
			self.assertLess(time.monotonic(), deadline)
			time.sleep(0.1)
		explained = self.stack.cli("route", "explain", one)
		self.assertIn("brigada", explained)
		self.assertIn("matches", explained)

	def test_a_revoked_key_is_out(self):
		key = self.stack.cli("key", "add", "boston", "--door", "web", json_out=True)
		self.stack.cli("key", "revoke", key["key_id"])
		self.fails(3, "no living key", "key", "revoke", key["key_id"])
		self.assertNotIn(key["key"], self.stack.cli("key", "list", "boston"))

	def test_curve_keys(self):
		department = self.stack.departments("boston")[0]
		made = self.stack.cli("key", "add", "boston", "--department", department, "--curve-new", json_out=True)
		self.assertEqual({k: len(made[k]) for k in ("curve_public", "curve_secret")},
			{"curve_public": 40, "curve_secret": 40})
		listed = {k["key_id"]: k for k in self.stack.cli("key", "list", "boston", json_out=True)}
		self.assertEqual(listed[made["key_id"]]["curve_key"], made["curve_public"])
		self.assertNotIn(made["curve_secret"], json.dumps(listed))
		own = self.stack.cli("key", "server", json_out=True)["curve_public"]
		given = self.stack.cli("key", "add", "boston", "--door", "web", "--curve", own, json_out=True)
		self.assertEqual(set(given), {"key_id", "curve_public"})
		self.fails(1, "it is there already", "key", "add", "boston", "--door", "web", "--curve", own)
		self.fails(2, "40 characters of Z85", "key", "add", "boston", "--door", "web", "--curve", "short")
		self.fails(2, "either --curve or", "key", "add", "boston", "--door", "web", "--curve", own, "--curve-new")
		self.fails(3, "no service with the slug 'nothing'", "key", "add", "boston", "--department", department,
			"--topics", "nothing")
		self.fails(2, "--topics is for --department", "key", "add", "boston", "--door", "web", "--topics", "x")

	def test_a_rotated_key_ends_later(self):
		key = self.stack.cli("key", "add", "boston", "--door", "web", "--scopes", "submit,import", json_out=True)
		self.fails(2, "--keep takes", "key", "rotate", key["key_id"], "--keep", "1x")
		new = self.stack.cli("key", "rotate", key["key_id"], "--keep", "2h", json_out=True)
		listed = {k["key_id"]: k for k in self.stack.cli("key", "list", "boston", json_out=True)}
		self.assertEqual(listed[new["key_id"]]["scopes"], "submit,import")
		self.assertIsNone(listed[new["key_id"]]["revoked_at"])
		self.assertIsNotNone(listed[key["key_id"]]["revoked_at"])
		self.assertTrue(new["key"].startswith("cen_live_"))
		self.fails(3, "no key of this id that was to stay", "key", "rotate", key["key_id"])
		self.fails(3, "no key 'nothing'", "key", "rotate", "nothing")
		self.stack.cli("key", "revoke", key["key_id"])  # before its time
		self.fails(3, "no living key", "key", "revoke", key["key_id"])

	# ---- requests, the log, figures ---------------------------------------------------------------------

	def test_tail_and_show_tell_the_same(self):
		one = self.post(description="A lamp is out")
		deadline = time.monotonic() + 10
		while "request.routed" not in (shown := self.stack.cli("request", "show", one)):
			self.assertLess(time.monotonic(), deadline)
			time.sleep(0.1)
		self.assertIn("A lamp is out", shown)
		lines = [json.loads(line) for line in self.stack.cli("--json", "tail", "--once", "--back", "1000").splitlines()]
		mine = [e for e in lines if e["order_key"] == one]
		self.assertEqual([e["type"] for e in mine][:2], ["request.received", "request.routed"])
		self.assertEqual({e["trace"] for e in mine}, {mine[0]["trace"]})
		self.assertNotIn("A lamp is out", json.dumps(lines))

	def test_figures_are_those_of_the_recount(self):
		self.post(description="figures")
		verified = self.cli("analytics", "verify", "--wait", "20")
		self.assertEqual(verified.returncode, 0, verified.stderr)
		with self.figures("/v1/analytics/boston/summary.json?group_by=service") as page:
			told = json.load(page)
		rows = {r["service"]: r for r in told["rows"]}
		counted = int(self.stack.cluster.psql("SELECT count(*) FROM request JOIN service USING (service)"
			" WHERE service_code = 'Street Light Outages'"))
		self.assertEqual(rows["Street Light Outages"]["received"], counted)
		with self.figures("/v1/analytics/boston/summary.csv?group_by=department") as page:
			self.assertEqual(page.headers["Content-Type"], "text/csv; charset=utf-8")
			table = list(csv.DictReader(io.StringIO(page.read().decode(), newline="")))
		self.assertEqual(sum(int(r["received"]) for r in table), sum(r["received"] for r in told["rows"]))

	def test_verify_sees_a_wrong_rollup(self):
		self.post(description="wrong")
		self.assertEqual(self.cli("analytics", "verify", "--wait", "20").returncode, 0)
		self.stack.cluster.psql("UPDATE rollup_day SET received = received + 1 WHERE received > 0")
		try:
			wrong = self.cli("analytics", "verify", "--wait", "20")
			self.assertEqual(wrong.returncode, 4)
			self.assertIn("rows differ", wrong.stderr)
		finally:
			self.stack.cluster.psql("UPDATE rollup_day SET received = received - 1 WHERE received > 1")

	def test_wrong_questions_for_figures(self):
		for path, status, field in (("/v1/analytics/boston/summary.json?from=2026-02-30", 400, "from"),
				("/v1/analytics/boston/summary.json?group_by=people", 400, "group_by"),
				("/v1/analytics/boston/summary.json?from=2026-02-02&to=2026-02-01", 400, "to"),
				("/v1/analytics/atlantis/summary.json", 404, "town"), ("/v2", 404, "")):
			with self.assertRaises(urllib.error.HTTPError) as told:
				self.figures(path)
			self.assertEqual(told.exception.code, status, path)
			self.assertEqual(json.load(told.exception)["field"], field)


class Up(unittest.TestCase):
	def test_up_runs_all_five_and_drains_them(self):
		with tempfile.TemporaryDirectory(prefix="centraleta-up-") as folder:
			os.chmod(folder, 0o755)
			stack = Stack(pathlib.Path(folder) / "stack", BUILD).start_store()
			up = subprocess.Popen([str(stack.program("cli")), "--config", str(stack.config_path), "up", "--daemons",
				str(stack.build / "services")], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
			try:
				deadline = time.monotonic() + 30
				while len(list(stack.runtime.glob("*.admin"))) < len(KINDS):
					self.assertIsNone(up.poll())
					self.assertLess(time.monotonic(), deadline)
					time.sleep(0.05)
				for admin in stack.runtime.glob("*.admin"):
					while True:
						try:
							with urllib.request.urlopen(f"http://{admin.read_text().strip()}/readyz", timeout=5):
								break
						except (urllib.error.HTTPError, OSError):
							self.assertLess(time.monotonic(), deadline, admin)
							time.sleep(0.05)
				up.send_signal(signal.SIGTERM)
				self.assertEqual(up.wait(30), 0, up.stderr.read())
			finally:
				up.kill()
				up.communicate()
				stack.stop()


if __name__ == "__main__":
	unittest.main()
