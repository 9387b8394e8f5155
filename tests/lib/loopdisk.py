"""A small disk in a file: ext4 on a loop device, of which a copy is what a power cut leaves.

What a program wrote but never flushed is in the mounted system's page cache, not in the file. Needs
root and leave to mount; enter() gives the process mounts of its own, which end with it.
"""
import os
import pathlib
import subprocess
import sys
import time


class NoMounts(Exception):
	"""This machine or container lets us mount nothing; says why."""


def _run(*argv):
	try:
		return subprocess.run([str(a) for a in argv], capture_output=True, text=True)
	except FileNotFoundError:
		raise NoMounts(f"there is no {argv[0]}") from None


def _said(done):
	return (done.stderr or done.stdout).strip().replace("\n", "; ") or f"exit status {done.returncode}"


def enter():
	"""Runs the program again where its mounts are its own. Raises NoMounts."""
	if os.environ.get("CENTRALETA_OWN_MOUNTS") == "1":
		return
	if os.getuid() != 0:
		raise NoMounts("only root may mount")
	done = _run("unshare", "--mount", "true")
	if done.returncode:
		raise NoMounts(_said(done))
	os.environ["CENTRALETA_OWN_MOUNTS"] = "1"
	os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def _make_node():
	"""In a container there may be loop devices without nodes: makes that of the next free one."""
	if not os.path.exists("/dev/loop-control"):
		_run("mknod", "/dev/loop-control", "c", 10, 237)
	name = _run("losetup", "-f").stdout.strip()
	if name.startswith("/dev/loop") and not os.path.exists(name):
		_run("mknod", name, "b", 7, name.removeprefix("/dev/loop"))


class Disk:
	def __init__(self, image, megabytes=None):
		"""megabytes: a new, empty one."""
		self.image, self.point = pathlib.Path(image), None
		if megabytes:
			with open(self.image, "wb") as f:
				f.truncate(megabytes << 20)
			done = _run("mkfs.ext4", "-q", "-F", "-m", 0, "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
			if done.returncode:
				raise NoMounts(f"mkfs.ext4: {_said(done)}")

	def mount(self, point):
		done = _run("mount", "-o", "loop,noatime", self.image, point)
		if done.returncode:
			_make_node()
			done = _run("mount", "-o", "loop,noatime", self.image, point)
		if done.returncode:
			raise NoMounts(f"mount -o loop: {_said(done)}")
		self.point = point
		return self

	def unmount(self, patience=10):
		deadline = time.monotonic() + patience
		while self.point and (done := _run("umount", self.point)).returncode:
			if time.monotonic() > deadline:
				raise RuntimeError(f"umount: {_said(done)}")
			time.sleep(0.05)
		self.point = None

	def copy(self, image):
		subprocess.run(["cp", "--sparse=always", "--reflink=never", self.image, image], check=True)
		return Disk(image)


def probe(folder):
	"""Raises NoMounts where no disk can be made and mounted in this folder."""
	point = pathlib.Path(folder) / "probe"
	point.mkdir()
	disk = Disk(pathlib.Path(folder) / "probe.img", 8)
	try:
		disk.mount(point).unmount()
	finally:
		disk.image.unlink()
		point.rmdir()
