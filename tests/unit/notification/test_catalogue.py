"""The catalogue's generator: a fault in one language ends the build with a line that names it."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

FOLDER = pathlib.Path(os.environ.get("CENTRALETA_SOURCE_ROOT",
	pathlib.Path(__file__).resolve().parents[3])) / "services" / "notification" / "catalogue"


class TestCatalogue(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.folder = pathlib.Path(folder.name)
		self.texts = {p.stem: json.loads(p.read_text("utf-8")) for p in FOLDER.glob("*.json")}

	def generate(self):
		paths = []
		for name in ("ca", "es", "en"):
			paths.append(self.folder / (name + ".json"))
			paths[-1].write_text(json.dumps(self.texts[name]), "utf-8")
		return subprocess.run([sys.executable, FOLDER / "generate.py", self.folder / "c.c",
			self.folder / "c.h", *paths], capture_output=True, text=True, check=False)

	def refused(self, *parts):
		run = self.generate()
		self.assertNotEqual(run.returncode, 0)
		for part in parts:
			self.assertIn(part, run.stderr)
		self.assertEqual(run.stderr.count("\n"), 1)

	def test_the_shipped_ones_pass(self):
		self.assertEqual(set(self.texts), {"ca", "es", "en"})
		self.assertEqual(self.generate().stderr, "")

	def test_missing_key(self):
		del self.texts["es"]["outcome.done"]
		self.refused("es.json", "'outcome.done' is missing")

	def test_key_that_only_one_has(self):
		self.texts["en"]["extra"] = "x"
		self.refused("ca.json", "'extra' is missing")

	def test_other_placeholders(self):
		self.texts["en"]["date"] = "{day} {month}"
		self.refused("en.json", "'date'", "placeholders")

	def test_placeholder_that_nobody_fills(self):
		for texts in self.texts.values():
			texts["hello"] = "Dear {name}"
		self.refused("'hello'", "nobody fills")

	def test_empty_and_control(self):
		self.texts["ca"]["hello"] = " "
		self.refused("ca.json", "'hello'")
		self.texts["ca"]["hello"] = "a\r\nb"
		self.refused("ca.json", "'hello'")


if __name__ == "__main__":
	unittest.main()
