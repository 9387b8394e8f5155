-- Intake's groups: each is one of these functions, called alone between two Syncs.
-- They run with the rights of intake's own role; only event_append inside has more.

-- Takes submissions of one lane. The i-th elements of the arrays make one; contacts are sparse:
-- p_contact_ord says whose they are. The keys are touched first, in their order; hits = 0 marks
-- what is new, and only for that are rows written and an event appended, last of all. Sent a
-- second time with the same ids it changes nothing but hits, so a ghost of a lost commit and its
-- repetition leave one request.
CREATE OR REPLACE FUNCTION intake_accept(p_lane smallint,
	p_key_lane smallint[], p_jurisdiction integer[], p_door integer[], p_key text[], p_body_hash bytea[],
	p_request bigint[], p_service integer[], p_channel smallint[], p_lat double precision[],
	p_long double precision[], p_address text[], p_address_id text[], p_lists jsonb[], p_frees jsonb[],
	p_description text[], p_media_url text[], p_owner integer[], p_deadline timestamptz[],
	p_requested_at timestamptz[], p_code_hash bytea[], p_state smallint[], p_outcome smallint[],
	p_updated_at timestamptz[],
	p_contact_ord integer[], p_email text[], p_phone text[], p_first_name text[], p_last_name text[],
	p_account_id text[], p_device_id text[], p_language text[],
	p_type smallint[], p_actor text[], p_trace bytea[], p_body bytea[])
RETURNS TABLE (ord integer, request_lane smallint, request bigint, turn smallint, hits integer,
	same boolean, seq bigint, generation integer, at timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
	v_hits integer[];
	v_lane smallint[];
	v_request bigint[];
	v_same boolean[];
	v_turn smallint[];
	v_all_new boolean;
	v_any_new boolean := false;
	v_generation integer;
	v_first bigint;
	v_at timestamptz;
BEGIN
	IF cardinality(p_request) = 1 THEN	-- alone: the same without a set to be unfolded
		INSERT INTO idempotency AS d (lane, jurisdiction, door, key, body_hash, hits,
			request_lane, request)
		VALUES (p_key_lane[1], p_jurisdiction[1], p_door[1], p_key[1], p_body_hash[1], 0, p_lane,
			p_request[1])
		ON CONFLICT (lane, jurisdiction, door, key) DO UPDATE SET hits = d.hits + 1
		RETURNING d.hits = 0 INTO v_all_new;
	ELSE
		WITH k AS (
			INSERT INTO idempotency AS d (lane, jurisdiction, door, key, body_hash, hits,
				request_lane, request)
			SELECT i.lane, i.jurisdiction, i.door, i.key, i.body_hash, 0, p_lane, i.request
			FROM unnest(p_key_lane, p_jurisdiction, p_door, p_key, p_body_hash, p_request)
				AS i (lane, jurisdiction, door, key, body_hash, request)
			ORDER BY i.lane, i.jurisdiction, i.door, i.key
			ON CONFLICT (lane, jurisdiction, door, key) DO UPDATE SET hits = d.hits + 1
			RETURNING d.hits
		)
		SELECT bool_and(k.hits = 0) INTO v_all_new FROM k;
	END IF;

	IF v_all_new AND cardinality(p_request) = 1 THEN
		INSERT INTO request (lane, request, jurisdiction, service, channel, door, lat, long,
			address_id, attributes, owner, deadline, requested_at, code_hash)
		VALUES (p_lane, p_request[1], p_jurisdiction[1], p_service[1], p_channel[1], p_door[1],
			p_lat[1], p_long[1], p_address_id[1], p_lists[1], p_owner[1], p_deadline[1],
			p_requested_at[1], p_code_hash[1]);
		INSERT INTO request_text (lane, request, jurisdiction, description, address, attributes,
			media_url)
		VALUES (p_lane, p_request[1], p_jurisdiction[1], p_description[1], p_address[1], p_frees[1],
			p_media_url[1]);
		IF cardinality(p_contact_ord) > 0 THEN
			INSERT INTO contact (lane, request, jurisdiction, email, phone, first_name, last_name,
				account_id, device_id, language)
			VALUES (p_lane, p_request[1], p_jurisdiction[1], p_email[1], p_phone[1],
				p_first_name[1], p_last_name[1], p_account_id[1], p_device_id[1], p_language[1]);
		END IF;
		INSERT INTO request_public (lane, request, jurisdiction, service, state, outcome,
			department, description, address, address_id, lat, long, media_url, requested_at,
			updated_at, expected_at)
		VALUES (p_lane, p_request[1], p_jurisdiction[1], p_service[1], p_state[1], p_outcome[1],
			p_owner[1], p_description[1], p_address[1], p_address_id[1], p_lat[1], p_long[1],
			p_media_url[1], p_requested_at[1], p_updated_at[1], p_deadline[1]);
		SELECT a.generation, a.first_seq, a.at INTO generation, seq, at
		FROM event_append(ARRAY[p_lane], p_jurisdiction, p_request, ARRAY[1], p_type,
			ARRAY[1::smallint], p_actor, p_trace, p_body) a;
		ord := 1;
		request_lane := p_lane;
		request := p_request[1];
		turn := 0;
		hits := 0;
		same := true;
		RETURN NEXT;
		RETURN;
	END IF;

	IF NOT v_all_new THEN
		SELECT array_agg(k.hits ORDER BY i.ord), array_agg(k.request_lane ORDER BY i.ord),
			array_agg(k.request ORDER BY i.ord), array_agg(k.body_hash = i.body_hash ORDER BY i.ord),
			array_agg(coalesce(r.code_turn, 0::smallint) ORDER BY i.ord),
			bool_or(k.hits = 0)
		INTO v_hits, v_lane, v_request, v_same, v_turn, v_any_new
		FROM unnest(p_key_lane, p_jurisdiction, p_door, p_key, p_body_hash) WITH ORDINALITY
			AS i (lane, jurisdiction, door, key, body_hash, ord)
		JOIN idempotency k ON k.lane = i.lane AND k.jurisdiction = i.jurisdiction
			AND k.door = i.door AND k.key = i.key
		LEFT JOIN request r ON r.lane = k.request_lane AND r.request = k.request;
	END IF;

	IF v_all_new OR v_any_new THEN
		INSERT INTO request (lane, request, jurisdiction, service, channel, door, lat, long,
			address_id, attributes, owner, deadline, requested_at, code_hash)
		SELECT p_lane, u.request, u.jurisdiction, u.service, u.channel, u.door, u.lat, u.long,
			u.address_id, u.lists, u.owner, u.deadline, u.requested_at, u.code_hash
		FROM unnest(p_request, p_jurisdiction, p_service, p_channel, p_door, p_lat, p_long,
			p_address_id, p_lists, p_owner, p_deadline, p_requested_at, p_code_hash)
			WITH ORDINALITY AS u (request, jurisdiction, service, channel, door, lat, long,
				address_id, lists, owner, deadline, requested_at, code_hash, ord)
		WHERE v_all_new OR v_hits[u.ord] = 0;

		INSERT INTO request_text (lane, request, jurisdiction, description, address, attributes,
			media_url)
		SELECT p_lane, u.request, u.jurisdiction, u.description, u.address, u.frees, u.media_url
		FROM unnest(p_request, p_jurisdiction, p_description, p_address, p_frees, p_media_url)
			WITH ORDINALITY AS u (request, jurisdiction, description, address, frees,
				media_url, ord)
		WHERE v_all_new OR v_hits[u.ord] = 0;

		IF cardinality(p_contact_ord) > 0 THEN
			INSERT INTO contact (lane, request, jurisdiction, email, phone, first_name, last_name,
				account_id, device_id, language)
			SELECT p_lane, p_request[u.ord], p_jurisdiction[u.ord], u.email, u.phone, u.first_name,
				u.last_name, u.account_id, u.device_id, u.language
			FROM unnest(p_contact_ord, p_email, p_phone, p_first_name, p_last_name, p_account_id,
				p_device_id, p_language) AS u (ord, email, phone, first_name, last_name,
					account_id, device_id, language)
			WHERE v_all_new OR v_hits[u.ord] = 0;
		END IF;

		INSERT INTO request_public (lane, request, jurisdiction, service, state, outcome,
			department, description, address, address_id, lat, long, media_url, requested_at,
			updated_at, expected_at)
		SELECT p_lane, u.request, u.jurisdiction, u.service, u.state, u.outcome, u.owner,
			u.description, u.address, u.address_id, u.lat, u.long, u.media_url,
			u.requested_at, u.updated_at, u.deadline
		FROM unnest(p_request, p_jurisdiction, p_service, p_state, p_outcome, p_owner,
			p_description, p_address, p_address_id, p_lat, p_long, p_media_url,
			p_requested_at, p_updated_at, p_deadline)
			WITH ORDINALITY AS u (request, jurisdiction, service, state, outcome, owner,
				description, address, address_id, lat, long, media_url, requested_at,
				updated_at, deadline, ord)
		WHERE v_all_new OR v_hits[u.ord] = 0;

		IF v_all_new THEN	-- nearly always: as they came
			SELECT a.generation, a.first_seq, a.at INTO v_generation, v_first, v_at
			FROM event_append(array_fill(p_lane, ARRAY[cardinality(p_request)]), p_jurisdiction,
				p_request, array_fill(1, ARRAY[cardinality(p_request)]), p_type,
				array_fill(1::smallint, ARRAY[cardinality(p_request)]), p_actor, p_trace, p_body) a;
			RETURN QUERY SELECT u.ord::integer, p_lane, u.request, 0::smallint, 0, true,
				v_first - 1 + u.ord, v_generation, v_at
			FROM unnest(p_request) WITH ORDINALITY AS u (request, ord);
			RETURN;
		END IF;
		SELECT a.generation, a.first_seq, a.at INTO v_generation, v_first, v_at
		FROM (
			SELECT array_agg(p_lane ORDER BY u.ord) AS lane,
				array_agg(u.jurisdiction ORDER BY u.ord) AS jurisdiction,
				array_agg(u.request ORDER BY u.ord) AS request,
				array_agg(1 ORDER BY u.ord) AS version,
				array_agg(u.type ORDER BY u.ord) AS type,
				array_agg(1::smallint ORDER BY u.ord) AS type_version,
				array_agg(u.actor ORDER BY u.ord) AS actor,
				array_agg(u.trace ORDER BY u.ord) AS trace,
				array_agg(u.body ORDER BY u.ord) AS body
			FROM unnest(p_jurisdiction, p_request, p_type, p_actor, p_trace, p_body)
				WITH ORDINALITY AS u (jurisdiction, request, type, actor, trace, body, ord)
			WHERE v_hits[u.ord] = 0
		) n, LATERAL event_append(n.lane, n.jurisdiction, n.request, n.version, n.type,
			n.type_version, n.actor, n.trace, n.body) a;
	END IF;

	RETURN QUERY
	SELECT u.ord::integer, u.lane, u.request, u.turn, u.hits, u.same,
		CASE WHEN u.hits = 0 THEN v_first - 1 + count(*) FILTER (WHERE u.hits = 0)
			OVER (ORDER BY u.ord) END,
		v_generation, v_at
	FROM unnest(v_lane, v_request, v_turn, v_hits, v_same) WITH ORDINALITY
		AS u (lane, request, turn, hits, same, ord)
	ORDER BY u.ord;
END $$;

-- Keeps answers of the survey, one a closing. inserted says that the row is new; ours, that the
-- stored answer is this very one (a repetition after a lost commit).
CREATE OR REPLACE FUNCTION intake_survey_answer(p_lane smallint, p_request bigint[], p_closing_seq bigint[],
	p_jurisdiction integer[], p_score smallint[], p_comment text[], p_language text[],
	p_at timestamptz[], p_trace bytea[], p_body bytea[])
RETURNS TABLE (ord integer, inserted boolean, ours boolean, seq bigint, generation integer, at timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
	v_new bigint[];
	v_generation integer;
	v_first bigint;
	v_at timestamptz;
BEGIN
	WITH k AS (
		INSERT INTO survey_answer (lane, request, closing_seq, jurisdiction, score, comment,
			language, at)
		SELECT p_lane, u.* FROM unnest(p_request, p_closing_seq, p_jurisdiction, p_score,
			p_comment, p_language, p_at) AS u
		ORDER BY 2, 3
		ON CONFLICT DO NOTHING
		RETURNING request
	)
	SELECT array_agg(k.request) INTO v_new FROM k;

	IF v_new IS NOT NULL THEN
		SELECT a.generation, a.first_seq, a.at INTO v_generation, v_first, v_at
		FROM (
			SELECT array_agg(p_lane ORDER BY u.ord) AS lane,
				array_agg(u.jurisdiction ORDER BY u.ord) AS jurisdiction,
				array_agg(u.request ORDER BY u.ord) AS request,
				array_agg(NULL::integer ORDER BY u.ord) AS version,
				array_agg(23::smallint ORDER BY u.ord) AS type,
				array_agg(1::smallint ORDER BY u.ord) AS type_version,
				array_agg('citizen'::text ORDER BY u.ord) AS actor,
				array_agg(u.trace ORDER BY u.ord) AS trace,
				array_agg(u.body ORDER BY u.ord) AS body
			FROM unnest(p_jurisdiction, p_request, p_trace, p_body)
				WITH ORDINALITY AS u (jurisdiction, request, trace, body, ord)
			WHERE u.request = ANY (v_new)
		) n, LATERAL event_append(n.lane, n.jurisdiction, n.request, n.version, n.type,
			n.type_version, n.actor, n.trace, n.body) a;
	END IF;

	RETURN QUERY
	SELECT u.ord::integer, u.fresh, s.at = u.at AND s.score = u.score,
		CASE WHEN u.fresh THEN v_first - 1 + count(*) FILTER (WHERE u.fresh) OVER (ORDER BY u.ord) END,
		v_generation, v_at
	FROM (
		SELECT i.*, coalesce(i.request = ANY (v_new), false) AS fresh
		FROM unnest(p_request, p_closing_seq, p_at, p_score) WITH ORDINALITY
			AS i (request, closing_seq, at, score, ord)
	) u
	JOIN survey_answer s ON s.lane = p_lane AND s.request = u.request
		AND s.closing_seq = u.closing_seq
	ORDER BY u.ord;
END $$;

DO $$
DECLARE
	f record;
BEGIN
	FOR f IN SELECT p.oid::regprocedure AS name FROM pg_proc p
		WHERE p.pronamespace = 'centraleta'::regnamespace
			AND p.proname IN ('intake_accept', 'intake_survey_answer')
	LOOP
		EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.name);
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO centraleta_intake', f.name);
	END LOOP;
END $$;
