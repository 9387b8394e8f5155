#!/usr/bin/env python3
"""Turns the catalogues into C: generate.py OUT.c OUT.h ca.json es.json en.json

A key that one language lacks, a placeholder that differs or that the program doesn't fill, an
empty text or a control character ends the build with a line that names file and key.
"""
import json
import pathlib
import re
import sys

FILLED = {"town", "id", "service", "date", "department", "day", "month", "year"}


def no_duplicates(pairs):
	found = {}
	for key, value in pairs:
		if key in found:
			raise ValueError("key '%s' is there twice" % key)
		found[key] = value
	return found


def load(path):
	try:
		return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=no_duplicates)
	except ValueError as e:
		sys.exit("%s: %s" % (path.name, e))


def placeholders(text):
	return sorted(re.findall(r"\{([^}]*)\}", text))


def check(languages):
	first_name, first = languages[0]
	for name, texts in languages:
		for key in sorted(set(first) | set(texts)):
			where = "catalogue/%s.json: '%s'" % (name, key)
			if key not in texts:
				sys.exit(where + " is missing")
			if key not in first:
				sys.exit("catalogue/%s.json: '%s' is missing" % (first_name, key))
			text = texts[key]
			if not isinstance(text, str) or not text.strip() or re.search(r"[\x00-\x1f\x7f]", text):
				sys.exit(where + " must be one line of text")
			if placeholders(text) != placeholders(first[key]):
				sys.exit(where + " has other placeholders than " + first_name)
			if not set(placeholders(text)) <= FILLED:
				sys.exit(where + " has a placeholder that nobody fills")


def name_of(key):
	return "TEXT_" + re.sub(r"[^A-Z0-9]", "_", key.upper())


def c_string(text):
	return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?") + '"'


def header(languages, keys):
	lines = ["#pragma once", "/* made from catalogue/<language>.json */", "enum catalogue_language {"]
	lines += ["\tCATALOGUE_%s," % name.upper() for name, _ in languages]
	lines += ["\tCATALOGUE_LANGUAGES,", "};", "enum catalogue_text {"]
	lines += ["\t%s," % name_of(key) for key in keys]
	lines += ["\tTEXT_COUNT,", "};",
		"extern const char *const catalogue_codes[CATALOGUE_LANGUAGES];",
		"extern const char *const catalogue[CATALOGUE_LANGUAGES][TEXT_COUNT];", ""]
	return "\n".join(lines)


def source(languages, keys, include):
	lines = ['#include "%s"' % include, "const char *const catalogue_codes[CATALOGUE_LANGUAGES] = {"]
	lines += ["\t%s," % c_string(name) for name, _ in languages]
	lines += ["};", "const char *const catalogue[CATALOGUE_LANGUAGES][TEXT_COUNT] = {"]
	for name, texts in languages:
		lines.append("\t[CATALOGUE_%s] = {" % name.upper())
		lines += ["\t\t[%s] = %s," % (name_of(key), c_string(texts[key])) for key in keys]
		lines.append("\t},")
	return "\n".join(lines + ["};", ""])


def main():
	out_c, out_h, *inputs = map(pathlib.Path, sys.argv[1:])
	languages = [(path.stem, load(path)) for path in inputs]
	check(languages)
	keys = list(languages[0][1])
	out_h.write_text(header(languages, keys), encoding="utf-8")
	out_c.write_text(source(languages, keys, out_h.name), encoding="utf-8")


if __name__ == "__main__":
	main()
