"""From a citizen's POST to the subscriber's receipt, at steady rates."""
import statistics
import time

import broker
from sides import Peer, Product, posts, warm

NAME = "latency"
TITLE = "POST to the subscriber's receipt"
RATES = (500, 2000)
SECONDS = 6


def received(side, reader, rate):
	"""Posts at this rate; how long after each was due its work came to the subscriber."""
	ids = side.bench.temp / f"ids-{side.name}"
	before = reader.count()
	out = posts(side, SECONDS, rate, ids=ids)
	due = broker.times(ids)
	deadline = time.monotonic() + 20
	while reader.count() - before < len(due) and time.monotonic() < deadline:
		time.sleep(0.05)
	got = broker.times(reader.path)
	if missing := [i for i in due if i not in got]:
		raise RuntimeError(f"{side.name}: {len(missing)} of {len(due)} never came, for example {missing[0]}")
	took = sorted(got[i] - at for i, at in due.items())
	return {"p50_us": statistics.median(took), "p99_us": took[len(took) * 99 // 100], "answer_p50_us": out["p50_us"],
		"rate": out["rate"], "cpu_us": out["cpu_us"],
		"postgres_us": out["postgres_us"], "parts_us": out.get("parts_us")}


def run(bench):
	parts = []
	try:
		with bench.preparing():
			parts.append(product := Product(bench, mail_every=0).start())
			parts.append(rabbit := broker.Rabbit(bench).start())
			parts.append(peer := Peer(bench, "fastify", "fastify.mjs", env={"AMQP": rabbit.url()}, mail_every=0).start())
			parts.append(subscribers := broker.subscribe(bench, product))
			parts.append(consumer := broker.consume(bench, rabbit, "work", "quorum"))
			for side in (product, peer):
				warm(side, rate=1000)
			time.sleep(3)
		pairs = bench.pairs({f"{name}-{rate}": lambda s=side, r=reader, rate=rate: received(s, r, rate)
			for rate in RATES for name, side, reader in (("product", product, subscribers), ("fastify", peer, consumer))})
		report(bench, pairs)
	finally:
		for part in reversed(parts):
			part.stop()


def report(bench, pairs):
	for rate in RATES:
		bench.ratio(f"POST → receipt at {rate:,}/s, p50 ÷ fastify + pg + RabbitMQ quorum", pairs, f"product-{rate}",
			f"fastify-{rate}", "p50_us", must="<= 1", aim="<= 0.4", durable="both")
	for rate in RATES:
		for side, name in (("product", "Centraleta"), ("fastify", "fastify + pg + RabbitMQ quorum")):
			bench.median(f"{name}, {rate:,}/s: POST → receipt, p50", pairs, f"{side}-{rate}", "p50_us", "ms", scale=1e-3, durable="all stages")
			bench.median(f"{name}, {rate:,}/s: POST → receipt, p99", pairs, f"{side}-{rate}", "p99_us", "ms", scale=1e-3, durable="all stages")
			bench.median(f"{name}, {rate:,}/s: POST → answer, p50", pairs, f"{side}-{rate}", "answer_p50_us", "ms", scale=1e-3, durable="all stages")
	bench.note("Centraleta's way has five daemons and five durable stages; the peer's has an insert and a queue")
