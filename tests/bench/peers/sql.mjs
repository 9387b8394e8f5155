// The statements of the peers: the rows that intake_accept() writes for a live request, with numbers from
// sequences and without a lane lock. Parameters of both, in one order; of the second each is an array:
const types = ['int4', 'int4', 'text', 'bytea', 'int4', 'int2', 'float8', 'float8', 'text', 'text', 'int4', 'bytea', 'text', 'bytea', 'bytea']
const names = ['jurisdiction', 'door', 'key', 'body_hash', 'service', 'channel', 'lat', 'long', 'address', 'description', 'owner',
	'code_hash', 'email', 'trace', 'body']

const rest = `r AS (
	INSERT INTO request (lane, request, jurisdiction, service, channel, door, lat, long, owner, deadline, requested_at, code_hash)
	SELECT 0, request, jurisdiction, service, channel, door, lat, long, owner, now() + interval '2 days', now(), code_hash FROM n
), t AS (
	INSERT INTO request_text (lane, request, jurisdiction, description, address, media_url)
	SELECT 0, request, jurisdiction, description, address, '' FROM n
), c AS (
	INSERT INTO contact (lane, request, jurisdiction, email, language)
	SELECT 0, request, jurisdiction, email, 'en' FROM n WHERE email IS NOT NULL
), p AS (
	INSERT INTO request_public (lane, request, jurisdiction, service, state, outcome, department, description, address, lat, long,
		media_url, requested_at, updated_at, expected_at)
	SELECT 0, request, jurisdiction, service, 1, 0, owner, description, address, lat, long, '', now(), now(), now() + interval '2 days'
	FROM n
), e AS (
	INSERT INTO event (lane, jurisdiction, order_key, key_version, type, type_version, at, actor, trace, body)
	SELECT 0, jurisdiction, request, 1, 1, 1, now(), 'citizen', trace, body FROM n
)`

const one = names.map((name, i) => `$${i + 1}::${types[i]} AS ${name}`).join(', ')

export const single = `WITH k AS (
	INSERT INTO idempotency (lane, jurisdiction, door, key, body_hash, request_lane, request)
	VALUES (0, $1, $2, $3, $4, 0, nextval('request_number') * 100) ON CONFLICT DO NOTHING RETURNING request
), n AS (
	SELECT k.request, ${one} FROM k
), ${rest}
SELECT request FROM k`

const arrays = types.map((type, i) => `$${i + 1}::${type}[]`).join(', ')

export const grouped = `WITH i AS MATERIALIZED (
	SELECT nextval('request_number') * 100 AS request, u.* FROM unnest(${arrays}) WITH ORDINALITY AS u (${names.join(', ')}, ord)
), k AS (
	INSERT INTO idempotency (lane, jurisdiction, door, key, body_hash, request_lane, request)
	SELECT 0, jurisdiction, door, key, body_hash, 0, request FROM i ON CONFLICT DO NOTHING RETURNING request
), n AS (
	SELECT i.* FROM i JOIN k USING (request)
), ${rest}
SELECT i.ord::int4 AS ord, i.request, k.request IS NOT NULL AS fresh FROM i LEFT JOIN k USING (request)`
