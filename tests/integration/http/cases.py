"""Framing cases: (name, bytes, expect), expect being accept, refuse or either.

The shared corpus where it is there, and our own, most of them generated: every place of a request
where a byte has two readings between servers. Each case to be refused carries a second request,
GET /smuggled, that must not be run.
"""

import json
import os

ROOT = os.environ.get("CENTRALETA_SOURCE_ROOT") or os.path.join(os.path.dirname(__file__), *[".."] * 3)
CORPUS = os.path.join(ROOT, "..", "shared", "data", "corpora", "http", "framing.json")
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n%b\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\n%b\r\n%b"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def corpus():
    """None where the shared data is absent."""
    if not os.path.exists(CORPUS):
        return None
    with open(CORPUS, encoding="utf-8") as f:
        return [(c["name"], c["bytes"].encode("latin-1"), c["expect"]) for c in json.load(f)]


def lengths():
    good = [b"3", b" 3", b"3 ", b"   3  ", b"03"]
    bad = [b"", b"3\t", b"\t3", b"\t 3 \t", b"+3", b"-3", b"0x3", b"3,3", b"3, 3", b"3 3", b"3.0", b"1e1", b"3;", b"3h", b"\xd9\xa3",
           b"99999999999999999999", b"18446744073709551619", b"4294967299x", b"3\x0b", b"\x0c3", b'"3"']
    for v in good:
        yield f"length {v!r}", POST % (b"Content-Length:" + v + b"\r\n", b"abc"), "accept"
    for v in bad:
        yield f"length {v!r}", POST % (b"Content-Length:" + v + b"\r\n", b"abc"), "refuse"
    for name in [b"Content-Length ", b"Content-Length\t", b" Content-Length", b"Content-Length\x00",
                 b"Content Length", b"Content-Length\xa0", b"\x0bContent-Length"]:
        yield f"length name {name!r}", POST % (name + b": 3\r\n", b"abc"), "refuse"
    for a, b in [(b"3", b"3"), (b"3", b"4"), (b"0", b"3"), (b"3", b"")]:
        fields = b"Content-Length: " + a + b"\r\ncontent-length: " + b + b"\r\n"
        yield f"lengths {a!r} {b!r}", POST % (fields, b"abc"), "refuse"


def encodings():
    body = b"3\r\nabc\r\n0\r\n\r\n"
    for v in [b"chunked", b"Chunked", b"CHUNKED", b"chunked "]:
        yield f"encoding {v!r}", POST % (b"Transfer-Encoding: " + v + b"\r\n", body), "accept"
    for v in [b"", b"\tchunked", b"chunked\t", b"xchunked", b"chunked, chunked", b"chunked,identity", b"identity, chunked", b"gzip",
              b"gzip, chunked", b"chunked;q=1", b"\x0bchunked", b'"chunked"', b"chunked,", b",chunked",
              b"chunked\x00", b"chu nked", b"identity", b"chunked\xa0", b"cow", b"deflate\r\n chunked"]:
        yield f"encoding {v!r}", POST % (b"Transfer-Encoding: " + v + b"\r\n", body), "refuse"
    for name in [b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"Transfer-Encoding\x00",
                 b"Transfer Encoding"]:
        yield f"encoding name {name!r}", POST % (name + b": chunked\r\n", body), "refuse"
    for te in [b"chunked", b"identity", b"gzip", b"x"]:
        for cl in [b"0", b"3", b"13", b"x"]:
            for order in (0, 1):
                pair = [b"Transfer-Encoding: " + te + b"\r\n", b"Content-Length: " + cl + b"\r\n"]
                fields = b"".join(pair[::-1] if order else pair)
                yield f"encoding {te!r} length {cl!r} {order}", POST % (fields, body), "refuse"
    yield "encoding twice", POST % (CHUNKED * 2, body), "refuse"
    yield "encoding in 1.0", (POST % (CHUNKED, body)).replace(b"1.1", b"1.0"), "refuse"


def chunks():
    for body in [b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"03\r\nabc\r\n000\r\n\r\n", b"3;x=1\r\nabc\r\n0\r\n\r\n",
                 b'3;x="a"\r\nabc\r\n0;y\r\n\r\n', b"3\r\nabc\r\n0\r\nX: y\r\n\r\n", b"A\r\n0123456789\r\n0\r\n\r\n"]:
        yield f"chunks {body!r}", POST % (CHUNKED, body), "accept"
    for size in [b"", b"+3", b"-3", b"0x3", b"0X3", b" 3", b"3 ", b"3\t;x", b"g", b"3,3", b"3.", b"3\x00",
                 b"\x0b3", b"ffffffffffffffff", b"10000000000000003", b"fffffffffffffffd", b"3\xa0", b'"3"',
                 b"3;a\x00", b"3;a\x07", b"7fffffffffffffff", b"80000000"]:
        yield f"chunk size {size!r}", POST % (CHUNKED, size + b"\r\nabc\r\n0\r\n\r\n"), "refuse"
    for body in [b"3\nabc\n0\n\n", b"3\nabc\r\n0\r\n\r\n", b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n",
                 b"3\r\nabcd\r\n0\r\n\r\n", b"3\r\nab\r\n0\r\n\r\n", b"3\rabc\r0\r\r", b"3\r\r\nabc\r\n0\r\n\r\n",
                 b"3;a\nabc\r\n0\r\n\r\n", b"3;a\rb\r\nabc\r\n0\r\n\r\n", b"0\r\n\n", b"0\n\r\n",
                 b"0\r\nX\r\n\r\n", b"0\r\n: y\r\n\r\n", b"0\r\n X: y\r\n\r\n", b"0\r\nX : y\r\n\r\n",
                 b"0\r\nX: a\x00\r\n\r\n", b"0\r\nX: a\nY: b\r\n\r\n", b"0\r\nX: a\r\n b\r\n\r\n"]:
        yield f"chunks {body!r}", POST % (CHUNKED, body), "refuse"
    yield "long extension", POST % (CHUNKED, b"3;" + b"x" * 300 + b"\r\nabc\r\n0\r\n\r\n"), "refuse"
    yield "many extensions", POST % (CHUNKED, (b"1;" + b"x" * 200 + b"\r\na\r\n") * 30), "refuse"
    yield "many trailers", POST % (CHUNKED, b"0\r\n" + b"X: y\r\n" * 2000 + b"\r\n"), "refuse"


def hosts():
    for v in [b"x", b"x:80", b"a.example", b"127.0.0.1:8080", b"[::1]", b"[::1]:80", b"x."]:
        yield f"host {v!r}", b"GET /a HTTP/1.1\r\nHost: " + v + b"\r\n\r\n", "accept"
    for v in [b"", b"a b", b"a/b", b"a@b", b"a\x00b", b"a\tb", b"a..b", b"a\\b", b"a?b", b"a#b", b"\xe9", b"a\x7f"]:
        yield f"host {v!r}", b"GET /a HTTP/1.1\r\nHost: " + v + b"\r\n\r\n", "refuse"
    yield "no host", b"GET /a HTTP/1.1\r\nX: y\r\n\r\n", "refuse"
    yield "two hosts", GET % b"host: x\r\n", "refuse"
    yield "host folded", b"GET /a HTTP/1.1\r\nHost:\r\n x\r\n\r\n", "refuse"
    yield "host behind a blank", b"GET /a HTTP/1.1\r\n Host: x\r\n\r\n", "refuse"


def lines():
    for line in [b"GET  /a HTTP/1.1", b"GET /a  HTTP/1.1", b"GET /a HTTP/1.1 ", b" GET /a HTTP/1.1", b"GET\t/a HTTP/1.1",
                 b"GET /a\tHTTP/1.1", b"GET /a b HTTP/1.1", b"GET /a", b"GET /a HTTP/1", b"GET /a HTTP/11",
                 b"GET /a HTTP/1.1x", b"GET /a http/1.1", b"GET /a HTTP/2.0", b"GET /a HTTP/0.9", b"GET /a HTTP/1.10",
                 b"GET /a HTP/1.1", b"GET a HTTP/1.1", b"GET * HTTP/1.1", b"G@T /a HTTP/1.1", b"GET /a%zz HTTP/1.1",
                 b"GET /a% HTTP/1.1", b"GET /a%4 HTTP/1.1", b"GET /a#f HTTP/1.1", b"GET ?a HTTP/1.1", b"",
                 b"\r\nGET /a HTTP/1.1\r", b"\xef\xbb\xbfGET /a HTTP/1.1"]:
        yield f"line {line!r}", line + b"\r\nHost: x\r\n\r\n", "refuse"
    for end in [b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\n"]:
        yield f"line ends with {end!r}", b"GET /a HTTP/1.1" + end + b"Host: x\r\n\r\n", "refuse"
        yield f"field ends with {end!r}", b"GET /a HTTP/1.1\r\nHost: x" + end + b"X: y\r\n\r\n", "refuse"
        yield f"head ends with {end!r}", b"GET /a HTTP/1.1\r\nHost: x\r\n" + end, \
            "either" if end in (b"\r\n\n", b"\r") else "refuse"
    for fold in [b" ", b"\t", b"  "]:
        yield f"fold {fold!r}", GET % (b"X: a\r\n" + fold + b"b\r\n"), "refuse"
        yield f"empty fold {fold!r}", GET % (b"X: a\r\n" + fold + b"\r\n"), "refuse"
    for field in [b": a", b"X", b"X Y: a", b"X : a", b"X\t: a", b"=", b"@", b"X: a\rb", b"X: a\r\rb"]:
        yield f"field {field!r}", GET % (field + b"\r\n"), "refuse"
    for c in b'"(),/;<=>?@[\\]{}':
        yield f"field name with {chr(c)}", GET % (b"X" + bytes([c]) + b"Y: a\r\n"), "refuse"


def controls():
    for c in list(range(0x20)) + [0x7f]:
        b = bytes([c])
        yield f"control {c:#x} in the method", b"GE" + b + b"T /a HTTP/1.1\r\nHost: x\r\n\r\n", "refuse"
        yield f"control {c:#x} in the target", b"GET /a" + b + b"b HTTP/1.1\r\nHost: x\r\n\r\n", "refuse"
        yield f"control {c:#x} in a name", GET % (b"X" + b + b"Y: a\r\n"), "refuse"
        if c != 9:
            yield f"control {c:#x} in a value", GET % (b"X: a" + b + b"b\r\n"), "refuse"


def own():
    for make in (lengths, encodings, chunks, hosts, lines, controls):
        for name, data, expect in make():
            yield name, data + (SMUGGLED if expect == "refuse" else b""), expect
