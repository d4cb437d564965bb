"""`merit model`, `merit embed`, `merit classify`: a small model made here, added, asked and timed; what is missing, hostile
or offline is told with its exit code and a way out."""
import json
import os
import pathlib
import random
import struct
import subprocess

import pytest
from conftest import MERIT, SLOW

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "##s", "mat", "on", "paris"]
HIDDEN, INNER, VOCAB, POSITIONS = 64, 128, 16, 128


def merit(home, *args, text=None, env=None, seconds=60):
    full = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_COLOR": "1"}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
        if name in os.environ:
            full[name] = os.environ[name]
    full.update(env or {})
    return subprocess.run([MERIT, *args], input=text, capture_output=True, text=True, timeout=seconds * SLOW, cwd=home,
                          env=full)


def tokenizer():
    special = [{"id": i, "content": w, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                "special": True} for i, w in enumerate(WORDS[:4])]
    part = {"single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
                     {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
            "special_tokens": {w: {"id": w, "ids": [i], "tokens": [w]} for i, w in ((2, "[CLS]"), (3, "[SEP]"))}}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                           "strip_accents": None, "lowercase": True},
            "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": {"type": "TemplateProcessing", **part},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": {w: i for i, w in enumerate(WORDS)}}}


def safetensors(tensors):
    header, data = {}, b""
    for name, (shape, numbers) in tensors.items():
        raw = struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def weights(labels):
    rng = random.Random(7)
    out = {}

    def add(name, *shape, centre=0.0):
        n = 1
        for d in shape:
            n *= d
        out[name] = (list(shape), [centre + rng.uniform(-0.15, 0.15) for _ in range(n)])

    def linear(name, rows, width):
        add(name + ".weight", rows, width)
        add(name + ".bias", rows)

    def norm(name):
        add(name + ".weight", HIDDEN, centre=1.0)
        add(name + ".bias", HIDDEN)

    add("embeddings.word_embeddings.weight", VOCAB, HIDDEN)
    add("embeddings.position_embeddings.weight", POSITIONS, HIDDEN)
    add("embeddings.token_type_embeddings.weight", 2, HIDDEN)
    norm("embeddings.LayerNorm")
    for i in range(2):
        at = f"encoder.layer.{i}."
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(at + "attention." + part, HIDDEN, HIDDEN)
        norm(at + "attention.output.LayerNorm")
        linear(at + "intermediate.dense", INNER, HIDDEN)
        linear(at + "output.dense", HIDDEN, INNER)
        norm(at + "output.LayerNorm")
    if labels == "sequence":
        linear("pooler.dense", HIDDEN, HIDDEN)
    if labels:
        out = {"bert." + name: tensor for name, tensor in out.items()}
        linear("classifier", 3, HIDDEN)
    return out


def folder(path, kind=None):
    """A whole model folder: a sentence encoder, or a classifier of the whole ("sequence") or of its "tokens"."""
    path.mkdir(parents=True)
    name = {None: "BertModel", "sequence": "BertForSequenceClassification",
            "tokens": "BertForTokenClassification"}[kind]
    config = {"architectures": [name], "model_type": "bert", "hidden_act": "gelu", "hidden_size": HIDDEN,
              "intermediate_size": INNER, "layer_norm_eps": 1e-12, "max_position_embeddings": POSITIONS,
              "num_attention_heads": 2, "num_hidden_layers": 2, "pad_token_id": 0, "type_vocab_size": 2,
              "vocab_size": VOCAB}
    if kind:
        config["id2label"] = {"0": "O", "1": "B-CITY", "2": "I-CITY"}
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").write_text(json.dumps(tokenizer()))
    (path / "model.safetensors").write_bytes(safetensors(weights(kind)))
    return path


def test_a_model_is_added_asked_and_timed(tmp_path):
    folder(tmp_path / "some where" / "mine")
    r = merit(tmp_path, "model", "add", "some where/mine", "--licence", "CC0", "--json")
    assert r.returncode == 0, r.stderr
    added = json.loads(r.stdout)
    assert added["name"] == "mine" and len(added["digest"]) == 64
    assert added["folder"] == str(tmp_path / ".local/share/merit/models/mine")
    assert merit(tmp_path, "model", "add", "some where/mine").returncode == 1
    assert merit(tmp_path, "model", "add", "some where/mine", "--replace").returncode == 0
    listed = {m["name"]: m for m in json.loads(merit(tmp_path, "model", "ls", "--json").stdout)["models"]}
    assert listed["mine"]["installed"] and not listed["mine"]["in_catalog"]
    assert listed["all-minilm-l6-v2"]["default"] and not listed["all-minilm-l6-v2"]["installed"]
    info = json.loads(merit(tmp_path, "model", "info", "mine", "--json").stdout)
    assert info["from_cache"] and info["hidden"] == HIDDEN and info["weights"] == added["weights"]
    assert "2 layers of 64" in merit(tmp_path, "model", "info", "mine").stdout

    r = merit(tmp_path, "embed", "--model", "mine", "--json", "-", text="the cat sat\n\nthe cats\n")
    lines = json.loads(r.stdout)
    assert lines["dimensions"] == HIDDEN and [e["tokens"] for e in lines["embeddings"]] == [5, 2, 5]
    plain = merit(tmp_path, "embed", "--model", "mine", "the cat sat").stdout.split()
    assert [float(x) for x in plain] == lines["embeddings"][0]["embedding"]
    long = merit(tmp_path, "embed", "--model", "mine", "the cat " * 100)
    assert long.returncode == 0 and "cut at 128 tokens" in long.stderr

    timed = json.loads(merit(tmp_path, "model", "bench", "mine", "--runs", "3", "--tokens", "8,16,512",
                             "--json").stdout)
    assert [t["tokens"] for t in timed["lengths"]] == [8, 16]
    assert "tokens/s" in merit(tmp_path, "model", "bench", "mine", "--runs", "1", "--tokens", "8").stdout


def test_classifiers(tmp_path):
    tokens, sequence = folder(tmp_path / "t", "tokens"), folder(tmp_path / "s", "sequence")
    r = merit(tmp_path, "classify", "--model", f"{sequence}/", "--plan", "f32", "--json", "the cat")
    assert r.returncode == 0, r.stderr
    answer = json.loads(r.stdout)
    assert {x["label"] for x in answer["labels"]} == {"O", "B-CITY", "I-CITY"}
    assert abs(sum(x["probability"] for x in answer["labels"]) - 1) < 1e-5
    probabilities = [x["probability"] for x in answer["labels"]]
    assert probabilities == sorted(probabilities, reverse=True)
    text = "the cat sat on paris " * 40
    answer = json.loads(merit(tmp_path, "classify", "--model", f"{tokens}/", "--json", "-", text=text).stdout)
    for span in answer["spans"]:
        assert span["label"] == "CITY" and text[span["begin"]:span["end"]] == span["text"]
    assert merit(tmp_path, "embed", "--model", f"{tokens}/", "x").returncode == 1
    folder(tmp_path / "e")
    assert merit(tmp_path, "classify", "--model", f"{tmp_path}/e", "x").returncode == 1


def test_what_is_missing_or_wrong_is_told(tmp_path):
    for args in (("embed", "x"), ("model", "info", "all-minilm-l6-v2"), ("classify", "--model", "rampart", "x")):
        r = merit(tmp_path, *args)
        assert r.returncode == 1 and "not installed" in r.stderr and "merit model pull" in r.stderr, r.stderr
    r = merit(tmp_path, "model", "info", "no-such")
    assert r.returncode == 1 and "merit model ls" in r.stderr
    for args in ((), ("fetch",), ("pull",), ("info",), ("add",), ("pull", "--timeout", "soon", "x"),
                 ("bench", "x", "--runs", "0"), ("info", "x", "--plan", "int3"), ("add", "x", "--name", "../up")):
        assert merit(tmp_path, "model", *args).returncode == 2, args
    assert merit(tmp_path, "embed").returncode == 2
    assert merit(tmp_path, "classify", "text").returncode == 2
    for args in (("model",), ("model", "ls"), ("model", "info"), ("model", "add"), ("model", "pull"),
                 ("model", "bench"), ("embed",), ("classify",)):
        r = merit(tmp_path, *args, "--help")
        assert r.returncode == 0 and r.stdout.startswith("usage: merit " + args[0])
    bad = folder(tmp_path / "bad")
    whole = (bad / "model.safetensors").read_bytes()
    for content, why in ((whole[:-100], "ends before"), (whole + b"x", "behind the last"), (b"", "no header"),
                         (whole[:-8] + struct.pack("<2f", 1, float("nan")), "not finite")):
        (bad / "model.safetensors").write_bytes(content)
        r = merit(tmp_path, "model", "add", "bad")
        assert r.returncode == 1 and why in r.stderr, (why, r.stderr)
    assert not (tmp_path / ".local/share/merit/models/bad").exists()


def test_offline_is_no_failure_where_it_was_said(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python3", "pip", "pip3", "python", "mvn"):
        (programs / name).write_text("#!/bin/sh\ncase \"$*\" in *--version*) exit 0 ;; esac\n"
                                     "echo 'NewConnectionError: name resolution failed'\nexit 1\n")
        (programs / name).chmod(0o755)
    env = {"PATH": f"{programs}:{os.environ['PATH']}"}
    r = merit(tmp_path, "model", "pull", "--default", "--quiet-if-offline", env=env)
    assert r.returncode == 0 and "cannot be reached" in r.stderr and "merit model add DIR" in r.stderr, r.stderr
    r = merit(tmp_path, "model", "pull", "--default", "--json", env=env)
    models = json.loads(r.stdout)["models"]
    assert r.returncode == 1 and not any(m["ready"] for m in models) and all(m["why"] for m in models)
    for name in ("python3", "pip", "pip3", "python"):
        (programs / name).write_text("#!/bin/sh\nexit 1\n")
    r = merit(tmp_path, "model", "pull", "rampart", env=env)
    assert r.returncode == 1 and "no pip here" in r.stderr
    assert list((tmp_path / ".local/share/merit/models").iterdir()) == []


def test_processes_pack_once(tmp_path):
    folder(tmp_path / "m")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
        if name in os.environ:
            env[name] = os.environ[name]
    running = [subprocess.Popen([MERIT, "embed", "--model", "m/", "the cat"], cwd=tmp_path, env=env,
                                stdout=subprocess.PIPE) for _ in range(5)]
    outputs = {p.communicate(timeout=60 * SLOW)[0] for p in running}
    assert [p.returncode for p in running] == [0] * 5 and len(outputs) == 1
    cache = pathlib.Path(tmp_path / ".cache/merit/models")
    assert len(list(cache.glob("*.pack"))) == 1 and not list(cache.glob("*.new"))


@pytest.mark.parametrize("where", ["read-only", "full"])
def test_a_cache_that_cannot_be_written_costs_memory_only(tmp_path, where):
    folder(tmp_path / "m")
    cache = tmp_path / "cache"
    if where == "full":
        cache.mkdir()
        if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", cache],
                                          capture_output=True, check=False).returncode:
            cache.rmdir()
            cache.write_text("no small file system may be mounted here: a file in the way instead")
    else:
        cache.write_text("a file in the way")
    try:
        r = merit(tmp_path, "embed", "--model", "m/", "the cat", env={"XDG_CACHE_HOME": str(cache)})
    finally:
        if where == "full" and cache.is_dir():
            subprocess.run(["umount", cache], check=True)
    assert r.returncode == 0 and len(r.stdout.split()) == HIDDEN
    assert "packed into memory" in r.stderr and "XDG_CACHE_HOME" in r.stderr, r.stderr
