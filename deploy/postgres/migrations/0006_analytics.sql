-- Rollups (written by analytics alone). Days are in the town's own time zone.

-- What analytics knows of each request, so that a change can be taken back exactly.
CREATE TABLE analytics_request (
	lane		smallint NOT NULL,
	request		bigint NOT NULL,
	jurisdiction	integer NOT NULL,
	service		integer NOT NULL,
	department	integer NOT NULL,
	channel		smallint NOT NULL,
	area		integer NOT NULL DEFAULT 0,	-- 0: unknown
	requested_at	timestamptz NOT NULL,
	deadline	timestamptz NOT NULL,
	closed_at	timestamptz,			-- NULL: open
	score		smallint,			-- NULL: not answered
	PRIMARY KEY (lane, request)
) WITH (fillfactor = 70);

-- lane is part of the key so that the holder of a lane is the only writer of its rows.
CREATE TABLE rollup_day (
	lane		smallint NOT NULL,
	jurisdiction	integer NOT NULL,
	day		date NOT NULL,
	service		integer NOT NULL,
	department	integer NOT NULL,
	channel		smallint NOT NULL,
	area		integer NOT NULL,
	received	bigint NOT NULL DEFAULT 0,	-- on this day
	open		bigint NOT NULL DEFAULT 0,	-- of those received on this day, still open
	closed		bigint NOT NULL DEFAULT 0,	-- on this day
	on_time		bigint NOT NULL DEFAULT 0,	-- of those closed on this day
	answers		bigint NOT NULL DEFAULT 0,	-- surveys answered, of those closed on this day
	score_sum	bigint NOT NULL DEFAULT 0,
	satisfied	bigint NOT NULL DEFAULT 0,	-- score of 7 or more
	PRIMARY KEY (lane, jurisdiction, day, service, department, channel, area)
) WITH (fillfactor = 70);
CREATE INDEX rollup_day_read ON rollup_day (jurisdiction, day);

-- Time to close as a sketch with fixed logarithmic buckets, by the day of closing.
CREATE TABLE rollup_close (
	lane		smallint NOT NULL,
	jurisdiction	integer NOT NULL,
	day		date NOT NULL,
	service		integer NOT NULL,
	department	integer NOT NULL,
	channel		smallint NOT NULL,
	area		integer NOT NULL,
	bucket		smallint NOT NULL,
	n		bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (lane, jurisdiction, day, service, department, channel, area, bucket)
) WITH (fillfactor = 70);
CREATE INDEX rollup_close_read ON rollup_close (jurisdiction, day);
