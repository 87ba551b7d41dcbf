"""The floor under a training update is made here: its matrix products alone, forward and backward, and nothing else.

Products that wait for the previous state are made step by step, their weights' gradients over all steps at once; all
others over all steps at once. The weights of one shape are one tensor, as the batches of a training share theirs.
"""

import functools
from typing import Callable, List, Tuple

import torch
from torch import Tensor

Work = Callable[[], None]


@functools.lru_cache(maxsize=None)
def weight_of(inner: int, columns: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Makes the weight ``(inner, columns)``, the same one for every product of that shape, type and device."""
    return torch.randn(inner, columns, dtype=dtype, device=device)


def over_time(rows: int, inner: int, columns: int) -> Work:
    """Makes ``(rows, inner) @ (inner, columns)``, and the gradients of both."""
    inputs, gradient = torch.randn(rows, inner), torch.randn(rows, columns)
    weight = weight_of(inner, columns, inputs.dtype, inputs.device)

    def run() -> None:
        torch.mm(inputs, weight)
        torch.mm(gradient, weight.t())
        torch.mm(inputs.t(), gradient)

    return run


def step_by_step(steps: int, rows: int, inner: int, columns: int) -> Work:
    """Makes the same of ``steps * rows`` rows, of which only ``rows`` are known at a time."""
    inputs, gradient = torch.randn(steps * rows, inner), torch.randn(steps * rows, columns)
    weight = weight_of(inner, columns, inputs.dtype, inputs.device)

    def run() -> None:
        for step in inputs.split(rows):
            torch.mm(step, weight)
        for step in gradient.split(rows):
            torch.mm(step, weight.t())
        torch.mm(inputs.t(), gradient)

    return run


def looks(steps: int, batch: int, source: int, annotation: int) -> Work:
    """Makes the contexts, attention times annotations step by step, and the gradients of both."""
    attention, annotations = torch.randn(batch, steps, source), torch.randn(batch, source, annotation)
    gradient = torch.randn(batch, steps, annotation)

    def run() -> None:
        for step in attention.split(1, dim=1):
            torch.bmm(step, annotations)
        for step in gradient.split(1, dim=1):
            torch.bmm(step, annotations.transpose(1, 2))
        torch.bmm(attention.transpose(1, 2), gradient)

    return run


def recurrence(sizes: Tuple[int, ...], batch: int, source: int, target: int) -> List[Work]:
    """Makes the products of the decoder's loop and of its keys, for the orders with one update.

    Args:
        sizes: embedding, encoder state per direction, decoder state, attention, readout
        batch, source, target: sentences, columns, steps
    """
    _, encoder, hidden, attention, _ = sizes
    return [
        over_time(batch * source, 2 * encoder, attention),  # U_a h_j
        step_by_step(target, batch, hidden, attention),  # W_a s_{t-1}
        step_by_step(target, batch, hidden, 3 * hidden),
        step_by_step(target, batch, 2 * encoder, 3 * hidden),
        looks(target, batch, source, 2 * encoder),
    ]


def second_update(sizes: Tuple[int, ...], batch: int, target: int) -> Work:
    """Makes what the conditional GRU has beside these: the product of its other GRU with the state."""
    hidden = sizes[2]
    return step_by_step(target, batch, hidden, 3 * hidden)


def update(sizes: Tuple[int, ...], batch: int, source: int, target: int, words: int) -> List[Work]:
    """Makes the products of a whole training update, as in :func:`recurrence`; ``words``: target vocabulary."""
    embed, encoder, hidden, _, maxout = sizes
    both_ways = 2 * [over_time(batch * source, embed, 3 * encoder), step_by_step(source, batch, encoder, 3 * encoder)]
    return [
        *both_ways,
        *recurrence(sizes, batch, source, target),
        over_time(batch, encoder, hidden),  # W_s
        over_time(batch * target, embed, 3 * hidden),
        over_time(batch * target, hidden + 2 * encoder + embed, 2 * maxout),  # U_o, V_o, C_o
        over_time(batch * target, maxout, words),  # W_o
    ]


def all_of(works: List[Work]) -> Work:
    """Makes one call of each."""

    def run() -> None:
        for work in works:
            work()

    return run
