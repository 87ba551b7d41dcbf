"""What a step of the fused loop costs: operations, memory kept for the backward pass, and no look at the device."""

import pytest
import torch
from fused_support import ANNOTATION_DIM, GATES, LAYOUTS, arguments, decoder, unroll
from support import SIZES, build_model
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from fairseq_bahdanau.export import readable
from fairseq_bahdanau.fused.loop import FusedLoop, folds


class Count(TorchDispatchMode):
    """Counts the operations that compute: all but those that return a view."""

    def __init__(self):
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Called for every operation."""
        returns = func._schema.returns
        is_view = bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
        self.operations += not is_view and func is not torch.ops.aten._unsafe_view.default
        return func(*args, **(kwargs or {}))


def operations(model, tgt_len, layout):
    """Of the forward pass, and of both."""
    tensors, mask = arguments(layout, tgt_len)
    with Count() as count:
        outputs = unroll(model, tensors, mask)
        forward = count.operations
        sum(output.sum() for output in outputs).backward()
    return forward, count.operations


@pytest.mark.parametrize(
    ("layout", "lengths", "forward", "both"), [("right", (10, 14), 10, 30), ("long source", (2, 4), 11, 30)]
)
def test_operations_per_step(layout, lengths, forward, both):
    """In the loop itself nothing is made anew but where an operation has no other form."""
    assert len({folds(len(LAYOUTS[layout][0]), tgt_len, GATES, ANNOTATION_DIM) for tgt_len in lengths}) == 1
    few, many = (operations(decoder(), tgt_len, LAYOUTS[layout]) for tgt_len in lengths)
    found = [(more - less) / (lengths[1] - lengths[0]) for less, more in zip(few, many)]
    assert found[0] <= forward and found[1] <= both
    few, many = (operations(readable(decoder()), tgt_len, LAYOUTS[layout]) for tgt_len in lengths)
    assert (many[1] - few[1]) / (lengths[1] - lengths[0]) > 2 * both


def kept_bytes(tgt_len, layout):
    """What autograd keeps, every piece of memory once."""
    tensors, mask = arguments(layout, tgt_len)
    kept = {}

    def keep(tensor):
        storage = tensor.storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = unroll(decoder(), tensors, mask)
    assert len(outputs) == 3
    return sum(kept.values())


@pytest.mark.parametrize(("layout", "lengths"), [("right", (10, 14)), ("long source", (2, 4))])
def test_bytes_kept_per_step_are_source_and_hidden(layout, lengths):
    few, many = (kept_bytes(tgt_len, LAYOUTS[layout]) for tgt_len in lengths)
    batch, src_len = len(LAYOUTS[layout]), len(LAYOUTS[layout][0])
    # The query; of the state's five: recurrent, reset, update, new and itself; the attention.
    numbers = SIZES["attention_dim"] + 5 * SIZES["decoder_hidden_size"] + src_len
    assert many - few == (lengths[1] - lengths[0]) * batch * numbers * 4


def test_without_gradients_nothing_is_kept():
    tensors, mask = arguments(LAYOUTS["right"])
    with torch.no_grad(), torch.autograd.graph.saved_tensors_hooks(pytest.fail, pytest.fail):
        states, _, _ = unroll(decoder(), tensors, mask)
    assert states.grad_fn is None


class Context:
    """What autograd hands to a function, without autograd, which would look for the device."""

    def save_for_backward(self, *tensors):
        """Keeps them."""
        self.saved_tensors = tensors


def test_both_passes_stay_on_the_device():
    """On a fake CUDA device any operation that mixes devices raises, and so does any that asks for a number."""
    context, sizes = Context(), [(3, 5, 12), (3, 4), (3, 6, 7), (3, 6, 8), (12, 8), (19, 4), (23,), (7,)]
    with torch.no_grad(), FakeTensorMode():
        inputs = [torch.empty(size, device="cuda") for size in sizes]
        results = FusedLoop.forward(context, *inputs, torch.empty(3, 6, device="cuda", dtype=torch.bool))
        *gradients, _ = FusedLoop.backward(context, *results)
    assert all(gradient.device.type == "cuda" for gradient in gradients)
    assert [tuple(gradient.shape) for gradient in gradients] == sizes


def test_operations_of_the_model_in_a_step_of_a_search():
    """Reordering by the search included; the first step, which prepares, not."""
    counts = {}
    for recurrence in ("fused", "reference"):
        model, state = build_model(recurrence=recurrence), {}
        order = torch.arange(3).repeat_interleave(5)
        with torch.no_grad():
            encoder_out = model.encoder.reorder_encoder_out(model.encoder(torch.tensor([[5, 9, 2]] * 3)), order)
            model.decoder(torch.full((15, 1), 4), encoder_out, state)
            words, order = torch.full((15, 2), 4), torch.arange(15)
            with Count() as count:
                encoder_out = model.encoder.reorder_encoder_out(encoder_out, order)
                model.decoder.reorder_incremental_state_scripting(state, order)
                model.decoder(words, encoder_out, state)
        counts[recurrence] = count.operations
    assert counts["fused"] <= 20 < counts["reference"], counts
