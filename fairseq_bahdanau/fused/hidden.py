"""Computes the hidden layer of the attention, tanh(W_a s + U_a h_j + b_a), by the function that suits its numbers.

It is the dearest part beside the products. On a CPU PyTorch's sigmoid is faster than its tanh, so there tanh(x) is
2 sigmoid(2x) - 1, and the -1 is left out: all scores of a look grow by sum(v), which the softmax does not see. But a
score is rounded at the size that it then has, for which half precision has no bits to spare; and off the CPU a sigmoid
is no faster.
"""

from typing import Optional

import torch
from torch import Tensor

SIGMOID_PAYS = {("cpu", torch.float32), ("cpu", torch.float64)}


class Hidden:
    """Holds the form of the layer, and what follows from it: e_tj = v' tanh(x) or 2 v' sigmoid(2x).

    Args:
        keys: U_a h_j + b_a, whose device and type decide
    """

    def __init__(self, keys: Tensor):
        self.is_sigmoid = (keys.device.type, keys.dtype) in SIGMOID_PAYS
        self.scale = 2 if self.is_sigmoid else 1

    def scaled(self, weight: Tensor) -> Tensor:
        """Returns W_a or v with the factor 2 of the form, if it has one."""
        return 2 * weight if self.is_sigmoid else weight

    def layer(self, query: Tensor, keys: Tensor, out: Optional[Tensor] = None) -> Tensor:
        """Computes the layer from queries, by the scaled W_a, and keys, whose shapes broadcast."""
        layer = torch.add(query, keys, alpha=self.scale, out=out)
        return layer.sigmoid_() if self.is_sigmoid else layer.tanh_()

    def go_back(self, by_score: Tensor, layer: Tensor) -> None:
        """Writes over the layer its queries' gradient, without the factor of the scaled v.

        Args:
            by_score: gradient of the scores ``(batch, src_len)``
            layer: ``(batch, src_len, attention_dim)``
        """
        aten = torch.ops.aten
        backward = aten.sigmoid_backward if self.is_sigmoid else aten.tanh_backward
        backward.grad_input(by_score.unsqueeze(2), layer, grad_input=layer)

    def add_constant(self, by_energy: Tensor, by_scores: Tensor) -> None:
        """Adds to the gradient of the scaled v that of the -1 which was left out: 0 but for rounding."""
        if self.is_sigmoid:
            by_energy.sub_(0.5 * by_scores.sum())
