"""Looks at the source by additive attention, and goes back through the look.

The hidden layer of the attention, ``(batch, src_len, attention_dim)``, is the dearest part beside the products. It is
written as tanh(x) = 2 sigmoid(2x) - 1, since PyTorch's sigmoid on a CPU is faster than its tanh; the -1 is the same at
all positions, so the softmax does not see it. Autograd would keep the layer of every step; here it is computed again.
"""

from typing import Optional, Tuple

import torch
from torch import Tensor

from .matmul import weight_gradient

PADDING_SCORE = -30000.0  # added to a score: float16 holds the sum, and its exponential is 0 in every type


class Looks:
    """Looks once a step: a_t = softmax of e_tj = 2 v' sigmoid(2 (W_a s + U_a h_j + b_a)), then the average by a_t.

    Args:
        keys: U_a h_j + b_a, ``(batch, src_len, attention_dim)``
        values: what is averaged, 0 on padding: W_c h_j, or h_j, ``(batch, src_len, value_dim)``
        context_weight: W_c ``(3 * hidden_size, value_dim)`` for h_j; None where the values contain it
        energy: 2 v ``(attention_dim,)``
        padding_mask: ``(batch, src_len)``, True on padding
        steps: how many there will be
    """

    def __init__(
        self,
        keys: Tensor,
        values: Tensor,
        context_weight: Optional[Tensor],
        energy: Tensor,
        padding_mask: Tensor,
        steps: int,
    ):
        batch, src_len, self.attention_dim = keys.shape
        self.keys, self.values, self.context_weight, self.energy = keys, values, context_weight, energy
        self.attention = keys.new_empty(steps, batch, src_len)
        self.rows = self.attention.unbind()
        self.padding_mask = padding_mask
        self.padding_scores = keys.new_zeros(batch, src_len).masked_fill(padding_mask, PADDING_SCORE).view(-1)
        self.layer, self.average = torch.empty_like(keys), values.new_empty(batch, 1, values.size(2))

    def look(self, t: int, query: Tensor) -> None:
        """Computes a_t of ``query``, 2 W_a s ``(batch, attention_dim)``."""
        torch.add(query.unsqueeze(1), self.keys, alpha=2, out=self.layer).sigmoid_()
        scores = torch.addmv(self.padding_scores, self.layer.view(-1, self.attention_dim), self.energy)
        torch.softmax(scores.view(self.padding_mask.shape), dim=1, out=self.rows[t])

    def add_average(self, t: int, gates: Tensor) -> None:
        """Adds W_c c_t to ``gates``: sum_j a_tj (W_c h_j), or by way of c_t = sum_j a_tj h_j."""
        attention = self.rows[t].unsqueeze(1)
        if self.context_weight is None and gates.device.type != "cpu":
            gates.unsqueeze(1).baddbmm_(attention, self.values)
            return
        # On a CPU MKL would write to the columns, which are no tensor of their own, one sentence after the other.
        average = torch.bmm(attention, self.values, out=self.average).squeeze(1)
        gates.add_(average) if self.context_weight is None else gates.addmm_(average, self.context_weight.t())

    def masked(self) -> Tensor:
        """Returns the attention ``(batch, steps, src_len)``, 0 on padding and in a row that is all padding."""
        return self.attention.transpose(0, 1).masked_fill(self.padding_mask.unsqueeze(1), 0.0).contiguous()


class LooksBack:
    """Goes back through the looks, from the gradients of gates and attention.

    Every gradient through the hidden layer carries a factor v; it is multiplied once, at the end.

    Args:
        keys, values, context_weight, energy: as :class:`Looks` takes them
        attention: as it returned it, ``(batch, steps, src_len)``
        attention_gradient: of that
    """

    def __init__(
        self,
        keys: Tensor,
        values: Tensor,
        context_weight: Optional[Tensor],
        energy: Tensor,
        attention: Tensor,
        attention_gradient: Tensor,
    ):
        self.keys, self.values, self.context_weight, self.energy = keys, values, context_weight, energy
        self.attention, self.rows = attention, attention.unbind(dim=1)
        gradient = attention_gradient.transpose(0, 1).clone(memory_format=torch.contiguous_format)
        self.by_attention, self.by_scores = gradient.unbind(), torch.empty_like(gradient)
        self.by_score = self.by_scores.unbind()
        self.by_keys, self.by_energy = torch.zeros_like(keys), torch.zeros_like(energy)
        self.layer, self.transposed = torch.empty_like(keys), values.transpose(1, 2)
        self.averages = None
        if context_weight is not None:
            self.averages = values.new_empty(gradient.size(0), values.size(0), values.size(2))
            self.by_average = self.averages.unbind()

    def add_average(self, t: int, by_gates: Tensor) -> None:
        """Goes back from the gradient of the gates to that of a_t."""
        if self.context_weight is not None:
            by_gates = torch.mm(by_gates, self.context_weight, out=self.by_average[t])
        self.by_attention[t].unsqueeze(1).baddbmm_(by_gates.unsqueeze(1), self.transposed)

    def look(self, t: int, query: Tensor, by_query: Tensor) -> None:
        """Goes back from the gradient of a_t to that of the query, ``by_query``, still without its factor v."""
        # a_tj (g_j - sum_i a_ti g_i), by autograd's own function, which rounds only once
        by_score, by_attention = self.by_score[t], self.by_attention[t]
        torch.ops.aten._softmax_backward_data.out(by_attention, self.rows[t], 1, query.dtype, grad_input=by_score)
        # e_tj = 2 v' sigmoid(x), x = 2 W_a s + 2 (U_a h_j + b_a)
        layer = torch.add(query.unsqueeze(1), self.keys, alpha=2, out=self.layer).sigmoid_()
        self.by_energy.addmv_(layer.flatten(0, 1).t(), by_score.view(-1))
        torch.ops.aten.sigmoid_backward.grad_input(by_score.unsqueeze(2), layer, grad_input=layer)
        torch.sum(layer, dim=1, out=by_query)
        self.by_keys.add_(layer)

    def sources(self, gates: Tensor) -> Tuple[Tensor, Tensor, Optional[Tensor], Tensor]:
        """Returns the gradients of keys, values, context weight and energy, when all steps have been gone back.

        Args:
            gates: the gradient of all that :meth:`Looks.add_average` was given, ``(steps, batch, 3 * hidden_size)``; of
                fewer steps than looks where the last look entered no gates
        """
        steps = gates.size(0)
        attention, by_weight = self.attention.narrow(1, 0, steps), None
        by_average = gates if self.averages is None else self.averages.narrow(0, 0, steps)
        if self.context_weight is not None:
            by_weight = weight_gradient(gates, torch.bmm(attention, self.values).transpose(0, 1))
        # The -1 of tanh, which the softmax does not see: 0 but for rounding, which shows in bf16.
        by_energy = self.by_energy.sub_(0.5 * self.by_scores.sum())
        by_values = torch.bmm(attention.transpose(1, 2), by_average.transpose(0, 1))
        return self.by_keys.mul_(2 * self.energy), by_values, by_weight, by_energy
