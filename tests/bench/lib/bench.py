"""One benchmark: its folder, its kept repetitions, its figures. What a module of cases/ gets as `bench`.

    for rep in bench.pairs({"product": measure_product, "fastify": measure_fastify}):
        …                                # {"product": {…}, "fastify": {…}}; only valid repetitions
    bench.result("CPU a POST ÷ fastify + pg", median, "×", must="<= 0.35", aim="<= 0.2", samples=[…])

Everything that was measured is kept at once, so an interrupted run goes on where it stopped; a change of
the build starts anew.
"""
import contextlib
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import machine

ROOT = pathlib.Path(__file__).resolve().parents[3]
RESULTS = ROOT / "tests" / "bench" / "results"
MOVED = 1.25  # a flush that moved by more spoils a repetition
LIMIT_S = 600  # of one benchmark, waiting for the machine not counted
ROUND_S = 240  # longest time the machine is held at once


class NoResult(Exception):
	"""More than half of the repetitions were thrown away."""


class Later(Exception):
	"""The time of this benchmark is used up; what is finished is kept."""


class Bench:
	def __init__(self, name, build, identity, wanted=5):
		"""identity: of what is measured; kept repetitions of another one are removed. wanted: valid pairs."""
		self.name, self.build, self.wanted = name, pathlib.Path(build).resolve(), wanted
		self.folder = RESULTS / name
		self.started, self.waited, self.longest = time.monotonic(), 0.0, 0.0
		kept = self.folder / "identity"
		if self.folder.exists() and (not kept.exists() or kept.read_text() != identity):
			shutil.rmtree(self.folder)
		(self.folder / "steps").mkdir(parents=True, exist_ok=True)
		kept.write_text(identity)
		self.rows, self.plots, self.notes = [], [], []
		self.machine, self.held_since = contextlib.ExitStack(), 0.0
		self.temp = pathlib.Path(tempfile.mkdtemp(prefix=f"centraleta-bench-{name}-"))
		self.temp.chmod(0o755)

	def say(self, text):
		print(f"{time.monotonic() - self.started:6.1f} s  {self.name}: {text}", file=sys.stderr, flush=True)

	def time_left(self):
		return LIMIT_S - (time.monotonic() - self.started - self.waited)

	def program(self, name):
		"""A program of tests/bench."""
		return str(self.build / "tests" / "bench" / name)

	# ---- kept steps ---------------------------------------------------------------------------

	def _path(self, step):
		return self.folder / "steps" / f"{step}.json"

	def done(self, step):
		"""What was kept under this name; None if nothing."""
		path = self._path(step)
		return json.loads(path.read_text()) if path.exists() else None

	def keep(self, step, data):
		new = self._path(step).with_suffix(".new")
		new.write_text(json.dumps(data, indent=1))
		new.rename(self._path(step))
		return data

	@contextlib.contextmanager
	def preparing(self):
		"""Around what starts and warms: not while somebody measures."""
		with machine.alone(shared=True) as waited:
			self.waited += waited
			yield

	# ---- measuring ----------------------------------------------------------------------------

	def _take_machine(self):
		"""Holds it at most ROUND_S, so that others get their turn."""
		if self.held_since and time.monotonic() - self.held_since + self.longest < ROUND_S:
			return
		self.release()
		self.waited += self.machine.enter_context(machine.alone())
		self.held_since = time.monotonic()

	def release(self):
		self.machine.close()
		self.held_since = 0.0

	def round(self, step, sides, more=False):
		"""Calls each side once, one after another, alone on the machine, between two probes of the flush.
		Keeps and returns {"flush_us": [before, after], "valid": …, "sides": {name: what it returned}}.
		more: another one follows, the machine is kept."""
		if (kept := self.done(step)) is not None:
			return kept
		if self.time_left() < 1.1 * self.longest:
			raise Later(f"{self.name} needs more than {LIMIT_S} s")
		try:
			self._take_machine()
			began = time.monotonic()
			machine.settle_disk()
			before = machine.flush_us(self.temp)
			data = {name: measure() for name, measure in sides.items()}
			machine.settle_disk()
			after = machine.flush_us(self.temp)
			took = time.monotonic() - began
		finally:
			if not more:
				self.release()
		self.longest = max(self.longest, took)
		valid = max(before, after) <= MOVED * min(before, after)
		self.say(f"{step}: {took:.0f} s, flush {before:.0f} and {after:.0f} µs{'' if valid else ', thrown away'}"
			+ "".join(f"\n{'':10}{name}: {json.dumps(d)[:300]}" for name, d in data.items()))
		return self.keep(step, {"flush_us": [before, after], "valid": valid, "sides": data})

	def pairs(self, sides, wanted=None, prefix="pair"):
		"""Interleaved repetitions until `wanted` are valid: a list of {side: what it returned}. The order of
		the sides turns with each. Says in the notes which were thrown away."""
		names, valid, thrown, n, wanted = list(sides), [], [], 0, wanted or self.wanted
		while len(valid) < wanted:
			order = names[n % len(names):] + names[:n % len(names)]
			n += 1
			rep = self.round(f"{prefix}-{n}", {name: sides[name] for name in order}, more=True)
			if rep["valid"]:
				valid.append(rep["sides"])
			else:
				thrown.append(n)
				if len(thrown) > wanted:
					self.note(f"{prefix}: no result, {len(thrown)} of {n} repetitions thrown away: the flush moved")
					raise NoResult(f"{prefix}: {len(thrown)} of {n} repetitions thrown away, the flush moved")
		self.release()
		which = ": " + ", ".join(map(str, thrown)) if thrown else ""
		self.note(f"{prefix}: {n} repetitions, {len(thrown)} thrown away because the flush moved{which}")
		return valid

	# ---- figures ------------------------------------------------------------------------------

	def note(self, text):
		if text not in self.notes:
			self.notes.append(text)

	def result(self, row, figure, unit, must=None, aim=None, durable="", note="", samples=()):
		"""One line of the table. must and aim: "<= 0.35", ">= 2.5", None; figure None: no result."""
		self.rows.append({"row": row, "figure": figure, "unit": unit, "must": must, "aim": aim,
			"durable": durable, "note": note, "samples": list(samples)})
		self.say(f"{row}: {'no result' if figure is None else f'{figure:.4g}'} {unit}" + (f" (must {must})" if must else ""))

	def ratio(self, row, pairs, over, under, key, **more):
		"""The median of pairs[i][over][key] / pairs[i][under][key], as a result."""
		samples = [p[over][key] / p[under][key] for p in pairs]
		self.result(row, statistics.median(samples), "×", samples=samples, **more)

	def median(self, row, pairs, side, key, unit, scale=1.0, **more):
		samples = [p[side][key] * scale for p in pairs]
		self.result(row, statistics.median(samples), unit, samples=samples, **more)

	def plot(self, name, title, x, y, series):
		"""A line chart for the document. series: {label: [(x, y), …]}."""
		self.plots.append({"name": name, "title": title, "x": x, "y": y, "series": series})

	def finish(self, title, state):
		(self.folder / "result.json").write_text(json.dumps({"name": self.name, "title": title, "state": state,
			"rows": self.rows, "notes": self.notes, "plots": self.plots,
			"at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
			"seconds": round(time.monotonic() - self.started - self.waited)}, indent=1, ensure_ascii=False))

	def close(self):
		self.release()
		shutil.rmtree(self.temp, ignore_errors=True)


def judged(figure, wish):
	"""Whether a figure meets "<= 0.35" or ">= 2.5"; None where there is no wish or no figure."""
	if figure is None or not wish:
		return None
	sign, value = wish.split()
	return figure <= float(value) if sign == "<=" else figure >= float(value)


def load(bench, *args, timeout=300):
	"""The lines of JSON that a load generator of tests/bench printed."""
	done = subprocess.run([bench.program(args[0]), *map(str, args[1:])], capture_output=True, text=True, timeout=timeout)
	if done.returncode:
		raise RuntimeError(f"{' '.join(map(str, args))}: {done.stderr}")
	return [json.loads(line) for line in done.stdout.splitlines()]
