"""`merit policy lsp` on the bytes of the base protocol: what no client library would send."""
import json
import re
import subprocess

import pytest

from conftest import MERIT, PATIENCE, REPORT, SLOW


def frame(message, head="Content-Length: {n}\r\n\r\n"):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return head.format(n=len(body)).encode() + body


def request(id, method, params=None):
    return {"jsonrpc": "2.0", "id": id, "method": method, **({} if params is None else {"params": params})}


def note(method, params=None):
    return {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}


BEGIN = frame(request(1, "initialize", {"capabilities": {}, "processId": None}))
END = frame(request(99, "shutdown")) + frame(note("exit"))


def talk(*pieces, code=None):
    """Writes all, closes, and gives the messages, the exit code and what went to standard error."""
    ran = subprocess.run([MERIT, "policy", "lsp"], input=b"".join(pieces), capture_output=True, timeout=60 * SLOW)
    errors = ran.stderr.decode(errors="replace")
    assert not REPORT.search(errors), errors[-6000:]
    out, messages = ran.stdout, []
    while out:
        head = re.match(rb"Content-Length: (\d+)\r\n\r\n", out)
        assert head, out[:100]
        messages.append(json.loads(out[head.end():head.end() + int(head.group(1))]))
        out = out[head.end() + int(head.group(1)):]
    assert code is None or ran.returncode == code, (ran.returncode, errors)
    return messages, ran.returncode, errors


def error_of(messages, id):
    (m,) = [m for m in messages if m.get("id") == id]
    return m["error"]["code"]


def test_a_session():
    messages, _, errors = talk(BEGIN, END, code=0)
    assert [m["id"] for m in messages] == [1, 99] and messages[1]["result"] is None and errors == ""


def test_end_without_shutdown():
    talk(BEGIN, frame(note("exit")), code=1)
    talk(BEGIN, code=1)  # the pipe closed
    talk(code=1)
    talk(frame(note("exit")), code=1)
    talk(BEGIN, frame(request(2, "shutdown")), code=0)


def test_command_line():
    for args, code in ((["--help"], 0), (["--stdio"], 1), (["--port", "3"], 2), (["x.merit"], 2)):
        ran = subprocess.run([MERIT, "policy", "lsp", *args], input=b"", capture_output=True, timeout=20 * SLOW)
        assert ran.returncode == code, args
        assert (b"usage" in ran.stdout) == (code == 0)


def test_order_of_life():
    messages, *_ = talk(frame(request(7, "textDocument/hover", {})), frame(note("textDocument/didOpen", {})), BEGIN,
                        frame(request(8, "initialize", {"capabilities": {}})), frame(request(9, "no/such")),
                        frame(note("no/such")), frame(note("$/setTrace", {"value": "off"})), frame(request(10, "shutdown")),
                        frame(request(11, "textDocument/hover", {})), frame(note("exit")), code=0)
    assert error_of(messages, 7) == -32002
    assert error_of(messages, 8) == -32600
    assert error_of(messages, 9) == -32601
    assert error_of(messages, 11) == -32600
    assert len(messages) == 6


@pytest.mark.parametrize("head, wrong", [
    ("\r\n\r\n", "no colon"), ("Content-Type: x\r\n\r\n", "no Content-Length"), ("Content-Length: ten\r\n\r\n", "no number"),
    ("Content-Length: -1\r\n\r\n", "no number"), ("Content-Length: 99999999999999999999999\r\n\r\n", "no number"),
    ("Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "twice"), ("hello\r\n\r\n", "no colon"), ("\0\0\0", "control"),
    ("X: " + "y" * 5000 + "\r\n\r\n", "4096"), ("GET / HTTP/1.1\r\n\r\n", "no colon")])
def test_broken_heads_end_the_session_with_a_reason(head, wrong):
    messages, _, errors = talk(BEGIN, head.encode(), b"{}", BEGIN, code=1)
    assert [m.get("id") for m in messages] == [1, None]
    assert messages[1]["error"]["code"] == -32700 and wrong in messages[1]["error"]["message"] and wrong in errors


def test_heads_in_other_forms():
    forms = ["content-length: {n}\r\n\r\n", "CONTENT-LENGTH:{n}\r\n\r\n",
             "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length:  {n} \r\n\r\n",
             "Content-Length: {n}\r\nContent-Type: application/vscode-jsonrpc; charset=utf8\r\nX-Other: a:b\r\n\r\n"]
    for form in forms:
        messages, *_ = talk(frame(request(1, "initialize", {"capabilities": {}}), form), END, code=0)
        assert len(messages) == 2
    messages, *_ = talk(BEGIN, frame(note("x"), "Content-Length: {n}\r\nContent-Type: a/b; charset=utf-16\r\n\r\n"), END, code=0)
    assert messages[1]["error"]["code"] == -32600 and "utf-8" in messages[1]["error"]["message"]


def test_a_huge_message_is_skipped_and_the_session_goes_on():
    size = 33 * 1024 * 1024
    messages, _, errors = talk(BEGIN, b"Content-Length: %d\r\n\r\n" % size, b" " * size, END, code=0)
    assert [m.get("id") for m in messages] == [1, None, 99] and "32 MiB" in messages[1]["error"]["message"]
    assert str(size) in errors
    # One that never comes costs nothing.
    talk(BEGIN, b"Content-Length: 9000000000000000000\r\n\r\n", b"x" * 100000, code=1)


@pytest.mark.parametrize("body, code", [
    (b"", -32700), (b"{", -32700), (b"nonsense", -32700), (b"{} {}", -32700), (b'{"jsonrpc": "2.0", "method": "x\xff"}', -32700),
    (b'{"a": "\\ud800"}', -32700), (b"[" * 100000, -32700), (b"[]", -32600), (b"1", -32600), (b"{}", -32600),
    (b'{"jsonrpc": "1.0", "id": 5, "method": "x"}', -32600), (b'{"jsonrpc": "2.0", "id": {}, "method": "x"}', -32600),
    (b'{"jsonrpc": "2.0", "id": 5, "method": 3}', -32600), (b'{"jsonrpc": "2.0", "method": ""}', -32600)])
def test_bodies_that_are_no_messages(body, code):
    messages, *_ = talk(BEGIN, frame(body), END, code=0)
    assert [m.get("id") for m in messages] in ([1, None, 99], [1, 5, 99])
    assert messages[1]["error"]["code"] == code


def test_parameters_of_wrong_types():
    uri = "file:///x.merit"
    wrong = [None, [], 3, "x", {}, {"textDocument": 3}, {"textDocument": {"uri": 3}}, {"textDocument": {"uri": uri}},
             {"textDocument": {"uri": uri}, "position": {"line": -1, "character": 0}},
             {"textDocument": {"uri": uri}, "position": {"line": 1.5, "character": "x"}},
             {"textDocument": {"uri": uri}, "position": {"line": 10**12, "character": 0}},
             {"textDocument": {"uri": uri}, "range": {"start": {}, "end": None}}]
    methods = ["textDocument/" + m for m in (
        "hover", "definition", "references", "rename", "prepareRename", "completion", "documentHighlight", "codeAction",
        "formatting", "documentSymbol", "foldingRange", "semanticTokens/full")] + ["merit/text"]
    opening = frame(note("textDocument/didOpen", {"textDocument": {"uri": uri, "version": 1, "languageId": "merit", "text": "zone x\n"}}))
    sent = [(m, w) for m in methods for w in wrong]
    pieces = [frame(request(100 + i, m, w)) for i, (m, w) in enumerate(sent)]
    notes = [frame(note("textDocument/" + m, w)) for m in ("didOpen", "didChange", "didClose", "didSave") for w in wrong[:7]]
    messages, *_ = talk(BEGIN, opening, *notes, *pieces, END, code=0)
    answers = {m["id"]: m for m in messages if m.get("id", 0) and m["id"] >= 100}
    assert len(answers) == len(sent)
    for i, (method, params) in enumerate(sent):
        whole = method.split("/")[-1] in ("formatting", "documentSymbol", "foldingRange", "full", "text")
        known = isinstance(params, dict) and params.get("textDocument") == {"uri": uri}
        assert ("error" in answers[100 + i]) == (not (known and whole)), (method, params, answers[100 + i])


def test_ids_come_back_as_they_were():
    for id in (0, -3, "a", "ü\"\\", 2**53, ""):
        messages, *_ = talk(BEGIN, frame(request(id, "no/such")), END, code=0)
        assert messages[1]["id"] == id


def test_answers_of_a_client_are_no_requests():
    messages, *_ = talk(BEGIN, frame({"jsonrpc": "2.0", "id": 3, "result": None}),
                        frame({"jsonrpc": "2.0", "id": 4, "error": {"code": 1, "message": "x"}}), END, code=0)
    assert [m["id"] for m in messages] == [1, 99]


def test_a_document_that_is_too_long():
    uri = "file:///x.merit"
    text = "# " + "x" * 100 + "\n"
    long = text * (4 * 1024 * 1024 // len(text) + 1)
    messages, *_ = talk(BEGIN, frame(note("textDocument/didOpen", {"textDocument": {"uri": uri, "version": 1, "languageId": "merit", "text": long}})),
                        frame(request(2, "textDocument/hover", {"textDocument": {"uri": uri}, "position": {"line": 0, "character": 0}})),
                        frame(note("textDocument/didChange", {"textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"text": "zone a\n"}]})),
                        frame(request(3, "merit/text", {"textDocument": {"uri": uri}})), END, code=0)
    by_id = {m.get("id"): m for m in messages}
    assert "4 MiB" in by_id[2]["error"]["message"]
    assert by_id[3]["result"]["text"] == "zone a\n"


@pytest.mark.parametrize("bad", [frame(b"{"), frame(b'{"jsonrpc": "2.0", "method": "x", "params": "\\ud800"}'),
                                 b"Content-Length: 34000000\r\n\r\n" + b" " * 34000000])
def test_after_what_could_not_be_read_no_document_is_trusted(bad):
    """It may have been an edit: formatting a text that is not the editor's would spoil the editor's."""
    uri = "file:///x.merit"
    ask = {"textDocument": {"uri": uri}}
    messages, *_ = talk(BEGIN, frame(note("textDocument/didOpen", {"textDocument": {"uri": uri, "version": 1, "text": "zone  a\n"}})),
                        frame(request(2, "textDocument/formatting", ask)), bad, frame(request(3, "textDocument/formatting", ask)),
                        frame(note("textDocument/didChange", {"textDocument": {"uri": uri, "version": 2},
                                                              "contentChanges": [{"text": "zone  b\n"}]})),
                        frame(request(4, "textDocument/formatting", ask)), END, code=0)
    by_id = {m.get("id"): m for m in messages}
    assert "result" in by_id[2] and "could not be read" in by_id[3]["error"]["message"] and "result" in by_id[4]


def test_bytes_one_by_one():
    p = subprocess.Popen([MERIT, "policy", "lsp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    for b in BEGIN + END:
        p.stdin.write(bytes([b]))
    out = p.stdout.read()
    p.stdin.close()
    p.stdout.close()
    assert p.wait(PATIENCE) == 0 and out.count(b"Content-Length") == 2


def test_the_editor_is_gone():
    """Its process ends while the pipe stays open: the server ends, too."""
    other = subprocess.Popen(["sleep", "60"])
    p = subprocess.Popen([MERIT, "policy", "lsp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    p.stdin.write(frame(request(1, "initialize", {"capabilities": {}, "processId": other.pid})))
    assert p.stdout.read(20)
    other.kill()
    other.wait()
    p.stdin.write(frame(note("initialized", {})))
    try:
        assert p.wait(PATIENCE) == 1
    finally:
        p.kill()
        p.stdin.close()
        p.stdout.close()
