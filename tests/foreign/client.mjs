// A foreign client in Node: zeromq, protobufjs and the .proto files themselves, nothing else. It takes and says the
// same as client.py. PROTO_PATH holds the .proto files.
import fs from "node:fs"
import path from "node:path"
import protobuf from "protobufjs"
import { Dealer } from "zeromq"

const PING = 1000, PATIENCE = 2000, LIMIT = 15000 // milliseconds

const root = new protobuf.Root()
root.resolvePath = (_, target) => path.resolve(process.env.PROTO_PATH, target)
root.loadSync(["centraleta/v1/intake.proto", "centraleta/v1/dispatch.proto"], { keepCase: true })

const tell = (...words) => fs.writeSync(1, words.join(" ") + "\n") // written before anything goes on
const sleep = ms => new Promise(wake => setTimeout(wake, ms))

function leave(status) {
	process.exit(status)
}

// A DEALER under CURVE, what its monitor says, and whether stdin has ended.
class Connection {
	constructor(endpoint, keys, out, into) {
		const [curveServerKey, curvePublicKey, curveSecretKey] = fs.readFileSync(keys, "utf8").split(/\s+/)
		this.out = root.lookupType(`centraleta.v1.${out}`)
		this.into = root.lookupType(`centraleta.v1.${into}`)
		this.socket = new Dealer({ curveServerKey, curvePublicKey, curveSecretKey, linger: 1000, sendTimeout: 1000 })
		this.socket.events.on("disconnect", () => tell("closed"))
		this.socket.events.on("handshake:error:auth", e => {
			tell("denied", e.error.status)
			leave(3)
		})
		this.leaving = false
		process.stdin.on("end", () => { this.leaving = true }).resume()
		this.outbox = []
		this.sending = Promise.resolve()
		this.socket.connect(endpoint)
	}

	say(frame) {
		const bytes = this.out.encode(this.out.fromObject(frame)).finish()
		this.sending = this.sending.then(() => this.socket.send(bytes)).catch(() => {}) // no connection: the monitor says why
	}

	// calls take(kind, content) for each frame, and tick() at least five times a second, until one says true
	async run(take, tick) {
		let ended = false
		const look = () => { ended ||= Boolean(tick()) }
		const timer = setInterval(look, 50)
		const over = new Promise(wake => {
			const watch = setInterval(() => { if (ended) { clearInterval(watch); wake() } }, 20)
		})
		const read = (async () => {
			for await (const [bytes] of this.socket) {
				const f = this.into.toObject(this.into.decode(bytes), { longs: Number, defaults: true, oneofs: true })
				ended ||= Boolean(take(f.frame, f[f.frame]))
				look()
				if (ended)
					return
			}
		})()
		look()
		await Promise.race([over, read])
		clearInterval(timer)
	}
}

// ---- intake.submit --------------------------------------------------------------------------------------

class Submitter extends Connection {
	constructor(endpoint, keys) {
		super(endpoint, keys, "SubmitterFrame", "IntakeFrame")
		this.window = 0
		this.asked = 0
	}

	open() {
		if (this.window || Date.now() < this.asked + 1000)
			return
		this.asked = Date.now()
		this.say({ open: {} })
	}

	take(kind, content) {
		if (kind === "opened") {
			this.window = content.window
			tell("opened", content.jurisdiction_id)
		} else if (kind === "refused") {
			tell("refused", content.code)
			this.window = 0
			if (content.code !== "not_open")
				leave(3)
		}
	}
}

async function submit(endpoint, keys, prefix, count, rate, ...codes) {
	const c = new Submitter(endpoint, keys), out = new Map(), start = Date.now()
	let next = 1, done = 0, later = []

	const send = number => {
		out.set(number, Date.now())
		c.say({ submit: { number, idempotency_key: `${prefix}-${number}`, service_code: codes[number % codes.length],
			place: { lat: 41.98, long: 2.82 }, description: `foreign ${prefix} ${number}` } })
	}
	const fill = () => {
		const now = Date.now()
		c.open()
		for (const [number, at] of c.window ? [...out] : [])
			if (at < now - 10000)
				send(number) // no answer: the connection was closed. The key makes it one request
		for (const [number] of later.filter(([, at]) => at <= now))
			send(number)
		later = later.filter(([, at]) => at > now)
		while (next <= count && out.size < c.window && (!rate || next - 1 < (now - start) / 1000 * rate))
			send(next++)
		return done >= count
	}
	let filled = 0
	await c.run((kind, content) => {
		if (kind === "busy" && out.delete(Number(content.number))) {
			later.push([content.number, Date.now() + content.retry_after_ms])
		} else if (kind === "accepted" && out.delete(content.number)) {
			tell("accepted", content.number, content.service_request_id)
			done++
		} else if (kind === "rejected" && out.delete(content.number)) {
			tell("rejected", content.number, content.errors[0].field, content.errors[0].code)
			done++
		} else {
			c.take(kind, content)
		}
	}, () => {
		// not after each frame: that would look at the whole window each time
		if (done >= count || Date.now() < filled + (rate ? 20 : 2))
			return done >= count
		filled = Date.now()
		return fill()
	})
	tell("done", done)
}

async function hold(endpoint, keys) {
	const c = new Submitter(endpoint, keys)
	await c.run((kind, content) => c.take(kind, content), () => {
		c.open()
		return c.leaving
	})
}

// ---- dispatch.work --------------------------------------------------------------------------------------

class Department extends Connection {
	constructor(endpoint, keys, consumer, services = []) {
		super(endpoint, keys, "DepartmentFrame", "DispatchFrame")
		Object.assign(this, { consumer, services, said: 0 })
		this.hello()
	}

	hello() {
		this.live = false
		this.retry = Date.now() + 3000
		this.say({ hello: { consumer: this.consumer, services: this.services } })
	}

	tick() {
		const now = Date.now()
		if (!this.live && now > this.retry)
			this.hello()
		if (this.live && now > this.said + PING) {
			this.said = now
			this.say({ ping: {} })
		}
	}

	take(kind, content) {
		if (kind === "welcome") {
			this.live = true
			this.generation = content.generation
			tell("welcome", content.position, content.newest)
		} else if (kind === "refused" && content.code === "not_hello") {
			this.hello() // the connection is a new one
		} else if (kind === "refused" && content.retry_after_ms) {
			this.live = false
			this.retry = Date.now() + content.retry_after_ms
		} else if (kind === "refused") {
			tell("refused", content.code, Number(content.final), content.reason)
			if (content.final)
				Object.assign(this, { live: false, retry: Infinity })
		} else if (kind === "fenced" || kind === "gone") {
			tell(kind)
		}
	}
}

async function subscribe(endpoint, keys, consumer) {
	const c = new Department(endpoint, keys, consumer)
	let position = 0, last = 0

	await c.run((kind, content) => {
		c.take(kind, content)
		if (kind === "welcome") {
			position = last = content.position
			c.say({ credit: { more: content.credit_max } })
		} else if (kind === "ack_stored") {
			position = content.position
		} else if (kind === "work") {
			tell("work", content.dseq, content.prev, Number(content.redelivered), content.service_request_id, content.topic,
				content.work_item)
			last = Math.max(last, content.dseq)
			c.say({ ack: { generation: content.generation, ranges: [{ first: content.dseq, last: content.dseq }] } })
			if (!c.leaving)
				c.say({ credit: { more: 1 } })
		}
	}, () => {
		c.tick()
		return c.leaving && position >= last
	})
	c.say({ bye: {} })
	await c.sending
	tell("left", position)
	await sleep(100) // leave() ends the process, and with it what lingers
}

async function attempt(endpoint, keys, consumer, what, arg) {
	const c = new Department(endpoint, keys, consumer, what === "topic" ? [arg] : [])
	let end = Date.now() + LIMIT, refused = false

	await c.run((kind, content) => {
		c.take(kind, content)
		if (kind === "welcome") {
			end = Date.now() + PATIENCE
			if (what === "update")
				c.say({ update: { update_id: `${consumer}-${arg}`, work_item: Number(arg), kind: "UPDATE_KIND_ACCEPT" } })
			else if (what === "ack")
				c.say({ ack: { generation: c.generation, ranges: [{ first: 1, last: Number(arg) }] } })
		} else if (["update_stored", "ack_stored", "work"].includes(kind)) {
			tell(kind)
		} else if (kind === "refused") {
			refused = !content.retry_after_ms && (c.live || content.final)
		}
		return refused
	}, () => {
		c.tick()
		return refused || Date.now() > end
	})
	if (!refused)
		tell("nothing")
}

const [command, ...args] = process.argv.slice(2)
await { submit: (e, k, p, n, r, ...codes) => submit(e, k, p, Number(n), Number(r), ...codes), open: hold, subscribe,
	try: attempt }[command](...args)
leave(0)
