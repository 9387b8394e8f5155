#!/usr/bin/python3
"""Runs one file of unittest cases and prints TAP, so that the runner counts each case.

usage: tap_unittest.py FILE.py [BUILD]; BUILD goes into CENTRALETA_BUILD.
"""
import importlib.util
import os
import pathlib
import sys
import unittest


class Tap(unittest.TestResult):
	def __init__(self):
		super().__init__()
		self.number = 0

	def line(self, good, test, remark=""):
		self.number += 1
		print(f"{'ok' if good else 'not ok'} {self.number} - {test.id().split('.', 1)[-1]}{remark}", flush=True)

	def told(self, test, err):
		for line in self._exc_info_to_string(err, test).splitlines():
			print("# " + line, flush=True)
		self.line(False, test)

	def addSuccess(self, test):
		self.line(True, test)

	def addFailure(self, test, err):
		super().addFailure(test, err)
		self.told(test, err)

	def addError(self, test, err):
		super().addError(test, err)
		self.told(test, err)

	def addSkip(self, test, reason):
		self.line(True, test, f" # SKIP {reason}")

	def addSubTest(self, test, subtest, err):
		super().addSubTest(test, subtest, err)
		if err is not None:
			self.told(subtest, err)


def main(path, build=None):
	if build:
		os.environ["CENTRALETA_BUILD"] = build
	spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, path)
	module = importlib.util.module_from_spec(spec)
	sys.modules[spec.name] = module
	spec.loader.exec_module(module)
	result = Tap()
	unittest.defaultTestLoader.loadTestsFromModule(module).run(result)
	print(f"1..{result.number}")
	return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
	sys.exit(main(*sys.argv[1:3]))
