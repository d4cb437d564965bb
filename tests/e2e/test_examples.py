"""The example policies: each is checked, proved, tested and laid out; each has broken twins, whose message is kept.

A twin is the example with an edit or two (examples/twins/NAME.twins), one or more per pass of the checker:

    === TWIN CODE [VERB ARGS]   what the finding is called; check, unless another command finds it
    - a line of the example, or several, or a part
    + what stands there instead, or nothing; without a `-` before it: a line before the routes
    > a line before `otherwise`

What Merit says of it stands in tests/golden/twins/NAME-TWIN.txt; MERIT_GOLDEN=write writes it anew. Every request that a
finding shows is one that `merit route --given` takes, and that takes the route which the finding names.
"""
import json
import os
import re
import subprocess

import pytest

from conftest import MERIT, PATIENCE, ROOT, free_port

EXAMPLES = ["clinic", "bank", "team", "homelab", "chatbot"]
SERVED = ["bank", "team", "homelab", "chatbot"]
GOLDEN = ROOT / "tests" / "golden" / "twins"
# What stands in every example's list: a code per pass, and the places where data leaks.
PASSES = {
    "type", "unit", "cycle", "chain", "vacuous", "shadowed", "redundant", "idle-condition", "overlap", "share",
    "infeasible", "dead-chain", "flow", "on-error", "obligation", "not-allowed", "bound", "unused", "unused-allow",
    "unused-assume", "threshold-in-doubt", "unserved", "unenforced", "theorem", "FAIL",
}
LEAKS = {"named", "fallback", "judge", "cache", "log", "pass", "embedding", "memory", "retrieved"}
# The route that a finding names is the one that its request takes; or is never taken by it.
TAKES = {"redundant", "infeasible", "obligation", "flow", "on-error", "bound", "theorem", "unserved"}
MISSES = {"shadowed", "overlap"}


def merit(*args, cwd=None, env=None):
    return subprocess.run([MERIT, *map(str, args)], capture_output=True, text=True, cwd=cwd, timeout=PATIENCE,
                          env={**os.environ, "NO_COLOR": "1", **(env or {})})


def twins(name):
    out = []
    for line in (ROOT / "examples" / "twins" / f"{name}.twins").read_text().splitlines():
        if line.startswith("==="):
            twin, code, *verb = line.split()[1:]
            out.append({"twin": twin, "code": code, "verb": verb or ["check"], "edits": []})
        elif line[:1] in ("-", "+", ">"):
            edits = out[-1]["edits"]
            # Old lines that follow new ones begin another edit.
            if not edits or line[0] != edits[-1]["last"] and line[0] != "+" or edits[-1]["last"] == ">":
                edits.append({"-": [], "+": [], ">": []})
            edits[-1][line[0]].append(line[2:])
            edits[-1]["last"] = line[0]
    return out


def broken(name, twin):
    text = (ROOT / "examples" / f"{name}.merit").read_text()
    for edit in twin["edits"]:
        old, new = "\n".join(edit["-"]), "\n".join(edit["+"])
        if edit[">"]:
            at = text.index("\notherwise ") + 1
            text = text[:at] + "\n".join(edit[">"]) + "\n" + text[at:]
        elif old:
            # However its words are spaced: the layout moves when a line beside it changes.
            found = list(re.finditer(r"[ \n]+".join(map(re.escape, old.split())), text))
            assert len(found) == 1, f"{name}-{twin['twin']}: {old!r} stands {len(found)} times"
            text = text[:found[0].start()] + new + text[found[0].end():]
        else:
            at = text.index("\nroute ") + 1
            text = text[:at] + new + "\n" + text[at:]
    return text


def said_of(name, twin, folder):
    """What Merit says of the twin, without an encoder whatever this machine has: what it adds is tested with the signals."""
    (folder / f"{name}.merit").write_text(broken(name, twin))
    verb, *flags = twin["verb"]
    where = ["policy", verb, f"{name}.merit", *flags]
    if verb == "serve":
        where = ["serve", f"{name}.merit", "--cache", "off", "--listen", f"127.0.0.1:{free_port()}",
                 "--admin-listen", f"127.0.0.1:{free_port()}", *flags]
    done = merit(*where, cwd=folder, env={"MERIT_MODELS": str(folder), "XDG_CACHE_HOME": str(folder)})
    assert done.returncode == 1 or verb == "check", f"{name}-{twin['twin']}: nothing is found"
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_holds(name):
    path = ROOT / "examples" / f"{name}.merit"
    for verb in (["check"], ["prove"], ["test"], ["fmt", "--check"]):
        done = merit("policy", verb[0], path, *verb[1:])
        assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(merit("policy", "check", path, "--json").stdout)
    assert not [f for f in report["findings"] if f["severity"] == "error"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_mutant_lives(name):
    done = merit("policy", "test", ROOT / "examples" / f"{name}.merit", "--mutants", "--json")
    report = json.loads(done.stdout)["mutants"]
    assert report["killed"] >= 0.8 * report["total"], done.stdout


ALL = [pytest.param(n, t, id=f"{n}-{t['twin']}") for n in EXAMPLES for t in twins(n)]


@pytest.mark.parametrize("name,twin", ALL)
def test_twin(name, twin, tmp_path):
    said = said_of(name, twin, tmp_path)
    code = twin["code"]
    assert f"[{code}]" in said or re.search(rf"^{code} ", said, re.M), said
    golden = GOLDEN / f"{name}-{twin['twin']}.txt"
    if os.environ.get("MERIT_GOLDEN") == "write":
        golden.write_text(said)
    assert said == golden.read_text()


@pytest.mark.parametrize("name,twin", [p for p in ALL if p.values[1]["verb"][0] in ("check", "serve")])
def test_witness_shows_it(name, twin, tmp_path):
    path = tmp_path / f"{name}.merit"
    path.write_text(broken(name, twin))
    flags = {"serve": ["--serve"], "check": twin["verb"][1:]}[twin["verb"][0]]
    no_models = {"MERIT_MODELS": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    report = json.loads(merit("policy", "check", path, "--json", *flags, env=no_models).stdout)
    assert twin["code"] in {f["code"] for f in report["findings"]}
    for finding in report["findings"]:
        if not finding.get("witness"):
            continue
        said, code = finding["message"], finding["code"]
        asked = re.search(r"reaches \S+ `\S+`(?: in zone `\S+`)?, when a client asks for `(\S+)` by its name|"
                          r"that names model (\S+)", said)
        args = ["--model", asked[1] or asked[2]] if asked else []
        done = merit("route", "--policy", path, "--given", json.dumps(finding["witness"]), "--json", *args, "a request",
                     env=no_models)
        assert done.returncode in (0, 1) and done.stdout, (finding, done.stdout, done.stderr)
        record = json.loads(done.stdout)
        if asked:
            assert record["model"] == (asked[1] or asked[2]), (finding, record)
            continue
        route = re.search(r"(?<=[Rr]oute )`?([\w-]+)`?|`(otherwise)`|: (otherwise) ", said)
        if route and code in TAKES:
            assert record["route"] == (route[1] or route[2] or route[3]), (finding, record)
        if route and code in MISSES:
            assert record["route"] != route[1], (finding, record)
        reached = re.search(r"reaches model `(\S+)`.*?, by route `", said)
        if reached and code == "flow":
            assert reached[1] in {f["model"] for f in record["feasible"]}, (finding, record)
        if code == "infeasible":
            assert record["end"] != "answer", (finding, record)


def test_two_examples_that_one_text_is_like(tmp_path):
    """The one pass that needs an encoder: a chatbot two of whose signals can both fire."""
    models = os.environ.get("MERIT_MODELS", str(ROOT / "build" / "models"))
    if not os.path.isdir(os.path.join(models, "all-minilm-l6-v2")):
        pytest.skip(f"no default models in {models}: they could not be fetched here")
    text = broken("chatbot", {"twin": "both-fire", "edits": [
        {"-": [], ">": [], "+": ['signal dear = similar("I was charged twice") above 0.6',
                                 'signal late = similar("You charged me two times") above 0.6']},
        {"-": [], "+": [], ">": ["route dear when dear -> answer(careful)", "route late when late -> answer(bought, careful)"]}]})
    path = tmp_path / "chatbot.merit"
    path.write_text(text)
    env = {"MERIT_MODELS": models, "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(ROOT / "build" / "cache"))}
    report = json.loads(merit("policy", "check", path, "--json", env=env).stdout)
    assert [f["code"] for f in report["findings"] if f["severity"] == "warning"] == ["both-fire"], report["findings"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_pass_has_a_twin(name):
    assert PASSES <= {t["code"] for t in twins(name)}
    assert LEAKS <= {t["twin"].removeprefix("leak-") for t in twins(name)}


def test_no_golden_is_left_over():
    assert {p.stem for p in GOLDEN.iterdir()} == {f"{n}-{t['twin']}" for n in EXAMPLES for t in twins(n)}
