"""What a request takes, reckoned a second time: by the formulas of docs/price.md and docs/energy.md, from the constants that the binary
shows, over a grid of lengths and batches; and the tables of docs/energy.md against what the binary has."""
import csv
import json
import math
import os
import re
import subprocess

import pytest

from conftest import MERIT, PATIENCE, ROOT

GPU_USD_H, PUE, CARBON = 4.02, 1.2, 380


def merit(*args, cwd=None, env=None, code=0):
    done = subprocess.run([MERIT, *map(str, args)], capture_output=True, text=True, timeout=PATIENCE, cwd=cwd,
                          env={**os.environ, "NO_COLOR": "1", **(env or {})})
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def curves():
    return json.loads(merit("price", "curves", "--json"))["curves"]


class Curve:
    def __init__(self, row):
        self.__dict__.update(row)

    def held(self, b):
        return max(1, min(b, self.batch_max))

    def e(self, b):
        b = self.held(b)
        return self.a * b ** -self.c if self.form == "power" else self.a + self.c / b

    def step(self, b):
        b = self.held(b)
        return self.step_s * b ** self.step_growth if self.form == "power" else self.step_s * (1 + self.step_growth * b)

    def m(self, b):
        m = (self.e(b) * (1 - self.c / (1 - self.step_growth)) if self.form == "power"
             else self.a - self.c * self.step_growth)
        return min(max(m, 0), self.e(b))

    def speed(self, b):
        return self.held(b) / self.step(b)


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """A policy with a model for each row of the table."""
    path = tmp_path_factory.mktemp("price") / "all.merit"
    rows = curves()
    lines = ['policy "all" version 1', f"zone here  pue {PUE}  carbon {CARBON} g/kWh"]
    for i, r in enumerate(rows):
        lines.append(f'model m{i}  zone here  endpoint "http://127.0.0.1:9/v1"  context 100k tok  output 8k tok  timeout 60 s '
                     f'price 0.5 in, 2 out, 0.05 cached usd/Mtok, 0.0001 usd/request, gpu {GPU_USD_H} usd/h since 2026-11-21 '
                     f'energy {r["gpus"]} {r["hardware"]} {r["size"]}')
    lines.append("otherwise -> answer(any)")
    path.write_text("\n".join(lines) + "\n")
    return path, rows


def near(shown, want, unit):
    """Rounded to a unit, once."""
    assert abs(shown - want) <= unit * 1.01 + want * 1e-9, (shown, want)


@pytest.mark.parametrize("batch", [1, 7, 32, 100, 5000])
def test_requests(policy, batch):
    path, rows = policy
    for i, row in enumerate(rows):
        c = Curve(row)
        for tokens, cached, out, low, high in [(1000, 0, 256, 256, 256), (20000, 15000, 700, 90, 2000), (0, 0, 1, 0, 8000)]:
            said = json.loads(merit("price", "request", path, f"m{i}", "--input", tokens, "--cached", cached, "--output", out,
                                    "--low", low, "--high", high, "--batch", batch, "--json"))
            asked = (tokens - cached) * 0.5e-6 + cached * 0.05e-6 + out * 2e-6 + 0.0001

            def share(n):
                return GPU_USD_H / 3600 * (c.prefill_s_tok * (tokens - cached) + n / c.speed(batch))

            def joules(n, each):
                return PUE * (c.prefill_j_tok * (tokens - cached) + each * n)

            near(said["tokens_usd"], asked, 1e-9)
            near(said["share_usd"], share(out), 1e-9)
            near(said["cost_usd"], max(asked, share(out)), 1e-9)
            near(said["cost_low_usd"], max(asked - (out - low) * 2e-6, share(low)), 1e-9)
            near(said["cost_high_usd"], max(asked + (high - out) * 2e-6, share(high)), 1e-9)
            near(said["energy_j"], joules(out, c.e(batch)), 1e-6)
            near(said["energy_low_j"], joules(low, c.e(batch)), 1e-6)
            near(said["energy_high_j"], joules(high, c.e(batch)), 1e-6)
            near(said["marginal_j"], joules(out, c.m(batch)), 1e-6)
            near(said["carbon_g"], joules(out, c.e(batch)) / 3.6e6 * CARBON, 2e-6)
            assert said["boundary"] == "with PUE" and said["carbon_marginal"] is False
            assert said["cost_high_usd"] <= said["cost_bound_usd"] and said["energy_high_j"] <= said["energy_bound_j"]


def table(text, header):
    """Rows of the table whose first column is called so, as lists of cells."""
    lines = text[text.index(header):].splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:end]]


def test_table_of_curves():
    text = (ROOT / "docs" / "energy.md").read_text()
    shown = table(text, "| machines | size |")
    rows = curves()
    assert len(shown) == len(rows)
    for cells, row in zip(shown, rows):
        c = Curve(row)
        assert cells[:3] == [f'{row["gpus"]} {row["hardware"]}', row["size"], row["form"]]
        want = [row["a"], row["c"], row["step_s"] * 1e3, row["step_growth"], row["batch_max"]]
        assert [float(x) for x in cells[3:8]] == pytest.approx(want, rel=1e-12)
        assert float(cells[8]) == pytest.approx(row["prefill_j_tok"], abs=5.1e-5)
        assert cells[9] == row["fit_error"]
        share = c.m(row["batch_max"]) / c.e(row["batch_max"])
        assert float(cells[10]) == pytest.approx(share, abs=0.0051)
        # What the curve says of the margin is what was measured, within the noise of two points.
        if cells[11] != "-":
            assert abs(float(cells[11]) - share) < 0.14
    shares = sorted(float(c[10]) for c in shown)
    seen = sorted(float(c[11]) for c in shown if c[11] != "-")
    medians = re.search(r"Medians: (\d\.\d+) and (\d\.\d+)", text)
    assert float(medians[1]) == shares[len(shares) // 2]
    assert float(medians[2]) == pytest.approx((seen[4] + seen[5]) / 2, abs=0.006)
    assert 0.0678 / Curve(rows[0]).e(256) == pytest.approx(0.84, abs=0.01)


def test_estimate():
    for size, active, bits in [(200, None, 16), (8, None, 16), (405, None, 8), (235, 22, 8)]:
        p = active or size
        args = ["price", "energy", f"{size}b", "--estimate", "--bits", bits, "--batch", 64, "--json"]
        said = json.loads(merit(*args, *(["--active", f"{active}b"] if active else [])))
        gpus = 2 ** max(0, math.ceil(math.log2(1.2 * size * bits / 8 / 80)))
        level = 3600 * gpus * (1.17e-6 * math.exp(-1.12e-2 * 64) * p + 4.05e-5)
        step = 6.79e-4 * p + 3.12e-4 * 64 + 1.95e-2
        assert said["hardware"] == f"{gpus} h100" and said["grade"] == "guessed"
        b = said["batches"][0]
        assert b["j_tok"] == pytest.approx(level) and b["step_s"] == pytest.approx(step)
        assert b["w"] == pytest.approx(level * 64 / step)
        assert b["marginal_j_tok"] == pytest.approx(level / (1 + 57 / 64) * max(0, 1 - 57 * 3.12e-4 / (step - 3.12e-4 * 64)))
        assert said["prefill_j_tok"] == pytest.approx(2e9 * p * 700 / (989e12 * 0.5 * (2 if bits == 8 else 1)))
    assert "billions" in merit("price", "energy", "200x", "--estimate", code=2)
    assert "no curve" in merit("price", "energy", "9b", code=1)


def test_list(tmp_path):
    said = json.loads(merit("price", "list", "--json"))
    with open(ROOT / "models" / "prices.csv") as f:
        rows = list(csv.DictReader(line for line in f if not line.startswith("#")))
    assert len(rows) == len(said["prices"]) > 20
    listed = {(r["provider"], r["model"]): r for r in said["prices"]}
    for r in rows:
        s = listed[r["provider"], r["model"]]
        assert s["in"] == float(r["in"]) and s["out"] == float(r["out"]) and s["date"] == r["date"]
        assert s["cached"] == float(r["cached"] or r["in"]) and s["grade"] == r["grade"] and s["source"] == r["source"]
    own = tmp_path / "own.csv"
    own.write_text("provider,model,in,cached,written,out,call,batch,date,source,grade\n"
                   "openai,gpt-5*,7,,,70,,,2026-11-20,contract,measured\n")
    assert [p["in"] for p in json.loads(merit("price", "list", "--json", env={"MERIT_PRICES": str(own)}))["prices"]] == [7]
    policy = tmp_path / "p.merit"
    policy.write_text('policy "p" version 1\nmodel m provider openai "gpt-5-mini" key env K context 9k tok output 1k tok '
                      "price listed\notherwise -> answer(m)\n")
    ask = ["price", "request", policy, "m", "--input", 1000000, "--output", 0, "--json"]
    assert json.loads(merit(*ask))["cost_usd"] == 0.25
    assert json.loads(merit(*ask, env={"MERIT_PRICES": str(own)}))["cost_usd"] == 7
    own.write_text(own.read_text().replace("2026-11-20", ""))
    assert "own.csv:2:" in merit(*ask, env={"MERIT_PRICES": str(own)}, code=1)
    assert "cannot read the prices" in merit(*ask, env={"MERIT_PRICES": str(tmp_path / "none")}, code=1)


def test_worked_share_of_a_meter():
    """The example of a shared batch in docs/energy.md."""
    rest, idle, beta = 200.0, 300.0, 0.286
    one = idle * 11 / 13 + rest * (beta + (1 - beta) * 10 / 40)
    two = idle * 2 / 13 + rest * (1 - beta) * 30 / 40
    text = (ROOT / "docs" / "energy.md").read_text()
    assert re.search(rf"^{one:.3f} J and {two:.3f} J, together 500 J\.$", text, re.M)
