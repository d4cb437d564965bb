"""What follows a failure before the first byte: every fault against every way there is to go on, held to a plain table.

One bad upstream does the fault, one good one answers. Each case has models (and so places, whose health is their own) of
its own; the upstreams count what came for which.
"""
import concurrent.futures
import contextlib
import itertools
import json
import socket
import time

import openai
import pytest

import mock_upstream as up
from conftest import SLOW, free_port, policy_text, sdk, until
from mock_upstream import Mock
from test_operation import make_key

FAST = ["--upstream-connect", "500ms", "--upstream-first-byte", "1s", "--upstream-idle", "1s"]
# Where nothing hangs: a busy machine's pauses are no failures.
SURE = ["--upstream-connect", "30s", "--upstream-first-byte", "30s", "--upstream-idle", "30s"]
ACTS = [{"type": "web_search"}]
FUNCTION = [{"type": "function", "function": {"name": "f", "parameters": {}}}]


def late_reset(conn, r):
    """Takes its time with the request, then resets."""
    conn.sleep(0.05)
    conn.reset()
    return False


def early_error_event(conn, r):
    up.sse_head(conn)
    conn.chunk('data: {"error": {"message": "no", "type": "server_error"}}\n\n')
    return False


def error_inside(conn, r):
    up.answer(conn, {"error": {"message": "went wrong inside", "type": "server_error"}})
    return True


def wrong_model(conn, r):
    if r.json().get("stream"):
        return up.chat("From elsewhere.")(conn, r)
    up.answer(conn, {"id": "x", "object": "chat.completion", "created": 1, "model": "another-one", "choices": [
        {"index": 0, "message": up.message("From elsewhere."), "finish_reason": "stop"}]})
    return True


# What may follow: "any" another place or model; "none"; "pass" the upstream's own error is the
# answer; "ok" it is an answer; "broken" a stream that has begun. `untaken`: the upstream has done nothing for sure.
#        behaviour, of a whole answer, of a stream, untaken
FAULTS = {
    "refused": (None, "any", "any", True),
    "closes": (up.close_at_once, "any", "any", False),
    "resets": (up.reset_at_once, "any", "any", False),
    "resets late": (late_reset, "any", "any", False),
    "429": (up.error(429), "any", "any", True),
    "429 with its wait": (up.error(429, headers={"Retry-After": "7"}), "any", "any", True),
    "500": (up.error(500), "any", "any", False),
    "503": (up.error(503), "any", "any", True),
    "504": (up.error(504), "any", "any", False),
    "hangs": (up.hang, "none", "none", False),
    "cut": (up.cut_body, "any", "any", False),  # a stream is asked for and half a JSON body comes
    "cut stream": (up.cut(), "any", "broken", False),  # JSON is asked for and a stream comes
    "garbage": (up.raw(b"\x00\x01\x02 nonsense\r\n\r\n"), "any", "any", False),
    "error event first": (early_error_event, "any", "any", False),
    "error event later": (up.error_event(), "any", "broken", False),
    "error inside": (error_inside, "any", "any", False),
    "wrong model": (wrong_model, "ok", "ok", False),
    "key refused": (up.error(401), "any", "any", True),
    "forbidden": (up.error(403), "any", "any", True),
    "no credit": (up.error(402), "any", "any", True),
    "unknown there": (up.error(404), "any", "any", True),
    "its own fault": (up.error(400, type="invalid_request_error"), "pass", "pass", True),
}
KINDS = {"whole": {}, "stream": {"stream": True}, "tools": {"tools": FUNCTION}, "acts": {"tools": ACTS},
         "acts stream": {"stream": True, "tools": ACTS}, "searches": {"web_search_options": {}}}
WAYS = ["one", "pair", "models", "chain", "refuse", "named"]


def policy_of(bad, good):
    out = ['policy "failover" version 1', "zone local"]
    routes = []
    for i, (way, kind) in enumerate(itertools.product(WAYS, KINDS)):
        urls = {"one": [[bad]], "pair": [[bad, good]]}.get(way, [[bad], [good]])
        for letter, places in zip("ab", urls):
            out.append(f"model m{i}{letter} zone local endpoint {', '.join(json.dumps(u) for u in places)}\n"
                       "  context 32k tok output 4k tok can tools price 1 in, 2 out usd/Mtok")
        path = {"models": f"answer(m{i}a, m{i}b)", "chain": f"answer(m{i}a) else answer(m{i}b)",
                "refuse": f'answer(m{i}a) else refuse "no luck today"'}.get(way, f"answer(m{i}a)")
        out.append(f'signal s{i} = keywords("case{i}x")')
        routes.append(f"route r{i} when s{i} -> {path}")
    return "\n".join([*out, *routes, "otherwise -> answer(m0a)"]) + "\n"


def expected(way, kind, follow, untaken, bad_came_first):
    """("answer" from "good" or "bad", or "error", "refused", "pass", "broken")"""
    if not bad_came_first:
        return "good"
    if follow == "ok":
        return "bad"
    if follow in ("pass", "broken"):
        return follow
    if ("acts" in kind or kind == "searches") and not untaken:
        follow = "none"
    if follow == "none":
        return "error"
    return {"one": "error", "pair": "good" if follow == "any" else "error", "models": "good", "chain": "good",
            "refuse": "refused", "named": "error"}[way]


def ask(m, i, way, kind):
    """(what came, headers)"""
    model = f"m{i}a" if way == "named" else "auto"
    body = {"model": model, "messages": [{"role": "user", "content": f"please do case{i}x"}], **KINDS[kind]}
    with sdk(m, "sk-x") as client:
        try:
            raw = client.chat.completions.with_raw_response.create(**body)
            got = raw.parse()
            if body.get("stream"):
                text = "".join(c.choices[0].delta.content or "" for c in got if c.choices)
            else:
                text = got.choices[0].message.content
            return ("good" if text == "Hello from the mock." else "bad"), raw.headers
        except openai.APIStatusError as e:
            if e.status_code == 403:
                assert "no luck today" in e.message
                return "refused", e.response.headers
            if e.status_code in (429, 503):
                assert int(e.response.headers["retry-after"]) >= 1
            return ("pass" if e.status_code == 400 else "error"), e.response.headers
        except Exception:  # of the package or the transport beneath it: what it read was no whole answer
            return "broken", {}


@pytest.mark.parametrize("fault", FAULTS)
def test_table(start, fault):
    behaviour, whole, stream, untaken = FAULTS[fault]
    with contextlib.ExitStack() as stack:
        good = stack.enter_context(Mock())
        bad = stack.enter_context(Mock(behaviour)) if behaviour else None
        url = bad.url if bad else f"http://127.0.0.1:{free_port()}/v1"
        m = start(policy_of(url, good.url), *(FAST if fault == "hangs" else SURE))
        for i, (way, kind) in enumerate(itertools.product(WAYS, KINDS)):
            if fault == "hangs" and kind not in ("whole", "stream"):
                continue  # each takes a second
            began = time.monotonic()
            got, headers = ask(m, i, way, kind)
            assert time.monotonic() - began < 15 * SLOW, (way, kind)
            sent = [r for r in (bad.requests if bad else []) if r.json().get("model") == f"m{i}a"]
            answered = [r for r in good.requests if r.json().get("model") in (f"m{i}a", f"m{i}b")]
            first = bool(sent) if bad and way == "pair" else not (way == "pair" and not bad and got == "good")
            follow = stream if "stream" in kind else whole
            want = expected(way, kind, follow, untaken, first)
            assert got == want, (way, kind, got, want)
            assert len(sent) == (1 if first and bad else 0), (way, kind)
            assert len(answered) == (got == "good"), (way, kind)
            if got == "good" and headers:
                assert headers["x-merit-model"] == (f"m{i}a" if way == "pair" else f"m{i}b")
            if fault == "429 with its wait" and got == "error":
                assert headers["retry-after"] == "7"
        assert m.alive()


def test_the_body_is_made_for_each_model(start, mock):
    with Mock() as good:
        mock.default = up.error(500)
        m = start(f"""policy "p" version 1
zone local
model a zone local endpoint "{mock.url}" as "first/one" context 32k tok output 4k tok effort low, high
model b zone local endpoint "{good.url}" as "second" context 32k tok output 4k tok effort low, high
otherwise -> answer(a high, b low)
""", *SURE)
        assert m.chat("hi")[0] == 200
        first, second = mock.requests[0].json(), good.requests[0].json()
        assert (first["model"], first["reasoning_effort"]) == ("first/one", "high")
        assert (second["model"], second["reasoning_effort"]) == ("second", "low")
        assert first["messages"] == second["messages"]


def test_a_chain_behind_else_is_a_decision_of_its_own(start, mock, tmp_path):
    with Mock() as good:
        mock.default = up.error(500)
        m = start(f"""policy "p" version 1
zone local
model a zone local endpoint "{mock.url}" context 32k tok output 4k tok
model b zone local endpoint "{good.url}" context 32k tok output 4k tok
otherwise -> answer(a) retry 1 else answer(b)
""", *SURE)
        code, headers, _ = m.chat("hi")
        assert code == 200 and headers["x-merit-model"] == "b" and len(mock.requests) == 2
        shown = json.loads(m.admin(f"/merit/v1/decisions/{headers['x-merit-decision']}")[2])
        decision = shown.get("decision", shown)
        assert decision["chain"] == 1 and decision["took_else"] and decision["first_chain"] == 1
        listed = json.loads(m.admin("/merit/v1/decisions?n=5")[2])
        text = json.dumps(listed)
        assert text.count('"first_chain"') == 1 and '"end": "else"' in text


def test_what_has_passed_is_counted_against_a_budget(start, mock):
    """A hard budget bears one attempt that may have been charged for, not two."""
    with Mock() as good:
        text = f"""policy "p" version 1
zone local
model a zone local endpoint "{mock.url}" context 32k tok output 1k tok price 1000 in, 1000 out usd/Mtok
model b zone local endpoint "{good.url}" context 32k tok output 1k tok price 1000 in, 1000 out usd/Mtok
budget 1.5 usd/request hard
otherwise -> answer(a, b)
"""
        m = start(text, *SURE)
        mock.default = up.error(500)
        assert m.chat("hi", None, max_tokens=1000)[0] == 502 and not good.requests
        mock.default = up.error(429)  # refused for sure: nothing was spent
        assert m.chat("ho", None, max_tokens=1000)[0] == 200


def test_attempts_end(start):
    """However many places fail: upstream.attempts, and refused connections once each."""
    with contextlib.ExitStack() as stack:
        bad = [stack.enter_context(Mock(up.error(500))) for _ in range(6)]
        dead = [f"http://127.0.0.1:{free_port()}/v1" for _ in range(6)]
        good = stack.enter_context(Mock())
        urls = ", ".join(json.dumps(u) for u in [b.url for b in bad])
        more = ", ".join(json.dumps(u) for u in [*dead, good.url])
        m = start(f"""policy "p" version 1
zone local
model a zone local endpoint {urls} context 32k tok output 4k tok
model c zone local endpoint {more} context 32k tok output 4k tok
signal second = keywords("second")
route second when second -> answer(c)
otherwise -> answer(a)
""", *SURE)
        assert m.chat("first")[0] == 502
        assert sum(len(b.requests) for b in bad) == 3
        assert all(m.chat(f"second {i}")[0] == 200 for i in range(8))


def test_the_client_leaves_between_attempts(start, mock):
    def behave(conn, r):
        conn.sleep(0.3)
        return up.error(500)(conn, r)
    mock.default = behave
    with Mock(up.hang) as second:
        m = start(f"""policy "p" version 1
zone local
model a zone local endpoint "{mock.url}" context 32k tok output 4k tok
model b zone local endpoint "{second.url}" context 32k tok output 4k tok
otherwise -> answer(a) else answer(b)
""")
        s = socket.create_connection(("127.0.0.1", m.port))
        body = json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode()
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        second.wait(1)
        s.close()
        assert second.requests[0].gone.wait(20 * SLOW)
        until(lambda: m.metric(r"merit_in_flight") == 0, 3)


def hammer(m, times, text, gap):
    """As an agent does it: the same request every `gap` seconds, whatever comes; the answers, and how long it took."""
    got, all_began = [], time.monotonic()
    for _ in range(times):
        began = time.monotonic()
        got.append(m.chat(text))
        time.sleep(max(0.0, gap - (time.monotonic() - began)))
    return got, time.monotonic() - all_began


def test_a_client_that_hammers_does_not_multiply_work(start, mock):
    """30 identical requests in 25 s, twice as fast here: few of them reach the upstream, and each caller has its own."""
    mock.default = up.error(500)
    m = start(policy_text({"small": mock.url}), *SURE)
    got, took = hammer(m, 30, "fix the build", gap=0.415)
    assert all(a[0] in (502, 503) for a in got)
    assert len(mock.requests) <= 5 + max(0, took - 13) / 2, (len(mock.requests), took)
    again = [a for a in got[2:] if "retry-after" in a[1]]
    assert len(again) >= 20 and all(1 <= int(a[1]["retry-after"]) <= 30 for a in again)
    assert m.metric(r'merit_rejected_total\{reason="repeated"\}') >= 5
    # Another request is not held up by it, and brings the model back for all.
    mock.default = up.chat()
    until(lambda: m.chat("something else")[0] == 200, 8)
    assert m.chat("fix the build")[0] == 200


def test_each_caller_has_its_own_pause(start, mock, scratch):
    mock.default = up.error(500)
    keys = scratch / "merit.keys"
    one, two = ({"Authorization": f"Bearer {make_key(scratch, keys, '--caller', who)[0]}"} for who in ("ann", "bob"))
    m = start(policy_text({"small": mock.url}), *SURE, "--keys", keys)
    assert [m.chat("same", one)[0] for _ in range(2)] == [502, 502] and len(mock.requests) == 2
    code, headers, body = m.chat("same", one)
    assert code == 502 and headers["retry-after"] and len(mock.requests) == 2
    assert json.loads(body)["error"]["code"] == "upstream_error"
    assert m.chat("same", two)[0] == 502 and len(mock.requests) == 3
    assert m.chat("other", one)[0] in (502, 503)


def head_first(seconds):
    """An engine that sends the head at once and thinks then."""
    def behave(conn, r):
        up.sse_head(conn)
        conn.sleep(seconds)
        return up.chat()(conn, r) if seconds < 1 else False
    return behave


def hedged(one, two, step="answer(a) hedge 1", more="allow hedge 1"):
    return f"""policy "p" version 1
zone local
model a zone local endpoint "{one}", "{two}" context 32k tok output 4k tok can tools price 1 in, 2 out usd/Mtok
{more}
otherwise -> {step}
"""


def warm(m, mocks):
    """Until it is known of both places how long a first byte takes; side by side, so that both get some."""
    for mock in mocks:
        mock.default = up.chat(first=0.02)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for k in range(20):
            done = pool.map(lambda i: m.chat(f"warm {k} {i}", stream=True)[0], range(16))
            assert set(done) == {200}
            if all(len(mock.requests) >= 25 for mock in mocks):
                break
    assert all(len(mock.requests) >= 25 for mock in mocks)
    for mock in mocks:
        mock.default = up.chat()
        mock.requests.clear()


@pytest.mark.parametrize("slow", [up.hang, head_first(30)], ids=["silent", "only a head"])
def test_a_copy_of_a_slow_stream(start, mock, slow):
    with Mock() as other:
        m = start(hedged(mock.url, other.url))
        warm(m, [mock, other])
        mock.default = slow

        def one(text):
            began = time.monotonic()
            code, _, body = m.chat(text, stream=True)
            assert code == 200 and body.count(b"[DONE]") == 1
            assert time.monotonic() - began < 15 * SLOW

        # Side by side, so that the slow one gets some though the other looks better.
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for i in range(40):
                list(pool.map(one, [f"hi {i} {k}" for k in range(4)]))
                if len(mock.requests) >= 3:
                    break
        assert mock.requests and all(r.gone.wait(20 * SLOW) for r in mock.requests), "the loser is stopped"
        # What was stopped is no failure of its place.
        until(lambda: m.metric(r"merit_in_flight") == 0, 3)


def test_what_is_not_hedged(start, mock):
    first_byte = "2s" if SLOW == 1 else "5s"  # for `warm`, too
    with Mock() as other:
        m = start(hedged(mock.url, other.url), "--upstream-first-byte", first_byte)
        warm(m, [mock, other])
        mock.default = other.default = up.hang
        assert m.chat("a whole answer")[0] == 504
        assert len(mock.requests) + len(other.requests) == 1
        assert m.chat("tools that act", stream=True, tools=ACTS)[0] == 504
        assert len(mock.requests) + len(other.requests) == 2
        plain = start(hedged(mock.url, other.url, "answer(a)", ""), "--upstream-first-byte", first_byte)
        mock.requests.clear(), other.requests.clear()
        assert plain.chat("hi", stream=True)[0] == 504
        assert len(mock.requests) + len(other.requests) == 1


def test_a_copy_goes_on_when_the_first_fails(start, mock):
    with Mock() as other:
        m = start(hedged(mock.url, other.url))
        warm(m, [mock, other])

        def fails(conn, r):
            conn.sleep(0.4)
            return up.error(500)(conn, r)

        def late(conn, r):
            conn.sleep(0.8)
            return up.chat()(conn, r)

        mock.default, other.default = fails, late
        for i in range(3):
            code, _, body = m.chat(f"hi {i}", stream=True)
            assert code == 200 and body.count(b"[DONE]") == 1
