-- What the citizen is told (written by notification alone).

-- Decided once, by the consumer; sent by the chain notification.send.
CREATE TABLE message (
	lane		smallint NOT NULL,
	cause_seq	bigint NOT NULL,		-- the event that asked for it, in this lane
	kind		smallint NOT NULL,		-- MessageKind of event.proto
	channel		smallint NOT NULL,		-- MessageChannel of event.proto; 0: no address
	request		bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	language	text NOT NULL CHECK (language IN ('ca', 'es', 'en')),
	trace		bytea NOT NULL,
	created_at	timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (lane, cause_seq, kind, channel)
);

-- Each transition of an attempt is a row of its own; the newest says where the message stands.
CREATE TABLE attempt (
	lane		smallint NOT NULL,
	cause_seq	bigint NOT NULL,
	kind		smallint NOT NULL,
	channel		smallint NOT NULL,
	attempt		integer NOT NULL,
	state		smallint NOT NULL,		-- AttemptState of event.proto
	jurisdiction	integer NOT NULL,
	epoch		bigint NOT NULL,		-- of the lease of notification.send
	message_id	text NOT NULL DEFAULT '',	-- the mail's Message-ID
	detail		text NOT NULL DEFAULT '',	-- reply code or transport error; never an address
	at		timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (lane, cause_seq, kind, channel, attempt, state)
);

-- A closing that was asked about. The answer is intake's survey_answer.
CREATE TABLE survey (
	lane		smallint NOT NULL,
	request		bigint NOT NULL,
	closing_seq	bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	sent_at		timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (lane, request, closing_seq)
);
