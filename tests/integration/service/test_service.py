"""covers common/service with a daemon of a few lines, on a private PostgreSQL

Programs: CENTRALETA_SERVICE_DAEMON, CENTRALETA_SERVICE_MIGRATE.
"""
import json
import os
import pathlib
import queue
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))
import cluster

PROGRAM = os.environ["CENTRALETA_SERVICE_DAEMON"]
MIGRATE = os.environ["CENTRALETA_SERVICE_MIGRATE"]
SQL = str(pathlib.Path(__file__).resolve().parents[3] / "deploy" / "postgres")
SECRET = "0123456789abcdef0123456789abcdef\n"
EX_CONFIG = 78
LONG = 30  # seconds until a test gives up


class Daemon:
    """A process with its log lines; waits for events, never sleeps."""

    def __init__(self, argv, env):
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=env)
        self.lines, self.seen = queue.Queue(), []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def wait_line(self, part):
        deadline = time.monotonic() + LONG
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError("no line with %r in:\n%s" % (part, "\n".join(self.seen)))
            self.seen.append(line)
            if part in line:
                return line

    def end(self):
        """Exit status; all lines are in seen afterwards."""
        status = self.process.wait(LONG)
        self.reader.join()
        while (line := self.lines.get()) is not None:
            self.seen.append(line)
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    def log(self):
        return "\n".join(self.seen)

    def ready(self):
        line = self.wait_line("service.ready")
        return dict(f.split("=", 1) for f in line.split() if "=" in f)["admin"]


def get(address, path, method="GET"):
    request = urllib.request.Request("http://%s%s" % (address, path), method=method)
    try:
        with urllib.request.urlopen(request, timeout=LONG) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def wait_status(address, path, status):
    deadline = time.monotonic() + LONG
    while (answer := get(address, path))[0] != status:
        if time.monotonic() > deadline:
            raise AssertionError("%s stays %r" % (path, answer))
        time.sleep(0.01)  # polling an HTTP answer, which is no event
    return answer[1]


class ServiceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not cluster.bindir():
            raise unittest.SkipTest("no PostgreSQL server on this machine")
        cls.cluster = cluster.Cluster().start()
        cls.cluster.migrate(MIGRATE, SQL)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.stop()
        cls.cluster.remove()

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="centraleta-service-", dir="/tmp"))
        self.runtime = self.folder / "run"
        self.secret = self.folder / "secret"
        self.secret.write_text(SECRET)
        self.daemons = []
        self.configure()

    def tearDown(self):
        for d in self.daemons:
            if d.process.poll() is None:
                d.process.kill()
                d.end()
        shutil.rmtree(self.folder)

    def configure(self, **sections):
        sections.setdefault("store", {}).setdefault(
            "dsn", "host=%s port=%d dbname=centraleta" % (self.cluster.dir, self.cluster.port))
        sections.setdefault("service", {}).setdefault("secret_file", self.secret)
        sections["service"].setdefault("runtime_dir", self.runtime)
        sections["service"].setdefault("member", "routing-1")
        text = "".join("[%s]\n%s" % (name, "".join("%s = %s\n" % kv for kv in keys.items()))
                       for name, keys in sections.items())
        (self.folder / "c.conf").write_text(text)

    def start(self, *arguments, **env):
        d = Daemon([PROGRAM, "--config", str(self.folder / "c.conf"), *arguments], dict(os.environ, **env))
        self.daemons.append(d)
        return d

    def stop(self, d):
        d.process.terminate()
        self.assertEqual(d.end(), 0, d.log())
        self.assertIn("service.stopped", d.log())
        self.assertNotIn("Sanitizer", d.log())

    # -- before the start -------------------------------------------------------------------------

    def test_without_a_secret_it_refuses_to_start(self):
        self.secret.unlink()
        d = self.start()
        self.assertEqual(d.end(), EX_CONFIG)
        self.assertIn("service.secret key=service.secret_file path=\"%s\"" % self.secret, d.log())
        self.secret.write_text("too short")
        d = self.start()
        self.assertEqual(d.end(), EX_CONFIG)
        self.assertIn("bytes=9 reason=\"32 bytes or more are needed\"", d.log())
        self.assertNotIn("too short", d.log())

    def test_a_wrong_key_is_told_with_its_line(self):
        self.configure(store={"conections": 3})
        d = self.start()
        self.assertEqual(d.end(), EX_CONFIG)
        self.assertIn("c.conf:2: unknown key store.conections; the nearest is store.connections", d.log())

    def test_questions_are_answered_without_a_store(self):
        self.configure(store={"dsn": "host=/nowhere"})
        for argument, answer in (("--check", "is right"), ("--version", "centraleta-routing "),
                                 ("--dump-config", "dsn = host=/nowhere"), ("--help", "eventlog.alive_ms")):
            r = subprocess.run([PROGRAM, "--config", self.folder / "c.conf", argument], text=True,
                               capture_output=True)
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertIn(answer, r.stdout)

    def test_a_folder_that_can_not_be_made_is_told(self):
        self.configure(service={"runtime_dir": "/nowhere/run"})
        d = self.start()
        self.assertEqual(d.end(), EX_CONFIG)
        self.assertIn("service.runtime_dir path=\"/nowhere/run\" reason=\"No such file", d.log())

    def test_a_member_s_name_must_fit_a_path(self):
        d = self.start("--set", "service.member=../x")
        self.assertEqual(d.end(), EX_CONFIG)
        self.assertIn("service.member name=\"../x\"", d.log())

    def test_a_start_that_fails_is_told_and_leaves_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            d = self.start("--set", "admin.listen=127.0.0.1:%d" % taken.getsockname()[1])
            self.assertEqual(d.end(), 1)
        self.assertIn("service.start err=EADDRINUSE", d.log())
        d = self.start("--set", "routing.startable=false")
        self.assertEqual(d.end(), 1)
        self.assertIn("service.start err=ENODEV", d.log())
        self.assertNotIn("Sanitizer", d.log())
        self.assertFalse((self.runtime / "routing-1.admin").exists())

    # -- running ----------------------------------------------------------------------------------

    def test_a_life(self):
        d = self.start()
        admin = d.ready()
        self.assertEqual((self.runtime / "routing-1.admin").read_text(), admin + "\n")
        self.assertEqual(stat.S_IMODE(self.runtime.stat().st_mode), 0o750)
        self.assertEqual(get(admin, "/livez"), (200, '{"live":true}'))
        status, body = get(admin, "/readyz")
        self.assertEqual(status, 200)
        answer = json.loads(body)
        self.assertEqual((answer["service"], answer["member"], answer["ready"]), ("routing", "routing-1", True))
        self.assertEqual(answer["checks"], {"running": True, "store": True, "control": True,
                                            "eventlog": True, "healthy": True})
        self.assertEqual(get(admin, "/nowhere")[0], 404)
        self.assertEqual(get(admin, "/metrics", "POST")[0], 405)
        self.stop(d)
        self.assertFalse((self.runtime / "routing-1.admin").exists())

    def test_metrics_are_what_promtool_wants(self):
        d = self.start()
        admin = d.ready()
        status, text = get(admin, "/metrics")
        self.assertEqual(status, 200)
        self.assertIn("\ncentraleta_service_ready 1\n", text)
        self.assertIn("\ncentraleta_service_info{service=\"routing\",version=", text)
        self.assertIn("\ncentraleta_store_connected{connection=\"lane\"} 8\n", text)
        self.assertIn("\ncentraleta_routing_reloads_total 0\n", text)
        if shutil.which("promtool"):
            r = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
            self.assertEqual((r.returncode, r.stdout + r.stderr), (0, ""))
        self.stop(d)

    def test_the_daemon_works_under_its_own_role(self):
        d = self.start()
        d.ready()
        self.assertEqual(self.cluster.psql("SELECT DISTINCT usename FROM pg_stat_activity "
                                           "WHERE application_name = 'centraleta routing-1'"),
                         "centraleta_routing")
        self.stop(d)

    def test_reload_takes_the_new_or_keeps_the_old(self):
        d = self.start()
        admin = d.ready()
        self.configure(routing={"healthy": "false"}, bus={"endpoint": "ipc:///tmp/other"})
        d.process.send_signal(signal.SIGHUP)
        d.wait_line("service.reload key=bus.endpoint reason=\"counts after a restart\"")
        d.wait_line("service.reload result=done")
        self.assertFalse(json.loads(wait_status(admin, "/readyz", 503))["checks"]["healthy"])
        d.wait_line("service.unready")
        for sections, told in (({"routing": {"healthy": "perhaps"}}, "neither true nor false"),
                               ({"routing": {"acceptable": "false"}}, ""),
                               ({"log": {"level": "loud"}}, "service.config key=log.level")):
            self.configure(**sections)
            d.process.send_signal(signal.SIGHUP)
            d.wait_line("service.reload result=refused")
            self.assertIn(told, d.log())
        self.assertEqual(get(admin, "/readyz")[0], 503)
        self.configure()
        d.process.send_signal(signal.SIGHUP)
        d.wait_line("service.reload result=done")
        d.wait_line("service.ready")
        text = get(admin, "/metrics")[1]
        self.assertIn("centraleta_service_reloads_total{result=\"done\"} 2\n", text)
        self.assertIn("centraleta_service_reloads_total{result=\"refused\"} 3\n", text)
        self.assertIn("centraleta_routing_reloads_total 2\n", text)
        self.stop(d)

    def test_without_a_store_it_lives_but_is_not_ready(self):
        self.cluster.stop()
        try:
            d = self.start()
            admin = dict(f.split("=", 1) for f in d.wait_line("service.start").split() if "=" in f)["admin"]
            self.assertEqual(get(admin, "/livez")[0], 200)
            answer = json.loads(wait_status(admin, "/readyz", 503))
            self.assertFalse(answer["checks"]["store"] or answer["checks"]["control"])
            self.assertIn("store_error", answer)
        finally:
            self.cluster.restart()
        self.assertEqual(d.ready(), admin)
        self.cluster.immediate_stop()
        try:
            wait_status(admin, "/readyz", 503)
            d.wait_line("service.unready")
        finally:
            self.cluster.restart()
        d.ready()
        self.stop(d)

    def test_the_service_manager_is_told(self):
        path = str(self.folder / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(LONG)
            d = self.start(NOTIFY_SOCKET=path)
            self.assertEqual(manager.recv(100), b"READY=1")
            self.stop(d)
            self.assertEqual(manager.recv(100), b"STOPPING=1")

    # -- leaving ----------------------------------------------------------------------------------

    def test_a_drain_is_waited_for(self):
        d = self.start("--set", "routing.hold_ms=600")
        admin = d.ready()
        begin = time.monotonic()
        d.process.terminate()
        d.wait_line("service.draining")
        answer = json.loads(wait_status(admin, "/readyz", 503))
        self.assertFalse(answer["checks"]["running"])
        self.assertEqual(d.end(), 0)
        self.assertGreaterEqual(time.monotonic() - begin, 0.6)
        self.assertNotIn("time is over", d.log())

    def test_a_drain_has_its_end(self):
        d = self.start("--set", "routing.hold_ms=600000", "--set", "service.drain_ms=400")
        d.ready()
        begin = time.monotonic()
        self.stop(d)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertIn("service.drain part=daemon reason=\"time is over\"", d.log())

    def test_a_second_signal_leaves_at_once(self):
        d = self.start("--set", "routing.hold_ms=600000", "--set", "service.drain_ms=600000")
        d.ready()
        d.process.terminate()
        d.wait_line("service.draining")
        self.stop(d)
        self.assertIn("reason=\"second signal\"", d.log())

    def test_it_leaves_without_a_store(self):
        self.cluster.stop()
        try:
            d = self.start("--set", "service.drain_ms=400")
            d.wait_line("service.start")
            self.stop(d)
        finally:
            self.cluster.restart()


if __name__ == "__main__":
    unittest.main(verbosity=2)
