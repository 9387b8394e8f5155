-- Row-level security, forced, on every table that holds a town's rows.
-- A reading role sees one town: RESTRICTIVE on app.jurisdiction, which is set for one transaction
-- only; unset or empty shows nothing. Writers' batches span towns and are bounded by their grants.
DO $$
DECLARE
	t text;
	r text;
	writers constant text[] := ARRAY['centraleta_intake', 'centraleta_routing', 'centraleta_dispatch',
		'centraleta_notification', 'centraleta_analytics', 'centraleta_admin'];
	readers constant text[] := ARRAY['centraleta_public', 'centraleta_staff'];
BEGIN
	FOR t IN
		SELECT c.relname FROM pg_class c
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'jurisdiction' AND NOT a.attisdropped
		WHERE c.relnamespace = 'centraleta'::regnamespace AND c.relkind IN ('r', 'p')
			-- the town's own row is how a reader learns that it exists
			AND c.relname <> 'jurisdiction'
		ORDER BY c.relname
	LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		FOREACH r IN ARRAY writers || readers LOOP
			CONTINUE WHEN EXISTS (SELECT 1 FROM pg_policies p WHERE p.schemaname = 'centraleta'
				AND p.tablename = t AND p.policyname = r);
			EXECUTE format('CREATE POLICY %I ON %I AS PERMISSIVE FOR ALL TO %I USING (true) WITH CHECK (true)',
				r, t, r);
		END LOOP;
		FOREACH r IN ARRAY readers LOOP
			CONTINUE WHEN EXISTS (SELECT 1 FROM pg_policies p WHERE p.schemaname = 'centraleta'
				AND p.tablename = t AND p.policyname = r || '_one_town');
			EXECUTE format('CREATE POLICY %I ON %I AS RESTRICTIVE FOR ALL TO %I USING '
				'(jurisdiction = NULLIF(current_setting(''app.jurisdiction'', true), '''')::integer)',
				r || '_one_town', t, r);
		END LOOP;
	END LOOP;
END $$;
