"""The encoders of bench/encoder as graphs for ONNX Runtime, in its best case: its own fused operators, no padding, no mask.

A plain export of the same model runs slower or, after its optimiser, as fast. Of BERT there are two graphs, because it
depends on the length which is faster: `attention` (one Attention node) and `heads` (a product for q, k, v together and a
MultiHeadAttention node, whose CPU kernel needs no S x S buffer). int8 is quantize_dynamic's, per channel.
"""
import json
import logging
import pathlib
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

MS = "com.microsoft"


def read_safetensors(path):
    """name -> f32 array, mapped."""
    raw = np.memmap(path, np.uint8, "r")
    size = struct.unpack("<Q", raw[:8].tobytes())[0]
    head = json.loads(raw[8:8 + size].tobytes())
    return {name: raw[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]].view("<f4").reshape(t["shape"])
            for name, t in head.items() if name != "__metadata__" and t["dtype"] == "F32"}


def write_safetensors(path, tensors):
    head, at = {}, 0
    for name, a in tensors.items():
        head[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for a in tensors.values():
            out.write(np.ascontiguousarray(a, "<f4").tobytes())


class Graph:
    def __init__(self):
        self.nodes, self.weights, self.kept = [], [], {}

    def constant(self, name, array):
        if name not in self.kept:
            self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
            self.kept[name] = name
        return name

    def node(self, op, inputs, outputs=1, domain=MS, **attributes):
        names = [f"{op}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, f"{op}_{len(self.nodes)}", domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def linear(self, x, name, weight):
        """`weight` is [out][in]."""
        return self.node("MatMul", [x, self.constant(name, weight.T)], domain="")

    def save(self, path, inputs, out, hidden):
        self.nodes.append(helper.make_node("Identity", [out], ["states"]))
        infos = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
        state = helper.make_tensor_value_info("states", TensorProto.FLOAT, [1, "s", hidden])
        graph = helper.make_graph(self.nodes, "encoder", infos, [state], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(MS, 1)])
        model.ir_version = 8
        onnx.save(model, path)


def bert(folder, form, path):
    config = json.loads((folder / "config.json").read_text())
    w = read_safetensors(folder / "model.safetensors")
    heads, eps = config["num_attention_heads"], config["layer_norm_eps"]
    g = Graph()

    def c(name):
        return g.constant(name, w[name])

    def norm(x, skip, prefix, bias):
        return g.node("SkipLayerNormalization",
                      [x, skip, c(prefix + "LayerNorm.weight"), c(prefix + "LayerNorm.bias"), c(bias)], epsilon=eps)

    e = "embeddings."
    x, _ = g.node("EmbedLayerNormalization",
                  ["input_ids", "token_type_ids"] + [c(e + t + "_embeddings.weight") for t in
                                                     ("word", "position", "token_type")] +
                  [c(e + "LayerNorm.weight"), c(e + "LayerNorm.bias")], 2, epsilon=eps)
    for i in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{i}."
        parts = [p + "attention.self." + part for part in ("query", "key", "value")]
        weight = np.concatenate([w[part + ".weight"] for part in parts])
        bias = np.concatenate([w[part + ".bias"] for part in parts])
        if form == "attention":
            a = g.node("Attention", [x, g.constant(p + "qkv", weight.T), g.constant(p + "qkv_bias", bias)],
                       num_heads=heads)
        else:
            third = g.constant("third", np.array([len(bias) // 3] * 3, np.int64))
            q, k, v = g.node("Split", [g.linear(x, p + "qkv", weight), third], 3, domain="", axis=2)
            a = g.node("MultiHeadAttention", [q, k, v, g.constant(p + "qkv_bias", bias)], num_heads=heads)
        o = p + "attention.output."
        x = norm(g.linear(a, o + "w", w[o + "dense.weight"]), x, o, o + "dense.bias")
        f = p + "intermediate.dense."
        h = g.node("BiasGelu", [g.linear(x, f + "w", w[f + "weight"]), c(f + "bias")])
        o = p + "output."
        x = norm(g.linear(h, o + "w", w[o + "dense.weight"]), x, o, o + "dense.bias")
    ids = [("input_ids", TensorProto.INT32, [1, "s"]), ("token_type_ids", TensorProto.INT32, [1, "s"])]
    g.save(path, ids, x, config["hidden_size"])


def modernbert(folder, path):
    config = json.loads((folder / "config.json").read_text())
    w = read_safetensors(folder / "model.safetensors")
    hidden, heads, eps = config["hidden_size"], config["num_attention_heads"], config["norm_eps"]
    size = hidden // heads
    g = Graph()
    place = np.arange(1024)[:, None]
    for kind, base in (("global", config["global_rope_theta"]), ("local", config["local_rope_theta"])):
        turns = place / base ** (np.arange(0, size, 2) / size)
        g.constant("cos_" + kind, np.cos(turns).astype(np.float32))
        g.constant("sin_" + kind, np.sin(turns).astype(np.float32))
    g.constant("zeros", np.zeros(hidden, np.float32))

    def norm(x, name):
        return g.node("LayerNormalization", [x, g.constant(name, w["model." + name]), "zeros"], domain="", epsilon=eps)

    def linear(x, name):
        return g.linear(x, name, w["model." + name])

    def split(x, name, parts, each):
        return g.node("Split", [x, g.constant(name, np.array([each] * parts, np.int64))], parts, domain="", axis=2)

    words = g.constant("words", w["model.embeddings.tok_embeddings.weight"])
    x = norm(g.node("Gather", [words, "input_ids"], domain=""), "embeddings.norm.weight")
    for i in range(config["num_hidden_layers"]):
        p = f"layers.{i}."
        kind = "local" if i % config["global_attn_every_n_layers"] else "global"
        n = norm(x, p + "attn_norm.weight") if i else x
        q, k, v = split(linear(n, p + "attn.Wqkv.weight"), "third", 3, hidden)
        q, k = (g.node("RotaryEmbedding", [t, "position_ids", "cos_" + kind, "sin_" + kind], num_heads=heads)
                for t in (q, k))
        bias = ["", "", "local_bias"] if kind == "local" else []
        a = g.node("MultiHeadAttention", [q, k, v] + bias, num_heads=heads)
        x = g.node("Add", [linear(a, p + "attn.Wo.weight"), x], domain="")
        up, gate = split(linear(norm(x, p + "mlp_norm.weight"), p + "mlp.Wi.weight"), "half", 2,
                         config["intermediate_size"])
        h = g.node("Mul", [g.node("Gelu", [up]), gate], domain="")
        x = g.node("Add", [linear(h, p + "mlp.Wo.weight"), x], domain="")
    inputs = [("input_ids", TensorProto.INT32, [1, "s"]), ("position_ids", TensorProto.INT64, [1, "s"]),
              ("local_bias", TensorProto.FLOAT, [1, 1, "s", "s"])]
    g.save(path, inputs, norm(x, "final_norm.weight"), hidden)


def modernbert_folder(folder):
    """ModernBERT-base's shape with random weights, at which values neither vanish nor explode."""
    config = {"model_type": "modernbert", "architectures": ["ModernBertModel"], "vocab_size": 50368, "hidden_size": 768,
              "num_hidden_layers": 22, "num_attention_heads": 12, "intermediate_size": 1152,
              "max_position_embeddings": 8192, "layer_norm_eps": 1e-5, "norm_eps": 1e-5, "pad_token_id": 50283,
              "cls_token_id": 50281, "sep_token_id": 50282, "global_attn_every_n_layers": 3,
              "global_rope_theta": 160000.0, "local_attention": 128, "local_rope_theta": 10000.0,
              "hidden_activation": "gelu", "attention_bias": False, "mlp_bias": False, "norm_bias": False}
    rng = np.random.default_rng(1)
    hidden, inner = config["hidden_size"], config["intermediate_size"]

    def linear(rows, columns):
        return rng.standard_normal((rows, columns), np.float32) * np.float32(1.2 / columns ** 0.5)

    def norm():
        return (1 + 0.2 * rng.standard_normal(hidden, np.float32)).astype(np.float32)

    w = {"embeddings.tok_embeddings.weight": rng.standard_normal((config["vocab_size"], hidden), np.float32),
         "embeddings.norm.weight": norm(), "final_norm.weight": norm()}
    for i in range(config["num_hidden_layers"]):
        p = f"layers.{i}."
        if i:
            w[p + "attn_norm.weight"] = norm()
        w[p + "attn.Wqkv.weight"], w[p + "attn.Wo.weight"] = linear(3 * hidden, hidden), linear(hidden, hidden)
        w[p + "mlp_norm.weight"] = norm()
        w[p + "mlp.Wi.weight"], w[p + "mlp.Wo.weight"] = linear(2 * inner, hidden), linear(hidden, inner)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors", {"model." + name: a for name, a in w.items()})
    (folder / "config.json").write_text(json.dumps(config, indent=1))


def int8(source, path):
    logging.getLogger().setLevel(logging.ERROR)  # it advises a preparation that these graphs do not need
    quantize_dynamic(source, path, per_channel=True, weight_type=QuantType.QInt8,
                     op_types_to_quantize=["MatMul", "Attention"],
                     extra_options={"DefaultTensorType": TensorProto.FLOAT})


def made(path, make, *arguments):
    """`path`, made when it is not there; a half-made one is never taken for whole."""
    path = pathlib.Path(path)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name("draft-" + path.name)
        make(*arguments, draft)
        draft.rename(path)
    return path
