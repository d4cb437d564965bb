"""docs/ledger.md is so: its attempts are settled in a ledger, and its commands print what it shows.

MERIT_GOLDEN=write writes outputs that are not as shown. Then the bad ends of the commands.
"""
import contextlib
import json
import os
import re
import sqlite3
import subprocess
import threading
import time

import pytest

import mock_upstream as up
from conftest import MERIT, PATIENCE, ROOT, until

DOCUMENT = ROOT / "docs" / "ledger.md"
FILL = MERIT.parent / "tests" / "ledger_fill"
BLOCK = re.compile(r"^```(attempts|usage|console)\n(.*?)^```$", re.M | re.S)


def fill(folder, lines):
    """Settles the lines, then starts once more, so that what was open is recovered."""
    folder.mkdir(parents=True, exist_ok=True)
    out = subprocess.run([FILL, folder], input=lines, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    subprocess.run([FILL, folder], input="", capture_output=True, text=True, timeout=PATIENCE, check=True)
    return out


def shell(command, folder):
    env = {"PATH": f"{MERIT.parent}:/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8", "NO_COLOR": "1",
           **{n: v for n, v in os.environ.items() if n.endswith("SAN_OPTIONS")}}
    r = subprocess.run(["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE)
    return r.returncode, r.stdout + r.stderr


@pytest.fixture(name="home")
def home_with_ledger(tmp_path):
    lines = next(body for kind, body in BLOCK.findall(DOCUMENT.read_text()) if kind == "attempts")
    fill(tmp_path / ".local" / "share" / "merit" / "ledger", lines)
    return tmp_path


def test_the_document(home):
    text = DOCUMENT.read_text()

    def played(match):
        kind, body = match.groups()
        if kind == "usage":
            (home / "usage.csv").write_text(body)
        if kind != "console":
            return match.group(0)
        shown = ""
        for command in [line[2:] for line in body.splitlines() if line.startswith("$ ")]:
            shown += f"$ {command}\n{shell(command, home)[1]}"
        return f"```console\n{shown}```"

    is_so = BLOCK.sub(played, text)
    if os.environ.get("MERIT_GOLDEN") == "write":
        DOCUMENT.write_text(is_so)
    assert is_so == text


def test_numbers_in_the_text():
    text = DOCUMENT.read_text()
    took, frontier = 12000 * 30 + 800 * 60, 12000 * 1250 + 800 * 10000
    assert f"12,000 * 30 + 800 * 60 = {took:,} nano-USD" in text
    assert f"12,000 * 1,250 + 800 * 10,000 = {frontier:,}" in text
    assert f"bounded by {12000 * 30 + 4096 * 60:,} nano-USD" in text
    assert f"{frontier - took:,} nano-USD, or {(frontier - took) / 1e9:g} usd" in text
    assert round(0.023 + 0.02625 - 0.000408 - 0.00027, 9) == 0.048572
    lines = [line.split() for line in
             next(body for kind, body in BLOCK.findall(text) if kind == "attempts").splitlines()]
    price = {"qwen3-8b": (30, 60), "frontier": (1250, 10000)}
    for line in lines:
        if line[4] == "answered":
            given, made = int(line[9]), int(line[11])
            assert int(line[6]) == given * price[line[1]][0] + made * price[line[1]][1]
            assert int(line[7]) == given * 1250 + made * 10000
            assert int(line[5]) == given * price[line[1]][0] + 4096 * price[line[1]][1]


def test_budgets_are_drawn_on_and_refuse(tmp_path):
    # One dollar a day: the third needs more than is left.
    out = fill(tmp_path / "l", "1795168800 m r t answered 600000000 400000000 -1 0 1 0 1\n"
                               "1795168801 m r t answered 600000000 500000000 -1 0 1 0 1\n"
                               "1795168802 m r t answered 600000000 1 -1 0 1 0 1\n")
    assert out == "used 400000000\nused 900000000\nrefused: spent, left 100000000, need 600000000\n"


def test_reconcile_agrees_with_itself(home):
    rows = shell("merit ledger --by day,model --csv", home)[1].splitlines()
    names = rows[0].split(",")
    usage = ["date,model,requests,input_tokens,output_tokens,cost"]
    for row in rows[1:]:
        r = dict(zip(names, row.split(",")))
        usage.append(f"{r['day']},{r['model']},{r['answered']},{r['input_tok']},{r['output_tok']},"
                     f"{int(r['took_nusd']) / 1e9:.9f}")
    (home / "same.csv").write_text("\n".join(usage) + "\n")
    code, out = shell("merit ledger reconcile same.csv --tolerance 0 --all", home)
    assert code == 0 and out.startswith("day") and "0 of 4 days and models differ by more than 0 %" in out
    # Two cents are two cents too many.
    usage[1] = usage[1].rsplit(",", 1)[0] + ",0.5"
    (home / "other.csv").write_text("\n".join(usage) + "\n")
    assert shell("merit ledger reconcile other.csv", home)[0] == 1


@pytest.mark.parametrize("command, code, says", [
    ("merit ledger --by modle", 2, "--by \"modle\": up to four of model, route"),
    ("merit ledger --by model,model", 2, "twice"),
    ("merit ledger --since yesterday", 2, "write 2026-11-21"),
    ("merit ledger --json --csv", 2, "not both"),
    ("merit ledger rwos", 2, "\"rwos\" is none of rows"),
    ("merit ledger export xml", 2, "neither csv nor json"),
    ("merit ledger rows --last 0", 2, "from 1 to"),
    ("merit ledger --ledger nowhere", 1, "there is no ledger in nowhere yet"),
    ("echo 'ledger off' > merit.conf; merit ledger", 1, "the ledger is off"),
    ("merit ledger reconcile absent.csv", 1, "absent.csv: No such file"),
    ("printf 'date,model,cost\\nmonday,m,1\\n' | merit ledger reconcile -", 1, "line 2: this is no day"),
    ("merit ledger reconcile - --tolerance 200 </dev/null", 2, "percent from 0 to 100"),
    ("mkdir x; echo rubbish > x/ledger.db; merit ledger --ledger x", 1, "cannot be read: file is not a database"),
    ("merit ledger --since 2030-01-01", 0, "no attempts in this time"),
    ("merit ledger > /dev/full", 1, "standard output cannot be written"),
])
def test_bad_ends(home, command, code, says):
    got, out = shell(command, home)
    assert got == code and says in out


def test_formulas_do_not_reach_a_spreadsheet(tmp_path):
    fill(tmp_path / "l", "1795168800 =cmd|calc r t answered 1 1 -1 0 1 0 1\n")
    assert "\"'=cmd|calc\"" in shell("merit ledger export csv --ledger l", tmp_path)[1]
    assert "\"'=cmd|calc\"" in shell("merit ledger --csv --ledger l", tmp_path)[1]


def test_budgets_show_what_is_left(tmp_path):
    now = int(time.time())
    fill(tmp_path / "l", f"{now} m r acme answered 600000000 250000000 -1 0 1 0 1\n{now} m r acme open 1000 0 -1 0 1 0 1\n"
                         f"{now - 3 * 86400} m r old answered 600000000 1 -1 0 1 0 1\n")
    budgets = json.loads(shell("merit ledger budgets --ledger l --json", tmp_path)[1])
    assert len(budgets) == 1
    assert budgets[0].pop("renews_us") in (day * 86400 * 10**6 for day in (now // 86400 + 1, now // 86400 + 2))
    assert budgets[0] == {"name": "1 usd/day hard", "holder": "acme", "unit": "nusd", "window": "day", "hard": True,
                          "limit": 10**9, "used": 250001000, "reserved": 0, "left": 749999000, "lambda": 0}
    table = shell("merit ledger budgets --ledger l", tmp_path)[1]
    assert "1 usd/day hard" in table and "0.7500 usd" in table and "T00:00" in table


def test_budgets_show_what_is_under_way(start, mock, scratch):
    """Beside a running server: what is reserved while an answer is awaited is free again afterwards."""
    def fast(conn, r):
        return up.chat()(conn, r)
    policy = f"""policy "flight" version 1
model big endpoint "{mock.url}" context 32k tok output 1k tok price 10 in, 30 out usd/Mtok quality 0.9
budget 1 usd/day hard
budget 1000 requests/day hard
otherwise -> answer(big)
"""
    mock.default = fast
    served = start(policy, "--data", scratch / "data")

    def budgets():
        code, out = shell(f"merit ledger budgets --ledger {scratch / 'data' / 'ledger'} --json", scratch)
        assert code == 0, out
        return {b["unit"]: b for b in json.loads(out)}

    assert served.chat("hello")[0] == 200
    # From the journal alone it is known a moment sooner, without its name and limit.
    until(lambda: budgets().get("requests", {}).get("limit") == 1000, 10)
    assert budgets()["requests"]["used"] == 1
    assert budgets()["nusd"]["reserved"] == 0
    gate = threading.Event()

    def held(conn, r):
        gate.wait(20)
        return fast(conn, r)
    mock.default = held
    thread = threading.Thread(target=lambda: served.chat("hello"))
    thread.start()
    try:
        until(lambda: budgets()["requests"]["reserved"] == 1, 10)
        now = budgets()
        assert now["requests"] | {"lambda": 0, "renews_us": 0} == {
            "name": now["requests"]["name"], "holder": "all", "unit": "requests", "window": "day", "hard": True,
            "limit": 1000, "used": 1, "reserved": 1, "left": 998, "lambda": 0, "renews_us": 0}
        assert now["nusd"]["reserved"] > 0
        assert now["nusd"]["left"] == 10**9 - now["nusd"]["used"] - now["nusd"]["reserved"]
    finally:
        gate.set()
        thread.join()
    until(lambda: budgets()["requests"]["used"] == 2 and budgets()["requests"]["reserved"] == 0, 10)
    assert budgets()["nusd"]["reserved"] == 0


def test_files_that_are_taken_away_while_it_serves(start, mock, scratch):
    mock.default = up.chat()
    policy = f"""policy "gone" version 1
model big endpoint "{mock.url}" context 32k tok output 1k tok price 10 in, 30 out usd/Mtok quality 0.9
budget 1000 requests/day hard
otherwise -> answer(big)
"""
    ledger = scratch / "data" / "ledger"
    served = start(policy, "--data", scratch / "data")

    def used():
        code, out = shell(f"merit ledger budgets --ledger {ledger} --json", scratch)
        return json.loads(out)[0]["used"] if code == 0 else -1

    assert served.chat("hello")[0] == 200
    until(lambda: used() == 1, 10)
    (ledger / "ledger.db").unlink()
    until(lambda: "ledger-store-put-back" in served.errors(), 10)
    assert "ledger-store-gone" in served.errors()
    os.truncate(ledger / "journal.0", 100)
    assert served.chat("hello")[0] == 200
    until(lambda: "ledger-journal-cut" in served.errors(), 10)
    until(lambda: used() == 2, 10)
    served.stop()
    with contextlib.closing(sqlite3.connect(ledger / "ledger.db")) as db:
        assert db.execute("SELECT count(*) FROM attempts").fetchone() == (2,)
