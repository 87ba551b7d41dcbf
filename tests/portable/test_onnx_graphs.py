"""The exported graphs give what the model gives, for sources of any length and any number of beams."""

import numpy as np
import onnxruntime
import pytest
import torch
from support import SOURCES, build_model, members, pad, shake

from fairseq_bahdanau.onnx_graphs import SOURCE, encoder_graph, least_columns, step_graph
from fairseq_bahdanau.onnx_recurrence import recurrent_layer
from fairseq_bahdanau.recurrence import Cell
from fairseq_bahdanau.rnn import OneWay


def opened(graph):
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


@members
def test_graphs_equal_the_model(options):
    model, words = shake(build_model(**options)), torch.tensor([[2, 6, 5], [2, 19, 4], [2, 4, 4], [2, 7, 7]])
    encoder, step = opened(encoder_graph(model)), opened(step_graph(model))
    for sentences, beams, columns in ((SOURCES, 1, 0), (SOURCES[:2], 2, 5), (SOURCES[1:2], 4, 0)):
        src_tokens = pad(sentences, 1, False, max(columns, least_columns(model)))
        lengths = src_tokens.ne(1).sum(dim=1).int()
        state, context, *source = encoder.run(None, {"src_tokens": src_tokens.numpy(), "lengths": lengths.numpy()})
        with torch.no_grad():
            logits, extra = model(src_tokens.repeat_interleave(beams, dim=0), None, words[: len(sentences) * beams])
        wanted, attention = torch.log_softmax(logits, dim=2).numpy(), extra["attn"][0].numpy()
        state, context = (np.repeat(values, beams, axis=0) for values in (state, context))
        for t in range(words.size(1)):
            given = {"prev_output_tokens": words[: len(state), t : t + 1].numpy(), "state": state, "context": context}
            given.update(zip(SOURCE, source), count=np.array([4]))
            names = ["log_probs", "attention", "next_state", "next_context", "best", "words"]
            log_probs, looked, state, context, best, found = step.run(names, given)
            np.testing.assert_allclose(log_probs, wanted[:, t], atol=1e-5)
            np.testing.assert_allclose(looked, attention[:, t], atol=1e-5)
            np.testing.assert_allclose(best, -np.sort(-wanted[:, t], axis=1)[:, :4], atol=1e-5)
            np.testing.assert_allclose(np.take_along_axis(log_probs, found, axis=1), best, atol=1e-6)


def test_what_no_graph_can_hold_is_refused():
    with pytest.raises(ValueError, match="--adaptive-softmax-cutoff cannot be exported"):
        step_graph(build_model(adaptive_softmax_cutoff=[5, 9]))

    class Other(Cell):
        """A cell that is nowhere else."""

    with pytest.raises(ValueError, match="a model with Other cannot be exported: ONNX has no such operator"):
        recurrent_layer(0, [OneWay(3, Other(4, 2), False)])
