"""`merit policy export --smtlib`: z3 reads the script and answers every question as Merit does.

The script is written from the meaning of the language, apart from Merit's solver and its space of requests, so that an
error in either shows. Where exclusive groups of three leave something open (`; inexact`), "unsat" of z3 binds Merit, "sat"
does not."""
import collections
import json
import os
import re
import subprocess

import pytest

from conftest import MERIT, PATIENCE, ROOT, SLOW
from policy_make import make

z3 = pytest.importorskip("z3")
# What the answers mean hangs on no sanitizer; that the export is sound in memory shows in fewer.
MADE = int(os.environ.get("MERIT_SMTLIB_POLICIES", "150" if SLOW == 1 else "30"))
QUESTION = re.compile(r"^; question (.*)\n(?:; expect (.*)\n)?", re.M)


def merit(*args):
    return subprocess.run([MERIT, *args], capture_output=True, text=True, timeout=PATIENCE)


def answers(script):
    """z3's, in the order of the questions. Each in a context of its own, or memory grows with every script."""
    ctx = z3.Context()
    out = z3.Z3_eval_smtlib2_string(ctx.ref(), script)
    assert "error" not in out, out[:2000]
    return out.split()


def compare(script):
    """What z3 answered to each question; the questions where Merit says otherwise, and how many it leaves open."""
    asked = QUESTION.findall(script)
    said = answers(script)
    assert len(asked) == len(said)
    inexact = "\n; inexact:" in script
    bad, open_ = [], 0
    for (question, expect), got in zip(asked, said):
        open_ += not expect
        if expect and expect != got and not (inexact and expect == "unsat" and got == "sat"):
            bad.append(f"{question}: Merit says {expect}, z3 {got}")
    return {q: got for (q, _), got in zip(asked, said)}, bad, open_


def findings(path):
    """The checker's, as (code, line or place)."""
    told = json.loads(merit("policy", "check", str(path), "--json").stdout)["findings"]
    out = set()
    for f in told:
        place = re.search(r"(?:reaches|to) (?:model|verifier|judge|retriever|cache|memory|embedding) `(\w+)`", f["message"])
        out.add((f["code"], place.group(1) if place and f["code"] == "flow" else f["line"]))
    return out


def same_as_checker(text, said, found):
    """What z3's answers make of routes and places, against the findings of `merit policy check`."""
    lines = {line.split()[1]: i for i, line in enumerate(text.splitlines(), 1) if line.startswith("route ")}
    bad = []
    for name, line in lines.items():
        vacuous = said[f"vacuous {name}"] == "unsat"
        expected = {"vacuous": vacuous, "shadowed": not vacuous and said[f"shadowed {name}"] == "unsat"}
        bad += [f"{code} {name}" for code, is_so in expected.items() if ((code, line) in found) != is_so]
    leaks = {q.split(" : ")[1] for q, got in said.items() if q.startswith("flow ") and got == "sat"}
    told = {where for code, where in found if code == "flow"}
    # What embeds texts for signals is known to the checker only.
    if leaks - {"embedding"} != told - {"embedding"}:
        bad.append(f"flow: z3 {sorted(leaks)}, the checker {sorted(map(str, told))}")
    return bad


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("**/*.merit")), ids=lambda p: p.name)
def test_examples(path):
    r = merit("policy", "export", str(path), "--smtlib")
    assert r.returncode == 0, r.stderr
    said, bad, open_ = compare(r.stdout)
    assert said and not bad and not open_
    assert not same_as_checker(path.read_text(), said, findings(path))


def test_made_policies(tmp_path):
    loaded, open_, total, seen = 0, 0, 0, collections.Counter()
    for seed in range(MADE):
        path = tmp_path / f"p{seed}.merit"
        # Every other one without scores and exclusive groups, of which a solver may leave some open.
        text = make(seed, arithmetic=seed % 2 == 0)
        path.write_text(text)
        r = merit("policy", "export", str(path), "--smtlib")
        if r.returncode:
            assert "does not load" in r.stderr, r.stderr
            continue
        loaded += 1
        said, bad, unanswered = compare(r.stdout)
        assert not bad, f"seed {seed}: " + "; ".join(bad)
        assert not unanswered or seed % 2 == 0, f"seed {seed}"
        open_, total = open_ + unanswered, total + len(said)
        for question, got in said.items():
            seen[question.split()[0], got] += 1
        if seed % 2:
            bad = same_as_checker(text, said, findings(path))
            assert not bad, f"seed {seed}: " + "; ".join(bad)
    assert loaded >= MADE * 0.5 and open_ <= total * 0.002, (loaded, open_, total)
    # Every kind of question is answered both ways somewhere, or the comparison says little.
    for kind in ("shadowed", "redundant", "overlap", "infeasible", "flow", "obligation", "claim"):
        assert seen[kind, "sat"] and seen[kind, "unsat"], (kind, seen)
