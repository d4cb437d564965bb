"""A real language model behind Merit: SmolLM2-135M on llama.cpp's server, the one of `make run-llm`."""
import subprocess

import openai
import pytest

from clients import install
from conftest import ROOT, SLOW, free_port, policy_text
from test_clients import run_pi

pytestmark = pytest.mark.clients
pi = pytest.fixture(scope="session")(lambda: install.npm("pi", **{"@mariozechner/pi-coding-agent": "0.73.1"}))


@pytest.fixture(scope="module")
def llm():
    port = free_port()
    r = subprocess.run(["scripts/llm", "start", str(port)], cwd=ROOT, capture_output=True, text=True, timeout=400,
                       stdin=subprocess.DEVNULL)
    assert r.returncode == 0, r.stdout + r.stderr
    yield f"http://127.0.0.1:{port}/v1"
    subprocess.run(["scripts/llm", "stop", str(port)], cwd=ROOT, timeout=30, check=True)


@pytest.fixture
def real(start, llm):
    m = start(policy_text({"smollm": f'zone local endpoint "{llm}" as "smollm2-135m" context 8k tok output 4k tok\n'
                                     "    can tools, logprobs, json, schema  price 0.01 in, 0.02 out usd/Mtok"}))
    with openai.OpenAI(base_url=m.v1, api_key="k", max_retries=0, timeout=120) as c:
        c.served = m
        yield c


ASK = dict(model="auto", messages=[{"role": "user", "content": "Write one short sentence about the sea."}], temperature=0,
           max_tokens=40)


def test_answer(real):
    r = real.chat.completions.create(**ASK)
    assert len(r.choices[0].message.content) > 10
    assert r.usage.prompt_tokens > 5 and 0 < r.usage.completion_tokens <= 40


def test_stream_says_the_same(real):
    whole = real.chat.completions.create(**ASK).choices[0].message.content
    chunks = list(real.chat.completions.create(**ASK, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert all(c.usage is None for c in chunks)
    usage = list(real.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))[-1].usage
    assert usage.completion_tokens > 0


def test_fields_of_the_server_pass(real):
    r = real.chat.completions.create(**ASK, logprobs=True, top_logprobs=2)
    assert len(r.choices[0].logprobs.content) > 0
    r = real.chat.completions.create(**ASK, n=1, stop=["."])
    assert "." not in r.choices[0].message.content


def test_cancel_stops_the_work(real, llm):
    import json
    import time
    import urllib.request
    stream = real.chat.completions.create(**{**ASK, "max_tokens": 1000}, stream=True)
    next(iter(stream))
    stream.close()
    end = time.monotonic() + 20 * SLOW
    while time.monotonic() < end:
        with urllib.request.urlopen(llm.replace("/v1", "/metrics"), timeout=10) as r:
            text = r.read().decode()
        busy = [line for line in text.splitlines() if line.startswith("llamacpp:requests_processing ")]
        if busy and float(busy[0].split()[1]) == 0:
            return
        time.sleep(0.05)
    raise AssertionError("the model went on working for nobody")


def test_pi_against_the_real_model(real, scratch, pi):
    r = run_pi(pi, real.served, scratch, "say hello", seconds=200, check=False)
    assert r.returncode == 0 and len(r.out.strip()) > 0 or "context" in (r.out + r.err), (r.out, r.err)
