"""The whole suite at work: both towns of deploy/towns, the five daemons, departments that acknowledge.

Used by tests/snapshot and tests/bench. What processes cost is read from /proc.
"""
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import mailserver
from stack import ROOT, TOWNS, Stack

sys.path.insert(0, str(ROOT / "deploy" / "trial"))
from replay import requests_of

TICK = os.sysconf("SC_CLK_TCK")


def stat_of(pid):
	"""Fields of /proc/PID/stat behind the name, the state first; None where the process is gone."""
	try:
		return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
	except (FileNotFoundError, ProcessLookupError):
		return None


def cpu_of(pid, children=False):
	"""Seconds of a process; with children also of those that ended."""
	fields = stat_of(pid)
	return sum(map(int, fields[11:15 if children else 13])) / TICK if fields else 0.0


def cpu_of_tree(pid):
	"""Of a process and its children, living and ended: a postmaster and its back-ends."""
	pids = [int(p) for p in os.listdir("/proc") if p.isdigit()]
	living = sum(cpu_of(p) for p in pids if (stat_of(p) or ["", "0"])[1] == str(pid))
	return cpu_of(pid, True) + living


class Suite:
	"""mail_every: each n-th form has an address, and there is a mail server for it; 0: none has. crew_delays:
	seconds until departments accept, begin and resolve. A folder that was used before goes on."""

	def __init__(self, folder, build, mail_every=0, settings=None, postgres="", env=None,
			crew_delays=("9e9",) * 3):
		self.folder, self.build = pathlib.Path(folder), pathlib.Path(build).resolve()
		self.folder.mkdir(exist_ok=True)
		self.folder.chmod(0o755)
		self.mail_every, self.settings = mail_every, dict(settings or {})
		self.mail = mailserver.Postfix(domains=["citizen.test"]) if mail_every else None
		self.postgres, self.env, self.crew_delays = postgres, env, crew_delays
		self.crews, self.keys = [], {}

	def start(self, crews=True):
		if self.mail:
			self.mail.start(self.folder / "mail")
			self.settings["notification.smtp_url"] = f"smtp://127.0.0.1:{self.mail.port}"
		self.stack = Stack(self.folder / "stack", self.build, settings=self.settings, env=self.env,
			postgres=self.postgres)
		self.stack.start_store()
		keys = self.folder / "keys.json"
		if keys.exists():
			self.keys = json.loads(keys.read_text())
		else:
			for slug, (jid, name, zone, box) in TOWNS.items():
				self.keys[jid] = self.stack.load_town(slug, jid, name, zone, box)
			keys.write_text(json.dumps(self.keys))
		self.stack.start_daemons(timeout=60)
		if crews:
			self.start_crews()
		self.write_forms()
		return self

	def start_crews(self):
		"""Every department of every town acknowledges what it gets, and does no more."""
		made = self.folder / "proto"
		made.mkdir(exist_ok=True)
		subprocess.run(["protoc", f"-I{ROOT / 'proto'}", f"--python_out={made}",
			*map(str, (ROOT / "proto/centraleta/v1").glob("*.proto"))], check=True)
		for slug in TOWNS:
			crew = self.folder / slug
			crew.mkdir(exist_ok=True)
			for department in self.stack.departments(slug):
				if not (crew / f"{department}.key").exists():
					(crew / f"{department}.key").write_text(self.stack.key(slug, department=department))
			self.crews.append(subprocess.Popen([sys.executable, str(ROOT / "deploy/trial/crew.py"), str(made),
				f"ipc://{self.stack.runtime}/dispatch.work", str(crew), *self.crew_delays],
				stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

	def stop_crews(self):
		for crew in self.crews:
			crew.terminate()
			crew.wait()
		self.crews = []

	def write_forms(self):
		"""What tests/bench/load posts: the shipped rows of both towns in turn."""
		lists = [list(requests_of(slug, jid, ROOT / "deploy/towns" / slug / "requests.csv"))
			for slug, (jid, *_) in TOWNS.items()]
		self.forms = self.folder / "forms"
		with open(self.forms, "w", encoding="utf-8") as f:
			for n, (_, form) in enumerate(item for pair in zip(*lists) for item in pair):
				form.pop("email", None)
				if self.mail_every and n % self.mail_every == 0:
					form["email"] = f"citizen-{n}@citizen.test"
				f.write(f"{self.keys[form['jurisdiction_id']]}\t{urllib.parse.urlencode(form)}\n")

	def load(self, rate, seconds, prefix, interval=None, connections=64):
		"""tests/bench/load under way; a line of JSON an interval on its stdout."""
		return subprocess.Popen([str(self.build / "tests/bench/load"), str(self.stack.http_port), str(rate),
			str(seconds), str(connections), str(interval or seconds), prefix, str(self.forms)],
			stdout=subprocess.PIPE, text=True)

	def cpu(self):
		"""Seconds so far of the daemons and of PostgreSQL with all its children."""
		return {"daemons": sum(cpu_of(d.process.pid) for d in self.stack.daemons.values()),
			"PostgreSQL": cpu_of_tree(self.stack.cluster.process.pid)}

	def stop(self):
		self.stop_crews()
		self.stack.stop()
		if self.mail:
			self.mail.stop()
