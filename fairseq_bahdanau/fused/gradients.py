"""Goes back through the steps and looks of :mod:`~fairseq_bahdanau.fused.loop`, and of the encoder.

The products that give the weights' gradients are taken once, over all steps.
"""

from typing import Optional, Tuple

import torch
from torch import Tensor

from .columns import blocks, slices
from .hidden import Hidden
from .matmul import adding_product, weight_gradient
from .prepare import Prepared


class StepsBack:
    """Goes back through the steps, from the gradients of states to those of columns.

    Args:
        columns: as ``Steps`` left them
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


class LooksBack:
    """Goes back through the looks, from the gradients of gates and attention.

    Every gradient through the hidden layer carries a factor v; it is multiplied once, at the end.

    Args:
        read: as ``Looks`` takes it
        attention: as it returned it, ``(batch, steps, src_len)``
        attention_gradient: of that
    """

    def __init__(self, read: Prepared, attention: Tensor, attention_gradient: Tensor):
        self.keys, self.values, self.context_weight, self.energy = keys, values, context_weight, energy = read
        self.hidden, self.attention, self.rows = Hidden(keys), attention, attention.unbind(dim=1)
        gradient = attention_gradient.transpose(0, 1).clone(memory_format=torch.contiguous_format)
        self.by_attention, self.by_scores = gradient.unbind(), torch.empty_like(gradient)
        self.by_score = self.by_scores.unbind()
        self.by_keys, self.by_energy = torch.zeros_like(keys), torch.zeros_like(energy)
        self.layer, self.transposed = torch.empty_like(keys), values.transpose(1, 2)
        self.by_averages = None
        if context_weight is not None:
            self.by_averages = values.new_zeros(gradient.size(0), values.size(0), values.size(2))
            self.by_average = self.by_averages.unbind()
            self.add_product = adding_product(context_weight.t(), values.size(0))

    def add_average(self, t: int, by_gates: Tensor) -> None:
        """Goes back from the gradient of the gates to that of a_t."""
        if self.context_weight is not None:
            by_gates = self.add_product(self.by_average[t], by_gates)
        self.by_attention[t].unsqueeze(1).baddbmm_(by_gates.unsqueeze(1), self.transposed)

    def look(self, t: int, query: Tensor, by_query: Tensor) -> None:
        """Goes back from the gradient of a_t to that of the query, ``by_query``, still without its factor v."""
        # a_tj (g_j - sum_i a_ti g_i), by autograd's own function, which rounds only once
        by_score, by_attention = self.by_score[t], self.by_attention[t]
        torch.ops.aten._softmax_backward_data.out(by_attention, self.rows[t], 1, query.dtype, grad_input=by_score)
        # e_tj = v' tanh(W_a s + U_a h_j + b_a)
        layer = self.hidden.layer(query.unsqueeze(1), self.keys, out=self.layer)
        self.by_energy.addmv_(layer.flatten(0, 1).t(), by_score.view(-1))
        self.hidden.go_back(by_score, layer)
        torch.sum(layer, dim=1, out=by_query)
        self.by_keys.add_(layer)

    def sources(self, gates: Tensor) -> Tuple[Tensor, Tensor, Optional[Tensor], Tensor]:
        """Returns the gradients of keys, values, context weight and energy, when all steps have been gone back.

        Args:
            gates: the gradient of all that ``Looks.add_average`` was given, ``(steps, batch, 3 * hidden_size)``; of
                fewer steps than looks where the last look entered no gates
        """
        steps = gates.size(0)
        attention, by_weight = self.attention.narrow(1, 0, steps), None
        by_average = gates if self.by_averages is None else self.by_averages.narrow(0, 0, steps)
        if self.context_weight is not None:
            by_weight = weight_gradient(gates, torch.bmm(attention, self.values).transpose(0, 1))
        self.hidden.add_constant(self.by_energy, self.by_scores)
        by_values = torch.bmm(attention.transpose(1, 2), by_average.transpose(0, 1))
        return self.by_keys.mul_(self.hidden.scale * self.energy), by_values, by_weight, self.by_energy


def with_energy(weight: Tensor, energy: Tensor) -> Tensor:
    """Returns a loop's weight with v folded into its first rows, W_a, as the gradients of queries come without it."""
    scaled = weight.clone()
    scaled.narrow(0, 0, energy.size(0)).mul_(energy.unsqueeze(1))
    return scaled
