"""Write graphs/demand.onnx and graphs/sums.onnx: python -m models.training.build_graphs (developers only: needs onnx).

Every weight is an initializer that is also listed as a graph input, so a call can pass learned weights by name.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

from models.network import BLOCKS, CLIP, GRAPHS, INPUTS, OUTPUTS, SHIPPED, WINDOW_INPUTS, Weights, unpack


def graph_of(weights: Weights, inputs: int, name: str) -> onnx.ModelProto:
    """The graph that `network.forward` computes in numpy."""
    node = helper.make_node
    nodes = [
        node("Sub", ["x", "shift"], ["centred"]),
        node("Mul", ["centred", "stretch"], ["wide"]),
        node("Clip", ["wide", "four_below", "four_above"], ["standard"]),
        node("Gemm", ["standard", "w0", "b0"], ["a0"]),
        node("Relu", ["a0"], ["h0"]),
    ]
    for block in range(1, BLOCKS + 1):
        nodes += [
            node("Gemm", [f"h{block - 1}", f"w{block}", f"b{block}"], [f"a{block}"]),
            node("Relu", [f"a{block}"], [f"r{block}"]),
            node("Add", [f"h{block - 1}", f"r{block}"], [f"h{block}"]),
        ]
    nodes += [
        node("Gemm", [f"h{BLOCKS}", "out_w", "out_b"], ["out"]),
        node("Clip", ["out", "clip_below", "clip_above"], ["raw"]),
    ]
    bounds = {"four_below": -4.0, "four_above": 4.0, "clip_below": -CLIP, "clip_above": CLIP}
    constants = [helper.make_tensor(key, TensorProto.FLOAT, [], [value]) for key, value in bounds.items()]
    values = [numpy_helper.from_array(value, key) for key, value in sorted(weights.items())]
    overridable = [helper.make_tensor_value_info(v.name, TensorProto.FLOAT, list(v.dims)) for v in values]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", inputs])
    raw = helper.make_tensor_value_info("raw", TensorProto.FLOAT, ["rows", OUTPUTS])
    graph = helper.make_graph(nodes, name, [x, *overridable], [raw], [*values, *constants])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="storekeeper")
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model


def main() -> None:
    nets = unpack(SHIPPED.read_bytes())
    for file, net, inputs in (("demand", "day", INPUTS), ("sums", "window", WINDOW_INPUTS)):
        Path(GRAPHS / f"{file}.onnx").write_bytes(
            graph_of(nets[net], inputs, file).SerializeToString(deterministic=True)
        )


if __name__ == "__main__":
    main()
