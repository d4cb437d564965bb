"""The example policies: each is checked, proved, tested and laid out; each has broken twins, whose message is kept.

A twin is the example with one edit (examples/twins/NAME.twins), one per pass of the checker:

    === TWIN CODE          what the finding is called
    - a line of the example, or several
    + what stands there instead, or nothing

What `merit policy check` says of it stands in tests/golden/twins/NAME-TWIN.txt; MERIT_GOLDEN=write writes it anew. Every
request that a finding shows must be one that `merit route --given` takes.
"""
import json
import os
import re
import subprocess

import pytest

from conftest import MERIT, ROOT, free_port

EXAMPLES = ["clinic", "bank", "team", "homelab", "chatbot"]
SERVED = ["bank", "team", "homelab", "chatbot"]
GOLDEN = ROOT / "tests" / "golden" / "twins"
# What stands in every example's list: one code per pass.
PASSES = {
    "type", "unit", "vacuous", "shadowed", "redundant", "overlap", "infeasible", "flow", "obligation", "bound",
    "termination", "unused", "threshold-in-doubt", "theorem",
}


def merit(*args, cwd=None, env=None):
    return subprocess.run([MERIT, *map(str, args)], capture_output=True, text=True, cwd=cwd, timeout=60,
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
            assert text.count(old) == 1, f"{name}-{twin['twin']}: {old!r} stands {text.count(old)} times"
            text = text.replace(old, new)
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


@pytest.mark.parametrize("name,twin", [(n, t) for n in EXAMPLES for t in twins(n)],
                         ids=lambda v: v if isinstance(v, str) else v["twin"])
def test_twin(name, twin, tmp_path):
    path = tmp_path / f"{name}.merit"
    path.write_text(broken(name, twin))
    # Without an encoder, whatever this machine has: what it adds is tested with the signals.
    done = merit("policy", "check", f"{name}.merit", cwd=tmp_path, env={"MERIT_MODELS": str(tmp_path)})
    said = done.stdout + done.stderr
    assert f"[{twin['code']}]" in said, said
    golden = GOLDEN / f"{name}-{twin['twin']}.txt"
    if os.environ.get("MERIT_GOLDEN") == "write":
        golden.write_text(said)
    assert said == golden.read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_witnesses_are_requests(name, tmp_path):
    for twin in twins(name):
        path = tmp_path / f"{name}-{twin['twin']}.merit"
        path.write_text(broken(name, twin))
        report = json.loads(merit("policy", "check", path, "--json").stdout)
        if any(f["severity"] == "error" and not f.get("witness") for f in report["findings"]):
            continue  # it does not compile, so that nothing can be routed
        for finding in report["findings"]:
            if not finding.get("witness"):
                continue
            done = merit("route", "--policy", path, "--given", json.dumps(finding["witness"]), "--json", "a request")
            assert done.returncode in (0, 1), (finding, done.stdout, done.stderr)
            assert json.loads(done.stdout)["route"], finding


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_pass_has_a_twin(name):
    have = {t["code"] for t in twins(name)}
    assert PASSES <= have, sorted(PASSES - have)
