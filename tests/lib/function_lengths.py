#!/usr/bin/python3
"""How long the functions of services and common are: TAP, with the figures as comments.

A function is what lies between a line "{" and a line "}" at the left margin; its length counts both.
usage: function_lengths.py SOURCE_ROOT
"""
import pathlib
import statistics
import sys

MEDIAN, P90, LONGEST, MAIN = 20, 60, 80, 60


def lengths(path):
	start, name, before = None, "", ""
	for number, line in enumerate(path.read_text().splitlines(), 1):
		if line == "{":
			start, name = number, before
		elif line.startswith("}") and start:
			yield number - start + 1, f"{path}:{start}", name
			start = None
		if line.strip():
			before = line


def main(root):
	root = pathlib.Path(root)
	files = [p for d in ("services", "common") for p in sorted((root / d).rglob("*.c"))]
	found = sorted((n, where) for p in files for n, where, name in lengths(p) if ")" in name)
	sizes = [n for n, _ in found]
	median, p90 = statistics.median(sizes), sizes[int(len(sizes) * 0.9)]
	mains = {p: len(p.read_text().splitlines()) for p in files if p.name == "main.c" and p.parent.name != "cli"}
	print(f"# {len(sizes)} functions: median {median:g}, 90th percentile {p90}, longest {sizes[-1]}")
	for n, where in found[-5:]:
		print(f"# {n} {where}")
	checks = [(median <= MEDIAN, f"median {median:g} <= {MEDIAN}"), (p90 <= P90, f"90th percentile {p90} <= {P90}"),
		(sizes[-1] <= LONGEST, f"longest {sizes[-1]} <= {LONGEST}"),
		(len(mains) == 5 and max(mains.values()) < MAIN, f"main.c of five daemons under {MAIN} lines")]
	print(f"1..{len(checks)}")
	for i, (good, what) in enumerate(checks, 1):
		print(f"{'ok' if good else 'not ok'} {i} - {what}")


if __name__ == "__main__":
	main(sys.argv[1])
