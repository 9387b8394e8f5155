"""Compares what was seen outside the daemons with each other and with the store.

Four ledgers: what the HTTP client was told, what the departments' subscribers wrote down, the
Maildir, what the survey client was told. Every row of one must have its row in the others, once.
"""
import collections
import json


def read(path):
	try:
		with open(path, encoding="utf-8") as f:
			return [json.loads(line) for line in f if line.strip()]
	except FileNotFoundError:
		return []


class Check:
	def __init__(self):
		self.rows, self.wrong = [], []

	def same(self, what, have, want, where):
		"""have and want are lists of ids; each must be in both, and once."""
		have_count, want_set = collections.Counter(have), set(want)
		missing = sorted(want_set - set(have_count))
		foreign = sorted(set(have_count) - want_set)
		twice = sorted(k for k, n in have_count.items() if n > 1)
		self.rows.append((what, where, len(want_set), len(have_count), len(missing), len(twice), len(foreign)))
		for name, found in (("missing", missing), ("twice", twice), ("foreign", foreign)):
			if found:
				self.wrong.append(f"{what}, {where}: {len(found)} {name}, for example {found[:5]}")

	def table(self):
		head = ("what", "where", "wanted", "found", "missing", "twice", "foreign")
		rows = [head] + [tuple(str(c) for c in r) for r in self.rows]
		widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
		return "\n".join("  ".join(c.ljust(w) if i < 2 else c.rjust(w)
			for i, (c, w) in enumerate(zip(r, widths))) for r in rows)


def work_of(paths):
	"""Subscribers' files, after de-duplication by (department, dseq): the requests they got."""
	seen = {}
	for path in paths:
		for line in read(path):
			if "dseq" in line:
				seen[(str(path), line["dseq"])] = line["service_request_id"]
	return list(seen.values())


def compare(told, work, mails, surveys, store, uncertain=(), resent=()):
	"""store: function of an SQL text that returns its first column as a list of text.

	uncertain and resent: Message-IDs that the store itself lists; a mail may be missing only if
	it is uncertain, twice only if it is listed as sent again.
	"""
	check = Check()
	ids = [t["service_request_id"] for t in told]
	mailed = [t["service_request_id"] for t in told if t["email"]]
	check.same("request", store("SELECT request FROM centraleta.request"), ids, "store")
	check.same("work received", work, ids, "subscribers")
	check.same("delivery", store("SELECT w.request FROM centraleta.delivery d JOIN centraleta.work_request w"
		" ON w.lane = d.work_lane AND w.work_item = d.work_item"), ids, "store")
	check.same("request closed", store("SELECT request FROM centraleta.request_public WHERE state = 5"), ids,
		"store")
	unsure = set(uncertain)
	for kind, number in (("received", 1), ("resolved", 2)):
		listed = {r for k, r in unsure if k == kind}
		got = [r for k, r, _, _ in mails if k == kind]
		twice = [r for r, n in collections.Counter(got).items() if n > 1 and r in listed]
		if twice:
			check.wrong.append(f"mail {kind}: {len(twice)} uncertain ones came twice, for example {twice[:5]}")
		check.same(f"mail {kind}", [r for r in got if r not in listed],
			[r for r in mailed if r not in listed], "Maildir")
		check.same(f"message {kind}", store("SELECT request FROM centraleta.message WHERE channel = 1"
			f" AND kind = {number}"), mailed, "store")
		check.same(f"no address {kind}", store("SELECT request FROM centraleta.message WHERE channel = 0"
			f" AND kind = {number}"), [i for i in ids if i not in set(mailed)], "store")
	answered = [s["service_request_id"] for s in surveys]
	check.same("survey answered", store("SELECT request FROM centraleta.survey_answer"), answered, "store")
	asked = [r for k, r, _, _ in mails if k == "resolved"]
	check.same("survey answered", answered, asked, "survey client")
	return check
