"""The traffic side as HTTP: what passes, what does not, and what bad input meets. Raw bytes where a library would help."""
import contextlib
import json
import socket
import subprocess
import time

import pytest

import mock_upstream as up
from conftest import SLOW, policy_text, run_program, until

GOOD = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}).encode()


def post(body=GOOD, headers=b"", target=b"/v1/chat/completions", close=True):
    return (b"POST " + target + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
            (b"Connection: close\r\n" if close else b"") + headers +
            b"Content-Length: %d\r\n\r\n" % len(body) + body)


def status(answer):
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


def error_of(answer):
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]


@pytest.mark.smoke
def test_curl(served, scratch):
    r = run_program(["curl", "-sS", "-i", f"{served.v1}/chat/completions", "-H", "Content-Type: application/json",
                     "-d", GOOD.decode()], scratch)
    assert "Hello from the mock." in r.out and "x-merit-decision:" in r.out.lower()
    stream = json.dumps({**json.loads(GOOD), "stream": True})
    r = run_program(["curl", "-sS", "-N", f"{served.v1}/chat/completions", "-d", stream, "-H",
                     "Content-Type: application/json"], scratch)
    assert r.out.rstrip().endswith("data: [DONE]")


@pytest.mark.smoke
def test_health_ready_models(served):
    assert served.request(path="/health")[0] == 200
    assert served.request(path="/ready")[0] == 200
    code, headers, body = served.request(path="/v1/models")
    assert code == 200 and {m["id"] for m in json.loads(body)["data"]} >= {"auto", "small"}
    assert served.admin("/health")[0] == 200 and served.admin("/ready")[0] == 200


def test_no_header_leaks(served):
    served.mock.default = up.chat(headers={"X-Upstream-Secret": "s3cret", "Server": "inner/1.0", "Set-Cookie": "a=b",
                                           "X-Request-Id": "req-inner"})
    code, headers, _ = served.chat(headers={
        "Authorization": "Bearer sk-client-secret", "X-Api-Key": "sk-other-secret", "Cookie": "session=1",
        "x-merit-model": "large", "x-merit-route": "evil", "x-selected-model": "evil", "Proxy-Authorization": "Basic eA==",
        "Connection": "close, X-Hop", "X-Hop": "1", "Keep-Alive": "timeout=5", "TE": "trailers", "Upgrade": "h2c",
        "Accept-Encoding": "br, gzip", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    assert code == 200
    seen = served.mock.chats()[0]
    names = {n.lower() for n, _ in seen.headers}
    assert not any("secret" in v for _, v in seen.headers), seen.headers
    for name in ("authorization", "x-api-key", "cookie", "proxy-authorization", "x-hop", "keep-alive", "te", "upgrade",
                 "x-merit-model", "x-merit-route", "x-selected-model"):
        assert name not in names, name
    assert seen.header("accept-encoding") in (None, "identity")
    assert "4bf92f3577b34da6a3ce929d0e0e4736" in (seen.header("traceparent") or "")
    assert seen.header("host") == f"127.0.0.1:{served.mock.port}"
    for name in ("x-upstream-secret", "set-cookie"):
        assert name not in headers, name
    assert headers.get("server") != "inner/1.0"


def test_key_of_the_policy_goes_to_the_upstream_and_nowhere_else(start, mock):
    clause = f'zone local endpoint "{mock.url}" key env UP_KEY context 32k tok output 4k tok'
    m = start(policy_text({"small": clause}), env={"UP_KEY": "sk-upstream-secret"})
    code, headers, body = m.chat()
    assert code == 200 and mock.chats()[0].header("authorization") == "Bearer sk-upstream-secret"
    everything = json.dumps(headers) + body.decode() + m.errors() + m.stdout.read_text() + m.metrics()
    decision = m.admin(f"/merit/v1/decisions/{headers['x-merit-decision']}")[2].decode()
    assert "sk-upstream-secret" not in everything + decision


def test_prompts_are_in_no_log(start, mock, scratch):
    logs = [scratch / "access.log", scratch / "decisions.log"]
    m = start(policy_text({"small": mock.url}), "--log-access", logs[0], "--log-decisions", logs[1])
    m.chat("the canary sings at midnight")
    m.stop()
    for log in logs:
        lines = log.read_text().splitlines()
        assert lines and all(json.loads(line) for line in lines), log
        assert "canary" not in log.read_text()
    assert "canary" not in m.errors()


def test_keep_alive_and_pipelining(served):
    answer = served.raw(post(close=False) * 3 + post())
    assert answer.count(b"HTTP/1.1 200") == 4 and answer.count(b"Hello from the mock.") == 4


def test_chunked_request(served):
    cuts = [GOOD[:7], GOOD[7:20], GOOD[20:]]
    body = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(c), c) for c in cuts) + b"0\r\n\r\n"
    answer = served.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert status(answer) == 200
    assert served.mock.chats()[0].json()["messages"][0]["content"] == "Hi"


def test_expect_continue(served):
    with socket.create_connection(("127.0.0.1", served.port), 10 * SLOW) as s:
        head, body = post(headers=b"Expect: 100-continue\r\n").split(b"\r\n\r\n", 1)
        s.sendall(head + b"\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 100")
        s.sendall(body)
        data = b""
        while got := s.recv(65536):
            data += got
        assert status(data) == 200


def test_one_byte_at_a_time(served):
    with socket.create_connection(("127.0.0.1", served.port), 20 * SLOW) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for b in post():
            s.send(bytes([b]))
        data = b""
        while got := s.recv(65536):
            data += got
        assert status(data) == 200


def test_head_and_methods(served):
    code, headers, body = served.request("HEAD", "/v1/models")
    assert code == 200 and body == b""
    assert served.request("GET", "/v1/chat/completions")[0] == 405
    assert served.request("DELETE", "/v1/models")[0] == 405


# ---- bad input: a clear error each, other connections unharmed

BAD_JSON = {
    "empty": b"", "not json": b"hello", "cut": GOOD[:-3], "array": b"[]", "two documents": GOOD + b"{}",
    "invalid utf-8": GOOD.replace(b"Hi", b"\xff\xfe"), "overlong utf-8": GOOD.replace(b"Hi", b"\xc0\xaf"),
    "surrogate": GOOD.replace(b"Hi", b"\xed\xa0\x80"), "control byte": GOOD.replace(b"Hi", b"\x01"),
    "NUL": GOOD.replace(b"Hi", b"\x00"), "lone escape": GOOD.replace(b"Hi", b"\\x"),
    "duplicate model": b'{"model":"auto","model":"small","messages":[{"role":"user","content":"x"}]}',
    "duplicate model, escaped": b'{"model":"auto","m\\u006fdel":"small","messages":[{"role":"user","content":"x"}]}',
    "duplicate messages": b'{"messages":[],"model":"auto","messages":[{"role":"user","content":"x"}]}',
    "duplicate stream": b'{"stream":true,"model":"auto","stream":false,"messages":[{"role":"user","content":"x"}]}',
    "no messages": b'{"model":"auto"}', "messages empty": b'{"model":"auto","messages":[]}',
    "model is a number": b'{"model":1,"messages":[{"role":"user","content":"x"}]}',
    "stream is a word": b'{"model":"auto","stream":"yes","messages":[{"role":"user","content":"x"}]}',
    "deep": b'{"model":"auto","messages":[{"role":"user","content":"x"}],"x":' + b"[" * 100000 + b"]" * 100000 + b"}",
    "leading zero": b'{"model":"auto","n":01,"messages":[{"role":"user","content":"x"}]}',
    "NaN": b'{"model":"auto","n":NaN,"messages":[{"role":"user","content":"x"}]}',
    "comment": b'{"model":"auto",/*x*/"messages":[{"role":"user","content":"x"}]}',
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json(served, name):
    answer = served.raw(post(BAD_JSON[name]))
    assert status(answer) == 400, answer[:300]
    e = error_of(answer)
    assert e["type"] == "invalid_request_error" and len(e["message"]) > 10
    assert not served.mock.chats()
    assert status(served.raw(post())) == 200


BAD_HTTP = {
    "both lengths": (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    "two lengths": (b"Content-Length: 5\r\nContent-Length: 6\r\n", b"abcdef"),
    "two equal lengths": (b"Content-Length: 5\r\nContent-Length: 5\r\n", b"abcde"),
    "length list": (b"Content-Length: 5, 5\r\n", b"abcde"),
    "length sign": (b"Content-Length: +5\r\n", b"abcde"),
    "length minus": (b"Content-Length: -5\r\n", b"abcde"),
    "length hex": (b"Content-Length: 0x5\r\n", b"abcde"),
    "length spaces": (b"Content-Length: 5 5\r\n", b"abcde"),
    "length empty": (b"Content-Length: \r\n", b""),
    "length too big": (b"Content-Length: 99999999999999999999999\r\n", b""),
    "space before colon": (b"Content-Length : 5\r\n", b"abcde"),
    "folded": (b"X-A: b\r\n c\r\nContent-Length: 0\r\n", b""),
    "bare CR": (b"X-A: b\rTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "NUL": (b"X-A: b\x00c\r\nContent-Length: 0\r\n", b""),
    "coding unknown": (b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "coding not last": (b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"),
    "coding twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "coding odd": (b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "chunk size sign": (b"Transfer-Encoding: chunked\r\n", b"+5\r\nabcde\r\n0\r\n\r\n"),
    "chunk size 0x": (b"Transfer-Encoding: chunked\r\n", b"0x5\r\nabcde\r\n0\r\n\r\n"),
    "chunk size huge": (b"Transfer-Encoding: chunked\r\n", b"fffffffffffffffff\r\nabcde\r\n0\r\n\r\n"),
    "chunk end wrong": (b"Transfer-Encoding: chunked\r\n", b"5\r\nabcdeXX0\r\n\r\n"),
    "chunk bare LF": (b"Transfer-Encoding: chunked\r\n", b"5\nabcde\n0\n\n"),
    "name with space": (b"X A: b\r\nContent-Length: 0\r\n", b""),
    "no name": (b": b\r\nContent-Length: 0\r\n", b""),
    "two hosts": (b"Host: y\r\nContent-Length: 0\r\n", b""),
}


@pytest.mark.parametrize("name", BAD_HTTP)
def test_bad_http(served, name):
    headers, body = BAD_HTTP[name]
    smuggled = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = served.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + body + smuggled,
                        timeout=3)
    assert status(answer) in (400, 411, 413, 501), answer[:300]
    assert answer.count(b"HTTP/1.1 ") == 1, "the bytes behind it were read as a request"
    assert not served.mock.requests
    assert status(served.raw(post())) == 200


BAD_LINES = {"no version": b"GET /health\r\n\r\n", "1.2.3": b"GET /health HTTP/1.2.3\r\nHost: x\r\n\r\n",
             "2.0": b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n", "two spaces": b"GET  /health HTTP/1.1\r\nHost: x\r\n\r\n",
             "no host": b"GET /health HTTP/1.1\r\n\r\n", "binary": bytes(range(256)),
             "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 80,
             "bare LF": b"GET /health HTTP/1.1\nHost: x\n\n"}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_request_line(served, name):
    answer = served.raw(BAD_LINES[name], timeout=3)
    assert answer == b"" or status(answer) in (400, 505), answer[:200]
    assert served.request()[0] == 200


def test_giant_headers(served):
    answer = served.raw(post(headers=b"X-Big: " + b"a" * 100_000 + b"\r\n"))
    assert status(answer) == 431 and error_of(answer)["code"]
    answer = served.raw(post(headers=b"".join(b"X-%d: a\r\n" % i for i in range(300))))
    assert status(answer) == 431
    assert status(served.raw(post())) == 200


def test_giant_body(start, mock):
    m = start(policy_text({"small": mock.url}), "--limits-body", "64KiB")
    answer = m.raw(post(GOOD[:-1] + b" " * 100_000 + b"}"))
    assert status(answer) == 413
    answer = m.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
                   b"ffff\r\n" + b"a" * 65535 + b"\r\nffff\r\n" + b"a" * 65535 + b"\r\n")
    assert status(answer) == 413
    assert m.chat()[0] == 200


def test_slow_clients_are_dropped_and_harm_nobody(start, mock):
    m = start(policy_text({"small": mock.url}), "--timeouts-header", "1s", "--timeouts-body", "1s")
    slow = []
    for _ in range(100):
        s = socket.create_connection(("127.0.0.1", m.port), 10)
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-")
        slow.append(s)
    body = socket.create_connection(("127.0.0.1", m.port), 10 * SLOW)
    body.sendall(post()[:-5])
    began = time.monotonic()
    for i in range(4):  # a byte now and then must not keep the head open
        assert m.chat()[0] == 200
        for s in slow:
            try:
                s.send(b"a")
            except OSError:
                pass
        time.sleep(0.4)
    assert m.chat()[0] == 200
    for s in slow:
        s.settimeout(20 * SLOW)
        try:
            data = s.recv(4096)
        except ConnectionResetError:
            data = b""
        assert data == b"" or data.startswith(b"HTTP/1.1 408"), data
        s.close()
    assert time.monotonic() - began < 30 * SLOW
    body.settimeout(20 * SLOW)
    assert body.recv(4096).startswith(b"HTTP/1.1 408")
    body.close()


def test_slow_reader_pauses_the_upstream(start, mock):
    big = "x" * 16000

    def flood(conn, r):
        up.sse_head(conn)
        for i in range(4000):  # 64 MB
            conn.chunk(up.event("m", {"content": big}))
        conn.chunk("data: [DONE]\n\n")
        conn.send(b"0\r\n\r\n")
        return True

    mock.default = flood
    m = start(policy_text({"small": mock.url}), "--timeouts-write", "3s")
    s = socket.create_connection(("127.0.0.1", m.port), 10)
    s.sendall(post(json.dumps({**json.loads(GOOD), "stream": True}).encode()))
    s.recv(1000)
    time.sleep(1.5)
    rss = int(subprocess.run(["ps", "-o", "rss=", "-p", str(m.process.pid)], capture_output=True, text=True).stdout)
    assert rss < 60_000 * (6 if SLOW > 1 else 1), f"{rss} kB resident while one client does not read"
    assert mock.chats()[0].gone.wait(20 * SLOW), "a client that takes nothing is dropped, and its upstream too"
    s.close()
    mock.default = up.chat()
    assert m.chat()[0] == 200


def test_client_gone_while_sending(served):
    for _ in range(20):
        s = socket.create_connection(("127.0.0.1", served.port), 10)
        s.sendall(post()[:-10])
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    assert served.chat()[0] == 200
    until(lambda: served.metric("merit_in_flight") == 0)


def test_half_closed_client_still_gets_its_answer(served):
    served.mock.default = up.slow(0.3)
    answer = served.raw(post(), half_close=True)
    # A half-closed client cannot be told from one that is gone; either reading is fine, a hang is not.
    assert answer == b"" or status(answer) == 200


def test_connection_limit(start, mock):
    m = start(policy_text({"small": mock.url}), "--limits-connections", "8")
    held = [socket.create_connection(("127.0.0.1", m.port), 20 * SLOW) for _ in range(40)]
    refused = set()

    def look():
        for s in held:
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                try:
                    data = s.recv(1000)
                    assert data == b"" or b" 503 " in data
                except ConnectionResetError:
                    pass
                refused.add(s)
        return len(refused) >= 40 - 2 * 8  # two loops with eight each

    until(look)
    for s in held:
        s.close()
    until(lambda: m.chat()[0] == 200)
