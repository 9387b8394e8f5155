"""Durable POSTs over 64 keep-alive connections, each with the whole work of intake inside."""
import machine
from sides import Bare, Peer, Product, posts, warm

NAME = "post"
TITLE = "POST to a durable answer, 64 keep-alive connections"
SECONDS = 10
UNLOADED = 3


def run(bench):
	sides = {}
	try:
		with bench.preparing():
			sides["product"] = Product(bench, kinds=("intake",)).start()
			sides["fastify"] = Peer(bench, "fastify", "fastify.mjs").start()
			sides["grouped"] = Peer(bench, "grouped", "fastify.mjs", env={"GROUP": "1"}).start()
			sides["bare"] = Bare(bench, sides["product"].forms)
			for side in sides.values():
				warm(side)
		loaded = bench.pairs({name: lambda side=side, name=name: posts(side, 4 if name == "bare" else SECONDS)
			for name, side in sides.items()})
		unloaded = bench.pairs({name: lambda side=side: posts(side, UNLOADED, connections=1)
			for name, side in sides.items() if name != "grouped"}, prefix="unloaded")
		report(bench, loaded, unloaded)
	finally:
		for side in sides.values():
			side.stop()


def report(bench, loaded, unloaded):
	disk = "row on disk"
	bench.ratio("CPU a POST ÷ fastify + pg", loaded, "product", "fastify", "cpu_us", must="<= 0.35", aim="<= 0.2", durable="both")
	bench.ratio("CPU a POST ÷ fastify + pg with group commit", loaded, "product", "grouped", "cpu_us", must="<= 0.9", aim="<= 0.75", durable="both")
	bench.ratio("rate ÷ fastify + pg", loaded, "product", "fastify", "rate", must=">= 2.5", aim=">= 4.5", durable="both")
	bench.ratio("rate ÷ fastify + pg with group commit", loaded, "product", "grouped", "rate", must=">= 1", aim=">= 1.4", durable="both")
	bench.ratio("rate ÷ a bare libevent answer", loaded, "product", "bare", "rate", aim=">= 0.65", durable="Centraleta")
	bench.ratio("unloaded POST → answer, p50 ÷ fastify + pg", unloaded, "product", "fastify", "p50_us", must="<= 0.6", aim="<= 0.4", durable="both")
	names = {"product": "Centraleta", "fastify": "fastify + pg", "grouped": "fastify + pg, group commit", "bare": "bare libevent"}
	for side, name in names.items():
		durable = "nothing" if side == "bare" else disk
		bench.median(f"{name}: rate", loaded, side, "rate", "/s", durable=durable)
		bench.median(f"{name}: CPU a POST, server", loaded, side, "server_us", "µs CPU", durable=durable)
		if side != "bare":
			bench.median(f"{name}: CPU a POST, PostgreSQL", loaded, side, "postgres_us", "µs CPU", durable=durable)
			bench.median(f"{name}: POSTs a device flush", [{side: {"n": p[side]["answered"] / max(p[side]["flushes"], 1)}} for p in loaded
				if p[side]["flushes"] is not None], side, "n", "POSTs", durable=durable)
		bench.median(f"{name}: p50 under this load", loaded, side, "p50_us", "ms", scale=1e-3, durable=durable)
		bench.median(f"{name}: p99 under this load", loaded, side, "p99_us", "ms", scale=1e-3, durable=durable)
		if side != "grouped":
			bench.median(f"{name}: unloaded POST → answer, p50", unloaded, side, "p50_us", "µs", durable=durable)
	busy = max(p["product"]["load_cpu"] for p in loaded)
	margin = min(p["bare"]["rate"] / p["product"]["rate"] for p in loaded)
	bench.note(f"the load generator took at most {busy:.0%} of a core against Centraleta, and reached {margin:.1f} times"
		" the rate against the bare answerer")
