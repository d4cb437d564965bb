"""Other people's clients, pinned: the official OpenAI package for Node, pi, the Vercel AI SDK, pydantic-ai."""
import json
import pathlib
import shutil

import pytest

import mock_upstream as up
from clients import install
from conftest import SLOW, run_program

HERE = pathlib.Path(__file__).resolve().parent / "clients"
pytestmark = pytest.mark.clients


def lines(program):
    out = {}
    for line in program.out.splitlines():
        if line.startswith("{"):
            out.update(json.loads(line))
    return out


def run_node(folder, script, served, scratch, *args, **more):
    # Modules are found from the script's own folder.
    shutil.copy(HERE / script, folder / script)
    node, _ = install.node()
    return run_program([node, folder / script, *args], scratch, {"BASE": served.v1}, **more)


# ---- openai for Node

@pytest.fixture(scope="session")
def openai_node():
    return install.npm("openai-node", openai="6.49.0")


def test_node_answers(served, scratch, openai_node):
    r = lines(run_node(openai_node, "openai_node.mjs", served, scratch, "answer", "stream", "helper", "models"))
    assert r["answer"] == r["stream"] == "Hello from the mock."
    assert (r["total"], r["usages"], r["helper"]) == (18, 0, 18)
    assert {"auto", "small"} <= set(r["models"])


def test_node_tools(served, scratch, openai_node):
    served.mock.default = up.chat(tools=[up.tool_call("weather", {"city": "Bern"})])
    r = lines(run_node(openai_node, "openai_node.mjs", served, scratch, "tools"))
    assert r["tools"]["name"] == "weather" and json.loads(r["tools"]["arguments"]) == {"city": "Bern"}


def test_node_errors(served, scratch, openai_node):
    r = lines(run_node(openai_node, "openai_node.mjs", served, scratch, "errors"))
    assert r["bad"]["kind"] == "BadRequestError" and r["bad"]["type"] == "invalid_request_error"
    assert r["unknown"]["kind"] == "NotFoundError" and r["unknown"]["code"] == "model_not_found"
    assert r["path"]["kind"] == "NotFoundError"
    served.mock.default = up.error(429, "slow", {"Retry-After": "1"}, code="rate_limit_exceeded")
    assert lines(run_node(openai_node, "openai_node.mjs", served, scratch, "limited"))["limited"]["kind"] == "RateLimitError"


def test_node_sees_a_broken_stream(served, scratch, openai_node):
    served.mock.default = up.cut()
    r = lines(run_node(openai_node, "openai_node.mjs", served, scratch, "broken"))
    assert r["before"].startswith("one") and r["broken"] != "no error"


def test_node_cancel(served, scratch, openai_node):
    served.mock.default = up.endless()
    assert lines(run_node(openai_node, "openai_node.mjs", served, scratch, "cancel"))["cancel"] >= 3
    assert served.mock.chats()[0].gone.wait(20 * SLOW)


# ---- pi

@pytest.fixture(scope="session")
def pi():
    return install.npm("pi", **{"@mariozechner/pi-coding-agent": "0.73.1"})


def run_pi(pi, served, scratch, prompt, **more):
    home = scratch / "pi-home"
    (home / ".pi" / "agent").mkdir(parents=True, exist_ok=True)
    (home / ".pi" / "agent" / "models.json").write_text(json.dumps({"providers": {"merit": {
        "baseUrl": served.v1, "api": "openai-completions", "apiKey": "sk-client", "models": [{
            "id": "auto", "name": "auto", "reasoning": False, "input": ["text"], "contextWindow": 32000,
            "maxTokens": 2000, "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}}]}}}))
    node, _ = install.node()
    bin = json.loads((pi / "node_modules/@mariozechner/pi-coding-agent/package.json").read_text())["bin"]
    script = pi / "node_modules/@mariozechner/pi-coding-agent" / (bin if isinstance(bin, str) else bin["pi"])
    return run_program([node, script, "--provider", "merit", "--model", "auto", "-p", prompt], home,
                       {"PI_OFFLINE": "1"}, **more)


def test_pi_text(served, scratch, pi):
    assert "Hello from the mock." in run_pi(pi, served, scratch, "what is 2+2").out


def test_pi_tool_loop(served, scratch, pi):
    served.mock.script += [up.chat(tools=[up.tool_call("bash", {"command": "echo tool-ran-$((40+2))"})]),
                           up.chat("The tool said so.")]
    assert "The tool said so." in run_pi(pi, served, scratch, "run the tool").out
    second = served.mock.chats()[1].json()["messages"]
    assert any(m["role"] == "tool" and "tool-ran-42" in json.dumps(m["content"]) for m in second)


def test_pi_does_not_take_a_cut_stream_for_an_answer(served, scratch, pi):
    served.mock.script.append(up.cut(2))
    r = run_pi(pi, served, scratch, "x", check=False)
    # It tries again and gets the whole one, or says that it failed.
    assert "Hello from the mock." in r.out or r.returncode != 0


# ---- Vercel AI SDK

@pytest.fixture(scope="session")
def aisdk():
    return install.npm("aisdk", **{"ai": "6.0.326", "@ai-sdk/openai": "3.0.141", "@ai-sdk/openai-compatible": "2.0.87",
                                   "zod": "4.1.12"})


@pytest.mark.parametrize("kind", ["openai", "compatible"])
@pytest.mark.parametrize("mode", ["generate", "stream"])
def test_ai_sdk_tool_loop(served, scratch, aisdk, kind, mode):
    served.mock.script += [up.chat(tools=[up.tool_call("weather", {"city": "Bern"})]), up.chat("It is sunny.")]
    r = lines(run_node(aisdk, "aisdk.mjs", served, scratch, kind, mode))
    assert r["text"] == "It is sunny." and r["finish"] == "stop", r
    second = served.mock.chats()[1].json()["messages"]
    assert any(m["role"] == "tool" and "sunny in Bern" in json.dumps(m["content"]) for m in second)


def test_ai_sdk_text(served, scratch, aisdk):
    assert lines(run_node(aisdk, "aisdk.mjs", served, scratch, "openai", "stream"))["text"] == "Hello from the mock."


def test_ai_sdk_sees_a_broken_stream(served, scratch, aisdk):
    served.mock.default = up.cut()
    r = lines(run_node(aisdk, "aisdk.mjs", served, scratch, "openai", "stream"))
    assert r["failed"] or r["errors"] or r["finish"] == "error", r


# ---- pydantic-ai

@pytest.fixture(scope="session")
def pydantic_ai():
    return install.python("pydantic-ai", "pydantic-ai-slim[openai]==2.68.0")


@pytest.mark.parametrize("mode", ["whole", "stream"])
def test_pydantic_ai_tool_loop(served, scratch, pydantic_ai, mode):
    served.mock.script += [up.chat(tools=[up.tool_call("weather", {"city": "Bern"})]), up.chat("It is sunny.")]
    r = lines(run_program([pydantic_ai, HERE / "pydantic_agent.py", mode], scratch, {"BASE": served.v1}))
    assert r["text"] == "It is sunny."
    second = served.mock.chats()[1].json()["messages"]
    assert any(m["role"] == "tool" and "sunny in Bern" in json.dumps(m["content"]) for m in second)


def test_pydantic_ai_text(served, scratch, pydantic_ai):
    r = lines(run_program([pydantic_ai, HERE / "pydantic_agent.py", "whole"], scratch, {"BASE": served.v1}))
    assert r["text"] == "Hello from the mock."
