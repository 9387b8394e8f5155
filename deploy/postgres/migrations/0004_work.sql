-- The jobs of departments: written by routing (route, work_item, work_request, delivery) and by
-- dispatch (work_state, delivery_ack, update_text).

-- Who owns a request and until when; the newest row of a request is in force.
CREATE TABLE route (
	lane		smallint NOT NULL,
	request		bigint NOT NULL,
	turn		integer NOT NULL,		-- key_version of the event that it made
	jurisdiction	integer NOT NULL,
	work_item	bigint NOT NULL,
	department	integer NOT NULL,
	deadline	timestamptz NOT NULL,
	rule_version	integer NOT NULL,		-- 0: no rule matched, triage
	rule_position	integer NOT NULL,
	area		integer,			-- NULL: no area covers the place
	at		timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (lane, request, turn)
);

-- Lives in the lane of the request that gave birth to it.
CREATE TABLE work_item (
	lane		smallint NOT NULL,
	work_item	bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	department	integer NOT NULL,
	service		integer NOT NULL,
	area		integer,
	priority	smallint NOT NULL,
	deadline	timestamptz NOT NULL,
	created_at	timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (lane, work_item)
);

-- n requests, m work items.
CREATE TABLE work_request (
	lane		smallint NOT NULL,		-- of the work item
	work_item	bigint NOT NULL,
	request_lane	smallint NOT NULL,
	request		bigint NOT NULL,
	jurisdiction	integer NOT NULL,		-- of the request
	PRIMARY KEY (lane, work_item, request_lane, request)
);
CREATE INDEX work_request_request ON work_request (request_lane, request);

CREATE TABLE work_state (
	lane		smallint NOT NULL,
	work_item	bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	department	integer NOT NULL,
	state		smallint NOT NULL,		-- WorkState of event.proto
	outcome		smallint NOT NULL DEFAULT 0,	-- Outcome of event.proto
	key_version	integer NOT NULL,		-- of the work item's newest event; 0: none yet
	updated_at	timestamptz NOT NULL,
	CHECK ((state IN (4, 5)) = (outcome <> 0)),	-- closed if and only if it has an outcome
	PRIMARY KEY (lane, work_item)
) WITH (fillfactor = 70);

-- Only ever locked, like lane: serialises the numbering of a department's stream.
CREATE TABLE department_line (
	lane		smallint NOT NULL,		-- the department's home lane
	department	integer NOT NULL,
	generation	integer NOT NULL DEFAULT 1,
	after		bigint NOT NULL DEFAULT 0,
	base		bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (lane, department)
);

-- A department's stream, dense in dseq. Written by delivery_append alone; newest never pruned.
CREATE TABLE delivery (
	lane		smallint NOT NULL,		-- home lane
	department	integer NOT NULL,
	dseq		bigint NOT NULL,
	prev		bigint NOT NULL,		-- the preceding dseq of its topic; 0: none
	jurisdiction	integer NOT NULL,
	service		integer NOT NULL,
	kind		smallint NOT NULL,		-- WorkKind of dispatch.proto
	work_lane	smallint NOT NULL,
	work_item	bigint NOT NULL,
	key_version	integer NOT NULL,		-- of the work item then
	at		timestamptz NOT NULL,
	PRIMARY KEY (lane, department, dseq)
);
-- service leads: the newest of a department must come from the primary key, whatever the statistics
CREATE INDEX delivery_topic ON delivery (service, department, lane, dseq);

-- What a consumer name of a department has acknowledged: append-only ranges [first, last].
-- first = 0 is the low-water mark: all up to last is acknowledged, older rows may go.
CREATE TABLE delivery_ack (
	lane		smallint NOT NULL,
	department	integer NOT NULL,
	consumer	text NOT NULL CHECK (length(consumer) BETWEEN 1 AND 64),
	step		bigint NOT NULL,		-- of dispatch.department, which wrote it
	first		bigint NOT NULL,
	last		bigint NOT NULL CHECK (last >= first),
	at		timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (lane, department, consumer, step, first)
);

-- What a department said, and the proof that an update was taken once.
CREATE TABLE update_text (
	lane		smallint NOT NULL,		-- of the work item
	department	integer NOT NULL,
	update_id	text NOT NULL CHECK (length(update_id) BETWEEN 1 AND 64),
	work_item	bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	kind		smallint NOT NULL,		-- UpdateKind of dispatch.proto
	outcome		smallint NOT NULL DEFAULT 0,
	reason		smallint NOT NULL DEFAULT 0,
	note		text NOT NULL DEFAULT '',
	body_hash	bytea NOT NULL CHECK (length(body_hash) = 16),
	hits		integer NOT NULL DEFAULT 0,
	at		timestamptz NOT NULL,
	PRIMARY KEY (lane, department, update_id)
);
CREATE INDEX update_text_work ON update_text (lane, work_item, at);
