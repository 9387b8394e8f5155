// A plain way to take requests: fastify, pg with a pool of 16, a form parsed and checked by a schema, one
// statement a request that writes the rows that Centraleta writes.
//
// GROUP=1: requests are collected while a commit is in flight and inserted together.
// AMQP=url: the request is published to the quorum queue "work" too, and answered when that is confirmed.
// Also from the environment: PORT, PGHOST and such, KEYS (JSON: jurisdiction_id -> API key).
import { createHash, randomFillSync } from 'node:crypto'
import querystring from 'node:querystring'
import fastify from 'fastify'
import pg from 'pg'
import { grouped, single } from './sql.mjs'

const pool = new pg.Pool({ max: process.env.GROUP ? 1 : 16 })
const doors = new Map() // API key -> {jurisdiction, jurisdiction_id, door, owner, channel}
const services = new Map() // "jurisdiction_id service_code" -> service

async function loadTowns() {
	const keys = JSON.parse(process.env.KEYS)
	const towns = await pool.query(`SELECT j.jurisdiction, j.jurisdiction_id, j.triage_department AS owner, d.door, d.channel
		FROM jurisdiction j JOIN door d USING (jurisdiction)`)
	for (const t of towns.rows) doors.set(keys[t.jurisdiction_id], t)
	const all = await pool.query(`SELECT jurisdiction_id, service_code, service FROM service JOIN jurisdiction USING (jurisdiction)`)
	for (const s of all.rows) services.set(s.jurisdiction_id + ' ' + s.service_code, s.service)
}

// 32 random bytes a request: trace and the hash of the citizen's code
const random = Buffer.alloc(8192)
let used = random.length
function randomBytes() {
	if (used === random.length) {
		randomFillSync(random)
		used = 0
	}
	used += 32
	return [Buffer.from(random.subarray(used - 32, used - 16)), Buffer.from(random.subarray(used - 16, used))]
}

// as large as Centraleta's event
function eventBody(service, door, lat, long) {
	const body = Buffer.alloc(52)
	body.writeInt32LE(service, 0)
	body.writeInt32LE(door, 4)
	body.writeDoubleLE(lat, 8)
	body.writeDoubleLE(long, 16)
	body.writeDoubleLE(Date.now(), 24)
	return body
}

function valuesOf(request, form, door, service) {
	const [trace, code] = randomBytes()
	const lat = form.lat === undefined ? null : Number(form.lat), long = form.long === undefined ? null : Number(form.long)
	return [door.jurisdiction, door.door, request.headers['idempotency-key'],
		createHash('md5').update(form.raw).digest(), service, door.channel, lat, long, form.address_string ?? '',
		form.description ?? '', door.owner, code, form.email ?? null, trace, eventBody(service, door.door, lat, long)]
}

async function insertOne(values) {
	const { rows } = await pool.query({ name: 'one', text: single, values })
	return rows.length ? rows[0].request : known(values)
}

async function known(values) {
	const { rows } = await pool.query('SELECT request FROM idempotency WHERE lane = 0 AND jurisdiction = $1 AND door = $2 AND key = $3',
		values.slice(0, 3))
	return rows[0].request
}

let waiting = [], busy = false
function insertGrouped(values) {
	return new Promise((done, failed) => {
		waiting.push({ values, done, failed })
		if (!busy) flush()
	})
}

async function flush() {
	busy = true
	while (waiting.length) {
		const group = waiting
		waiting = []
		try {
			const columns = group[0].values.map((_, c) => group.map(w => w.values[c]))
			const { rows } = await pool.query({ name: 'group', text: grouped, values: columns })
			for (const row of rows) {
				const w = group[row.ord - 1]
				row.fresh ? w.done(row.request) : known(w.values).then(w.done, w.failed)
			}
		} catch (e) {
			for (const w of group) w.failed(e)
		}
	}
	busy = false
}

let publish = null
async function connectBroker(url) {
	const { default: amqp } = await import('amqplib')
	const channel = await (await amqp.connect(url)).createConfirmChannel()
	await channel.assertQueue('work', { durable: true, arguments: { 'x-queue-type': 'quorum' } })
	publish = work => new Promise((done, failed) =>
		channel.sendToQueue('work', Buffer.from(JSON.stringify(work)), { persistent: true }, e => e ? failed(e) : done()))
}

const schema = {
	body: {
		type: 'object',
		required: ['service_code', 'jurisdiction_id'],
		properties: {
			raw: { type: 'string' },
			jurisdiction_id: { type: 'string', maxLength: 255 },
			service_code: { type: 'string', minLength: 1, maxLength: 128 },
			lat: { type: 'number', minimum: -90, maximum: 90 },
			long: { type: 'number', minimum: -180, maximum: 180 },
			address_string: { type: 'string', maxLength: 1000 },
			description: { type: 'string', maxLength: 4000 },
			email: { type: 'string', maxLength: 254 },
		},
	},
}

const app = fastify()
app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (request, body, done) =>
	done(null, { ...querystring.parse(body), raw: body }))
app.post('/open311/v2/requests.json', { schema }, async (request, reply) => {
	const form = request.body, door = doors.get(request.headers.authorization?.slice(7))
	if (!door || door.jurisdiction_id !== form.jurisdiction_id) return reply.code(403).send([{ code: 403, description: 'key' }])
	const service = services.get(form.jurisdiction_id + ' ' + form.service_code)
	if (service === undefined) return reply.code(400).send([{ code: 400, description: 'service_code' }])
	const values = valuesOf(request, form, door, service)
	const id = await (process.env.GROUP ? insertGrouped(values) : insertOne(values))
	if (publish)
		await publish({ service_request_id: id, service, lat: form.lat, long: form.long, address: form.address_string,
			description: form.description, trace: values[13].toString('hex') })
	return [{ service_request_id: id, service_notice: '' }]
})

await loadTowns()
if (process.env.AMQP) await connectBroker(process.env.AMQP)
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
