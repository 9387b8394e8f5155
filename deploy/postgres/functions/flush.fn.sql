-- Everything that committed before it was called is durable when its own commit is answered: it
-- writes something, so its commit waits for the flush (and the standby) as the session is set to.
-- Groups that were committed without waiting are told only after it. Returns the time just before
-- its commit and, so that both are known to be of one server, when that was started.
CREATE OR REPLACE FUNCTION log_barrier(OUT at timestamptz, OUT server timestamptz)
LANGUAGE plpgsql VOLATILE SET search_path = centraleta, pg_temp AS $$
BEGIN
	PERFORM pg_logical_emit_message(true, 'centraleta', '');
	at := clock_timestamp();
	server := pg_postmaster_start_time();
END $$;
REVOKE ALL ON FUNCTION log_barrier() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log_barrier() TO centraleta_daemon;
