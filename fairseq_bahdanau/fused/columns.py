"""Lays out what the fused recurrences keep of every step: query | recurrent | reset | update | new.

``recurrent`` is the state's part of ``new``; ``query`` is what the state asks the attention, where there is one. One
product with the state gives the first four; what enters from outside (word, context, biases) has the last three.
"""

from typing import List, Tuple

from torch import Tensor
from torch.nn import functional as F


def blocks(columns: Tensor, query_dim: int, hidden_size: int) -> List[Tuple[Tensor, ...]]:
    """Returns query, recurrent, reset, update and new, each as views ``(batch, size)`` of the steps."""
    sizes = [query_dim] + 4 * [hidden_size]
    return [block.unbind() for block in columns.split(sizes, dim=2)]


def slices(columns: Tensor, query_dim: int, hidden_size: int) -> List[Tuple[Tensor, ...]]:
    """Returns neighbouring blocks as views of the steps: those from the state, from outside, reset and update."""
    after = query_dim + hidden_size
    places = ((0, after + 2 * hidden_size), (after, 3 * hidden_size), (after, 2 * hidden_size))
    return [columns.narrow(2, start, length).unbind() for start, length in places]


def in_columns(weight: Tensor, bias: Tensor) -> Tuple[Tensor, Tensor]:
    """Brings U and b of a GRU, which stand as reset, update, recurrent, into the order of the columns.

    Returns:
        the weight in the same shape, and the bias ``(4 * hidden_size,)``, 0 for what enters ``new`` from outside
    """
    hidden_size = weight.size(1)
    return weight.roll(hidden_size, dims=0), F.pad(bias.roll(hidden_size), (0, hidden_size))


def filled(bias: Tensor, input_gates: Tensor) -> Tensor:
    """Makes columns that hold the biases and what enters the gates.

    Args:
        bias: ``(query_dim + 4 * hidden_size,)``
        input_gates: ``(steps, batch, 3 * hidden_size)``
    """
    columns = bias.repeat(input_gates.size(0), input_gates.size(1), 1)
    columns.narrow(2, bias.size(0) - input_gates.size(2), input_gates.size(2)).add_(input_gates)
    return columns
