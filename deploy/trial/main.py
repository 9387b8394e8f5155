#!/usr/bin/python3
"""What deploy/try runs after packages and build; see there for the options."""
import argparse
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(HERE)]
import cluster
import ledgers
import mailserver
from replay import Replay, requests_of
from stack import TOWNS, Stack
from survey import Survey
from view import View, WorkFiles

DELAYS = ("0.3", "1.5", "4")  # accept, progress, resolve: days in seconds


class Trial:
	def __init__(self, args):
		self.args = args
		self.folder = pathlib.Path(tempfile.mkdtemp(prefix="centraleta-try-"))
		self.folder.chmod(0o755)
		# an empty cluster is kept in the build folder, so that a second run is ready sooner
		self.kept = pathlib.Path(args.build).resolve()
		found = any(p.is_dir() for p in self.kept.glob("postgres-template-*"))
		cluster.TEMPLATE = str((self.kept if found else self.folder) / "postgres-template-%s-%u")
		self.mail = mailserver.Postfix(domains=["citizen.test"])
		self.stack = None
		self.crews, self.keys = [], {}
		self.started = time.monotonic()

	def say(self, text):
		print(f"{time.monotonic() - self.started:5.1f} s  {text}", flush=True)

	def start(self):
		self.mail.start(self.folder / "mail")
		self.stack = Stack(self.folder / "stack", self.args.build, settings={
			"notification.smtp_url": f"smtp://127.0.0.1:{self.mail.port}",
		})
		self.stack.start_store()
		self.say("PostgreSQL and Postfix run, the schema is there")
		for slug, (jid, name, zone, box) in TOWNS.items():
			self.keys[jid] = self.stack.load_town(slug, jid, name, zone, box)
		self.say("two towns are loaded")
		self.stack.start_daemons()
		self.say("five daemons are ready")
		self.start_crews()

	def start_crews(self):
		made = self.folder / "proto"
		made.mkdir()
		protos = sorted((ROOT / "proto" / "centraleta" / "v1").glob("*.proto"))
		subprocess.run(["protoc", f"-I{ROOT / 'proto'}", f"--python_out={made}", *map(str, protos)], check=True)
		endpoint = f"ipc://{self.stack.runtime}/dispatch.work"
		for slug in TOWNS:
			crew = self.folder / slug
			crew.mkdir()
			for department in self.stack.departments(slug):
				(crew / f"{department}.key").write_text(self.stack.key(slug, department=department))
			with open(self.folder / f"crew-{slug}.log", "ab") as log:
				self.crews.append(subprocess.Popen([sys.executable, str(HERE / "crew.py"), str(made), endpoint,
					str(crew), *DELAYS], stdin=subprocess.DEVNULL, stdout=log, stderr=log))
		self.say("a subscriber for each department of both towns is connected")

	def addresses(self):
		s = self.stack
		base = f"http://127.0.0.1:{s.http_port}"
		lines = [f"for citizens       {base}/r", f"Open311            {base}/open311/v2/discovery.json",
			f"                   {base}/open311/v2/requests.json?jurisdiction_id=boston.gov",
			f"figures            http://127.0.0.1:{s.analytics_port}/v1/analytics/boston/summary.json?from=2011-01-01&group_by=service"]
		for name, d in s.daemons.items():
			lines.append(f"{name:18} http://{d.admin()}/metrics  /readyz  /livez")
		lines.append(f"command            {s.program('cli')} --config {s.config_path} help")
		return lines

	def replay(self):
		self.told = self.folder / "told.jsonl"
		self.answers = self.folder / "survey.jsonl"
		per_town = self.args.requests // 2
		lists = [list(requests_of(slug, jid, ROOT / "deploy" / "towns" / slug / "requests.csv", per_town))
			for slug, (jid, *_) in TOWNS.items()]
		mixed = [item for pair in zip(*lists) for item in pair]
		replay = Replay("127.0.0.1", self.stack.http_port, self.keys, self.told, self.args.rate)
		survey = Survey(self.mail, mailserver.text_of, self.answers)
		view = View(replay, WorkFiles([self.folder / slug for slug in TOWNS]), survey, len(mixed), self.addresses())
		self.replaying = replay
		survey.start()
		view.start()
		replay.run(mixed)
		mailed = sum(1 for t in ledgers.read(self.told) if t["email"])
		self.wait_settled(view.work, survey, replay.answered, mailed)
		survey.stop()
		view.stop()
		self.survey_mails, self.refused = survey.mails, replay.refused
		for key, status, body in replay.refused[:5]:
			print("refused:", key, status, body)

	def wait_settled(self, work, survey, requests, mailed):
		deadline = time.monotonic() + 120
		while time.monotonic() < deadline:
			if work.updates >= 3 * requests and survey.answered + len(survey.failed) >= mailed:
				return
			time.sleep(0.3)
		self.say("not everything was settled in time")

	def store(self, sql):
		return [line for line in self.stack.cluster.psql(sql).splitlines() if line]

	def store_settled(self):
		"""Waits until every consumer took every event, so the store can be compared."""
		sql = """SELECT coalesce(sum(h.seq - p.seq), 0) FROM (SELECT lane, max(seq) AS seq FROM event GROUP BY lane) h
			JOIN (SELECT DISTINCT ON (consumer, lane) consumer, lane, seq FROM progress WHERE consumer IN
			('intake', 'routing', 'dispatch', 'notification', 'analytics') ORDER BY consumer, lane, step DESC) p USING (lane)"""
		deadline = time.monotonic() + 30
		while time.monotonic() < deadline and self.store(sql) != ["0"]:
			time.sleep(0.2)

	def compare(self):
		self.store_settled()
		told = ledgers.read(self.told)
		work = ledgers.work_of([p for slug in TOWNS for p in (self.folder / slug).glob("*.jsonl")])
		uncertain = [tuple(line.split("|")) for line in self.store(
			"SELECT DISTINCT CASE m.kind WHEN 1 THEN 'received' ELSE 'resolved' END, m.request FROM message m"
			" JOIN attempt a USING (lane, cause_seq, kind, channel) WHERE a.state = 4")]
		check = ledgers.compare(told, work, self.survey_mails, ledgers.read(self.answers), self.store, uncertain)
		print("\n" + check.table())
		verify = self.stack.cli("analytics", "verify", check=False)
		print("\nanalytics verify: " + " ".join(verify.stdout.split()) + verify.stderr)
		if verify.returncode:
			check.wrong.append("analytics verify: " + verify.stderr)
		if self.refused:
			check.wrong.append(f"{len(self.refused)} requests were refused")
		return check.wrong

	def journey(self):
		"""One request from the citizen's words to the survey's answer."""
		answered = ledgers.read(self.answers)
		told = {t["service_request_id"]: t for t in ledgers.read(self.told)}
		if not answered:
			return
		one = answered[0]["service_request_id"]
		print(f"\nthe journey of request {one}\n")
		print(self.stack.cli("request", "show", one))
		print(self.stack.cli("route", "explain", one))
		for kind, number, _, _ in self.survey_mails:
			if number == one:
				print(f"mail: {kind}")
		for mail in self.mail.messages():
			if one in mail["Subject"]:
				print(f"\nSubject: {mail['Subject']}\nTo: {mail['To']}\n\n{mailserver.text_of(mail)}")
		print(f"survey answer: {answered[0]['score']} of 10")
		if told[one].get("code"):
			print(f"the citizen's page: http://127.0.0.1:{self.stack.http_port}/r/{told[one]['code']}")

	def stop(self):
		for crew in self.crews:
			crew.terminate()
		for crew in self.crews:
			crew.wait()
		codes = self.stack.stop() if self.stack else {}
		self.mail.stop()
		for made in self.folder.glob("postgres-template-*[0-9]"):
			subprocess.run(["cp", "-a", str(made), str(self.kept)], check=False)
		if self.args.keep:
			print(f"kept: {self.folder}")
		else:
			shutil.rmtree(self.folder, ignore_errors=True)
		return [f"{name} ended with {code}" for name, code in codes.items() if code != 0]


def arguments():
	p = argparse.ArgumentParser(prog="deploy/try", description="Centraleta on this machine, with two real towns.")
	p.add_argument("--build", required=True, help=argparse.SUPPRESS)
	p.add_argument("--once", action="store_true", help="end when all is done instead of staying")
	p.add_argument("--requests", type=int, default=10000, help="how many of the 10,000 shipped requests")
	p.add_argument("--rate", type=float, default=200, help="requests a second")
	p.add_argument("--keep", action="store_true", help="leave the folder with logs and ledgers")
	return p.parse_args()


def main():
	trial = Trial(arguments())
	signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
	wrong = ["it was stopped before it was done"]
	try:
		trial.start()
		print("\n".join(trial.addresses()), flush=True)
		trial.replay()
		wrong = trial.compare()
		trial.journey()
		if not trial.args.once:
			print("\n" + "\n".join(trial.addresses()) + "\nCtrl-C ends it and leaves nothing behind.", flush=True)
			signal.pause()
	except KeyboardInterrupt:
		pass
	finally:
		wrong = wrong + trial.stop()
	if trial.args.once:
		for line in wrong:
			print("WRONG:", line)
		print(f"{'all ledgers agree' if not wrong else 'the ledgers differ'}, {time.monotonic() - trial.started:.0f} s")
	return 1 if wrong and trial.args.once else 0


if __name__ == "__main__":
	sys.exit(main())
