"""Places that refuse Merit's key or do not know the model: others are asked, the one is put out and looked at again, and where
all refuse the client is told so. And what a client is told while everything is out."""
import contextlib
import json

import pytest

import mock_upstream as up
from conftest import SLOW, free_port, until
from mock_upstream import Mock
from test_failover import ACTS
from test_pool import QUICK, place, places
from test_pool import policy as plain_policy

ERRORS = {"web_search": {"tools": ACTS}, "plain": {}, "stream": {"stream": True}}


def policy(*args):
    return plain_policy(*args).replace("price 0.5", "can tools price 0.5")


def error_of(body):
    return json.loads(body)["error"]


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("status, why, line", [(401, "key refused", "key refused"), (403, "key refused", "key refused"),
                                               (404, "model unknown there", "model unknown there")])
def test_one_of_several_refuses(start, status, why, line, kind):
    with Mock(up.error(status)) as bad, Mock() as good:
        m = start(policy(f'"{bad.url}" health "/health", "{good.url}"'), *QUICK)
        # How often the draw falls on it is chance.
        for i in range(200):
            assert m.chat(f"question {i}", **ERRORS[kind])[0] == 200
            if i >= 20 and place(m, bad.url)["state"] == "out":
                break
        # Of a 403 a few are wanted, because it may have been about the request.
        assert len(bad.chats()) == (3 if status == 403 else 1)
        p = place(m, bad.url)
        assert (p["state"], p["why"], p["ejections"]) == ("out", why, 1)
        assert p["errors"] == 0
        # A health check needs no key and brings nothing back; and it is said once.
        until(lambda: line in m.errors())
        until(lambda: len([r for r in bad.requests if r.target == "/health"]) >= 3)
        assert m.chat("one more", **ERRORS[kind])[0] == 200 and place(m, bad.url)["state"] == "out"
        assert m.errors().count("out of service") == 1


def test_a_key_that_was_mended_is_tried_at_the_next_load(start):
    with Mock(up.error(401)) as bad, Mock() as good:
        m = start(policy(f'"{bad.url}", "{good.url}"'), *QUICK)
        for i in range(40):
            assert m.chat(f"question {i}")[0] == 200
        assert place(m, bad.url)["state"] == "out"
        m.policy.write_text(policy(f'"{bad.url}", "{good.url}"', "# once more"))
        until(lambda: "policy reloaded" in m.errors())
        # One trial, which is refused again: out for longer, and no client has noticed.
        for i in range(20):
            assert m.chat(f"another {i}")[0] == 200
        assert len(bad.chats()) == 2 and place(m, bad.url)["state"] == "out" and place(m, bad.url)["ejections"] == 2
        bad.default = up.chat()
        m.policy.write_text(policy(f'"{bad.url}", "{good.url}"', "# and again"))
        until(lambda: m.errors().count("policy reloaded") == 2)
        for i in range(20):
            assert m.chat(f"a third {i}")[0] == 200
        assert place(m, bad.url)["state"] == "up" and len(bad.chats()) > 3
        until(lambda: "in service again" in m.errors())


def test_many_refuse_and_one_does_not(start):
    """More of them than there may be attempts: nothing was done by those that refused."""
    with contextlib.ExitStack() as stack:
        bad = [stack.enter_context(Mock(up.error(401))) for _ in range(6)]
        good = stack.enter_context(Mock())
        m = start(policy(", ".join(f'"{x.url}"' for x in [*bad, good])), *QUICK)
        asked = 0
        while asked < 10 or (asked < 100 and not all(x.chats() for x in bad)):
            assert m.chat(f"question {asked}")[0] == 200
            asked += 1
        assert [len(x.chats()) for x in bad] == [1] * 6 and len(good.chats()) == asked


@pytest.mark.parametrize("retry", ["", "retry 3"])
def test_all_refuse(start, retry):
    with Mock(up.error(401)) as a, Mock(up.error(401)) as b:
        m = start(policy(f'"{a.url}", "{b.url}"', "", retry), *QUICK)
        for i in range(14):
            before = len(a.chats()) + len(b.chats())
            status, headers, body = m.chat(f"question {i}")
            assert status == 502 and headers["x-should-retry"] == "false"
            e = error_of(body)
            assert e["code"] == "upstream_auth" and "refused Merit's key" in e["message"]
            asked = len(a.chats()) + len(b.chats()) - before
            assert asked <= 2  # each once, and the policy's retries change nothing
        # After a dozen nobody asks any more for a while, and the client is told when.
        assert asked == 0 and 1 <= int(headers["retry-after"]) <= 5
        assert {p["state"] for p in places(m).values()} == {"up"}


def test_the_other_model_is_still_there(start):
    with Mock(up.error(401)) as a, Mock(up.error(401)) as b, Mock() as good:
        m = start(f"""policy "p" version 1
zone local
model a zone local endpoint "{a.url}", "{b.url}" context 32k tok output 4k tok
model c zone local endpoint "{good.url}" context 32k tok output 4k tok
otherwise -> answer(a, c)
""", *QUICK)
        for i in range(12):
            status, headers, _ = m.chat(f"question {i}")
            assert status == 200 and headers["x-merit-model"] == "c"


def test_what_a_request_brings_about_is_not_asked_again(start):
    """400 goes to nobody else; a 403 that all places give is about the request, and puts nobody out."""
    with Mock(up.error(400, type="invalid_request_error")) as a, Mock(up.error(400, type="invalid_request_error")) as b:
        m = start(policy(f'"{a.url}", "{b.url}"'), *QUICK)
        for i in range(8):
            assert m.chat(f"question {i}")[0] == 400
        assert len(a.chats()) + len(b.chats()) == 8

    def moderated(conn, r):
        return (up.error(403) if b"flagged" in r.body else up.chat())(conn, r)
    with Mock(moderated) as a, Mock(moderated) as b:
        m = start(policy(f'"{a.url}", "{b.url}"'), *QUICK)
        for i in range(8):
            assert m.chat(f"flagged {i}")[0] == 502 and m.chat(f"question {i}")[0] == 200
        assert {p["state"] for p in places(m).values()} == {"up"}


def test_what_is_told_while_everything_is_out(start):
    """Dead, failing or overloaded: Retry-After is the time until the first is tried again, and the shape is the protocol's."""
    dead = [f"http://127.0.0.1:{free_port()}/v1" for _ in range(2)]
    with Mock(up.error(500)) as a, Mock(up.error(500)) as b:
        m = start(f"""policy "p" version 1
zone local
model a zone local endpoint "{a.url}", "{b.url}" context 32k tok output 4k tok
model d zone local endpoint "{dead[0]}", "{dead[1]}" context 32k tok output 4k tok
signal gone = keywords("gone")
route gone when gone -> answer(d)
otherwise -> answer(a)
""", *QUICK)
        for text in ("question", "gone"):
            def out():
                status, headers, body = m.chat(f"{text} {out.n}")
                out.n += 1
                assert status in (502, 503), status
                e = error_of(body)
                assert e["message"] and e["code"] in ("upstream_error", "upstream_unreachable", "model_unavailable")
                assert headers["content-type"] == "application/json"
                return headers.get("retry-after")
            out.n = 0
            first = until(out)
            assert 1 <= int(first) <= 5 * SLOW, (text, first)
            asked = len(a.chats()) + len(b.chats())
            assert 1 <= int(out()) <= 10 * SLOW  # nothing can serve it: not even asked, and told the same
            if text == "question":
                assert len(a.chats()) + len(b.chats()) - asked <= 1
