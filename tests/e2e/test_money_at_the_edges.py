"""What attempts are charged that end oddly: nothing that was worked for is free, nothing is charged that was not sent."""
import contextlib
import json
import socket
import subprocess
import threading

import pytest

import mock_upstream as up
from conftest import MERIT, PATIENCE, until
from test_budgets import BIG, ask, client, nano, policy, rows, told, usage

IN, OUT = 10_000, 30_000  # nano-USD of a token of "big"


def half(size, gate=None, length=1_000_000):
    """A whole answer of which only `size` bytes of text come."""
    def behave(conn, r):
        text = b'{"choices":[{"message":{"role":"assistant","content":"' + b"x" * size
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                  % (length or len(text)))
        conn.send(text)
        if gate:
            gate.wait(30)
        return False
    return behave


def error_inside(conn, r):
    up.answer(conn, {"error": {"message": "no", "type": "x"}})
    return True


def leave(served, when, count, stream=False):
    """Sends a request and hangs up once `when` holds; waits until Merit has seen that."""
    body = json.dumps({"model": "auto", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    with socket.create_connection(("127.0.0.1", served.port), 10) as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
        until(when)
    until(lambda: served.metric(r'merit_requests_total\{.*end="gone"\}') == count)


def test_who_leaves_before_a_whole_answer_pays_for_it(start, mock, scratch):
    """Otherwise whoever hangs up at the last moment would empty no budget."""
    gate = threading.Event()
    served = start(policy(mock, "budget 1 usd/day hard"), "--data", scratch / "data")
    mock.default = lambda conn, r: gate.wait(30) and False
    leave(served, lambda: len(mock.requests) == 1, 1)
    gate.set()
    served.stop()
    row, = rows(scratch / "data")
    assert row["end"] == "gone" and row["estimated"]
    assert row["output_tok"] >= 200 and row["took_nusd"] == row["input_tok"] * IN + row["output_tok"] * OUT


def test_text_of_a_whole_answer_that_broke_off_is_paid_for(start, mock, scratch):
    served = start(policy(mock, "budget 1 usd/day hard"), "--data", scratch / "data")
    mock.default = half(2000)
    assert served.chat()[0] == 502
    served.stop()
    row, = rows(scratch / "data")
    assert row["reason"] == "upstream_cut" and row["estimated"] and 500 <= row["output_tok"] <= 530


def test_one_attempt_says_nothing_of_the_next(start, mock, scratch):
    """An error inside a success, then garbage: the second is not taken for the first."""
    with up.Mock() as other:
        served = start(policy(mock, "budget 1 usd/day hard").replace(
            f'endpoint "{mock.url}" context 32k tok output 1k tok {BIG}',
            f'endpoint "{mock.url}", "{other.url}" context 32k tok output 1k tok {BIG}'), "--data", scratch / "data")
        order = iter([error_inside, half(2000, length=None)])
        mock.default = other.default = lambda conn, r: next(order)(conn, r)
        assert served.chat()[0] == 502
        assert served.metric(r'merit_usage_wrong_total\{model="big",how="error_inside"\}') == 1
        served.stop()
    first, second = rows(scratch / "data")
    assert first["took_nusd"] == 0 and 500 <= second["output_tok"] <= 530


def test_what_tools_of_the_upstream_find_is_input(start, mock):
    served = start(policy(mock, "budget 1 usd/day hard"))
    mock.default = told(usage(9000, 90))
    with client(served) as c:
        answer = ask(c, extra_body={"web_search_options": {}})
        assert float(answer.headers["x-merit-cost-usd"]) * 1e9 == 9000 * IN + 90 * OUT
    assert served.metric(r'merit_usage_wrong_total\{model="big"') == 0


def test_a_cache_that_cannot_have_been_makes_nothing_cheaper(start, mock):
    served = start(policy(mock, "budget 1 usd/day hard").replace("price 10 in, 30 out", "price 10 in, 1 cached, 30 out"))
    with client(served) as c:
        for cached, cost in ((15, 5 * IN + 15 * 1000), (21, 20 * IN), (10**9, 20 * IN)):
            mock.default = told(usage(20, 9, prompt_tokens_details={"cached_tokens": cached}))
            assert nano(ask(c).headers["x-merit-cost-usd"]) == cost + 9 * OUT
    assert served.metric(r'merit_usage_wrong_total\{model="big",how="absurd"\}') == 2


def test_nobody_knows_how_long_a_document_is(start, mock):
    """A file or a film may fill the window, and then is paid for in full: a picture does not."""
    served = start(policy(mock, "budget 5 usd/day hard").replace(
        "context 32k tok output 1k tok", "context 200k tok output 1k tok can images, files", 1))
    mock.default = told(usage(150_000, 9))

    def one(part):
        body = {"model": "auto", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, part]}]}
        return served.request("POST", "/v1/chat/completions", body)

    for n, part in enumerate(({"type": "file", "file": {"file_id": "f"}},
                              {"type": "video_url", "video_url": {"url": "http://x/film"}})):
        status, headers, _ = one(part)
        assert status == 200 and nano(headers["x-merit-cost-usd"]) == 150_000 * IN + 9 * OUT
        assert served.metric(r"merit_budget_left") == pytest.approx(5 - (n + 1) * 1.50027)
    assert served.metric(r"merit_usage_wrong_total") == 0
    status, _, body = one({"type": "file", "file": {"file_id": "f"}})
    assert status == 402 and json.loads(body)["error"]["budget"]["needed"] == pytest.approx(2.03)
    assert one({"type": "image_url", "image_url": {"url": "http://x/picture"}})[0] == 200
    assert served.metric(r'merit_usage_wrong_total\{model="big",how="absurd"\}') == 1


def test_nothing_was_sent(start, mock, scratch):
    """The client leaves while there is no connection yet: a listener whose queue is full accepts none."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            s = stack.enter_context(socket.socket())
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                s.connect(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        served = start(policy(mock, "budget 1 usd/day hard").replace(mock.url, url), "--data", scratch / "data")
        for count, stream in ((1, False), (2, True)):
            leave(served, lambda: served.metric("merit_in_flight") == 1, count, stream)
        served.stop()
    for row in rows(scratch / "data"):
        assert row["end"] == "gone" and row["took_nusd"] == row["took_calls"] == row["input_tok"] == 0


def test_names_are_not_obeyed_by_a_terminal(start, mock, scratch):
    """A session's name is the client's, a model's in a usage export the provider's."""
    served = start(policy(mock, "budget 1 usd/day hard\nbudget per session 1 usd hard"), "--data", scratch / "data")
    assert served.chat(user="\x1b[2J\x9bevil\nforged  9\x7f")[0] == 200
    served.stop()
    export = scratch / "usage.csv"
    export.write_text("date,model,input_tokens\n2026-11-21,\x1b[31mred\x07,1\n")
    for words in (["--by", "session"], ["budgets"], ["reconcile", export]):
        out = subprocess.run([MERIT, "ledger", *words, "--ledger", scratch / "data" / "ledger"], capture_output=True,
                             text=True, timeout=PATIENCE).stdout
        assert not set(out) & {"\x1b", "\x9b", "\x7f", "\x07"} and "?[" in out, out
        assert not any(line.startswith("forged") for line in out.splitlines())
