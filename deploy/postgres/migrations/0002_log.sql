-- The log: lanes, events, progress, leases, members, parked events.

-- Only ever locked, never updated in normal running: an updated head row slows with every old
-- snapshot. generation and base move by rewind alone. No foreign key points here: each check
-- would make its lock a MultiXact.
CREATE TABLE lane (
	lane		smallint PRIMARY KEY CHECK (lane BETWEEN 0 AND 31),
	generation	integer NOT NULL DEFAULT 1,
	after		bigint NOT NULL DEFAULT 0,	-- newest kept at the last rewind
	base		bigint NOT NULL DEFAULT 0	-- numbering goes on behind it
);
INSERT INTO lane SELECT generate_series(0, 7);

CREATE TABLE jurisdiction_lane (
	jurisdiction	integer NOT NULL REFERENCES jurisdiction,
	lane		smallint NOT NULL,
	PRIMARY KEY (jurisdiction, lane)
);

-- One immutable fact. seq is dense and its order is commit order. Written by event_append alone.
CREATE TABLE event (
	lane		smallint NOT NULL,
	seq		bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	order_key	bigint NOT NULL,		-- a request or a work item
	key_version	integer,			-- NULL: changes no state
	type		smallint NOT NULL,		-- EventType of event.proto
	type_version	smallint NOT NULL,
	at		timestamptz NOT NULL,		-- storing time; business time is in the body
	actor		text NOT NULL,			-- 'citizen', 'intake', 'department/12', ...
	trace		bytea NOT NULL CHECK (length(trace) = 16),	-- W3C trace id
	body		bytea NOT NULL CHECK (length(body) <= 65536),
	PRIMARY KEY (lane, seq),
	-- The compare-and-set of every state change. order_key leads, so that only the primary key
	-- serves "the newest of a lane", also in a plan that was made while the table was empty.
	CONSTRAINT event_lane_order_key_key_version_key UNIQUE (order_key, key_version, lane)
);

-- Append-only; the newest row of (consumer, lane) says where it stands. Seeded (0, 0) by migrate.
CREATE TABLE progress (
	consumer	text NOT NULL,
	lane		smallint NOT NULL,
	step		bigint NOT NULL,
	seq		bigint NOT NULL,
	at		timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (consumer, lane, step)
);

CREATE TABLE lease (
	consumer	text NOT NULL,
	lane		smallint NOT NULL,
	member		text,				-- NULL: released
	boot		bigint,				-- the member's, when it took the lane
	epoch		bigint NOT NULL DEFAULT 0,	-- + 1 at each hand-over; stamps outside effects
	step		bigint NOT NULL DEFAULT 0,	-- newest at the hand-over
	unclean		integer NOT NULL DEFAULT 0,	-- hand-overs without a clean release or a step
	tries		integer NOT NULL DEFAULT 0,	-- of the one event in flight under single_until
	single_until	bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (consumer, lane)
);

CREATE TABLE member (
	name		text PRIMARY KEY,		-- the unit's instance name
	boot		bigint NOT NULL,		-- random: tells two processes of one name apart
	kind		text NOT NULL,			-- intake, routing, ...
	endpoint	text NOT NULL,			-- of its PUB socket
	service_endpoint text NOT NULL DEFAULT '',	-- of its ROUTER socket for the outside
	curve_key	text,
	alive_until	timestamptz NOT NULL
);

CREATE TABLE parked (
	consumer	text NOT NULL,
	lane		smallint NOT NULL,
	seq		bigint NOT NULL,
	order_key	bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	cause		text NOT NULL,			-- data, crash, behind
	detail		text NOT NULL DEFAULT '',	-- SQLSTATE and constraint; never a value
	owner		text NOT NULL DEFAULT 'operations',
	deadline	timestamptz NOT NULL DEFAULT now() + interval '1 day',
	wish		text NOT NULL DEFAULT 'wait' CHECK (wish IN ('wait', 'retry', 'discard')),
	tries		integer NOT NULL DEFAULT 0,	-- replays begun since it was parked: a replay may kill the process
	parked_at	timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (consumer, lane, seq)
);

-- Numbers of requests and work items, drawn in blocks by the daemons; an id is number * 100 + lane.
CREATE SEQUENCE entity_number INCREMENT BY 256 MINVALUE 1 START 1;
