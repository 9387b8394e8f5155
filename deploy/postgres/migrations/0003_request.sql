-- What citizens asked (written by intake alone).

-- As long as the request lives. lane here is hash(jurisdiction, door, key) modulo 8, for ever.
CREATE TABLE idempotency (
	lane		smallint NOT NULL,
	jurisdiction	integer NOT NULL,
	door		integer NOT NULL,
	key		text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
	body_hash	bytea NOT NULL CHECK (length(body_hash) = 16),
	hits		integer NOT NULL DEFAULT 0,
	request_lane	smallint NOT NULL,
	request		bigint NOT NULL,
	PRIMARY KEY (lane, jurisdiction, door, key)
) WITH (fillfactor = 90);

CREATE TABLE request (
	lane		smallint NOT NULL,
	request		bigint NOT NULL,		-- the public id: number * 100 + lane
	jurisdiction	integer NOT NULL,
	service		integer NOT NULL,
	channel		smallint NOT NULL,
	door		integer NOT NULL,
	lat		double precision,
	long		double precision,
	address_id	text,
	attributes	jsonb,				-- of list types only: closed vocabularies
	owner		integer NOT NULL,		-- birth owner: the triage department; route supersedes
	deadline	timestamptz NOT NULL,		-- birth deadline; route supersedes
	requested_at	timestamptz NOT NULL,
	code_hash	bytea NOT NULL CHECK (length(code_hash) = 16),
	code_turn	smallint NOT NULL DEFAULT 0,
	CHECK ((lat IS NULL) = (long IS NULL)),
	PRIMARY KEY (lane, request)
);
CREATE UNIQUE INDEX request_code ON request (lane, code_hash);

-- Free text, erasable, apart from the log.
CREATE TABLE request_text (
	lane		smallint NOT NULL,
	request		bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	description	text NOT NULL DEFAULT '',
	address		text NOT NULL DEFAULT '',
	attributes	jsonb,				-- of free types, and unknown ones kept aside
	media_url	text NOT NULL DEFAULT '',
	PRIMARY KEY (lane, request)
);

-- Personal data, apart.
CREATE TABLE contact (
	lane		smallint NOT NULL,
	request		bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	email		text,
	phone		text,
	first_name	text,
	last_name	text,
	account_id	text,
	device_id	text,
	language	text NOT NULL CHECK (language IN ('ca', 'es', 'en')),
	PRIMARY KEY (lane, request)
);

-- What the public sees: filled by an allow-list of columns, read by every public answer.
CREATE TABLE request_public (
	lane		smallint NOT NULL,
	request		bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	service		integer NOT NULL,
	state		smallint NOT NULL,		-- RequestState of event.proto
	outcome		smallint NOT NULL DEFAULT 0,	-- Outcome of event.proto
	department	integer NOT NULL,
	description	text NOT NULL,
	address		text NOT NULL,
	address_id	text,
	lat		double precision,
	long		double precision,
	media_url	text NOT NULL,
	requested_at	timestamptz NOT NULL,
	updated_at	timestamptz NOT NULL,		-- of a closed request: the moment of closing
	expected_at	timestamptz NOT NULL,
	PRIMARY KEY (lane, request)
) WITH (fillfactor = 70);
CREATE INDEX request_public_time ON request_public (jurisdiction, requested_at, request);

-- What citizens said after the request: messages, and the comment of a survey's answer.
CREATE TABLE inbound (
	lane		smallint NOT NULL,
	inbound		bigint NOT NULL,
	request		bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	door		integer NOT NULL,
	body		text NOT NULL,
	at		timestamptz NOT NULL,
	PRIMARY KEY (lane, inbound)
);

-- One answer a closing; the closing is the seq of its request.resolved event.
CREATE TABLE survey_answer (
	lane		smallint NOT NULL,
	request		bigint NOT NULL,
	closing_seq	bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	score		smallint NOT NULL CHECK (score BETWEEN 0 AND 10),
	comment		text NOT NULL DEFAULT '',
	language	text NOT NULL,
	at		timestamptz NOT NULL,
	PRIMARY KEY (lane, request, closing_seq)
);

-- Raw input of doors that can't be told at once what is wrong with it (mail, SMS): stored before
-- it is parsed; what can't be parsed waits here.
CREATE TABLE submission (
	lane		smallint NOT NULL,
	submission	bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	door		integer NOT NULL,
	raw		bytea NOT NULL,
	state		text NOT NULL DEFAULT 'raw' CHECK (state IN ('raw', 'taken', 'quarantined')),
	reason		text NOT NULL DEFAULT '',
	request		bigint,
	at		timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (lane, submission)
);

CREATE TABLE photo (
	lane		smallint NOT NULL,
	photo		bigint NOT NULL,
	request		bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	file		text NOT NULL,
	media_type	text NOT NULL,
	size_bytes	bigint NOT NULL,
	hash		bytea NOT NULL,
	at		timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (lane, photo)
);
