-- Up to where a lane's messages are settled: each with a cause_seq up to here has a final attempt or
-- needs none, so whoever takes the lane over looks for mails that are due behind it, not through all
-- that were ever sent. The sender moves it on, once in a while and only if no message came in before
-- it meanwhile (version); a message of the past, of an event that was parked, moves it back.
CREATE TABLE send_mark (
	lane		smallint PRIMARY KEY,
	cause_seq	bigint NOT NULL,
	version		bigint NOT NULL
);
