"""A private RabbitMQ of one node, in a folder, on free ports; a reader of one of its queues."""
import os
import signal
import subprocess

import machine
from mailserver import free_port

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class Rabbit:
	def __init__(self, bench, env=None):
		self.bench, self.folder, self.port = bench, bench.temp / "rabbit", free_port()
		self.folder.mkdir()
		self.env = {**(env or {}), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.folder), "LC_ALL": "C.UTF-8",
			"RABBITMQ_NODENAME": f"bench{self.port}@localhost", "RABBITMQ_NODE_PORT": str(self.port),
			"RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_DIST_PORT": str(free_port()), "ERL_EPMD_PORT": str(free_port()),
			"ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
			"RABBITMQ_LOG_BASE": str(self.folder / "log"), "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
			"RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"), "RABBITMQ_PID_FILE": str(self.folder / "pid")}
		(self.folder / "plugins").write_text("[].\n")

	def start(self):
		import sides
		# else the node starts one that stays
		self.mapper = subprocess.Popen(["epmd"], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
		with open(self.folder / "out", "ab") as out:
			self.process = subprocess.Popen([SERVER], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env,
				start_new_session=True)
		sides.wait_port(self.port, self.process, 60)
		return self

	def url(self):
		return f"amqp://guest:guest@127.0.0.1:{self.port}"

	def cpu(self):
		return machine.cpu_seconds(self.process.pid, tree=True), 0.0

	def publish(self, queue, kind, rate, seconds, window, size=516):
		"""Publishes with confirms and says what came of it."""
		from bench import load
		flushes, before = machine.device_flushes(self.folder), self.cpu()[0]
		out = load(self.bench, "rabbit", "publish", self.port, queue, kind, size, rate, seconds, window)[-1]
		after = self.cpu()[0]
		return {"rate": out["answered"] / out["seconds"], "p50_us": out["p50_us"], "p99_us": out["p99_us"],
			"answered": out["answered"], "load_cpu": out["cpu"], "cpu_us": (after - before) * 1e6 / max(out["answered"], 1),
			"flushes": None if flushes is None else machine.device_flushes(self.folder) - flushes}

	def stop(self):
		"""The node with all that it started."""
		try:
			os.killpg(self.process.pid, signal.SIGKILL)
		except ProcessLookupError:
			pass
		self.process.wait()
		self.mapper.kill()
		self.mapper.wait()


class Reader:
	"""A program that takes work and notes when it came; ids() is {service_request_id: µs}."""

	def __init__(self, path, argv):
		self.path, self.position, self.lines = path, 0, 0
		self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
		if self.process.stdout.readline().strip() != "ready":
			raise RuntimeError(f"{argv[0]} didn't get ready")

	def count(self):
		"""How many came so far."""
		with open(self.path, "rb") as f:
			f.seek(self.position)
			new = f.read()
		self.position += len(new)
		self.lines += new.count(b"\n")
		return self.lines

	def stop(self):
		self.process.kill()
		self.process.wait()


def consume(bench, rabbit, queue, kind):
	path = bench.temp / f"got-{queue}-{rabbit.port}"
	return Reader(path, [bench.program("rabbit"), "consume", str(rabbit.port), queue, kind, str(path)])


def subscribe(bench, product):
	"""One connection for each department of all towns."""
	from sides import TOWNS
	stack, files = product.stack, []
	for slug in TOWNS:
		for department in stack.departments(slug):
			files.append(stack.folder / f"{slug}-{department}.key")
			files[-1].write_text(stack.key(slug, department=department))
	path = bench.temp / "got-subscribers"
	return Reader(path, [bench.program("subscriber"), f"ipc://{stack.runtime}/dispatch.work", str(path), *map(str, files)])


def times(path):
	"""{id: µs} of a file of lines "id µs"; the first of each counts."""
	found = {}
	with open(path, encoding="ascii") as f:
		for line in f:
			id_, at = line.split()
			found.setdefault(id_, int(at))
	return found
