"""The page for people reads metrics and decisions by name: what it reads is there, with the amounts that it draws."""
import json
import re
import urllib.request

from conftest import ROOT
from test_budgets import ask, client, policy, told, usage

PAGE = (ROOT / "web" / "admin.html").read_text()


def get(served, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{served.admin_port}{path}", timeout=10) as r:
        return r.read().decode()


def test_what_the_page_draws_is_told(start, mock, scratch):
    mock.default = told(usage(20, 50))
    served = start(policy(mock, 'budget 1 usd/day hard as "a \\"quoted\\" day"', "big, small",
                          "dispatch price second 0.001 usd"), "--data", scratch / "data")
    with client(served) as c:
        ask(c)
    assert get(served, "/") == PAGE
    metrics = get(served, "/metrics")
    for name in ("input_tokens", "output_tokens", "cost_usd", "baseline_usd", "energy_joules", "carbon_grams"):
        assert name in PAGE and float(re.search(rf'merit_{name}_total{{model="\w+"}} (\S+)', metrics)[1]) > 0, name
    assert re.search(r'merit_model_requests_total{model="\w+",end="answered"} 1\b', metrics)
    for name in ("left", "limit"):
        assert re.search(rf'merit_budget_{name}{{budget="a \\"quoted\\" day",unit="usd",window="day"}} ', metrics)
    (kept,) = json.loads(get(served, "/merit/v1/decisions?n=1"))["decisions"]
    terms = set().union(*(o["terms_usd"] for o in kept["decision"]["options"]))
    hues = re.search(r"const hue = {(.*?)};", PAGE)[1]
    assert terms == set(re.findall(r"(\w+):", hues)), "each term of a price has a colour"
    assert all(o["price_usd"] and o["expect"]["energy_j"] for o in kept["decision"]["options"])
