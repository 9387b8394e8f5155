"""An old snapshot held under load: tests/snapshot, whose last minute is compared with its first.

It takes longer than the machine may be held for one comparison, because that is what is asked: ten
minutes. So its figures are those of one run, and each minute is in the plot.
"""
import json
import subprocess
import sys

import machine
from bench import ROOT

NAME = "snapshot"
TITLE = "An old snapshot held for ten minutes at 500 requests a second"
SECONDS, RATE = 600, 500


def measure(bench):
	with machine.alone() as waited:
		bench.waited += waited
		out = bench.temp / "minutes.json"
		done = subprocess.run([sys.executable, ROOT / "tests" / "snapshot", "--seconds", str(SECONDS), "--rate", str(RATE),
			"--build", bench.build, "--json", out], stdout=subprocess.PIPE, text=True)
	if not out.exists():
		raise RuntimeError(done.stdout)
	return bench.keep("held", json.loads(out.read_text()))


def run(bench):
	held = bench.done("held") or measure(bench)
	minutes = held["minutes"]
	first, last = minutes[0], minutes[-1]
	for key, name in (("p50_us", "p50 of the POST"), ("cpu_us", "CPU a request")):
		bench.result(f"{name}, last minute ÷ first", last[key] / first[key], "×", must="<= 1.2", aim="<= 1.05",
			samples=[m[key] for m in minutes], note=f"the samples are the {len(minutes)} parts, µs")
	bench.result("largest of lane, lease, member", max(held["sizes"]) / (1 << 20), "MiB", must="<= 1")
	bench.result("refused", sum(m["refused"] for m in minutes), "", must="<= 0", note=f"{RATE}/s, one in ten mailed")
	bench.plot("cpu", "CPU a request while an old snapshot is held", "minute", "µs", {
		"daemons and PostgreSQL": [(i + 1, m["cpu_us"]) for i, m in enumerate(minutes)]})
