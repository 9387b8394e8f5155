"""A private PostgreSQL cluster for tests and for deploy/try; tests/lib/pg.c's twin.

    with Cluster() as c:
        c.migrate("build/services/cli/centraleta")
        c.psql("SELECT 1")

Lives in a folder of its own, listens on a Unix socket there (and on 127.0.0.1 where a port is
given), trusts everybody. As root the server runs as the user postgres. A copy of a template that
the first user on this machine made; the template is shared with pg.c. The server dies with this
process. Nothing but the standard library is needed.
"""
import ctypes
import fcntl
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

DATABASE = "centraleta"
TEMPLATE = "/tmp/centraleta-pg-template-1-%s-%u"  # also in pg.c
PR_SET_PDEATHSIG = 1


class ClusterError(Exception):
    pass


def bindir():
    """The newest server's programs; None where there is no server."""
    if os.environ.get("PG_BINDIR"):
        return os.environ["PG_BINDIR"]
    found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    return os.path.dirname(max(found, key=lambda p: float(p.split("/")[4]))) if found else None


def _as_postgres():
    if os.getuid() != 0:
        return {}
    pw = pwd.getpwnam("postgres")
    return {"user": pw.pw_uid, "group": pw.pw_gid, "extra_groups": []}


def _give_to_postgres(path):
    if os.getuid() == 0:
        pw = pwd.getpwnam("postgres")
        os.chown(path, pw.pw_uid, pw.pw_gid)


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def _make_template(bin_, path):
    new = path + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.mkdir(new, 0o755)
    _give_to_postgres(new)
    data = new + "/data"

    def run(argv, text=None):
        r = subprocess.run(argv, input=text, text=True, cwd="/", capture_output=True, **_as_postgres())
        if r.returncode:
            raise ClusterError("%s: %s" % (argv[0], r.stderr))

    run([bin_ + "/initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync",
         "--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize=4"])
    run([bin_ + "/postgres", "--single", "-F", "-D", data, "postgres"],
        "CREATE DATABASE centraleta TEMPLATE template0\n")
    run([bin_ + "/postgres", "--single", "-F", "-D", data, DATABASE],
        "CREATE EXTENSION IF NOT EXISTS postgis\n")
    os.rename(new, path)


class Cluster:
    """settings: lines of postgresql.conf; folder: kept at the end where it was given."""

    def __init__(self, fsync=False, settings="", port=None, folder=None):
        self.bindir = bindir()
        if not self.bindir:
            raise ClusterError("no PostgreSQL server on this machine")
        self.fsync = fsync
        self.settings = settings
        self.port = port or 5432
        self.tcp = port is not None
        self.keep = folder is not None
        self.dir = folder or tempfile.mkdtemp(prefix="centraleta-pg-", dir="/tmp")
        self.process = None
        self.env = {}  # of the server, beside what it inherits

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        self.remove()

    # -- life ------------------------------------------------------------------------------------

    def start(self):
        """Makes the cluster where there is none yet, and starts it."""
        if not os.path.exists(self.dir + "/data/PG_VERSION"):
            self._copy_template()
            self._configure()
        log = open(self.dir + "/log", "a")
        with log:
            self.process = subprocess.Popen(
                [self.bindir + "/postgres", "-D", self.dir + "/data", "-c",
                 "unix_socket_directories=" + self.dir]  # a copied folder has another's in its file
                + ([] if self.fsync else ["-F"]),
                cwd="/", env={**os.environ, **self.env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=_die_with_parent, **_as_postgres())
        self._wait_until_up()
        return self

    restart = start  # after stop() or immediate_stop()

    def stop(self):
        """As pg_ctl -m fast."""
        self._end(signal.SIGINT)

    def immediate_stop(self):
        """As pg_ctl -m immediate: every back-end is gone, nothing is flushed."""
        self._end(signal.SIGQUIT)

    def remove(self):
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def _end(self, signo):
        if self.process:
            self.process.send_signal(signo)
            self.process.wait()
            self.process = None

    def _copy_template(self):
        path = TEMPLATE % (self.bindir.split("/")[4] if "/postgresql/" in self.bindir else "x", os.getuid())
        with open(os.open(path + ".lock", os.O_RDWR | os.O_CREAT, 0o600), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(path):
                _make_template(self.bindir, path)
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        _give_to_postgres(self.dir)
        subprocess.run(["cp", "-a", "--reflink=auto", path + "/data", self.dir + "/data"], check=True)

    def _configure(self):
        with open(self.dir + "/data/postgresql.conf", "a") as f:
            f.write("listen_addresses = '%s'\nport = %d\nunix_socket_directories = '%s'\n"
                    "shared_buffers = 32MB\nmax_connections = 200\nfull_page_writes = %s\n"
                    "max_wal_size = 256MB\nlog_line_prefix = '%%m [%%p] %%a '\n%s\n"
                    % ("127.0.0.1" if self.tcp else "", self.port, self.dir,
                       "on" if self.fsync else "off", self.settings))

    def _wait_until_up(self):
        for _ in range(6000):
            ready = subprocess.run([self.bindir + "/pg_isready", "-q", "-h", self.dir, "-p", str(self.port)],
                                   cwd="/")
            if ready.returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        with open(self.dir + "/log") as f:
            raise ClusterError("the server doesn't start: " + f.read()[-2000:])

    # -- use -------------------------------------------------------------------------------------

    def dsn(self, role="postgres"):
        return "host=%s port=%d user=%s dbname=%s" % (self.dir, self.port, role, DATABASE)

    def psql(self, sql, role="postgres"):
        """Statements or a script's text; what the last ones return, as text without a frame."""
        env = dict(os.environ, PGOPTIONS="-c search_path=centraleta,public -c client_min_messages=warning")
        r = subprocess.run([self.bindir + "/psql", "-qXAtb", "-v", "ON_ERROR_STOP=1", "-d", self.dsn(role),
                            "-f", "-"], input=sql, text=True, capture_output=True, cwd="/", env=env)
        if r.returncode:
            raise ClusterError(r.stderr)
        return r.stdout.rstrip("\n")

    def backends(self, application_name=None):
        """Process ids of the sessions of a program, or of all clients but this one."""
        sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        if application_name:
            sql += " AND application_name = '%s'" % application_name.replace("'", "''")
        return [int(line) for line in self.psql(sql).split()]

    def migrate(self, centraleta, sql_dir=None):
        """`centraleta migrate` of that program."""
        argv = [centraleta, "migrate", "--dsn", self.dsn()] + (["--dir", sql_dir] if sql_dir else [])
        r = subprocess.run(argv, text=True, capture_output=True)
        if r.returncode:
            raise ClusterError("migrate: " + r.stderr + r.stdout)
