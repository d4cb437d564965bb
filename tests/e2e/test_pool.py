"""The live pool on real sockets: metrics that lie, endpoints that die and come back, lists that change under load, drains,
and edits by hand."""
import json
import threading
import time

import pytest

import mock_upstream as up
from conftest import MERIT, SLOW, free_port, run_program, until
from mock_upstream import Mock

QUICK = ["--pool-scrape", "100ms", "--pool-check", "100ms", "--pool-judge", "1s", "--upstream-connect", "500ms"]

VLLM = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="small"} %d
vllm:num_requests_waiting{engine="0",model_name="small"} %d
vllm:kv_cache_usage_perc{engine="0",model_name="small"} %s
vllm:prompt_tokens_total{engine="0",model_name="small"} %d
vllm:cache_config_info{block_size="16",num_gpu_blocks="1000"} 1
"""


def policy(endpoints, more="", last=""):
    return ('policy "pool" version 1\nzone local\n'
            f"model small zone local endpoint {endpoints}\n    context 32k tok output 4k tok price 0.5 in, 1.5 out usd/Mtok\n"
            f"{more}\notherwise -> answer(small) {last}\n")


def metrics(page, status="200 OK", content_type="text/plain"):
    """Answers chats as a model, GET /metrics with `page` (text, or a behaviour), GET /health with 200."""
    chat = up.chat()

    def behave(conn, r):
        if r.target == "/metrics":
            got = page() if callable(page) else page
            if callable(got):
                return got(conn, r)
            body = got.encode()
            conn.send(f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            return True
        if r.target == "/health":
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return True
        return chat(conn, r)
    return behave


def places(m, model="small"):
    status, _, body = m.admin("/merit/v1/pool")
    assert status == 200
    found = [x for x in json.loads(body)["models"] if x["name"] == model][0]
    return {p["url"]: p for p in found["places"]}


def place(m, url):
    return places(m)[url]


def test_metrics_are_read(start):
    with Mock(metrics(VLLM % (7, 3, "0.25", 1000))) as a:
        m = start(policy(f'"{a.url}" engine vllm'), *QUICK)
        p = until(lambda: (lambda p: p if not p["stale"] else None)(place(m, a.url)))
        assert (p["running"], p["queue"], p["kv_use"], p["kv_tok"], p["metrics"]) == (7, 3, 0.25, 16000, "")
        assert m.chat()[0] == 200


def gigabyte(conn, r):
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000000000\r\n\r\n")
    for _ in range(2000):
        conn.send(b"# a line of nothing much at all, again and again and again\n" * 1000)
    return False


def drip(conn, r):
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    for _ in range(200):
        conn.send(b"v")
        conn.sleep(0.1)
    return False


@pytest.mark.parametrize("page, why", [
    ("<!DOCTYPE html><html></html>", "web page"),
    ("vllm:num_requests_waiting NaN\n", "cannot be"),
    ("vllm:num_requests_waiting -3\n", "cannot be"),
    ("vllm:num_requests_waiting +Inf\n", "cannot be"),
    ('{"queue": 3}', "Prometheus"),
    ("up 1\n", "none of the engine's"),
    (lambda: gigabyte, "8 MiB"),
    (lambda: drip, "in time"),
    (lambda: up.reset_at_once, "cannot be reached"),
    (lambda: up.error(404), "another status"),
], ids=["html", "nan", "negative", "infinite", "json", "nothing", "gigabyte", "drip", "reset", "404"])
def test_metrics_that_lie(start, page, why):
    bad = [False]

    def turn():
        if not bad[0]:
            return VLLM % (1, 2, "0.5", 10)
        return page() if callable(page) else page

    with Mock(metrics(turn)) as a:
        m = start(policy(f'"{a.url}" engine vllm'), *QUICK)
        until(lambda: not place(m, a.url)["stale"])
        bad[0] = True
        # Too old is not known, and never zero.
        p = until(lambda: (lambda p: p if p["stale"] else None)(place(m, a.url)), 12)
        assert p["queue"] is None and p["running"] is None and p["kv_use"] is None
        until(lambda: why in place(m, a.url)["metrics"])
        time.sleep(0.5)
        told = m.errors()  # once, however often it is read; on a busy machine a scrape may have been late before
        assert told.count("its metrics do not count") == 1 + told.count("its metrics count again")
        assert m.chat()[0] == 200  # and nobody else minds
        bad[0] = False
        until(lambda: not place(m, a.url)["stale"], 12)
        assert "its metrics count again" in m.errors()


def test_a_restart_is_seen(start):
    done = [5000]
    with Mock(metrics(lambda: VLLM % (1, 0, "0.5", done[0]))) as a:
        m = start(policy(f'"{a.url}" engine vllm'), *QUICK)
        until(lambda: not place(m, a.url)["stale"])
        assert place(m, a.url)["restarts"] == 0
        done[0] = 12
        until(lambda: place(m, a.url)["restarts"] == 1)
        assert "it was started again" in m.errors()


def test_what_answers_say_of_their_load(start):
    with Mock(up.chat(headers={"endpoint-load-metrics": 'JSON {"named_metrics":{"kv_cache_usage_perc":0.75,"num_requests_waiting":4}}'})) as a:
        m = start(policy(f'"{a.url}"'), *QUICK)
        assert place(m, a.url)["stale"]

        def told():
            assert m.chat()[0] == 200
            p = place(m, a.url)
            return not p["stale"] and p["kv_use"] == 0.75 and p["queue"] == 4
        until(told)
        until(lambda: place(m, a.url)["stale"], 5)


def test_the_state_is_shared_by_all_loops(start):
    """Three failures put an endpoint out for every loop: it is not asked three times by each."""
    with Mock(up.close_at_once) as bad, Mock() as good:
        m = start(policy(f'"{bad.url}", "{good.url}"'), "--threads", "4", *QUICK)
        for _ in range(60):
            assert m.chat()[0] == 200
        p = place(m, bad.url)
        assert 1 <= len(bad.chats()) <= 3 + p["ejections"]  # a trial each time that it is out
        assert p["state"] in ("out", "trying") and p["why"] in ("failures", "trial")


def test_an_endpoint_dies_and_comes_back(start):
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    with Mock() as good:
        m = start(policy(f'"{url}" health "/health", "{good.url}"'), *QUICK)
        def by_hand(what):
            assert m.admin(f"/merit/v1/pool/{what}", method="POST", body=json.dumps({"url": good.url}).encode())[0] == 200
        by_hand("drain")
        # Not the same request each time: one that fails again and again is not sent on.
        until(lambda: m.chat(f"Say {time.monotonic()}.")[0] >= 500 and place(m, url)["state"] == "out")
        by_hand("resume")
        until(lambda: "out of service (failures)" in m.errors())
        # It is checked while it is out; nobody's request is.
        before = place(m, url)["calls"]
        for _ in range(20):
            assert m.chat()[0] == 200
        assert place(m, url)["calls"] == before
        with Mock(metrics(""), keep_alive=False, port=port):
            # Its health is good, so its trial need not wait for the end of its time; then it serves, when it has to.
            until(lambda: place(m, url)["state"] == "up")
            by_hand("drain")
            until(lambda: m.chat()[0] == 200 and place(m, url)["calls"] > before)
            assert place(m, url)["state"] == "up"


def test_an_idle_endpoint_that_hangs_is_found_out(start):
    with Mock(up.hang) as a, Mock() as b:
        m = start(policy(f'"{a.url}" health "/health", "{b.url}"'), *QUICK, "--pool-idle", "150ms")
        until(lambda: place(m, a.url)["state"] == "out", 15)
        assert place(m, a.url)["why"] == "health check" and not a.chats()
        assert place(m, b.url)["state"] == "up"


def test_a_busy_endpoint_that_hangs_is_found_out(start):
    """It takes requests as ever, and clients give up and come again: it is never idle, and none of its calls fails."""
    with Mock(metrics(VLLM % (0, 0, 0.1, 9))) as a, Mock(metrics(VLLM % (0, 0, 0.1, 9))) as b:
        m = start(policy(f'"{a.url}" engine vllm, "{b.url}" engine vllm'), *QUICK, "--pool-idle", "400ms")
        stop, codes = threading.Event(), []

        def client(i):
            n = 0
            while not stop.is_set():
                n += 1
                try:
                    codes.append(m.request("POST", "/v1/chat/completions", {"model": "auto", "messages": [
                        {"role": "user", "content": f"{i} {n}"}]}, timeout=0.3)[0])
                except TimeoutError:
                    codes.append(None)

        threads = [threading.Thread(target=client, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        try:
            until(lambda: len(a.chats()) > 20 and len(b.chats()) > 20)
            assert set(codes) == {200}
            a.default = up.hang
            until(lambda: place(m, a.url)["state"] == "out", 15)
            assert place(m, a.url)["why"] == "health check" and place(m, b.url)["state"] == "up"
            time.sleep(0.5 * SLOW)
            before = len(codes)
            until(lambda: len(codes) > before + 20)
            assert set(codes[before:]) == {200}
            a.default = metrics(VLLM % (0, 0, 0.1, 9))
            until(lambda: place(m, a.url)["state"] == "up", 15)
        finally:
            stop.set()
            for t in threads:
                t.join()


def test_one_that_fails_more_than_the_others(start):
    """Every other answer is an error: never three in a row, and yet it goes."""
    turn = [0]

    def half(conn, r):
        turn[0] += 1
        return (up.error(500) if turn[0] % 2 else up.chat())(conn, r)

    with Mock(half) as a, Mock() as b, Mock() as c:
        m = start(policy(f'"{a.url}", "{b.url}", "{c.url}"'), *QUICK)

        def tried():
            for _ in range(10):
                assert m.chat()[0] == 200
            return place(m, a.url)["ejections"] > 0
        until(tried, 20, 0)
        assert place(m, a.url)["why"] in ("error share", "trial", "failures", "")


def test_retry_after_is_kept(start):
    with Mock(up.error(429, headers={"Retry-After": "3"})) as a, Mock() as b:
        m = start(policy(f'"{a.url}", "{b.url}"'), *QUICK)
        until(lambda: m.chat()[0] == 200 and a.chats())
        n, began = len(a.chats()), a.chats()[-1].at
        assert place(m, a.url)["state"] == "limited" and place(m, a.url)["ejections"] == 0
        for _ in range(20):
            assert m.chat()[0] == 200
        assert all(r.at - began > 2.9 for r in a.chats()[n:])
        until(lambda: place(m, a.url)["state"] == "up", 5)
        assert time.monotonic() - began > 2.9


def http_date(seconds, jump=0):
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + seconds + jump))


@pytest.mark.parametrize("jump", [0, 86400, -86400])
def test_retry_after_as_a_date(start, jump):
    """By the upstream's own clock, which may be a day off."""
    def busy(conn, r):
        return up.error(503, headers={"Retry-After": http_date(3, jump), "Date": http_date(0, jump)})(conn, r)
    with Mock(busy) as a, Mock() as b:
        m = start(policy(f'"{a.url}", "{b.url}"'), *QUICK)
        until(lambda: m.chat(f"{time.monotonic()}")[0] == 200 and a.chats())
        assert place(m, a.url)["state"] == "limited" and place(m, a.url)["ejections"] == 0
        n = len(a.chats())
        for _ in range(10):
            assert m.chat()[0] == 200
        assert len(a.chats()) == n
        until(lambda: place(m, a.url)["state"] == "up", 5)


def test_slots_and_rates(start):
    with Mock(up.slow(0.1, up.chat())) as a:
        m = start(policy(f'"{a.url}" slots 2'), *QUICK)
        most, codes = [0], []

        def one():
            codes.append(m.chat()[0])
        threads = [threading.Thread(target=one) for _ in range(12)]
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):
            most[0] = max(most[0], place(m, a.url)["in_flight"])
        assert most[0] <= 2 and codes.count(200) >= 2 and set(codes) <= {200, 429, 503}
    with Mock() as a:
        m = start(policy(f'"{a.url}" rate 60 requests/minute'), *QUICK)
        began = time.monotonic()
        codes = [m.chat()[0] for _ in range(30)]
        # Ten seconds' worth at once, and the time that the test takes.
        assert 10 <= len(a.chats()) <= 11 + (time.monotonic() - began) and codes.count(200) == len(a.chats())


def test_a_list_changes_under_load(start, scratch):
    """Places come and go with the file while requests run; none is lost, and what left is asked no more."""
    with Mock() as a, Mock() as b, Mock() as c:
        urls = [a.url, b.url, c.url]
        listed = scratch / "places.txt"
        listed.write_text(f"# first\n{a.url} weight 2\n")
        m = start(policy(f'file "{listed}"'), *QUICK)
        codes, stop = [], threading.Event()

        def load():
            while not stop.is_set():
                codes.append(m.chat()[0])
        threads = [threading.Thread(target=load) for _ in range(4)]
        for t in threads:
            t.start()
        for k in range(4):
            some = [urls[(k + i) % 3] for i in range(1 + k % 2)]
            listed.write_text("".join(u + "\n" for u in some))
            until(lambda: {u for u, p in places(m).items() if p["state"] == "up"} == set(some), 8)
        left = [u for u in urls if u not in some][0]
        mock = [x for x in (a, b, c) if x.url == left][0]
        until(lambda: left not in places(m))
        before = len(mock.chats())
        # A bad line is named, and the last good list stays.
        listed.write_text(f"{left}\nnot a url\n")
        until(lambda: "line 2" in m.errors())
        listed.write_text("")
        until(lambda: "lists no place" in m.errors())
        time.sleep(0.3)
        until(lambda: len(codes) > 50)
        stop.set()
        for t in threads:
            t.join()
        assert set(codes) == {200}
        assert len(mock.chats()) == before
        assert {u for u, p in places(m).items() if p["state"] == "up"} == set(some)


def test_a_name_is_looked_up(start):
    with Mock() as a:
        port = a.url.split(":")[2].split("/")[0]
        m = start(policy(f'dns "http://localhost:{port}/v1"'), *QUICK, "--pool-dns", "200ms")
        url = f"http://127.0.0.1:{port}/v1"
        until(lambda: url in places(m))
        assert places(m)[url]["source"] == "discovery"
        until(lambda: m.chat()[0] == 200)
        assert a.chats()[-1].header("host") == f"localhost:{port}"


def test_edits_by_hand(start):
    gate, chat = threading.Event(), up.chat()
    with Mock() as a, Mock() as b, Mock(lambda conn, r: gate.wait(60) and chat(conn, r)) as c:
        m = start(policy(f'"{a.url}"', f'model other zone local endpoint "{b.url}" context 8k tok price 1 in, 1 out usd/Mtok\n'
                         f'forbid endpoint "{a.url}" when task_word as "not there"\nsignal task_word = keywords("ward")', 'else refuse "nowhere"'), *QUICK)

        def pool(*args, check=True):
            return run_program([MERIT, "pool", *args, "--admin", f"127.0.0.1:{m.admin_port}"], m.folder, check=check)
        table = pool("ls").out
        assert a.url in table and "up" in table
        # What constraints say of the endpoint holds for what is added to it.
        pool("add", "small", c.url)
        assert places(m)[c.url]["source"] == "admin"
        assert m.chat("about the ward")[0] == 403 and not c.chats()
        pool("drain", a.url)
        assert places(m)[a.url]["state"] == "draining" and places(m)[a.url]["why"] == "drained by hand"
        codes = []
        t = threading.Thread(target=lambda: codes.append(m.chat()[0]))
        t.start()
        until(lambda: c.chats())
        # What runs there ends, though it is removed.
        pool("resume", a.url)
        pool("rm", c.url)
        assert places(m)[c.url]["state"] == "draining"
        gate.set()
        t.join()
        assert codes == [200]
        until(lambda: c.url not in places(m))
        for _ in range(5):
            assert m.chat()[0] == 200
        assert len(c.chats()) == 1
        # Not under another one's name, not twice, not nonsense.
        for args in (("add", "small", b.url), ("add", "small", "nonsense"), ("add", "nobody", "http://127.0.0.1:1/v1"),
                     ("drain", "http://127.0.0.1:1/v1"), ("rm", "http://127.0.0.1:1/v1")):
            done = pool(*args, check=False)
            assert done.returncode == 1 and "merit pool: " in done.err
        assert json.loads(pool("ls", "--json").out)["models"][0]["name"] == "small"
        # Until the next policy load.
        pool("drain", a.url)
        m.policy.write_text(m.policy.read_text() + "\n")
        until(lambda: places(m)[a.url]["state"] == "up")


def test_the_next_policy_keeps_what_is_known(start):
    with Mock(up.close_at_once) as bad, Mock() as good:
        m = start(policy(f'"{bad.url}", "{good.url}"'), *QUICK)
        until(lambda: m.chat()[0] == 200 and place(m, bad.url)["state"] == "out")
        calls = place(m, good.url)["calls"]
        m.policy.write_text(policy(f'"{bad.url}", "{good.url}"', "# once more"))
        until(lambda: "policy reloaded" in m.errors())
        assert place(m, bad.url)["ejections"] >= 1 and place(m, good.url)["calls"] >= calls > 0


def test_what_metrics_say(start):
    with Mock(metrics(VLLM % (7, 3, "0.25", 1000))) as a, Mock(up.close_at_once) as b:
        m = start(policy(f'"{a.url}" engine vllm, "{b.url}"'), *QUICK)
        until(lambda: not place(m, a.url)["stale"])
        until(lambda: m.chat()[0] == 200 and place(m, b.url)["state"] == "out")
        assert m.chat(stream=True)[0] == 200
        page = m.metrics()
        for line in ('merit_pool_places{model="small",state="up"} 1', 'merit_pool_places{model="small",state="out"} 1',
                     'merit_pool_queue{model="small"} 3', 'merit_pool_kv_use{model="small"} 0.25',
                     'merit_pool_stale_places{model="small"} 0', 'merit_pool_ejections{model="small"} 1',
                     'merit_first_token_seconds_count{model="small",effort="default",route="otherwise"} 1',
                     'merit_output_token_seconds_count{model="small",effort="default",route="otherwise"} 1'):
            assert line in page, line


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"url":1}', b'{"url":"x","colour":1}', b'{"url":"http://a/v1","model":"small","weight":-1}',
                                  b'{"url":"http://a/v1","model":"small","slots":1e99}'])
def test_bad_edits(served, body):
    status, _, answer = served.admin("/merit/v1/pool", method="POST", body=body)
    assert status == 400 and b"error" in answer
    assert served.admin("/merit/v1/pool/drain")[0] == 405
    assert served.admin("/merit/v1/pool", method="DELETE")[0] == 400
    assert served.admin("/merit/v1/pool", method="PUT")[0] == 405


def shares(start, bad, calls=30, clause=""):
    """How often each of two places was asked, one of which is bad; every client is answered."""
    with Mock(bad) as a, Mock(up.chat()) as b:
        m = start(policy(f'"{a.url}"{clause}, "{b.url}"'), *QUICK, "--threads", "1")
        for i in range(calls):
            assert m.chat(f"question {i}")[0] == 200
        return len(a.chats()), len(b.chats()), places(m)[a.url]


@pytest.mark.parametrize("wait", [None, "99999999", "99999999999999999999999", "Fri, 31 Dec 2999 23:59:59 GMT"])
def test_a_place_that_is_fast_because_it_is_busy(start, wait):
    bad, _, p = shares(start, up.error(429, headers={"Retry-After": wait} if wait else None))
    assert bad <= 10 * SLOW and p["limited"]


def test_a_replica_that_serves_another_model(start):
    shares(start, up.error(404))


def test_usage_that_cannot_be_teaches_nothing(start):
    def lie(conn, r):
        up.answer(conn, {"id": "x", "object": "chat.completion", "created": 1, "model": "m",
                         "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
                         "usage": {"prompt_tokens": 4000000000, "completion_tokens": 4000000000, "total_tokens": 8000000000}})
        return True
    _, _, p = shares(start, lie, clause=" rate 100000 tok/minute")
    assert p["state"] == "up" and p["each_ms"] is None


def test_a_list_that_cannot_be_read_at_a_reload(start, tmp_path):
    with Mock(up.chat()) as a:
        listed = tmp_path / "places.txt"
        listed.write_text(a.url + "\n")
        text = policy(f'file "{listed}"')
        m = start(text, *QUICK)
        assert m.chat()[0] == 200
        listed.write_text("what\n")
        (m.folder / "policy.merit").write_text(text.replace("version 1", "version 2"))
        until(lambda: "policy reloaded" in m.errors())
        until(lambda: "its places stay as they are" in m.errors())
        assert m.chat("again")[0] == 200
        assert place(m, a.url)["state"] == "up"
