"""One screen of what happens: counts and latency of each stage, once a second.

On a terminal the screen is drawn anew; elsewhere a line is printed every five seconds.
"""
import json
import pathlib
import sys
import threading
import time


def quantile(values, q):
	values = sorted(values)
	return values[min(len(values) - 1, int(q * len(values)))] if values else None


def ms(seconds):
	return "-" if seconds is None else f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


class WorkFiles:
	"""Reads what subscribers append, and when each request arrived there."""

	def __init__(self, folders):
		self.paths, self.offsets = folders, {}
		self.received, self.updates, self.count = {}, 0, 0
		self.arrived = {}

	def read(self):
		for folder in self.paths:
			for path in pathlib.Path(folder).glob("*.jsonl"):
				with open(path, encoding="utf-8") as f:
					f.seek(self.offsets.get(path, 0))
					while (line := f.readline()).endswith("\n"):
						self.take(json.loads(line))
						self.offsets[path] = f.tell()

	def take(self, row):
		if "dseq" in row:
			self.count += 1
			self.arrived.setdefault(row["service_request_id"], row["time"])
		else:
			self.updates += 1


class View(threading.Thread):
	def __init__(self, replay, work, survey, total, addresses):
		super().__init__(daemon=True)
		self.replay, self.work, self.survey, self.total = replay, work, survey, total
		self.addresses = addresses
		self.stopping = threading.Event()
		self.tty = sys.stdout.isatty()
		self.started = time.monotonic()

	def rows(self):
		sent = dict(self.replay.sent_at)
		way = [self.work.arrived[r] - at for r, at in sent.items() if r in self.work.arrived]
		mails = list(self.survey.mails)
		latencies = list(self.replay.latencies)
		return [
			("POST answered", self.replay.answered, latencies, f"{self.replay.retries} tried again"),
			("work at the departments", len(self.work.arrived), way, "from the answer on"),
			("updates stored", self.work.updates, [], "accepted, in progress, resolved"),
			("mails: received", sum(m[0] == "received" for m in mails), [], "one citizen in ten"),
			("mails: resolved", sum(m[0] == "resolved" for m in mails), [], ""),
			("surveys answered", self.survey.answered, [], ""),
		]

	def text(self):
		lines = [f"Centraleta: {self.total} real requests of two towns, {time.monotonic() - self.started:.0f} s", "",
			f"{'stage':26}{'count':>8}{'p50':>10}{'p99':>10}"]
		for name, count, values, remark in self.rows():
			lines.append(f"{name:26}{count:8}{ms(quantile(values, .5)):>10}{ms(quantile(values, .99)):>10}  {remark}")
		return "\n".join(lines + [""] + self.addresses)

	def show(self):
		self.work.read()
		if self.tty:
			print("\x1b[H\x1b[2J" + self.text(), flush=True)
		else:
			print(f"{time.monotonic() - self.started:4.0f} s  " + ", ".join(f"{n} {c}" for n, c, _, _ in self.rows()),
				flush=True)

	def run(self):
		while not self.stopping.wait(1 if self.tty else 5):
			self.show()

	def stop(self):
		self.stopping.set()
		self.join(10)
		self.work.read()
		print(self.text(), flush=True)
