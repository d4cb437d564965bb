"""`merit sim endpoint --engine ...` over its socket: queueing, batching, caches, adapters, failures, and the metrics that a
gateway scrapes; and `merit sim fleet` with what it refuses."""
import concurrent.futures
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from conftest import MERIT, SLOW, free_port, until

LONG = "The quick brown fox jumps over the lazy dog. " * 100  # 4,500 bytes, 1,125 tokens


class Endpoint:
    def __init__(self, *flags):
        self.port = free_port()
        env = {k: v for k, v in os.environ.items() if k == "PATH" or k.endswith("SAN_OPTIONS")}
        self.process = subprocess.Popen([MERIT, "sim", "endpoint", "--port", str(self.port), *map(str, flags)], env=env,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(self.ready, 10)

    def ready(self):
        assert self.process.poll() is None, self.process.stderr.read()
        try:
            return self.get("/health").status == 200
        except OSError:
            return False

    def open(self, request):
        return urllib.request.urlopen(request, timeout=20 * SLOW)

    def get(self, path):
        return self.open(f"http://127.0.0.1:{self.port}{path}")

    def post(self, path, body, **headers):
        return self.open(urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(),
                                                {"Content-Type": "application/json", **headers}))

    def chat(self, text="Say hello.", model="m", headers=None, **fields):
        with self.post("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": text}], **fields},
                       **(headers or {})) as r:
            return r, json.loads(r.read()) if not fields.get("stream") else r.read().decode()

    def metrics(self):
        text = self.get("/metrics").read().decode()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                if line and line[0] != "#"}

    def metric(self, name):
        found = [v for k, v in self.metrics().items() if re.match(name + r"(\{|$)", k)]
        assert len(found) == 1, (name, found)
        return found[0]

    def state(self):
        return json.loads(self.get("/sim/state").read())

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=10 * SLOW)


@pytest.fixture
def endpoint():
    made = []

    def begin(*flags):
        made.append(Endpoint(*flags))
        return made[-1]
    yield begin
    for e in made:
        e.stop()


def status_of(call):
    try:
        call()
    except urllib.error.HTTPError as e:
        return e.code, dict(e.headers), json.loads(e.read())
    raise AssertionError("it was answered")


def test_a_prompt_is_cached_and_usage_says_so(endpoint):
    e = endpoint("--engine", "vllm", "--model", "m", "--time-factor", 20)
    first = e.chat(LONG)[1]["usage"]
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    again = e.chat(LONG)[1]["usage"]
    cached = again["prompt_tokens_details"]["cached_tokens"]
    assert again["prompt_tokens"] - 32 <= cached < again["prompt_tokens"]
    # What the answer said is there for the next turn as well.
    said = e.chat(LONG)[1]["choices"][0]["message"]["content"]
    with e.post("/v1/chat/completions", {"model": "m", "messages": [
            {"role": "user", "content": LONG}, {"role": "assistant", "content": said},
            {"role": "user", "content": "And now?"}]}) as r:
        assert json.loads(r.read())["usage"]["prompt_tokens_details"]["cached_tokens"] > cached
    # Another salt shares nothing.
    assert e.chat(LONG, cache_salt="other")[1]["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert e.metric("vllm:prefix_cache_hits_total") == e.state()["prefix_found_tokens"] > 0
    off = endpoint("--engine", "vllm", "--model", "m", "--enable-kvcache", "off", "--time-factor", 20)
    assert [off.chat(LONG)[1]["usage"]["prompt_tokens_details"]["cached_tokens"] for _ in range(2)] == [0, 0]


def test_requests_queue_and_are_refused_beyond(endpoint):
    e = endpoint("--engine", "vllm", "--model", "m", "--max-num-seqs", 2, "--max-waiting-queue-length", 2,
                 "--time-to-first-token", 200, "--inter-token-latency", 20, "--full-status", 503)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(e.chat, f"[[sim: tokens=100]] number {i}") for i in range(4)]
        until(lambda: (e.metric("vllm:num_requests_waiting"), e.metric("vllm:num_requests_running")) == (2, 2), 5)
        code, headers, body = status_of(e.chat)
        assert (code, body["error"]["code"]) == (503, "queue_full") and headers["retry-after"] == "1"
        assert all(c.result()[1]["usage"]["completion_tokens"] == 100 for c in calls)
    s = e.state()
    assert (s["running"], s["waiting"], s["finished"], s["refused"]) == (0, 0, 4, 1)
    assert s["blocks_free"] == s["blocks"]
    assert e.metric("vllm:time_to_first_token_seconds_count") == 4
    assert e.metric("vllm:time_to_first_token_seconds_sum") > 4 * 0.2


def test_streams_come_token_by_token(endpoint):
    e = endpoint("--engine", "vllm", "--model", "m", "--time-to-first-token", 300, "--inter-token-latency", 50)
    began = time.monotonic()
    with e.post("/v1/chat/completions", {"model": "m", "stream": True, "stream_options": {"include_usage": True},
                                         "messages": [{"role": "user", "content": "[[sim: tokens=10]]"}]}) as r:
        times = [time.monotonic() - began for line in r if b'"content":"' in line and b'"content":""' not in line]
    assert len(times) == 10 and times[0] >= 0.3
    assert times[-1] - times[0] >= 8 * 0.05
    # Directives about a stream's end still work.
    with pytest.raises(Exception):
        e.chat("[[sim: cut after=3 tokens=10]]", stream=True)
    assert "[DONE]" not in e.chat("[[sim: no-done tokens=5]]", stream=True)[1]
    assert status_of(lambda: e.chat("[[sim: status=429 retry-after=7]]"))[1]["retry-after"] == "7"


def test_each_engine_has_its_own_metric_names(endpoint):
    for kind, names in (("vllm", ["vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"]),
                        ("sglang", ["sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage"]),
                        ("llamacpp", ["llamacpp:requests_processing", "llamacpp:requests_deferred"]),
                        ("tgi", ["tgi_queue_size", "tgi_batch_current_size"])):
        e = endpoint("--engine", kind, "--model", "m", "--fake-metrics",
                     '{"running-requests": 5, "waiting-requests": 2, "kv-cache-usage": 0.25}')
        values = sorted(e.metric(n) for n in names)
        assert values == ([0.25, 2, 5] if len(names) == 3 else [2, 5]), kind
        text = e.get("/metrics").read().decode()
        declared = set(re.findall(r"^# TYPE (\S+) \S+$", text, re.M))
        used = {re.sub(r"_(bucket|sum|count)$", "", m) if re.sub(r"_(bucket|sum|count)$", "", m) in declared else m
                for m in re.findall(r"^([a-z][\w:]*)", text, re.M)}
        assert used <= declared


def test_load_is_reported_with_the_answer(endpoint):
    e = endpoint("--engine", "vllm", "--model", "m", "--time-factor", 20)
    r, _ = e.chat(headers={"endpoint-load-metrics-format": "JSON"})
    told = r.headers["endpoint-load-metrics"]
    assert told.startswith("JSON ") and "kv_cache_usage_perc" in json.loads(told[5:])["named_metrics"]
    assert e.chat(headers={"endpoint-load-metrics-format": "TEXT"})[0].headers["endpoint-load-metrics"].startswith("TEXT ")
    assert e.chat()[0].headers["endpoint-load-metrics"] is None


def test_adapters_are_loaded_and_shown(endpoint):
    e = endpoint("--engine", "vllm", "--model", "m", "--lora-modules", "one,two", "--max-loras", 1, "--lora-load", 30,
                 "--time-factor", 5)
    for name in ("one", "two", "one"):
        assert e.chat(model=name)[1]["model"] == name
    assert e.state()["adapter_loads"] == 3
    assert [m for m in e.metrics() if m.startswith('vllm:lora_requests_info{max_lora="1"')]
    e.post("/v1/load_lora_adapter", {"lora_name": "three", "lora_path": "x"}).read()
    listed = [m["id"] for m in json.loads(e.get("/v1/models").read())["data"]]
    assert listed == ["m", "one", "two", "three"]
    e.post("/v1/unload_lora_adapter", {"lora_name": "three"}).read()
    assert status_of(lambda: e.chat(model="three"))[0] == 404
    assert status_of(lambda: e.post("/v1/load_lora_adapter", {"lora_name": "one"}))[0] == 400


def test_failures_are_injected_at_the_rate_asked_for(endpoint):
    e = endpoint("--engine", "vllm", "--model", "m", "--time-factor", 1000, "--failure-injection-rate", 50,
                 "--failure-types", "rate_limit,server_error,context_length", "--seed", 3)
    codes = []
    for i in range(100):
        try:
            e.chat(f"number {i}")
            codes.append(200)
        except urllib.error.HTTPError as error:
            codes.append(error.code)
    assert {200, 429, 500, 400} == set(codes)
    assert 30 <= codes.count(200) <= 70
    always = endpoint("--engine", "vllm", "--model", "m", "--failure-injection-rate", 100, "--failure-types", "break")
    with pytest.raises(OSError):
        always.chat()


def test_a_restart_loses_what_runs_and_lives_are_written_down(endpoint, tmp_path):
    lives = tmp_path / "lives.jsonl"
    e = endpoint("--engine", "vllm", "--model", "m", "--lives", lives)
    e.chat(LONG, max_tokens=5)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(e.chat, "[[sim: tokens=3000]]")
        until(lambda: e.state()["running"] == 1, 5)
        e.post("/sim/restart", {"down_ms": 1500}).read()
        with pytest.raises(Exception):
            running.result(20 * SLOW)
    with pytest.raises(OSError):
        e.get("/health")
    until(lambda: e.ready(), 5)
    assert e.chat(LONG, max_tokens=5)[1]["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert (e.state()["lost"], e.state()["restarts"]) == (1, 1)
    e.stop()
    said = [json.loads(line) for line in lives.read_text().splitlines()]
    assert [s["is"] for s in said if s["is"] != "alive"] == ["up", "down", "up", "down"]
    assert all(a["us"] <= b["us"] for a, b in zip(said, said[1:])) and {s["port"] for s in said} == {e.port}


def test_echo_says_what_was_said(endpoint):
    e = endpoint("--engine", "vllm", "--model", "m", "--mode", "echo", "--time-factor", 100)
    assert e.chat("What you say")[1]["choices"][0]["message"]["content"] == "What you say"


@pytest.mark.parametrize("flags", [["--engine", "other"], ["--engine", "vllm", "--time-factor", "0"],
                                   ["--engine", "vllm", "--failure-types", "nonsense"],
                                   ["--engine", "vllm", "--kv-blocks", "0"], ["--engine", "vllm", "--block-size", "24"],
                                   ["--engine", "vllm", "--profile", "x"], ["--engine", "vllm", "--fake-metrics", "{"],
                                   ["--engine", "vllm", "--max-num-seqs", "1e9"], ["--engine", "vllm", "--mode", "sing"]])
def test_options_that_make_no_engine_are_refused(flags):
    r = subprocess.run([MERIT, "sim", "endpoint", "--port", "0", *flags], capture_output=True, text=True,
                       timeout=20 * SLOW)
    assert r.returncode == 2 and "merit sim endpoint:" in r.stderr and "--help" in r.stderr


# ---- The fleet

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLEET = os.path.join(ROOT, "bench", "constants", "fleet-a.json")


def fleet(*args):
    return subprocess.run([MERIT, "sim", "fleet", *map(str, args)], capture_output=True, text=True, timeout=120 * SLOW)


@pytest.fixture
def trace(tmp_path):
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    rows += [f"2023-11-16 18:{i // 60 % 60:02}:{i % 60:02}.5000000,{200 + i * 37 % 3000},{10 + i * 13 % 200}" for i in range(600)]
    path = tmp_path / "trace.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_fleet_plays_a_trace_the_same_each_time(trace):
    args = ("--constants", FLEET, "--trace", trace, "--seconds", 20, "--place", "merit,rr,lr,p2c,oracle,warm,home,blind", "--json")
    one, two = fleet(*args), fleet(*args)
    assert one.returncode == 0, one.stderr
    assert one.stdout == two.stdout
    runs = [json.loads(line) for line in one.stdout.splitlines()]
    assert [r["place"] for r in runs] == args[7].split(",")
    for r in runs:
        assert r["failed"] == 0 and sum(r["placed"]) == r["requests"] > 100
        assert r["prefill_tokens"] + r["cached_tokens"] >= r["prompt_tokens"]
    assert fleet(*args, "--seed", 2).stdout != one.stdout


@pytest.mark.parametrize("text,said", [
    ("{", "JSON"), ("{}", "profiles"), ('{"profiles": {"a": {"weights": 3}}}', "no such constant"),
    ('{"profiles": {"a": {"blocks": -1}}}', "number"), ('{"profiles": {"a": {}}, "fleet": [{"profile": "b", "replicas": 1}]}', "no such"),
    ('{"profiles": {"a": {}}, "fleet": [{"profile": "a", "replicas": 65}]}', "too many"), ('{"profiles": {"a": {}}}', "no fleet")])
def test_constants_that_are_none_are_told(tmp_path, trace, text, said):
    path = tmp_path / "c.json"
    path.write_text(text)
    r = fleet("--constants", path, "--trace", trace)
    assert r.returncode == 2 and said in r.stderr


@pytest.mark.parametrize("text", ["", "nothing\n", "2023-11-16 18:00:00,12\n", '{"timestamp": -1}\n', "\0\0\0"])
def test_traces_that_are_none_are_told(tmp_path, text):
    path = tmp_path / "t"
    path.write_text(text)
    r = fleet("--constants", FLEET, "--trace", path)
    assert r.returncode == 2 and str(path) in r.stderr
    assert fleet("--constants", FLEET, "--trace", tmp_path / "absent").returncode == 2
