"""Prepares what the looks of a loop read, once a batch."""

from typing import NamedTuple, Optional

import torch
from torch import Tensor

from ..attention import Source
from .hidden import Hidden
from .layers import Layers
from .matmul import Product


class Prepared(NamedTuple):
    """Holds what the looks of a loop read, in the type of the loop."""

    keys: Tensor  # (batch, src_len, attention_dim): U_a h_j + b_a
    values: Tensor  # (batch, src_len, value_dim): what is averaged, W_c h_j or h_j, 0 on padding
    context_weight: Optional[Tensor]  # (3 * hidden_size, value_dim): W_c for h_j; None where the values contain it
    energy: Tensor  # (attention_dim,): v, scaled as Hidden says


def prepare(decoder: Layers, source: Source, tgt_len: int, dtype: torch.dtype) -> Prepared:
    """Prepares what the looks read; the values are 0 on padding: no context in a row that is all padding."""
    annotations, context_weight = source.values.to(dtype), decoder.recurrence.context_gates.weight.to(dtype)
    values, folded = annotations, folds(annotations.size(1), tgt_len, *context_weight.shape)
    if folded:
        values = Product.apply(annotations, context_weight, None)
    keys = source.keys.to(dtype).contiguous()
    return Prepared(
        keys,
        values.masked_fill(source.padding_mask.unsqueeze(2), 0.0),
        None if folded else context_weight,
        Hidden(keys).scaled(decoder.attention.energy.to(dtype)),
    )


def folds(src_len: int, tgt_len: int, gates: int, annotation_dim: int) -> bool:
    """Tells whether W_c is multiplied with all annotations before the loop, and not with every context within it.

    By the number of multiplications of a sentence, where those before the loop count two thirds: their matrices have
    ``src_len`` times as many rows, and the loop is shorter by an operation.
    """
    before = src_len * annotation_dim * gates + tgt_len * src_len * gates
    within = tgt_len * src_len * annotation_dim + tgt_len * annotation_dim * gates
    return 2 * before < 3 * within
