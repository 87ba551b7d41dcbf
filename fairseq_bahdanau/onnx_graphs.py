"""Writes the model as two ONNX graphs, the encoder and one step of a search, which any runtime of ONNX can run.

The encoder's recurrent layers are operators of ONNX (``onnx_recurrence.py``); all else is what ``torch.onnx`` makes of
the readable code. A source stands at the left of its row, padding at the right.
"""

from typing import Dict, List, Tuple

import numpy as np
import onnx
import torch
from onnx import GraphProto, ModelProto, TensorProto, compose, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from .decoder import BahdanauDecoder
from .export import ExportableDecoderStep, require_scores
from .folding import folded
from .model import BahdanauModel
from .onnx_recurrence import DIMENSIONS, recurrent_layers
from .portable.folder import SOURCE


class Begin(nn.Module):
    """Turns annotations into what the first step starts from, and what every step reads."""

    def __init__(self, decoder: BahdanauDecoder, fold: nn.Linear):
        super().__init__()
        self.decoder, self.fold = decoder, fold

    def forward(self, annotations: Tensor, last_state: Tensor, lengths: Tensor) -> Tuple[Tensor, ...]:
        """Computes state, context, keys, values and padding mask; shapes as in ``DIMENSIONS``.

        Args:
            annotations: ``(sentences, src_len, annotation_dim)``
            last_state: ``(sentences, hidden_size)``
            lengths: ``(sentences,)``, int32
        """
        padding_mask = torch.arange(annotations.size(1)).unsqueeze(0) >= lengths.unsqueeze(1)
        encoder_out = {"encoder_out": [annotations], "encoder_padding_mask": [padding_mask], "last_state": [last_state]}
        state, source = self.decoder.begin(encoder_out)
        return state.cell, self.fold(state.context), source.keys, self.fold(source.values), source.padding_mask


def least_columns(model: BahdanauModel) -> int:
    """Returns how many columns a batch of sources must have: hard attention takes its K best of that many."""
    return max(1, model.decoder.attention.top_k)


def exported(module: nn.Module, inputs: Dict[str, Tensor], results: List[str], columns: int) -> ModelProto:
    """Makes the graph of a module by ``torch.onnx``, for any number of sentences and rows.

    Args:
        inputs: an example of each argument, by its name
        results: what the module's results are called
        columns: the least number of columns that it takes
    """
    sizes = {name: Dim(name, min=columns if name == "src_len" else 1) for name in ("sentences", "rows", "src_len")}
    shapes = {
        name: {axis: sizes[size] for axis, size in enumerate(DIMENSIONS[name]) if size in sizes} for name in inputs
    }
    with torch.no_grad():
        program = torch.export.export(module, tuple(inputs.values()), dynamic_shapes=tuple(shapes.values()))
        written = torch.onnx.export(program, input_names=list(inputs), output_names=results, dynamo=True, verbose=False)
    assert written is not None  # which it is where a file is written
    return written.model_proto


def example(model: BahdanauModel, fold: nn.Linear) -> Dict[str, Tensor]:
    """Makes two sentences, each read by five beams: what the graphs are written from."""
    columns = least_columns(model) + 2
    words, annotations = torch.full((2, 1), model.encoder.dictionary.eos()), torch.zeros(2, columns, fold.in_features)
    lengths = torch.tensor([columns, 2], dtype=torch.int32)
    last_state = torch.zeros(2, model.encoder.hidden_size)
    with torch.no_grad():
        state, context, *source = Begin(model.decoder, fold)(annotations, last_state, lengths)
    rows = {"prev_output_tokens": words.repeat(5, 1), "state": state.repeat(5, 1), "context": context.repeat(5, 1)}
    encoded = {"annotations": annotations, "last_state": last_state, "lengths": lengths}
    return {**encoded, **rows, **dict(zip(SOURCE, source))}


def encoder_graph(model: BahdanauModel) -> ModelProto:
    """Makes the encoder, from ``src_tokens`` and ``lengths`` to ``state``, ``context`` and what every step reads.

    Args:
        model: in evaluation mode

    Raises:
        ValueError: a cell that is no operator of ONNX
    """
    _, fold = folded(model.decoder)
    given, names = example(model, fold), ["annotations", "last_state", "lengths"]
    results = ["state", "context", *SOURCE]
    begin = exported(Begin(model.decoder, fold), {name: given[name] for name in names}, results, least_columns(model))
    read, operators = recurrent_layers(model), list(begin.opset_import)
    read.ir_version = begin.ir_version
    del read.opset_import[:]
    read.opset_import.extend(operators)
    # So that no name of one is a name of the other; those of what they take and give stay.
    parts = [
        compose.add_prefix(part, prefix, rename_inputs=False, rename_outputs=False)
        for part, prefix in ((read, "read/"), (begin, "begin/"))
    ]
    joints = [("annotations", "annotations"), ("last_state", "last_state"), ("lengths_read", "lengths")]
    whole = compose.merge_models(parts[0], parts[1], joints)
    del whole.opset_import[:]  # which now stand there twice
    whole.opset_import.extend(operators)
    return checked(whole)


def step_graph(model: BahdanauModel) -> ModelProto:
    """Makes one step of a search, for the beams of every sentence, which stand together.

    It takes ``prev_output_tokens``, ``state``, ``context`` and what the encoder's graph gives for every step, and the
    number ``count``; it gives ``attention``, the new state and context as ``next_state`` and ``next_context``,
    ``log_probs`` ``(rows, vocabulary)``, and of these the largest, ``best``, with their ``words``, ``(rows, count)``.

    Args:
        model: in evaluation mode

    Raises:
        ValueError: a model with adaptive softmax
    """
    require_scores(model)
    decoder, fold = folded(model.decoder)
    given, names = example(model, fold), ["prev_output_tokens", "state", "context", *SOURCE]
    results = ["logits", "attention", "next_state", "next_context"]
    written = exported(
        ExportableDecoderStep(decoder), {name: given[name] for name in names}, results, least_columns(model)
    )
    graph, words = written.graph, len(model.decoder.dictionary)
    (place,) = (number for number, result in enumerate(graph.output) if result.name == "logits")
    del graph.output[place]
    graph.node.extend(
        [
            helper.make_node("LogSoftmax", ["logits"], ["log_probs"], axis=1),
            helper.make_node("TopK", ["log_probs", "count"], ["best", "words"], axis=1),
        ]
    )
    vectors_to_matrices(graph)
    graph.input.append(helper.make_tensor_value_info("count", TensorProto.INT64, (1,)))
    graph.output.extend(
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ("rows", words)),
            helper.make_tensor_value_info("best", TensorProto.FLOAT, ("rows", "candidates")),
            helper.make_tensor_value_info("words", TensorProto.INT64, ("rows", "candidates")),
        ]
    )
    return checked(written)


def vectors_to_matrices(graph: GraphProto) -> None:
    """Makes each product with a vector one with a matrix of one column, which onnxruntime computes far faster."""
    vectors = {value.name: value for value in graph.initializer if len(value.dims) == 1}
    for node in [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in vectors]:
        vector, result = vectors[node.input[1]], node.output[0]
        graph.initializer.remove(vector)
        graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(vector)[:, None], vector.name))
        graph.initializer.append(numpy_helper.from_array(np.array([-1], dtype=np.int64), f"{result}_axis"))
        node.output[0] = f"{result}_column"
        squeeze = helper.make_node("Squeeze", [f"{result}_column", f"{result}_axis"], [result])
        graph.node.insert(list(graph.node).index(node) + 1, squeeze)


def checked(graph: ModelProto) -> ModelProto:
    """Returns a graph that ONNX's own checker finds in order.

    Raises:
        onnx.checker.ValidationError: it does not
    """
    onnx.checker.check_model(graph)
    return graph
