"""Multiplies the annotations once a sentence by the matrices that every step would multiply their average by.

A context c_t = sum_j a_tj h_j enters gates and readout by products alone, and W c_t = sum_j a_tj (W h_j). A source of
15 words is read by 5 beams in 15 steps: 15 products in place of 75, and a wider average. The fused code does so in a
search, and in a training where it pays (``fused/prepare.py``).
"""

import copy
from typing import Tuple

import torch
from torch import Tensor, nn

from .decoder import BahdanauDecoder


class Part(nn.Module):
    """Stands in for a layer whose product is in a context already: takes its columns, and adds its bias.

    Args:
        layer: in whose place it stands
        start: its first column
    """

    def __init__(self, layer: nn.Linear, start: int):
        super().__init__()
        self.start, self.in_features, self.out_features = start, layer.in_features, layer.out_features
        self.bias = layer.bias

    def forward(self, context: Tensor) -> Tensor:
        """Returns ``(..., out_features)`` of contexts ``(..., columns)``."""
        columns = context.narrow(-1, self.start, self.out_features)
        return columns if self.bias is None else columns + self.bias


def folded(decoder: BahdanauDecoder) -> Tuple[BahdanauDecoder, nn.Linear]:
    """Returns a copy of a decoder that takes folded contexts, and the layer that folds annotations and contexts."""
    twin = copy.deepcopy(decoder)
    gates, readout = twin.recurrence.context_gates, twin.readout.context_proj
    fold = nn.Linear(gates.in_features, gates.out_features + readout.out_features, bias=False)
    fold.weight = nn.Parameter(torch.cat([gates.weight, readout.weight]).detach())
    twin.recurrence.context_gates = Part(gates, 0)  # type: ignore[assignment]
    twin.readout.context_proj = Part(readout, gates.out_features)  # type: ignore[assignment]
    return twin, fold
