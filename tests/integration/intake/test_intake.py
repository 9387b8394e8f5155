"""The intake daemon on a real PostgreSQL: Open311 in both formats, intake.submit, citizens' pages.

Environment: CENTRALETA_BUILD (the build folder). The Open311 project's schemas are read from the shared data and
skipped aloud where that is absent.
"""
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import time
import unittest
import urllib.parse
import xml.etree.ElementTree as ET

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from case import ANSWERED, Case, Held, http_call, IMPORTED, Peer, RECEIVED, REFUSED, RESOLVED, ROOT, ROUTED, wait_for  # noqa: E402
from mailserver import free_port  # noqa: E402

SCHEMAS = ROOT.parent / "shared" / "data" / "corpora" / "open311-schema"
NAUGHTY = ROOT.parent / "shared" / "data" / "corpora" / "text" / "blns.json"
CODE = re.compile(r"^[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}$")


class Open311(Case):
	def schema(self, name):
		if not SCHEMAS.exists():
			self.skipTest(f"{SCHEMAS} is absent")
		import jsonschema
		store = {p.name: json.loads(p.read_text()) for p in SCHEMAS.glob("*.json")}
		return jsonschema.Draft4Validator(store[name], jsonschema.RefResolver("", store[name], store),
			format_checker=jsonschema.FormatChecker())

	def test_discovery(self):
		a = self.get("/open311/v2/discovery.json")
		self.assertEqual((a.status, a.headers["Content-Type"]), (200, "application/json; charset=utf-8"))
		self.assertEqual(a.headers["Access-Control-Allow-Origin"], "*")
		d = a.json()
		self.assertEqual(set(d), {"changeset", "contact", "key_service", "endpoints"})
		e = d["endpoints"][0]
		self.assertEqual(e["specification"], "http://wiki.open311.org/GeoReport_v2")
		self.assertEqual(e["url"], f"http://127.0.0.1:{self.stack.http_port}/open311/v2")
		self.assertEqual(e["formats"], ["text/xml", "application/json"])
		x = self.get("/open311/v2/discovery.xml")
		self.assertEqual(x.headers["Content-Type"], "text/xml; charset=utf-8")
		self.assertEqual(ET.fromstring(x.text).findtext("endpoints/endpoint/formats/format"), "text/xml")

	def test_services_by_schema(self):
		a = self.get("/open311/v2/services.json?jurisdiction_id=girona.cat")
		self.schema("services.json").validate(a.json())
		self.assertEqual([s["metadata"] for s in a.json() if s["service_code"] == "fanal"], [False])
		x = ET.fromstring(self.get("/open311/v2/services.xml?jurisdiction_id=girona.cat").text)
		self.assertEqual({s.findtext("service_code") for s in x}, {s["service_code"] for s in a.json()})
		self.assertFalse(any(e.attrib for e in x.iter()))
		code = urllib.parse.quote("clot/vorera & més", safe="")
		d = self.get(f"/open311/v2/services/{code}.json?jurisdiction_id=girona.cat")
		self.schema("service-definition.json").validate(d.json())
		self.assertEqual([a["code"] for a in d.json()["attributes"]], ["MIDA", "ON", "NOTA", "INFO"])
		self.assertFalse(d.json()["attributes"][3]["required"])
		x = ET.fromstring(self.get(f"/open311/v2/services/{code}.xml?jurisdiction_id=girona.cat").text)
		self.assertEqual(x.findtext("attributes/attribute/values/value/key"), "p")
		self.assertEqual(self.get("/open311/v2/services/fanal.json?jurisdiction_id=girona.cat").json(),
			{"service_code": "fanal", "attributes": []})

	def test_a_post_is_there_at_once(self):
		trace = "4bf92f3577b34da6a3ce929d0e0e4736"
		a = self.post({"service_code": "clot/vorera & més", "attribute[MIDA]": "g", "attribute[ON][]": ["v", "c"],
			"attribute[NOTA]": "línia\nsegona", "attribute[ALTRE]": "x", "description": "Forat <b>gran</b> & fosc",
			"address_string": "Carrer Nou 1", "email": "anna@example.test", "first_name": "Anna",
			"account_id": "acc-1"}, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
		self.assertEqual(a.status, 200, a.text)
		[r] = a.json()
		self.assertEqual((r["service_notice"], r["account_id"]), ("El mirem aviat.", "acc-1"))
		self.assertRegex(a.headers["Centraleta-Code"], CODE)
		request = int(r["service_request_id"])
		self.assertEqual(self.counts(request), [1, 1, 1, 1, 1])
		self.assertEqual(self.sql("SELECT attributes FROM request WHERE request = %s", request),
			[({"MIDA": ["g"], "ON": ["v", "c"]},)])
		self.assertEqual(self.sql("SELECT attributes, description FROM request_text WHERE request = %s", request),
			[({"NOTA": ["línia\nsegona"], "ALTRE": ["x"]}, "Forat <b>gran</b> & fosc")])
		self.assertEqual(self.sql("SELECT email, first_name, phone, language FROM contact WHERE request = %s",
			request), [("anna@example.test", "Anna", None, "ca")])
		[(body, stored, type_, version)] = self.sql("SELECT body, trace, type, key_version FROM event"
			" WHERE order_key = %s", request)
		self.assertEqual((bytes(stored).hex(), type_, version), (trace, RECEIVED, 1))
		e = self.events.RequestReceived.FromString(bytes(body))
		self.assertEqual((e.service, e.channel, e.owner), (1, self.events.CHANNEL_WEB, 10))
		self.assertEqual([(v.code, v.key) for v in e.attributes], [("MIDA", "g"), ("ON", "v"), ("ON", "c")])
		self.assertEqual(e.deadline_us - e.requested_at_us, 90 * 60_000_000)
		self.assertNotIn(b"anna", bytes(body))
		one = self.get(f"/open311/v2/requests/{request}.json?jurisdiction_id=girona.cat")
		self.schema("requests.json").validate(one.json())
		self.assertEqual(one.json()[0]["description"], "Forat <b>gran</b> & fosc")
		self.assertNotIn("anna", one.text.lower())
		x = ET.fromstring(self.get(f"/open311/v2/requests/{request}.xml?jurisdiction_id=girona.cat").text)
		self.assertEqual(x.findtext("request/lat"), "41.5")

	def test_post_in_xml_and_by_bearer(self):
		a = self.post({"api_key": None, "extensions": "true"}, path="/open311/v2/requests.xml",
			headers={"Authorization": f"Bearer {self.plain_key}"})
		self.assertEqual(a.status, 200, a.text)
		x = ET.fromstring(a.text)
		self.assertEqual(x.tag, "service_requests")
		self.assertEqual(x.findtext("request/extended_attributes/code"), a.headers["Centraleta-Code"])
		a = self.post({"api_key": None}, path=f"/open311/v2/requests.json?api_key={self.plain_key}")
		self.assertEqual(a.status, 200, a.text)

	def test_all_field_errors_in_one_answer(self):
		a = self.post(service_code="clot/vorera & més", lat="north", long="2.5", email="x", media_url="ftp://x/",
			**{"attribute[MIDA]": "enorme", "description": "x" * 4001})
		self.assertEqual(a.status, 400)
		self.assertEqual(a.codes(), ["invalid:lat", "invalid:attribute[MIDA]", "too_long:description",
			"invalid:email", "invalid:media_url"])
		self.assertIn("4000 caràcters", a.text)
		x = self.post(path="/open311/v2/requests.xml", lat="10")
		self.assertEqual(ET.fromstring(x.text).findtext("error/code"), "outside:lat")
		a = self.post(description=b"\xff\xfe")
		self.assertEqual(a.codes(), ["invalid:description"])

	def test_status_of_each_refusal(self):
		for fields, status, code in (
				({"api_key": None}, 403, "missing:api_key"),
				({"api_key": "cen_live_x"}, 403, "invalid:api_key"),
				({"api_key": "cen_live_999999999999_" + "a" * 43}, 403, "invalid:api_key"),  # well-formed, nobody's
				({"api_key": self.lleida_key}, 403, "invalid:api_key"),
				({"jurisdiction_id": None}, 400, "missing:jurisdiction_id"),
				({"jurisdiction_id": "paris.fr"}, 404, "unknown:jurisdiction_id"),
				({"service_code": None}, 400, "missing:service_code"),
				({"service_code": "bache"}, 404, "unknown:service_code"),
				({"lat": None, "long": None}, 400, "missing:lat")):
			with self.subTest(code=code):
				a = self.post(fields)
				self.assertEqual((a.status, a.codes()), (status, [code]))
		for path, status in (("/open311/v2/services.html", 404), ("/open311/v2/nothing.json", 404),
				("/open311/v2/services.json", 400), ("/open311/v2/services.json?jurisdiction_id=x", 404),
				("/open311/v2/services/nope.json?jurisdiction_id=girona.cat", 404),
				("/open311/v2/requests/1.json?jurisdiction_id=girona.cat", 404),
				("/open311/v2/requests/x.json?jurisdiction_id=girona.cat", 404),
				("/open311/v2/requests.json?jurisdiction_id=girona.cat&status=new", 400),
				("/open311/v2/requests.json?jurisdiction_id=girona.cat&start_date=2026-01-01", 400),
				("/open311/v2/requests.json?jurisdiction_id=girona.cat&start_date=2026-01-01T00:00:00Z"
					"&end_date=2026-12-01T00:00:00Z", 400),
				("/open311/v2/services.json?jurisdiction_id=%zz", 400)):
			with self.subTest(path=path):
				a = self.get(path)
				self.assertEqual(a.status, status)
				self.assertTrue(a.json()[0]["description"])
		port = self.stack.http_port
		self.assertEqual(http_call(port, "DELETE", "/open311/v2/requests.json").status, 405)
		self.assertEqual(http_call(port, "POST", "/open311/v2/services.json", {}).status, 405)
		a = http_call(port, "POST", "/open311/v2/requests.json", body="{}",
			headers={"Content-Type": "application/json"})
		self.assertEqual((a.status, a.codes()), (415, ["invalid:content_type"]))
		big = http_call(port, "POST", "/open311/v2/requests.xml", body="a=" + "x" * 300000)
		self.assertEqual(big.status, 413)
		self.assertEqual(ET.fromstring(big.text).findtext("error/code"), "http:413")

	def test_lists_by_service(self):
		two = ("fanal", "clot/vorera & més")
		for i in range(8):
			self.posted(service_code=two[i % 3 > 0], description=f"n{i}", **{"attribute[MIDA]": "p"})
		base = "/open311/v2/requests.json?jurisdiction_id=girona.cat"
		everything = self.get(base).json()
		for named in (two[:1], two[1:], two, two + two):
			asked = base + "&service_code=" + urllib.parse.quote(",".join(named))
			found = self.get(asked).json()
			self.assertEqual(found, [r for r in everything if r["service_code"] in named])
			pages = [self.get(asked + f"&page_size=2&page={p}").json() for p in (1, 2, 3)]
			self.assertEqual([r for page in pages for r in page], found[:6])
			self.assertEqual(self.get(asked + "&end_date=2020-01-01T00:00:00Z").json(), [])

	def test_lists_windows_and_pages(self):
		ids = [self.posted(service_code="bache", jurisdiction_id="lleida.cat", api_key=self.lleida_key,
			lat="10", description=f"n{i}")[0] for i in range(5)]
		base = "/open311/v2/requests.json?jurisdiction_id=lleida.cat"
		a = self.get(base + "&page_size=2")
		self.schema("requests.json").validate(a.json())
		self.assertEqual([int(r["service_request_id"]) for r in a.json()], ids[:-3:-1])
		link = re.match(r'<(.*)>; rel="next"', a.headers["Link"]).group(1)
		self.assertEqual([r["description"] for r in self.get(link).json()], ["n2", "n1"])
		self.assertEqual(len(self.get(base).json()), 5)
		self.assertEqual(self.get(base + "&status=closed").json(), [])
		self.assertEqual(len(self.get(base + "&status=open&service_code=bache").json()), 5)
		self.assertEqual(self.get(base + "&end_date=2020-01-01T00:00:00Z").json(), [])
		some = ",".join(str(i) for i in (ids[0], ids[2], 123456789))
		self.assertEqual({int(r["service_request_id"]) for r in self.get(base + "&status=closed"
			f"&service_request_id={some}").json()}, {ids[0], ids[2]})
		# another town doesn't see them, by any way
		other = "/open311/v2/requests.json?jurisdiction_id=girona.cat"
		self.assertEqual(self.get(f"{other}&service_request_id={some}").json(), [])
		self.assertEqual(self.get(f"/open311/v2/requests/{ids[0]}.json?jurisdiction_id=girona.cat").status, 404)

	def test_a_key_gives_the_first_answer_again(self):
		first = self.post(description="one", headers={"Idempotency-Key": "k-1"})
		again = self.post(description="one", headers={"Idempotency-Key": "k-1"})
		self.assertEqual(first.json(), again.json())
		self.assertEqual(first.headers["Centraleta-Code"], again.headers["Centraleta-Code"])
		other = self.post(description="two", headers={"Idempotency-Key": "k-1"})
		self.assertEqual((other.status, other.codes()), (422, ["conflict:idempotency_key"]))
		self.assertEqual(self.counts(int(first.json()[0]["service_request_id"])), [1, 1, 1, 0, 1])
		with concurrent.futures.ThreadPoolExecutor(16) as pool:
			got = {self_id for self_id, _ in pool.map(lambda _: self.posted(headers={"Idempotency-Key": "k-2"}),
				range(32))}
		self.assertEqual(len(got), 1)
		self.assertEqual(self.one("SELECT count(*) FROM idempotency WHERE key = 'k-2'"), 1)

	def test_naughty_strings_come_back(self):
		if not NAUGHTY.exists():
			self.skipTest(f"{NAUGHTY} is absent")
		stored = 0
		for text in json.loads(NAUGHTY.read_text()):
			a = self.post(description=text, address_string=text[:900] or None, first_name=text[:200] or None)
			self.assertIn(a.status, (200, 400), text)
			if a.status == 400:
				self.assertTrue(all(c.startswith("invalid:") for c in a.codes()), (text, a.text))
				continue
			stored += 1
			request = a.json()[0]["service_request_id"]
			[r] = self.get(f"/open311/v2/requests/{request}.json?jurisdiction_id=girona.cat").json()
			self.assertEqual(r["description"] or "", text)
			ET.fromstring(self.get(f"/open311/v2/requests/{request}.xml?jurisdiction_id=girona.cat").text)
		self.assertGreater(stored, 400)

	def test_towns_change_without_a_restart(self):
		self.sql("INSERT INTO service (service, jurisdiction, service_code, slug, name) VALUES"
			" (9, 1, 'nou', 'nou', 'Nou')")
		before = self.get("/open311/v2/discovery.json").json()["changeset"]
		self.sql("UPDATE config_revision SET revision = revision + 1")
		wait_for("the new service", lambda: "nou" in self.get(
			"/open311/v2/services.json?jurisdiction_id=girona.cat").text)
		self.assertGreater(self.get("/open311/v2/discovery.json").json()["changeset"], before)


class Submit(Case):
	def peer(self, key=None):
		p = Peer(self.stack, self.pb, key)
		self.addCleanup(p.close)
		return p

	def fields(self, number, **more):
		return {"number": number, "service_code": "fanal", "place": self.events.Place(lat=41.5, long=2.5), **more}

	def test_a_window_full_of_submissions(self):
		p = self.peer(self.key)
		self.assertEqual((p.opened.jurisdiction_id, p.opened.window), ("girona.cat", 256))
		for i in range(256):
			p.submit(**self.fields(i + 1, description=f"d{i}", email="a@b.test" if i % 10 == 0 else ""))
		got = {}
		for _ in range(256):
			a = p.receive().accepted
			got[a.number] = int(a.service_request_id)
			self.assertRegex(a.code, CODE)
		self.assertEqual(set(got), set(range(1, 257)))
		self.assertEqual(len(set(got.values())), 256)
		self.assertEqual(self.one("SELECT count(*) FROM request WHERE request = ANY (%s)", list(got.values())), 256)
		self.assertEqual(self.one("SELECT count(*) FROM contact WHERE request = ANY (%s)", list(got.values())), 26)
		for lane in (0, 1):
			self.assertEqual(self.one("SELECT count(*) = max(seq) FROM event WHERE lane = %s", lane), True)
		self.assertLess(self.daemon.metric_sum("intake_batch_submissions_count"), 256)

	def test_beyond_the_window(self):
		p = self.peer(self.key)
		with self.held("SELECT 1 FROM lane FOR UPDATE"):
			for i in range(300):
				p.submit(**self.fields(i + 1))
			busy = [p.receive() for _ in range(44)]
		self.assertEqual({f.busy.cause for f in busy}, {"window"})
		self.assertTrue(all(500 <= f.busy.retry_after_ms <= 3000 for f in busy))
		self.assertEqual({p.receive().WhichOneof("frame") for _ in range(256)}, {"accepted"})

	def held(self, statement):
		return Held(self.stack.dsn("postgres"), statement)

	def test_keys_and_field_errors(self):
		p = self.peer(self.key)
		p.submit(**self.fields(1, idempotency_key="z-1", description="a"))
		first = p.receive().accepted
		p.submit(**self.fields(2, idempotency_key="z-1", description="a"))
		again = p.receive().accepted
		self.assertEqual((again.service_request_id, again.code, again.repeated_key),
			(first.service_request_id, first.code, True))
		p.submit(**self.fields(3, idempotency_key="z-1", description="b"))
		self.assertEqual([(e.field, e.code) for e in p.receive().rejected.errors], [("idempotency_key", "conflict")])
		p.submit(number=4, service_code="clot/vorera & més", email="x", language="fr",
			attributes=[self.pb.SubmitAttribute(code="MIDA", values=["p", "g"])])
		r = p.receive().rejected
		self.assertEqual([(e.field, e.code) for e in r.errors], [("lat", "missing"), ("attribute[MIDA]", "invalid"),
			("email", "invalid"), ("language", "invalid")])
		self.assertEqual(r.number, 4)
		for i, (more, want) in enumerate((({"service_code": ""}, ("service_code", "missing")),
				({"service_code": "bache"}, ("service_code", "unknown")),
				({"place": self.events.Place(lat=float("nan"), long=2)}, ("lat", "invalid")))):
			p.submit(**self.fields(10 + i, **more))
			self.assertEqual([(e.field, e.code) for e in p.receive().rejected.errors], [want])

	def test_frames_that_are_wrong(self):
		p = self.peer()
		p.submit(**self.fields(7))
		r = p.receive().refused
		self.assertEqual((r.number, r.code), (7, "not_open"))
		p.send(open=self.pb.Open(api_key="cen_live_nobody"))
		self.assertEqual(p.receive().refused.code, "bad_key")
		p.send(ping=self.pb.SubmitterPing())
		self.assertEqual(p.receive().WhichOneof("frame"), "pong")
		p = self.peer(self.key)
		for raw, code in ((b"\xff\xff\xff", "malformed"), (b"", "unknown_frame"), (b"\x7a\x00", "unknown_frame"),
				(b"\x12\x03\x1a\x01\x00", "malformed"), (b"\x12\x03\x1a\x01\xff", "malformed"),
				(b"\x12\x05" + b"\x1a\x7fabc", "malformed"), (b"\x00" * 300000, "too_large")):
			with self.subTest(raw=raw[:8]):
				p.sock.send(raw)
				self.assertEqual(p.receive().refused.code, code)
		s = self.pb.Submit(**self.fields(9))
		s.channel = 99
		p.send(submit=s)
		self.assertEqual([(e.field, e.code) for e in p.receive().rejected.errors], [("channel", "invalid")])
		p.submit(**self.fields(10, description="d" * 100_000))  # more than is kept ready for a frame
		r = p.receive().rejected
		self.assertEqual((r.number, [(e.field, e.code) for e in r.errors]), (10, [("description", "too_long")]))
		s = self.pb.Submit(**self.fields(11)).SerializeToString() + b"\x3a\x02a\x00"  # description with a NUL
		p.sock.send(b"\x12" + bytes([len(s)]) + s)
		r = p.receive().refused
		self.assertEqual((r.number, r.code), (11, "malformed"))
		self.assertIn("description", r.reason)
		p.sock.send_multipart([b"a", b"b"])
		p.submit(**self.fields(12))
		self.assertEqual(p.receive().accepted.number, 12)

	def test_history(self):
		e, p = self.events, self.peer(self.key)
		t = 1_300_000_000_000_000
		history = self.pb.SubmitHistory(department="streets", state=e.REQUEST_STATE_CLOSED, outcome=e.OUTCOME_DECLINED,
			requested_at_us=t, closed_at_us=t + 5_000_000)
		p.submit(**self.fields(1, history=history, channel=e.CHANNEL_PHONE, idempotency_key="h-1",
			description="vell", phone="972"))
		a = p.receive().accepted
		request = int(a.service_request_id)
		self.assertEqual(self.counts(request), [1, 1, 1, 1, 1])
		[(type_, body)] = self.sql("SELECT type, body FROM event WHERE order_key = %s", request)
		m = e.RequestImported.FromString(bytes(body))
		self.assertEqual((type_, m.department, m.channel, m.state, m.outcome, m.requested_at_us, m.closed_at_us),
			(IMPORTED, 11, e.CHANNEL_PHONE, e.REQUEST_STATE_CLOSED, e.OUTCOME_DECLINED, t, t + 5_000_000))
		self.assertEqual(m.work_item % 100, request % 100)
		[r] = self.get(f"/open311/v2/requests/{request}.json?jurisdiction_id=girona.cat").json()
		self.assertEqual((r["status"], r["agency_responsible"], r["requested_datetime"], r["updated_datetime"]),
			("closed", "Carrers & Places", "2011-03-13T07:06:40Z", "2011-03-13T07:06:45Z"))
		history.department = "parks"
		p.submit(**self.fields(2, history=history))
		self.assertEqual([(x.field, x.code) for x in p.receive().rejected.errors], [("history.department", "unknown")])
		p = self.peer(self.plain_key)
		p.submit(**self.fields(3, history=history, channel=e.CHANNEL_PHONE))
		self.assertEqual([x.field for x in p.receive().rejected.errors], ["channel", "history"])

	def test_a_revoked_key_is_out(self):
		key = self.stack.key("girona", door="web", scopes="submit")
		p = self.peer(key)
		p.submit(**self.fields(1))
		self.assertEqual(p.receive().WhichOneof("frame"), "accepted")
		self.sql("UPDATE api_key SET revoked_at = now() WHERE key_id = %s", key.split("_")[2])
		self.sql("UPDATE config_revision SET revision = revision + 1")

		def refused():
			p.submit(**self.fields(2))
			return p.receive().refused.code == "bad_key"
		wait_for("the refusal", refused)

	def test_one_bad_row_among_many(self):
		self.sql("ALTER TABLE request_text ADD CONSTRAINT no_poison CHECK (description <> 'poison')")
		self.addCleanup(self.sql, "ALTER TABLE request_text DROP CONSTRAINT no_poison")
		p = self.peer(self.key)
		for i in range(200):
			p.submit(**self.fields(i, description="poison" if i == 77 else "fine"))
		frames = [p.receive() for _ in range(200)]
		bad = [f.rejected for f in frames if f.WhichOneof("frame") == "rejected"]
		self.assertEqual([(r.number, r.errors[0].field) for r in bad], [(77, "submission")])
		self.assertEqual(sum(f.WhichOneof("frame") == "accepted" for f in frames), 199)


class Citizen(Case):
	def test_the_public_view_follows_the_log(self):
		e = self.events
		request, _ = self.posted()
		path = f"/open311/v2/requests/{request}.json?jurisdiction_id=girona.cat"

		def shown(**want):
			return wait_for(want, lambda: all(self.get(path).json()[0][k] == v for k, v in want.items()))
		shown(status="open", agency_responsible="Triatge")
		self.append(request, 2, ROUTED, e.RequestRouted(department=11, work_item=7, deadline_us=1_900_000_000_000_000))
		shown(agency_responsible="Carrers & Places", expected_datetime="2030-03-17T17:46:40Z")
		self.append(request, 3, REFUSED, e.RequestChanged(state=e.REQUEST_STATE_RECEIVED, work_item=7, department=11))
		shown(status_notes="Rebuda, pendent d'assignar.")
		self.append(request, 4, RESOLVED, e.RequestChanged(state=e.REQUEST_STATE_CLOSED, outcome=e.OUTCOME_DONE,
			occurred_at_us=1_790_000_000_000_000, department=11))
		shown(status="closed", status_notes="Fet.", updated_datetime="2026-09-21T14:13:20Z")
		self.assertEqual([int(r["service_request_id"]) for r in self.get(
			f"/open311/v2/requests.json?jurisdiction_id=girona.cat&service_request_id={request}").json()], [request])

	def page(self, path, lang="ca", status=200):
		a = self.get(path, **{"Accept-Language": lang})
		self.assertEqual(a.status, status, a.text)
		return a

	def test_the_story_in_plain_words(self):
		request, code = self.posted(description="<script>alert(1)</script>\nfosc", address_string="Carrer Nou 1",
			email="anna@example.test")
		self.append(request, 2, ROUTED, self.events.RequestRouted(department=11, work_item=777,
			deadline_us=int((time.time() + 3600) * 1e6)))
		self.sql("INSERT INTO work_request VALUES (%s, 777, %s, %s, 1)", request % 100, request % 100, request)
		self.sql("INSERT INTO update_text (lane, department, update_id, work_item, jurisdiction, kind, note, body_hash,"
			" at) VALUES (%s, 11, 'u-1', 777, 1, 1, 'Hi anem <avui>', %s, now())", request % 100, b"0" * 16)
		a = self.page(f"/r/{code}")
		for text in ("La vostra sol·licitud", "Fanal", "Carrer Nou 1", "Carrers &amp; Places", str(request),
				"&lt;script&gt;", "Hem rebut la vostra sol·licitud.", "Hi anem &lt;avui&gt;", '<html lang="ca">'):
			self.assertIn(text, a.text)
		self.assertNotIn("<script", a.text)
		self.assertNotIn("anna@", a.text)
		self.assertEqual(a.headers["Cache-Control"], "no-store")
		self.assertIn("default-src 'none'", a.headers["Content-Security-Policy"])
		self.assertIn("Su solicitud", self.page(f"/r/{code}", "fr, es;q=0.5").text)
		self.assertIn("Your request", self.page(f"/r/{code.lower().replace('-', '')}?lang=en").text)
		self.assertIn("La vostra sol·licitud", self.page(f"/r/{code}", "de").text)  # the town's
		self.assertIn("text/css", self.get("/r/style.css").headers["Content-Type"])
		go = self.get(f"/r?code={code}&lang=es")
		self.assertEqual((go.status, go.headers["Location"]), (303, f"/r/{code}?lang=es"))
		self.assertIn("girona.cat", self.page("/").text)

	def test_wrong_codes(self):
		_, code = self.posted()
		wrong = code[:-1] + ("0" if code[-1] != "0" else "1")
		for path in (f"/r/{wrong}", "/r/x", "/r/%20", "/r/" + "A" * 100, f"/r?code={wrong}", f"/r/{wrong}/survey"):
			with self.subTest(path=path):
				self.assertIn('role="alert"', self.page(path, status=404).text)
		self.page("/nothing", status=404)
		self.page("/r/%00", status=400)
		self.assertEqual(http_call(self.stack.http_port, "POST", f"/r/{code}", {}).status, 405)

	def test_guesses_are_limited(self):
		port = free_port()
		d = self.stack.start_daemon("intake", member="strict", sets=[f"intake.listen=127.0.0.1:{port}",
			f"intake.submit_endpoint=ipc://{self.stack.runtime}/strict.submit", "intake.guess_address=3"])
		self.addCleanup(d.stop)
		d.wait_ready()
		_, code = self.posted()
		got = [http_call(port, "GET", f"/r/{code}x").status for _ in range(4)]
		self.assertEqual(got, [404, 404, 404, 429])
		self.assertEqual(http_call(port, "GET", f"/r/{code}").status, 429)

	def test_the_survey_is_answered_once(self):
		request, code = self.posted()
		path = f"/r/{code}/survey"
		self.assertIn("encara no està tancada", self.page(path).text)
		self.resolve(request)
		wait_for("the form", lambda: "<form" in self.page(path).text)

		def answer(**form):
			return http_call(self.stack.http_port, "POST", path + "?lang=ca", form)
		self.assertEqual(answer().status, 400)
		self.assertEqual(answer(score="11").status, 400)
		self.assertEqual(answer(score="9", comment="x" * 2001).status, 400)
		self.assertEqual(answer(score="9", comment="\x00").status, 400)
		self.assertIn("Gràcies", answer(score="9", comment="Molt bé").text)
		again = answer(score="1", comment="no")
		self.assertEqual(again.status, 409)
		self.assertIn("Ja heu respost", again.text)
		seq = self.one("SELECT seq FROM event WHERE order_key = %s AND type = %s", request, RESOLVED)
		self.assertEqual(self.sql("SELECT score, comment, language, closing_seq FROM survey_answer WHERE request = %s",
			request), [(9, "Molt bé", "ca", seq)])
		[(body, version)] = self.sql("SELECT body, key_version FROM event WHERE order_key = %s AND type = %s", request,
			ANSWERED)
		m = self.events.RequestSurveyAnswered.FromString(bytes(body))
		self.assertEqual((m.score, m.closing_seq, version), (9, seq, None))
		self.assertIn("Ens heu dit com ha anat.", self.page(f"/r/{code}").text)

	def test_watching(self):
		self.posted()
		text = self.daemon.get("/metrics")[1]
		done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
		self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
		self.assertGreater(self.daemon.metrics()[
			'intake_submissions_total{channel="web",jurisdiction="girona",outcome="accepted"}'], 0)
		log = self.daemon.log_path.read_text()
		self.assertIn("intake.answer", log)
		self.assertNotIn("anna@", log)


if __name__ == "__main__":
	unittest.main(verbosity=2)
