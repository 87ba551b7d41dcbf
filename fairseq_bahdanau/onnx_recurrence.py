"""The encoder's recurrent layers become operators of ONNX, which know the length of each sentence."""

from typing import Any, Dict, List, NamedTuple, Tuple, Type

import numpy as np
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor

from .export import loop_of
from .model import BahdanauModel
from .recurrence import Cell, GRUCell, LSTMCell, ResetBeforeGRUCell, RNNCell
from .rnn import OneWay

# Tensors that a graph takes or gives, and what their dimensions are called.
DIMENSIONS: Dict[str, Tuple[str, ...]] = {
    "annotations": ("sentences", "src_len", "annotation_dim"),
    "last_state": ("sentences", "hidden_size"),
    "src_tokens": ("sentences", "src_len"),
    "lengths": ("sentences",),
    "prev_output_tokens": ("rows", "one"),
    "state": ("rows", "state_dim"),
    "context": ("rows", "value_dim"),
    "keys": ("sentences", "src_len", "key_dim"),
    "values": ("sentences", "src_len", "value_dim"),
    "padding_mask": ("sentences", "src_len"),
}


class Operator(NamedTuple):
    """Says which operator of ONNX is a cell over a whole sentence."""

    name: str
    gates: Tuple[int, ...]  # in ONNX's order, as places in PyTorch's
    attributes: Dict[str, int]


OPERATORS: Dict[Type[Cell], Operator] = {
    GRUCell: Operator("GRU", (1, 0, 2), {"linear_before_reset": 1}),
    ResetBeforeGRUCell: Operator("GRU", (1, 0, 2), {"linear_before_reset": 0}),
    LSTMCell: Operator("LSTM", (0, 3, 1, 2), {}),
    RNNCell: Operator("RNN", (0,), {}),
}


def gates_in_order(parameter: Tensor, order: Tuple[int, ...]) -> np.ndarray:
    """Brings the rows ``(gates * hidden_size, ...)`` of a product into ONNX's order of gates."""
    parts = parameter.detach().float().chunk(len(order))
    return torch.cat([parts[gate] for gate in order]).numpy()


def recurrent_layer(number: int, ways: List[OneWay]) -> Tuple[List[NodeProto], Dict[str, np.ndarray]]:
    """Makes the nodes of a layer, from ``read_NUMBER`` to ``read_NUMBER+1``, ``(src_len, sentences, size)``.

    Raises:
        ValueError: a cell that is no operator of ONNX
    """
    cell = ways[0].cell
    if type(cell) not in OPERATORS:
        raise ValueError(f"a model with {type(cell).__name__} cannot be exported: ONNX has no such operator")
    operator = OPERATORS[type(cell)]
    names = [f"{name}_{number}" for name in ("weight_ih", "weight_hh", "bias")]
    products = [(way.input_gates, way.cell.state_gates) for way in ways]
    by_name = [
        [gates_in_order(of_input.weight, operator.gates) for of_input, _ in products],
        [gates_in_order(of_state.weight, operator.gates) for _, of_state in products],
        [np.concatenate([gates_in_order(product.bias, operator.gates) for product in both]) for both in products],
    ]
    constants = {name: np.stack(values) for name, values in zip(names, by_name)}
    attributes: Dict[str, Any] = {"hidden_size": cell.hidden_size, **operator.attributes}
    attributes["direction"] = "bidirectional" if len(ways) == 2 else "forward"
    states, joined = f"states_{number}", f"read_{number + 1}"
    nodes = [
        helper.make_node(
            operator.name, [f"read_{number}", *names, "lengths"], [states, f"ends_{number}"], **attributes
        ),
        # (src_len, directions, sentences, hidden_size): the directions of a word side by side.
        helper.make_node("Transpose", [states], [f"{states}_by_word"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", [f"{states}_by_word", "side_by_side"], [joined]),
    ]
    return nodes, constants


def recurrent_layers(model: BahdanauModel) -> ModelProto:
    """Makes the graph from ``src_tokens`` and ``lengths`` to annotations and the state that has read everything."""
    layers: List[List[OneWay]] = [list(ways) for ways in loop_of(model.encoder.rnn).layers]  # type: ignore[call-overload]
    constants = {
        "embedding": model.encoder.embed_tokens.weight.detach().float().numpy(),
        "side_by_side": np.array([0, 0, -1], dtype=np.int64),
        "last_way": np.array(len(layers[-1]) - 1, dtype=np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["embedding", "src_tokens"], ["embedded"]),
        helper.make_node("Transpose", ["embedded"], ["read_0"], perm=[1, 0, 2]),
    ]
    for number, ways in enumerate(layers):
        of_layer, weights = recurrent_layer(number, ways)
        nodes += of_layer
        constants.update(weights)
    nodes += [
        helper.make_node("Transpose", [f"read_{len(layers)}"], ["annotations"], perm=[1, 0, 2]),
        helper.make_node("Gather", [f"ends_{len(layers) - 1}", "last_way"], ["last_state"]),
    ]
    nodes.append(helper.make_node("Identity", ["lengths"], ["lengths_read"]))
    hidden, directions = model.encoder.hidden_size, len(layers[-1])
    sizes = {"annotations": ("sentences", "src_len", directions * hidden), "last_state": ("sentences", hidden)}
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in sizes.items()]
    results.append(helper.make_tensor_value_info("lengths_read", TensorProto.INT32, DIMENSIONS["lengths"]))
    source = helper.make_tensor_value_info("src_tokens", TensorProto.INT64, DIMENSIONS["src_tokens"])
    lengths = helper.make_tensor_value_info("lengths", TensorProto.INT32, DIMENSIONS["lengths"])
    parameters = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "encoder", [source, lengths], results, parameters)
    return helper.make_model(graph)
