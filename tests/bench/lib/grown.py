"""What a request costs with ten thousand and with many times as many stored; what reads, catching up and pruning
take then. Used by the cases growth and growth10m.

tests/bench/generate.py makes each size once, in a data directory of its own that is kept in
tests/bench/results/growth-data. A repetition takes a fresh copy of the small one, so it stays small.
"""
import http.client
import json
import re
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

DATA = RESULTS / "growth-data"
SIZES = {"10 k": 1, "1 M": 100, "10 M": 1000}
RATE, SECONDS, READS, CAUGHT_UP = 300, 20, 300, 6000
PRUNED, BITE = 20000, 2000  # eventlog.prune_rows
SETTLED_S = 120  # at most, until what a start looks for is found


def folder(n):
	return DATA / f"x{n}"


def prepare(bench, names):
	"""Makes the data directories that aren't there yet."""
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
		for n in (SIZES[name] for name in names):
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


def work(consumer):
	"""SQL: how many events a consumer is behind, over all lanes."""
	return (f"SELECT sum(h.seq - coalesce(p.seq, 0)) FROM (SELECT l.lane, (SELECT e.seq FROM event e WHERE e.lane = l.lane"
		" ORDER BY e.seq DESC LIMIT 1) AS seq FROM lane l) h LEFT JOIN LATERAL (SELECT p.seq FROM progress p"
		f" WHERE p.consumer = '{consumer}' AND p.lane = h.lane ORDER BY p.step DESC LIMIT 1) p ON true")


def catch_up(suite):
	"""Seconds until routing, and then analytics with its rollups, have done what came while they were away."""
	out = {}
	for consumer in ("routing", "analytics"):
		daemon = suite.stack.daemons[consumer]
		daemon.stop()
		suite.load(1500, CAUGHT_UP / 1500, f"c{time.time_ns():x}").communicate()
		time.sleep(2)  # others go on meanwhile
		behind = int(suite.psql(work(consumer)))
		began = time.monotonic()
		daemon.start()
		while int(suite.psql(work(consumer))):
			time.sleep(0.1)
		out[consumer] = {"seconds": time.monotonic() - began, "events": behind}
	return out


def prune(suite):
	"""Seconds for PRUNED rows of progress, a bite at a time, as the daemons' own statement takes them."""
	lane = 0
	suite.psql(f"INSERT INTO progress (consumer, lane, step, seq, at) SELECT 'bench', {lane}, k, k, now() - interval '2 hours'"
		f" FROM generate_series(1, {PRUNED + 1}) k")
	text = (ROOT / "common/eventlog/queries.def").read_text()
	sql = "".join(re.findall(r'"([^"]*)"', re.search(r'QUERY\(EVENTLOG_PRUNE,((?:\s*"[^"]*")+)\)', text)[1]))
	for n, value in enumerate(("'bench'", str(lane), str(PRUNED + 1), "3600000", str(BITE)), 1):
		sql = sql.replace(f"${n}", value)
	began, gone = time.monotonic(), 0
	while (n := int(suite.psql(sql))):
		gone += n
	seconds = time.monotonic() - began
	suite.psql("DELETE FROM progress WHERE consumer = 'bench'")
	return {"seconds": seconds, "rows": gone}


def upkeep(suite):
	return {**catch_up(suite), "prune": prune(suite)}


def sizes(suite):
	rows = suite.psql("SELECT relname, pg_total_relation_size(oid), pg_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
		" AND relnamespace = 'centraleta'::regnamespace ORDER BY 2 DESC").splitlines()
	requests = int(suite.psql("SELECT count(*) FROM request"))
	tables = {name: int(total) / requests for name, total, _ in (line.split("|") for line in rows)}
	return {"requests": requests, "bytes": sum(tables.values()), "tables": dict(list(tables.items())[:12])}


def started(bench, name, function):
	"""A side: a suite of that size, just for this; data without marks is looked through once."""
	def side():
		suite = Sized(bench, name, SIZES[name])
		try:
			suite.start()
			settle(suite)
			return function(suite)
		finally:
			suite.stop()
	return side


def settle(suite):
	"""Waits until the daemons and PostgreSQL rest."""
	until = time.monotonic() + SETTLED_S
	while time.monotonic() < until:
		before = suite.cpu()
		time.sleep(1)
		if sum(suite.cpu().values()) - sum(before.values()) < 0.1:
			return
	raise RuntimeError(f"{suite.name}: no rest {SETTLED_S} s after its start")


def run(bench, small, large):
	"""The figures of two sizes."""
	names = (small, large)
	prepare(bench, names)
	pairs = bench.pairs({name: started(bench, name, whole_way) for name in names}, prefix="whole-way")
	read = bench.round("reads", {name: started(bench, name, reads) for name in names})["sides"]
	kept = bench.round("upkeep", {name: started(bench, name, upkeep) for name in names})["sides"]
	size = bench.round("sizes", {large: started(bench, large, sizes)})["sides"][large]
	bench.ratio(f"CPU a request, the whole way: {large} ÷ {small}", pairs, large, small, "cpu_us", must="<= 1.2", aim="<= 1.05",
		note=f"{RATE}/s, subscribers acknowledge")
	for name in names:
		bench.median(f"{name}: CPU a request, daemons", pairs, name, "daemons_us", "µs CPU")
		bench.median(f"{name}: CPU a request, PostgreSQL", pairs, name, "postgres_us", "µs CPU")
		bench.median(f"{name}: POST, p50", pairs, name, "p50_us", "ms", scale=1e-3)
		bench.median(f"{name}: POST, p99", pairs, name, "p99_us", "ms", scale=1e-3)
	for what in read[large]:
		for name in names:
			m = read[name][what]
			bench.result(f"{name}: list of 50 {what}, p99" if what != "by id" else f"{name}: GET by id, p99", m["p99_ms"], "ms",
				must="<= 20" if name == large else None, aim="<= 5" if name == large else None,
				note=f"p50 {m['p50_ms']:.2f} ms, {m['n']} one after another, {m['rows']:.0f} rows")
	for name in names:
		for consumer in ("routing", "analytics"):
			m = kept[name][consumer]
			bench.result(f"{name}: {consumer} catches up", m["events"] / m["seconds"], "events/s", note=f"{m['events']:,}, its start included")
		bench.result(f"{name}: progress is pruned", kept[name]["prune"]["rows"] / kept[name]["prune"]["seconds"], "rows/s",
			note=f"{BITE:,} at once, a connection each")
	bench.result("disk a request, all work done", size["bytes"] / 1024, "KiB", note=f"{size['requests']:,} requests, " + ", ".join(
		f"{t} {b:.0f} B" for t, b in size["tables"].items()))
