"""Takes the steps of a GRU, and goes back through them; decoder and encoder share it.

Of every step one row of ``columns`` is kept: ``query | recurrent | reset | update | new``. ``recurrent`` is the state's
part of ``new``; ``query`` is what the state asks the attention, where there is one. One product with the state gives
the first four; what enters from outside (word, context, biases) has the last three.
"""

from typing import List, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .matmul import adding_product, weight_gradient


class Steps:
    """Takes steps forwards: s_t = (1 - update) * new + update * s_{t-1}, new = tanh(x + reset * (U s_{t-1} + b)).

    Args:
        columns: ``(steps, batch, query_dim + 4 * hidden_size)``, which has in it what enters from outside
        weight: ``(query_dim + 3 * hidden_size, hidden_size)``, in the order of the columns
        before: the state ``(batch, hidden_size)`` before every step
        after: memory for that after every step
    """

    def __init__(self, columns: Tensor, weight: Tensor, before: Sequence[Tensor], after: Sequence[Tensor]):
        hidden_size = weight.size(1)
        query_dim = weight.size(0) - 3 * hidden_size
        self.before, self.after = before, after
        self.query, self.recurrent, self.reset, self.renew, self.new = blocks(columns, query_dim, hidden_size)
        self.from_state, self.from_input, self.gates = slices(columns, query_dim, hidden_size)
        self.add_product = adding_product(weight, columns.size(1))

    def multiply(self, t: int) -> None:
        """Adds what the state gives to step ``t``: its query, and its part of the gates."""
        self.add_product(self.from_state[t], self.before[t])

    def move(self, t: int) -> None:
        """Computes the state after step ``t``, once all has entered the columns."""
        self.gates[t].sigmoid_()
        self.new[t].addcmul_(self.reset[t], self.recurrent[t]).tanh_()
        torch.lerp(self.new[t], self.before[t], self.renew[t], out=self.after[t])


class StepsBack:
    """Goes back through the steps, from the gradients of states to those of columns.

    Args:
        columns: as :class:`Steps` left them
        weight: as there
        before: the states before all steps, ``(steps, batch, hidden_size)``
    """

    def __init__(self, columns: Tensor, weight: Tensor, before: Tensor):
        hidden_size = weight.size(1)
        query_dim = weight.size(0) - 3 * hidden_size
        self.states, self.gradient = before, derivatives(columns, before, query_dim)
        _, _, _, self.renew, _ = blocks(columns, query_dim, hidden_size)
        self.query, *_ = blocks(self.gradient, query_dim, hidden_size)
        self.cell = self.gradient.narrow(2, query_dim, 4 * hidden_size).unflatten(2, (4, hidden_size)).unbind()
        self.from_state, self.from_input, _ = slices(self.gradient, query_dim, hidden_size)
        self.add_product = adding_product(weight.t(), columns.size(1))

    def move(self, t: int, after: Tensor, before: Tensor) -> None:
        """Goes back from the gradient of the state after step ``t``, and adds to that of the state before it."""
        self.cell[t].mul_(after.unsqueeze(1))
        before.addcmul_(after, self.renew[t])

    def multiply(self, t: int, before: Tensor) -> None:
        """Adds to the gradient of the state before step ``t`` what came by way of the product."""
        self.add_product(before, self.from_state[t])

    def gates(self) -> Tensor:
        """Returns the gradient of what entered the gates from outside, ``(steps, batch, 3 * hidden_size)``."""
        hidden_size = self.states.size(2)
        return self.gradient.narrow(2, self.gradient.size(2) - 3 * hidden_size, 3 * hidden_size)

    def weight(self) -> Tensor:
        """Returns the gradient of the weight: one product over all steps."""
        return weight_gradient(self.gradient.narrow(2, 0, self.gradient.size(2) - self.states.size(2)), self.states)

    def bias(self) -> Tensor:
        """Returns the gradient of the columns' bias, ``(query_dim + 4 * hidden_size,)``."""
        return self.gradient.sum(dim=(0, 1))


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


def derivatives(columns: Tensor, before: Tensor, query_dim: int) -> Tensor:
    """Differentiates the state after a step by each column before its activation, all else being fixed.

    Args:
        columns: ``(steps, batch, query_dim + 4 * hidden_size)``
        before: ``(steps, batch, hidden_size)``

    Returns:
        the derivatives, in the shape of ``columns``; those of the query are not filled in
    """
    result, sizes = torch.empty_like(columns), [query_dim] + 4 * [before.size(2)]
    _, recurrent, reset, update, new = columns.split(sizes, dim=2)
    _, by_recurrent, by_reset, by_update, by_new = result.split(sizes, dim=2)
    # s_t = (1 - update) * new + update * s_{t-1}, new = tanh(x + reset * recurrent)
    aten = torch.ops.aten
    aten.tanh_backward.grad_input(1 - update, new, grad_input=by_new)
    torch.mul(by_new, reset, out=by_recurrent)
    aten.sigmoid_backward.grad_input(by_new * recurrent, reset, grad_input=by_reset)
    aten.sigmoid_backward.grad_input(before - new, update, grad_input=by_update)
    return result
