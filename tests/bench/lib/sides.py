"""What is compared: Centraleta with its towns, peers that write the same rows, and bare programs.

Each has a PostgreSQL of its own in the benchmark's temporary folder, all with the same settings.
"""
import json
import subprocess
import sys
import time
import urllib.parse

import machine
from bench import ROOT, load
from cluster import Cluster
from mailserver import free_port
from replay import requests_of
from stack import KINDS, TOWNS, Stack

# as for a server with some memory; the rest is as everywhere in the tests (fsync, full_page_writes and
# synchronous_commit on)
POSTGRES = "shared_buffers = 512MB\nmax_wal_size = 4GB\nmin_wal_size = 1GB\n"
# what the roles of the daemons have too
PGOPTIONS = "-c search_path=centraleta,public -c plan_cache_mode=force_generic_plan -c jit=off"
PEERS = ROOT / "tests" / "bench" / "peers"


class Store:
	"""A PostgreSQL with our schema and two towns. peer: numbers come from sequences."""

	def __init__(self, bench, name, settings=None, env=None, postgres="", mail_every=10):
		self.bench, self.name, self.mail_every = bench, name, mail_every
		self.stack = Stack(bench.temp / name, bench.build, settings=settings, env=env, postgres=POSTGRES + postgres)
		self.keys = {}

	def start_store(self):
		self.stack.start_store()
		for slug, (jid, name, zone, box) in TOWNS.items():
			self.keys[jid] = self.stack.load_town(slug, jid, name, zone, box)
		self.forms = self.stack.folder / "forms"
		self.write_forms()
		return self

	def write_forms(self):
		"""The shipped requests of both towns, mixed; one in mail_every leaves an address (0: none)."""
		lists = [list(requests_of(slug, jid, ROOT / "deploy/towns" / slug / "requests.csv")) for slug, (jid, *_) in TOWNS.items()]
		with open(self.forms, "w", encoding="utf-8") as f:
			for n, (_, form) in enumerate(item for pair in zip(*lists) for item in pair):
				form.pop("email", None)
				form.pop("language", None)
				if self.mail_every and n % self.mail_every == 0:
					form["email"] = f"citizen-{n}@citizen.test"
				f.write(f"{self.keys[form['jurisdiction_id']]}\t{urllib.parse.urlencode(form)}\n")

	def sql(self, text):
		return self.stack.cluster.psql(text)

	def pids(self):
		"""Of the side's own processes."""
		return []

	def cpu(self):
		"""Seconds used so far: by the processes, and by PostgreSQL with all its children, ended ones too."""
		return (sum(machine.cpu_seconds(pid, tree=True) for pid in self.pids()),
			machine.cpu_seconds(self.stack.cluster.process.pid, tree=True))

	def rows(self):
		return int(self.sql("SELECT count(*) FROM event WHERE type IN (1, 2)") or 0)

	def stop(self):
		self.stack.stop()


class Product(Store):
	"""Centraleta: these daemons."""

	def __init__(self, bench, kinds=KINDS, name="product", **more):
		super().__init__(bench, name, **more)
		self.kinds = kinds

	def start(self):
		self.start_store()
		self.stack.start_daemons(self.kinds, timeout=60)
		self.port = self.stack.http_port
		return self

	def pids(self):
		return [d.process.pid for d in self.stack.daemons.values() if d.alive()]


	def parts(self):
		"""CPU seconds by daemon."""
		return {name: machine.cpu_seconds(d.process.pid) for name, d in self.stack.daemons.items()}


class Peer(Store):
	"""A program of peers/ in node; it gets PORT, PGHOST and such, and answers /health when it is ready."""

	def __init__(self, bench, name, script, env=None, **more):
		super().__init__(bench, name, **more)
		self.script, self.peer_env = script, dict(env or {})
		self.process = None

	def start(self):
		self.start_store()
		self.sql("CREATE SEQUENCE request_number; CREATE SEQUENCE event_number;"
			"ALTER TABLE event ALTER COLUMN seq SET DEFAULT nextval('event_number')")
		self.port = free_port()
		self.process = start_node(self, self.script, {"PORT": str(self.port), **self.peer_env})
		wait_port(self.port, self.process)
		return self

	def pids(self):
		return [self.process.pid]

	def stop(self):
		if self.process:
			self.process.kill()
			self.process.wait()
		super().stop()


class Bare:
	"""tests/bench/bare: HTTP alone."""

	def __init__(self, bench, forms):
		self.process = subprocess.Popen([bench.program("bare")], stdout=subprocess.PIPE, text=True)
		self.port, self.forms, self.bench = int(self.process.stdout.readline()), forms, bench

	def cpu(self):
		return machine.cpu_seconds(self.process.pid), 0.0

	def rows(self):
		return None

	def stop(self):
		self.process.kill()
		self.process.wait()


def start_node(store, script, env):
	c = store.stack.cluster
	with open(store.stack.folder / f"{script}.log", "ab") as log:
		return subprocess.Popen(["node", str(PEERS / script)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
			env={"PATH": "/usr/local/bin:/usr/bin:/bin", "NODE_ENV": "production", "PGHOST": c.dir, "PGPORT": str(c.port),
				"PGUSER": "postgres", "PGDATABASE": "centraleta", "PGOPTIONS": PGOPTIONS,
				"KEYS": json.dumps(store.keys), **env})


def wait_port(port, process, seconds=20):
	import socket
	deadline = time.monotonic() + seconds
	while time.monotonic() < deadline:
		if process.poll() is not None:
			raise RuntimeError(f"a peer ended with {process.returncode}")
		with socket.socket() as s:
			if s.connect_ex(("127.0.0.1", port)) == 0:
				return
		time.sleep(0.05)
	raise RuntimeError(f"nobody listens on {port}")


_prefix = iter(range(1, 1 << 30))


def posts(side, seconds, rate=0, connections=64, ids=None):
	"""Posts to a side (rate 0: as fast as it answers) and says what came of it: rate, latency, CPU an answer,
	stored rows, device flushes."""
	stack = getattr(side, "stack", None)
	if stack:
		side.sql("CHECKPOINT")
	rows, flushes = side.rows(), machine.device_flushes(side.bench.temp)
	before, parts = side.cpu(), side.parts() if isinstance(side, Product) else {}
	args = ["load", side.port, rate, seconds, connections, seconds + 11, f"{time.time_ns():x}-{next(_prefix)}", side.forms]
	last = load(side.bench, *args, *([ids] if ids else []))[-1]
	after = side.cpu()
	flushed = machine.device_flushes(side.bench.temp)
	if not last["answered"]:
		raise RuntimeError(f"nothing was answered: {last}")
	per = 1e6 / last["answered"]
	out = {"rate": last["answered"] / last["seconds"], "p50_us": last["p50_us"], "p99_us": last["p99_us"],
		"answered": last["answered"], "refused": last["refused"] + last["broken"], "load_cpu": last["cpu"],
		"server_us": (after[0] - before[0]) * per, "postgres_us": (after[1] - before[1]) * per,
		"flushes": None if flushes is None else flushed - flushes}
	out["cpu_us"] = out["server_us"] + out["postgres_us"]
	if parts:
		out["parts_us"] = {name: round((at - parts[name]) * per, 1) for name, at in side.parts().items()}
	if rows is not None:
		out["stored"] = side.rows() - rows
		if out["stored"] < last["answered"]:
			raise RuntimeError(f"{last['answered']} answered, {out['stored']} stored")
	return out


def warm(side, seconds=4, rate=0):
	load(side.bench, "load", side.port, rate, seconds, 64, seconds, f"warm-{time.time_ns():x}", side.forms)
