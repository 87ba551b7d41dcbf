"""What the tests of the fused loop share: layouts of a source, and random arguments of the loop."""

import pytest
import torch
from support import SIZES, build_model, shake

from fairseq_bahdanau.attention import Source
from fairseq_bahdanau.decoder import BahdanauDecoder
from fairseq_bahdanau.recurrence import State

GATES, ANNOTATION_DIM = 3 * SIZES["decoder_hidden_size"], 2 * SIZES["encoder_hidden_size"]
# Rows of a source, a dot where padding stands.
LAYOUTS = {
    "right": ["wwwwww", "www...", "w.....", "wwwww."],
    "left": ["wwwwww", "...www", ".....w", ".wwwww"],
    "inner": ["w.ww.w", "..w.w.", "w....w", ".w..w."],
    "all padding": ["wwww..", "......", "..wwww"],
    "one sentence": ["wwwww."],
    "one word": ["w", "w", "w"],
    "long source": ["w" * 40, "w" * 3 + "." * 37],
}


# The orders of a step, and the autograd function that takes their loop.
LOOPS = {
    "look-update-generate": "FusedLoopBackward",
    "update-look-generate": "FusedLoopBackward",
    "update-look-update-generate": "FusedConditionalLoopBackward",
}
orders = pytest.mark.parametrize("order", LOOPS)


def decoder(order, dtype=torch.float32) -> BahdanauDecoder:
    """The decoder of this order whose loop is tested, as in training."""
    return shake(build_model(decoder_order=order)).to(dtype).train().decoder


def unroll(model, tensors, mask):
    """States, contexts and attention of ``unroll`` from what :func:`arguments` returns."""
    embed_gates, state, context, keys, annotations = tensors
    states, attention = model.unroll(embed_gates, State(state, context), Source(keys, annotations, mask))
    return states.cell, states.context, attention


def arguments(layout, tgt_len=5, dtype=torch.float32, strided=False):
    """Random arguments of :func:`unroll`; when strided, each a part of something larger."""
    batch, src_len = len(layout), len(layout[0])
    generator = torch.Generator().manual_seed(5)

    def random(*shape):
        if strided:
            return torch.randn(*shape[::-1], 2, generator=generator, dtype=dtype)[..., 1].permute(
                *range(len(shape))[::-1]
            )
        return torch.randn(*shape, generator=generator, dtype=dtype)

    tensors = [
        random(batch, tgt_len, GATES), random(batch, SIZES["decoder_hidden_size"]), random(batch, ANNOTATION_DIM),
        random(batch, src_len, SIZES["attention_dim"]), random(batch, src_len, ANNOTATION_DIM),
    ]  # fmt: skip
    mask = torch.tensor([[place == "." for place in row] for row in layout])
    if strided:
        mask = mask.t().contiguous().t()
    return [tensor.requires_grad_() for tensor in tensors], mask
