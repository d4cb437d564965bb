"""The official OpenAI package for Python against Merit over a scripted upstream."""
import json
import time

import openai
import pytest

import mock_upstream as up
from conftest import SLOW, policy_text, until


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=served.v1, api_key="sk-client-secret", max_retries=0, timeout=20 * SLOW) as c:
        c.served, c.mock = served, served.mock
        yield c


def ask(client, **more):
    return client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Say hello."}], **more)


@pytest.mark.smoke
def test_answer(client):
    r = ask(client, temperature=0.5)
    assert r.choices[0].message.content == "Hello from the mock."
    assert r.choices[0].finish_reason == "stop"
    assert r.usage.total_tokens == 18
    sent = client.mock.chats()[0]
    assert sent.json()["temperature"] == 0.5
    assert sent.json()["messages"] == [{"role": "user", "content": "Say hello."}]


@pytest.mark.smoke
def test_headers_tell_the_route(client):
    r = client.chat.completions.with_raw_response.create(model="auto", messages=[{"role": "user", "content": "Hi"}])
    assert r.headers["x-merit-decision"]
    assert r.headers["x-merit-route"] == "otherwise"
    assert r.headers["x-merit-model"] == "small"
    assert r.headers["x-selected-model"]
    # 11 tokens in at 0.5 and 7 out at 1.5 usd/Mtok
    assert float(r.headers["x-merit-cost-usd"]) == pytest.approx(16e-6, rel=0.01)


@pytest.mark.smoke
@pytest.mark.threads
def test_stream(client):
    chunks = list(ask(client, stream=True))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Hello from the mock."
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_stream_arrives_as_it_is_made(client):
    """Each word is made when the client has the one before."""
    read, late = [], []

    def behave(conn, r):
        up.sse_head(conn)
        for i in range(5):
            conn.chunk(up.event("small", {"content": f"{i} "}))
            end = time.monotonic() + 10 * SLOW
            while len(read) <= i and not late:
                time.sleep(0.002)
                if time.monotonic() > end:
                    late.append(i)
        conn.chunk(up.event("small", {}, "stop"))
        conn.chunk("data: [DONE]\n\n")
        conn.send(b"0\r\n\r\n")
        return True

    client.mock.default = behave
    for c in ask(client, stream=True):
        if c.choices and c.choices[0].delta.content:
            read.append(c.choices[0].delta.content)
    assert read == ["0 ", "1 ", "2 ", "3 ", "4 "] and not late


def test_stream_headers_mark_the_estimate(client):
    with client.chat.completions.with_streaming_response.create(
            model="auto", messages=[{"role": "user", "content": "Hi"}], stream=True) as r:
        assert r.headers["content-type"].startswith("text/event-stream")
        assert r.headers["x-merit-cost-usd"].endswith(";est")
        assert r.headers["x-merit-model"] == "small"


def test_usage_is_hidden_unless_asked_for(client):
    chunks = list(ask(client, stream=True))
    assert all(c.usage is None for c in chunks) and all(c.choices for c in chunks)
    assert client.mock.chats()[0].json()["stream_options"]["include_usage"] is True
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.total_tokens == 18 and chunks[-1].choices == []


def test_usage_is_counted_where_the_upstream_gives_none(client):
    client.mock.default = up.chat("some words that nobody counted", usage=False)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    last = [c for c in chunks if c.usage][-1].usage
    assert last.completion_tokens > 0 and last.prompt_tokens > 0


def test_n_choices(client):
    assert [c.index for c in ask(client, n=3).choices] == [0, 1, 2]
    indexes = {c.choices[0].index for c in ask(client, n=2, stream=True) if c.choices}
    assert indexes == {0, 1}


def test_tools(client):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}}}}]
    client.mock.script.append(up.chat(tools=[up.tool_call("weather", {"city": "Bern"})]))
    r = ask(client, tools=tools)
    call = r.choices[0].message.tool_calls[0]
    assert r.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Bern"})
    assert client.mock.chats()[0].json()["tools"] == tools
    client.mock.script.append(up.chat(tools=[up.tool_call("weather", {"city": "Bern"})]))
    arguments = "".join(c.choices[0].delta.tool_calls[0].function.arguments or ""
                        for c in ask(client, tools=tools, stream=True) if c.choices and c.choices[0].delta.tool_calls)
    assert json.loads(arguments) == {"city": "Bern"}
    r = client.chat.completions.create(model="auto", tools=tools, messages=[
        {"role": "user", "content": "Weather in Bern?"},
        {"role": "assistant", "content": None, "tool_calls": [up.tool_call("weather", {"city": "Bern"})]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"}])
    assert r.choices[0].message.content == "Hello from the mock."


def test_unknown_fields_pass_byte_for_byte(client):
    ask(client, extra_body={"x_vendor": {"deep": [1.0, 1e400 if False else 12345678901234567890, "ü\u0000z"]},
                            "seed": 12345678901234567890})
    sent = client.mock.chats()[0]
    assert b"12345678901234567890" in sent.body
    assert sent.json()["x_vendor"]["deep"] == [1.0, 12345678901234567890, "ü\u0000z"]


def test_images_pass(client):
    parts = [{"type": "text", "text": "What is this?"},
             {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    client.chat.completions.create(model="auto", messages=[{"role": "user", "content": parts}])
    assert client.mock.chats()[0].json()["messages"][0]["content"] == parts


def test_models(client):
    ids = {m.id for m in client.models.list()}
    assert {"auto", "small"} <= ids
    one = client.models.retrieve("small")
    assert one.id == "small" and one.object == "model"
    assert max(v for k, v in one.model_dump().items() if isinstance(v, int) and "created" not in k) >= 32000
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


# ---- errors, as the SDK sees them

def test_bad_request(client):
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model="auto", messages="not a list")
    assert e.value.type == "invalid_request_error" and e.value.message and not client.mock.chats()


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as e:
        client.chat.completions.create(model="gpt-99-huge", messages=[{"role": "user", "content": "x"}])
    assert e.value.code == "model_not_found"


def test_unknown_path(client):
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="small", input="x")


def test_context_too_long(client):
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "word " * 60000}])
    assert e.value.code == "context_length_exceeded"


@pytest.mark.parametrize("status, kind", [(401, openai.APIStatusError), (400, openai.BadRequestError),
                                          (422, openai.UnprocessableEntityError)])
def test_errors_of_the_upstream_about_the_request(client, status, kind):
    client.mock.default = up.error(status, "no such thing as that", code="x_code", type="invalid_request_error")
    with pytest.raises(kind) as e:
        ask(client)
    # The upstream's 401 is about Merit's key, not the client's: it must not look like the client's.
    assert e.value.status_code != 401
    assert len(client.mock.chats()) == 1


def test_rate_limit_of_the_upstream(client):
    client.mock.default = up.error(429, "slow down", {"Retry-After": "7"}, code="rate_limit_exceeded",
                                   type="rate_limit_error")
    with pytest.raises(openai.RateLimitError) as e:
        ask(client)
    assert e.value.response.headers["retry-after"] == "7"


def test_the_sdk_retries_and_succeeds(client):
    client.mock.script += [up.error(429, headers={"Retry-After": "1"})]
    patient = client.with_options(max_retries=2)
    assert ask(patient).choices[0].message.content == "Hello from the mock."


@pytest.mark.threads
def test_cancel_reaches_the_upstream(client):
    client.mock.default = up.endless()
    stream = ask(client, stream=True)
    for _, _ in zip(range(3), stream):
        pass
    request = client.mock.chats()[0]
    assert not request.gone.is_set()
    stream.close()
    assert request.gone.wait(20 * SLOW)
    until(lambda: client.served.metric("merit_in_flight") == 0)


def test_cancel_before_the_answer(client):
    client.mock.default = up.hang
    with pytest.raises(openai.APITimeoutError):
        ask(client.with_options(timeout=0.5))
    assert client.mock.wait(1)[0].gone.wait(20 * SLOW)


@pytest.mark.threads
def test_many_at_once(client):
    import concurrent.futures
    client.mock.default = up.chat("a b c d e f", delay=0.01)

    def one(i):
        if i % 2:
            return "".join(c.choices[0].delta.content or "" for c in ask(client, stream=True) if c.choices)
        return ask(client).choices[0].message.content

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        assert set(pool.map(one, range(96))) == {"a b c d e f"}


def test_async_client(served):
    import asyncio

    async def main():
        async with openai.AsyncOpenAI(base_url=served.v1, api_key="k", max_retries=0) as c:
            stream = await c.chat.completions.create(model="auto", stream=True,
                                                     messages=[{"role": "user", "content": "x"}])
            return "".join([e.choices[0].delta.content or "" async for e in stream if e.choices])

    assert asyncio.run(main()) == "Hello from the mock."


def test_observe_mode_sends_everything_to_one_model(start, mock):
    with up.Mock(up.chat("from the other one")) as other:
        m = start(policy_text({"small": mock.url, "large": other.url}), "--observe", "large")
        with openai.OpenAI(base_url=m.v1, api_key="k", max_retries=0) as c:
            r = c.chat.completions.with_raw_response.create(model="auto", messages=[{"role": "user", "content": "x"}])
        assert r.parse().choices[0].message.content == "from the other one"
        assert not mock.chats() and len(other.chats()) == 1
        record = json.loads(m.admin(f"/merit/v1/decisions/{r.headers['x-merit-decision']}")[2])
        assert "small" in json.dumps(record)
        assert m.metric("merit_observed_total") == 1
