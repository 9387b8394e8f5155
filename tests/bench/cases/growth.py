"""Growth: what a request costs with ten thousand and with a million stored.

tests/bench/generate.py makes both once, each in a data directory of its own that is kept in
tests/bench/results/growth-data. A repetition takes a fresh copy of the small one, so it stays small. Ten
millions take 50 GB and half an hour to make: `mkdir tests/bench/results/growth-data/x1000` asks for them.
"""
import http.client
import json
import shutil
import subprocess
import sys
import time
import urllib.parse

import machine
from bench import ROOT, RESULTS
from sides import POSTGRES
from stack import TOWNS
from suite import Suite

sys.path.insert(0, str(ROOT / "tests" / "bench"))
import generate
from cluster import Cluster

NAME = "growth"
TITLE = "Growth: with many stored requests against 10,000"
DATA = RESULTS / "growth-data"
SIZES = {"10 k": 1, "1 M": 100, **({"10 M": 1000} if (DATA / "x1000").exists() else {})}
RATE, SECONDS, READS, CAUGHT_UP = 300, 20, 300, 6000


def folder(n):
	return DATA / f"x{n}"


def prepare(bench):
	"""The data directories that aren't there yet; says how large each is."""
	DATA.mkdir(parents=True, exist_ok=True)
	DATA.chmod(0o755)
	first = DATA / "first"
	with machine.alone(shared=True) as waited:
		bench.waited += waited
		began = time.monotonic()
		if not (first / "made").exists():
			shutil.rmtree(first, ignore_errors=True)
			generate.make(first, bench.build, POSTGRES)
			(first / "made").touch()
		for n in SIZES.values():
			if (folder(n) / "made").exists():
				continue
			shutil.rmtree(folder(n), ignore_errors=True)
			subprocess.run(["cp", "-a", first, folder(n)], check=True)
			(folder(n) / "made").unlink()
			with Cluster(folder=str(folder(n) / "stack" / "postgres")) as c:
				generate.multiply(c, n, bench.say)
			(folder(n) / "made").touch()
		bench.waited += time.monotonic() - began  # made once, measured never


class Sized(Suite):
	"""The suite on a data directory of that size."""

	def __init__(self, bench, name, n):
		where = folder(n)
		if n == 1:
			where = bench.temp / "small"
			subprocess.run(["cp", "-a", folder(1), where], check=True)
		super().__init__(where, bench.build, postgres=POSTGRES)
		self.name, self.n = name, n

	def psql(self, sql):
		return self.stack.cluster.psql(sql)

	def stop(self):
		super().stop()
		if self.n == 1:
			shutil.rmtree(self.folder)


def whole_way(suite):
	"""CPU a request, POST to acknowledgement, at a steady rate."""
	suite.load(RATE, 3, f"w{time.time_ns():x}").communicate()
	before = suite.cpu()
	out, _ = suite.load(RATE, SECONDS, f"g{time.time_ns():x}", interval=SECONDS + 11).communicate()
	after = suite.cpu()
	m = json.loads(out.splitlines()[-1])
	us = {k: (after[k] - before[k]) * 1e6 / m["answered"] for k in after}
	return {"cpu_us": sum(us.values()), "daemons_us": us["daemons"], "postgres_us": us["PostgreSQL"],
		"p50_us": m["p50_us"], "p99_us": m["p99_us"], "refused": m["refused"]}


class Reader:
	def __init__(self, suite):
		self.http = http.client.HTTPConnection("127.0.0.1", suite.stack.http_port, timeout=60)

	def get(self, path, **query):
		began = time.perf_counter()
		self.http.request("GET", f"/open311/v2/{path}.json?{urllib.parse.urlencode(query)}")
		answer = self.http.getresponse()
		body = answer.read()
		if answer.status != 200:
			raise RuntimeError(f"{path} {query}: {answer.status} {body[:200]}")
		return (time.perf_counter() - began) * 1000, json.loads(body)


def percentiles(ms):
	ms = sorted(ms)
	return {"p50_ms": ms[len(ms) // 2], "p99_ms": ms[len(ms) * 99 // 100], "n": len(ms)}


def reads(suite):
	"""GETs one after another: by id, by time, by state, by service. Only the public view is changed for it."""
	r = Reader(suite)
	jid = TOWNS["boston"][0]
	town = f"(SELECT jurisdiction FROM jurisdiction WHERE jurisdiction_id = '{jid}')"
	ids = suite.psql(f"SELECT request FROM request_public WHERE jurisdiction = {town} ORDER BY md5(request::text) LIMIT {READS}").split()
	codes = suite.psql(f"SELECT s.service_code FROM request_public p JOIN service s USING (service) WHERE p.jurisdiction = {town}"
		" AND p.requested_at > now() - interval '80 days' GROUP BY 1 ORDER BY count(*)").split("\n")
	# a twentieth is open still, as in towns that do their work
	suite.psql("UPDATE request_public SET state = 3, outcome = 0 WHERE request / 100 % 20 = 7 AND state = 5; VACUUM ANALYZE request_public")
	newest = time.time()
	days = [newest - 86400 * (i * 80 // READS) for i in range(READS)] if suite.n > 1 else [newest] * READS

	def until(i):
		return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(days[i]))
	asked = {
		"by id": lambda i: (f"requests/{ids[i % len(ids)]}", {}),
		"by time": lambda i: ("requests", {"end_date": until(i)}),
		"open ones": lambda i: ("requests", {"status": "open", "end_date": until(i)}),
		"by service, common": lambda i: ("requests", {"service_code": codes[-1 - i % 10]}),
		"by service, rare": lambda i: ("requests", {"service_code": codes[i % 10]}),
		"by service, open": lambda i: ("requests", {"service_code": codes[len(codes) // 2 + i % 5], "status": "open"}),
	}
	out = {}
	for what, make in asked.items():
		times, rows = [], 0
		for i in range(READS):
			path, query = make(i)
			ms, found = r.get(path, jurisdiction_id=jid, page_size=50, **query)
			times.append(ms)
			rows += len(found)
			if sum(times) > 8000:
				break
		out[what] = {**percentiles(times), "rows": rows / len(times)}
	return out


def catch_up(suite):
	"""Seconds until routing has done what came while it was away."""
	suite.stack.daemons["routing"].stop()
	suite.load(1500, CAUGHT_UP / 1500, f"c{time.time_ns():x}").communicate()
	sql = "SELECT (SELECT count(*) FROM request) - (SELECT count(*) FROM work_item)"
	began = time.monotonic()
	suite.stack.daemons["routing"].start()
	while int(suite.psql("SELECT max(number) - min(number) FROM (SELECT sum(seq) AS number FROM (SELECT DISTINCT ON (consumer, lane)"
			" seq FROM progress WHERE consumer = 'routing' ORDER BY consumer, lane, step DESC) p UNION ALL SELECT sum(seq) FROM"
			" (SELECT (SELECT seq FROM event e WHERE e.lane = l.lane ORDER BY seq DESC LIMIT 1) FROM lane l) h) x")):
		time.sleep(0.1)
	return {"seconds": time.monotonic() - began, "unrouted": int(suite.psql(sql))}


def sizes(suite):
	rows = suite.psql("SELECT relname, pg_total_relation_size(oid), pg_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
		" AND relnamespace = 'centraleta'::regnamespace ORDER BY 2 DESC").splitlines()
	requests = int(suite.psql("SELECT count(*) FROM request"))
	tables = {name: int(total) / requests for name, total, _ in (line.split("|") for line in rows)}
	return {"requests": requests, "bytes": sum(tables.values()), "tables": dict(list(tables.items())[:12])}


def started(bench, name, function):
	"""A side: a suite of that size, just for this."""
	def side():
		suite = Sized(bench, name, SIZES[name])
		try:
			suite.start()
			return function(suite)
		finally:
			suite.stop()
	return side


def run(bench):
	prepare(bench)
	small, *_, large = SIZES
	pairs = bench.pairs({name: started(bench, name, whole_way) for name in SIZES}, prefix="whole-way")
	read = bench.round("reads", {name: started(bench, name, reads) for name in SIZES})["sides"]
	caught = bench.round("catch-up", {name: started(bench, name, catch_up) for name in SIZES})["sides"]
	size = bench.round("sizes", {large: started(bench, large, sizes)})["sides"][large]
	for name in list(SIZES)[1:]:
		bench.ratio(f"CPU a request, the whole way: {name} ÷ {small}", pairs, name, small, "cpu_us", must="<= 1.2", aim="<= 1.05",
			note=f"{RATE}/s, subscribers acknowledge")
	if len(SIZES) == 2:
		bench.note("10,000,000 were not stored in this run: 50 GB")
	for name in SIZES:
		bench.median(f"{name}: CPU a request, daemons", pairs, name, "daemons_us", "µs CPU")
		bench.median(f"{name}: CPU a request, PostgreSQL", pairs, name, "postgres_us", "µs CPU")
		bench.median(f"{name}: POST, p50", pairs, name, "p50_us", "ms", scale=1e-3)
		bench.median(f"{name}: POST, p99", pairs, name, "p99_us", "ms", scale=1e-3)
	for what in read[large]:
		for name in SIZES:
			m = read[name][what]
			bench.result(f"{name}: list of 50 {what}, p99" if what != "by id" else f"{name}: GET by id, p99", m["p99_ms"], "ms",
				must="<= 20" if name == large else None, aim="<= 5" if name == large else None,
				note=f"p50 {m['p50_ms']:.2f} ms, {m['n']} one after another, {m['rows']:.0f} rows")
	for name in SIZES:
		bench.result(f"{name}: routing catches up with {CAUGHT_UP:,}", CAUGHT_UP / caught[name]["seconds"], "/s",
			note="its start included")
	bench.result("disk a request, all work done", size["bytes"] / 1024, "KiB", note=", ".join(
		f"{t} {b:.0f} B" for t, b in size["tables"].items()))
