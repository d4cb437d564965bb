"""A zone's feed of carbon over HTTP: what it says is used, it may lie in every way, and what is too old gives way to the
policy's figure and is marked."""
import json
import threading
import time

import pytest

import mock_upstream as up
from conftest import SLOW, until
from mock_upstream import Mock

FLAGS = ["--carbon-feed", "200ms", "--carbon-stale", "1500ms"]


def hour():
    return time.strftime("%Y-%m-%dT%H:00Z", time.gmtime())


def policy(url, feed, how="average"):
    return (f'policy "fed" version 1\n'
            f'zone here  pue 1.5  carbon "{feed}" 100 g/kWh {how}\n'
            f'model small  zone here  endpoint "{url}", "http://127.0.0.1:9/v1" context 32k tok  output 2k tok  '
            f'energy h100 8b  price 1 in, 2 out usd/Mtok since 2026-11-21\n'
            f'otherwise -> answer(small)\n')


def body(text, status="200 OK", kind="application/json"):
    def behave(conn, r):
        data = text().encode() if callable(text) else text.encode()
        conn.send(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        return True
    return behave


def figure(m):
    """{from: g_kwh} of the zone's one line."""
    lines = [x for x in m.metrics().splitlines() if x.startswith("merit_carbon_g_per_kwh{")]
    assert len(lines) == 1, lines
    return lines[0].split('from="')[1].split('"')[0], float(lines[0].split()[-1])


def gigabyte(conn, r):
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(2000):
        conn.chunk("# a line of nothing much at all, again and again and again\n" * 1000)
    return False


def stated_gigabyte(conn, r):
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 1000000000\r\n\r\nhour")
    conn.sleep(1)
    return False


GOOD = {
    "json": (lambda: '{"g_kwh": 312.5}', "hour", 312.5),
    "json of an hour": (lambda: json.dumps({"hour": hour(), "g_kwh": 250, "zone": "here"}), "hour", 250),
    "rows": (lambda: json.dumps({"rows": [{"hour": hour(), "g_kwh": 42}, {"hour": hour(), "g_kwh": 7, "zone": "far"}]}), "hour", 42),
    "csv": (lambda: f"hour,g_kwh,zone\n{hour()},17.25,here\n{hour()},99,far\n", "hour", 17.25),
    "hours of the day": (lambda: "hour,g_kwh\n" + "".join(f"{h},5\n" for h in range(24)), "typical", 5),
    "nothing emitted": (lambda: '{"g_kwh": 0}', "hour", 0),
}


@pytest.mark.parametrize("what, how", [(what, ("average", "marginal")[i % 2]) for i, what in enumerate(GOOD)])
def test_what_it_says_holds(start, mock, what, how):
    text, source, g = GOOD[what]
    with Mock(body(text)) as feed:
        m = start(policy(mock.url, feed.url.replace("/v1", "/now?zone=here&token=secret"), how), *FLAGS)
        assert until(lambda: figure(m) == (source, g), 8)
        assert feed.requests[0].target == "/now?zone=here&token=secret"
        assert m.metric(r'merit_carbon_file_up\{zone="here"\}') == 1
        assert "secret" not in m.errors()

        def told():
            status, headers, _ = m.chat(f"Say {time.monotonic()}")
            assert status == 200
            d = json.loads(m.admin(f"/merit/v1/decisions/{headers['x-merit-decision']}")[2])
            d = d.get("decision", d)
            rows = [p for p in d["places"] if p["carbon_g_kwh"] == g]
            assert not any(p.get("carbon_stale") for p in rows)
            option = d["options"][0]["expect"]
            return rows and option.get("carbon_marginal", False) == (how == "marginal")
        until(told, 12)


LIES = {
    "a web page": (body("<!DOCTYPE html><html>sign in</html>", kind="text/html"), "it is a web page"),
    "NaN": (body('{"g_kwh": NaN}'), "is no JSON"),
    "nan in a row": (body("hour,g_kwh\n10,nan\n"), "line 2"),
    "negative": (body('{"g_kwh": -20}'), "0 to 5000"),
    "huge": (body('{"g_kwh": 1000000}'), "0 to 5000"),
    "an error in JSON": (body('{"error": "no credit"}'), "g_kwh is missing"),
    "another zone": (body('{"g_kwh": 1, "zone": "far"}'), "no figure of this zone"),
    "empty": (body(""), "it is empty"),
    "half": (body('{"rows": [{"g_kwh": 1}'), "is no JSON"),
    "gigabyte": (gigabyte, "more than 4 MiB"),
    "a gigabyte is announced": (stated_gigabyte, "more than 4 MiB"),
    "cut": (up.cut_body, "broke off"),
    "reset": (up.reset_at_once, "broke off"),
    "garbage": (up.raw(b"\x00\x01\x02 nonsense\r\n\r\n"), "no HTTP"),
    "500": (body("no", status="500 Internal Server Error"), "status 500"),
    "redirect": (body("", status="302 Found"), "status 302"),
}


@pytest.mark.parametrize("lie", LIES)
def test_it_lies(start, mock, lie):
    behave, why = LIES[lie]
    with Mock(body('{"g_kwh": 312.5}')) as feed:
        m = start(policy(mock.url, feed.url.replace("/v1", "/now")), *FLAGS)
        until(lambda: figure(m) == ("hour", 312.5), 8)
        feed.default = behave
        # What was said holds until it is too old; then the policy's figure does, marked, and never zero.
        until(lambda: m.metric(r'merit_carbon_file_up\{zone="here"\}') == 0, 8)
        seen = set()

        def too_old():
            seen.add(figure(m))
            return figure(m) == ("stale", 100)
        until(too_old, 10)
        assert seen <= {("hour", 312.5), ("stale", 100)}
        line = [x for x in m.errors().splitlines() if "carbon of zone here" in x and why in x]
        assert len(line) == 1, m.errors()
        until(lambda: "what it said is too old; the policy's figure holds" in m.errors())

        def marked():
            status, headers, _ = m.chat(f"Say {time.monotonic()}")
            assert status == 200  # and no request minds
            d = json.loads(m.admin(f"/merit/v1/decisions/{headers['x-merit-decision']}")[2])
            d = d.get("decision", d)
            return all(p.get("carbon_stale") and p["carbon_g_kwh"] == 100 for p in d["places"])
        if lie in ("a web page", "gigabyte"):
            until(marked, 12)
        feed.default = body('{"g_kwh": 300}')
        until(lambda: figure(m) == ("hour", 300), 10)
        until(lambda: "it counts again" in m.errors())
        assert m.errors().count("carbon of zone here") == 3, m.errors()


def test_it_hangs(start, mock):
    """Ten seconds for an answer; meanwhile, and before the first one, the policy's figure."""
    with Mock(up.hang) as feed:
        m = start(policy(mock.url, feed.url.replace("/v1", "/now")), *FLAGS)
        feed.wait(1)
        assert figure(m) == ("stale", 100)
        codes = []
        threads = [threading.Thread(target=lambda: codes.append(m.chat("hi")[0])) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert codes == [200] * 4
        until(lambda: "no whole answer came in time; the policy's figure holds" in m.errors(), 14)
        assert m.stop() is None or True


def test_nobody_is_there_and_then_another_policy(start, mock):
    with Mock(body('{"g_kwh": 20}')) as feed:
        m = start(policy(mock.url, "http://127.0.0.1:9/now"), *FLAGS)
        until(lambda: "cannot be reached; the policy's figure holds" in m.errors(), 8)
        m.policy.write_text(policy(mock.url, feed.url.replace("/v1", "/now")))
        until(lambda: figure(m) == ("hour", 20), 8)
        # The one that no policy names any more is asked no more, and has no line.
        m.policy.write_text(policy(mock.url, "http://127.0.0.1:9/now"))
        until(lambda: figure(m)[0] == "stale", 8)
        time.sleep(0.5 * SLOW)
        n = len(feed.requests)
        time.sleep(0.8)
        assert len(feed.requests) == n


@pytest.mark.parametrize("url, why", [("https://", "the URL names no host"), ("http://a?x", "follows a path"), ("http://a/b?x y", "spaces"),
                                      ("http://u:p@a/b", "no user name"), ("http://a/#b", "`#`")])
def test_the_checker_reads_the_url(start, mock, url, why):
    m = start(policy(mock.url, url), *FLAGS, wait=False)
    m.process.wait(20)
    assert m.process.returncode != 0 and why in m.errors()
