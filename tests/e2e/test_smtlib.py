"""`merit policy export --smtlib`: z3 reads the script and answers every question as Merit does.

The script is written from the meaning of the language, apart from Merit's solver and its space of requests, so that an
error in either shows. Where exclusive groups of three leave something open (`; inexact`), "unsat" of z3 binds Merit, "sat"
does not."""
import collections
import os
import re
import subprocess

import pytest

from conftest import MERIT, ROOT
from policy_make import make

z3 = pytest.importorskip("z3")
MADE = int(os.environ.get("MERIT_SMTLIB_POLICIES", "150"))
QUESTION = re.compile(r"^; question (.*)\n(?:; expect (.*)\n)?", re.M)


def merit(*args):
    return subprocess.run([MERIT, *args], capture_output=True, text=True, timeout=120)


def answers(script):
    """z3's, in the order of the questions. Each in a context of its own, or memory grows with every script."""
    ctx = z3.Context()
    out = z3.Z3_eval_smtlib2_string(ctx.ref(), script)
    assert "error" not in out, out[:2000]
    return out.split()


def compare(script):
    """How many questions z3 answered otherwise, as text; and a count by kind and answer."""
    asked = QUESTION.findall(script)
    said = answers(script)
    assert len(asked) == len(said)
    inexact = "\n; inexact:" in script
    seen, bad = collections.Counter(), []
    for (question, expect), got in zip(asked, said):
        seen[question.split()[0], got] += 1
        if expect != got and not (inexact and expect == "unsat" and got == "sat"):
            bad.append(f"{question}: Merit says {expect}, z3 {got}")
    return bad, seen


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("**/*.merit")), ids=lambda p: p.name)
def test_examples(path):
    r = merit("policy", "export", str(path), "--smtlib")
    if r.returncode and "does not load" in r.stderr:
        return  # written to be refused by the compiler
    assert r.returncode == 0, r.stderr
    bad, seen = compare(r.stdout)
    assert not bad and seen


def test_made_policies(tmp_path):
    loaded, all_seen = 0, collections.Counter()
    for seed in range(MADE):
        path = tmp_path / f"p{seed}.merit"
        path.write_text(make(seed))
        r = merit("policy", "export", str(path), "--smtlib")
        if r.returncode:
            assert "does not load" in r.stderr, r.stderr
            continue
        loaded += 1
        bad, seen = compare(r.stdout)
        assert not bad, f"seed {seed}: " + "; ".join(bad)
        all_seen.update(seen)
    assert loaded >= MADE * 0.5
    # Every kind of question is answered both ways somewhere, or the comparison says little.
    for kind in ("shadowed", "redundant", "overlap", "infeasible", "flow", "obligation", "claim"):
        assert all_seen[kind, "sat"] and all_seen[kind, "unsat"], (kind, all_seen)
