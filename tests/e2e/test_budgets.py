"""Budgets over time: kept under concurrency, told to clients in OpenAI's shape, added up to the last nano-dollar.

Prices are chosen so that sums are exact; an upstream of ours reports what usage it likes.
"""
import concurrent.futures
import contextlib
import json
import re
import signal
import sqlite3
import subprocess
import threading
import time

import openai
import pytest

import mock_upstream as up
from conftest import MERIT, PATIENCE, ROOT, sdk, until

BIG = "price 10 in, 30 out usd/Mtok quality 0.9"
SMALL = "price 0.1 in, 0.3 out usd/Mtok quality 0.5"


def policy(mock, budgets, answer="big", more=""):
    return f"""policy "budgets" version 1
zone local pue 1.2 carbon 400 g/kWh average
model big    zone local endpoint "{mock.url}" context 32k tok output 1k tok {BIG}
    energy 100 in, 900 out kJ/Mtok
model small  zone local endpoint "{mock.url}" context 32k tok output 1k tok {SMALL}
    energy 10 in, 90 out kJ/Mtok
{budgets}
{more}
otherwise -> answer({answer})
"""


def told(usage, text="Hello.", wait=0.0, model=None, gate=None):
    """An answer, streamed when asked for, whose usage is what it says; in the middle of a stream, or before a whole
    answer, it waits for the gate."""
    def behave(conn, r):
        body = r.json()
        name = model or body["model"]
        if wait:
            time.sleep(wait)
        if not body.get("stream"):
            if gate:
                gate.wait(120)
            reply = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1790000000, "model": name,
                     "choices": [{"index": 0, "message": up.message(text), "logprobs": None,
                                  "finish_reason": "stop"}]}
            if usage is not None:
                reply["usage"] = usage
            up.answer(conn, reply)
            return True
        up.sse_head(conn)
        conn.chunk(up.event(name, {"role": "assistant", "content": ""}))
        conn.chunk(up.event(name, {"content": text}))
        if gate:
            gate.wait(120)
        conn.chunk(up.event(name, {}, "stop"))
        if usage is not None:
            conn.chunk("data: " + json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk",
                                              "created": 1790000000, "model": name, "choices": [],
                                              "usage": usage}) + "\n\n")
        conn.chunk("data: [DONE]\n\n")
        conn.send(b"0\r\n\r\n")
        return True
    return behave


def usage(prompt, completion, **more):
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}


def client(served, key="none", retries=0):
    return sdk(served, key, retries=retries)


def ask(c, **more):
    headers = more.pop("headers", None)
    return c.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "Say hello."}], extra_headers=headers, **more)


def nano(text):
    assert re.fullmatch(r"[0-9]+(\.[0-9]+)?", text), text
    whole, _, part = text.partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))


def left(headers):
    """(amount, unit, parameters) of x-merit-budget-left."""
    amount, *rest = headers["x-merit-budget-left"].split(";")
    value, unit = amount.split(" ")
    return float(value), unit, dict(p.split("=") for p in rest)


def spend(c, most=200, **more):
    """Asks until it is refused: the costs of the answers in nano-USD, and the refusal."""
    costs = []
    for _ in range(most):
        try:
            costs.append(nano(ask(c, **more).headers["x-merit-cost-usd"]))
        except openai.APIStatusError as e:
            return costs, e
    raise AssertionError(f"nothing was refused in {most} requests")


@pytest.mark.smoke
def test_hard_is_never_exceeded_and_says_so(start, mock):
    served = start(policy(mock, 'budget 0.1 usd/day hard as "pocket money"'))
    mock.default = told(usage(20, 900))
    with client(served, retries=2) as c:
        costs, e = spend(c)
        before = len(mock.requests)
        assert all(n == 20 * 10_000 + 900 * 30_000 for n in costs) and 2 <= len(costs) <= 3
        assert sum(costs) <= 100_000_000
        # A refusal says what was left, what was needed and when it renews; and that it is final.
        assert isinstance(e, openai.APIStatusError) and e.status_code == 402
        assert e.response.headers["x-should-retry"] == "false"
        assert e.type == "budget_exceeded" and e.code == "budget_exceeded"
        b = e.body["budget"]
        assert b["name"] == "pocket money" and b["unit"] == "usd" and b["window"] == "day" and b["scope"] == "all"
        assert b["limit"] == 0.1 and b["left"] == pytest.approx((1e8 - sum(costs)) / 1e9)
        assert b["needed"] > b["left"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", b["renews_at"]) and 0 < b["renews_in_s"] <= 86400
        with pytest.raises(openai.APIStatusError):
            ask(c)
        assert len(mock.requests) == before, "an upstream saw a request that no budget bore"
    assert served.metric(r"merit_budget_refusals_total\{budget=\"pocket money\"\}") >= 2
    assert served.metric(r"merit_budget_left\{budget=\"pocket money\"") == pytest.approx(0.1 - sum(costs) / 1e9)
    assert served.metric(r"merit_requests_total\{.*end=\"(refused|infeasible)\"\}") >= 2


def test_the_cap_is_sent_that_the_bound_rests_on(start, mock):
    served = start(policy(mock, "budget 1 usd/day hard"))
    with client(served) as c:
        ask(c)
        assert mock.chats()[-1].json()["max_tokens"] == 1000
        ask(c, max_tokens=10)
        assert mock.chats()[-1].json()["max_tokens"] == 10


def test_no_other_name_of_the_limit_goes_above_the_cap(start, mock):
    """llama.cpp obeys `n_predict` rather than `max_tokens`."""
    served = start(policy(mock, "budget 1 usd/day hard"))
    for given, sent in (({"n_predict": -1}, (1000, 1000)), ({"n_predict": 90000}, (1000, 1000)),
                        ({"n_predict": 7}, (1000, 7)), ({"max_tokens": 10, "n_predict": -1}, (10, 1000)),
                        ({"max_tokens": 10, "n_predict": 7}, (10, 7))):
        assert served.chat(**given)[0] == 200
        body = mock.chats()[-1].json()
        assert (body["max_tokens"], body["n_predict"]) == sent, given
    # What it asks for is reserved and settled.
    mock.default = told(usage(20, 900))
    _, headers, _ = served.chat(max_tokens=10, n_predict=950)
    assert nano(headers["x-merit-cost-usd"]) == 20 * 10_000 + 900 * 30_000
    assert served.metric(r"merit_usage_wrong_total") == 0


def test_a_cap_leaves_room_for_the_prompt(start, mock):
    """Without `output` a model's is its window; engines refuse a prompt and a cap that do not fit it together."""
    served = start(policy(mock, "budget 100 usd/day hard").replace(" output 1k tok", ""))
    words = "word " * 4000
    status, _, _ = served.chat(words)
    assert status == 200
    cap = mock.chats()[-1].json()["max_tokens"]
    assert 32000 - 1.5 * 4100 - 100 < cap < 32000 - 4000


def test_sixty_four_at_once(start, mock):
    served = start(policy(mock, "budget 0.25 usd/day hard"))
    mock.default = told(usage(20, 1000), wait=0.3)

    def one(_):
        with client(served) as c:
            try:
                return nano(ask(c).headers["x-merit-cost-usd"])
            except openai.APIStatusError as e:
                assert e.status_code == 402
                return None

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        costs = [n for n in pool.map(one, range(64)) if n is not None]
    assert 5 <= len(costs) <= 8  # a bound is some 0.032 usd
    assert sum(costs) <= 250_000_000
    assert served.metric(r"merit_cost_usd_total") == pytest.approx(sum(costs) / 1e9, abs=1e-12)
    assert served.metric(r"merit_budget_left") == pytest.approx(0.25 - sum(costs) / 1e9, abs=1e-9)


def test_cheaper_goes_on_to_what_is_borne(start, mock):
    served = start(policy(mock, "budget 0.1 usd/day hard cheaper", answer="big, small"))
    mock.default = told(usage(20, 900))
    models, total = [], 0
    with client(served) as c:
        for _ in range(400):
            try:
                r = ask(c)
            except openai.APIStatusError as e:
                assert e.status_code == 402 and e.body["budget"]["left"] < e.body["budget"]["needed"]
                break
            models.append(r.headers["x-merit-model"])
            total += nano(r.headers["x-merit-cost-usd"])
    assert total <= 100_000_000
    big = models.count("big")
    assert 2 <= big <= 3 and models == ["big"] * big + ["small"] * (len(models) - big)
    assert len(models) > 20


def test_paced_never_refuses(start, mock):
    served = start(policy(mock, "budget 0.001 usd/day paced"))
    mock.default = told(usage(20, 900))
    with client(served) as c:
        warnings = [ask(c).headers.get("x-merit-budget-warning") for _ in range(10)]
        assert warnings == ["100"] * 10
        assert left(ask(c).headers)[0] == 0


def test_a_rate_is_429_with_the_time_to_wait(start, mock):
    served = start(policy(mock, 'budget 5 requests/minute hard as "pace"'))
    with client(served) as c:
        until(lambda: time.time() % 60 < 50, 15)
        costs, e = spend(c)
        assert len(costs) == 5 and isinstance(e, openai.RateLimitError)
        assert e.code == "rate_limit_exceeded" and e.body["budget"]["unit"] == "requests"
        assert 1 <= int(e.response.headers["retry-after"]) <= 60
        assert e.body["budget"]["renews_in_s"] == int(e.response.headers["retry-after"])
        assert "x-should-retry" not in e.response.headers


def test_the_status_is_a_setting(start, mock):
    served = start(policy(mock, "budget 0.01 usd/day hard"), "--budgets-status", "429")
    with client(served) as c:
        _, e = spend(c)
        assert e.status_code == 429 and e.type == "budget_exceeded" and int(e.response.headers["retry-after"]) > 0
        assert e.response.headers["x-should-retry"] == "false"
    bad = start(policy(mock, ""), "--budgets-status", "418", wait=False)
    assert bad.process.wait(PATIENCE) == 2


def test_warnings_come_before_the_end(start, mock):
    served = start(policy(mock, "budget 0.5 usd/day hard"))
    mock.default = told(usage(0 or 20, 300))
    seen, lefts = set(), []
    with client(served) as c:
        for _ in range(100):
            try:
                r = ask(c, max_tokens=300)
            except openai.APIStatusError:
                break
            value, unit, more = left(r.headers)
            assert unit == "usd" and more["of"] == "0.5" and more["scope"] == "all"
            lefts.append(value)
            seen.add(r.headers.get("x-merit-budget-warning"))
    assert seen >= {None, "80", "90"}
    each = 20 * 10e-6 + 300 * 30e-6
    assert lefts == pytest.approx([0.5 - each * (i + 1) for i in range(len(lefts))])


def test_whose_budget_it_is(start, mock):
    served = start(policy(mock, 'budget per loop 2500 tok hard as "loop"'))
    mock.default = told(usage(20, 700))
    with client(served) as c:
        for _ in range(20):
            ask(c)  # no loop, no budget
        a = {"headers": {"x-loop-id": "a"}}
        costs, e = spend(c, **a)
        assert e.code == "loop_budget_exceeded" and e.body["budget"]["renews_at"] is None
        assert 1 <= len(costs) <= 3
        assert left(ask(c, headers={"x-loop-id": "b"}).headers)[0] == 2500 - 720
        # A sub-agent has a session of its own and is still of the loop.
        with pytest.raises(openai.APIStatusError):
            ask(c, headers={"x-loop-id": "a", "x-session-id": "sub"})
        # Without a loop's id the session stands for it.
        s = {"headers": {"x-session-id": "s1"}}
        ask(c, **s)
        assert left(ask(c, **s).headers)[0] == 2500 - 2 * 720


def make_key(served_folder, **attributes):
    flags = [f for k, v in attributes.items() for f in (f"--{k}", v)]
    r = subprocess.run([MERIT, "key", "create", "--keys", served_folder / "k", *flags, "--json"], capture_output=True,
                       text=True, timeout=PATIENCE)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def test_two_callers_with_the_same_session_share_nothing(start, mock, scratch):
    one, two = (make_key(scratch, caller=n) for n in ("one", "two"))
    served = start(policy(mock, "budget per session 2000 tok hard"), "--keys", scratch / "k")
    mock.default = told(usage(20, 500))
    session = {"headers": {"x-session-id": "the same"}}
    with client(served, one["secret"]) as c:
        spend(c, **session)
    with client(served, two["secret"]) as c:
        assert left(ask(c, **session).headers)[0] == 2000 - 520


def test_a_key_that_is_revoked_while_it_streams(start, mock, scratch):
    key, other = make_key(scratch, caller="gone"), make_key(scratch, caller="stays")
    served = start(policy(mock, "budget per caller 0.5 usd/day hard"), "--keys", scratch / "k")
    gate = threading.Event()
    mock.default = told(usage(20, 100), gate=gate)
    with client(served, key["secret"]) as c:
        stream = c.chat.completions.create(model="auto", stream=True, messages=[{"role": "user", "content": "Hi"}])
        it = iter(stream)
        next(it)
        assert subprocess.run([MERIT, "key", "revoke", key["id"], "--keys", scratch / "k"], timeout=PATIENCE).returncode == 0

        def refused():
            return served.chat(headers={"Authorization": f"Bearer {key['secret']}"})[0] == 401
        mock.script += [told(usage(20, 100)) for _ in range(200)]
        until(refused, 10)
        mock.script.clear()
        gate.set()
        assert [e.choices[0].finish_reason for e in it if e.choices][-1] == "stop"
    cost = 20 * 10e-6 + 100 * 30e-6
    served.idle()
    total = served.metric(r"merit_cost_usd_total")
    assert total > 0 and total / cost == pytest.approx(round(total / cost))
    with client(served, other["secret"]) as c:
        assert left(ask(c).headers)[0] == pytest.approx(0.5 - cost)


def test_what_is_left_of_a_large_budget_is_told_to_the_end(start, mock):
    served = start(policy(mock, "budget 123456 usd/day hard"))
    mock.default = told(usage(21, 7))
    assert served.chat()[0] == 200
    assert re.search(r"^merit_budget_left\{.*\} 123455\.99958$", served.metrics(), re.M)


def test_what_was_spent_while_it_was_paced(start, mock):
    """... is spent when the budget becomes hard, whatever stands beside it."""
    served = start(policy(mock, "budget 1 usd/day paced"))
    mock.default = told(usage(20, 900))
    with client(served) as c:
        for _ in range(10):
            ask(c)
        for n, budgets in enumerate(("budget 1 usd/day hard", "budget 3 usd/day paced\nbudget 1 usd/day hard",
                                     "budget 0.5 usd/day hard cheaper\nbudget 1 usd/day hard")):
            digest = served.admin("/merit/v1/policy")[2]
            served.policy.write_text(policy(mock, budgets))
            served.signal(signal.SIGHUP)
            until(lambda: served.admin("/merit/v1/policy")[2] != digest)
            amount, _, of = left(ask(c).headers)
            assert amount == pytest.approx(float(of["of"]) - (11 + n) * 0.0272)


def test_a_budget_that_changes_while_requests_fly(start, mock):
    served = start(policy(mock, "budget 1 usd/day hard"))
    gate = threading.Event()
    mock.script.append(told(usage(20, 1000), gate=gate))
    with client(served) as c:
        stream = iter(c.chat.completions.create(model="auto", stream=True, max_tokens=1000,
                                                messages=[{"role": "user", "content": "Hi"}]))
        next(stream)
        mock.default = told(usage(20, 10))
        served.policy.write_text(policy(mock, "budget 0.04 usd/day hard").replace("version 1", "version 2"))
        until(lambda: 'version="2"' in served.metrics(), 10)
        # The one under way has taken its bound out of the same budget.
        with pytest.raises(openai.APIStatusError) as e:
            ask(c)
        assert e.value.status_code == 402 and e.value.body["budget"]["limit"] == 0.04
        gate.set()
        assert [x.choices[0].finish_reason for x in stream if x.choices][-1] == "stop"
        # What it took is counted.
        until(lambda: served.metric(r"merit_cost_usd_total") > 0)
        assert served.metric(r"merit_budget_left") == pytest.approx(0.04 - 20 * 10e-6 - 0.03)
        assert nano(ask(c, max_tokens=10).headers["x-merit-cost-usd"]) == 20 * 10_000 + 10 * 30_000


LIES = {
    # name: (usage, text, what is reckoned: tokens in and out, or None where they are estimated; how it is wrong)
    "more than the cap": (usage(20, 5000), "Hello.", (20, 1000), "absurd"),
    "more than the window": (usage(10**9, 7), "Hello.", None, "absurd"),
    "beyond 32 bits": (usage(2**40, 2**40), "Hello.", None, "absurd"),
    "negative": (usage(-5, -7), "Hello.", None, "absurd"),
    "not a number": ({"prompt_tokens": "many", "completion_tokens": 7.5}, "Hello.", None, "absurd"),
    "none": (None, "Hello.", None, "no_usage"),
    "zero for a long text": (usage(20, 0), "word " * 400, (20, 500), "too_little"),
    "cached more than there was": (usage(20, 7, prompt_tokens_details={"cached_tokens": 500}), "Hello.", (20, 7),
                                   "absurd"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("lie", LIES)
def test_usage_that_lies(start, mock, lie, stream):
    reported, text, reckoned, how = LIES[lie]
    served = start(policy(mock, "budget 0.2 usd/day hard"))
    mock.default = told(reported, text)
    status, headers, body = served.chat(stream=stream)
    assert status == 200
    until(lambda: served.metric(rf'merit_usage_wrong_total\{{model="big",how="{how}"\}}') == 1)
    cost = served.metric(r"merit_cost_usd_total")
    assert 0 < cost <= 0.032 + 0.03, "more than the request could take"
    tokens = (served.metric(r'merit_input_tokens_total\{model="big"\}'),
              served.metric(r'merit_output_tokens_total\{model="big"\}'))
    if reckoned:
        assert tokens == pytest.approx(reckoned, abs=1)
    assert tokens[1] <= 1000 and tokens[0] <= len(b'{"model": "auto"}') + 700
    assert served.metric(r"merit_usage_estimated_total\{model=\"big\"\}") == 1
    assert served.metric(r"merit_budget_left") == pytest.approx(0.2 - cost, abs=1e-9)
    line = json.loads(until(lambda: served.stdout.read_text().strip()).splitlines()[-1])
    assert line["usage_wrong"] == how and line["usage_estimated"] is True


def test_another_model_in_the_answer(start, mock):
    served = start(policy(mock, "budget 1 usd/day hard"))
    mock.default = told(usage(20, 7), model="quite-another")
    with client(served) as c:
        assert nano(ask(c).headers["x-merit-cost-usd"]) == 20 * 10_000 + 7 * 30_000  # as the one that was asked
        mock.default = told(usage(20, 7), model="big-2026-11-01")
        ask(c)
    assert served.metric(r'merit_usage_wrong_total\{model="big",how="other_model"\}') == 1


def test_an_error_inside_a_success(start, mock):
    served = start(policy(mock, "budget 1 usd/day hard"))
    mock.default = lambda conn, r: up.answer(conn, {"error": {"message": "no", "type": "server_error"}}) or True
    status, _, _ = served.chat()
    assert status == 502
    assert served.metric(r'merit_usage_wrong_total\{model="big",how="error_inside"\}') >= 1
    assert served.metric(r"merit_cost_usd_total") == 0
    assert served.metric(r"merit_budget_left") == 1


def test_failed_attempts_are_paid_for_once(start, mock):
    """The first place fails before its first byte, the second answers: one request, one price."""
    with up.Mock() as broken:
        broken.default = up.error(500)
        served = start(policy(mock, "budget 1 usd/day hard\nbudget 10 requests/minute hard").replace(
            f'endpoint "{mock.url}" context 32k tok output 1k tok {BIG}',
            f'endpoint "{broken.url}", "{mock.url}" context 32k tok output 1k tok {BIG}'))
        mock.default = told(usage(20, 10))
        with client(served) as c:
            until(lambda: time.time() % 60 < 50, 15)
            costs = [nano(ask(c).headers["x-merit-cost-usd"]) for _ in range(6)]
            assert set(costs) == {20 * 10_000 + 10 * 30_000}
            assert len(broken.requests) >= 1
        assert served.metric(r'merit_budget_left\{.*unit="requests"') == 4
        assert served.metric(r'merit_budget_left\{.*unit="usd"') == pytest.approx(1 - sum(costs) / 1e9)


def test_what_nobody_reads(start, mock):
    """Passed paths: requests are counted, and a budget of money refuses what nothing bounds."""
    passes = 'pass "/v1/rerank" to big'
    free = start(policy(mock, "budget 3 requests/minute hard", more=passes))
    until(lambda: time.time() % 60 < 50, 15)
    codes = [free.request("POST", "/v1/rerank", {"query": "a"})[0] for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    paid = start(policy(mock, "budget 1 usd/day hard", more=passes))
    status, headers, body = paid.request("POST", "/v1/rerank", {"query": "a"})
    e = json.loads(body)["error"]
    assert status == 402 and e["code"] == "budget_unbounded" and e["budget"]["needed"] is None
    assert len([r for r in mock.requests if r.target == "/v1/rerank"]) == 3


def embedding(prompt, first=False):
    """An answer of /v1/embeddings, with the usage before or behind the vectors."""
    def behave(conn, r):
        vectors = [{"object": "embedding", "index": i, "embedding": [0.25] * 400} for i in range(3)]
        count = {"usage": {"prompt_tokens": prompt, "total_tokens": prompt}}
        body = {"object": "list", "model": r.json()["model"]}
        up.answer(conn, body | count | {"data": vectors} if first else body | {"data": vectors} | count)
        return True
    return behave


@pytest.mark.parametrize("first", [False, True])
def test_embeddings_of_an_upstream_are_paid_for(start, mock, scratch, first):
    """The bound is the input's, and what it took is read from the answer that passes."""
    served = start(policy(mock, "budget 0.02 usd/day hard\nbudget 2k tok/day paced", more='pass "/v1/embeddings" to big'),
                   "--data", scratch / "data")
    mock.default = embedding(40, first)
    ask = {"model": "big", "input": ["one text", "another", "a third"]}
    taken = 0
    for _ in range(50):
        status, headers, body = served.request("POST", "/v1/embeddings", ask)
        if status != 200:
            break
        taken += 1
        assert len(json.loads(body)["data"]) == 3
    e = json.loads(body)["error"]
    assert status == 402 and e["code"] == "budget_exceeded", body
    bound = (len(json.dumps(ask)) + 512) * 10_000  # a token per byte, 10 usd/Mtok
    assert (taken - 1) * 40 * 10_000 + bound <= 20_000_000 < taken * 40 * 10_000 + bound + 60_000
    assert served.metric(r"merit_cost_usd_total") == pytest.approx(taken * 40 * 10_000 / 1e9, abs=1e-12)
    assert served.metric(r'merit_budget_left\{.*unit="tok"') == 2000 - taken * 40
    served.stop()
    kept = rows(scratch / "data")
    assert [(r["model"], r["input_tok"], r["output_tok"], r["estimated"]) for r in kept] == [("big", 40, 0, 0)] * taken


def test_a_passed_path_takes_what_the_policy_states(start, mock):
    more = 'pass "/v1/audio/speech" to big at most 0.004 usd, 100 J\npass "/v1/rerank" to big'
    served = start(policy(mock, "budget 0.01 usd/day hard\nbudget 1 kJ/day hard", more=more))
    mock.default = lambda conn, r: up.answer(conn, {"ok": True}) or True
    answers = [served.request("POST", "/v1/audio/speech", {"input": "a"}) for _ in range(3)]
    assert [a[0] for a in answers] == [200, 200, 402]
    assert answers[0][1]["x-merit-cost-usd"] == "0.004;est"
    e = json.loads(answers[2][2])["error"]["budget"]
    assert e["left"] == pytest.approx(0.002) and e["needed"] == pytest.approx(0.004)
    status, _, body = served.request("POST", "/v1/rerank", {"query": "a"})
    assert status == 402 and json.loads(body)["error"]["code"] == "budget_unbounded"
    assert served.metric(r"merit_cost_usd_total") == pytest.approx(0.008)
    assert served.metric(r'merit_budget_left\{.*unit="J"') == pytest.approx(800)


def test_observed_budgets_count_and_refuse_nothing(start, mock):
    """What is only observed is drawn from the budgets, and what they would have refused is counted."""
    served = start(policy(mock, 'budget 0.05 usd/day hard as "day"\nbudget 3 requests/hour hard as "rate"',
                          more='pass "/v1/rerank" to big'), "--observe", "big")
    mock.default = told(usage(20, 900))
    until(lambda: time.time() % 3600 < 3590, 15)
    with client(served) as c:
        for _ in range(5):
            assert ask(c).http_response.status_code == 200
    mock.default = lambda conn, r: up.answer(conn, {"ok": True}) or True
    assert served.request("POST", "/v1/rerank", {"query": "a"})[0] == 200
    assert served.metric(r"merit_cost_usd_total") == pytest.approx(5 * (20 * 10_000 + 900 * 30_000) / 1e9)
    assert served.metric(r'merit_budget_left\{budget="day"') == 0
    assert served.metric(r'merit_budget_refusals_total\{budget="rate"\}') == 3
    # Two were borne; of the rest the money was not there, and nothing bounds the path that is passed on.
    assert served.metric(r'merit_budget_refusals_total\{budget="day"\}') == 5


def test_strict_holds_whatever_the_input_comes_to(start, mock):
    """`hard` goes by the estimate of the input, `hard strict` by the most that it can be; what it does not bear goes elsewhere."""
    text = "word " * 400  # some 400 tokens in 2,000 bytes
    limit = (len(text) + 600) * 10_000 // 2 + 1000 * 30_000
    loose = start(policy(mock, f"budget {limit / 1e9} usd/request hard"))
    assert loose.chat(text)[0] == 200
    strict = start(policy(mock, f'budget {limit / 1e9} usd/request hard strict as "narrow"'))
    status, headers, body = strict.chat(text)
    e = json.loads(body)["error"]
    assert status == 402 and e["budget"]["name"] == "narrow" and e["budget"]["window"] == "request", body
    assert e["budget"]["needed"] > e["budget"]["left"] == pytest.approx(limit / 1e9)
    assert strict.chat("short")[0] == 200 and mock.chats()[-1].json()["max_tokens"] == 1000
    other = start(policy(mock, f"budget {limit / 1e9} usd/request hard strict", answer="big, small"))
    status, headers, _ = other.chat(text)
    assert status == 200 and headers["x-merit-model"] == "small"


def test_joules_and_grams(start, mock):
    served = start(policy(mock, "budget 2 kJ/day hard\nbudget 1 g/day hard"))
    mock.default = told(usage(100, 200))
    with client(served) as c:
        r = ask(c)
        joule, gram = float(r.headers["x-merit-energy-j"]), float(r.headers["x-merit-carbon-g"])
        assert joule == pytest.approx(100 * 0.1 + 200 * 0.9, rel=0.01)
        assert gram == pytest.approx(joule / 3.6e6 * 400, rel=0.01)
        _, e = spend(c)
        assert e.status_code == 402 and e.body["budget"]["unit"] == "J"
    total = served.metric(r"merit_energy_joules_total")
    assert total <= 2000 and served.metric(r'merit_budget_left\{.*unit="J"') == pytest.approx(2000 - total)


def test_the_baseline_is_the_finest_that_could_have_served(start, mock):
    served = start(policy(mock, "", answer="small"))
    mock.default = told(usage(100, 200))
    with client(served) as c:
        ask(c)
    assert served.metric(r'merit_cost_usd_total\{model="small"\}') == pytest.approx(100 * 0.1e-6 + 200 * 0.3e-6)
    assert served.metric(r'merit_baseline_usd_total\{model="small"\}') == pytest.approx(100 * 10e-6 + 200 * 30e-6)


def test_lengths_are_learned(start, mock, scratch):
    data = scratch / "data"
    served = start(policy(mock, ""), "--data", data)
    mock.default = told(usage(20, 40), text="word " * 30)
    with client(served) as c:
        for _ in range(30):
            ask(c)
        until(lambda: served.metric(r"merit_lengths_learned_total") == 30)
        stream = c.chat.completions.with_streaming_response.create(
            model="auto", stream=True, messages=[{"role": "user", "content": "Say hello."}])

        def estimate():
            with stream as r:
                for _ in r.iter_bytes():
                    pass
                return float(r.headers["x-merit-cost-usd"].removesuffix(";est"))
        # A stream is another task; it hangs on the model's. What is learned is used a moment later.
        streams = []
        until(lambda: streams.append(estimate()) or streams[-1] < 256 * 30e-6 / 2)
    served.stop()
    again = start(policy(mock, ""), "--data", data)
    assert again.metric(r"merit_lengths_learned_total") == 30 + len(streams)


def rows(data):
    """What stands in the store."""
    with contextlib.closing(sqlite3.connect(f"file:{data}/ledger/ledger.db?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return db.execute("SELECT * FROM attempts ORDER BY id").fetchall()


def test_the_store_is_what_the_clients_saw(start, mock, scratch):
    """Whole answers, streams, lies, failed places and clients that leave: one row per attempt, no money lost or invented."""
    data = scratch / "data"
    with up.Mock() as broken:
        broken.default = up.error(500)
        served = start(policy(mock, "budget 50 usd/day hard\nbudget per loop 20 usd hard").replace(
            f'endpoint "{mock.url}" context 32k tok output 1k tok {BIG}',
            f'endpoint "{broken.url}", "{mock.url}" context 32k tok output 1k tok {BIG}'), "--data", data)
        seen, attempts = [], 0
        with client(served) as c:
            for i in range(40):
                mock.default = told([usage(20, 7), usage(20, 5000), None, usage(-1, 3), usage(300, 900)][i % 5])
                seen.append(nano(ask(c, headers={"x-loop-id": f"l{i % 3}"}).headers["x-merit-cost-usd"]))
            streams = 0
            mock.default = told(usage(20, 50))
            for _ in range(5):
                assert list(c.chat.completions.create(model="auto", stream=True,
                                                      messages=[{"role": "user", "content": "Hi"}]))
                streams += 20 * 10_000 + 50 * 30_000
            gate = threading.Event()
            mock.default = told(usage(20, 50), gate=gate)
            gone = c.chat.completions.create(model="auto", stream=True, messages=[{"role": "user", "content": "Hi"}])
            next(iter(gone))
            gone.close()
            until(lambda: served.metric(r'merit_requests_total\{.*end="gone"\}') == 1)
            gate.set()
        served.idle()
        total = served.metric(r"merit_cost_usd_total")
        left_now = served.metric(r'merit_budget_left\{.*window="day"')
        failed = len(broken.requests)
        served.stop()
    kept = rows(data)
    assert {r["end"] for r in kept} == {"answered", "failed", "gone"}
    answered = [r for r in kept if r["end"] == "answered"]
    assert len(answered) == 45 and len([r for r in kept if r["end"] == "failed"]) == failed >= 1
    assert sum(r["took_nusd"] for r in answered) == sum(seen) + streams
    assert sum(r["took_nusd"] for r in kept) == round(total * 1e9)
    assert left_now == pytest.approx(50 - sum(r["took_nusd"] for r in kept) / 1e9, abs=1e-9)
    assert all(r["took_nusd"] <= r["bound_nusd"] and r["took_uj"] <= r["bound_uj"] for r in kept)
    assert all(r["took_nusd"] == 0 for r in kept if r["end"] == "failed")
    left_early = [r for r in kept if r["end"] == "gone"]
    assert len(left_early) == 1 and 0 < left_early[0]["took_nusd"] < 0.002 * 1e9 and left_early[0]["estimated"]
    assert {r["model"] for r in kept} == {"big"} and {r["loop"] for r in answered} >= {"l0", "l1", "l2"}
    assert sum(r["took_requests"] for r in kept) == 46


def test_a_client_that_leaves_after_the_last_event_was_answered(start, mock, scratch):
    """Clients close at [DONE] and need not wait for the last chunk: nothing of the answer is missing then."""
    data, gate = scratch / "data", threading.Event()

    def behave(conn, r):
        up.sse_head(conn)
        conn.chunk(up.event("big", {"content": "Hello."}))
        conn.chunk(up.event("big", {}, "stop"))
        conn.chunk("data: " + json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1790000000,
                                          "model": "big", "choices": [], "usage": usage(20, 50)}) + "\n\n")
        conn.chunk("data: [DONE]\n\n")
        gate.wait(120)
        return False

    mock.default = behave
    served = start(policy(mock, "budget 1 usd/day hard"), "--data", data)
    with client(served) as c:
        assert list(c.chat.completions.create(model="auto", stream=True, messages=[{"role": "user", "content": "Hi"}]))
    until(lambda: served.metric(r'merit_requests_total\{.*end="answered"\}') == 1)
    gate.set()
    assert not served.metric(r'merit_requests_total\{.*end="gone"\}')
    served.stop()
    (row,) = rows(data)
    assert row["end"] == "answered" and row["took_nusd"] == 20 * 10_000 + 50 * 30_000 and not row["estimated"]


@pytest.mark.threads
def test_killed_in_the_middle_of_streams(start, mock, scratch):
    """kill -9 while answers stream: at the next start what was settled is settled, what was open is taken at its bound."""
    data = scratch / "data"
    text = policy(mock, 'budget 5 usd/month hard as "pot"')
    settled = 0
    open_bounds = 0.0
    for turn in range(3):
        served = start(text, "--data", data)
        if turn:
            assert served.metric(r"merit_budget_left") == pytest.approx(5 - settled / 1e9 - open_bounds, abs=1e-9)
        mock.default = told(usage(20, 100))
        with client(served) as c:
            settled += sum(nano(ask(c).headers["x-merit-cost-usd"]) for _ in range(5))
            before = served.metric(r"merit_budget_left")
            assert before == pytest.approx(5 - settled / 1e9 - open_bounds, abs=1e-9)
            gate = threading.Event()
            mock.default = told(usage(20, 100), gate=gate)
            streams = [iter(c.chat.completions.create(model="auto", stream=True,
                                                      messages=[{"role": "user", "content": "Hi"}]))
                       for _ in range(4)]
            for s in streams:
                next(s)
            held = before - served.metric(r"merit_budget_left")
            assert held >= 4 * 0.03
            open_bounds += held
            served.signal(signal.SIGKILL)
            served.process.wait()
            served.process.returncode = 0  # what it was told to do
            gate.set()
    served = start(text, "--data", data)
    assert served.metric(r"merit_budget_left") == pytest.approx(5 - settled / 1e9 - open_bounds, abs=1e-9)
    served.stop()
    kept = rows(data)
    lost = [r for r in kept if r["end"] == "unconfirmed"]
    assert len(lost) == 12 and all(r["took_nusd"] == r["bound_nusd"] for r in lost)
    assert sum(r["took_nusd"] for r in kept if r["end"] == "answered") == settled
    assert len(kept) == 12 + 15


def test_two_processes_on_one_ledger(start, mock, scratch):
    data = scratch / "data"
    first = start(policy(mock, "budget 1 usd/day hard"), "--data", data)
    second = start(policy(mock, "budget 1 usd/day hard"), "--data", data, wait=False)
    assert second.process.wait(PATIENCE) == 1 and "ledger" in second.errors()
    without = start(policy(mock, ""), "--data", data)  # nothing has to hold over both
    assert "no row is kept" in without.errors()
    for served in (first, without):
        with client(served) as c:
            ask(c)
    first.stop()
    assert len(rows(data)) == 1


def test_the_worked_numbers(start, mock):
    """docs/budgets.md: a bound, a settlement, and how many are borne at once."""
    text = (ROOT / "docs" / "budgets.md").read_text()
    size, bound = re.search(r"\((\d+) \+ 512\) \* 10 \+ 1000 \* 30 = .* = ([0-9.]+) usd", text).groups()
    cost = re.search(r"20 \* 10 \+ 7 \* 30 = .* = ([0-9.]+) usd", text)[1]
    pot, many = re.search(r"a budget of ([0-9.]+) usd bears (\w+) of them at once", text).groups()
    many = {"six": 6, "seven": 7, "eight": 8}[many]
    start_of, end_of = b'{"messages":[{"role":"user","content":"', b'"}]}'
    body = start_of + b"x" * (int(size) - len(start_of) - len(end_of)) + end_of
    assert len(body) == int(size)

    def post(m):
        return m.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    small = start(policy(mock, f"budget {float(bound) - 0.00001:.5f} usd/day hard"))
    status, _, answer = post(small)
    assert status == 402 and json.loads(answer)["error"]["budget"]["needed"] == float(bound)
    served = start(policy(mock, f"budget {pot} usd/day hard"))
    gate = threading.Event()
    mock.default = told(usage(20, 7), gate=gate)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(post, served) for _ in range(12)]
        try:
            until(lambda: sum(c.done() for c in calls) >= 12 - many and len(mock.requests) >= many)
        finally:
            gate.set()
        answers = [c.result() for c in calls]
    assert sorted(a[0] for a in answers) == [200] * many + [402] * (12 - many)
    assert {a[1]["x-merit-cost-usd"] for a in answers if a[0] == 200} == {cost}
