"""A log_barrier() that waits for nothing: what shows that a test would see a group told too early."""


def broken_barrier(definition):
	"""definition: pg_get_functiondef() of the right one."""
	broken = definition.replace("PERFORM pg_logical_emit_message(true, 'centraleta', '');", "")
	# its commit seems to take long still: intake goes on trusting it
	broken = broken.replace("at := clock_timestamp();", "at := clock_timestamp() - interval '30 ms';")
	if "emit_message" in broken or "30 ms" not in broken:
		raise ValueError(f"not the log_barrier() that is known:\n{definition}")
	return broken
