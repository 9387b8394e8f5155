"""Starts http_server, nginx and HAProxy, and speaks raw bytes to them."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SERVER = os.environ.get("HTTP_SERVER", "build/tests/integration/http/http_server")


def connect(address, timeout=5):
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        target = address[5:]
    else:
        host, port = address.rsplit(":", 1)
        s = socket.socket(socket.AF_INET6 if "[" in host else socket.AF_INET)
        target = (host.strip("[]"), int(port))
    s.settimeout(timeout)
    try:
        s.connect(target)
    except OSError:
        s.close()
        raise
    return s


def read_all(s, timeout=5):
    """All bytes until the peer closes; (bytes, closed)."""
    data = b""
    end = time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            s.settimeout(max(end - time.monotonic(), 0.001))
            part = s.recv(65536)
            if not part:
                return data, True
            data += part
    except ConnectionError:
        return data, True
    except socket.timeout:
        pass
    return data, False


def answers(data):
    """[(status, fields, body)] of a run of answers."""
    result = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        m = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        if not m:
            raise AssertionError(f"no answer: {data[:200]!r}")
        fields = {k.lower(): v for k, v in (x.split(": ", 1) for x in head.decode("latin-1").split("\r\n")[1:])}
        n = int(fields.get("content-length", 0))
        result.append((int(m[1]), fields, rest[:n]))
        data = rest[n:]
    return result


def exchange(address, data, timeout=5, half_close=True):
    with connect(address, timeout) as s:
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused while sending: the answer is what counts
        return read_all(s, timeout)


class Process:
    def __init__(self, args, **kw):
        self.p = subprocess.Popen(args, **kw)

    def cpu(self):
        with open(f"/proc/{self.p.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, signo=signal.SIGTERM):
        if self.p.poll() is None:
            self.p.send_signal(signo)
        try:
            return self.p.wait(10)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            return None


class Server(Process):
    def __init__(self, listen="127.0.0.1:0", preexec=None, **limits):
        args = [SERVER, listen] + [f"{k}={v}" for k, v in limits.items()]
        super().__init__(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=preexec, text=True)
        self.address = self.p.stdout.readline().strip()
        if not self.address:
            raise AssertionError("no server: " + self.p.stderr.read())

    def metrics(self):
        data, _ = exchange(self.address, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = answers(data)[0][2].decode()
        return {k: float(v) for k, v in re.findall(r"^(\w+\{.*\}) (\S+)$", text, re.M)}

    def metric(self, name, **labels):
        inside = ",".join(f'{k}="{v}"' for k, v in dict(server="test", **labels).items())
        return self.metrics()[f"centraleta_{name}{{{inside}}}"]

    def finish(self):
        code = self.stop()
        errors = self.p.stderr.read()
        self.p.stdout.close()
        self.p.stderr.close()
        return code, errors


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Nginx(Process):
    """A front that reads the whole request before a second server of its own answers 200."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="nginx-")
        os.chmod(self.folder, 0o755)
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        conf = os.path.join(self.folder, "nginx.conf")
        temp = "".join(f"{n}_temp_path {self.folder}/{n};" for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(conf, "w", encoding="ascii") as f:
            f.write(f"""daemon off; master_process off; pid {self.folder}/pid; error_log {self.folder}/error.log;
events {{ worker_connections 256; }}
http {{ access_log off; {temp}
server {{ listen {self.address}; location / {{ proxy_http_version 1.1; proxy_ignore_client_abort on;
    proxy_pass http://unix:{self.folder}/back.sock; }} }}
server {{ listen unix:{self.folder}/back.sock; location / {{ return 200 "$request_uri\\n"; }} }} }}
""")
        super().__init__(["nginx", "-p", self.folder, "-c", conf, "-e", self.folder + "/error.log"])
        wait_for(self)

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Haproxy(Process):
    def __init__(self, backend):
        self.folder = tempfile.mkdtemp(prefix="haproxy-")
        self.address = f"127.0.0.1:{free_port()}"
        conf = os.path.join(self.folder, "haproxy.cfg")
        with open(conf, "w", encoding="ascii") as f:
            f.write(f"""global
defaults
    mode http
    timeout connect 2s
    timeout client 2s
    timeout server 2s
frontend f
    bind {self.address}
    option http-buffer-request
    default_backend b
backend b
    server s {backend}
""")
        super().__init__(["haproxy", "-q", "-f", conf], stderr=subprocess.DEVNULL)
        wait_for(self)

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_for(front):
    end = time.monotonic() + 10
    while True:
        try:
            connect(front.address, 1).close()
            return
        except OSError:
            if front.p.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.02)
