"""What an attacker or an accident would try: names that look like loopback, headers that Connection names twice, ends
in the middle of everything."""
import contextlib
import gzip
import json
import resource
import signal
import socket
import threading

import pytest

from conftest import PATIENCE, policy_text, until
from mock_upstream import Mock, answer, chat


@pytest.mark.parametrize("host", ["127.example.org", "127.0.0.1.example.org", "127.1", "127.0.0.256",
                                  "localhost.example.org"])
def test_a_name_that_begins_like_loopback_is_not_loopback(served, host):
    status, _, body = served.admin("/merit/v1/policy", headers={"Host": host})
    assert status == 403 and b'"code":"host"' in body


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8781", "127.8.9.250:1", "localhost:8781", "[::1]:8781"])
def test_loopback_itself_is(served, host):
    assert served.admin("/merit/v1/policy", headers={"Host": host})[0] == 200


def test_every_connection_header_is_heeded(served):
    body = b'{"model":"auto","messages":[{"role":"user","content":"hi"}]}'
    served.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nConnection: x-mine\r\n"
               b"X-Mine: secret\r\nX-Other: passes\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    request = served.mock.wait()[0]
    assert request.header("x-other") == "passes"
    assert request.header("x-mine") is None


def test_a_coded_answer_says_so(start, mock):
    """Merit asks for none, but what a pass-through brings is handed on as it is, so its coding must be named."""
    packed = gzip.compress(b'{"data":[]}')
    mock.script.append(lambda conn, request: (answer(conn, packed, headers={"Content-Encoding": "gzip"}), True)[1])
    m = start(policy_text({"small": mock.url}, more='pass "/v1/embeddings" to small\n'))
    status, headers, body = m.request("POST", "/v1/embeddings", {"input": "x"})
    assert (status, body, headers.get("content-encoding")) == (200, packed, "gzip")


def test_ends_while_the_admin_side_is_asked(start, mock):
    """Looks into the rings that begin as the process ends must not outlive the rings."""
    for _ in range(3):
        m = start(policy_text({"small": mock.url}))
        stop = threading.Event()

        def ask(m=m, stop=stop):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", m.admin_port), 5) as s:
                while not stop.is_set():
                    s.sendall(b"GET /merit/v1/decisions HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8)
                    if not s.recv(1 << 16):
                        return

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for t in threads:
            t.start()
        m.chat()
        m.signal(signal.SIGTERM)
        try:
            m.stop()
        finally:
            stop.set()
            for t in threads:
                t.join()


def test_ends_while_the_policy_is_reloaded(start, mock):
    """A reload in the control loop's last turn must not be handed to loops that have ended."""
    for n in range(8):
        m = start(policy_text({"small": mock.url}))
        texts = [policy_text({"small": mock.url}, name=f"p{i}") for i in range(4)]
        for i in range(12):
            m.policy.write_text(texts[i % 4])
            m.signal(signal.SIGHUP)
            if i == 4 + n % 4:
                m.signal(signal.SIGTERM)
            if not m.alive():
                break
        m.stop()


def test_an_empty_question_to_the_admin_side(served):
    status, _, body = served.admin("/merit/v1/route", "POST", b"")
    assert status == 400 and b'"code":"invalid_json"' in body


def test_a_long_name_of_a_model_is_cut_between_characters(served):
    for name in ("a" + "\u00e9" * 150, "ab" + "\U0001f600" * 60, "\u20ac" * 99):
        status, _, body = served.chat(model=name)
        assert status == 404
        assert json.loads(body.decode())["error"]["code"] == "model_not_found"
        assert "\ufffd" not in body.decode()


def test_a_name_of_a_model_with_a_zero_is_shown_whole(served):
    status, _, body = served.chat(model="auto\0x")
    assert status == 404 and 'auto\0x' in json.loads(body)["error"]["message"]


def test_more_decisions_than_can_be_kept_are_a_usage_error(start, mock):
    m = start(policy_text({"small": mock.url}), "--limits-decisions", "100001", wait=False)
    assert m.process.wait(PATIENCE) == 2
    assert "100000" in m.errors()


def test_names_of_models_have_a_limit(served):
    """A decision is kept with the name that was asked for, so names must not be as long as bodies."""
    assert served.chat(model="m" * 1024)[0] == 404
    status, _, body = served.chat(model="m" * 1025)
    assert status == 400 and json.loads(body)["error"]["param"] == "model"


def test_want_of_descriptors_is_no_fault_of_the_endpoint(start):
    """Clients that use up Merit's own descriptors must not put its endpoints out of service."""
    with Mock(chat(delay=0.05, first=0.4)) as mock:
        m = start(policy_text({"small": mock.url}))
        resource.prlimit(m.process.pid, resource.RLIMIT_NOFILE, (40, 40))
        body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "x"}]}).encode()
        request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        with contextlib.ExitStack() as clients:
            asked = []
            for _ in range(40):
                asked.append(clients.enter_context(socket.create_connection(("127.0.0.1", m.port), 20)))
                asked[-1].sendall(request)
                asked[-1].setblocking(False)

            def one_failed():
                for s in asked:
                    with contextlib.suppress(BlockingIOError):
                        if s.recv(1 << 16).startswith(b"HTTP/1.1 5"):
                            return True
                return False

            until(one_failed)
        until(lambda: m.chat()[0] == 200)
        assert m.metric(r'merit_requests_total.*end="failed"') > 0
        assert m.metric(r'merit_requests_total.*end="infeasible"') == 0
