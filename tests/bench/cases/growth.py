"""Growth: what a request costs with ten thousand and with a million stored."""
import grown

NAME = "growth"
TITLE = "Growth: with a million stored requests against 10,000"


def run(bench):
	grown.run(bench, "10 k", "1 M")
