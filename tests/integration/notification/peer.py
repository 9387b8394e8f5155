"""A mail server that follows a script: it answers, refuses, dies or hangs at a stage of a mail.

script(stage, mail) is asked before each answer; mail counts the mails begun on this server, from 0.
It returns None (the usual answer), "die", "hang" (until release()) or an answer of its own.
Stages: greeting, ehlo, mail, rcpt, data, body (the message began), dot (it is complete and, unless
the answer is a refusal, accepted). accepted holds what was taken, as parsed mails.
"""
import email
import email.policy
import socketserver
import threading


class Die(Exception):
	pass


class Session(socketserver.StreamRequestHandler):
	mail = 0  # the number of the mail under way

	def say(self, stage, usual):
		return self.do(self.server.peer.script(stage, self.mail) or usual)

	def do(self, what):
		peer = self.server.peer
		if what == "hang":
			peer.hanging.set()
			peer.released.wait()
			what = "die"
		if what == "die":
			raise Die
		self.wfile.write(what.encode() + b"\r\n")
		return what

	def handle(self):
		try:
			self.say("greeting", "220 peer.test ESMTP")
			while line := self.rfile.readline():
				self.obey(line.decode().strip())
		except (Die, OSError):
			pass

	def obey(self, line):
		verb = line[:4].upper()
		if verb == "QUIT":
			self.wfile.write(b"221 bye\r\n")
			raise Die
		if verb == "DATA":
			if self.say("data", "354 go on").startswith("354"):
				self.take_message()
			return
		if verb == "MAIL":
			self.mail = self.server.peer.next_mail()
		stage = {"EHLO": "ehlo", "HELO": "ehlo", "MAIL": "mail", "RCPT": "rcpt"}[verb]
		self.say(stage, "250 Ok")

	def take_message(self):
		peer, lines = self.server.peer, []
		line = self.rfile.readline()
		if peer.script("body", self.mail) == "die":
			raise Die
		while line and line != b".\r\n":
			lines.append(line[1:] if line.startswith(b".") else line)
			line = self.rfile.readline()
		if not line:
			raise Die
		what = peer.script("dot", self.mail) or "250 2.0.0 queued"
		if not what.startswith(("4", "5")):
			peer.accepted.append(email.message_from_bytes(b"".join(lines), policy=email.policy.default))
		self.do(what)


class Server(socketserver.ThreadingTCPServer):
	allow_reuse_address = True
	daemon_threads = True
	request_queue_size = 128


class Peer:
	def __init__(self, script=lambda stage, mail: None):
		self.script = script
		self.begun = 0
		self.accepted = []
		self.lock = threading.Lock()
		self.hanging = threading.Event()
		self.released = threading.Event()
		self.server = Server(("127.0.0.1", 0), Session)
		self.server.peer = self
		self.port = self.server.server_address[1]
		threading.Thread(target=self.server.serve_forever, daemon=True).start()

	def next_mail(self):
		with self.lock:
			self.begun += 1
			return self.begun - 1

	def release(self):
		self.released.set()

	def stop(self):
		self.released.set()
		self.server.shutdown()
		self.server.server_close()

	def count(self, message_id):
		return sum(1 for m in self.accepted if m["Message-ID"].strip("<>") == message_id)
