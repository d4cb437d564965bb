"""`merit policy lsp` as a real language client sees it."""
import json
import random
import re
import subprocess

import pytest
from lsprotocol import types as t
from pygls.exceptions import JsonRpcException
from pygls.workspace import TextDocument

from conftest import MERIT, ROOT, SLOW
from lsp_client import ALL, Client, apply, offset, place

URI = "file:///home.merit"
DEMO = (ROOT / "examples" / "demo.merit").read_text()
HOME = """policy "home" version 1

zone house

model swift zone house  endpoint demo  context 8192 tok  price 0.02 in, 0.05 out usd/Mtok since 2026-11-21  quality 0.5
model deep  zone house  endpoint demo  context 128k tok  effort low, high  quality 0.9

alias auto -> routes
alias fast -> route quick

signal urgent = keywords("urgent", "now")
signal depth  = conversation(tool_cycles)
signal format = output

path careful(a, b) = answer(a high | b) else refuse "nobody"

route quick when urgent and not depth > 3 -> answer(swift)
route form  when format == json or urgent -> careful(deep, swift)
otherwise                                 -> answer(any)
"""


@pytest.fixture
def client(scratch):
    made = []

    def begin(**more):
        made.append(Client(scratch, **more))
        return made[-1]

    yield begin
    for c in made:
        c.stop() if c.process.returncode is None else None


@pytest.fixture
def home(client):
    c = client()
    c.open(URI, HOME)
    return c


def check(text, scratch):
    file = scratch / "checked.merit"
    file.write_text(text)
    return subprocess.run([MERIT, "policy", "check", file], capture_output=True, text=True)


def find(text, word, nth=0, behind=False):
    at = [m.start() for m in re.finditer(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text)][nth]
    return place(text, at + (len(word) if behind else 0))


def test_diagnostics_come_and_go(home):
    assert home.diagnostics(URI) == []
    line, character = find(HOME, "urgent", 2)
    home.change(URI, ((line, character), (line, character + 6), "urgnt"))
    (d,) = home.diagnostics(URI)
    assert (d.severity, d.code, d.source) == (t.DiagnosticSeverity.Error, "unknown-name", "merit")
    assert "urgnt" in d.message and "did you mean `urgent`?" in d.message
    assert (d.range.start.line, d.range.start.character, d.range.end.character) == (line, character, character + 5)
    home.change(URI, ((line, character), (line, character + 5), "urgent"))
    assert home.diagnostics(URI) == []
    home.close_document(URI)


def test_second_place_and_warning(home):
    home.change(URI, HOME + "zone house\nsignal extra = tools\n")
    found = {d.code: d for d in home.diagnostics(URI)}
    also = found["duplicate"].related_information
    assert also[0].location.range.start == t.Position(2, 5) and also[0].message
    home.change(URI, HOME.replace("signal depth", "signal extra = tools\nsignal depth"))
    (d,) = home.diagnostics(URI)
    assert d.code == "unused" and d.severity == t.DiagnosticSeverity.Warning and list(d.tags) == [t.DiagnosticTag.Unnecessary]


def test_more_findings_than_are_told(home):
    home.change(URI, HOME + "".join(f"alias a{i} -> model nobody{i}\n" for i in range(300)))
    found = home.diagnostics(URI)
    assert len(found) == 201 and found[-1].message == "and 100 more findings"


def test_closed_document_has_no_findings(home):
    home.change(URI, "nonsense")
    assert home.diagnostics(URI)
    home.documents[URI] = None
    with home.changed:
        count = len(home.published[URI])
    home.tell("text_document_did_close", t.DidCloseTextDocumentParams(t.TextDocumentIdentifier(URI)))
    with home.changed:
        assert home.changed.wait_for(lambda: len(home.published[URI]) > count, 10)
        assert not home.published[URI][-1].diagnostics
    del home.documents[URI]


# ---- places

DEFINED = [("house", 1, "house", 0), ("urgent", 2, "urgent", 0), ("urgent", 3, "urgent", 0), ("depth", 1, "depth", 0),
           ("careful", 1, "careful", 0), ("deep", 1, "deep", 0), ("swift", 1, "swift", 0), ("quick", 0, "quick", 1),
           ("swift", 2, "swift", 0)]


@pytest.mark.parametrize("word, use, target, definition", DEFINED)
def test_definition(home, word, use, target, definition):
    for behind in (False, True):
        got = home.at(URI, "text_document_definition", find(HOME, word, use, behind))
        assert got.uri == URI
        assert (got.range.start.line, got.range.start.character) == find(HOME, target, definition)


def test_definition_of_a_parameter_is_in_its_path(home):
    use = HOME.index("(a high") + 1
    got = home.at(URI, "text_document_definition", place(HOME, use))
    assert (got.range.start.line, got.range.start.character) == place(HOME, HOME.index("(a, b)") + 1)
    assert home.at(URI, "text_document_definition", find(HOME, "answer")) is None
    assert home.at(URI, "text_document_definition", (2, 0)) is None


def test_references(home):
    got = home.at(URI, "text_document_references", find(HOME, "urgent", 2))  # 1 is a string
    assert [(r.range.start.line, r.range.start.character) for r in got] == [find(HOME, "urgent", n) for n in (0, 2, 3)]
    assert len(home.at(URI, "text_document_references", find(HOME, "urgent", 2),
                       context=t.ReferenceContext(include_declaration=False))) == 2
    marks = home.at(URI, "text_document_document_highlight", find(HOME, "urgent", 2))
    assert [m.kind for m in marks] == [t.DocumentHighlightKind.Write] + [t.DocumentHighlightKind.Read] * 2


NAMES = ["house", "swift", "deep", "fast", "urgent", "depth", "format", "careful", "quick", "form"]


@pytest.mark.parametrize("name", NAMES)
def test_rename_gives_a_policy_that_loads(home, scratch, name):
    # `format` and `form`: a name that is part of another one, and of a route's.
    use = next(n for n in range(5) if (got := home.at(URI, "text_document_prepare_rename", find(HOME, name, n))))
    got = home.at(URI, "text_document_prepare_rename", find(HOME, name, use))
    assert got.placeholder == name
    edits = home.at(URI, "text_document_rename", find(HOME, name, use), new_name="else-where.2").changes[URI]
    renamed = apply(HOME, edits)
    ran = check(renamed, scratch)
    assert ran.returncode == 0, ran.stderr
    assert renamed.count("else-where.2") == len(edits) >= 1
    # And back again, letter by letter.
    home.change(URI, renamed)
    back = home.at(URI, "text_document_rename", find(renamed, "else-where.2"), new_name=name).changes[URI]
    assert apply(renamed, back) == HOME


@pytest.mark.parametrize("new", ["when", "refuse", "else", "deep", "any", "answer", "two words", "", "9lives", "x" * 200, "a|b", "default",
                                 "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"])
def test_rename_refuses(home, new):
    with pytest.raises(JsonRpcException):
        home.at(URI, "text_document_rename", find(HOME, "swift"), new_name=new)


def test_rename_refuses_what_would_change_the_meaning(home):
    # As `a` the model would be hidden by the path's parameter.
    for name, new in (("swift", "a"), ("urgent", "depth")):
        with pytest.raises(JsonRpcException):
            home.at(URI, "text_document_rename", find(HOME, name), new_name=new)
    assert home.at(URI, "text_document_prepare_rename", find(HOME, "answer")) is None


def test_hover(home):
    home.diagnostics(URI)

    def text(word, nth=0):
        got = home.at(URI, "text_document_hover", find(HOME, word, nth))
        assert got.contents.kind == t.MarkupKind.Markdown
        return got.contents.value

    assert "when urgent and not (depth > 3), it is answered by swift" in text("quick", 1)
    assert "0.02 USD in, 0.05 out" in text("swift") and "zone house" in text("swift", 2) and "8192" in text("swift")
    assert "Asked by route quick, form." in text("urgent", 2) and "Family `keywords`" in text("urgent", 2)
    assert "Type: number" in text("depth", 1) and "Asked by route quick." in text("depth")
    assert "first whose guard holds" in text("route", 1)
    assert "conversation" in text("conversation") and "Cost: free" in text("conversation")
    assert "output" in text("output", 0)
    assert home.at(URI, "text_document_hover", (1, 0)) is None


def test_hover_tells_what_is_proved(home):
    text = HOME.replace("route form ", "route again when urgent and depth < 2 -> answer(deep)\nroute form ")
    home.change(URI, text)
    (d,) = home.diagnostics(URI)
    assert d.code == "shadowed" and d.severity == t.DiagnosticSeverity.Error and "for example {" in d.message

    def about(name):
        return home.at(URI, "text_document_hover", find(text, name)).contents.value

    assert "Never taken: `quick` before it take all of it" in about("again")
    assert "Takes what `again` would have taken" in home.at(URI, "text_document_hover", find(text, "quick", 1)).contents.value
    assert re.search(r"Share of all requests.*: \d+\.\d\d %.*costs at most .*Signals: .* expected", about("form"), re.S)


def test_findings_carry_a_request_that_shows_them(home, scratch):
    text = HOME + ("prove passes verify\nprove never urgent and depth > 9\ntest \"t\" given urgent expect route quick\n"
                   "prove zone house when depth > 3 and depth < 2\n")
    home.change(URI, text)
    found = home.diagnostics(URI)
    assert len(found) == 4
    found = {d.range.start.line: d for d in found}
    first = HOME.count("\n")
    assert [found[first + i].code for i in range(4)] == ["theorem", "theorem", "test", "vacuous"]
    for i, shows in enumerate([lambda v: True, lambda v: v["urgent"] is True and v["depth"] > 9,
                                       lambda v: v["urgent"] is True and v["depth"] > 3]):
        d = found[first + i]
        assert d.data["witness"] in d.message
        given = json.loads(d.data["witness"])
        assert shows(given), given
    file = scratch / "p.merit"
    file.write_text(HOME)
    ran = subprocess.run([MERIT, "route", "--policy", file, "--given", found[first + 2].data["witness"], "hello", "--json"],
                         capture_output=True, text=True)
    assert ran.returncode == 0 and '"quick"' not in json.dumps(json.loads(ran.stdout).get("route")), ran.stdout + ran.stderr


def labels(client, text, at=None, uri=URI):
    at = place(text, len(text)) if at is None else at
    client.change(uri, text)
    got = client.at(uri, "text_document_completion", at)
    return {i.label: i for i in getattr(got, "items", got)}


BEFORE = HOME.rsplit("otherwise", 1)[0]


@pytest.mark.parametrize("typed, offered, withheld", [
    ("", ["route", "otherwise", "signal", "model"], ["when", "urgent"]),
    ("ro", ["route"], ["when"]),
    ("route x ", ["when"], ["route", "minimise", "urgent"]),
    ("route x when ", ["urgent", "depth", "format", "not", "true"], ["deep", "careful", "when", "above"]),
    ("route x when not (", ["urgent", "not"], ["deep"]),
    ("route x when urgent ", ["and", "or", "in"], ["urgent", "minimise"]),
    ("route x when format == ", ["json", "schema"], ["urgent", "deep"]),
    ("route x when format in (json, ", ["json", "schema"], ["urgent"]),
    ("route x when urgent -> ", ["answer", "refuse", "careful", "escalate"], ["urgent", "deep"]),
    ("route x when urgent -> answer(", ["deep", "swift", "any"], ["urgent", "a", "careful"]),
    ("route x when urgent -> answer(de", ["deep", "swift", "any"], ["urgent"]),
    ("route x when urgent -> answer(deep ", ["low", "high"], ["off", "swift", "deep"]),
    ("route x when urgent -> answer(deep, ", ["swift", "any"], ["low"]),
    ("route x when urgent -> answer(deep) ", ["minimise", "maximise", "within", "where", "else"], ["when", "deep"]),
    ("route x when urgent -> answer(deep) minimise ", ["cost"], ["quality"]),
    ("route x when urgent -> answer(deep) within 3 ", ["usd"], ["tok"]),
    ("path p(x, y) = answer(", ["x", "y", "deep"], ["a", "urgent"]),
    ("alias other -> ", ["routes", "route", "model"], ["deep"]),
    ("alias other -> route ", ["quick", "form"], ["deep"]),
    ("alias other -> model ", ["deep", "swift"], ["quick"]),
    ("pass \"/v1/x\" to ", ["deep", "swift"], ["quick"]),
    ("signal s = ", ["keywords", "jailbreak", "context"], ["urgent"]),
    ("signal s = keywords(", ["regex", "match", "case"], ["json", "deep"]),
    ("signal s = keywords(\"x\", match ", ["any", "all", "none"], ["regex"]),
    ("signal s = output on_error ", ["json"], ["deep"]),
    ("signal s = pii(email) on_error ", ['"email"'], ["deep"]),
    ("signal s = context above 3 ", ["tok"], ["usd"]),
    ("model m zone ", ["house"], ["deep"]),
    ("model m endpoint ", ["demo"], ["house"]),
    ("model m can tools, ", ["images", "json"], ["house"]),
    ("model m context 8k tok ", ["output", "price", "quality", "zone"], ["when"]),
    ("model m context 8k ", ["tok"], ["usd"]),
    ("model m provider ", ["openai", "groq"], ["house"]),
    ("model m\n    endpoint demo\n    ", ["context", "price"], ["route"]),
    ("zone far ", ["clears", "pue", "carbon"], ["price"]),
    ("zone far carbon 380 ", ["g/kWh"], ["usd"]),
    ("zone far carbon 380 g/kWh ", ["average", "marginal", "pue"], ["weight"]),
    ("model m endpoint demo ", ["engine", "weight", "slots", "rate", "serves", "meter", "maintenance", "context"], ["clears"]),
    ("model m endpoint demo engine ", ["vllm", "sglang", "llamacpp", "tgi"], ["swift"]),
    ("model m endpoint demo rate 5 ", ["requests/minute", "tok/minute"], ["usd"]),
    ("model m endpoint demo meter ", ["nvml", "rapl"], ["vllm"]),
    ("model m price ", ["listed", "gpu", "batch"], ["in"]),
    ("model m price 1 ", ["in", "out", "cached", "written", "usd/request"], ["listed"]),
    ("model m price 1 in, 2 out usd/Mtok ", ["since", "from", "quality"], ["in"]),
    ("model m price gpu 4 ", ["usd/h"], ["usd/Mtok"]),
    ("model m energy ", ["estimate", "h100"], ["in"]),
    ("model m effort off, on ", ["by"], ["off"]),
    ("model m effort off, on by ", ["template", "thinking", "reasoning_effort"], ["off"]),
    ("dispatch ", ["price", "least_request", "power_of_two", "round_robin"], ["second"]),
    ("dispatch price ", ["second", "kWh", "kg", "weights"], ["queue"]),
    ("dispatch price second 1 ", ["usd"], ["tok"]),
    ("dispatch price weights ", ["queue", "prefix", "session"], ["swift"]),
    ("budget per ", ["loop", "session", "team"], ["usd"]),
    ("budget per key 5 ", ["usd/day", "requests/minute", "kWh/month"], ["price"]),
    ("budget per key 5 usd/day hard ", ["cheaper", "when", "as"], ["paced"]),
    ("# a comment on ro", [], ["route"]),
    ("route x when urgent and -> ", ["answer", "careful"], ["urgent"]),
    ("route x urgent -> answer(", ["deep", "any"], ["urgent"]),
])
def test_completion(home, typed, offered, withheld):
    got = labels(home, BEFORE + typed)
    assert [w for w in offered if w not in got] == [], sorted(got)
    assert [w for w in withheld if w in got] == [], sorted(got)


def test_completion_replaces_what_is_typed(home):
    text = HOME.replace("answer(swift)", "answer(swi")
    at = place(text, text.index("answer(swi") + len("answer(swi"))
    item = labels(home, text, at)["swift"]
    assert apply(text, [item.text_edit]) == HOME.replace("answer(swift)", "answer(swift")


def test_every_word_of_the_examples_is_offered_where_it_stands(client):
    """Cut the file at each word: the word must be among what is offered."""
    c = client()
    for file in sorted((ROOT / "examples").glob("*.merit")):
        text = file.read_text()
        c.open(uri := f"file:///{file.name}", text)
        bare = re.sub(r'"[^"\n]*"|#[^\n]*', lambda m: " " * len(m.group()), text)
        rng = random.Random(7)
        words = [m for m in re.finditer(r"(?<![\w.-])[A-Za-z_][\w.-]*", bare)]
        for m in rng.sample(words, min(120, len(words))):
            statement = bare.rfind("\n", 0, m.start()) + 1
            while bare[statement] in " \t":
                statement = bare.rfind("\n", 0, statement - 1) + 1
            if m.start() - statement and re.match(r"\w+\s+$", bare[statement:m.start()]):
                continue  # a name that is being defined
            if re.search(r"\bkey (env|file) $|path [\w-]+\([^)]*$|^lattice .*$|\bbands [^>]*$|exclusive.*otherwise $",
                         bare[statement:m.start()]):
                continue  # any name
            end = text.find("\n", m.end())
            got = labels(c, text[:m.start()] + text[end:], place(text, m.start()), uri)
            assert any(w == m.group() or w.startswith(m.group() + "/") for w in got), (file.name, text[statement:m.end()], sorted(got))


def test_every_name_of_the_examples_can_be_renamed(client, scratch):
    """Each definition: all occurrences and no others change, the policy still loads, and the way back is the same."""
    c = client()
    (scratch / "whole.merit").write_text(WHOLE)
    for file in [scratch / "whole.merit", *sorted((ROOT / "examples").glob("*.merit"))]:
        text = file.read_text()
        c.open(uri := f"file:///{file.name}", text)
        before = check(text, scratch)
        data = c.ask("text_document_semantic_tokens_full", t.SemanticTokensParams(t.TextDocumentIdentifier(uri))).data
        line = at = 0
        defined = []
        for i in range(0, len(data), 5):
            down, right, length, kind, modifiers = data[i:i + 5]
            line, at = line + down, right if down else at + right
            if modifiers:
                defined.append((line, at, text.split("\n")[line][at:at + length]))
        assert len(defined) >= 9
        for line, at, name in random.Random(3).sample(defined, 6 if SLOW == 1 else 2):
            try:
                edits = c.at(uri, "text_document_rename", (line, at + 1 if name[0] == '"' else at), new_name="q-0.z").changes[uri]
            except JsonRpcException as e:
                # A sink whose name is its kind.
                assert name in ("log", "cache", "judge", "trace", "verifier", "retriever") and "does not say what it is" in str(e)
                continue
            renamed = apply(text, edits)
            after = check(renamed, scratch)
            assert (after.returncode, after.stderr.count("\n")) == (before.returncode, before.stderr.count("\n")), (
                file.name, name, after.stderr)
            c.change(uri, renamed)
            where = renamed.split("\n")[line].index("q-0.z")
            back = c.at(uri, "text_document_rename", (line, where), new_name=name.strip('"')).changes[uri]
            assert apply(renamed, back) == text, (file.name, name)
            c.change(uri, text)


def test_completion_among_thousands_of_names(home):
    many = "".join(f'signal s{i} = keywords("w{i}")\n' for i in range(3000))
    text = HOME.replace("signal urgent", many + "signal urgent") + ""
    home.change(URI, text)
    at = place(text, text.index("when urgent") + len("when ur"))
    got = home.at(URI, "text_document_completion", at)
    assert got.is_incomplete and [i.label for i in got.items] == ["urgent"]
    got = home.at(URI, "text_document_completion", place(text, text.index("when urgent") + len("when ")))
    assert got.is_incomplete and len(got.items) == 2000


# ---- formatting, outline, colours

def test_formatting_is_that_of_the_program(client, scratch):
    c = client()
    for n, text in enumerate([HOME, DEMO, HOME.replace("  ", " "), DEMO.replace("\n\n", "\n\n\n\n"), "\n\n" + HOME + "\n\n",
                              HOME.replace("\n", "\r\n"), HOME.rstrip("\n"), HOME.replace(" -> ", "   ->\n   ")]):
        file = scratch / f"{n}.merit"
        file.write_text(text, newline="")
        wanted = subprocess.run([MERIT, "policy", "fmt", file], capture_output=True, check=True).stdout.decode()
        c.open(uri := f"file:///{n}.merit", text)
        edits = c.ask("text_document_formatting", t.DocumentFormattingParams(
            text_document=t.TextDocumentIdentifier(uri), options=t.FormattingOptions(tab_size=4, insert_spaces=True)))
        assert apply(text, edits) == wanted
        assert wanted != text or not edits


def test_formatting_touches_what_changes_only(home):
    text = HOME.replace("signal depth  =", "signal depth =")
    home.change(URI, text)
    (edit,) = home.ask("text_document_formatting", t.DocumentFormattingParams(
        text_document=t.TextDocumentIdentifier(URI), options=t.FormattingOptions(tab_size=4, insert_spaces=True)))
    assert edit.range.start.line == edit.range.end.line - 1 == text[:text.index("signal depth")].count("\n")
    home.change(URI, "route route route")
    assert home.ask("text_document_formatting", t.DocumentFormattingParams(
        text_document=t.TextDocumentIdentifier(URI), options=t.FormattingOptions(tab_size=4, insert_spaces=True))) is None


def test_symbols_and_folding(home):
    got = home.ask("text_document_document_symbol", t.DocumentSymbolParams(t.TextDocumentIdentifier(URI)))
    assert [(s.name, s.detail) for s in got][:4] == [("home", "policy"), ("house", "zone"), ("swift", "model"), ("deep", "model")]
    assert got[-1].name == "otherwise"
    for s in got:
        assert s.range.start.line <= s.selection_range.start.line <= s.selection_range.end.line <= s.range.end.line
    home.change(URI, "# one\n# two\nmodel x endpoint demo\n    context 8k tok\n")
    folds = home.ask("text_document_folding_range", t.FoldingRangeParams(t.TextDocumentIdentifier(URI)))
    assert sorted((f.start_line, f.end_line) for f in folds) == [(0, 1), (2, 3)]


def colours(client, text, uri=URI):
    legend = client.begun.capabilities.semantic_tokens_provider.legend.token_types
    data = client.ask("text_document_semantic_tokens_full", t.SemanticTokensParams(t.TextDocumentIdentifier(uri))).data
    lines, line, character, out = text.split("\n"), 0, 0, []
    for i in range(0, len(data), 5):
        down, right, length, kind, _ = data[i:i + 5]
        line, character = line + down, right if down else character + right
        raw = lines[line].encode("utf-16-le")
        out.append((raw[character * 2:(character + length) * 2].decode("utf-16-le"), legend[kind]))
    return out


def test_semantic_tokens(home):
    text = HOME.replace("zone house\n", "zone house # \U0001F600 machines\n", 1)
    home.change(URI, text)
    got = colours(home, text)
    for pair in [("zone", "keyword"), ("house", "namespace"), ("# \U0001F600 machines", "comment"), ("swift", "class"),
                 ("urgent", "variable"), ("keywords", "function"), ('"now"', "string"), ("128k", "number"), ("tok", "type"),
                 ("a", "parameter"), ("careful", "function"), ("json", "enumMember"), ("->", "operator"), ("fast", "property"),
                 ("any", "keyword"), ("high", "enumMember"), ("demo", "enumMember")]:
        assert pair in got, pair
    assert ("route", "keyword") in got and all(kind == "function" for word, kind in got if word == "careful")


WHOLE = """policy "whole" version 2

lattice exposure = public < internal < phi
lattice region   = abroad < eu

zone house clears phi, eu
zone cloud clears internal

sink nli   verifier  zone house  clears phi, eu  price 0 usd/call  energy 5 J/call  timeout 2 s
sink peer  judge     zone cloud  clears internal  price 0.001 usd/call  energy 20 J/call  timeout 5 s
sink kb    retriever zone house  clears phi, eu  holds internal  adds 4k tok  price 0 usd/call  energy 1 J/call  timeout 1 s
sink store cache     zone house  clears phi, eu  price 0 usd/call  energy 1 J/call  timeout 1 s
sink log clears public

model small zone house  endpoint demo  context 32k tok  output 2k tok  price 0.03 in, 0.06 out usd/Mtok since 2026-11-21  quality 0.7
            energy 40 in, 300 out kJ/Mtok  timeout 60 s
model large zone cloud  endpoint demo  context 128k tok  output 4k tok  effort low, high  price 1 in, 8 out usd/Mtok since 2026-11-21  quality 0.9
            energy 300 in, 2000 out kJ/Mtok  timeout 90 s

alias auto -> routes
alias mini -> model small

signal ward   = keywords("patient")
signal coding = keywords(bm25 "write a function")
signal chat   = keywords(bm25 "hello there")
signal hard   = complexity
signal code   = structure(code_blocks)
signal who    = caller(team)
signal topic  = domain
signal data   label exposure = max(caller, pii(email, ssn), internal when ward or code > 2, ward)  on_error phi
signal place  label region   = max(eu when ward)  on_error abroad
signal risk   = score(0.5 when hard > 0.6, 0.3 when data >= internal, -0.2 when who == "staff", 0.1 ward)  bands low, medium above 0.1, high above 0.4
signal task   = exclusive(coding, chat)  temperature 0.1  margin 0.05  otherwise other

forbid zone below data as "no way down"
forbid zone cloud when data == phi and topic in (law, health)
forbid model large when risk == high as "not that much"
forbid step cache when data == phi
forbid sink peer, store when data >= internal
forbid effort high when task == other
require verify(nli) when risk == high
allow escalate 1 when data != phi
allow fuse
budget 0.5 usd/request hard, 90 kJ/request hard when who != "staff"
budget per team 5 usd/day paced as "pocket money"

path checked(m)   = retrieve(kb) -> answer(m) retry 1 cap 1k tok -> verify(nli) else refuse "not verified"
path ladder(a, b) = answer(a) -> verify(nli) else escalate answer(b high | a) -> verify(nli) else refuse "no"
path stored(m)    = cache(store) -> answer(m) else redact(internal) -> answer(m)
path both         = fuse(small, large)

route sober  when topic in (law, health) or risk == high -> checked(small)
route coder  when task == coding and data < phi          -> ladder(small, large)
route talk   when task == chat and not ward              -> stored(small) minimise energy
route deep   when hard > 0.8 and data == public          -> both
otherwise                                                -> answer(small, large low) minimise cost where quality >= 0.5 within 0.5 usd

prove no phi reaches zone cloud
prove no phi reaches sink peer
prove no internal reaches model large when data == phi
prove every path costs at most 2 usd, 500 s
prove route talk costs at most 1 usd
prove passes verify when risk == high
prove never ward and data == public

test "law" given topic == law expect route sober, zone house, passes verify(nli), not model large
test "talk" given user "hello", not ward expect feasible

assume shadowed deep "kept"
"""


def kinds(client, text, uri=URI):
    """(line, character) -> word and what it is, of words that are names of the policy."""
    legend = client.begun.capabilities.semantic_tokens_provider.legend.token_types
    data = client.ask("text_document_semantic_tokens_full", t.SemanticTokensParams(t.TextDocumentIdentifier(uri))).data
    line = at = 0
    out = {}
    for i in range(0, len(data), 5):
        down, right, length, kind, defines = data[i:i + 5]
        line, at = line + down, right if down else at + right
        out[line, at] = (text.split("\n")[line][at:at + length], legend[kind], defines)
    return out


def test_names_of_the_whole_language(client, scratch):
    c = client()
    c.open(URI, WHOLE)
    assert [d.message for d in c.diagnostics(URI) if d.code in ("syntax", "unknown-name")] == []
    got = kinds(c, WHOLE)
    wanted = {"namespace": "house cloud", "interface": "nli peer kb store log", "class": "small large", "enum": "exposure region",
              "variable": "ward coding chat hard code who topic data place risk task", "property": "auto mini",
              "parameter": "m a b", "function": "checked ladder stored both sober coder talk deep"}
    for kind, words in wanted.items():
        found = {w for w, k, _ in got.values() if k == kind}
        assert set(words.split()) <= found, (kind, found)
    # Every occurrence of a word is what its definition is; `hard` and `log` stand for more than one thing.
    for kind, words in wanted.items():
        for w in set(words.split()) - {"hard", "log", "code", "a", "b", "m", "talk", "data"}:
            bare = re.sub(r'"[^"\n]*"|#[^\n]*', lambda m: " " * len(m.group()), WHOLE)
            for m in re.finditer(rf"(?<![\w.-]){w}(?![\w-])", bare):
                assert got[place(WHOLE, m.start())][1] == kind, (w, WHOLE[m.start() - 20:m.end()])
    # Levels, in labels, clearances, comparisons, claims and steps.
    for w in ("public", "internal", "phi", "eu", "abroad"):
        n = len(re.findall(rf"\b{w}\b", re.sub(r'"[^"\n]*"', "", WHOLE)))
        assert len(c.at(URI, "text_document_references", find(WHOLE, w))) == n, w
    for w, n in (("coding", 3), ("nli", 6), ("exposure", 2), ("sober", 2), ("deep", 2), ("peer", 3)):
        assert len(c.at(URI, "text_document_references", find(WHOLE, w))) == n, w


def test_statements_that_do_not_parse_keep_their_names(client):
    """Each statement with something wrong behind it: what the grammar says of its words is what the tree said."""
    c = client()
    names = ("namespace", "interface", "class", "enum", "variable", "property", "parameter", "function")
    for n, text in enumerate([WHOLE, HOME] + [f.read_text() for f in sorted((ROOT / "examples").glob("*.merit"))]):
        uri = f"file:///{n}.merit"
        c.open(uri, text)
        whole = kinds(c, text, uri)
        defined = {w for w, _, d in whole.values() if d}
        lines = text.split("\n")
        starts = [i for i, row in enumerate(lines) if re.match(r"[a-z]", row)]
        for begin, end in zip(starts, starts[1:] + [len(lines)]):
            last = max(i for i in range(begin, end) if lines[i].strip() and not lines[i].startswith("#"))
            row = re.sub(r"\s+#[^\"]*$", "", lines[last])
            broken = "\n".join(lines[:last] + [row + " )"] + lines[last + 1:])
            c.change(uri, broken)
            got = kinds(c, broken, uri)
            for at, (word, kind, defines) in whole.items():
                if begin <= at[0] <= last and kind in names and (kind != "function" or word in defined):
                    assert got.get(at) == (word, kind, defines), (lines[at[0]], word, kind, got.get(at))


# ---- quick fixes

@pytest.mark.parametrize("good, bad", [
    ("when urgent and", "when urgnt and"), ("zone house  endpoint", "zone hause  endpoint"), ("answer(swift)", "answr(swift)"),
    ("format == json", "format == jsn"), ("format == json", "format = json"), ("effort low", "efort low"), ("8192 tok", "8192tok"),
    ("answer(a high", "answer(a hgh"), ("-> routes", "-> route quik"), ("signal urgent", "signl urgent"),
    ("answer(swift)", "swift"),
])
def test_quick_fix_mends(home, scratch, good, bad):
    text = HOME.replace(good, bad, 1)
    home.change(URI, text)
    assert home.diagnostics(URI)
    line = HOME[:HOME.index(good)].count("\n")
    whole = t.Range(t.Position(line, 0), t.Position(line, 500))
    got = home.ask("text_document_code_action", t.CodeActionParams(
        text_document=t.TextDocumentIdentifier(URI), range=whole, context=t.CodeActionContext(diagnostics=[])))
    assert len(got) == 1 and got[0].kind == t.CodeActionKind.QuickFix
    mended = apply(text, got[0].edit.changes[URI])
    ran = check(mended, scratch)
    assert ran.returncode == 0, (mended, ran.stderr)


def test_quick_fixes_without_a_word(home, scratch):
    for text in (HOME.split("\n", 2)[2], BEFORE, HOME.replace("signal depth", "signal extra = tools\nsignal depth")):
        home.change(URI, text)
        home.diagnostics(URI)
        got = home.ask("text_document_code_action", t.CodeActionParams(
            text_document=t.TextDocumentIdentifier(URI), range=t.Range(t.Position(0, 0), t.Position(99, 0)),
            context=t.CodeActionContext(diagnostics=[])))
        (fix,) = got
        ran = check(apply(text, fix.edit.changes[URI]), scratch)
        assert ran.returncode == 0 and "warning" not in ran.stdout + ran.stderr


# ---- texts and places

EMOJI = HOME.replace("zone house\n", "# \U0001F680\U0001F1E9\U0001F1EA ünïcödé 漢字\nzone house\n", 1).replace(
    'keywords("urgent", "now")', 'keywords("\U0001F525 brennt", "dringend \U0001F6A8", "jetzt")').replace(
    'else refuse "nobody"', 'else refuse "\U0001F937 niemand"')
EMOJI = EMOJI.replace("route quick when urgent", 'route blitz when true_or -> refuse "\U0001F4A5\U0001F4A5"\nroute quick when urgent').replace(
    "signal depth", "signal true_or = tools above 3\nsignal word = metadata(\"w\")\nsignal depth") + 'alias "\U0001F98A" -> model deep  # \U0001F98A\n'


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
def test_places_behind_characters_of_several_units(client, scratch, encoding):
    c = client(encoding=encoding)
    assert c.begun.capabilities.position_encoding == encoding
    line = 'route late when word == "\U0001F600\U0001F600 é漢" -> answer(deap)  # \U0001F600\n'
    text = EMOJI.replace("otherwise ", line + "otherwise ", 1)
    c.open(URI, text)
    (d,) = [d for d in c.diagnostics(URI) if d.code == "unknown-name"]
    at = text.index("deap")
    assert (d.range.start.line, d.range.start.character) == place(text, at, encoding)
    assert (d.range.end.line, d.range.end.character) == place(text, at + 4, encoding)
    c.change(URI, (place(text, at, encoding), place(text, at + 4, encoding), "deep"))
    assert [d.code for d in c.diagnostics(URI)] == []
    mended = text.replace("deap", "deep")
    assert c.text(URI) == mended
    # The last `deep` stands behind a string that is longer in one encoding than in the other.
    use = mended.index("answer(deep)  # ") + 7
    got = c.at(URI, "text_document_definition", place(mended, use, encoding))
    assert (got.range.start.line, got.range.start.character) == place(mended, mended.index("model deep") + 6, encoding)
    edits = c.at(URI, "text_document_rename", place(mended, use, encoding), new_name="profound").changes[URI]
    renamed = apply(mended, edits, encoding)
    assert renamed == re.sub(r"\bdeep\b", "profound", mended)
    assert check(renamed, scratch).returncode == 0


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
@pytest.mark.parametrize("seed", range(3))
def test_edits_give_the_text_that_the_client_has(client, encoding, seed):
    """Random edits, many in one message; the oracle is the document of pygls."""
    rng = random.Random(seed * 2 + (encoding == "utf-8"))
    c = client(encoding=encoding)
    pieces = ["", "x", "\n", "\r\n", "\r", "\U0001F600", "é", "漢字", "route a -> answer(any)\n", '"', "#", "  ", "\t", "(", "deep",
              "\u2028", "\x00", "\ufeff", "\x85"]
    start = rng.choice([HOME, EMOJI, EMOJI.replace("\n", "\r\n"), "", "\r\r\n\n"])
    c.open(URI, start)
    texts = TextDocument(URI, start, position_codec=codec(encoding))
    for _ in range(120):
        changes = []
        for _ in range(rng.choice([1, 1, 1, 2, 5])):
            if rng.random() < 0.02:
                changes.append(rng.choice([EMOJI, "", HOME.replace("\n", "\r")]))
                texts.apply_change(t.TextDocumentContentChangeWholeDocument(text=changes[-1]))
                continue
            text = texts.source
            a = rng.randint(0, len(text))
            b = min(len(text), a + rng.choice([0, 0, 1, 2, 10, 200]))
            # No editor puts the cursor between the two characters that end one line.
            a, b = (x - (0 < x < len(text) and text[x - 1:x + 1] == "\r\n") for x in (a, b))
            put = "".join(rng.choice(pieces) for _ in range(rng.choice([0, 1, 1, 3])))
            begin, end = place(text, a, encoding), place(text, max(a, b), encoding)
            changes.append((begin, end, put))
            texts = TextDocument(URI, text[:a] + put + text[max(a, b):], position_codec=codec(encoding))
        c.change(URI, *changes)
        if rng.random() < 0.2:
            assert c.text(URI) == texts.source
        if rng.random() < 0.1:
            c.ask("text_document_semantic_tokens_full", t.SemanticTokensParams(t.TextDocumentIdentifier(URI)))
    assert c.text(URI) == texts.source
    c.change(URI, HOME)
    assert c.diagnostics(URI) == []


def codec(encoding):
    from pygls.workspace import PositionCodec
    return PositionCodec(encoding)


def test_places_outside_of_the_text(home):
    for at in ((0, 10**6), (10**6, 0), (2**31 - 1, 2**31 - 1)):
        assert home.at(URI, "text_document_definition", at) is None
    home.change(URI, ((500, 0), (500, 0), "# behind the end\n"))
    assert home.text(URI) == HOME + "# behind the end\n"
    home.change(URI, ((0, 400), (1, 0), " # one line less\n"))
    assert home.text(URI).startswith('policy "home" version 1 # one line less\n\nzone')


def test_an_edit_that_makes_no_sense_is_told(home):
    home.change(URI, ((5, 0), (4, 0), "x"))
    (d,) = home.diagnostics(URI)
    assert "could not be understood" in d.message
    with pytest.raises(JsonRpcException):
        home.at(URI, "text_document_hover", (2, 0))
    home.change(URI, HOME)
    assert home.diagnostics(URI) == []


# ---- the session

def test_capabilities(home):
    c = home.begun.capabilities
    assert c.position_encoding == "utf-16" and c.text_document_sync.change == t.TextDocumentSyncKind.Incremental
    assert home.begun.server_info.name == "merit"


def test_plain_text_where_the_editor_knows_no_markdown(client):
    c = client(capabilities=t.ClientCapabilities())
    c.open(URI, HOME)
    got = c.at(URI, "text_document_hover", find(HOME, "swift"))
    assert got.contents.kind == t.MarkupKind.PlainText and "```" not in got.contents.value
    flat = c.ask("text_document_document_symbol", t.DocumentSymbolParams(t.TextDocumentIdentifier(URI)))
    assert flat[0].location.uri == URI


def test_two_documents_do_not_mix(home):
    other = "file:///other.merit"
    home.open(other, HOME.replace("deep", "vast"))
    assert home.diagnostics(other) == []
    assert "vast" in labels(home, BEFORE.replace("deep", "vast") + "route x when urgent -> answer(", uri=other)
    home.change(URI, BEFORE + "route x when urgent -> answer(")
    got = home.at(URI, "text_document_completion", place(BEFORE, len(BEFORE + "route x when urgent -> answer(")))
    assert home.text(URI) == BEFORE + "route x when urgent -> answer("
    home.close_document(URI)
    with pytest.raises(JsonRpcException):
        home.at(URI, "text_document_hover", (0, 0))
    home.open(URI, HOME)
    assert home.at(URI, "text_document_hover", find(HOME, "swift")) and got is not None


def test_many_documents(home):
    for i in range(80):
        home.tell("text_document_did_open", t.DidOpenTextDocumentParams(
            t.TextDocumentItem(uri=f"file:///{i}.merit", language_id="merit", version=1, text=HOME)))
    assert home.at(URI, "text_document_hover", find(HOME, "swift"))
    assert any("64 policies" in m for m in home.messages)


def test_cancelled_requests_are_answered(home):
    """A request that waits behind others is not worked on once it is cancelled, and is answered all the same."""
    big = HOME.rsplit("otherwise", 1)[0] + "".join(
        f"route r{i} when urgent and depth > {i} -> answer(deep)\n" for i in range(8000)) + "otherwise -> answer(any)\n"
    home.change(URI, big)
    params = t.SemanticTokensParams(t.TextDocumentIdentifier(URI))

    async def burst():
        protocol = home.client.protocol
        sent = [protocol.send_request("textDocument/semanticTokens/full", params) for _ in range(40)]
        ids = [i for f in sent for i, g in protocol._request_futures.items() if g is f]
        for i in ids[5:]:
            protocol.notify("$/cancelRequest", t.CancelParams(id=i))
        return sent, ids
    sent, ids = home._run(burst())
    assert len(ids) == 40
    cancelled = 0
    for f in sent:
        try:
            assert f.result(60).data
        except JsonRpcException as e:
            assert e.code == -32800
            cancelled += 1
    assert cancelled > 0
    home.tell("cancel_request", t.CancelParams(id=12345)) if hasattr(home.client, "cancel_request") else None
    assert home.at(URI, "text_document_hover", find(big, "swift"))


def test_typing_is_not_held_up_by_checks(home):
    """While a policy of a thousand routes is checked, requests are answered; only the last text is published."""
    big = HOME.rsplit("otherwise", 1)[0] + "".join(
        f"route r{i} when urgent and depth > {i} -> answer(deep)\n" for i in range(1200)) + "otherwise -> answer(any)\n"
    home.change(URI, big)
    for _ in range(10):
        home.change(URI, ((0, 0), (0, 0), "#"))
        home.change(URI, ((0, 0), (0, 1), ""))
        assert home.at(URI, "text_document_hover", find(big, "swift"))
    home.diagnostics(URI, 60)
    assert home.text(URI) == big


def test_it_ends_with_its_editor(scratch):
    c = Client(scratch)
    c.stop(0)
    c = Client(scratch)
    c.tell("exit", None)
    c.ended(1)
