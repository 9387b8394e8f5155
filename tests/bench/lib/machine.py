"""What is read off the machine: how long a flush takes, CPU used, device flushes; and being alone on it."""
import contextlib
import fcntl
import os
import pathlib
import platform
import statistics
import time

TICK = os.sysconf("SC_CLK_TCK")
LOCK = "/tmp/centraleta-measure.lock"  # one measurement at a time on this machine; builds share it


@contextlib.contextmanager
def alone(shared=False):
	"""Holds the machine; yields how long it was waited for, in seconds."""
	with open(os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o666), "w") as f:
		asked = time.monotonic()
		fcntl.flock(f, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
		yield time.monotonic() - asked


def settle_disk():
	"""What was left to write is written: a probe is to see the disk, not what was measured before it."""
	os.sync()
	time.sleep(4)


def flush_us(folder, seconds=2.0, most=20000):
	"""Median of an append of 8 KiB with its fdatasync."""
	path, block, times = pathlib.Path(folder) / "flush-probe", b"\0" * 8192, []
	fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
	try:
		end = time.monotonic() + seconds
		while len(times) < most and (time.monotonic() < end or len(times) < 20):
			began = time.perf_counter_ns()
			os.write(fd, block)
			os.fdatasync(fd)
			times.append((time.perf_counter_ns() - began) / 1000)
	finally:
		os.close(fd)
		path.unlink()
	return statistics.median(times)


def device_flushes(folder):
	"""Flushes that the folder's device has done; None where the kernel doesn't say."""
	device = os.stat(folder).st_dev
	for line in pathlib.Path("/proc/diskstats").read_text().splitlines():
		f = line.split()
		if (int(f[0]), int(f[1])) == (os.major(device), os.minor(device)) and len(f) >= 20:
			return int(f[18])
	return None


def _stat(pid):
	try:
		return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
	except (FileNotFoundError, ProcessLookupError):
		return None


def cpu_seconds(pid, tree=False):
	"""CPU of a process; with tree also of all below it, also of children that ended and were waited for."""
	f = _stat(pid)
	if f is None:
		return 0.0
	if not tree:
		return sum(map(int, f[11:13])) / TICK
	parents = {}
	for p in filter(str.isdigit, os.listdir("/proc")):
		s = _stat(p)
		if s is not None:
			parents.setdefault(int(s[1]), []).append(int(p))
	total, todo = 0.0, [pid]
	while todo:
		p = todo.pop()
		s = _stat(p)
		total += sum(map(int, s[11:15])) / TICK if s else 0.0
		todo += parents.get(p, [])
	return total


def rss_kb(pid):
	for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
		if line.startswith("VmRSS:"):
			return int(line.split()[1])
	return 0


def switches(pid):
	"""Voluntary context switches of all threads of a process."""
	total = 0
	for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
		for line in (task / "status").read_text().splitlines():
			if line.startswith("voluntary_ctxt_switches:"):
				total += int(line.split()[1])
	return total


def describe():
	model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
		if line.startswith("model name")), platform.machine())
	memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
	return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Linux {platform.release()}"
