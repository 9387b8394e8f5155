"""Limits, times, pipelining, slow peers, descriptors, Unix sockets, drain: on a real socket."""

import os
import resource
import signal
import socket
import stat
import tempfile
import threading
import time
import unittest

import wire


def get(path, extra=b""):
    return b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + extra + b"\r\n"


CLOSE = b"Connection: close\r\n"


class Limits(unittest.TestCase):
    def start(self, *args, **kw):
        server = wire.Server(*args, **kw)
        self.addCleanup(self.finish, server)
        return server

    def finish(self, server):
        code, errors = server.finish()
        self.assertEqual(code, 0, errors)
        self.assertNotIn("ERROR", errors)

    def one(self, server, data, **kw):
        got, closed = wire.exchange(server.address, data, **kw)
        self.assertTrue(closed)
        return wire.answers(got)

    def status(self, server, data):
        return [a[0] for a in self.one(server, data)]


class Sizes(Limits):
    def test_head(self):
        s = self.start(head_max=1024, fields_max=5, target_max=100)
        self.assertEqual(self.status(s, get(b"/a", b"X: " + b"y" * 900 + b"\r\n")), [200])
        self.assertEqual(self.status(s, get(b"/a", b"X: " + b"y" * 1000 + b"\r\n")), [431])
        self.assertEqual(self.status(s, b"GET /a HTTP/1.1\r\nX: " + b"y" * 100000), [431])
        self.assertEqual(self.status(s, get(b"/a", b"X: y\r\n" * 4)), [200])
        self.assertEqual(self.status(s, get(b"/a", b"X: y\r\n" * 5)), [431])
        self.assertEqual(self.status(s, get(b"/" + b"a" * 99)), [200])
        self.assertEqual(self.status(s, get(b"/" + b"a" * 100)), [414])
        self.assertEqual(self.status(s, b"GET /" + b"a" * 5000), [414])

    def test_a_large_body_is_refused_at_its_head(self):
        s = self.start()
        with wire.connect(s.address) as c:
            c.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n")
            self.assertRegex(c.recv(4096), b"^HTTP/1.1 413 ")
            sent = 0  # the peer goes on all the same: its bytes are dropped, and it is left
            try:
                while sent < 100 << 20:
                    sent += c.send(b"x" * 65536)
            except OSError:
                pass
        self.assertLess(s.cpu(), 2)
        self.assertEqual(s.metric("http_parse_errors_total", cause="body_large"), 1)

    def test_body_limit_is_exact_and_admit_may_lower_it(self):
        s = self.start(body_max=100)
        post = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
        self.assertEqual(self.status(s, post % (b"/a", 100, b"x" * 100)), [200])
        self.assertEqual(self.status(s, post % (b"/a", 101, b"x" * 101)), [413])
        self.assertEqual(self.status(s, post % (b"/small", 10, b"x" * 10)), [200])
        self.assertEqual(self.status(s, post % (b"/small", 11, b"x" * 11)), [413])
        chunked = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n"
        half = b"32\r\n" + b"x" * 50 + b"\r\n"
        self.assertEqual(self.status(s, chunked % (half * 2)), [200])
        self.assertEqual(self.status(s, chunked % (half * 2 + b"1\r\nx\r\n")), [413])

    def test_bodies_come_whole(self):
        s = self.start()
        body = os.urandom(1 << 20)
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
        self.assertEqual(self.one(s, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)[0][2], body)
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[i:i + 7001]), body[i:i + 7001]) for i in range(0, len(body), 7001))
        self.assertEqual(self.one(s, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")[0][2], body)


class Times(Limits):
    def drip(self, address, data, every=0.05):
        """A byte at a time; seconds until the peer has had enough, and what it said."""
        began = time.monotonic()
        with wire.connect(address) as c:
            for i in range(len(data)):
                try:
                    c.sendall(data[i:i + 1])
                    c.settimeout(every)
                    got = c.recv(4096)
                    return time.monotonic() - began, got
                except socket.timeout:
                    continue
                except OSError:
                    return time.monotonic() - began, b""
        return time.monotonic() - began, None

    def test_a_slow_head_ends_by_its_total_time(self):
        s = self.start(head_ms=400)
        took, got = self.drip(s.address, get(b"/a", b"X: " + b"y" * 1000 + b"\r\n"))
        self.assertRegex(got, b"^HTTP/1.1 408 ")
        self.assertTrue(0.35 < took < 1.5, took)
        self.assertEqual(s.metric("http_refused_total", cause="head_time"), 1)

    def test_a_slow_body_ends_by_its_total_time(self):
        s = self.start(body_ms=400, head_ms=60000)
        head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n"
        with wire.connect(s.address) as c:
            c.sendall(head)
            began = time.monotonic()
            got = b""
            while not got and time.monotonic() - began < 5:
                c.sendall(b"x")
                c.settimeout(0.05)
                try:
                    got = c.recv(4096)
                except socket.timeout:
                    pass
            self.assertRegex(got, b"^HTTP/1.1 408 ")
            self.assertTrue(0.35 < time.monotonic() - began < 1.5)

    def test_silence(self):
        s = self.start(head_ms=200, idle_ms=500)
        with wire.connect(s.address) as c:
            began = time.monotonic()
            self.assertEqual(wire.read_all(c), (b"", True))
            self.assertTrue(0.15 < time.monotonic() - began < 0.45)
        with wire.connect(s.address) as c:
            c.sendall(get(b"/a"))
            c.recv(4096)
            began = time.monotonic()
            self.assertEqual(wire.read_all(c), (b"", True))
            self.assertTrue(0.45 < time.monotonic() - began < 1.5)

    def test_an_answer_that_does_not_come(self):
        s = self.start(answer_ms=200)
        for path in (b"/late?600", b"/late?600&hookless"):
            began = time.monotonic()
            a = self.one(s, get(path) + get(b"/a"))
            self.assertLess(time.monotonic() - began, 0.55)
            self.assertEqual([x[0] for x in a], [503])
            self.assertEqual(a[0][1]["retry-after"], "1")
        time.sleep(0.7)  # the late answers fall on nothing
        self.assertEqual(self.status(s, get(b"/a")), [200])
        self.assertEqual(s.metric("http_refused_total", cause="answer_time"), 2)


class Exchanges(Limits):
    def test_pipelined_answers_are_in_order(self):
        s = self.start()
        data = b"".join(get(b"/late?%d" % (30 - i * 5) if i % 2 else b"/n%d" % i) for i in range(6))
        bodies = [a[2].split(b"?")[0] for a in self.one(s, data)]
        self.assertEqual(bodies, [b"GET /n0", b"late\n", b"GET /n2", b"late\n", b"GET /n4", b"late\n"])

    def test_thousands_pipelined(self):
        s = self.start()
        n = 5000
        with wire.connect(s.address) as c:
            sender = threading.Thread(target=lambda: (c.sendall(b"".join(get(b"/%d" % i) for i in range(n))),
                                                      c.shutdown(socket.SHUT_WR)))
            sender.start()
            got, closed = wire.read_all(c, 20)
            sender.join()
        self.assertTrue(closed)
        self.assertEqual([a[2].split(b"?")[0] for a in wire.answers(got)], [b"GET /%d" % i for i in range(n)])

    def test_close_keep_alive_and_1_0(self):
        s = self.start()
        self.assertEqual(self.status(s, get(b"/a") * 3), [200] * 3)
        a = self.one(s, get(b"/a", CLOSE) + get(b"/b"))
        self.assertEqual([(x[0], x[1].get("connection")) for x in a], [(200, "close")])
        a = self.one(s, b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get(b"/b"))
        self.assertEqual([(x[0], x[1].get("connection")) for x in a], [(200, "close")])

    def test_head_has_no_body(self):
        s = self.start()
        got, _ = wire.exchange(s.address, b"HEAD /big?1000 HTTP/1.1\r\nHost: x\r\n\r\n" + get(b"/b"))
        first, _, rest = got.partition(b"\r\n\r\n")
        self.assertIn(b"Content-Length: 1000", first)
        self.assertEqual(wire.answers(rest)[0][0], 200)

    def test_expect_continue(self):
        s = self.start(body_max=100)
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        with wire.connect(s.address) as c:
            c.sendall(head % (b"/echo", 3))
            self.assertEqual(c.recv(4096), b"HTTP/1.1 100 Continue\r\n\r\n")
            c.sendall(b"abc")
            self.assertEqual(wire.answers(c.recv(4096))[0][2], b"abc")
        for path, n, want in ((b"/echo", 101, b"413"), (b"/refuse", 3, b"403")):
            with wire.connect(s.address) as c:
                c.sendall(head % (path, n))
                self.assertEqual(c.recv(4096)[9:12], want)  # and no 100 before

    def test_refused_in_admit_before_the_body(self):
        s = self.start()
        post = b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
        with wire.connect(s.address) as c:
            c.sendall(post)
            self.assertRegex(c.recv(4096), b"^HTTP/1.1 403 ")
            c.sendall(b"abcde" + get(b"/b"))  # the body is read over, the connection goes on
            self.assertRegex(c.recv(4096), b"^HTTP/1.1 200 ")
        chunked = b"POST /refuse HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        self.assertEqual(self.status(s, chunked + get(b"/b")), [403, 200])
        self.assertEqual(self.status(s, get(b"/refuse") + get(b"/b")), [403, 200])
        large = b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        self.assertEqual(self.status(s, large + b"x" * 100000 + get(b"/b")), [403])

    def test_unknown_methods(self):
        s = self.start()
        for method in (b"TRACE", b"CONNECT", b"PROPFIND", b"get"):
            a = self.one(s, method + b" /a HTTP/1.1\r\nHost: x\r\n\r\n" + get(b"/b"))
            self.assertEqual([x[0] for x in a], [405])
            self.assertIn("POST", a[0][1]["allow"])

    def test_fields_of_every_answer(self):
        s = self.start()
        fields = self.one(s, get(b"/a"))[0][1]
        self.assertEqual(fields["x-content-type-options"], "nosniff")
        self.assertEqual(fields["content-security-policy"], "default-src 'none'")
        self.assertEqual(fields["cache-control"], "no-store")
        self.assertRegex(fields["date"], r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")

    def test_several_fields_of_one_name_are_joined(self):
        s = self.start()
        body = self.one(s, get(b"/a", b"X: 1\r\nx:  2 \r\nY: z\r\nX: 3\r\n"))[0][2]
        self.assertIn(b"x=1, 2, 3\n", body)

    def test_a_peer_that_leaves_while_its_answer_is_made(self):
        s = self.start()
        for path in (b"/late?200", b"/late?200&hookless"):
            c = wire.connect(s.address)
            c.sendall(get(path))
            time.sleep(0.05)
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            c.close()  # a reset
        time.sleep(0.4)
        self.assertEqual(s.metric("http_refused_total", cause="gone"), 2)
        self.assertEqual(s.metric("http_connections"), 1)

    def test_a_peer_that_leaves_in_the_middle(self):
        s = self.start()
        for data in (b"GET /a HT", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"):
            self.assertEqual(self.status(s, get(b"/b") + data), [200])
        self.assertEqual(s.metric("http_refused_total", cause="truncated"), 2)


class SlowReaders(Limits):
    def test_what_is_not_read_stops_the_peer_and_ends_it(self):
        s = self.start(output_max=100000, answer_ms=500)
        c = wire.connect(s.address)
        self.addCleanup(c.close)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sent = 0
        c.settimeout(0.2)
        try:
            while sent < 1000:  # 1,000 answers of 90 kB would be 90 MB in memory
                c.sendall(get(b"/big?90000"))
                sent += 1
        except OSError:
            pass
        with open(f"/proc/{s.p.pid}/statm", encoding="ascii") as f:
            resident = int(f.read().split()[1]) * 4096
        self.assertLess(resident, 200 << 20)
        end = time.monotonic() + 5
        while s.metric("http_connections") > 1 and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(s.metric("http_refused_total", cause="output_time"), 1)
        self.assertLess(s.metric("http_requests_total", **{"class": "2xx"}), 200)

    def test_a_reader_that_is_only_late_gets_all(self):
        s = self.start(output_max=100000)
        with wire.connect(s.address) as c:
            c.sendall(get(b"/big?400000") * 10)
            c.shutdown(socket.SHUT_WR)
            time.sleep(0.3)
            got, closed = wire.read_all(c, 10)
        self.assertTrue(closed)
        self.assertEqual([len(a[2]) for a in wire.answers(got)], [400000] * 10)


class Connections(Limits):
    def hold(self, server, n):
        held = [wire.connect(server.address) for _ in range(n)]
        for c in held:
            self.addCleanup(c.close)
            c.sendall(get(b"/a"))
            self.assertRegex(c.recv(4096), b"^HTTP/1.1 200")
        return held

    def test_in_all(self):
        s = self.start(connections_max=5)
        held = self.hold(s, 5)
        a = wire.answers(wire.read_all(wire.connect(s.address))[0])
        self.assertEqual((a[0][0], a[0][1]["connection"]), (503, "close"))
        held[0].close()
        time.sleep(0.05)
        self.assertEqual(s.metric("http_refused_total", cause="connections"), 1)

    def test_by_address(self):
        s = self.start(per_address_max=3)
        self.hold(s, 3)
        self.assertEqual(wire.answers(wire.read_all(wire.connect(s.address))[0])[0][0], 503)
        host, port = s.address.split(":")
        with socket.create_connection((host, int(port)), 5, source_address=("127.0.0.2", 0)) as other:
            other.sendall(get(b"/a", CLOSE))
            self.assertIn(b"peer=127.0.0.2", wire.read_all(other)[0])

    def test_out_of_descriptors(self):
        s = self.start(preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
        held = [wire.connect(s.address) for _ in range(60)]
        before = s.cpu()
        time.sleep(1)
        self.assertLess(s.cpu() - before, 0.2)
        for c in held:
            c.close()
        end = time.monotonic() + 10
        while time.monotonic() < end:
            got, _ = wire.exchange(s.address, get(b"/a"))
            if got.startswith(b"HTTP/1.1 200"):
                break
        self.assertRegex(got, b"^HTTP/1.1 200")
        self.assertGreaterEqual(s.metric("http_refused_total", cause="descriptors"), 1)
        s.p.send_signal(signal.SIGTERM)
        self.assertLess(len(s.p.stderr.read()), 20000)


class Sockets(Limits):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = folder.name + "/http.sock"

    def test_unix(self):
        s = self.start("unix:" + self.path)
        self.assertEqual(s.address, "unix:" + self.path)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o660)
        fields = b"X-Forwarded-For: 10.9.9.9, 192.0.2.7\r\n"
        self.assertIn(b"peer=192.0.2.7 ", self.one(s, get(b"/a", fields))[0][2])
        self.assertIn(b"peer=unix ", self.one(s, get(b"/a"))[0][2])
        self.assertIn(b"peer=unix ", self.one(s, get(b"/a", b"X-Forwarded-For: 1.2.3.4, evil\r\n"))[0][2])
        self.assertEqual(self.one(s, get(b"/a") * 2)[1][0], 200)

    def test_the_file_goes_with_the_server(self):
        wire.Server("unix:" + self.path).finish()
        self.assertFalse(os.path.exists(self.path))

    def test_a_stale_file_is_replaced(self):
        old = wire.Server("unix:" + self.path)
        old.stop(signal.SIGKILL)
        old.p.stdout.close()
        old.p.stderr.close()
        self.assertTrue(os.path.exists(self.path))
        s = self.start("unix:" + self.path)
        self.assertEqual(self.status(s, get(b"/a")), [200])

    def test_a_file_in_use_or_of_another_kind_is_not(self):
        s = self.start("unix:" + self.path)
        with self.assertRaisesRegex(AssertionError, "EADDRINUSE"):
            wire.Server("unix:" + self.path)
        self.assertEqual(self.status(s, get(b"/a")), [200])
        with open(self.path + ".txt", "w", encoding="ascii") as f:
            f.write("mine")
        with self.assertRaisesRegex(AssertionError, "EEXIST"):
            wire.Server("unix:" + self.path + ".txt")
        self.assertTrue(os.path.exists(self.path + ".txt"))

    def test_proxy_fields_from_tcp_count_for_nothing(self):
        s = self.start()
        self.assertIn(b"peer=127.0.0.1 ", self.one(s, get(b"/a", b"X-Forwarded-For: 192.0.2.7\r\n"))[0][2])

    def test_ipv6(self):
        try:
            s = self.start("[::1]:0")
        except AssertionError as e:
            self.skipTest(f"no IPv6: {e}")
        self.assertRegex(s.address, r"^\[::1\]:\d+$")
        self.assertIn(b"peer=::1 ", self.one(s, get(b"/a"))[0][2])

    def test_addresses_of_no_form(self):
        for listen in ("8080", "localhost:80", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:8x", "[::1:80", "unix:"):
            with self.assertRaisesRegex(AssertionError, "EINVAL", msg=listen):
                wire.Server(listen)


class Drain(unittest.TestCase):
    def test_what_is_under_way_is_answered_and_closed(self):
        s = wire.Server()
        busy = wire.connect(s.address)
        idle = wire.connect(s.address)
        idle.sendall(get(b"/a"))
        idle.recv(4096)
        busy.sendall(get(b"/late?300"))
        time.sleep(0.1)
        s.p.send_signal(signal.SIGTERM)
        self.assertEqual(wire.read_all(idle, 0.2), (b"", True))
        with self.assertRaises(OSError):
            wire.connect(s.address)
        got, closed = wire.read_all(busy)
        self.assertTrue(closed)
        self.assertEqual([(a[0], a[1]["connection"]) for a in wire.answers(got)], [(200, "close")])
        idle.close()
        busy.close()
        self.assertEqual(s.p.wait(5), 0)
        s.finish()


if __name__ == "__main__":
    unittest.main()
