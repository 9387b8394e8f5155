-- Keys of the tcp:// sockets. A key is either a text that is said (hash) or a CURVE key pair, whose
-- public half stands here; a row of either kind belongs to one door or department of one town.
ALTER TABLE api_key
	ALTER COLUMN hash DROP NOT NULL,
	ADD COLUMN curve_key text CHECK (length(curve_key) = 40),	-- Z85
	-- slugs of the services that a department's key may see; empty: all
	ADD COLUMN topics text[] NOT NULL DEFAULT '{}',
	ADD CONSTRAINT api_key_one_kind CHECK ((hash IS NULL) <> (curve_key IS NULL)) NOT VALID,
	ADD CONSTRAINT api_key_topics CHECK (topics = '{}' OR department IS NOT NULL) NOT VALID;
ALTER TABLE api_key VALIDATE CONSTRAINT api_key_one_kind;
ALTER TABLE api_key VALIDATE CONSTRAINT api_key_topics;
-- also of revoked ones: what was given up doesn't come back as somebody else's
CREATE UNIQUE INDEX api_key_curve_key ON api_key (curve_key) WHERE curve_key IS NOT NULL;
COMMENT ON COLUMN api_key.revoked_at IS
	'out from then on; in the future while a rotated key is still taken beside its successor';
