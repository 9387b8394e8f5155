-- Roles. Run by `centraleta migrate` before the migrations; safe to run again.
-- No role of a daemon owns anything, bypasses row-level security or can become another.
DO $$
DECLARE
	r text;
BEGIN
	FOREACH r IN ARRAY ARRAY['centraleta_owner', 'centraleta_definer', 'centraleta_daemon'] LOOP
		IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = r) THEN
			EXECUTE format('CREATE ROLE %I NOLOGIN', r);
		END IF;
	END LOOP;
	FOREACH r IN ARRAY ARRAY['centraleta_intake', 'centraleta_routing', 'centraleta_dispatch',
		'centraleta_notification', 'centraleta_analytics', 'centraleta_public',
		'centraleta_staff', 'centraleta_admin'] LOOP
		IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = r) THEN
			EXECUTE format('CREATE ROLE %I LOGIN', r);
		END IF;
	END LOOP;
END $$;

-- owns the few SECURITY DEFINER functions
ALTER ROLE centraleta_definer BYPASSRLS;
-- centraleta_daemon bundles what every daemon may do with the log
SET client_min_messages = warning;	-- "is already a member"
GRANT centraleta_daemon TO centraleta_intake, centraleta_routing, centraleta_dispatch,
	centraleta_notification, centraleta_analytics;
RESET client_min_messages;

DO $$
DECLARE
	r text;
BEGIN
	FOREACH r IN ARRAY ARRAY['centraleta_intake', 'centraleta_routing', 'centraleta_dispatch',
		'centraleta_notification', 'centraleta_analytics'] LOOP
		EXECUTE format('ALTER ROLE %I SET search_path = centraleta, public', r);
		EXECUTE format('ALTER ROLE %I SET synchronous_commit = on', r);
		EXECUTE format('ALTER ROLE %I SET lock_timeout = %L', r, '2s');
		EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', r, '5s');
		EXECUTE format('ALTER ROLE %I SET timezone = %L', r, 'UTC');
		-- every statement of a daemon is keyed: a plan must not hang on the statistics of
		-- a table's first minute
		EXECUTE format('ALTER ROLE %I SET enable_seqscan = off', r);
		-- the price of a scan that has no other way (a table of one row) then calls the
		-- compiler: 250 ms for a statement of 0.1
		EXECUTE format('ALTER ROLE %I SET jit = off', r);
		-- a page of a large table seems worth two processes: 18 ms to start them, for a
		-- tenth of one to read it
		EXECUTE format('ALTER ROLE %I SET max_parallel_workers_per_gather = 0', r);
		-- arrays of any length get one plan: planning each group anew cost a fifth of its time
		EXECUTE format('ALTER ROLE %I SET plan_cache_mode = force_generic_plan', r);
	END LOOP;
	FOREACH r IN ARRAY ARRAY['centraleta_public', 'centraleta_staff', 'centraleta_admin'] LOOP
		EXECUTE format('ALTER ROLE %I SET search_path = centraleta, public', r);
		EXECUTE format('ALTER ROLE %I SET lock_timeout = %L', r, '2s');
		EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', r, '5s');
		EXECUTE format('ALTER ROLE %I SET timezone = %L', r, 'UTC');
	END LOOP;
	EXECUTE format('ALTER ROLE centraleta_public SET statement_timeout = %L', '5s');
	ALTER ROLE centraleta_public SET enable_seqscan = off;	-- as for the daemons
	ALTER ROLE centraleta_public SET jit = off;
	ALTER ROLE centraleta_public SET max_parallel_workers_per_gather = 0;
	EXECUTE format('ALTER ROLE centraleta_public SET default_transaction_read_only = on');
END $$;
