"""The files of editors/, in the engines that editors have."""
import json
import os
import re
import shutil
import subprocess

import pytest
from lsprotocol import types as t

from clients import install
from conftest import MERIT, ROOT, run_program
from lsp_client import Client

EDITORS = ROOT / "editors"
GRAMMAR = EDITORS / "vscode" / "syntaxes" / "merit.tmLanguage.json"
HERE = ROOT / "tests" / "e2e" / "clients"
LANGUAGE = sorted(set(re.findall(r'"([a-z_]+)"', re.sub(r"\(\*.*?\*\)", "", (ROOT / "docs/grammar.ebnf").read_text(), flags=re.S))))


def test_highlighting_has_the_words_of_the_grammar():
    ran = subprocess.run(["python3", EDITORS / "generate", "--check"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def engine():
    node, _ = install.node()
    return node, install.npm("textmate", **{"vscode-textmate": "9.3.2", "vscode-oniguruma": "2.0.1"})


def scopes(engine, folder, *texts):
    """Per text a list of (piece, scopes)."""
    files = []
    for n, text in enumerate(texts):
        files.append(folder / f"tm{n}.merit")
        files[-1].write_text(text)
    ran = run_program([engine[0], HERE / "tm_tokens.mjs", GRAMMAR, *files], engine[1])
    out = []
    for text, line in zip(texts, ran.out.splitlines(), strict=True):
        rows = [r.encode("utf-16-le") for r in text.split("\n")]
        out.append([(rows[n][a * 2:b * 2].decode("utf-16-le", "replace"), s, (n, a)) for n, a, b, s in json.loads(line)])
    return out


@pytest.mark.clients
def test_scopes(engine, scratch):
    text = '''# a comment with route and "quotes"
policy "home" version 1
model swift-2.5b  zone house  endpoint "http://x # no comment \\"q\\""  context 32k tok  price 0.03 in, 0.06 out usd/Mtok
    output 2k tok
signal when-ever = keywords(regex "a+", match any)  above 3
path careful(a, b) = answer(a high | b) -> else refuse "no"
route x when not true and depth >= 3 or in_zone -> careful(deep) # tail
routes = 1
zone-x
'''
    (got,) = scopes(engine, scratch, text)

    def of(piece, nth=0):
        found = [s[-1] for p, s, _ in got if p == piece]
        assert found, (piece, [p for p, *_ in got])
        return found[nth]

    for piece in ("policy", "model", "signal", "path", "route"):
        assert of(piece) == "keyword.control.merit"
    for piece in ("version", "zone", "endpoint", "context", "price", "out", "output", "above", "else", "refuse", "when"):
        assert of(piece) == "keyword.other.merit", piece
    for piece in ("not", "and", "or", "in"):
        assert of(piece) == "keyword.operator.word.merit"
    for piece in ("swift-2.5b", "when-ever", "careful", "x"):
        assert of(piece) == "entity.name.type.merit", piece
    for piece in ("32k", "0.03", "3", "1"):
        assert of(piece) == "constant.numeric.merit"
    for piece in ("tok", "usd/Mtok"):
        assert of(piece) == "keyword.other.unit.merit"
    for piece in ("true", "any"):
        assert of(piece) == "constant.language.merit"
    for piece in ("keywords", "answer"):
        assert of(piece) == "entity.name.function.merit"
    for piece in ("house", "high", "depth", "in_zone", "deep", "regex", "routes", "zone-x"):
        assert of(piece) == "variable.other.merit" or piece == "routes", piece
    assert of("->") == "keyword.operator.arrow.merit" and of(">=") == "keyword.operator.comparison.merit"
    assert of("|") == "keyword.operator.alternative.merit" and of("=") == "keyword.operator.assignment.merit"
    whole = "".join(p for p, s, _ in got if "comment.line.number-sign.merit" in s)
    assert whole == '# a comment with route and "quotes"# tail'
    strings = "".join(p for p, s, _ in got if "string.quoted.double.merit" in s)
    assert strings == '"home""http://x # no comment \\"q\\"""a+""no"'


@pytest.mark.clients
def test_every_word_of_the_language_has_a_scope_of_its_own(engine, scratch):
    text = "".join(f"x {w} y\n" for w in LANGUAGE) + "".join(f"x-{w} {w}.2 a{w} {w}s_\n" for w in LANGUAGE)
    (got,) = scopes(engine, scratch, text)
    alone = {p: s[-1] for p, s, at in got if at[0] < len(LANGUAGE) and p in LANGUAGE}
    assert sorted(alone) == LANGUAGE
    assert {w for w, s in alone.items() if not s.startswith(("keyword.", "constant.language"))} == set()
    part = [s[-1] for p, s, at in got if at[0] >= len(LANGUAGE) and p.strip()]
    assert set(part) == {"variable.other.merit"}


@pytest.mark.clients
def test_scopes_of_the_examples_agree_with_the_server(engine, scratch):
    """What the language server calls a comment, string, number or keyword has such a scope, character by character."""
    files = sorted((ROOT / "examples").glob("*.merit"))
    want = {"comment": "comment.", "string": "string.", "number": "constant.numeric", "operator": "keyword.operator",
            "type": "keyword.other.unit", "keyword": ("keyword.", "constant.language")}
    texts = [f.read_text() for f in files]
    c = Client(scratch)
    legend = c.begun.capabilities.semantic_tokens_provider.legend.token_types
    compared = 0
    for file, text, got in zip(files, texts, scopes(engine, scratch, *texts), strict=True):
        by_place = {}
        for piece, s, (line, at) in got:
            for i in range(len(piece)):
                by_place[line, at + i] = s
        c.open(uri := f"file:///{file.name}", text)
        data = c.ask("text_document_semantic_tokens_full", t.SemanticTokensParams(t.TextDocumentIdentifier(uri))).data
        line = at = 0
        for i in range(0, len(data), 5):
            down, right, length, kind, _ = data[i:i + 5]
            line, at = line + down, right if down else at + right
            prefix = want.get(legend[kind])
            for k in range(length if prefix else 0):
                s = by_place[line, at + k]
                assert any(x.startswith(prefix) for x in s), (file.name, text.split("\n")[line], legend[kind], s)
                compared += 1
    c.stop()
    assert compared > 5000


@pytest.mark.clients
def test_extension(scratch):
    node, _ = install.node()
    policy = scratch / "p.merit"
    policy.write_text('''policy "home" version 1
# \U0001F680 two
# lines
model swift endpoint demo  context 8k tok
model other endpoint demo  context 8k tok
signal urgent = keywords("now")
route quick when urgent -> answer(swift)
otherwise -> answer(other)
''')
    env = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
    ran = run_program([node, HERE / "vscode_stub.mjs", EDITORS / "vscode", MERIT, policy], scratch, env=env)
    got = json.loads(ran.out)
    assert got["clean"] == [] and got["shown"] == [] and len(got["providers"]) == 11
    assert "8000 tokens" in got["hover"] and got["definition"]["start"] == {"line": 3, "character": 6}
    assert got["references"] == got["highlights"] == got["rename"] == 2 and got["prepared"] == "swift"
    assert "word of the language" in got["refused"]
    assert {"swift", "any"} <= set(got["completion"]) and "quick" in got["symbols"]
    assert got["folds"] == 1 and got["tokens"] > 50 and got["formatted"] >= 1
    assert got["wrong"] == [["unknown-name", 0, 6]] and got["fixes"] == ["Write swift"] and got["again"] >= 1


def test_extension_says_what_is_missing(scratch):
    node, _ = install.node()
    script = '''const { Client } = require(process.argv[1] + "/client.js");
const c = new Client("/no/such/merit", [], {}, (why) => console.log("ended " + why));
c.request("initialize", {}).catch((e) => console.log("refused " + e.message));'''
    ran = run_program([node, "-e", script, EDITORS / "vscode"], scratch)
    assert "ended spawn /no/such/merit ENOENT" in ran.out and "refused" in ran.out


def test_extension_manifest():
    manifest = json.loads((EDITORS / "vscode/package.json").read_text())
    paths = [manifest["main"], manifest["contributes"]["grammars"][0]["path"], manifest["contributes"]["languages"][0]["configuration"]]
    assert all((EDITORS / "vscode" / p).exists() for p in paths)
    configuration = json.loads((EDITORS / "vscode/language-configuration.json").read_text())
    word = re.compile(configuration["wordPattern"])
    assert [m.group() for m in word.finditer("answer(qwen3-8b.x, 0.5)")] == ["answer", "qwen3-8b.x", "0.5"]


def test_vim(scratch):
    vim = shutil.which("vim")
    if not vim:
        pytest.skip("vim is not installed")
    file, out = scratch / "x.merit", scratch / "out"
    file.write_text('policy "home" version 1 # why\nroute when-ever when not depth > 3 -> answer(any) within 0.05 usd\nmodel zone-x zone house\n')
    dump = scratch / "dump.vim"
    dump.write_text(f'''set nocompatible
set runtimepath^={EDITORS}/vim
filetype plugin on
syntax on
edit {file}
let out = [&filetype, &commentstring]
for line in range(1, line('$'))
  for column in range(1, len(getline(line)))
    call add(out, synIDattr(synID(line, column, 1), 'name'))
  endfor
  call add(out, '')
endfor
call writefile(out, '{out}')
qall!
''')
    subprocess.run([vim, "-Nu", "NONE", "-es", "-S", dump], timeout=30, stdin=subprocess.DEVNULL, capture_output=True)
    lines = out.read_text().split("\n")
    if lines[0] != "merit" and "syntax" not in subprocess.run([vim, "--version"], capture_output=True, text=True).stdout:
        pytest.skip("this vim has no highlighting")
    assert lines[:2] == ["merit", "# %s"]
    names, at = lines[2:], 0
    text = file.read_text()
    groups = []
    for c in text:
        groups.append(names[at] if at < len(names) else "")
        at += 1

    def of(piece, nth=0):
        begin = [m.start() for m in re.finditer(rf"(?<![\w.-]){re.escape(piece)}(?![\w-])", text)][nth]
        return set(groups[begin:begin + len(piece)])

    for piece, group in [("policy", "Statement"), ("route", "Statement"), ("version", "Clause"), ("when-ever", "Name"), ("when", "Clause"),
                         ("not", "OperatorWord"), ("3", "Number"), ("answer", "Call"), ("any", "Constant"), ("within", "Clause"),
                         ("0.05", "Number"), ("model", "Statement"), ("zone-x", "Name"), ("zone", "Clause")]:
        assert of(piece) == {"merit" + group}, piece
    assert set(groups[text.index('"home"'):][:6]) == {"meritString"} and set(groups[text.index("# why"):][:5]) == {"meritComment"}
