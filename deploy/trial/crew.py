#!/usr/bin/python3
"""All departments of a town in one process: each with its own connection, key and file.

What docs/examples/subscriber.py does for one department. A file holds what was received, written
before it is acknowledged, so any restart goes on where it stopped.
usage: crew.py PROTO_DIR ENDPOINT[,ENDPOINT…] FOLDER ACCEPT PROGRESS RESOLVE, the last three in seconds;
FOLDER holds <department>.key and gets <department>.jsonl. Of several endpoints the next is tried when
one is silent, and the one that `elsewhere` names when it says so.
"""
import heapq
import json
import pathlib
import sys
import time

import zmq

NOTES = {"resolve": "The work is done: thank you for telling us."}


class Department:
	def __init__(self, pb, context, endpoint, key_file, delays):
		self.pb, self.context = pb, context
		self.endpoints = endpoint.split(",")
		self.endpoint = self.endpoints[0]
		self.name = key_file.stem
		self.key = key_file.read_text().strip()
		self.delays = delays
		self.seen, self.settled, self.due, self.number = set(), set(), [], 0
		self.open = {}  # update_id -> when it was said; no more than the daemon said it takes
		self.updates_max = 8
		path = key_file.with_suffix(".jsonl")
		self.out = open(path, "a+", encoding="utf-8")
		self.out.truncate(path.read_bytes().rfind(b"\n") + 1)
		for line in map(json.loads, path.read_text().splitlines()):
			self.settled.add(line["update_id"]) if "update_id" in line else self.plan(line)
		self.socket = None
		self.connect()

	def connect(self):
		if self.socket is not None:
			self.socket.close(linger=0)
		self.socket = self.context.socket(zmq.DEALER)
		self.socket.connect(self.endpoint)
		self.heard = self.said = time.time()
		self.beat = 2
		self.asked = True
		self.say(hello=self.pb.Hello(api_key=self.key, consumer="crew"))

	def say(self, **frame):
		self.said = time.time()
		self.socket.send(self.pb.DepartmentFrame(**frame).SerializeToString())

	def plan(self, row):
		self.seen.add(row["dseq"])
		before = None
		for kind, after in self.delays.items():
			update = self.pb.Update(update_id=f"{row['work_item']}.{kind}", work_item=row["work_item"],
				kind=f"UPDATE_KIND_{kind.upper()}", note=NOTES.get(kind, ""),
				outcome="OUTCOME_DONE" if kind == "resolve" else None)
			self.push(row["time"] + after, update, before)
			before = update.update_id

	def push(self, at, update, before):
		self.number += 1
		heapq.heappush(self.due, (at, self.number, update, before))

	def read(self):
		work = []
		while len(work) < 256:
			try:
				frame = self.pb.DispatchFrame.FromString(self.socket.recv(zmq.NOBLOCK))
			except zmq.Again:
				break
			self.heard, self.asked = time.time(), False
			if frame.HasField("work"):
				work.append(frame.work)
			else:
				self.take(frame)
		if work:
			self.keep(work)

	def keep(self, work):
		for w in work:
			if w.dseq in self.seen:
				continue
			row = {"dseq": w.dseq, "work_item": w.work_item, "service_request_id": w.service_request_id,
				"topic": w.topic, "time": time.time()}
			self.out.write(json.dumps(row) + "\n")
			self.plan(row)
		self.out.flush()
		self.say(ack=self.pb.Ack(generation=work[0].generation,
			ranges=[self.pb.DseqRange(first=w.dseq, last=w.dseq) for w in work]))
		self.say(credit=self.pb.Credit(more=len(work)))

	def take(self, frame):
		if frame.HasField("welcome"):
			self.beat = frame.welcome.heartbeat_ms / 1000
			self.updates_max = frame.welcome.updates_max or 8
			self.say(credit=self.pb.Credit(more=frame.welcome.credit_max))
		elif frame.HasField("update_stored"):
			self.open.pop(frame.update_stored.update_id, None)
			if frame.update_stored.update_id not in self.settled:
				self.settled.add(frame.update_stored.update_id)
				self.out.write(json.dumps({"update_id": frame.update_stored.update_id}) + "\n")
				self.out.flush()
		elif frame.HasField("refused"):
			r = frame.refused
			self.open.pop(r.update_id, None)
			if r.update_id and not r.retry_after_ms:
				print(self.name, r.code, r.reason, r.update_id, file=sys.stderr, flush=True)
				self.settled.add(r.update_id)
			elif r.final or r.code == "not_hello":
				if r.code == "elsewhere":
					self.endpoint = r.reason if r.reason in self.endpoints else self.next_endpoint()
				self.heard = time.time() - 3 * self.beat + (r.retry_after_ms / 1000 or 0.2)

	def turn(self, now):
		self.open = {u: at for u, at in self.open.items() if now - at < 5}
		while self.due and self.due[0][0] <= now and len(self.open) < self.updates_max:
			_, _, update, before = heapq.heappop(self.due)
			if update.update_id in self.settled:
				continue
			if before is not None and before not in self.settled or update.update_id in self.open:
				self.push(now + 0.1, update, before)  # in its order
				continue
			self.push(now + 5, update, before)  # again, if no answer comes
			self.open[update.update_id] = now
			self.say(update=update)
		if now - self.said > self.beat:
			self.say(ping=self.pb.DepartmentPing())
		if now - self.heard > 3 * self.beat:
			if self.asked:  # nobody answered since we connected
				self.endpoint = self.next_endpoint()
			self.open.clear()
			self.connect()

	def next_endpoint(self):
		return self.endpoints[(self.endpoints.index(self.endpoint) + 1) % len(self.endpoints)]


def main(proto_dir, endpoint, folder, *delays, kind=Department):
	sys.path.insert(0, proto_dir)
	from centraleta.v1 import dispatch_pb2 as pb
	context, poller = zmq.Context(), zmq.Poller()
	context.setsockopt(zmq.MAX_SOCKETS, 4096)
	after = dict(zip(("accept", "progress", "resolve"), map(float, delays)))
	crew = [kind(pb, context, endpoint, f, after) for f in sorted(pathlib.Path(folder).glob("*.key"))]
	for d in crew:
		poller.register(d.socket, zmq.POLLIN)
	while True:
		ready = dict(poller.poll(50))
		now = time.time()
		for d in crew:
			if d.socket in ready:
				d.read()
			old = d.socket
			d.turn(now)
			if d.socket is not old:
				poller.unregister(old)
				poller.register(d.socket, zmq.POLLIN)


if __name__ == "__main__":
	if len(sys.argv) != 7:
		sys.exit(__doc__)
	try:
		main(*sys.argv[1:])
	except KeyboardInterrupt:
		pass
