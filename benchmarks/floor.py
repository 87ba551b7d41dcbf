"""The floor under a training update: its matrix products alone, forward and backward, and nothing else.

Products that wait for the previous state are made step by step, their weights' gradients over all steps at once; all
others over all steps at once.
"""

from typing import Callable, List, Tuple

import torch

Work = Callable[[], None]


def over_time(rows: int, inner: int, columns: int) -> Work:
    """``(rows, inner) @ (inner, columns)``, and the gradients of both."""
    inputs, weight, gradient = torch.randn(rows, inner), torch.randn(inner, columns), torch.randn(rows, columns)

    def run() -> None:
        torch.mm(inputs, weight)
        torch.mm(gradient, weight.t())
        torch.mm(inputs.t(), gradient)

    return run


def step_by_step(steps: int, rows: int, inner: int, columns: int) -> Work:
    """The same of ``steps * rows`` rows, of which only ``rows`` are known at a time."""
    inputs, weight = torch.randn(steps * rows, inner), torch.randn(inner, columns)
    gradient = torch.randn(steps * rows, columns)

    def run() -> None:
        for step in inputs.split(rows):
            torch.mm(step, weight)
        for step in gradient.split(rows):
            torch.mm(step, weight.t())
        torch.mm(inputs.t(), gradient)

    return run


def looks(steps: int, batch: int, source: int, annotation: int) -> Work:
    """The contexts: attention times annotations step by step, and the gradients of both."""
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
    """The products of the decoder's loop and of its keys.

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


def update(sizes: Tuple[int, ...], batch: int, source: int, target: int, words: int) -> List[Work]:
    """The products of a whole training update of the default model, as in :func:`recurrence`; ``words``: vocabulary."""
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
    """One call of each."""

    def run() -> None:
        for work in works:
            work()

    return run
