"""docs/dispatch.md: its example is what `merit route` says, and what its formulas give when they are computed here."""
import json
import re

import pytest

from conftest import MERIT, ROOT, run_program
from test_route import SCHEMA, check

DOC = (ROOT / "docs" / "dispatch.md").read_text()
POLICY = re.search(r"```merit\n(.*?)```", DOC, re.S)[1]
POOL = json.loads(re.search(r"```json\n(.*?)```", DOC, re.S)[1])
TERMS = ["money", "energy", "carbon", "budgets", "seconds", "slots", "session", "other"]
PRICES = {"small": (0.2, 0.6, 0.05), "large": (2, 8, 2)}  # usd per million tokens: in, out, cached
SECOND, SLOPE, STALL, AGAIN, LONG = 0.001, 0.5, 0.1, 0.5, 0.2


def route(scratch, pool, *more):
    (scratch / "places.merit").write_text(POLICY)
    (scratch / "pool.json").write_text(json.dumps(pool))
    (scratch / "request.txt").write_text("word " * 6200)
    r = run_program([MERIT, "route", "--policy", "places.merit", "--pool", "pool.json", *more,
                     (scratch / "request.txt").read_text()], scratch)
    return r.out


def terms_of(model, row, tokens, out, session, here):
    """The formulas of the document, for a row of the example, in dollars."""
    price_in, price_out, cached = PRICES[model]
    hit = min(max(row["prefix_tok"], session["tok"] if here else 0), tokens)
    own = (tokens - hit) / row["prefill_tok_s"]
    answer = out * row["each_ms"] / 1e3
    turn = row["wait_tok"] / row["prefill_tok_s"]  # nothing waits for a slot
    first = row["first_ms"] / 1e3
    lost = 0 if here else max(min(session["tok"], tokens) - hit, 0)
    return {
        "money": ((tokens - hit) * price_in + hit * cached + out * price_out) / 1e6,
        "energy": 0, "carbon": 0, "budgets": 0,
        "seconds": (turn * (1 + LONG * turn) + own + first + answer) * SECOND,
        "slots": row["running"] * (STALL * own + answer * SLOPE / row["slots"]) * SECOND,
        "session": AGAIN * lost / row["prefill_tok_s"] * SECOND,
        "other": 0,
    }


def millionths(usd):
    return f"{usd * 1e6:,.1f}"


@pytest.fixture
def example(scratch):
    return json.loads(route(scratch, POOL, "--json"))


def test_the_documents_numbers(example):
    for o in example["options"]:
        row = re.search(rf"\| `{o['model']}`, place {o['place']} \| (.*?) \|\n", DOC)[1].split(" | ")
        assert row == [millionths(o["terms_usd"][t]) for t in TERMS] + [millionths(o["price_usd"])]
    assert f"{example['input_tok']:,} tokens" in DOC
    assert [(o["model"], o["place"]) for o in example["options"]] == [("small", 1), ("large", 3)]


def test_the_formulas(example, scratch):
    left = json.loads(json.dumps(POOL))
    left["places"][1]["state"] = "out"
    other = json.loads(route(scratch, left, "--json"))
    for decision, here in ((example, True), (other, False)):
        for o in decision["options"]:
            row = POOL["places"][o["place"]]
            tokens, out = o["expect"]["input_tok"], o["expect"]["output_tok"]
            mine = terms_of(o["model"], row, tokens, out, POOL["session"], here and o["place"] == 1)
            for term, usd in mine.items():
                assert o["terms_usd"][term] == pytest.approx(usd, rel=1e-4, abs=2e-9), (o, term)
            assert o["price_usd"] == pytest.approx(sum(mine.values()), rel=1e-4)
    elsewhere = other["options"][0]
    assert elsewhere["place"] == 0
    for usd in (elsewhere["terms_usd"]["money"], elsewhere["terms_usd"]["session"], elsewhere["price_usd"]):
        assert millionths(usd) in DOC


def test_the_record_follows_its_schema(example):
    check(example, SCHEMA)


def test_a_record_is_a_state_of_the_pool(example, scratch):
    """What a decision has seen, given back, gives the same options."""
    (scratch / "seen.json").write_text(json.dumps(example))
    again = json.loads(run_program([MERIT, "route", "--policy", "places.merit", "--pool", "seen.json", "--json",
                                    "word " * 6200], scratch).out)
    assert again["options"] == example["options"] and again["places"] == example["places"]


def test_told_to_people(scratch):
    text = route(scratch, POOL)
    assert "Prices, in millionths of a dollar" in text and "place 1" in text
    assert "large would be chosen if it cost" in text
    for bad, why in (("[]", "not a JSON object"), ("{}", "no array"), ('{"places": [{"model": "none"}]}', "names no model"),
                     ('{"places": [{"model": "small", "state": "asleep"}]}', "no such state"),
                     ('{"places": [{"model": "small"}, {"model": "large"}, {"model": "small"}]}', "stand together")):
        (scratch / "bad.json").write_text(bad)
        r = run_program([MERIT, "route", "--policy", "places.merit", "--pool", "bad.json", "hello"], scratch, check=False)
        assert r.returncode == 2 and why in r.err, r.err
