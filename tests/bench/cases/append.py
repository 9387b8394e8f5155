"""event_append() beside COPY of the same rows into the same table, a commit each 256 rows on each of two lanes."""
import itertools
import time

import rows
from sides import Product, Store, warm

NAME = "append"
TITLE = "event_append() beside COPY of the same rows"
SECONDS = 12


def run(bench):
	parts = []
	try:
		with bench.preparing():
			parts.append(source := Product(bench, kinds=("intake",)).start())
			parts.append(appended := Store(bench, "appended").start_store())
			parts.append(copied := Store(bench, "copied").start_store())
			warm(source, 2)
			firsts = itertools.count(time.time_ns() // 1000, 100_000_000)
			limits = "FROM event WHERE key_version = 1 ORDER BY seq, lane LIMIT 4096"
			sql = rows.statement("common/eventlog/queries.def", "EVENTLOG_APPEND")
			def append(seconds=SECONDS):
				return rows.write(bench, source, appended, "centraleta_intake", f"SELECT {rows.APPEND} {limits}", sql, seconds,
					next(firsts), depth=1)
			def copy(seconds=SECONDS):
				return rows.write(bench, source, copied, "postgres", f"SELECT {rows.EVENT} {limits}",
					f"COPY event ({rows.EVENT}) FROM STDIN (FORMAT binary)", seconds, next(firsts), depth=1)
			append(3)
			copy(3)
		report(bench, bench.pairs({"append": append, "copy": copy}))
	finally:
		for part in reversed(parts):
			part.stop()


def report(bench, pairs):
	total = SECONDS * len(pairs)
	bench.ratio("event_append ÷ COPY, rows/s", pairs, "append", "copy", "rate", must=">= 0.8", aim=">= 0.95", durable="both")
	bench.ratio("event_append ÷ COPY, CPU a row", pairs, "append", "copy", "cpu_us", durable="both")
	for side, name in (("append", "event_append"), ("copy", "COPY")):
		bench.median(f"{name}: events", pairs, side, "rate", "/s", durable="yes")
		bench.median(f"{name}: CPU an event, PostgreSQL", pairs, side, "postgres_us", "µs CPU", durable="yes")
	bench.note(f"{total} s of each in turns of {SECONDS} s; a group of 256 rows a commit, one under way on each of two connections")
