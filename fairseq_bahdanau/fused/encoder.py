"""Gives the encoder's GRU a gradient of its own, for a CPU.

:func:`read` gives the numbers of ``nn.GRU``, whose gradient multiplies the weights' part step by step; here that
product is taken once, over all steps. On a GPU cuDNN does the same, and is used.
"""

from typing import Tuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .gradients import derivatives
from .matmul import Product, product


class FusedGRU(torch.autograd.Function):
    """Reads one layer in one direction, from a state of zeros on.

    Of every step one row of ``columns`` is kept, ``recurrent | reset | update | new``, as in ``FusedLoop``.

    Args:
        input_gates: ``(src_len, batch, 3 * hidden_size)``: reset, update, new
        weight: ``(3 * hidden_size, hidden_size)``, in the same order
        bias: ``(3 * hidden_size,)``

    Returns:
        states ``(src_len, batch, hidden_size)``
    """

    @staticmethod
    def forward(ctx, input_gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Takes all steps; shapes as above."""
        src_len, batch, hidden_size = len(input_gates), input_gates.size(1), weight.size(1)
        weight = weight.roll(hidden_size, dims=0)  # new, reset, update: the order of the columns
        columns = F.pad(bias.roll(hidden_size), (0, hidden_size)).repeat(src_len, batch, 1)
        recurrent, gates = columns.split([hidden_size, 3 * hidden_size], dim=2)
        gates += input_gates
        reset, update, new = gates.chunk(3, dim=2)
        states = input_gates.new_zeros(src_len + 1, batch, hidden_size)
        for t in range(src_len):
            columns[t, :, :-hidden_size] += product(states[t], weight)
            gates[t, :, : 2 * hidden_size].sigmoid_()
            new[t].addcmul_(reset[t], recurrent[t]).tanh_()
            # h_t = (1 - update) * new + update * h_{t-1}
            torch.lerp(new[t], states[t], update[t], out=states[t + 1])
        ctx.save_for_backward(columns, states, weight)
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx, states_gradient: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Goes back from the gradient of the states to those of what :meth:`forward` takes, in the same order."""
        columns, states, weight = ctx.saved_tensors
        hidden_size = states.size(2)
        update = columns[..., 2 * hidden_size : 3 * hidden_size]
        grad_columns = derivatives(columns, states, attention_dim=0)
        grad_cell = grad_columns.unflatten(2, (4, hidden_size))
        grad_states = F.pad(states_gradient, (0, 0, 0, 0, 1, 0))  # from the zeros on
        transposed = weight.t().contiguous()
        for t in reversed(range(len(columns))):
            grad_cell[t].mul_(grad_states[t + 1].unsqueeze(1))
            grad_states[t].addcmul_(grad_states[t + 1], update[t])
            grad_states[t] += product(grad_columns[t, :, :-hidden_size], transposed)
        rows = grad_columns[..., :-hidden_size].flatten(0, 1)
        grad_weight = product(rows.t(), states[:-1].flatten(0, 1).t()).roll(-hidden_size, dims=0)
        return grad_columns[..., hidden_size:], grad_weight, rows.sum(dim=0).roll(-hidden_size)


def read(rnn: nn.GRU, embedded: Tensor, lengths: Tensor) -> Tensor:
    """Reads the source as ``RecurrentEncoder.read`` does, by all layers of ``rnn``.

    Reading backwards is reading forwards over rows whose words stand in reverse, padding remaining at the end.
    """
    columns, lengths = torch.arange(embedded.size(1)), lengths.unsqueeze(1)
    backwards = torch.where(columns < lengths, lengths - 1 - columns, columns).unsqueeze(2)
    annotations = embedded
    for layer in range(rnn.num_layers):
        directions = []
        for suffix in ("", "_reverse") if rnn.bidirectional else ("",):
            names = [f"{name}_l{layer}{suffix}" for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]
            input_weight, input_bias, weight, bias = (getattr(rnn, name) for name in names)
            gates = Product.apply(annotations, input_weight, input_bias)
            if suffix:
                gates = gates.gather(1, backwards.expand_as(gates))
            states = FusedGRU.apply(gates.transpose(0, 1), weight, bias).transpose(0, 1)
            directions.append(states.gather(1, backwards.expand_as(states)) if suffix else states)
        annotations = torch.cat(directions, dim=2)
    return annotations
