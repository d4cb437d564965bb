"""Constraints while serving: closed endpoints stay closed on every try, what the budget counts on is told to the upstream,
paths that are passed on honour what is always forbidden, and a refusal names what is in the way."""
import json

import mock_upstream as up
from mock_upstream import Mock

TIMES = 12


def policy(more, urls, routes="otherwise -> answer(any)", output="output 1k tok"):
    endpoints = ", ".join(f'"{u}"' for u in urls)
    return f"""policy "held" version 1
lattice exposure = public < phi
zone house clears phi
zone cloud
model small zone cloud endpoint {endpoints} context 8k tok {output} price 1 in, 2 out usd/Mtok
model local zone house endpoint "{urls[-1]}/local" context 8k tok {output} price 1 in, 2 out usd/Mtok
signal ward = keywords("ward")
signal private = keywords("private")
{more}
{routes}
"""


def one_endpoint(first, second, more=""):
    return policy(f'forbid endpoint "{first.url}" when ward as "not there"\n' + more, [first.url, second.url],
                  "otherwise -> answer(small)")


def test_a_closed_endpoint_is_never_asked(start):
    with Mock(up.chat()) as first, Mock(up.chat()) as second:
        m = start(one_endpoint(first, second))
        for _ in range(TIMES):
            assert m.chat("hello")[0] == 200
        assert first.chats() and second.chats()  # both serve what is not held
        before = len(first.chats())
        for _ in range(TIMES):
            assert m.chat("about the ward")[0] == 200
        assert len(first.chats()) == before
        # Nor when the other one fails: before its first byte, and when it is out.
        second.default = up.close_at_once
        for _ in range(TIMES):
            assert m.chat("about the ward")[0] >= 500
        assert len(first.chats()) == before
        assert m.chat("hello")[0] == 200 and len(first.chats()) == before + 1


def test_retries_of_the_policy(start):
    with Mock(up.chat()) as a:
        m = start(policy("", [a.url], "route twice when ward -> answer(small) retry 1\notherwise -> answer(small)"))
        a.script = [up.error(500)]
        assert m.chat("about the ward")[0] == 200 and len(a.chats()) == 2
        a.script = [up.error(500)]
        assert m.chat("hello")[0] >= 500 and len(a.chats()) == 3
        a.script = [up.error(500)] * 2
        assert m.chat("about the ward")[0] >= 500 and len(a.chats()) == 5


def test_nothing_left_is_told_by_name(start):
    with Mock(up.chat()) as a:
        more = 'forbid zone cloud when ward or private as "wards stay home"\nforbid model local as "not now"\n' \
               'assume infeasible otherwise "the refusal is what is looked at"'
        m = start(policy(more, [a.url]))
        assert m.chat("hello")[0] == 200
        code, _, body = m.chat("about the ward")
        assert code == 403
        error = json.loads(body)["error"]
        assert error["code"] == "no_feasible_path"
        assert '"wards stay home"' in error["message"] and '"not now"' in error["message"]
        assert "because ward" in error["message"]
        # They hold where the client names the model, too.
        code, _, body = m.chat("about the ward", model="small")
        assert code == 403 and '"wards stay home"' in json.loads(body)["error"]["message"]


def test_the_upstream_is_told_what_the_budget_counts_on(start):
    with Mock(up.chat()) as a:
        m = start(policy("budget 0.01 usd/request hard", [a.url]))
        assert m.chat("hello")[0] == 200
        assert a.chats()[-1].json()["max_tokens"] == 1000
        assert m.chat("hello", max_tokens=50)[0] == 200
        assert a.chats()[-1].json()["max_tokens"] == 50
        assert m.chat("hello", max_tokens=None)[0] == 200
        assert a.chats()[-1].json()["max_tokens"] == 1000
        # Without a budget nothing is added.
    with Mock(up.chat()) as a:
        m = start(policy("", [a.url]))
        assert m.chat("hello")[0] == 200
        assert "max_tokens" not in a.chats()[-1].json()


def test_a_budget_takes_what_could_cost_more(start):
    with Mock(up.chat()) as a:
        # 1,000 tokens of output at 2 usd/Mtok are 0.002 usd.
        m = start(policy('budget 0.0015 usd/request hard when ward as "wards are cheap"', [a.url],
                         'route ward when ward -> answer(any) else refuse "too dear"\notherwise -> answer(any)'))
        assert m.chat("hello")[0] == 200
        code, _, body = m.chat("about the ward")
        assert code == 403 and json.loads(body)["error"]["message"] == "too dear"
        assert m.chat("about the ward", max_tokens=100)[0] == 200


def test_a_forbidden_effort_cannot_be_asked_for(start):
    with Mock(up.chat()) as a:
        text = policy('forbid effort high when ward as "no brooding over wards"', [a.url])
        m = start(text.replace("usd/Mtok\n", "usd/Mtok effort low, high\n"))
        assert m.chat("hello", reasoning_effort="high")[0] == 200
        assert a.chats()[-1].json()["reasoning_effort"] == "high"
        assert m.chat("about the ward", reasoning_effort="low")[0] == 200
        assert a.chats()[-1].json()["reasoning_effort"] == "low"
        assert m.chat("about the ward", reasoning_effort="high")[0] == 200
        assert "reasoning_effort" not in a.chats()[-1].json()
        ways = [{"reasoning": {"effort": "high"}}, {"reasoning_effort": "xhigh"}, {"Reasoning-Effort": "max"},
                {"extra_body": {"chat_template_kwargs": {"reasoning_effort": "high"}}}]
        for way in ways:
            assert m.chat("about the ward", **way)[0] == 200
            assert '"high"' not in a.chats()[-1].body.decode() and "max" not in a.chats()[-1].body.decode()
            assert m.chat("hello", **way)[0] == 200
            assert a.chats()[-1].json()["reasoning_effort"] == "high"
            assert not a.chats()[-1].json().get("reasoning") and "Reasoning-Effort" not in a.chats()[-1].json()
        assert m.chat("hello", thinking={"type": "enabled"})[0] == 200
        assert "thinking" not in a.chats()[-1].json()  # the model has no `on`
        status, _, body = m.chat("hello", extra_body=dict.fromkeys([f"{'_' * i}think" for i in range(17)], True))
        assert status == 400 and b"how much to think" in body


def test_passing_on_honours_what_is_always_forbidden(start):
    with Mock(up.chat()) as first, Mock(up.chat()) as second:
        endpoints = policy(f'forbid endpoint "{first.url}" as "gone"\npass "/v1/x" to local', [first.url, second.url])
        m = start(endpoints.replace('/local"', f'", "{first.url}"'))
        for _ in range(TIMES):
            m.request("POST", "/v1/x", b"{}", {"Content-Type": "application/json"})
        assert second.requests and not first.requests
