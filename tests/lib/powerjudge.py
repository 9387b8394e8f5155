"""Holds what was told to the outside against what the store has after a power cut.

The facts: Told, read from the files of tests/lib/load.py and tests/lib/witness.py, and Frames, heard on
the daemons' bus. The store is read through psycopg2. Nothing here knows how the cut was made.
"""
import collections
import hashlib
import threading
import time

import psycopg2
import zmq

import ledgers

RECEIVED = 1


class Frames(threading.Thread):
	"""Hears every committed frame: {(lane, seq): what the number means}."""

	def __init__(self, wire_pb2, endpoints):
		super().__init__(daemon=True)
		self.pb, self.meaning, self.twofold, self.ending = wire_pb2, {}, set(), False
		self.poller, self.sockets = zmq.Poller(), []
		for endpoint in endpoints:
			s = zmq.Context.instance().socket(zmq.SUB)
			s.setsockopt(zmq.RCVHWM, 100000)
			s.connect(endpoint)
			s.subscribe(b"lane/")
			self.poller.register(s, zmq.POLLIN)
			self.sockets.append(s)

	def run(self):
		while not self.ending:
			for s, _ in self.poller.poll(100):
				frame = self.pb.WireFrame.FromString(s.recv_multipart()[1])
				if frame.HasField("committed"):
					self.take(frame.committed)
		for s in self.sockets:
			s.close(linger=0)

	def take(self, c):
		for i, e in enumerate(c.events):
			key = (c.lane, c.first_seq + i)
			said = (e.order_key, e.key_version, e.type, hashlib.md5(e.body).hexdigest())
			if self.meaning.setdefault(key, said) != said:
				self.twofold.add(key)

	def stop(self):
		self.ending = True
		self.join()


class Told:
	"""What the clients of the HTTP door and the departments had been told when this was made."""

	def __init__(self, requests, departments, frames):
		"""departments: {(town, department): its files' path without an ending}; requests: path."""
		self.requests = ledgers.read(requests)
		self.deliveries, self.twofold = {}, set()
		self.acknowledged, self.position, self.updates = set(), {}, {}
		self.frames, self.frames_twofold = {}, set()
		for f in frames:
			for key, said in list(f.meaning.items()):
				if self.frames.setdefault(key, said) != said:
					self.frames_twofold.add(key)
			self.frames_twofold |= f.twofold
		for who, path in departments.items():
			for line in ledgers.read(path.with_suffix(".told")):
				self._take(who, line)
			for line in ledgers.read(path.with_suffix(".jsonl")):
				if "update_id" in line:
					self.updates[(*who, line["update_id"])] = None

	def _take(self, who, line):
		if "dseq" in line:
			key = (*who, line["dseq"])
			said = (line["prev"], line["kind"], line["work_item"], int(line["service_request_id"]), line["service_code"])
			if self.deliveries.setdefault(key, said) != said:
				self.twofold.add(key)
		else:
			self.position[who] = max(self.position.get(who, 0), line["position"])
			for first, last in line["stored"]:
				self.acknowledged.update((*who, dseq) for dseq in range(first, last + 1))

	def __str__(self):
		return (f"{len(self.requests)} requests, {len(self.deliveries)} deliveries, {len(self.acknowledged)}"
			f" acknowledgements, {len(self.updates)} updates and {len(self.frames)} events told")


# what must be 0 at every moment, also a moment after recovery
ALWAYS = (
	("gaps in a lane", "SELECT count(*) FROM (SELECT seq - coalesce(lag(seq) OVER (PARTITION BY lane ORDER BY seq), 0) AS d"
		" FROM event) x WHERE d <> 1"),
	("keys whose versions have a gap", "SELECT count(*) FROM (SELECT 1 FROM event WHERE key_version IS NOT NULL"
		" GROUP BY lane, order_key HAVING max(key_version) <> count(*)) x"),
	("consumers beyond their lane's newest", "SELECT count(*) FROM progress p WHERE seq > coalesce((SELECT max(e.seq)"
		" FROM event e WHERE e.lane = p.lane), 0)"),
	("steps with a gap", "SELECT count(*) FROM (SELECT step - lag(step) OVER (PARTITION BY consumer, lane ORDER BY step)"
		" AS d FROM progress) x WHERE d <> 1"),
	("gaps in a department's stream", "SELECT count(*) FROM (SELECT 1 FROM delivery GROUP BY department"
		" HAVING max(dseq) <> count(*)) x"),
	("acknowledgements beyond a department's newest", "SELECT count(*) FROM delivery_ack a WHERE last > coalesce((SELECT"
		" max(dseq) FROM delivery d WHERE d.department = a.department), 0)"),
	("requests without all their rows", "SELECT count(*) FROM request r WHERE NOT EXISTS (SELECT 1 FROM request_text t"
		" WHERE (t.lane, t.request) = (r.lane, r.request)) OR NOT EXISTS (SELECT 1 FROM request_public t"
		" WHERE (t.lane, t.request) = (r.lane, r.request)) OR NOT EXISTS (SELECT 1 FROM event e WHERE e.lane = r.lane"
		f" AND e.order_key = r.request AND e.type = {RECEIVED})"),
	("requests received twice", f"SELECT count(*) FROM (SELECT 1 FROM event WHERE type = {RECEIVED} GROUP BY order_key"
		" HAVING count(*) > 1) x"),
	("requests routed twice", "SELECT count(*) FROM (SELECT 1 FROM route GROUP BY request HAVING count(*) > 1) x"),
	("requests with two work items", "SELECT count(*) FROM (SELECT 1 FROM work_request GROUP BY request"
		" HAVING count(*) > 1) x"),
	("idempotency keys without their request", "SELECT count(*) FROM idempotency i WHERE NOT EXISTS (SELECT 1"
		" FROM request r WHERE r.lane = i.request_lane AND r.request = i.request)"),
	("events without their request", f"SELECT count(*) FROM event e WHERE type = {RECEIVED} AND NOT EXISTS (SELECT 1"
		" FROM request r WHERE r.lane = e.lane AND r.request = e.order_key)"),
	("work items without exactly one delivery", "SELECT count(*) FROM work_item w WHERE (SELECT count(*) FROM delivery d"
		" WHERE d.work_lane = w.lane AND d.work_item = w.work_item) <> 1"),
)

# what must be 0 when all has settled
SETTLED = (
	("requests not closed", "SELECT count(*) FROM request_public WHERE state <> 5"),
	("requests without a route", "SELECT count(*) FROM request r WHERE NOT EXISTS (SELECT 1 FROM route t"
		" WHERE (t.lane, t.request) = (r.lane, r.request))"),
	("requests without a delivery", "SELECT count(*) FROM request r WHERE NOT EXISTS (SELECT 1 FROM work_request w"
		" JOIN delivery d ON (d.work_lane, d.work_item) = (w.lane, w.work_item) WHERE w.request = r.request)"),
	("parked events", "SELECT count(*) FROM parked"),
	("consumers behind", """SELECT count(*) FROM (SELECT lane, max(seq) AS seq FROM event GROUP BY lane) h
		JOIN (SELECT DISTINCT ON (consumer, lane) consumer, lane, seq FROM progress WHERE consumer IN ('intake',
		'routing', 'dispatch', 'notification', 'analytics') ORDER BY consumer, lane, step DESC) p USING (lane)
		WHERE p.seq < h.seq"""),
)


class Store:
	"""All of it in memory, at one moment."""

	def __init__(self, dsn):
		self.connection = psycopg2.connect(dsn, options="-c search_path=centraleta,public")
		self.connection.autocommit = True
		self.keys = {k: r for k, r in self.rows("SELECT key, request FROM idempotency")}
		self.requests = self.set("SELECT request FROM request")
		self.texts = self.set("SELECT request FROM request_text")
		self.received = self.set(f"SELECT order_key FROM event WHERE type = {RECEIVED}")
		self.events = {r[:2]: r[2:] for r in self.rows(
			"SELECT lane, seq, order_key, coalesce(key_version, 0), type, md5(body) FROM event")}
		self.deliveries = {r[:3]: r[3:] for r in self.rows("""SELECT j.slug, p.slug, d.dseq, d.prev, d.kind, d.work_item,
			w.request, s.service_code, d.key_version FROM delivery d JOIN department p USING (department)
			JOIN jurisdiction j ON j.jurisdiction = p.jurisdiction JOIN service s ON s.service = d.service
			LEFT JOIN work_request w ON (w.lane, w.work_item) = (d.work_lane, d.work_item)""")}
		self.updates = set(self.rows("SELECT j.slug, p.slug, u.update_id FROM update_text u JOIN department p"
			" USING (department) JOIN jurisdiction j ON j.jurisdiction = p.jurisdiction"))
		self.acks = collections.defaultdict(list)
		for town, department, first, last in self.rows("""SELECT j.slug, p.slug, first, last FROM delivery_ack a
				JOIN department p USING (department) JOIN jurisdiction j ON j.jurisdiction = p.jurisdiction"""):
			self.acks[(town, department)].append((first, last))

	def rows(self, sql):
		with self.connection.cursor() as q:
			q.execute(sql)
			return q.fetchall()

	def set(self, sql):
		return {r[0] for r in self.rows(sql)}

	def number(self, sql):
		return self.rows(sql)[0][0]

	def close(self):
		self.connection.close()


class Judge:
	"""wrong: lines; lost: {what: how many of what was told aren't there}."""

	def __init__(self):
		self.wrong, self.lost = [], collections.Counter()

	def missing(self, what, which):
		if which:
			self.lost[what] += len(which)
			self.wrong.append(f"{what}: {len(which)} told and lost, for example {sorted(which)[:4]}")

	def changed(self, what, told, stored):
		"""Numbers that are there and mean another thing."""
		which = [(key, told[key], stored[key]) for key in told if key in stored and stored[key] != told[key]]
		if which:
			self.lost[what] += len(which)
			self.wrong.append(f"{what}: {len(which)} numbers have two meanings, for example {which[0]}")

	def told(self, told, store, cut_at):
		ids = {int(t["service_request_id"]): t for t in told.requests}
		lost = {i for i, t in ids.items() if store.keys.get(t["key"]) != i or i not in store.requests
			or i not in store.texts or i not in store.received}
		self.missing("requests", lost)
		if lost:
			self.wrong.append(f"requests: {len(ids)} told; the lost were answered"
				f" {cut_at - max(ids[i]['time'] for i in lost):.3f} to {cut_at - min(ids[i]['time'] for i in lost):.3f} s"
				" before the cut")
		deliveries = {key: said[:5] for key, said in store.deliveries.items()}
		self.missing("deliveries", set(told.deliveries) - set(deliveries))
		self.changed("deliveries", told.deliveries, deliveries)
		self.missing("updates", set(told.updates) - store.updates)
		self.missing("acknowledgements", {key for key in told.acknowledged if not self.covered(key[2], store.acks[key[:2]])}
			| {(*who, position) for who, position in told.position.items() if not self.covered(position, store.acks[who])})
		self.missing("published events", set(told.frames) - set(store.events))
		self.changed("published events", told.frames, store.events)
		for what, twofold in (("deliveries", told.twofold), ("published events", told.frames_twofold)):
			if twofold:
				self.wrong.append(f"{what}: {len(twofold)} numbers were told with two meanings, for example {sorted(twofold)[:3]}")

	@staticmethod
	def covered(dseq, ranges):
		return dseq == 0 or any(first <= dseq <= last for first, last in ranges)

	def always(self, store):
		for what, sql in ALWAYS:
			if n := store.number(sql):
				self.wrong.append(f"{what}: {n}")

	def settled(self, store):
		for what, sql in SETTLED:
			if n := store.number(sql):
				self.wrong.append(f"{what}: {n}")

	def grown(self, before, after):
		"""What a store had stays as it was."""
		for what, old, new in (("events", before.events, after.events), ("deliveries", before.deliveries, after.deliveries),
				("idempotency keys", before.keys, after.keys)):
			self.missing(f"{what} of the copy", set(old) - set(new))
			self.changed(f"{what} of the copy", old, new)

	def again(self, told, told_again, sent):
		"""Every key that was posted again has its answer, and the one that it had."""
		first = {t["key"]: t["service_request_id"] for t in told}
		second = {t["key"]: t["service_request_id"] for t in told_again}
		self.changed("repeated keys", first, second)
		if len(second) < sent:
			self.wrong.append(f"{sent - len(second)} of {sent} requests posted after the cut were not answered")
		if len(set(second.values())) < len(second):
			self.wrong.append("two keys were answered with one request")


def wait_settled(dsn, seconds):
	"""How long it took; None where it did not."""
	c = psycopg2.connect(dsn, options="-c search_path=centraleta,public")
	c.autocommit = True
	sql = "SELECT " + " + ".join(f"({s})" for _, s in SETTLED)
	started = time.monotonic()
	try:
		while time.monotonic() - started < seconds:
			with c.cursor() as q:
				q.execute(sql)
				if q.fetchone()[0] == 0:
					return time.monotonic() - started
			time.sleep(0.3)
		return None
	finally:
		c.close()
