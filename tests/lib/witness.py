#!/usr/bin/python3
"""The departments of a town as deploy/trial/crew.py plays them, and a file of all that each was told.

usage: as crew.py. Beside <department>.jsonl there is <department>.told: a line a delivery, repeated
ones too, written before it is acknowledged, and a line an acknowledgement that was confirmed.
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "trial"))
import crew

DELIVERY = ("generation", "dseq", "prev", "kind", "work_item", "service_request_id", "service_code")


class Witness(crew.Department):
	def __init__(self, pb, context, endpoint, key_file, delays):
		self.told = open(key_file.with_suffix(".told"), "a", encoding="utf-8")
		super().__init__(pb, context, endpoint, key_file, delays)

	def tell(self, rows):
		self.told.write("".join(json.dumps(row) + "\n" for row in rows))
		self.told.flush()

	def keep(self, work):
		self.tell({name: getattr(w, name) for name in DELIVERY} for w in work)
		super().keep(work)

	def take(self, frame):
		if frame.HasField("ack_stored"):
			a = frame.ack_stored
			self.tell([{"position": a.position, "stored": [[r.first, r.last] for r in a.ranges]}])
		super().take(frame)


if __name__ == "__main__":
	try:
		crew.main(*sys.argv[1:], kind=Witness)
	except KeyboardInterrupt:
		pass
