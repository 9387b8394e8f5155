"""intake.submit with full windows, beside a bare libpq program that sends the same statement with the same rows."""
import itertools
import time

import broker
import machine
import rows
from bench import load
from sides import Product, Store

NAME = "batch"
TITLE = "the native batch door: intake.submit, window 256 × 4 senders"
SECONDS = 10
QUEUES = ("quorum", "classic")
UNCONFIRMED = 2000


def submit(side, seconds):
	"""Fills four windows for so long."""
	side.sql("CHECKPOINT")
	stored, before, parts = side.rows(), side.cpu(), side.parts()
	flushes = machine.device_flushes(side.bench.temp)
	out = load(side.bench, "submit", f"ipc://{side.stack.runtime}/intake.submit", 4, 256, seconds, f"{time.time_ns():x}", side.forms)[-1]
	after, per = side.cpu(), 1e6 / out["answered"]
	stored = side.rows() - stored
	if stored < out["answered"] or out["refused"]:
		raise RuntimeError(f"{out}: {stored} stored")
	return {"rate": out["answered"] / out["seconds"], "p50_us": out["p50_us"], "p99_us": out["p99_us"], "busy": out["busy"],
		"load_cpu": out["cpu"], "server_us": (after[0] - before[0]) * per, "postgres_us": (after[1] - before[1]) * per,
		"cpu_us": (sum(after) - sum(before)) * per, "flushes": None if flushes is None else machine.device_flushes(side.bench.temp) - flushes,
		"answered": out["answered"], "parts_us": {n: round((at - parts[n]) * per, 1) for n, at in side.parts().items()}}


def run(bench):
	parts = []
	try:
		with bench.preparing():
			parts.append(product := Product(bench, kinds=("intake",)).start())
			parts.append(bare := Store(bench, "bare").start_store())
			parts.append(rabbit := broker.Rabbit(bench).start())
			submit(product, 4)
			libpq = bare_program(bench, product, bare)
			libpq(4)
			for kind in QUEUES:
				rabbit.publish(f"batch-{kind}", kind, 0, 2, UNCONFIRMED)
		sides = {"product": lambda: submit(product, SECONDS), "libpq": libpq}
		for kind in QUEUES:
			sides[kind] = lambda kind=kind: rabbit.publish(f"batch-{kind}", kind, 0, 6, UNCONFIRMED)
		report(bench, bench.pairs(sides))
	finally:
		for part in reversed(parts):
			part.stop()


def bare_program(bench, product, bare):
	"""Measures the same statement with rows that the product has stored."""
	template, sql = rows.accept_template(product), rows.statement("services/intake/queries.def", "QUERY_ACCEPT")
	firsts = itertools.count(time.time_ns() // 1000, 100_000_000)
	def measure(seconds=SECONDS):
		return rows.write(bench, product, bare, "centraleta_intake", template, sql, seconds, next(firsts))
	return measure


def report(bench, pairs):
	bench.ratio("rate ÷ a bare libpq program with the same statement and rows", pairs, "product", "libpq", "rate",
		must=">= 0.8", aim=">= 0.95", durable="both")
	bench.ratio("rate ÷ RabbitMQ quorum's best", pairs, "product", "quorum", "rate", durable="both")
	names = {"product": "intake.submit", "libpq": "bare libpq, 2 connections × 2 groups of 256", "quorum": "RabbitMQ quorum, 516 B, 2,000 unconfirmed",
		"classic": "RabbitMQ classic, 516 B, 2,000 unconfirmed"}
	for side, name in names.items():
		durable = "at its confirm; delivered before" if side == "classic" else "yes"
		bench.median(f"{name}: rate", pairs, side, "rate", "/s", durable=durable)
		bench.median(f"{name}: CPU a request", pairs, side, "cpu_us", "µs CPU", durable=durable, note="with the client's" if side == "libpq" else "")
	for side in ("product", "libpq"):
		bench.median(f"{names[side]}: of it PostgreSQL", pairs, side, "postgres_us", "µs CPU", durable="yes")
	bench.median("intake.submit: p50 with full windows", pairs, "product", "p50_us", "ms", scale=1e-3, durable="yes")
	bench.note(f"the sender took at most {max(p['product']['load_cpu'] for p in pairs):.0%} of a core")
