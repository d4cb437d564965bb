"""`merit route`: decides without calling anything; its record follows docs/decision.schema.json."""
import json
import os
import subprocess

from conftest import MERIT, PATIENCE, ROOT

SCHEMA = json.loads((ROOT / "docs" / "decision.schema.json").read_text())
POLICY = """policy "shop" version 4
model small endpoint "http://127.0.0.1:9/v1"  context 4k tok  output 1k tok  price 0.1 in, 0.2 out usd/Mtok  quality 0.5
model large endpoint "http://127.0.0.1:9/v1"  context 128k tok  output 8k tok  can images, tools  effort low, high
            price 1 in, 4 out usd/Mtok  quality 0.9
alias cheap -> model small
signal rude    = keywords("damn")
signal project = metadata("project")
signal staff   = caller(group)
signal source  = header("x-source")
signal long    = context above 2k tok
route no    when rude                       -> refuse "mind your words"
route staff when staff in ("eng") or source == "ci" -> answer(large high)
route big   when long                       -> answer(any) maximise quality
otherwise -> answer(any) minimise cost
"""


def route(*args, text=None, cwd=None, env=None):
    full = {"PATH": os.environ["PATH"], "NO_COLOR": "1"}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
        if name in os.environ:
            full[name] = os.environ[name]
    full.update(env or {})
    return subprocess.run([MERIT, "route", *args], input=text, capture_output=True, text=True, timeout=PATIENCE, cwd=cwd,
                          env=full)


def check(value, schema, where="record"):
    """As much of JSON Schema as the document uses; anything else in it is an error here."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
             "number": (int, float)}
    known = {"type", "const", "enum", "required", "properties", "items", "minimum", "maximum", "maxItems", "pattern",
             "format", "description", "title", "$schema", "$id", "if", "then", "else", "not"}
    assert set(schema) <= known, f"{where}: {set(schema) - known}"
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert any(isinstance(value, kinds[n]) and not (isinstance(value, bool) and n in ("integer", "number"))
                   for n in names), f"{where}: {value!r} is not {names}"
    if "const" in schema:
        assert value == schema["const"], where
    if "enum" in schema:
        assert value in schema["enum"], f"{where}: {value!r}"
    if "pattern" in schema:
        import re
        assert re.search(schema["pattern"], value), f"{where}: {value!r}"
    if "minimum" in schema and value is not None:
        assert value >= schema["minimum"], where
    if "maximum" in schema:
        assert value <= schema["maximum"], where
    if isinstance(value, dict):
        for name in schema.get("required", []):
            assert name in value, f"{where}.{name} is missing"
        for name, v in value.items():
            if "properties" in schema:
                assert name in schema["properties"], f"{where}.{name} is not in the schema"
                check(v, schema["properties"][name], f"{where}.{name}")
        if "if" in schema:
            avoided = value["state"] == schema["if"]["properties"]["state"]["const"]
            if avoided:
                assert "value" not in value, where
            else:
                check_required = {"required": schema["else"]["required"]}
                for name in check_required["required"]:
                    assert name in value, f"{where}.{name} is missing"
    if isinstance(value, list):
        assert len(value) <= schema.get("maxItems", len(value)), where
        for i, v in enumerate(value):
            check(v, schema.get("items", {}), f"{where}[{i}]")


def record(tmp_path, *args, text=None, code=0):
    policy = tmp_path / "shop.merit"
    policy.write_text(POLICY)
    done = route("--policy", policy, "--json", *args, text=text)
    assert done.returncode == code, done.stderr
    d = json.loads(done.stdout)
    check(d, SCHEMA)
    return d


def signal(d, name):
    return next(s for s in d["signals"] if s["name"] == name)


def test_the_record_follows_its_schema(tmp_path):
    d = record(tmp_path, "what is 2 + 2?")
    assert (d["route"], d["model"], d["end"], d["by"]) == ("otherwise", "small", "answer", "routes")
    assert d["policy"]["name"] == "shop" and d["policy"]["version"] == 4
    assert signal(d, "project")["state"] == "avoided"
    assert [m["verdict"] for m in d["models"]] == ["chosen", "dearer"]
    d = record(tmp_path, "well, damn it")
    assert d["end"] == "refuse" and d["message"] == "mind your words"
    assert signal(d, "rude")["evidence"][0]["text"] == "damn"
    assert signal(d, "rude")["evidence"][0]["offset"] == 6


def test_json_on_standard_input(tmp_path):
    image = {"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url"}]}]}
    d = record(tmp_path, "-", text=json.dumps(image))
    assert d["model"] == "large"
    assert d["models"][0] == {"name": "small", "verdict": "lacks", "cost_usd": d["models"][0]["cost_usd"],
                              "missing": ["images"]}
    d = record(tmp_path, text="plain text\n")
    assert d["model"] == "small"
    d = record(tmp_path, "--down", "large", "-", text=json.dumps(image), code=1)
    assert d["end"] == "infeasible"
    assert [m["verdict"] for m in d["models"]] == ["lacks", "down"]


def test_who_asks_and_what_for(tmp_path):
    assert record(tmp_path, "--group", "eng", "hi")["effort"] == "high"
    assert record(tmp_path, "--header", "X-Source=ci", "hi")["route"] == "staff"
    d = record(tmp_path, "--model", "cheap", "damn")
    assert (d["by"], d["model"], d["route"]) == ("alias", "small", None)
    assert {r["verdict"] for r in d["routes"]} == {"bypassed"}
    d = record(tmp_path, "--model", "nobody", "hi", code=1)
    assert d["end"] == "no_model" and d["asked"] == "nobody"


def test_given_values_replay_a_record(tmp_path):
    first = record(tmp_path, "hello " * 3000)
    assert first["route"] == "big" and first["model"] == "large"
    given = {s["name"]: s["value"] for s in first["signals"] if s["state"] != "avoided"}
    again = record(tmp_path, "--given", json.dumps(given), "hello " * 3000)
    assert {s["state"] for s in again["signals"]} <= {"given", "avoided"}
    for name in ("route", "model", "effort", "end", "routes", "models", "cost_usd"):
        assert again[name] == first[name]
    d = record(tmp_path, "--given", '{"long": true, "staff": ["ops"]}', "hi")
    assert d["route"] == "big" and signal(d, "long")["state"] == "given"


HELD = """policy "held" version 1
lattice exposure = public < internal < phi
zone house clears phi
zone cloud clears internal
model near zone house endpoint "http://127.0.0.1:9/v1" context 8k tok output 1k tok price 1 in, 2 out usd/Mtok
model far zone cloud endpoint "http://127.0.0.1:9/v1" context 8k tok output 1k tok price 2 in, 4 out usd/Mtok
signal ward = keywords("ward")
signal code = keywords("code")
signal data label exposure = max(internal when code, phi when ward) on_error phi
forbid zone cloud when data == phi as "phi stays home"
route coding when code -> answer(far, near)
otherwise -> answer(near)
assume infeasible coding "nothing is, here"
"""


def test_labels_and_failures_can_be_given(tmp_path):
    policy = tmp_path / "held.merit"
    policy.write_text(HELD)

    def held(given):
        done = route("--policy", policy, "--json", "--given", json.dumps(given), "hello")
        assert done.returncode == 0, done.stderr
        d = json.loads(done.stdout)
        check(d, SCHEMA)
        return d

    assert held({"code": True, "data": "internal"})["model"] == "far"
    d = held({"code": True, "data": "phi"})
    assert d["model"] == "near" and d["models"][1]["constraint"] == "phi stays home"
    assert d["constraints"] == [{"name": "phi stays home", "verdict": "holds", "removed": ["far"]}]
    assert d["feasible"] == [{"model": "near", "effort": "default"}]
    assert d["assumed"][0]["reason"] == "nothing is, here"
    d = held({"code": True, "ward": {"failed": True}})
    assert d["model"] == "near"
    assert (signal(d, "ward")["state"], signal(d, "ward")["error"]) == ("failed", "given")
    assert signal(d, "data")["value"] == "phi"
    # Nothing hangs on the label where only the house may answer.
    d = held({"code": False})
    assert signal(d, "data")["state"] == "avoided" and d["constraints"][0]["verdict"] == "not_needed"
    done = route("--policy", policy, "--given", '{"ward": {"lost": true}}', "hello")
    assert done.returncode == 2 and '{"failed": true}' in done.stderr


def test_wrong_use_is_told(tmp_path):
    policy = tmp_path / "shop.merit"
    policy.write_text(POLICY)
    for args, said in [
        (["--given", '{"lon": 1}', "hi"], 'did you mean "long"'),
        (["--given", '{"long": "yes"}', "hi"], "must be true or false"),
        (["--given", "{", "hi"], "not a JSON object"),
        (["--given", '{"long": true, "long": false}', "hi"], "stands twice"),
        (["--header", "nothing", "hi"], "NAME=VALUE"),
        (["--down", "nobody", "hi"], "no model of the policy"),
        (["--frobnicate", "hi"], "no option"),
        (["a", "b"], "more than one text"),
        (["--model"], "needs a value"),
        (["-"], "messages"),
    ]:
        done = route("--policy", policy, *args, text="{}")
        assert done.returncode == 2, (args, done.stderr)
        assert said in done.stderr, (args, done.stderr)
        assert done.stdout == ""
    bad = tmp_path / "bad.merit"
    bad.write_text(POLICY.replace("answer(large high)", "answer(larg high)"))
    done = route("--policy", bad, "hi")
    assert done.returncode == 1 and "bad.merit:" in done.stderr and '`large`' in done.stderr
    assert route("--policy", tmp_path / "none.merit", "hi").returncode == 2


def test_the_policy_is_found(tmp_path):
    assert "swift" in route("hi", cwd=tmp_path).stdout  # the built-in demo
    (tmp_path / "merit.merit").write_text(POLICY)
    assert "small" in route("hi", cwd=tmp_path).stdout
    other = tmp_path / "other.merit"
    other.write_text(POLICY.replace("model small", "model tiny").replace("answer(any)", "answer(tiny)")
                     .replace("-> model small", "-> model tiny"))
    assert "tiny" in route("hi", cwd=tmp_path, env={"MERIT_POLICY": str(other)}).stdout


def test_for_people(tmp_path):
    policy = tmp_path / "shop.merit"
    policy.write_text(POLICY)
    out = route("--policy", policy, "oh damn\x1b[31m, " + "x" * 500).stdout
    assert out.splitlines()[0].split()[:2] == ["route", "no"]
    assert "mind your words" in out and '"damn"' in out and "\x1b" not in out
    assert all(len(line) <= 100 for line in out.splitlines())
    assert "Not computed" in out
