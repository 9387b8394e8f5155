"""A private Postfix that delivers every accepted mail into one Maildir.

    mail = Postfix(domains=["citizen.test"])
    mail.start(folder)              # configuration, queue, log and Maildir lie below folder
    ... "smtp://127.0.0.1:%d" % mail.port ...
    for m in mail.messages(): m["Message-ID"], m["X-Original-To"], text_of(m)
    mail.stop()

It needs root (Postfix's master does) and the package postfix; available() says so. Nothing of the
system's own Postfix is read or touched. It ends with its parent, also when that is killed.
"""
import atexit
import email
import email.policy
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import time

MASTER = """\
127.0.0.1:{port} inet n - n - {smtpd_max} smtpd
postlog   unix-dgram n - n - 1 postlogd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
proxymap  unix - - n - - proxymap
virtual   unix - n n - {virtual_max} virtual
"""

MAIN = """\
compatibility_level = 3.6
config_directory = {root}/etc
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/postfix.log
maillog_file_prefixes = {root}
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = {recipient_access} reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_timeout = 60s
smtputf8_enable = yes
in_flow_delay = 0
notify_classes =
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = static:inbox/
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_mailbox_limit = 0
virtual_destination_concurrency_limit = {virtual_max}
virtual_destination_recipient_limit = 1
"""

def available():
	"""An empty string, or why it can't run here."""
	if os.geteuid() != 0:
		return "Postfix's master needs root"
	if not shutil.which("postfix", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
		return "the package postfix is missing"
	return ""


def text_of(message):
	"""The plain text of a parsed mail."""
	return message.get_body(preferencelist=("plain",)).get_content()


def free_port():
	with socket.socket() as s:
		s.bind(("127.0.0.1", 0))
		return s.getsockname()[1]


class Postfix:
	"""domains: accepted ones; replies: {"box@domain": "550 5.1.1 No such box"} at RCPT."""

	def __init__(self, domains=("citizen.test",), replies=None, concurrency=8):
		self.domains = list(domains)
		self.replies = dict(replies or {})
		self.concurrency = concurrency
		self.port = 0
		self.root = None
		self.maildir = None
		self._master = None
		self._watcher = None

	def start(self, folder, timeout=20):
		self.root = pathlib.Path(folder)
		self.maildir = self.root / "mail" / "inbox"
		self._lay_out()
		deadline = time.monotonic() + timeout
		while True:
			self.port = free_port()
			self._configure()
			self._launch()
			if self._wait_for_greeting(deadline):
				break
			self._end_master()
			if time.monotonic() > deadline:
				raise RuntimeError("postfix did not start:\n" + self.log())
		atexit.register(self.stop)
		return self

	def stop(self):
		"""Safe to call twice. What was accepted but not delivered stays in the queue."""
		atexit.unregister(self.stop)
		self._end_master()

	def restart(self, timeout=20):
		"""Comes back on the same port with the same queue."""
		self._launch()
		if not self._wait_for_greeting(time.monotonic() + timeout):
			raise RuntimeError("postfix did not come back:\n" + self.log())
		atexit.register(self.stop)

	def messages(self):
		"""All delivered mails, parsed, oldest first."""
		files = [p for part in ("new", "cur") for p in (self.maildir / part).glob("*")]
		files.sort(key=lambda p: p.name)
		found = []
		for path in files:
			with open(path, "rb") as f:
				found.append(email.message_from_binary_file(f, policy=email.policy.default))
		return found

	def new_messages(self, seen):
		"""Yields (file name, parsed mail) of those not in the set seen, and adds them to it."""
		for part in ("new", "cur"):
			for path in sorted((self.maildir / part).glob("*")):
				if path.name.split(":")[0] in seen:
					continue
				seen.add(path.name.split(":")[0])
				with open(path, "rb") as f:
					yield path.name, email.message_from_binary_file(f, policy=email.policy.default)

	def wait_for(self, count, timeout=20):
		"""The mails, once there are count of them; fails aloud else."""
		deadline = time.monotonic() + timeout
		while len(found := self.messages()) < count:
			if time.monotonic() > deadline:
				raise AssertionError("%d of %d mails came\n%s" % (len(found), count, self.log()))
			time.sleep(0.05)
		return found

	def queued(self):
		"""Mails accepted but not delivered yet."""
		parts = ("incoming", "active", "deferred", "maildrop")
		return sum(1 for part in parts for p in (self.root / "queue" / part).rglob("*") if p.is_file())

	def log(self):
		try:
			return (self.root / "postfix.log").read_text(errors="replace")[-4000:]
		except FileNotFoundError:
			return ""

	# ---- inside -------------------------------------------------------------------------------

	def _lay_out(self):
		owner = pwd.getpwnam("postfix")
		nobody = pwd.getpwnam("nobody")
		self.root.mkdir(parents=True, exist_ok=True)
		self.root.chmod(0o755)
		for name in ("etc", "queue", "data", "mail"):
			(self.root / name).mkdir(exist_ok=True)
		os.chown(self.root / "data", owner.pw_uid, -1)
		os.chown(self.root / "mail", nobody.pw_uid, nobody.pw_gid)

	def _configure(self):
		nobody = pwd.getpwnam("nobody")
		access = ""
		if self.replies:
			rows = " ".join("{ %s = %s }" % (box, reply) for box, reply in self.replies.items())
			access = "check_recipient_access inline:{ %s }" % rows
		main = MAIN.format(root=self.root, domains=" ".join(self.domains), uid=nobody.pw_uid,
			gid=nobody.pw_gid, recipient_access=access, virtual_max=self.concurrency)
		master = MASTER.format(port=self.port, smtpd_max=100, virtual_max=self.concurrency)
		(self.root / "etc" / "main.cf").write_text(main)
		(self.root / "etc" / "master.cf").write_text(master)

	def _launch(self):
		"""master itself, not `postfix start-fg`: that one leaves master in a group of its own."""
		etc = str(self.root / "etc")
		env = dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin", MAIL_CONFIG=etc)
		with open(self.root / "postfix.out", "ab") as out:
			quiet = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, "env": env}
			subprocess.run(["postfix", "-c", etc, "check"], check=True, **quiet)
			daemons = subprocess.run(["postconf", "-c", etc, "-hx", "daemon_directory"], check=True,
				stdout=subprocess.PIPE, env=env, text=True).stdout.strip()
			self._master = subprocess.Popen([daemons + "/master", "-s", "-c", etc], **quiet)
		# Changing its user, master loses a PR_SET_PDEATHSIG; the watcher reads until we are gone.
		self._watcher = subprocess.Popen(["sh", "-c", "read _; kill $0", str(self._master.pid)],
			stdin=subprocess.PIPE, start_new_session=True)

	def _wait_for_greeting(self, deadline):
		while time.monotonic() < deadline and self._master.poll() is None:
			try:
				with socket.create_connection(("127.0.0.1", self.port), timeout=2) as s:
					if s.recv(4) == b"220 ":
						return True
			except OSError:
				time.sleep(0.05)
		return False

	def _end_master(self):
		if self._master is None:
			return
		self._watcher.kill()
		self._watcher.communicate()
		if self._master.poll() is None:
			self._master.terminate()  # master passes it on to its children
			try:
				self._master.wait(10)
			except subprocess.TimeoutExpired:
				self._master.kill()
				self._master.wait()
		self._master = None
