#!/usr/bin/python3
"""Posts requests at a steady rate from a process of its own and logs every acknowledgement.

usage: load.py CONFIG.json; it runs until its standard input closes, then finishes what is under way.
CONFIG: host, port, keys {jurisdiction_id: api key}, ledger, rate, mail_every, connections.
"""
import itertools
import json
import pathlib
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "deploy" / "trial"), str(ROOT / "tests" / "lib")]
from replay import Replay, requests_of
from stack import TOWNS


def rows_of(jurisdictions):
	"""The shipped rows of these towns in turn, as (key, form)."""
	lists = [list(requests_of(slug, jid, ROOT / "deploy" / "towns" / slug / "requests.csv"))
		for slug, (jid, *_) in TOWNS.items() if jid in jurisdictions]
	return [item for group in zip(*lists) for item in group]


def rounds_of(rows, mail_every):
	"""The rows over and over, each round with keys of its own."""
	numbers = itertools.count()
	for n in itertools.count():
		for key, form in rows:
			i = next(numbers)
			form = {k: v for k, v in form.items() if k not in ("email", "language")}
			if mail_every and i % mail_every == 0:
				form["email"] = f"citizen-{i}@citizen.test"
			yield f"{n}:{key}", form


class Endless(Replay):
	"""Goes on until `stopping` is set."""

	def run(self, rows, mail_every, stopping):
		self.stopping = stopping
		self.rounds = rounds_of(rows, mail_every)
		super().run([])

	def _take(self):
		if self.stopping.is_set():
			return None
		self.queue = self.rounds
		return super()._take()


def main(path):
	c = json.loads(pathlib.Path(path).read_text())
	replay = Endless(c["host"], c["port"], c["keys"], c["ledger"], c["rate"], c.get("connections", 8))
	stopping = threading.Event()
	threading.Thread(target=lambda: (sys.stdin.read(), stopping.set()), daemon=True).start()
	replay.run(rows_of(c["keys"]), c["mail_every"], stopping)
	latencies = sorted(replay.latencies)
	print(json.dumps({"answered": replay.answered, "retries": replay.retries, "refused": replay.refused[:20],
		"p50": latencies[len(latencies) // 2] if latencies else None}))


if __name__ == "__main__":
	if len(sys.argv) != 2:
		sys.exit(__doc__)
	main(sys.argv[1])
