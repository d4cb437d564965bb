"""Requests go where their prompt is warm, sessions stay where they are, and callers share nothing.

Replicas without metrics, so that only what Merit itself has sent counts.
"""
import collections
import contextlib
import itertools
import json
import re
import threading

import pytest

import mock_upstream as up
from conftest import policy_text, until
from mock_upstream import Mock
from test_operation import make_key

TOOLS = [{"type": "function", "function": {"name": f"tool_{i}", "description": "Does things. " * 40,
                                           "parameters": {"type": "object", "properties": {}}}} for i in range(24)]
CALL = {"id": "call_1", "type": "function", "function": {"name": "tool_1", "arguments": "{}"}}


def replicas(stack, n):
    return [stack.enter_context(Mock()) for _ in range(n)]


def run_sessions(m, mocks, sessions, steps, headers, tools=TOOLS, talks=None):
    """Where each step of each session went: {session: [replica, ...]}."""
    went, talks = collections.defaultdict(list), {} if talks is None else talks
    for step, s in itertools.product(range(steps), range(sessions)):
        talk = talks.setdefault(s, [{"role": "system", "content": "You are an agent."}])
        step = len(talk)
        talk.append({"role": "user", "content": f"Session {s}, step {step}: " + f"look at file {s}-{step}. " * 40})
        before = [len(x.chats()) for x in mocks]
        status, _, body = m.request("POST", "/v1/chat/completions",
                                    {"model": "auto", "messages": talk, "tools": tools}, headers(s))
        assert status == 200, body
        after = [len(x.chats()) for x in mocks]
        [at] = [i for i in range(len(mocks)) if after[i] != before[i]]
        went[s].append(at)
        talk.append({"role": "assistant", "content": "Seen."})
    return went


def moves(went):
    return sum(a != b for places in went.values() for a, b in zip(places, places[1:]))


def spread(went):
    return collections.Counter(places[-1] for places in went.values())


def test_sessions_stay(start):
    with contextlib.ExitStack() as stack:
        mocks = replicas(stack, 3)
        m = start(policy_text({"small": [x.url for x in mocks]}))
        went = run_sessions(m, mocks, 12, 6, lambda s: {"x-session-id": f"s{s}"})
        assert moves(went) == 0, went


def reload(m, change):
    n = m.errors().count("policy reloaded")
    m.policy.write_text(change(m.policy.read_text()))
    until(lambda: m.errors().count("policy reloaded") > n)


@pytest.mark.parametrize("headers", [lambda s: {"x-session-id": f"s{s}"}, lambda s: {}], ids=["sessions", "prompts"])
def test_they_stay_over_a_reload(start, headers):
    """Other numbers, other lines, another model in front: who was where is still known."""
    with contextlib.ExitStack() as stack:
        mocks = replicas(stack, 3)
        urls = [f'"{x.url}"' for x in mocks]
        m = start(policy_text({"small": [x.url for x in mocks]}))
        talks = {}
        went = run_sessions(m, mocks, 12, 3, headers, talks=talks)
        edits = [lambda t: t + "# a line more\n",
                 lambda t: t.replace(", ".join(urls), ", ".join(reversed(urls))),
                 lambda t: t.replace("model small", f'model other zone local endpoint {urls[0]}, {urls[1]} context 8k tok\nmodel small')]
        for edit in edits:
            reload(m, edit)
            more = run_sessions(m, mocks, 12, 2, headers, talks=talks)
            for s in more:
                went[s] += more[s]
        assert moves(went) == 0, went
        # What went away is looked for no more; the others stay.
        reload(m, lambda t: t.replace(", ".join(reversed(urls)), ", ".join(urls[1:])))
        more = run_sessions(m, mocks, 12, 3, headers, talks=talks)
        for s, places in more.items():
            assert 0 not in places and len(set(places)) == 1, more
            assert went[s][-1] in (0, places[0]), (s, went[s], places)


def test_edits_by_hand_move_nobody_else(start):
    with contextlib.ExitStack() as stack:
        mocks = replicas(stack, 4)
        m = start(policy_text({"small": [x.url for x in mocks[:3]]}))
        headers, talks = (lambda s: {"x-session-id": f"s{s}"}), {}
        went = run_sessions(m, mocks, 12, 3, headers, talks=talks)

        def by_hand(method, url, **fields):
            if method == "DELETE":
                assert m.admin(f"/merit/v1/pool?url={url}", method=method)[0] == 200
                return
            body = json.dumps({"url": url, "model": "small", **fields}).encode()
            assert m.admin("/merit/v1/pool", method=method, body=body)[0] == 200
        for step in (("POST", mocks[3].url, {}), ("POST", mocks[3].url, {"weight": 2}), ("DELETE", mocks[3].url, {})):
            by_hand(*step[:2], **step[2])
            more = run_sessions(m, mocks, 12, 1, headers, talks=talks)
            for s in more:
                went[s] += more[s]
        assert moves(went) == 0, went


def test_sessions_leave_what_drains(start):
    """Each once, and nobody else moves; streams that run there end."""
    with contextlib.ExitStack() as stack:
        mocks = replicas(stack, 3)
        m = start(policy_text({"small": [x.url for x in mocks]}))
        headers, talks = (lambda s: {"x-session-id": f"s{s}"}), {}
        went = run_sessions(m, mocks, 12, 2, headers, talks=talks)
        mocks[0].default = up.chat(delay=0.1)
        ends, threads = [], []

        def stream(k):
            ends.append(m.chat(f"a stream, please, number {k} " * 50, stream=True))
        # Until one of them runs there.
        while not any("a stream" in str(r.json()["messages"]) for r in mocks[0].chats()):
            assert len(threads) < 30
            threads.append(threading.Thread(target=stream, args=(len(threads),)))
            threads[-1].start()
            threads[-1].join(0.3)
        body = json.dumps({"url": mocks[0].url}).encode()
        assert m.admin("/merit/v1/pool/drain", method="POST", body=body)[0] == 200
        for t in threads:
            t.join()
        assert all(status == 200 and b"[DONE]" in body for status, _, body in ends)
        n = len(mocks[0].chats())
        more = run_sessions(m, mocks, 12, 3, headers, talks=talks)
        assert len(mocks[0].chats()) == n
        for s, places in more.items():
            assert len(set(places)) == 1 and went[s][-1] in (0, places[0]), (s, went[s], places)


def test_reloads_under_load(start):
    """Four clients and a policy that changes all the time: nothing fails. Where no request waits for another, which may be
    worth a move, sessions have one place; but for a request of before that ends after a load, now and then."""
    with contextlib.ExitStack() as stack:
        mocks = replicas(stack, 3)
        urls = [f'"{x.url}"' for x in mocks]
        m = start(policy_text({"small": [x.url for x in mocks]}), "--threads", "4")
        codes, stop, turn = collections.Counter(), threading.Event(), [threading.Lock()]

        def load(s):
            talk = [{"role": "user", "content": f"Session {s}. " * 200}]
            while not stop.is_set():
                with turn[0]:
                    codes[m.request("POST", "/v1/chat/completions", {"model": "auto", "messages": talk}, {"x-session-id": f"s{s}"})[0]] += 1

        def reloads():
            before = codes.total()
            for k in range(6):
                reload(m, lambda t, k=k: re.sub(r"endpoint [^\n]*", "endpoint " + ", ".join(urls[(k + 1) % 3:] + urls[:(k + 1) % 3]), t))
            until(lambda: codes.total() > before + 40)
        threads = [threading.Thread(target=load, args=(s,)) for s in range(4)]
        for t in threads:
            t.start()
        try:
            reloads()
            homes = collections.defaultdict(set)
            with turn[0]:
                for i, mock in enumerate(mocks):
                    for r in mock.chats():
                        homes[r.json()["messages"][0]["content"][:10]].add(i)
                turn[0] = contextlib.nullcontext()
            reloads()
        finally:
            stop.set()
            for t in threads:
                t.join()
        assert set(codes) == {200}, codes
        assert homes and sum(len(h) - 1 for h in homes.values()) <= 2, homes


def test_prompts_stay_without_a_session(start):
    """The bytes of the prompt alone bring an agent back to where they were sent."""
    with contextlib.ExitStack() as stack:
        mocks = replicas(stack, 3)
        m = start(policy_text({"small": [x.url for x in mocks]}))
        went = run_sessions(m, mocks, 12, 6, lambda s: {})
        assert moves(went) == 0, went


def test_what_has_nothing_in_common_spreads(start):
    with contextlib.ExitStack() as stack:
        mocks = replicas(stack, 3)
        m = start(policy_text({"small": [x.url for x in mocks]}))
        for i in range(90):
            assert m.chat(f"{i} is a number. " * 60)[0] == 200
        counts = [len(x.chats()) for x in mocks]
        assert sum(counts) == 90 and min(counts) >= 15, counts


def test_a_dead_replica_is_left(start):
    with contextlib.ExitStack() as stack:
        mocks = replicas(stack, 3)
        m = start(policy_text({"small": [x.url for x in mocks]}))
        headers = {"x-session-id": "one"}
        talk = [{"role": "user", "content": "Hello there. " * 100}]
        for _ in range(3):
            assert m.request("POST", "/v1/chat/completions", {"model": "auto", "messages": talk}, headers)[0] == 200
        [home] = [x for x in mocks if x.chats()]
        home.close()
        for _ in range(4):
            assert m.request("POST", "/v1/chat/completions", {"model": "auto", "messages": talk}, headers)[0] == 200
        others = [len(x.chats()) for x in mocks if x is not home]
        assert sorted(others) == [0, 4], others  # the session has a new home


def test_a_tool_loop_keeps_its_model(start):
    """Who asked for a tool reads its result, though the policy's order prefers another model by now."""
    with contextlib.ExitStack() as stack:
        first, second = replicas(stack, 2)
        m = start(policy_text({"first": first.url, "second": second.url}).replace(
            "otherwise -> answer(first)", "otherwise -> answer(first, second)"))
        headers = {"x-session-id": "loop"}
        talk = [{"role": "user", "content": "Look it up."}]

        def ask(model):
            before = len(second.chats())
            status, _, body = m.request("POST", "/v1/chat/completions",
                                        {"model": model, "messages": talk, "tools": TOOLS[:1]}, headers)
            assert status == 200, body
            return "second" if len(second.chats()) > before else "first"

        assert ask("auto") == "first"
        assert ask("second") == "second"
        talk += [{"role": "assistant", "content": None, "tool_calls": [CALL]},
                 {"role": "tool", "tool_call_id": "call_1", "content": "42"}]
        assert ask("auto") == "second"
        assert ask("auto") == "second"
        talk += [{"role": "assistant", "content": "It is 42."}, {"role": "user", "content": "And now?"}]
        assert ask("auto") == "first"


def test_callers_share_no_session(start, scratch):
    keys = scratch / "merit.keys"
    ann, bob = (make_key(scratch, keys, "--caller", name)[0] for name in ("ann", "bob"))
    with contextlib.ExitStack() as stack:
        first, second = replicas(stack, 2)
        m = start(policy_text({"first": first.url, "second": second.url}).replace(
            "otherwise -> answer(first)", "otherwise -> answer(first, second)"), "--keys", str(keys))
        loop = [{"role": "user", "content": "Look it up."}, {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": "42"}]

        def ask(key, model):
            before = len(second.chats())
            status, _, body = m.request("POST", "/v1/chat/completions", {"model": model, "messages": loop},
                                        {"x-session-id": "main", "authorization": f"Bearer {key}"})
            assert status == 200, body
            return "second" if len(second.chats()) > before else "first"

        assert ask(ann, "second") == "second"
        assert ask(ann, "auto") == "second"
        assert ask(bob, "auto") == "first"


def test_a_deadline_of_a_key_that_may_steer_is_seen(start, scratch):
    keys = scratch / "merit.keys"
    steers = make_key(scratch, keys, "--caller", "eve", "--scopes", "traffic,route-headers")[0]
    plain = make_key(scratch, keys, "--caller", "ann")[0]
    with contextlib.ExitStack() as stack:
        mocks = replicas(stack, 2)
        m = start(policy_text({"small": [x.url for x in mocks]}), "--keys", str(keys))
        seen = {}
        for name, key in (("steers", steers), ("plain", plain)):
            status, headers, _ = m.chat(headers={"authorization": f"Bearer {key}", "x-merit-slo-ttft-ms": "350"})
            assert status == 200
            _, _, body = m.admin(f"/merit/v1/decisions/{headers['x-merit-decision']}")
            seen[name] = json.loads(body)["decision"].get("first_deadline_ms")
        assert seen == {"steers": 350, "plain": None}
