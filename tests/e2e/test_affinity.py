"""Requests go where their prompt is warm, sessions stay where they are, and callers share nothing.

Replicas without metrics, so that only what Merit itself has sent counts.
"""
import collections
import contextlib
import itertools
import json

from conftest import policy_text
from mock_upstream import Mock
from test_operation import make_key

TOOLS = [{"type": "function", "function": {"name": f"tool_{i}", "description": "Does things. " * 40,
                                           "parameters": {"type": "object", "properties": {}}}} for i in range(24)]
CALL = {"id": "call_1", "type": "function", "function": {"name": "tool_1", "arguments": "{}"}}


def replicas(stack, n):
    return [stack.enter_context(Mock()) for _ in range(n)]


def run_sessions(m, mocks, sessions, steps, headers, tools=TOOLS):
    """Where each step of each session went: {session: [replica, ...]}."""
    went, talks = collections.defaultdict(list), {}
    for step, s in itertools.product(range(steps), range(sessions)):
        talk = talks.setdefault(s, [{"role": "system", "content": "You are an agent."}])
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
