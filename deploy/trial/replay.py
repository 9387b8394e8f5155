"""Posts the shipped requests over Open311 and keeps what it was told in a ledger of its own.

One citizen in ten leaves a mail address. Each request has an idempotency key, so a 503 or a broken
connection is tried again with the same key. A line of the ledger is one request that was answered.
"""
import csv
import http.client
import json
import threading
import time
import urllib.parse

BOSTON = dict(id="case_enquiry_id", service="type", text="case_title", address="location", lat="latitude",
	long="longitude")
KANSAS_CITY = dict(id="CASE ID", service="REQUEST TYPE", text="DETAIL", address="STREET ADDRESS",
	lat="LATITUDE", long="LONGITUDE")
COLUMNS = {"boston": BOSTON, "kansas-city": KANSAS_CITY}
LANGUAGES = ("ca", "es", "en")


def requests_of(town, jurisdiction_id, path, limit=None):
	"""The rows of a town's requests.csv as Open311 forms, each with its idempotency key."""
	names = COLUMNS[town]
	with open(path, newline="", encoding="utf-8") as f:
		for n, row in enumerate(csv.DictReader(f)):
			if limit is not None and n >= limit:
				return
			form = {
				"jurisdiction_id": jurisdiction_id,
				"service_code": row[names["service"]].strip(),
				"lat": row[names["lat"]],
				"long": row[names["long"]],
				"address_string": " ".join(row[names["address"]].split()),
				"description": row[names["text"]].strip(),
			}
			if n % 10 == 0:
				form["email"] = f"citizen-{town}-{n}@citizen.test"
				form["language"] = LANGUAGES[n // 10 % 3]
			yield f"{town}:{row[names['id']]}:{n}", form


class Replay:
	def __init__(self, host, port, keys, ledger_path, rate, connections=8):
		"""keys: {jurisdiction_id: api key}."""
		self.host, self.port, self.keys, self.rate = host, port, keys, rate
		self.connections = connections
		self.ledger = open(ledger_path, "a", encoding="utf-8", buffering=1)
		self.lock = threading.Lock()
		self.sent_at = {}  # service_request_id -> when its answer came, for the latency of later stages
		self.latencies = []
		self.answered = 0
		self.retries = 0
		self.refused = []
		self.stop = threading.Event()

	def run(self, requests):
		"""Blocks until every request was answered or self.stop is set."""
		self.queue = iter(list(requests))
		self.next_at = time.monotonic()
		threads = [threading.Thread(target=self._worker, daemon=True) for _ in range(self.connections)]
		for t in threads:
			t.start()
		for t in threads:
			t.join()
		self.ledger.close()

	def _take(self):
		with self.lock:
			item = next(self.queue, None)
			at, self.next_at = self.next_at, self.next_at + 1 / self.rate
		if item is None or self.stop.wait(max(0, at - time.monotonic())):
			return None
		return item

	def _worker(self):
		connection = None
		while (item := self._take()) is not None:
			connection = self._until_answered(connection, *item)
			if self.stop.is_set():
				break

	def _until_answered(self, connection, key, form):
		started = time.monotonic()
		while not self.stop.is_set():
			try:
				if connection is None:
					connection = http.client.HTTPConnection(self.host, self.port, timeout=15)
				connection.request("POST", "/open311/v2/requests.json", urllib.parse.urlencode(form), {
					"Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
					"Authorization": "Bearer " + self.keys[form["jurisdiction_id"]],
					"Idempotency-Key": key,
				})
				answer = connection.getresponse()
				body = answer.read()
			except (OSError, http.client.HTTPException):
				connection = self._again(connection, 0.5)
				continue
			if answer.status in (503, 429):
				connection = self._again(connection, float(answer.headers.get("Retry-After") or 1), False)
				continue
			self._note(key, form, answer, body, started)
			return connection
		return connection

	def _again(self, connection, after, broken=True):
		with self.lock:
			self.retries += 1
		self.stop.wait(after)
		if broken and connection is not None:
			connection.close()
			return None
		return connection

	def _note(self, key, form, answer, body, started):
		now = time.monotonic()
		with self.lock:
			if answer.status != 200:
				self.refused.append((key, answer.status, body.decode(errors="replace")[:200]))
				return
			told = json.loads(body)[0]
			self.answered += 1
			self.latencies.append(now - started)
			self.sent_at[told["service_request_id"]] = time.time()
			self.ledger.write(json.dumps({
				"key": key, "jurisdiction_id": form["jurisdiction_id"],
				"service_request_id": told["service_request_id"], "email": form.get("email"),
				"language": form.get("language"), "code": answer.headers.get("Centraleta-Code"),
				"time": time.time(),
			}) + "\n")
