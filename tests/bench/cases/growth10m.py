"""Growth, ten times further: ten thousand and ten millions. These take 51 GB and half an hour to make:
`mkdir -p tests/bench/results/growth-data/x1000` asks for them.
"""
import grown

NAME = "growth10m"
TITLE = "Growth: with ten million stored requests against 10,000"


def run(bench):
	if grown.folder(grown.SIZES["10 M"]).exists():
		grown.run(bench, "10 k", "10 M")
	else:
		bench.note("ten millions were not asked for: they take 51 GB")
