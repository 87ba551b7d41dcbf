"""What a step of the fused loop costs: operations, memory kept for the backward pass, and no look at the device."""

import sys

import pytest
import torch
from fused_support import ANNOTATION_DIM, GATES, LAYOUTS, arguments, decoder, orders, unroll
from support import ROOT, SIZES, build_model

from fairseq_bahdanau.export import readable
from fairseq_bahdanau.fused.conditional import FusedConditionalLoop
from fairseq_bahdanau.fused.loop import FusedLoop
from fairseq_bahdanau.fused.prepare import folds

sys.path.insert(0, str(ROOT / "benchmarks"))
from roofline import Count, in_search

# Per step: forward, and forward and backward; one more forward where the context's gates are not folded.
BOUNDS = {"look-update-generate": (10, 30), "update-look-generate": (10, 30), "update-look-update-generate": (16, 36)}
SHAPES = {"folded": (6, (10, 14)), "not folded": (40, (2, 4))}  # source, and two target lengths
# On a CPU a product of oneDNN and its addition to the columns are two operations, and so are the average by the
# attention and its addition; elsewhere each is one. Where the gates are not folded there is one such product more.
MORE_ON_A_CPU = {"look-update-generate": 2, "update-look-generate": 2, "update-look-update-generate": 3}


def loop_arguments(order, src_len, tgt_len, device):
    """What the autograd function of a loop takes, of no particular values, and which function."""
    batch, hidden, attention = 3, SIZES["decoder_hidden_size"], SIZES["attention_dim"]
    folded = folds(src_len, tgt_len, GATES, ANNOTATION_DIM)
    value_dim = GATES if folded else ANNOTATION_DIM
    sizes = [(batch, tgt_len, GATES), (batch, hidden), (batch, src_len, attention), (batch, src_len, value_dim)]
    sizes += [None if folded else (GATES, ANNOTATION_DIM), (attention,)]
    if order == "update-look-update-generate":
        sizes += [(GATES, hidden), (GATES + hidden,)]
    sizes += [(attention + GATES, hidden), (attention + GATES + hidden,)]
    if order != "update-look-update-generate":
        sizes += [(batch, GATES) if order == "update-look-generate" else None]
    inputs = [size if size is None else torch.empty(size, device=device) for size in sizes]
    function = FusedConditionalLoop if order == "update-look-update-generate" else FusedLoop
    return function, sizes, [*inputs, torch.empty(batch, src_len, dtype=torch.bool, device=device)]


class Context:
    """What autograd hands to a function, without autograd, which would look for the device."""

    def save_for_backward(self, *tensors):
        """Keeps them."""
        self.saved_tensors = tensors


def operations(order, src_len, tgt_len, device):
    """Of the forward pass of a loop, and of both."""
    function, sizes, inputs = loop_arguments(order, src_len, tgt_len, device)
    context = Context()
    with torch.no_grad(), Count() as count:
        results = function.forward(context, *inputs)
        forward = count.operations
        *gradients, _ = function.backward(context, *results)
    assert [gradient if gradient is None else tuple(gradient.shape) for gradient in gradients] == sizes
    assert {gradient.device.type for gradient in gradients if gradient is not None} == {device}
    return forward, count.operations


def per_step(order, shape, device):
    """Operations of one step: the difference between two lengths."""
    src_len, lengths = SHAPES[shape]
    assert {folds(src_len, tgt_len, GATES, ANNOTATION_DIM) for tgt_len in lengths} == {shape == "folded"}
    few, many = (operations(order, src_len, tgt_len, device) for tgt_len in lengths)
    return [(more - less) / (lengths[1] - lengths[0]) for less, more in zip(few, many)]


@orders
@pytest.mark.parametrize("shape", SHAPES)
def test_operations_per_step(order, shape):
    """On the meta device any operation that mixes devices raises, and so does any that asks for a number."""
    forward, both = BOUNDS[order]
    found = per_step(order, shape, "meta")
    assert found[0] <= forward + (shape == "not folded") and found[1] <= both, found
    on_cpu = per_step(order, shape, "cpu")
    more = MORE_ON_A_CPU[order] + (shape == "not folded")
    assert on_cpu[0] <= forward + more and on_cpu[1] <= both + (shape == "not folded"), on_cpu


@orders
def test_the_reference_takes_more_than_twice_as_many(order):
    counts = []
    for tgt_len in (10, 14):
        tensors, mask = arguments(LAYOUTS["right"], tgt_len)
        with Count() as count:
            sum(output.sum() for output in unroll(readable(decoder(order)), tensors, mask)).backward()
        counts.append(count.operations)
    assert (counts[1] - counts[0]) / 4 > 2 * BOUNDS[order][1]


def kept_bytes(order, tgt_len, layout):
    """What autograd keeps, every piece of memory once."""
    tensors, mask = arguments(layout, tgt_len)
    kept = {}

    def keep(tensor):
        storage = tensor.storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = unroll(decoder(order), tensors, mask)
    assert len(outputs) == 3
    return sum(kept.values())


@orders
@pytest.mark.parametrize(("layout", "lengths"), [("right", (10, 14)), ("long source", (2, 4))])
def test_bytes_kept_per_step_are_source_and_hidden(order, layout, lengths):
    few, many = (kept_bytes(order, tgt_len, LAYOUTS[layout]) for tgt_len in lengths)
    batch, src_len = len(LAYOUTS[layout]), len(LAYOUTS[layout][0])
    # The query; of each state five: recurrent, reset, update, new and itself; the attention.
    states = 2 if order == "update-look-update-generate" else 1
    numbers = SIZES["attention_dim"] + 5 * states * SIZES["decoder_hidden_size"] + src_len
    assert many - few == (lengths[1] - lengths[0]) * batch * numbers * 4


@orders
def test_without_gradients_nothing_is_kept(order):
    tensors, mask = arguments(LAYOUTS["right"])
    with torch.no_grad(), torch.autograd.graph.saved_tensors_hooks(pytest.fail, pytest.fail):
        states, _, _ = unroll(decoder(order), tensors, mask)
    assert states.grad_fn is None


@pytest.mark.parametrize(
    ("order", "most"),
    [("look-update-generate", 20), ("update-look-generate", 24), ("update-look-update-generate", 27)],
)
def test_operations_of_the_model_in_a_step_of_a_search(order, most):
    counts = {
        recurrence: in_search(build_model(recurrence=recurrence, decoder_order=order))
        for recurrence in ("fused", "reference")
    }
    assert counts["fused"] <= most < counts["reference"], counts
