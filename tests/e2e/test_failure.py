"""Upstreams that fail: another endpoint before the first byte, an error in the protocol's shape after, never a hang."""
import contextlib
import email.utils
import http.client
import json
import socket
import time

import pytest

import mock_upstream as up
from conftest import SLOW, free_port, policy_text, until
from mock_upstream import Mock

FAST = ["--upstream-connect", "500ms", "--upstream-first-byte", "1s", "--upstream-idle", "1s"]
# Where nothing hangs: a busy machine's pauses are no failures.
SURE = ["--upstream-connect", "30s", "--upstream-first-byte", "30s", "--upstream-idle", "30s"]


def check_error(answer, statuses=(502, 503, 504)):
    code, headers, body = answer
    assert code in statuses, (code, body)
    e = json.loads(body)["error"]
    assert e["message"] and e["type"]
    for inner in ("127.0.0.1", "localhost", "Traceback"):
        assert inner not in body.decode(), "the inside shows"
    if code in (429, 503):
        assert int(headers["retry-after"]) >= 1
    return e


def stream_of(m, text="Hi", read=True):
    """A streamed request: (status, headers, list of events' data, ended cleanly)."""
    c = http.client.HTTPConnection("127.0.0.1", m.port, timeout=15 * SLOW)
    c.request("POST", "/v1/chat/completions", json.dumps({"model": "auto", "stream": True, "messages": [
        {"role": "user", "content": text}]}), {"Content-Type": "application/json"})
    r = c.getresponse()
    data, clean = b"", True
    try:
        while got := r.read1(65536):
            data += got
    except (http.client.IncompleteRead, ConnectionResetError) as e:
        data += getattr(e, "partial", b"")
        clean = False
    c.close()
    events = [e[6:] for e in data.decode().split("\n\n") if e.startswith("data: ")]
    return r.status, {k.lower(): v for k, v in r.getheaders()}, events, clean


def text_of(events):
    return "".join(json.loads(e)["choices"][0]["delta"].get("content") or "" for e in events
                   if e != "[DONE]" and json.loads(e).get("choices"))


BEFORE_THE_FIRST_BYTE = {
    "closes": up.close_at_once, "resets": up.reset_at_once, "garbage": up.raw(b"\x00\x01\x02 nonsense\r\n\r\n"),
    "500": up.error(500), "502": up.error(502), "503": up.error(503), "429": up.error(429), "529": up.error(529),
    "body cut": up.cut_body, "wrong type": up.wrong_type, "headers too large": up.big_headers(),
    "empty": up.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"),
    "not json": up.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"),
    "both lengths": up.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"),
    "two lengths": up.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "bad chunk": up.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "HTTP/0.9": up.raw(b'{"id": 1}'),
    "status 99": up.raw(b"HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("name", BEFORE_THE_FIRST_BYTE)
def test_one_endpoint_fails(start, mock, name):
    mock.default = BEFORE_THE_FIRST_BYTE[name]
    m = start(policy_text({"small": mock.url}), *SURE)
    check_error(m.chat(), (429, 500, 502, 503, 504, 529))
    code, headers, events, clean = stream_of(m)
    assert code >= 429 or not clean
    mock.default = up.chat()
    until(lambda: m.chat()[0] == 200, 8)  # it recovers by itself


@pytest.mark.parametrize("name", ["closes", "resets", "garbage", "500", "503", "429", "body cut", "wrong type"])
def test_another_endpoint_of_the_model_answers(start, mock, name):
    mock.default = BEFORE_THE_FIRST_BYTE[name]
    with Mock() as good:
        m = start(policy_text({"small": [mock.url, good.url]}), *SURE)
        for _ in range(6):
            code, _, body = m.chat()
            assert code == 200 and b"Hello from the mock." in body
            code, _, events, clean = stream_of(m)
            assert code == 200 and clean and text_of(events) == "Hello from the mock." and events[-1] == "[DONE]"
        assert mock.requests, "the bad endpoint was never tried: the test shows nothing"
        assert len(good.requests) == 12


def test_endpoint_down(start):
    m = start(policy_text({"small": f"http://127.0.0.1:{free_port()}/v1"}), *FAST)
    check_error(m.chat())
    with Mock() as good:
        m = start(policy_text({"small": [f"http://127.0.0.1:{free_port()}/v1", good.url]}), *FAST)
        assert all(m.chat()[0] == 200 for _ in range(4))


def test_endpoint_that_does_not_accept(start):
    # A listener with a full queue: connects hang.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as held:
        for _ in range(3):
            s = held.enter_context(socket.socket())
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                s.connect(full.getsockname())
        m = start(policy_text({"small": f"http://127.0.0.1:{full.getsockname()[1]}/v1"}), *FAST)
        began = time.monotonic()
        check_error(m.chat())
        assert time.monotonic() - began < 15 * SLOW


def test_name_that_does_not_resolve(start):
    m = start(policy_text({"small": "http://no-such-host.invalid:9/v1"}), *FAST)
    check_error(m.chat())


@pytest.mark.threads
def test_no_first_byte_in_time(start, mock):
    mock.default = up.hang
    m = start(policy_text({"small": mock.url}), *FAST)
    began = time.monotonic()
    e = check_error(m.chat(), (504,))
    assert 0.8 < time.monotonic() - began < 15 * SLOW
    assert mock.requests[0].gone.wait(20 * SLOW)
    assert len(mock.requests) == 1, "it may still have been working: sending it again would be paid twice"


def test_other_connections_go_on_while_one_upstream_hangs(start, mock):
    import concurrent.futures
    with Mock() as good:
        m = start(policy_text({"small": good.url, "dead": mock.url}))
        mock.default = up.hang
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            stuck = [pool.submit(m.chat, "x", None, model="dead") for _ in range(8)]
            mock.wait(8)
            began = time.monotonic()
            assert all(m.chat()[0] == 200 for _ in range(20))
            assert time.monotonic() - began < 20 * SLOW
            mock.close()
            assert all(f.result()[0] >= 500 for f in stuck)


@pytest.mark.parametrize("how", ["cut", "reset", "idle", "garbage chunk"])
def test_stream_breaks_in_the_middle(start, mock, how):
    def bad_chunk(conn, r):
        up.sse_head(conn)
        conn.chunk(up.event("m", {"content": "one "}))
        conn.sleep(0.05)
        conn.send(b"zzzz\r\n")
        return False

    def idle(conn, r):
        up.sse_head(conn)
        conn.chunk(up.event("m", {"content": "one "}))
        conn.sleep(30)
        return False

    mock.default = {"cut": up.cut(), "reset": up.cut(reset=True), "idle": idle, "garbage chunk": bad_chunk}[how]
    m = start(policy_text({"small": mock.url}), *(FAST if how == "idle" else SURE))
    code, _, events, clean = stream_of(m)
    assert code == 200 and text_of([e for e in events if "choices" in e]).startswith("one ")
    assert not clean, "a clean end is taken for success by many clients"
    assert "[DONE]" not in events
    assert json.loads(events[-1])["error"]["message"]
    assert len(mock.requests) == 1, "never again behind the first byte"
    assert m.chat()[0] in (200, 502, 504) and m.alive()


def test_stream_that_ends_without_its_end(start, mock):
    mock.default = up.clean_end()
    m = start(policy_text({"small": mock.url}), *SURE)
    code, _, events, clean = stream_of(m)
    assert code == 200 and not clean and "[DONE]" not in events
    assert "error" in json.loads(events[-1])


def test_error_event_of_the_upstream(start, mock):
    mock.default = up.error_event()
    m = start(policy_text({"small": mock.url}), *SURE)
    code, _, events, clean = stream_of(m)
    assert code == 200 and not clean and "error" in json.loads(events[-1]) and "[DONE]" not in events


def test_stream_asked_for_but_json_comes(start, mock):
    def behave(conn, r):
        up.answer(conn, {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": up.message("hi"),
                                                                              "finish_reason": "stop"}]})
        return True

    mock.default = behave
    m = start(policy_text({"small": mock.url}), *FAST)
    code, headers, events, clean = stream_of(m)
    assert code >= 500 or "error" in json.dumps(events) or text_of(events) == "hi"


def test_stale_kept_connection(start):
    """An upstream that closes kept connections without a word costs no request."""
    with Mock(keep_alive=True) as mock:
        m = start(policy_text({"small": mock.url}))
        assert m.chat()[0] == 200
        for i in range(10):
            with mock.lock:
                for s in list(mock.open):
                    with contextlib.suppress(OSError):
                        s.shutdown(socket.SHUT_RDWR)
            assert m.chat()[0] == 200, i


def test_interim_answers_are_swallowed(start, mock):
    def early(conn, r):
        conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        return up.chat()(conn, r)

    mock.default = early
    m = start(policy_text({"small": mock.url}))
    assert m.chat()[0] == 200


def test_answer_until_close(start, mock):
    body = json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [
        {"index": 0, "message": up.message("to the end"), "finish_reason": "stop"}]}).encode()
    mock.default = up.raw(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body)
    m = start(policy_text({"small": mock.url}))
    code, _, got = m.chat()
    assert code == 200 and b"to the end" in got


def test_429_passes_its_wait(start, mock):
    mock.default = up.error(429, "slow down", {"Retry-After": "3"}, code="rate_limit_exceeded")
    m = start(policy_text({"small": mock.url}))
    code, headers, body = m.chat()
    assert code == 429 and headers["retry-after"] == "3" and json.loads(body)["error"]["message"]


@pytest.mark.parametrize("said, least, most", [
    ({"Retry-After": lambda: email.utils.formatdate(time.time() + 40, usegmt=True)}, 36, 40),
    ({"Retry-After": lambda: "99999999999999999999"}, 299, 86400),
    ({"Retry-After": lambda: "60", "Retry-After-Ms": lambda: "2500"}, 3, 3),
    ({"Retry-After": lambda: "1.5"}, 2, 2),
], ids=["date", "for ever", "milliseconds", "fraction"])
def test_every_way_to_say_when(start, mock, said, least, most):
    mock.default = lambda conn, r: up.error(429, headers={k: v() for k, v in said.items()})(conn, r)
    m = start(policy_text({"small": mock.url}))
    code, headers, _ = m.chat()
    assert code == 429 and least <= int(headers["retry-after"]) <= most
    # ... and nothing goes there meanwhile.
    code, headers, _ = m.chat("Something else.")
    assert code in (429, 503) and int(headers["retry-after"]) >= min(least, 299) - 2 and len(mock.requests) == 1


def test_metrics_count_failures(start, mock):
    mock.default = up.error(500)
    m = start(policy_text({"small": mock.url}), *FAST)
    m.chat()
    text = m.metrics()
    assert any("small" in line and not line.endswith(" 0") and ("fail" in line or "error" in line or "5" in line)
               for line in text.splitlines() if not line.startswith("#"))
