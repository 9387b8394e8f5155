"""Admission: intake held to 1,000 requests a second, ten times as many offered for five minutes.

Accepted ones have to come as soon as ever, refused ones get a well-formed 503, and the process doesn't
grow. Then 500 a second come again, and all is as before within two seconds. Apart from that, intake
without a configured rate gets four thousand connections that each post again as soon as they are answered.
"""
import concurrent.futures
import threading
import time

import machine
from bench import load
from sides import Product, warm

NAME = "admission"
TITLE = "Admission: ten times the configured rate, and more than the machine can take"

HELD, OFFERED, SECONDS, INTERVAL = 1000, 10000, 300, 20
NORMAL, CONNECTIONS = 500, 128
FLOOD, FLOODS, FLOOD_CONNECTIONS, FLOOD_S = 20000, 2, 1000, 30
MIB = 1024


class Resident:
	"""The most resident memory of a process while it is watched."""

	def __init__(self, pid):
		self.pid, self.most, self.over = pid, machine.rss_kb(pid), threading.Event()
		self.thread = threading.Thread(target=self.watch, daemon=True)

	def watch(self):
		while not self.over.wait(0.5):
			self.most = max(self.most, machine.rss_kb(self.pid))

	def __enter__(self):
		self.thread.start()
		return self

	def __exit__(self, *_):
		self.over.set()
		self.thread.join()


def offer(side, rate, seconds, interval, connections=CONNECTIONS):
	return load(side.bench, "load", side.port, rate, seconds, connections, interval, f"{time.time_ns():x}", side.forms,
		timeout=seconds + 60)


def totals(lines):
	seconds = sum(m["seconds"] for m in lines)
	return {"taken": sum(m["answered"] for m in lines) / seconds, "refused": sum(m["refused"] for m in lines) / seconds,
		"refusals": sum(m["refused"] for m in lines), "strange": sum(m["strange"] + m["broken"] for m in lines),
		"p50_ms": max(m["p50_us"] for m in lines) / 1000, "p99_ms": max(m["p99_us"] for m in lines) / 1000,
		"load_cpu": max(m["cpu"] for m in lines)}


def held(side):
	intake = side.stack.daemons["intake"].process.pid
	offer(side, HELD * 0.9, 20, 20)
	before = offer(side, NORMAL, 5, 5)[0]
	resident = machine.rss_kb(intake)
	cpu = machine.cpu_seconds(intake)
	with Resident(intake) as watched:
		out = totals(offer(side, OFFERED, SECONDS, INTERVAL))
		out["intake_cpu"] = (machine.cpu_seconds(intake) - cpu) / SECONDS
		after = offer(side, NORMAL, 6, 1)
	out.update(resident_mib=resident / MIB, grown=watched.most / resident - 1, before_p99_ms=before["p99_us"] / 1000,
		after_p99_ms=[m["p99_us"] / 1000 for m in after], after_refused=[m["refused"] for m in after])
	return out


def flood(side):
	intake = side.stack.daemons["intake"].process.pid
	warm(side)
	resident = machine.rss_kb(intake)
	with Resident(intake) as watched, concurrent.futures.ThreadPoolExecutor(FLOODS) as pool:
		all_lines = pool.map(lambda _: offer(side, FLOOD / FLOODS, FLOOD_S, FLOOD_S, FLOOD_CONNECTIONS), range(FLOODS))
		parts = [totals(lines) for lines in all_lines]
	out = {k: sum(p[k] for p in parts) if k in ("taken", "refused", "refusals", "strange") else max(p[k] for p in parts)
		for k in parts[0]}
	out.update(resident_mib=resident / MIB, grown=watched.most / resident - 1)
	return out


def measure(bench, name, function, settings):
	side = Product(bench, name=name, settings={"intake.per_address_max": 8192, "intake.connections_max": 8192, **settings})

	def started():
		side.start()
		try:
			return function(side)
		finally:
			side.stop()
	return bench.round(name, {"product": started})["sides"]["product"]


def normal_again(h):
	"""Seconds until nothing is refused and p99 is at most twice what it was, or 5 ms more."""
	limit = max(2 * h["before_p99_ms"], h["before_p99_ms"] + 5)
	bad = [i for i, (p99, refused) in enumerate(zip(h["after_p99_ms"], h["after_refused"])) if refused or p99 > limit]
	return bad[-1] + 1 if bad else 0


def run(bench):
	f = measure(bench, "flood", flood, {})  # first: what follows takes so long that nothing else starts behind it
	h = measure(bench, "held", held, {"intake.rate_max": HELD})
	bench.result("accepted", h["taken"], "/s", note=f"{h['taken'] + h['refused']:,.0f}/s offered for {SECONDS} s over"
		f" {CONNECTIONS} connections, intake.rate_max = {HELD}")
	bench.result("accepted, p99", h["p99_ms"], "ms", must="<= 500", note=f"of the worst {INTERVAL} s")
	bench.result("accepted, p50", h["p50_ms"], "ms")
	bench.result("refusals that are not a well-formed 503", h["strange"], "", must="<= 0",
		note=f"of {h['refusals']:,}: Retry-After, content type, code, description")
	bench.result("resident memory of intake, growth", h["grown"] * 100, "%", must="<= 5", note=f"of {h['resident_mib']:.1f} MiB")
	bench.result("normal again after", normal_again(h), "s", must="<= 2", samples=h["after_p99_ms"],
		note=f"{NORMAL}/s; the samples are p99 of each second, {h['before_p99_ms']:.1f} ms before")
	bench.result("CPU of intake meanwhile", h["intake_cpu"] * 100, "%", note="of a core")
	bench.result("without a rate: offered", f["taken"] + f["refused"], "/s", note=f"{FLOODS * FLOOD_CONNECTIONS} connections, each posts again as soon as it is answered")
	bench.result("without a rate: accepted", f["taken"], "/s")
	bench.result("without a rate: accepted, p99", f["p99_ms"], "ms", must="<= 500")
	bench.result("without a rate: refusals that are not a well-formed 503", f["strange"], "", must="<= 0",
		note=f"of {f['refusals']:,}")
	bench.result("without a rate: resident memory of intake, growth", f["grown"] * 100, "%", note=f"of {f['resident_mib']:.1f} MiB")
