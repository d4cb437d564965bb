"""Running it: policies and their mistakes, reload, drain, keys, doors, metrics, decisions, aliases, pass-through."""
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import mock_upstream as up
from conftest import MERIT, PATIENCE, SLOW, free_port, policy_text, until
from mock_upstream import Mock


def merit(scratch, *args, check=False, env=None, stdin=None):
    full = {"PATH": os.environ["PATH"], "HOME": str(scratch), "LANG": "C.UTF-8", **(env or {})}
    return subprocess.run([str(MERIT), *map(str, args)], cwd=scratch, env=full, capture_output=True, text=True,
                          timeout=60 * SLOW, check=check, input=stdin)


# ---- policies

@pytest.mark.smoke
def test_demo_needs_nothing(start):
    m = start(None, "--demo-pace", "0")
    code, headers, body = m.chat("Write a haiku about snow.")
    assert code == 200 and "simulated" in body.decode().lower()
    assert headers["x-merit-model"] and headers["x-merit-route"]
    code, _, body = m.chat("Write a haiku about snow.", stream=True)
    assert code == 200 and body.rstrip().endswith(b"data: [DONE]")


def test_demo_routes_differ(start):
    m = start(None, "--demo-pace", "0")
    texts = ["hi", "Prove by induction that the sum of the first n odd numbers is n squared. Explain each step. " * 8,
             "```c\nint main(void) { return *(int *)0; }\n```\nWhy does this C code crash? Fix the bug.",
             "Translate 'good morning' into French."]
    assert len({m.chat(t)[1]["x-merit-route"] for t in texts}) >= 2


def test_policy_of_ten_megabytes(start, scratch):
    m = start(b"# " + b"x" * (10 << 20) + b"\n" + policy_text({"small": "http://127.0.0.1:9/v1"}).encode(), wait=False)
    assert m.process.wait(PATIENCE) in (1, 2)
    errors = m.errors()
    assert re.search(r"limit|large|at most|long|over ", errors) and len(errors) < 20_000


def test_policy_with_two_hundred_errors(start, scratch):
    text = policy_text({"small": "http://127.0.0.1:9/v1"})
    text += "".join(f"route r{i} when nothing{i} > 3 -> answer(nobody{i})\n" for i in range(200))
    m = start(text, wait=False)
    assert m.process.wait(PATIENCE) == 1
    errors = m.errors()
    assert errors.count("error") >= 100 and len(errors) < 500_000
    assert re.search(r"policy\.merit:\d+", errors)


BAD_POLICIES = {"empty": "", "binary": bytes(range(256)) * 50, "no otherwise": 'policy "x" version 1\nzone local\n',
                "not utf-8": b'policy "\xff" version 1\n', "open string": 'policy "x version 1\n',
                "deep": 'policy "x" version 1\nzone local\nroute r when ' + "(" * 5000 + "\n", "NUL": b'policy "x\0" version 1\n'}


@pytest.mark.parametrize("name", BAD_POLICIES)
def test_bad_policy_does_not_start(start, name):
    m = start(BAD_POLICIES[name], wait=False)
    assert m.process.wait(PATIENCE) in (1, 2)
    assert len(m.errors()) > 20


def test_policy_that_is_absent(start):
    m = start(None, "/no/such/policy.merit", wait=False)
    assert m.process.wait(PATIENCE) in (1, 2) and "/no/such/policy.merit" in m.errors()


def test_port_in_use(start, mock):
    a = start(policy_text({"small": mock.url}))
    b = start(policy_text({"small": mock.url}), "--listen", f"127.0.0.1:{a.port}", wait=False, listen_flags=False)
    assert b.process.wait(PATIENCE) in (1, 2) and str(a.port) in b.errors()
    assert a.chat()[0] == 200


# ---- reload

def routed_to(m):
    return m.chat()[1].get("x-merit-model")


@pytest.mark.threads
def test_reload_on_hangup(start, mock):
    m = start(policy_text({"small": mock.url}))
    assert routed_to(m) == "small"
    m.policy.write_text(policy_text({"large": mock.url}))
    m.signal(signal.SIGHUP)
    until(lambda: routed_to(m) == "large")


def test_reload_on_change(start, mock):
    m = start(policy_text({"small": mock.url}))
    time.sleep(0.1)
    new = m.policy.with_suffix(".new")
    new.write_text(policy_text({"large": mock.url}))
    new.rename(m.policy)  # as editors and deployments do it
    until(lambda: routed_to(m) == "large", 10)
    m.policy.write_text(policy_text({"third": mock.url}))  # in place
    until(lambda: routed_to(m) == "third", 10)


def test_broken_policy_keeps_the_old_one(start, mock):
    m = start(policy_text({"small": mock.url}))
    before = len(m.errors())
    m.policy.write_text('policy "broken" version\nroute oops\n')
    m.signal(signal.SIGHUP)
    until(lambda: "policy" in m.errors()[before:])
    assert routed_to(m) == "small"
    assert m.metric(r'merit_policy_reloads_total\{result="failed"\}') >= 1
    assert m.request(path="/ready")[0] == 200
    m.policy.write_text(policy_text({"large": mock.url}))
    m.signal(signal.SIGHUP)
    until(lambda: routed_to(m) == "large")


@pytest.mark.threads
def test_reload_under_load_loses_nothing(start, mock):
    mock.default = up.chat("a b c", delay=0.005)
    m = start(policy_text({"small": mock.url}))
    stop, bad, done = threading.Event(), [], [0]

    def work():
        while not stop.is_set():
            code, _, body = m.chat("x", stream=True)
            done[0] += 1
            if code != 200 or not body.rstrip().endswith(b"[DONE]"):
                bad.append((code, body))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for i in range(15):
        m.policy.write_text(policy_text({["small", "large"][i % 2]: mock.url}))
        m.signal(signal.SIGHUP)
        time.sleep(0.1)
    until(lambda: bad or done[0] > 20)
    stop.set()
    for t in threads:
        t.join()
    assert not bad, (bad[:3], done)


# ---- drain

@pytest.mark.threads
def test_no_request_sees_a_mixed_policy(start, mock, scratch):
    """Two policies take turns under load. The log names the policy of each decision; its rules give that outcome."""
    def text(n):
        # The same guards at other places: whoever mixed them would take a route that neither has for this text.
        routes = [f'route a{n} when left -> refuse "left {n}"', f'route b{n} when right -> refuse "right {n}"']
        words = ["left", "right"] if n % 2 else ["right", "left"]
        signals = "".join(f'signal {w} = keywords("{w}hand")\n' for w in words)
        filler = "".join(f'signal f{i} = keywords("word{n}x{i}")\nroute r{i} when f{i} -> refuse "no"\n' for i in range(60))
        return policy_text({"small": mock.url}, more=signals, routes="\n".join(routes[::-1] if n % 2 else routes) + "\n" + filler)
    texts = [text(0), text(1)]
    digests = [hashlib.sha256(t.encode()).hexdigest() for t in texts]
    log = scratch / "decisions.log"
    m = start(texts[0], "--log-decisions", log)
    seen, stop, wrong = {}, threading.Event(), []

    def work(word):
        while not stop.is_set():
            status, headers, body = m.chat(f"the {word}hand side")
            route, said = headers["x-merit-route"], json.loads(body)["error"]["message"]
            letter = {"left": "a", "right": "b"}[word]
            if status != 403 or route[0] != letter or said != f"{word} {route[1:]}":
                wrong.append((status, route, said))
            seen[headers["x-merit-decision"]] = route

    threads = [threading.Thread(target=work, args=(w,)) for w in ("left", "right", "left", "right")]
    for t in threads:
        t.start()
    for n in range(12):
        (scratch / "next").write_text(texts[(n + 1) % 2])
        (scratch / "next").replace(m.policy)
        until(lambda: json.loads(m.admin("/merit/v1/policy")[2])["digest"].startswith(digests[(n + 1) % 2][:12]), 10)
    until(lambda: wrong or len(seen) > 100)
    stop.set()
    for t in threads:
        t.join()
    m.stop()
    assert not wrong
    lines = {d["id"]: d for d in map(json.loads, log.read_text().splitlines())}
    for decision, route in seen.items():
        line = lines[decision]
        n = next(i for i, d in enumerate(digests) if d.startswith(line["policy"]))
        names = [f"b{n}", f"a{n}"] if n % 2 else [f"a{n}", f"b{n}"]
        assert names[line["r"]] == route
    assert {lines[d]["policy"] for d in seen} == {d[:16] for d in digests}


def last_decision(m):
    return json.loads(m.admin("/merit/v1/decisions?n=1")[2])["decisions"][0]["decision"]


def test_what_is_measured_is_used_and_kept(start, mock, scratch):
    data = scratch / "data"
    policy = policy_text({"small": mock.url}, more='signal bad = keywords("forbidden")\nsignal long = structure(words)\n',
                         routes="route bad when bad and long > 2 -> refuse \"no\"")
    m = start(policy, "--data", data)
    m.chat("hello")
    assert last_decision(m)["costs_epoch"] == 0
    for i in range(150):
        m.chat(f"hello {i}")
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and not last_decision(m)["costs_epoch"]:
        time.sleep(0.2)
        m.chat("hello again")
    epoch = last_decision(m)["costs_epoch"]
    assert epoch > 0
    told = json.loads(m.admin("/merit/v1/measured")[2])
    assert told["decisions"] >= 64
    signals = {s["signal"]: s for s in told["signals"]}
    assert signals["bad"]["bought"] >= 64 and signals["bad"]["cost_ns"] > 0
    assert signals["bad"]["atoms"][0]["holds"] < 0.1
    m.stop()
    # The next start knows it at once, also under a policy that was edited.
    m = start(policy.replace('signal long = structure(words)', 'signal long = structure(chars)'), "--data", data)
    m.chat("hello")
    assert last_decision(m)["costs_epoch"] > 0
    assert {s["signal"]: s["bought"] for s in json.loads(m.admin("/merit/v1/measured")[2])["signals"]}["bad"] >= 64
    m.stop()
    # A damaged file is told, and it begins anew.
    file = next((data / "measured").iterdir())
    file.write_bytes(file.read_bytes()[:-3] + b"xyz")
    m = start(policy, "--data", data)
    assert "damaged" in m.errors()
    m.chat("hello")
    assert last_decision(m)["costs_epoch"] == 0


def test_drain_lets_streams_finish(start, mock):
    mock.default = up.chat("one two three four five six seven eight", delay=0.2)
    m = start(policy_text({"small": mock.url}))
    result = []
    t = threading.Thread(target=lambda: result.append(m.chat("x", stream=True)))
    t.start()
    mock.wait(1)
    time.sleep(0.3)
    m.signal(signal.SIGTERM)
    time.sleep(0.3)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", m.port), 2)
    t.join()
    assert result[0][0] == 200 and result[0][2].rstrip().endswith(b"[DONE]")
    assert m.process.wait(PATIENCE) == 0


def test_drain_has_a_limit(start, mock):
    mock.default = up.endless()
    m = start(policy_text({"small": mock.url}), "--timeouts-drain", "1s")
    with socket.create_connection(("127.0.0.1", m.port), 10) as s:
        body = json.dumps({"model": "auto", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        s.recv(1000)
        began = time.monotonic()
        m.signal(signal.SIGTERM)
        assert m.process.wait(PATIENCE) == 0
        assert 0.7 < time.monotonic() - began < 15
        rest = b""
        try:
            while got := s.recv(65536):
                rest += got
        except ConnectionResetError:
            pass
        assert not rest.endswith(b"0\r\n\r\n"), "a broken stream must not end cleanly"
    assert mock.requests[0].gone.wait(20 * SLOW)


def test_interrupt_ends_it(start, mock):
    m = start(policy_text({"small": mock.url}))
    m.signal(signal.SIGINT)
    assert m.process.wait(PATIENCE) == 0


# ---- doors and keys

@pytest.mark.parametrize("flag", ["--listen", "--admin-listen"])
def test_off_loopback_needs_keys(start, mock, flag):
    other = "--admin-listen" if flag == "--listen" else "--listen"
    m = start(policy_text({"small": mock.url}), flag, f"0.0.0.0:{free_port()}", other, f"127.0.0.1:{free_port()}",
              wait=False, listen_flags=False)
    assert m.process.wait(PATIENCE) in (1, 2)
    assert "key" in m.errors()


def make_key(scratch, keys, *more):
    r = merit(scratch, "key", "create", "--keys", keys, *more, "--json")
    if r.returncode != 0:
        raise AssertionError(r.stdout + r.stderr)
    text = json.dumps(json.loads(r.stdout))
    return re.search(r"merit-sk-[0-9A-Za-z]+", text)[0], json.loads(r.stdout)


def test_labels_of_keys(start, mock, scratch):
    """What a key says of all that is sent with it, and what a request may add where its key may steer."""
    keys = scratch / "merit.keys"
    secrets = {
        "plain": make_key(scratch, keys, "--caller", "ann")[0],
        "phi": make_key(scratch, keys, "--caller", "bob", "--label", "phi")[0],
        "steers": make_key(scratch, keys, "--caller", "eve", "--label", "internal",
                           "--scopes", "traffic,route-headers")[0],
    }
    m = start(f"""policy "p" version 1
lattice exposure = public < internal < phi
zone local clears phi
model small  zone local  endpoint "{mock.url}"  context 8k tok
signal data label exposure = max(caller)
route top    when data == phi      -> answer(small)
route middle when data == internal -> answer(small)
otherwise                          -> answer(small)
""", "--keys", keys)
    for key, label, route in [("plain", None, "otherwise"), ("plain", "phi", "otherwise"), ("phi", None, "top"),
                              ("phi", "public", "top"), ("steers", None, "middle"), ("steers", "public", "middle"),
                              ("steers", "phi", "top"), ("steers", "confidential", "top")]:
        headers = {"authorization": f"Bearer {secrets[key]}", **({"x-merit-label": label} if label else {})}
        code, answered, _ = m.chat("hello", headers=headers)
        assert code == 200 and answered["x-merit-route"] == route, (key, label)
    # A header that stands twice, as when somebody in between adds one: both count.
    twice = {"authorization": f"Bearer {secrets['steers']}", "x-merit-label": "public", "X-Merit-Label": "phi"}
    code, answered, _ = m.chat("hello", headers=twice)
    assert code == 200 and answered["x-merit-route"] == "top"


def test_keys(start, mock, scratch):
    keys = scratch / "merit.keys"
    secret, made = make_key(scratch, keys, "--caller", "alice")
    assert secret not in keys.read_text() and keys.stat().st_mode & 0o077 == 0
    m = start(policy_text({"small": mock.url}), "--keys", keys)
    m2 = start(policy_text({"small": mock.url}), "--keys", keys, "--listen", f"0.0.0.0:{(port := free_port())}",
               "--admin-listen", "off", listen_flags=False)
    m2.port = port
    code, headers, body = m2.chat()
    assert code == 401 and json.loads(body)["error"]["code"] == "invalid_api_key"
    assert m2.chat(headers={"Authorization": "Bearer merit-sk-" + "x" * 38})[0] == 401
    assert m2.chat(headers={"Authorization": f"Bearer {secret}"})[0] == 200
    assert m2.request(path="/health")[0] == 200
    assert mock.chats()[-1].header("authorization") is None
    assert secret not in m2.errors() + m2.stdout.read_text()
    # A second key comes into force, a revoked one goes, without a restart.
    second, _ = make_key(scratch, keys, "--caller", "bob")
    until(lambda: m2.chat(headers={"Authorization": f"Bearer {second}"})[0] == 200, 10)
    ids = re.findall(r"\bk-[0-9A-Za-z]+", merit(scratch, "key", "list", "--keys", keys).stdout)
    assert len(set(ids)) == 2
    alice = re.search(r"k-[0-9A-Za-z]+", json.dumps(made))[0]
    assert merit(scratch, "key", "revoke", alice, "--keys", keys).returncode == 0
    until(lambda: m2.chat(headers={"Authorization": f"Bearer {secret}"})[0] == 401, 10)
    assert m2.chat(headers={"Authorization": f"Bearer {second}"})[0] == 200


def test_rate_limit_of_a_key(start, mock, scratch):
    keys = scratch / "merit.keys"
    secret, _ = make_key(scratch, keys, "--caller", "alice", "--rate", "6")
    m = start(policy_text({"small": mock.url}), "--keys", keys)
    answers = [m.chat(headers={"Authorization": f"Bearer {secret}"}) for _ in range(12)]
    limited = [a for a in answers if a[0] == 429]
    assert limited and answers[0][0] == 200
    code, headers, body = limited[0]
    assert int(headers["retry-after"]) >= 1
    e = json.loads(body)["error"]
    assert e["type"] == "rate_limit_error" or e["code"] == "rate_limit_exceeded"


def test_admin_side_checks_its_host(served):
    assert served.admin("/metrics")[0] == 200
    for host in ("evil.example:8781", "127.evil.example", "127.0.0.1.evil.example:8781", "localhost.evil.example", "10.0.0.1"):
        assert served.admin("/metrics", headers={"Host": host})[0] == 403, host
    assert served.admin("/metrics", headers={"Host": "127.1.2.3:8781"})[0] == 200
    code, _, _ = served.admin("/merit/v1/route", "POST", {"messages": [{"role": "user", "content": "x"}]},
                              headers={"Origin": "http://evil.example"})
    assert code in (400, 403)
    assert served.request(path="/metrics")[0] == 404, "the admin side's pages are not on the traffic side"
    assert served.request(path="/merit/v1/decisions")[0] == 404


# ---- metrics, decisions

def test_metrics_please_promtool(served):
    for stream in (False, True):
        served.chat(stream=stream)
    served.chat(model="nobody-knows")
    r = subprocess.run(["promtool", "check", "metrics"], input=served.metrics(), capture_output=True, text=True)
    assert r.returncode == 0, r.stdout + r.stderr
    assert served.metric("merit_decisions_total") >= 2
    for line in served.metrics().splitlines():
        assert "Say hello" not in line


def test_decisions(served):
    _, headers, _ = served.chat("What is the capital of France?")
    id = headers["x-merit-decision"]
    code, h, body = served.admin(f"/merit/v1/decisions/{id}")
    assert code == 200 and h["content-type"].startswith("application/json")
    record = json.loads(body)
    text = json.dumps(record)
    assert id in text and "otherwise" in text and "small" in text
    assert "capital of France" not in text, "prompt text is off by default"
    code, _, body = served.admin("/merit/v1/decisions")
    assert code == 200 and id in body.decode()
    assert served.admin("/merit/v1/decisions/nothing")[0] == 404


def test_route_over_http(served):
    code, _, body = served.admin("/merit/v1/route", "POST", {"model": "auto", "messages": [
        {"role": "user", "content": "Prove it."}]})
    assert code == 200 and "otherwise" in body.decode()
    assert not served.mock.requests, "deciding calls nobody"
    assert served.admin("/merit/v1/route", "POST", b"{")[0] == 400
    assert served.admin("/merit/v1/route")[0] == 405


def test_route_on_the_command_line(scratch):
    (scratch / "p.merit").write_text(policy_text({"small": "http://127.0.0.1:9/v1"}))
    r = merit(scratch, "route", "--policy", "p.merit", "What is two and two?")
    assert r.returncode == 0, r.stderr
    assert "small" in r.stdout and "otherwise" in r.stdout
    r = merit(scratch, "route", "--policy", "p.merit", "--json", "What is two and two?")
    assert r.returncode == 0 and "small" in json.dumps(json.loads(r.stdout))
    request = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "x"}]})
    r = merit(scratch, "route", "--policy", "p.merit", "--json", stdin=request)
    assert r.returncode == 0 and json.loads(r.stdout)


# ---- names

def test_aliases_and_named_models(start, mock):
    m = start(policy_text({"small": mock.url, "large": mock.url},
                          more='alias fast -> model small\nalias "gpt-4o" -> model large\nalias best -> routes\n'))
    assert m.chat(model="fast")[1]["x-merit-model"] == "small"
    assert m.chat(model="gpt-4o")[1]["x-merit-model"] == "large"
    assert m.chat(model="large")[1]["x-merit-model"] == "large"
    assert m.chat(model="best")[1]["x-merit-route"] == "otherwise"
    assert m.chat(model="gpt-5")[0] == 404
    ids = {x["id"] for x in json.loads(m.request(path="/v1/models")[2])["data"]}
    assert {"auto", "fast", "gpt-4o", "best", "small", "large"} <= ids


def test_upstream_sees_its_own_name(start, mock):
    clause = f'zone local endpoint "{mock.url}" as "vendor/Model-7B" context 32k tok output 4k tok'
    m = start(policy_text({"small": clause}))
    m.chat()
    assert mock.chats()[0].json()["model"] == "vendor/Model-7B"


def test_routes_by_signals(start, mock):
    m = start(policy_text({"small": mock.url, "large": mock.url},
                          more='signal proof = keywords("prove", "theorem")\nsignal length = context\n',
                          routes="route hard when proof -> answer(large)\n"
                                 "route long when length > 2k tok -> answer(large)\n"))
    assert m.chat("Please prove the theorem.")[1]["x-merit-route"] == "hard"
    assert m.chat("Good morning.")[1]["x-merit-route"] == "otherwise"
    assert m.chat("many words " * 3000)[1]["x-merit-route"] == "long"


def test_refusal(start, mock):
    m = start(policy_text({"small": mock.url}, more='signal bad = keywords("forbidden")\n',
                          routes='route blocked when bad -> refuse "not here"\n'))
    code, headers, body = m.chat("a forbidden thing")
    assert 400 <= code < 500 and "not here" in body.decode() and not mock.requests
    assert headers["x-merit-route"] == "blocked"
    assert headers.get("x-should-retry") == "false"


def test_what_the_work_needs_limits_the_models(start, mock):
    with Mock() as able:
        plain = f'zone local endpoint "{mock.url}" context 4k tok output 1k tok'
        m = start(policy_text({"plain": plain, "able": able.url}).replace("answer(plain)", "answer(plain, able)"))
        assert m.chat("x")[1]["x-merit-model"] == "plain"
        tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
        assert m.chat("x", tools=tools)[1]["x-merit-model"] == "able"
        assert m.chat("word " * 6000)[1]["x-merit-model"] == "able"


def test_pass_through(start, mock):
    mock.default = up.echo_headers
    m = start(policy_text({"small": mock.url}, more='pass "/v1/embeddings" to small\n'))
    code, headers, body = m.request("POST", "/v1/embeddings", {"model": "x", "input": "hello"},
                                    {"Authorization": "Bearer sk-client"})
    assert code == 200
    seen = json.loads(body)
    assert seen["target"] == "/v1/embeddings" and json.loads(seen["body"]) == {"model": "x", "input": "hello"}
    assert "authorization" not in {n.lower() for n, _ in seen["headers"]}
    assert m.request("POST", "/v1/audio/speech", {"x": 1})[0] == 404


# ---- the other commands

def test_doctor(scratch, start, mock):
    m = start(policy_text({"small": mock.url}))
    r = merit(scratch, "doctor", m.policy)
    assert r.returncode in (0, 1) and len(r.stdout) > 50, r.stderr


@pytest.mark.parametrize("command", ["serve", "route", "policy", "key", "init", "doctor", "version"])
def test_help(scratch, command):
    r = merit(scratch, command, "--help")
    assert r.returncode == 0 and "merit" in r.stdout.lower()


def test_usage_errors(scratch):
    assert merit(scratch, "nonsense").returncode == 2
    assert merit(scratch, "serve", "--no-such-flag").returncode == 2
    assert merit(scratch, "version").returncode == 0
