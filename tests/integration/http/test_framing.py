"""Framing, on a real socket: what is accepted, what is refused, and that nothing smuggled is run.

Beside nginx and HAProxy where they are installed: what they refuse, we refuse.
"""

import random
import shutil
import socket
import time
import unittest

import cases
import wire


class Framing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = wire.Server()

    @classmethod
    def tearDownClass(cls):
        code, errors = cls.server.finish()
        assert code == 0 and "ERROR" not in errors, (code, errors)

    def judge(self, name, data, expect, got, closed):
        self.assertTrue(closed, name)
        self.assertNotIn(b"smuggled", got, name)
        found = wire.answers(got)
        if expect == "accept":
            self.assertEqual([a[0] for a in found], [200], name)
        elif expect == "refuse":
            self.assertEqual(len(found), 1, f"{name}: {got!r}")
            self.assertGreaterEqual(found[0][0], 400, name)
            self.assertEqual(found[0][1].get("connection"), "close", name)

    def run_all(self, all_cases, send):
        for name, data, expect in all_cases:
            with self.subTest(name):
                got, closed = send(data)
                self.judge(name, data, expect, got, closed)

    def test_shared_corpus(self):
        corpus = cases.corpus()
        if corpus is None:
            self.skipTest("corpora/http/framing.json is absent")
        self.run_all(corpus, lambda data: wire.exchange(self.server.address, data))

    def test_own_cases(self):
        own = list(cases.own())
        self.assertGreater(len(own), 300)
        self.run_all(own, lambda data: wire.exchange(self.server.address, data))

    def test_refused_without_waiting_for_more(self):
        """A refusal comes at once, not at the end of what the peer might still send."""
        for name, data in [("bare LF", b"GET /a HTTP/1.1\nHost: x\n\n"), ("two lengths", cases.POST % (
                b"Content-Length: 3\r\nContent-Length: 9\r\n", b"")), ("chunk", cases.POST % (cases.CHUNKED, b"+3\r\n"))]:
            with self.subTest(name), wire.connect(self.server.address) as s:
                began = time.monotonic()
                s.sendall(data)
                self.assertRegex(s.recv(4096), rb"^HTTP/1\.1 400 ")
                self.assertLess(time.monotonic() - began, 1)

    def send_in_pieces(self, data):
        """Cut at random places, each piece a read of its own."""
        with wire.connect(self.server.address) as s:
            cuts = sorted(random.sample(range(1, len(data)), min(3, len(data) - 1)))
            try:
                for a, b in zip([0] + cuts, cuts + [len(data)]):
                    s.sendall(data[a:b])
                    time.sleep(0.002)
                s.shutdown(1)
            except OSError:
                pass
            return wire.read_all(s)

    def test_pieces_change_nothing(self):
        random.seed(7)
        chosen = random.sample([c for c in cases.own() if len(c[1]) < 600], 100)
        self.run_all(chosen, self.send_in_pieces)

    def test_what_follows_an_error_is_not_run(self):
        before = self.server.metric("http_requests_total", **{"class": "2xx"})
        data = b"garbage\r\n\r\n" + cases.SMUGGLED * 5
        got, closed = wire.exchange(self.server.address, cases.GET % b"" + data)
        self.assertTrue(closed)
        self.assertEqual([a[0] for a in wire.answers(got)], [200, 400])
        # the good one, and the first reading of the metrics itself
        self.assertEqual(self.server.metric("http_requests_total", **{"class": "2xx"}), before + 2)

    def test_errors_are_counted_by_cause(self):
        before = self.server.metric("http_parse_errors_total", cause="host")
        wire.exchange(self.server.address, b"GET /a HTTP/1.1\r\n\r\n")
        self.assertEqual(self.server.metric("http_parse_errors_total", cause="host"), before + 1)


@unittest.skipUnless(shutil.which("nginx"), "nginx is absent")
class BesideFronts(unittest.TestCase):
    """A front that refuses what we take would be a difference to smuggle through."""

    @classmethod
    def setUpClass(cls):
        cls.server = wire.Server()
        cls.nginx = wire.Nginx()

    @classmethod
    def tearDownClass(cls):
        cls.nginx.close()
        cls.server.finish()

    def refused(self, address, data):
        """Whether the first answer is an error; None: neither (it waits for more)."""
        got = b""
        with wire.connect(address, 0.3) as s:
            try:
                s.sendall(data)
                while b"\r\n\r\n" not in got:
                    part = s.recv(4096)
                    if not part:
                        return True
                    got += part
            except socket.timeout:
                return None
            except OSError:
                return True
        return int(got[9:12]) >= 400

    def compare(self, front):
        refused = 0
        for name, data, expect in (cases.corpus() or []) + list(cases.own()):
            with self.subTest(name):
                theirs = self.refused(front, data)
                refused += bool(theirs)
                if theirs:
                    self.assertIs(self.refused(self.server.address, data), True, name)
        return refused

    def test_nginx_refuses_nothing_that_we_take(self):
        self.assertGreater(self.compare(self.nginx.address), 50)

    @unittest.skipUnless(shutil.which("haproxy"), "HAProxy is absent")
    def test_haproxy_refuses_nothing_that_we_take(self):
        haproxy = wire.Haproxy(self.nginx.address)
        try:
            self.assertGreater(self.compare(haproxy.address), 50)
        finally:
            haproxy.close()


if __name__ == "__main__":
    unittest.main()
