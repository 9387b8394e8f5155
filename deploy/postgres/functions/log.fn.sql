-- The only code that may insert into event, progress and delivery.
-- All are volatile plpgsql: under READ COMMITTED each statement inside sees what committed before
-- it began. That is what makes the numbers right: the newest number is read in a statement of its
-- own, after the lock was waited for. Read in the statement that locks it gives duplicate keys.

-- The fence. First call of a consumer's group: takes the next step of (consumer, lane), or says
-- that the caller is not the holder. The checks come after the insert, so they see whoever
-- committed meanwhile.
CREATE OR REPLACE FUNCTION event_step(p_consumer text, p_lane smallint, p_step bigint, p_seq bigint)
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = centraleta, pg_temp AS $$
DECLARE
	v_end bigint;
	v_follows boolean;
	v_past boolean;
	v_why text;
BEGIN
	INSERT INTO progress VALUES (p_consumer, p_lane, p_step + 1, p_seq) ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		v_why := 'is taken';
	ELSE
		SELECT greatest(coalesce((SELECT e.seq FROM event e WHERE e.lane = p_lane
				ORDER BY e.seq DESC LIMIT 1), 0),
				(SELECT l.after FROM lane l WHERE l.lane = p_lane)),
			EXISTS (SELECT 1 FROM progress WHERE consumer = p_consumer AND lane = p_lane
				AND step = p_step AND seq <= p_seq),
			EXISTS (SELECT 1 FROM progress WHERE consumer = p_consumer AND lane = p_lane
				AND step > p_step + 1)
		INTO v_end, v_follows, v_past;
		IF p_seq > v_end THEN
			v_why := 'goes beyond the log';
		ELSIF NOT v_follows THEN
			v_why := 'has no step before it';
		ELSIF v_past THEN
			v_why := 'is past';
		END IF;
	END IF;
	IF v_why IS NOT NULL THEN
		RAISE EXCEPTION 'step % of %, lane % %', p_step + 1, p_consumer, p_lane, v_why
			USING ERRCODE = 'ZC001';
	END IF;
END $$;

-- Appends events and says which numbers they got. Last call of a group. The i-th elements of the
-- arrays make one event; p_key_version NULL: changes no state. Events of one lane keep their order.
-- One row a lane, ascending: first_seq … first_seq + appended - 1.
CREATE OR REPLACE FUNCTION event_append(p_lane smallint[], p_jurisdiction integer[], p_order_key bigint[],
	p_key_version integer[], p_type smallint[], p_type_version smallint[], p_actor text[],
	p_trace bytea[], p_body bytea[])
RETURNS TABLE (lane smallint, generation integer, first_seq bigint, appended integer, at timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = centraleta, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_lane smallint := p_lane[1];
	v_generation integer;
	v_base bigint;
	v_head bigint;
	v_appended integer;
	v_at timestamptz;
BEGIN
	IF NOT v_lane = ALL (p_lane) THEN	-- lane by lane, so that locks are taken ascending
		FOR v_lane IN SELECT DISTINCT u FROM unnest(p_lane) u ORDER BY u LOOP
			RETURN QUERY SELECT a.* FROM (
				SELECT array_agg(i.lane ORDER BY i.ord) AS lane,
					array_agg(i.jurisdiction ORDER BY i.ord) AS jurisdiction,
					array_agg(i.order_key ORDER BY i.ord) AS order_key,
					array_agg(i.key_version ORDER BY i.ord) AS key_version,
					array_agg(i.type ORDER BY i.ord) AS type,
					array_agg(i.type_version ORDER BY i.ord) AS type_version,
					array_agg(i.actor ORDER BY i.ord) AS actor,
					array_agg(i.trace ORDER BY i.ord) AS trace,
					array_agg(i.body ORDER BY i.ord) AS body
				FROM unnest(p_lane, p_jurisdiction, p_order_key, p_key_version, p_type,
					p_type_version, p_actor, p_trace, p_body) WITH ORDINALITY
					AS i (lane, jurisdiction, order_key, key_version, type,
						type_version, actor, trace, body, ord)
				WHERE i.lane = v_lane
			) n, LATERAL event_append(n.lane, n.jurisdiction, n.order_key, n.key_version, n.type,
				n.type_version, n.actor, n.trace, n.body) a;
		END LOOP;
		RETURN;
	END IF;

	SELECT l.generation, l.base INTO v_generation, v_base
	FROM lane l WHERE l.lane = v_lane FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no lane %', v_lane USING ERRCODE = '22023';
	END IF;
	v_at := clock_timestamp();
	IF cardinality(p_lane) = 1 THEN	-- alone: the same without a set to be unfolded
		INSERT INTO event (lane, seq, jurisdiction, order_key, key_version, type, type_version, at,
			actor, trace, body)
		VALUES (v_lane, 1 + greatest((SELECT e.seq FROM event e WHERE e.lane = v_lane
				ORDER BY e.seq DESC LIMIT 1), v_base),
			p_jurisdiction[1], p_order_key[1], p_key_version[1], p_type[1], p_type_version[1], v_at,
			p_actor[1], p_trace[1], p_body[1])
		RETURNING event.seq INTO first_seq;
		lane := v_lane;
		generation := v_generation;
		appended := 1;
		at := v_at;
		RETURN NEXT;
		RETURN;
	END IF;
	SELECT e.seq INTO v_head FROM event e WHERE e.lane = v_lane ORDER BY e.seq DESC LIMIT 1;
	v_head := greatest(v_head, v_base);
	INSERT INTO event (lane, seq, jurisdiction, order_key, key_version, type, type_version, at, actor,
		trace, body)
	SELECT v_lane, v_head + i.ord, i.jurisdiction, i.order_key, i.key_version, i.type, i.type_version,
		v_at, i.actor, i.trace, i.body
	FROM unnest(p_jurisdiction, p_order_key, p_key_version, p_type, p_type_version, p_actor,
		p_trace, p_body) WITH ORDINALITY
		AS i (jurisdiction, order_key, key_version, type, type_version, actor, trace, body, ord);
	GET DIAGNOSTICS v_appended = ROW_COUNT;
	RETURN QUERY VALUES (v_lane, v_generation, v_head + 1, v_appended, v_at);
END $$;

-- Numbers deliveries in their departments' streams. Before event_append in a group. The order of
-- the arrays is the order of a department's numbers. prev is the number before in the same topic
-- (department and service).
CREATE OR REPLACE FUNCTION delivery_append(p_lane smallint[], p_department integer[], p_jurisdiction integer[],
	p_service integer[], p_kind smallint[], p_work_lane smallint[], p_work_item bigint[],
	p_key_version integer[])
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = centraleta, pg_temp AS $$
DECLARE
	v_base bigint;
	v_stored integer;
BEGIN
	IF cardinality(p_department) = 1 THEN	-- alone: the same without a set to be unfolded
		SELECT dl.base INTO v_base FROM department_line dl
			WHERE dl.lane = p_lane[1] AND dl.department = p_department[1] FOR NO KEY UPDATE;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'of 1 deliveries only 0 have a department with a line on their lane'
				USING ERRCODE = '22023';
		END IF;
		INSERT INTO delivery (lane, department, dseq, prev, jurisdiction, service, kind, work_lane,
			work_item, key_version, at)
		VALUES (p_lane[1], p_department[1],
			1 + greatest(v_base, (SELECT d.dseq FROM delivery d WHERE d.lane = p_lane[1]
				AND d.department = p_department[1] ORDER BY d.dseq DESC LIMIT 1)),
			coalesce((SELECT d.dseq FROM delivery d WHERE d.lane = p_lane[1]
				AND d.department = p_department[1] AND d.service = p_service[1]
				ORDER BY d.dseq DESC LIMIT 1), 0),
			p_jurisdiction[1], p_service[1], p_kind[1], p_work_lane[1], p_work_item[1],
			p_key_version[1], clock_timestamp());
		RETURN;
	END IF;
	PERFORM 1 FROM department_line dl
		WHERE dl.lane = ANY (p_lane) AND dl.department = ANY (p_department)
		ORDER BY dl.department FOR NO KEY UPDATE;
	WITH head AS MATERIALIZED (
		SELECT dl.lane, dl.department, greatest(dl.base, coalesce(
			(SELECT d.dseq FROM delivery d WHERE d.lane = dl.lane AND d.department = dl.department
				ORDER BY d.dseq DESC LIMIT 1), 0)) AS dseq
		FROM department_line dl
		WHERE dl.lane = ANY (p_lane) AND dl.department = ANY (p_department)
	)
	INSERT INTO delivery (lane, department, dseq, prev, jurisdiction, service, kind, work_lane,
		work_item, key_version, at)
	SELECT i.lane, i.department, h.dseq + i.n,
		coalesce(h.dseq + lag(i.n) OVER (PARTITION BY i.department, i.service ORDER BY i.n),
			(SELECT d.dseq FROM delivery d WHERE d.lane = i.lane AND d.department = i.department
				AND d.service = i.service ORDER BY d.dseq DESC LIMIT 1), 0),
		i.jurisdiction, i.service, i.kind, i.work_lane, i.work_item, i.key_version, clock_timestamp()
	FROM (
		SELECT u.*, row_number() OVER (PARTITION BY u.department ORDER BY u.ord) AS n
		FROM unnest(p_lane, p_department, p_jurisdiction, p_service, p_kind, p_work_lane,
			p_work_item, p_key_version) WITH ORDINALITY
			AS u (lane, department, jurisdiction, service, kind, work_lane, work_item,
				key_version, ord)
	) i
	JOIN head h ON h.lane = i.lane AND h.department = i.department;
	GET DIAGNOSTICS v_stored = ROW_COUNT;
	IF v_stored <> cardinality(p_department) THEN
		RAISE EXCEPTION 'of % deliveries only % have a department with a line on their lane',
			cardinality(p_department), v_stored USING ERRCODE = '22023';
	END IF;
END $$;

DO $$
DECLARE
	f record;
BEGIN
	FOR f IN SELECT p.oid::regprocedure AS name FROM pg_proc p
		WHERE p.pronamespace = 'centraleta'::regnamespace
			AND p.proname IN ('event_step', 'event_append', 'delivery_append')
	LOOP
		EXECUTE format('ALTER FUNCTION %s OWNER TO centraleta_definer', f.name);
		EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.name);
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO centraleta_daemon', f.name);
	END LOOP;
END $$;
