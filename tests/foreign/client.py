"""A foreign client in Python: pyzmq, protobuf and what protoc made of the .proto files, nothing else.

  client.py submit ENDPOINT KEYS PREFIX COUNT RATE CODE...    RATE 0: as fast as the window lets
  client.py open ENDPOINT KEYS                                stays until stdin ends
  client.py subscribe ENDPOINT KEYS CONSUMER                  writes work down, acknowledges; stdin ends: leaves
  client.py try ENDPOINT KEYS CONSUMER WHAT ARG               WHAT: hello, topic SLUG, update ITEM, ack DSEQ

KEYS is a file of three lines: the server's public key, the client's public and secret ones. What happens is
told line by line (tests/foreign/run reads it): client.mjs and client.c say the same. PROTO_PATH holds the modules
of protoc.
"""
import os
import sys
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

sys.path.insert(0, os.environ["PROTO_PATH"])
from centraleta.v1 import dispatch_pb2, event_pb2, intake_pb2  # noqa: E402

PING, PATIENCE, LIMIT = 1.0, 2.0, 15.0  # seconds


def tell(*words):
	print(*words, flush=True)


class Connection:
	"""A DEALER under CURVE, what its monitor says, and whether stdin has ended."""

	def __init__(self, endpoint, keys, make, frame):
		self.make, self.frame = make, frame
		self.socket = zmq.Context.instance().socket(zmq.DEALER)
		self.socket.linger, self.socket.sndtimeo = 1000, 1000
		with open(keys, "rb") as f:
			self.socket.curve_serverkey, self.socket.curve_publickey, self.socket.curve_secretkey = f.read().split()
		self.monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_DISCONNECTED)
		self.poller = zmq.Poller()
		for s in (self.socket, self.monitor, sys.stdin):
			self.poller.register(s, zmq.POLLIN)
		self.leaving = False
		self.socket.connect(endpoint)

	def say(self, **frame):
		try:
			self.socket.send(self.make(**frame).SerializeToString())
		except zmq.Again:
			pass  # there is no connection: the monitor says why

	def look(self):
		for e in iter(lambda: self.monitor.poll(0), 0):
			event = recv_monitor_message(self.monitor)
			if event["event"] == zmq.EVENT_DISCONNECTED:
				tell("closed")
			else:
				tell("denied", event["value"])
				sys.exit(3)

	def frames(self, seconds):
		"""What comes within the time; an empty list when nothing does."""
		ready = dict(self.poller.poll(seconds * 1000))
		if sys.stdin.fileno() in ready:
			self.poller.unregister(sys.stdin)
			self.leaving = True
		self.look()
		got = []
		while self.socket in ready and len(got) < 256 and self.socket.poll(0):
			got.append(self.frame.FromString(self.socket.recv()))
		return got


# ---- intake.submit --------------------------------------------------------------------------------------

class Submitter(Connection):
	def __init__(self, endpoint, keys):
		super().__init__(endpoint, keys, intake_pb2.SubmitterFrame, intake_pb2.IntakeFrame)
		self.window, self.asked = 0, 0

	def open(self):
		now = time.monotonic()
		if not self.window and now > self.asked + 1:
			self.asked = now
			self.say(open=intake_pb2.Open())

	def take(self, f):
		"""The frames that are about the connection; False: it is another one."""
		if f.HasField("opened"):
			self.window = f.opened.window
			tell("opened", f.opened.jurisdiction_id)
		elif f.HasField("refused"):
			tell("refused", f.refused.code)
			self.window = 0
			if f.refused.code != "not_open":
				sys.exit(3)
		else:
			return False
		return True


def submit(endpoint, keys, prefix, count, rate, *codes):
	c, todo, out, start = Submitter(endpoint, keys), list(range(int(count), 0, -1)), {}, time.monotonic()
	done, later, rate = 0, [], float(rate)

	def send(number):
		out[number] = time.monotonic()
		c.say(submit=intake_pb2.Submit(number=number, idempotency_key=f"{prefix}-{number}",
			service_code=codes[number % len(codes)], place=event_pb2.Place(lat=41.98, long=2.82),
			description=f"foreign {prefix} {number}"))

	while done < int(count):
		now = time.monotonic()
		c.open()
		for number in [n for n, at in later if at <= now]:
			later = [(n, at) for n, at in later if n != number]
			todo.append(number)
		for number in [n for n, at in out.items() if at < now - 10] if c.window else []:
			send(number)  # no answer: the connection was closed. The key makes it one request
		while todo and len(out) < c.window and (not rate or int(count) - len(todo) < (now - start) * rate):
			send(todo.pop())
		for f in c.frames(0.02 if rate else 0.2):
			if c.take(f):
				continue
			if f.HasField("busy"):
				if out.pop(f.busy.number, None):
					later.append((f.busy.number, now + f.busy.retry_after_ms / 1000))
			elif f.HasField("accepted") and out.pop(f.accepted.number, None):
				tell("accepted", f.accepted.number, f.accepted.service_request_id)
				done += 1
			elif f.HasField("rejected") and out.pop(f.rejected.number, None):
				tell("rejected", f.rejected.number, f.rejected.errors[0].field, f.rejected.errors[0].code)
				done += 1
	tell("done", done)


def hold(endpoint, keys):
	c = Submitter(endpoint, keys)
	while not c.leaving:
		c.open()
		for f in c.frames(0.2):
			c.take(f)


# ---- dispatch.work --------------------------------------------------------------------------------------

class Department(Connection):
	def __init__(self, endpoint, keys, consumer, services=()):
		super().__init__(endpoint, keys, dispatch_pb2.DepartmentFrame, dispatch_pb2.DispatchFrame)
		self.consumer, self.services, self.said, self.retry = consumer, list(services), 0, 0
		self.hello()

	def hello(self):
		self.live = False
		self.retry = time.monotonic() + 3
		self.say(hello=dispatch_pb2.Hello(consumer=self.consumer, services=self.services))

	def tick(self):
		now = time.monotonic()
		if not self.live and now > self.retry:
			self.hello()
		if self.live and now > self.said + PING:
			self.said = now
			self.say(ping=dispatch_pb2.DepartmentPing())

	def take(self, f):
		kind = f.WhichOneof("frame")
		if kind == "welcome":
			self.live, self.generation = True, f.welcome.generation
			tell("welcome", f.welcome.position, f.welcome.newest)
		elif kind == "refused" and f.refused.code == "not_hello":
			self.hello()  # the connection is a new one
		elif kind == "refused" and f.refused.retry_after_ms:
			self.live, self.retry = False, time.monotonic() + f.refused.retry_after_ms / 1000
		elif kind == "refused":
			tell("refused", f.refused.code, int(f.refused.final), f.refused.reason)
			self.live = self.live and not f.refused.final
			self.retry = float("inf") if f.refused.final else self.retry
		elif kind in ("fenced", "gone"):
			tell(kind)
		return kind


def subscribe(endpoint, keys, consumer):
	c, position, last = Department(endpoint, keys, consumer), 0, 0
	while not (c.leaving and position >= last):
		c.tick()
		works = []
		for f in c.frames(0.2):
			kind = c.take(f)
			if kind == "welcome":
				position = last = f.welcome.position
				c.say(credit=dispatch_pb2.Credit(more=f.welcome.credit_max))
			elif kind == "ack_stored":
				position = f.ack_stored.position
			elif kind == "work":
				works.append(f.work)
		for w in works:
			tell("work", w.dseq, w.prev, int(w.redelivered), w.service_request_id, w.topic, w.work_item)
			last = max(last, w.dseq)
		if works:  # written down first
			c.say(ack=dispatch_pb2.Ack(generation=works[0].generation,
				ranges=[dispatch_pb2.DseqRange(first=w.dseq, last=w.dseq) for w in works]))
			if not c.leaving:
				c.say(credit=dispatch_pb2.Credit(more=len(works)))
	c.say(bye=dispatch_pb2.Bye())
	tell("left", position)


def attempt(endpoint, keys, consumer, what, arg):
	c = Department(endpoint, keys, consumer, [arg] if what == "topic" else [])
	end = time.monotonic() + LIMIT
	while time.monotonic() < end:
		c.tick()
		for f in c.frames(0.2):
			kind = c.take(f)
			if kind == "welcome":
				end = time.monotonic() + PATIENCE
				if what == "update":
					c.say(update=dispatch_pb2.Update(update_id=f"{consumer}-{arg}", work_item=int(arg),
						kind=dispatch_pb2.UPDATE_KIND_ACCEPT))
				elif what == "ack":
					c.say(ack=dispatch_pb2.Ack(generation=c.generation,
						ranges=[dispatch_pb2.DseqRange(first=1, last=int(arg))]))
			elif kind in ("update_stored", "ack_stored", "work"):
				tell(kind)
			elif kind == "refused" and not f.refused.retry_after_ms and (c.live or f.refused.final):
				return
	tell("nothing")


if __name__ == "__main__":
	{"submit": submit, "open": hold, "subscribe": subscribe, "try": attempt}[sys.argv[1]](*sys.argv[2:])
