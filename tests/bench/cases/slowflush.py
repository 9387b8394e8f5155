"""The same with 2 ms more for each flush, as on an ordinary disk: of PostgreSQL and of RabbitMQ."""
import os
import pathlib
import shutil

import broker
from sides import Peer, Product, posts, warm

NAME = "slowflush"
TITLE = "with 2 ms added to each flush"
SECONDS = 8
STEADY = 2000


class Slow:
	"""What is started inside flushes slowly."""

	def __init__(self, bench):
		# where the user postgres can read it
		self.library = shutil.copy(bench.program("libslow_flush.so"), bench.temp)

	def __enter__(self):
		os.environ.update(LD_PRELOAD=self.library, SLOW_FLUSH_US="2000")

	def __exit__(self, *_):
		del os.environ["LD_PRELOAD"], os.environ["SLOW_FLUSH_US"]


def check(*pids):
	for pid in pids:
		if "libslow_flush" not in pathlib.Path(f"/proc/{pid}/maps").read_text():
			raise RuntimeError(f"process {pid} flushes as ever")


def run(bench):
	parts, sides = [], {}
	try:
		with bench.preparing(), Slow(bench):
			sides["product"] = Product(bench, kinds=("intake",))
			sides["fastify"] = Peer(bench, "fastify", "fastify.mjs")
			sides["grouped"] = Peer(bench, "grouped", "fastify.mjs", env={"GROUP": "1"})
			for side in sides.values():
				parts.append(side.start())
			parts.append(rabbit := broker.Rabbit(bench, env={n: os.environ[n] for n in ("LD_PRELOAD", "SLOW_FLUSH_US")}).start())
			check(rabbit.process.pid, *(side.stack.cluster.process.pid for side in sides.values()))
			for side in sides.values():
				warm(side)
			rabbit.publish("slow-classic", "classic", STEADY, 2, 10000)
		measures = {name: lambda side=side: posts(side, SECONDS) for name, side in sides.items()}
		measures["product-steady"] = lambda: posts(sides["product"], SECONDS, STEADY)
		for kind in ("classic", "quorum"):
			measures[kind] = lambda kind=kind: rabbit.publish(f"slow-{kind}", kind, STEADY, SECONDS, 10000)
		report(bench, bench.pairs(measures))
	finally:
		for part in reversed(parts):
			part.stop()


def report(bench, pairs):
	bench.ratio("rate ÷ fastify + pg", pairs, "product", "fastify", "rate", must=">= 2.5", aim=">= 4.5", durable="both")
	bench.ratio("rate ÷ fastify + pg with group commit", pairs, "product", "grouped", "rate", durable="both")
	bench.ratio(f"p50 of the POST at {STEADY:,}/s ÷ RabbitMQ classic's confirm", pairs, "product-steady", "classic", "p50_us",
		must="<= 1.2", aim="<= 1", durable="both")
	for side, name in (("product", "Centraleta"), ("fastify", "fastify + pg"), ("grouped", "fastify + pg, group commit")):
		bench.median(f"{name}: rate", pairs, side, "rate", "/s", durable="row on disk")
		bench.median(f"{name}: CPU a POST", pairs, side, "cpu_us", "µs CPU", durable="row on disk")
		bench.median(f"{name}: p50 at this rate", pairs, side, "p50_us", "ms", scale=1e-3, durable="row on disk")
	for side, name in (("product-steady", "Centraleta"), ("classic", "RabbitMQ classic's confirm"), ("quorum", "RabbitMQ quorum's confirm")):
		for q in ("p50", "p99"):
			bench.median(f"{name} at {STEADY:,}/s: {q}", pairs, side, f"{q}_us", "ms", scale=1e-3,
				durable="at its confirm; delivered before" if side == "classic" else "yes")
