#!/usr/bin/env python3
"""Turns the citizens' texts into C: texts.h (one TEXT_… each) and texts.c (a table a language).

Fails the build when a language lacks a text, has one too many, or when the {n} of a text differ
between languages.
"""
import json
import re
import sys

LANGUAGES = ["ca", "es", "en"]


def pairs_without_doubles(pairs):
	keys = [key for key, _ in pairs]
	for key in keys:
		if keys.count(key) > 1:
			sys.exit(f"text {key} is there twice")
	return dict(pairs)


def load(files):
	texts = {}
	for language, path in zip(LANGUAGES, files):
		with open(path, encoding="utf-8") as f:
			texts[language] = json.load(f, object_pairs_hook=pairs_without_doubles)
	return texts


def check(texts):
	for key in sorted(set().union(*texts.values())):
		holes = {}
		for language in LANGUAGES:
			if not texts[language].get(key):
				sys.exit(f"text {key} is missing in {language}")
			holes[language] = sorted(set(re.findall(r"\{\d\}", texts[language][key])))
		if len({tuple(h) for h in holes.values()}) > 1:
			sys.exit(f"text {key} has other places to fill in one language: {holes}")


def main(out_c, out_h, *files):
	texts = load(files)
	check(texts)
	keys = list(texts["en"])
	names = ["TEXT_" + re.sub(r"[^A-Z0-9]", "_", key.upper()) for key in keys]
	with open(out_h, "w", encoding="utf-8") as f:
		f.write("#pragma once\n/* made by catalogue/compile.py */\n")
		f.write("enum lang { " + ", ".join("LANG_" + l.upper() for l in LANGUAGES) + ", LANG_N };\n")
		f.write("enum text_id {\n" + "".join(f"\t{n},\n" for n in names) + "\tTEXT_N\n};\n")
		f.write("extern const char *const texts[LANG_N][TEXT_N];\n")
	with open(out_c, "w", encoding="utf-8") as f:
		f.write('/* made by catalogue/compile.py */\n#include "texts.h"\n\n')
		f.write("const char *const texts[LANG_N][TEXT_N] = {\n")
		for language in LANGUAGES:
			f.write("\t{\n")
			for key in keys:
				f.write("\t\t" + json.dumps(texts[language][key], ensure_ascii=False) + ",\n")
			f.write("\t},\n")
		f.write("};\n")


main(*sys.argv[1:])
