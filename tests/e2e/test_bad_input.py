"""covers the HTTP door of intake with bad input: each refusal is precise and counted, what was accepted stays."""
import json
import os
import pathlib
import socket
import sys
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))
from stack import TOWNS, Stack

BUILD = os.environ.get("CENTRALETA_BUILD", str(ROOT / "build-tests"))
CORPUS = ROOT.parent / "shared" / "data" / "corpora" / "text" / "blns.json"
POST = "/open311/v2/requests.json"


class BadHttp(unittest.TestCase):
	@classmethod
	def setUpClass(cls):
		cls.folder = tempfile.TemporaryDirectory(prefix="centraleta-badinput-")
		os.chmod(cls.folder.name, 0o755)
		cls.stack = Stack(pathlib.Path(cls.folder.name) / "stack", BUILD)
		cls.stack.start_store()
		jid, name, zone, box = TOWNS["boston"]
		cls.key = cls.stack.load_town("boston", jid, name, zone, box)
		cls.stack.start_daemons(("intake",))
		cls.accepted = cls.post(cls)[1][0]["service_request_id"]

	@classmethod
	def tearDownClass(cls):
		codes = cls.stack.stop()
		cls.folder.cleanup()
		assert set(codes.values()) <= {0}, codes

	def tearDown(self):
		self.assertEqual(self.stack.cluster.psql(
			f"SELECT count(*) FROM request WHERE request = {self.accepted}").strip(), "1")
		self.assertTrue(self.stack.daemons["intake"].alive())

	def post(self, raw=None, content_type="application/x-www-form-urlencoded", **form):
		form = {"jurisdiction_id": "boston.gov", "service_code": "Street Light Outages", "lat": "42.35",
			"long": "-71.06", **form}
		data = raw if raw is not None else urllib.parse.urlencode(form).encode()
		request = urllib.request.Request(f"http://127.0.0.1:{self.stack.http_port}{POST}", data=data,
			headers={"Authorization": "Bearer " + self.key, "Content-Type": content_type})
		try:
			with urllib.request.urlopen(request, timeout=10) as answer:
				return answer.status, json.load(answer)
		except urllib.error.HTTPError as e:
			return e.code, json.load(e)

	def counted(self):
		d = self.stack.daemons["intake"]
		return sum(d.metric_sum(n) for n in ("intake_rejects_total", "http_refused_total", "http_parse_errors_total"))

	def raw(self, head, body=b""):
		"""The status line's number of what the daemon says to these bytes; 0 when it only closes."""
		with socket.create_connection(("127.0.0.1", self.stack.http_port), timeout=20) as s:
			s.sendall(head.replace("\n", "\r\n").encode() + body)
			answer = s.recv(65536)
		return int(answer.split()[1]) if answer else 0

	def test_fields(self):
		form = "jurisdiction_id=boston.gov&service_code=Street+Light+Outages&lat=42.35&long=-71.06&description="
		for name, status, code, args in (
				("latitude is a word", 400, "invalid:lat", {"lat": "north"}),
				("place outside", 400, "outside:lat", {"lat": "0", "long": "0"}),
				("no service", 400, "missing:service_code", {"service_code": ""}),
				("unknown service", 404, "unknown:service_code", {"service_code": "no such thing"}),
				("unknown town", 404, "unknown:jurisdiction_id", {"jurisdiction_id": "atlantis"}),
				("description too long", 400, "too_long:description", {"description": "x" * 20000}),
				("invalid UTF-8", 400, "invalid:description", {"raw": (form + "%C3%28").encode()}),
				("NUL", 400, "invalid:description", {"raw": (form + "a%00b").encode()}),
				("JSON", 415, "invalid:content_type", {"raw": b"{}", "content_type": "application/json"})):
			with self.subTest(name):
				before = self.counted()
				told, errors = self.post(**args)
				self.assertEqual(told, status, errors)
				self.assertEqual(errors[0]["code"], code)
				self.assertTrue(errors[0]["description"])
				self.assertGreater(self.counted(), before)

	def test_framing(self):
		head = f"POST {POST} HTTP/1.1\nHost: x\nContent-Type: application/x-www-form-urlencoded\n"
		for name, status, text, body in (
				("100 MB", 413, head + "Content-Length: 104857600\n\n", b"a"),
				("two lengths", 400, head + "Content-Length: 1\nContent-Length: 2\n\n", b"ab"),
				("length with chunks", 400, head + "Content-Length: 5\nTransfer-Encoding: chunked\n\n", b"0\r\n\r\n"),
				("garbage", 400, "\x01\x02\x03 what\n\n", b"")):
			with self.subTest(name):
				before = self.counted()
				self.assertEqual(self.raw(text, body), status)
				self.assertGreater(self.counted(), before)

	def test_naughty_strings_are_stored_or_refused_by_name(self):
		if not CORPUS.exists():
			self.skipTest(f"{CORPUS} is absent")
		kept = 0
		for n, text in enumerate(json.loads(CORPUS.read_text(encoding="utf-8"))):
			status, told = self.post(description=text)
			self.assertIn(status, (200, 400), (n, told))
			if status == 400:
				self.assertTrue(told[0]["code"].endswith(":description"), (n, told))
				continue
			kept += 1
			one = told[0]["service_request_id"]
			stored = self.stack.cluster.psql(
				f"SELECT count(*) FROM request WHERE request = {one}").strip()
			self.assertEqual(stored, "1", n)
		self.assertGreater(kept, 100)


if __name__ == "__main__":
	unittest.main()
