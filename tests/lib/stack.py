"""The whole of Centraleta in one folder: a private PostgreSQL, the five daemons, any number of each.

Used by the end-to-end tests, the crash test and deploy/try. Nothing outside the folder is touched;
ports are free ones; stop() ends everything and leaves the folder to its owner.
"""
import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster import Cluster
from mailserver import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = ("intake", "routing", "dispatch", "notification", "analytics")


class Daemon:
	"""One process of one kind. member is its name in the directory of members."""

	def __init__(self, stack, kind, member, sets=(), env=None):
		self.stack, self.kind, self.member = stack, kind, member
		self.sets, self.env = list(sets), dict(env or {})
		self.log_path = stack.folder / f"{member}.log"
		self.process = None

	def start(self):
		(self.stack.runtime / f"{self.member}.admin").unlink(missing_ok=True)
		argv = [str(self.stack.program(self.kind)), "--config", str(self.stack.config_path),
			"--set", f"service.member={self.member}"]
		for s in self.sets:
			argv += ["--set", s]
		with open(self.log_path, "ab") as log:
			self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
				env=dict(os.environ, **self.stack.env, **self.env))
		return self

	def admin(self):
		try:
			return (self.stack.runtime / f"{self.member}.admin").read_text().strip()
		except FileNotFoundError:
			return None

	def get(self, path, timeout=2):
		"""Status and body of a page of the admin socket; (0, "") while it doesn't answer."""
		address = self.admin()
		if not address:
			return 0, ""
		try:
			with urllib.request.urlopen(f"http://{address}{path}", timeout=timeout) as r:
				return r.status, r.read().decode()
		except urllib.error.HTTPError as e:
			return e.code, e.read().decode()
		except (OSError, ValueError):
			return 0, ""

	def wait_ready(self, timeout=20):
		deadline = time.monotonic() + timeout
		while time.monotonic() < deadline:
			if self.process.poll() is not None:
				raise RuntimeError(f"{self.member} ended with {self.process.returncode}:\n" + self.tail())
			if self.get("/readyz")[0] == 200:
				return self
			time.sleep(0.02)
		raise RuntimeError(f"{self.member} is not ready: {self.get('/readyz')}\n" + self.tail())

	def metrics(self):
		"""{'name{labels}': value} without the prefix centraleta_."""
		found = {}
		for line in self.get("/metrics")[1].splitlines():
			if line and not line.startswith("#"):
				name, value = line.rsplit(" ", 1)
				found[name.removeprefix("centraleta_")] = float(value)
		return found

	def metric_sum(self, name):
		return sum(v for k, v in self.metrics().items() if k == name or k.startswith(name + "{"))

	def alive(self):
		return self.process is not None and self.process.poll() is None

	def kill(self, sig=signal.SIGKILL):
		if self.alive():
			self.process.send_signal(sig)
		if sig == signal.SIGKILL:
			self.process.wait()

	def stop(self, timeout=30, asked=False):
		"""TERM (unless asked before); returns the exit status, and kills what does not leave in time."""
		if not self.alive():
			return self.process.returncode if self.process else None
		self.process.send_signal(signal.SIGCONT)
		if not asked:
			self.process.terminate()
		try:
			return self.process.wait(timeout)
		except subprocess.TimeoutExpired:
			self.process.kill()
			self.process.wait()
			return None

	def tail(self, lines=30):
		try:
			return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
		except FileNotFoundError:
			return ""


class Stack:
	def __init__(self, folder, build, settings=None, env=None, fsync=True, postgres=""):
		"""settings: {"section.key": value} of the configuration file; postgres: lines of its own."""
		self.folder, self.build = pathlib.Path(folder), pathlib.Path(build).resolve()
		self.runtime = self.folder / "run"
		self.config_path = self.folder / "centraleta.conf"
		self.env = {"CENTRALETA_SQL_DIR": str(ROOT / "deploy" / "postgres"), **(env or {})}
		self.settings = dict(settings or {})
		(self.folder / "postgres").mkdir(parents=True, exist_ok=True)
		self.folder.chmod(0o755)
		self.cluster = Cluster(fsync=fsync, folder=str(self.folder / "postgres"), settings=postgres)
		self.daemons = {}
		self.http_port = free_port()
		self.analytics_port = free_port()

	def program(self, kind):
		name = "centraleta" if kind == "cli" else f"centraleta-{kind}"
		return self.build / "services" / kind / name

	# ---- the parts --------------------------------------------------------------------------

	def start_store(self):
		self.runtime.mkdir(exist_ok=True)
		self.cluster.start()
		self.write_config()
		self.cli("migrate")
		return self

	def dsn(self, role="postgres"):
		return self.cluster.dsn(role)

	def write_config(self):
		secret = self.folder / "secret"
		if not secret.exists():
			secret.write_text(secrets.token_hex(32))
			secret.chmod(0o600)
		settings = {
			"store.dsn": f"host={self.cluster.dir} port={self.cluster.port} dbname=centraleta",
			"service.runtime_dir": self.runtime,
			"service.secret_file": secret,
			"admin.listen": "127.0.0.1:0",
			"intake.listen": f"127.0.0.1:{self.http_port}",
			"intake.public_base_url": f"http://127.0.0.1:{self.http_port}",
			"notification.public_base_url": f"http://127.0.0.1:{self.http_port}",
			"analytics.listen": f"127.0.0.1:{self.analytics_port}",
			"cli.dsn": self.dsn("centraleta_admin"),
			"cli.migrate_dsn": self.dsn("postgres"),
			**self.settings,
		}
		sections = {}
		for name, value in settings.items():
			section, key = name.split(".", 1)
			sections.setdefault(section, []).append(f"{key} = {value}")
		self.config_path.write_text("".join(
			f"[{s}]\n" + "\n".join(lines) + "\n\n" for s, lines in sections.items()))

	def cli(self, *args, check=True, json_out=False, timeout=600):
		"""Runs `centraleta`; its stdout, parsed with json_out. Fails with its stderr unless check=False."""
		argv = [str(self.program("cli")), "--config", str(self.config_path)]
		argv += ["--json"] if json_out else []
		done = subprocess.run(argv + [str(a) for a in args], capture_output=True, text=True, timeout=timeout,
			env=dict(os.environ, **self.env), stdin=subprocess.DEVNULL)
		if check and done.returncode:
			raise RuntimeError(f"centraleta {' '.join(map(str, args))}: {done.returncode}\n{done.stderr}")
		if not check:
			return done
		return json.loads(done.stdout) if json_out else done.stdout

	def start_daemon(self, kind, member=None, sets=(), env=None):
		member = member or kind
		d = Daemon(self, kind, member, sets, env)
		self.daemons[member] = d
		return d.start()

	def start_daemons(self, kinds=KINDS, timeout=30):
		for kind in kinds:
			self.start_daemon(kind)
		for kind in kinds:
			self.daemons[kind].wait_ready(timeout)
		return self

	def stop(self):
		for d in self.daemons.values():
			if d.alive():
				d.kill(signal.SIGCONT)
				d.kill(signal.SIGTERM)
		codes = {name: d.stop(asked=True) for name, d in self.daemons.items()}
		self.cluster.stop()
		return codes

	# ---- towns --------------------------------------------------------------------------------

	def key(self, town, door=None, department=None, scopes=None):
		args = ["key", "add", town] + (["--door", door] if door else ["--department", department])
		return self.cli(*args, *(["--scopes", scopes] if scopes else []), json_out=True)["key"]

	def load_town(self, slug, jurisdiction_id, name, zone, box, lanes=None, files=ROOT / "deploy" / "towns"):
		"""A town of deploy/towns with a web door; returns the door's key."""
		folder = pathlib.Path(files) / slug
		self.cli("jurisdiction", "add", slug, "--id", jurisdiction_id, "--name", name, "--time-zone", zone,
			"--box", box, "--mail-from", f"311@{slug}.test", *(["--lanes", lanes] if lanes else []))
		self.cli("department", "load", slug, folder / "departments.csv")
		self.cli("service", "load", slug, folder / "services.csv")
		self.cli("area", "load", slug, folder / "areas.geojson")
		self.cli("rule", "load", slug, folder / "rules.csv")
		self.cli("door", "add", slug, "web", "--channel", "web")
		return self.key(slug, door="web", scopes="submit,import")

	def departments(self, town):
		return [d["slug"] for d in self.cli("department", "list", town, json_out=True)]


# what deploy/towns holds; boxes are a little wider than the neighbourhoods
TOWNS = {
	"boston": ("boston.gov", "Boston", "America/New_York", "42.22,-71.20,42.40,-70.92"),
	"kansas-city": ("kcmo.gov", "Kansas City", "America/Chicago", "38.82,-94.61,39.15,-94.38"),
}
