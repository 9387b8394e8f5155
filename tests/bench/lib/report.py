"""docs/PERFORMANCE.md between its marks, docs/performance/*.svg and results/results.json, from what is kept."""
import json
import subprocess

import cluster
import machine
import svg
from bench import RESULTS, ROOT, judged

DOCUMENT = ROOT / "docs" / "PERFORMANCE.md"
BEGIN, END = "<!-- tests/bench/run begin -->", "<!-- tests/bench/run end -->"
VERDICT = {True: "met", False: "**missed**", None: ""}


def number(v):
	if v is None:
		return "no result"
	if v == 0:
		return "0"
	return f"{v:,.0f}" if abs(v) >= 1000 else f"{v:.3g}"


def table(result):
	lines = ["| | median | min – max | must | aim | durable at its acknowledgement |", "| - | -: | -: | - | - | - |"]
	for r in result["rows"]:
		unit = "" if r["unit"] == "×" else f" {r['unit']}"
		spread = f"{number(min(r['samples']))} – {number(max(r['samples']))}" if len(r["samples"]) > 1 else ""
		must = f"{r['must'] or ''} {VERDICT[judged(r['figure'], r['must'])]}".strip()
		aim = f"{r['aim'] or ''} {VERDICT[judged(r['figure'], r['aim'])].replace('*', '')}".strip()
		label = r["row"] + (f" ({r['note']})" if r["note"] else "")
		lines.append(f"| {label} | {number(r['figure'])}{unit} | {spread} | {must} | {aim} | {r['durable']} |".replace("  ", " "))
	return lines


def plots(result):
	"""(file name, SVG text) of the ranges of the first three units, and of the lines."""
	by_unit = {}
	for r in result["rows"]:
		if r["samples"]:
			wishes = [(w, float(r[w].split()[1])) for w in ("must", "aim") if r[w]]
			by_unit.setdefault(r["unit"], []).append((r["row"], r["samples"], wishes))
	for n, (unit, rows) in enumerate(list(by_unit.items())[:3], 1):
		yield f"{result['name']}-{n}.svg", svg.ranges(result["title"], unit, rows)
	for p in result["plots"]:
		yield f"{p['name']}.svg", svg.lines(p["title"], p["x"], p["y"], p["series"])


def section(result, folder):
	lines = [f"### {result['name']}: {result['title']}", ""]
	if result["state"] != "done":
		lines += [f"*{result['state']}*", ""]
	lines += table(result) + [""]
	lines += [f"- {n}" for n in result["notes"]]
	lines += [f"- measured {result['at']} in {result['seconds']} s", ""]
	for name, text in plots(result):
		(folder / name).write_text(text, encoding="utf-8")
		lines += [f"![{result['title']}](performance/{name})", ""]
	return lines


def versions():
	"""Of what is compared."""
	def said(*argv):
		try:
			return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
		except (OSError, subprocess.CalledProcessError):
			return "missing"
	packages = json.loads((ROOT / "tests/bench/peers/package.json").read_text())["dependencies"]
	debian = {p: said("dpkg-query", "-W", "-f", "${Version}", p) for p in ("rabbitmq-server", "libzmq5", "libevent-2.1-7")}
	return ", ".join([said(f"{cluster.bindir()}/postgres", "--version").replace("postgres (PostgreSQL)", "PostgreSQL").split(" (")[0], f"node {said('node', '--version')}",
		*(f"{name} {version}" for name, version in {**packages, **debian}.items())])


def write(order):
	"""order: names of the benchmarks as the document shows them."""
	found = [json.loads(p.read_text()) for n in order if (p := RESULTS / n / "result.json").exists()]
	folder = DOCUMENT.parent / "performance"
	folder.mkdir(exist_ok=True)
	(RESULTS / "results.json").write_text(json.dumps({"machine": machine.describe(), "results": found}, indent=1, ensure_ascii=False))
	lines = [BEGIN, "", f"On {machine.describe()}. {versions()}.", ""]
	for result in found:
		lines += section(result, folder)
	text = DOCUMENT.read_text(encoding="utf-8")
	before, after = text.split(BEGIN)[0], text.split(END)[1]
	DOCUMENT.write_text(before + "\n".join(lines) + END + after, encoding="utf-8")
