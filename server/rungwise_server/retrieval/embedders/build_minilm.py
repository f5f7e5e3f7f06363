"""Builds `minilm.onnx`, the graph of all-MiniLM-L6-v2 without its weights. Run by hand, with the `onnx` group:

    uv run --group onnx python -m rungwise_server.retrieval.embedders.build_minilm

The graph is BERT's encoder, written out. Its weights are external data at byte offsets into the `model.safetensors`
that the `minilm` extra installs, so that nothing is converted and nothing is stored twice. `minilm.WEIGHTS` says which
file the offsets belong to.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from rungwise_server.retrieval.embedders import minilm

LAYERS, HIDDEN, HEADS, EPSILON = 6, 384, 12, 1e-12
OPSET, IR_VERSION = 20, 9


class Graph:
    """Nodes and initializers of a graph in the making; methods return the name of the value that they add."""

    def __init__(self, tensors: dict[str, tuple[int, int, list[int]]]) -> None:
        self.tensors = tensors
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}

    def op(self, kind: str, *inputs: str, out: str = "", **attributes: int | float | Sequence[int]) -> str:
        """Add a node with one output."""
        out = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def constant(self, name: str, value: Sequence[int] | float) -> str:
        """Add a small constant: integers for shapes, a float for arithmetic."""
        array = np.array(value, np.float32 if isinstance(value, float) else np.int64)
        self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def weight(self, name: str) -> str:
        """Add a tensor of the weights file, by reference."""
        offset, length, shape = self.tensors[name]
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", minilm.WEIGHTS_FILE), ("offset", str(offset)), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
        self.initializers[name] = tensor
        return name

    def linear(self, x: str, name: str) -> str:
        """x W^T + b, as torch stores it."""
        transposed = self.op("Transpose", self.weight(f"{name}.weight"), perm=[1, 0])
        return self.op("Add", self.op("MatMul", x, transposed), self.weight(f"{name}.bias"))

    def norm(self, x: str, name: str, out: str = "") -> str:
        """Layer normalisation over the last axis."""
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, scale, bias, out=out, axis=-1, epsilon=EPSILON)


def _embeddings(g: Graph) -> str:
    name = "embeddings.{}_embeddings.weight".format
    words = g.op("Gather", g.weight(name("word")), "input_ids")
    types = g.op("Gather", g.weight(name("token_type")), "token_type_ids")
    length = g.op("Slice", g.op("Shape", "input_ids"), g.constant("one", [1]), g.constant("two", [2]))
    positions = g.op("Slice", g.weight(name("position")), g.constant("zero", [0]), length, "zero")
    return g.norm(g.op("Add", g.op("Add", words, types), positions), "embeddings.LayerNorm")


def _layer(g: Graph, x: str, mask: str, name: str, out: str) -> str:
    def heads(part: str, perm: Sequence[int]) -> str:
        projected = g.linear(x, f"{name}.attention.self.{part}")
        return g.op("Transpose", g.op("Reshape", projected, "split"), perm=perm)

    query, key, value = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]), heads("value", [0, 2, 1, 3])
    scores = g.op("Add", g.op("Mul", g.op("MatMul", query, key), "scale"), mask)
    context = g.op("MatMul", g.op("Softmax", scores, axis=-1), value)
    context = g.op("Reshape", g.op("Transpose", context, perm=[0, 2, 1, 3]), "join")
    attended = g.op("Add", g.linear(context, f"{name}.attention.output.dense"), x)
    attended = g.norm(attended, f"{name}.attention.output.LayerNorm")
    inner = g.op("Gelu", g.linear(attended, f"{name}.intermediate.dense"))
    return g.norm(g.op("Add", g.linear(inner, f"{name}.output.dense"), attended), f"{name}.output.LayerNorm", out)


def build(weights: Path) -> ModelProto:
    """The graph for the weights file, which is only read for its header."""
    with weights.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    base = 8 + size
    g = Graph(
        {
            name: (base + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0], entry["shape"])
            for name, entry in header.items()
            if name != "__metadata__"
        }
    )
    x = _embeddings(g)
    g.constant("split", [0, 0, HEADS, HIDDEN // HEADS])
    g.constant("join", [0, 0, HIDDEN])
    g.constant("scale", float((HIDDEN // HEADS) ** -0.5))
    seen = g.op("Unsqueeze", g.op("Cast", "attention_mask", to=TensorProto.FLOAT), g.constant("inner_axes", [1, 2]))
    mask = g.op("Mul", g.op("Sub", g.constant("whole", 1.0), seen), g.constant("hidden", -10000.0))
    for number in range(LAYERS):
        out = "last_hidden_state" if number == LAYERS - 1 else ""
        x = _layer(g, x, mask, f"encoder.layer.{number}", out)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", "length", HIDDEN])]
    graph: GraphProto = helper.make_graph(g.nodes, "all-MiniLM-L6-v2", inputs, outputs, list(g.initializers.values()))
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="rungwise")


if __name__ == "__main__":
    minilm.GRAPH.write_bytes(build(minilm.weights()).SerializeToString(deterministic=True))
