"""Encoders behind the server: POST /v1/embeddings with the official OpenAI package, and routing by what a text means.

The vectors are those of a small model made here, with `merit embed` as the oracle; with the real default pack (build/models,
fetched by the unit tests) meaning is tested too.
"""
import json
import math
import os
import pathlib
import threading
import time

import openai
import pytest

import mock_upstream as up
from conftest import ROOT, SLOW, policy_text, sdk, until
from test_budgets import rows
from test_models import HIDDEN, folder, merit

MODELS = pathlib.Path(os.environ.get("MERIT_MODELS", ROOT / "build" / "models"))
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", ROOT / "build" / "cache"))
INTENT = """signal topic = intent(label "pay", like "I want my money back", "the invoice is wrong", "I was charged twice",
                      label "bugs", like "the app crashes when I open it", "it shows an error", otherwise "else")
"""


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.fixture
def small(start, mock, scratch):
    """A server with the small encoder, named "mine"."""
    model = folder(scratch / "models" / "mine")
    m = start(policy_text({"small": mock.url}), "--models-embed", model, "--models-entity", "none",
              "--compute-deadline", "60s")
    m.model, m.mock = model, mock
    return m


@pytest.mark.smoke
@pytest.mark.threads
def test_embeddings(small, tmp_path):
    texts = ["the cat sat", "the cats on the mat", "paris"]
    with sdk(small) as c:
        r = c.embeddings.create(model="mine", input=texts)  # the package asks for base64
        assert r.model == "mine" and r.object == "list"
        assert [d.index for d in r.data] == [0, 1, 2]
        assert r.usage.prompt_tokens == r.usage.total_tokens == 5 + 8 + 3
        for text, d in zip(texts, r.data, strict=True):
            want = [float(x) for x in merit(tmp_path, "embed", "--model", str(small.model), text).stdout.split()]
            assert len(d.embedding) == HIDDEN
            assert max(abs(a - b) for a, b in zip(want, d.embedding, strict=True)) < 1e-5
        floats = c.embeddings.create(model="embed", input=texts[1], encoding_format="float")
        assert max(abs(a - b) for a, b in zip(floats.data[0].embedding, r.data[1].embedding, strict=True)) < 2e-7
        cut = c.embeddings.create(model="mine", input=texts[1], dimensions=16).data[0].embedding
        head = r.data[1].embedding[:16]
        norm = math.sqrt(dot(head, head))
        assert len(cut) == 16 and max(abs(a - b / norm) for a, b in zip(cut, head, strict=True)) < 1e-6
        listed = {m.id: m for m in c.models.list()}
        assert listed["mine"].model_extra["dimensions"] == HIDDEN and "auto" in listed
        assert c.models.retrieve("embed").id == "embed"
    assert small.metric("merit_embedded_texts_total") == 5
    assert small.metric("merit_encoder_remembered_total") == 2
    assert small.metric('merit_requests_total{route="other",end="answered"}') == 3
    assert small.metric("merit_encoder_job_seconds_count") >= 3
    assert small.metric("merit_in_flight") == 0


def test_a_long_text_is_read_to_its_end(small):
    with sdk(small) as c:
        one, other = (c.embeddings.create(model="mine", input="the cat sat on the mat " * 60 + end) for end in ("cat", "paris paris"))
        assert one.usage.prompt_tokens > 360
        assert abs(dot(one.data[0].embedding, one.data[0].embedding) - 1) < 1e-5
        assert dot(one.data[0].embedding, other.data[0].embedding) < 0.999999


@pytest.mark.parametrize("fields, status, code", [
    ({"model": "text-embedding-3-small", "input": "a"}, 404, "model_not_found"),
    ({"model": "mine", "input": ""}, 400, "invalid_input"),
    ({"model": "mine", "input": "  \n "}, 400, "invalid_input"),
    ({"model": "mine", "input": [1, 2, 3]}, 400, "token_input_unsupported"),
    ({"model": "mine", "input": ["a"] * 2049}, 400, "too_many_inputs"),
    ({"model": "mine", "input": "a" * 140000}, 400, "context_length_exceeded"),
    ({"model": "mine", "input": "a", "dimensions": HIDDEN + 1}, 400, "invalid_dimensions"),
])
def test_refusals_have_names(small, fields, status, code):
    with sdk(small) as c, pytest.raises(openai.APIStatusError) as e:
        c.embeddings.create(**fields)
    assert e.value.status_code == status and e.value.code == code, e.value.body
    s, _, _ = small.request("GET", "/v1/embeddings")
    assert s == 405


@pytest.mark.threads
def test_many_at_once_and_a_reload(small):
    """Batches of several clients, one of which leaves, while the policy is reloaded and requests are routed."""
    problems = []

    def embed(k):
        with sdk(small) as c:
            for n in range(3):
                r = c.embeddings.create(model="embed", input=[f"the cat {'sat ' * (i % 7)}{k} {n}" for i in range(50)])
                if len(r.data) != 50:
                    problems.append(len(r.data))

    threads = [threading.Thread(target=embed, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    gone = json.dumps({"model": "embed", "input": ["the mat " * 400] * 200})
    small.raw(f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: {len(gone)}\r\n\r\n{gone}".encode(), timeout=0.2,
              read=False)
    small.policy.write_text(policy_text({"small": small.mock.url}, more="signal s = keywords(\"x\")"))
    assert small.chat()[0] == 200
    for t in threads:
        t.join(60 * SLOW)
    assert not problems and not any(t.is_alive() for t in threads)
    until(lambda: small.metric("merit_in_flight") == 0, 20)


def test_without_a_model_it_says_how_to_get_one(start, mock):
    m = start(policy_text({"small": mock.url}, more=INTENT, routes='route pay when topic == "pay" -> answer(small)'))
    assert "merit model pull all-minilm-l6-v2" in m.errors()
    assert m.chat("I was charged twice")[1]["x-merit-route"] == "pay"  # n-grams know the example
    status, _, body = m.request("POST", "/v1/embeddings", {"model": "embed", "input": "a"})
    assert status == 404 and "merit model pull" in body.decode()
    assert "embed" not in m.request("GET", "/v1/models")[2].decode()


def test_another_model_is_passed_on(small):
    small.mock.default = lambda conn, r: up.answer(conn, {"object": "list", "data": [], "model": "theirs"})
    small.policy.write_text(policy_text({"small": small.mock.url}, more='pass "/v1/embeddings" to small'))
    until(lambda: small.request("POST", "/v1/embeddings", {"model": "theirs", "input": "a"})[0] != 404, 10)
    sent = [r for r in small.mock.requests if r.target.endswith("/embeddings")]
    assert sent and sent[-1].json() == {"model": "theirs", "input": "a"}
    assert small.request("POST", "/v1/embeddings", {"model": "mine", "input": "paris"})[0] == 200


@pytest.fixture
def real(start, mock):
    name = "all-minilm-l6-v2"
    if not (MODELS / name / "config.json").exists():
        pytest.skip(f"the model {name} is not in {MODELS} (`merit model pull {name}`)")
    m = start(policy_text({"small": mock.url, "big": mock.url}, more=INTENT,
                          routes='route pay when topic == "pay" -> answer(big)\n'),
              "--models-entity", "none", "--compute-deadline", "60s", wait=False,
              env={"MERIT_MODELS": str(MODELS), "XDG_CACHE_HOME": str(CACHE)})
    until(lambda: "ready" in m.errors(), 120)  # a first start packs the model
    return m


def test_routed_by_what_it_means(real):
    """None of these words stands in an example."""
    with sdk(real) as c:
        def route(text):
            r = c.chat.completions.with_raw_response.create(model="auto", messages=[{"role": "user", "content": text}])
            return r.headers["x-merit-route"]
        assert route("my card was billed two times, please give me a reimbursement") == "pay"
        assert route("what is a good recipe for pancakes?") == "otherwise"
        near, far, base = (d.embedding for d in c.embeddings.create(model="all-minilm-l6-v2", input=[
            "A cat is sleeping on the sofa.", "Interest rates rose by a quarter point.", "The kitten naps on a couch."]).data)
        assert dot(base, near) > 0.5 > 0.2 > dot(base, far)
    why = real.admin("/merit/v1/route", "POST", {"messages": [{"role": "user", "content": "my card was billed two times"}]})
    assert why[0] == 200 and "all-minilm-l6-v2" in why[2].decode(), why[2][-2000:]


def test_what_is_embedded_here_draws_on_budgets(start, mock, scratch):
    """Tokens, requests and joules of Merit's own encoder; it costs no dollars, and every request has its row."""
    model = folder(scratch / "models" / "mine")
    base = ("budget 40 requests/hour hard\nbudget 120 tok/day hard as \"words\"\nbudget 1000 kJ/day hard\n"
            "budget 0.001 usd/day hard\n")
    small = f'zone local endpoint "{mock.url}" context 32k tok output 4k tok price 1 in, 1 out usd/Mtok energy 1 in, 1 out kJ/Mtok'
    m = start(policy_text({"small": small}, more=base), "--models-embed", model, "--models-entity", "none",
              "--compute-deadline", "60s", "--data", scratch / "data")
    until(lambda: time.time() % 3600 < 3580, 30)
    with sdk(m) as c:
        used = 0
        for n in range(30):
            try:
                r = c.embeddings.with_raw_response.create(model="mine", input=f"the cat sat {n}")
            except openai.APIStatusError as e:
                assert e.status_code == 402 and e.code == "budget_exceeded"
                assert e.body["budget"]["name"] == "words" and e.body["budget"]["unit"] == "tok"
                break
            used += r.parse().usage.prompt_tokens
            assert r.headers["x-merit-cost-usd"] == "0" and float(r.headers["x-merit-energy-j"]) >= 0
        assert n > 3 and used <= 120
        with pytest.raises(openai.APIStatusError):
            c.embeddings.create(model="mine", input=["  \n "])
    assert m.metric(r'merit_budget_left\{.*budget="words"') == 120 - used
    assert m.metric("merit_in_flight") == 0
    m.stop()
    kept = [r for r in rows(scratch / "data") if r["model"] == "mine"]
    assert sum(r["input_tok"] for r in kept) == used and kept[0]["took_uj"] >= 0
    assert [r["end"] for r in kept].count("failed") == 0 or len(kept) > n
