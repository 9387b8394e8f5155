#!/usr/bin/python3
"""A department's end of dispatch.work: writes work down, then acknowledges it, and says how it goes.
What stands in --out is not written twice, over any restart. Needs python3-zmq, python3-protobuf, protoc."""
import argparse, heapq, json, pathlib, subprocess, sys, tempfile, time, zmq
with tempfile.TemporaryDirectory() as made:  # from the .proto files to Python
	proto = pathlib.Path(__file__).resolve().parents[2] / "proto"
	subprocess.run(["protoc", f"-I{proto}", f"--python_out={made}", *proto.glob("centraleta/v1/*.proto")], check=True)
	sys.path.insert(0, made)
	from centraleta.v1 import dispatch_pb2 as pb

p = argparse.ArgumentParser()
p.add_argument("--endpoint", action="append", required=True, help="repeat it: the next is tried when one fails")
for name, text in (("consumer", "a name of your choosing"), ("out", "JSON lines: work as received, updates as stored")):
	p.add_argument(f"--{name}", required=True, help=text)
p.add_argument("--key-file", help="ipc://: holds the department's key")
p.add_argument("--curve", help="tcp://: holds the server's public key, the department's public and secret key")
for kind in (KINDS := ("accept", "progress", "resolve")):
	p.add_argument(f"--{kind}-after", type=float, metavar="SECONDS", help="default: never")
args = p.parse_args()
seen, settled, waiting, due, sock, turn = set(), set(), {}, [], None, 0
def plan(dseq, work_item, at):
	seen.add(dseq)
	for kind in (k for k in KINDS if getattr(args, f"{k}_after") is not None):
		u = pb.Update(update_id=f"{work_item}.{kind}", work_item=work_item, kind=f"UPDATE_KIND_{kind.upper()}",
			outcome="OUTCOME_DONE" if kind == "resolve" else None)
		heapq.heappush(due, (at + getattr(args, f"{kind}_after"), u.kind, work_item, u))

def say(**frame):  # returns when
	try:
		sock.send(pb.DepartmentFrame(**frame).SerializeToString())
	except zmq.Again:  # refused at the handshake, or gone: silence leads to connect()
		pass
	return time.time()

def connect(step):
	global sock, turn, heard, said, beat, window
	sock and sock.close(linger=0)
	sock, turn, heard = zmq.Context.instance().socket(zmq.DEALER), turn + step, time.time()
	sock.sndtimeo, said, beat, window = 1000, 0, 2, 0
	if args.curve:
		sock.curve_serverkey, sock.curve_publickey, sock.curve_secretkey = open(args.curve, "rb").read().split()
	sock.connect(args.endpoint[turn % len(args.endpoint)])
	key = open(args.key_file).read().strip() if args.key_file else ""
	say(hello=pb.Hello(api_key=key, consumer=args.consumer))

def take(f):  # one frame that isn't Work
	global beat, window
	if f.HasField("welcome"):
		beat, window = f.welcome.heartbeat_ms / 1000, f.welcome.updates_max
		say(credit=pb.Credit(more=f.welcome.credit_max))
		for u in waiting.values():  # in the same order as before
			say(update=u)
	elif f.HasField("update_stored") and waiting.pop(f.update_stored.update_id, None):
		print(json.dumps({"update_id": f.update_stored.update_id, "time": time.time()}), file=out, flush=True)
	elif f.HasField("refused"):
		print(f.refused.code, f.refused.reason, f.refused.update_id, file=sys.stderr, flush=True)
		if f.refused.update_id and not f.refused.retry_after_ms:  # saying it again won't help
			waiting.pop(f.refused.update_id, None)
		elif f.refused.final or f.refused.retry_after_ms or f.refused.code == "not_hello":
			time.sleep(f.refused.retry_after_ms / 1000 or 0.2)
			connect(f.refused.final)
	elif f.HasField("fenced"):
		sys.exit("another process connected under this consumer name")
out = open(args.out, "a+", encoding="utf-8")
out.truncate(pathlib.Path(args.out).read_bytes().rfind(b"\n") + 1)  # a line cut by a crash was not acknowledged
for line in map(json.loads, pathlib.Path(args.out).read_text().splitlines()):
	settled.add(line["update_id"]) if "update_id" in line else plan(line["dseq"], line["work_item"], line["time"])
connect(0)
while True:
	work, now = [], time.time()
	while len(work) < 256 and sock.poll(0 if work else 50):
		f, heard = pb.DispatchFrame.FromString(sock.recv()), now
		work.append(f.work) if f.HasField("work") else take(f)
	for w in (w for w in work if w.dseq not in seen):
		row = {k: getattr(w, k) for k in ("dseq", "work_item", "service_request_id", "topic")} | {"time": now}
		print(json.dumps(row), file=out, flush=True)
		plan(w.dseq, w.work_item, now)
	if work:  # written down first, acknowledged then
		say(ack=pb.Ack(generation=work[0].generation, ranges=[pb.DseqRange(first=w.dseq, last=w.dseq) for w in work]))
		say(credit=pb.Credit(more=len(work)))
	while due and due[0][0] <= now and len(waiting) < window:
		u = heapq.heappop(due)[3]
		if u.update_id not in settled:
			waiting[u.update_id] = u
			say(update=u)
	said = say(ping=pb.DepartmentPing()) if now - said > beat else said
	connect(1) if now - heard > 3 * beat else None
