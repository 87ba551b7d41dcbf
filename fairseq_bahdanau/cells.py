"""The other cells of the family, behind the interface of ``recurrence.GRUCell``."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .recurrence import Cell, GRUCell


class ResetBeforeGRUCell(GRUCell):
    """The GRU of the paper (appendix A.1.1): the reset gate acts before the matrix product, U (r * s).

    Deviation: the update gate z is the paper's 1 - z, as in :class:`GRUCell`. The parameters are those of
    :class:`GRUCell`, but not exchangeable with trained ones.
    """

    def forward(self, input_gates: Tensor, state: Tensor) -> Tensor:
        """As :meth:`GRUCell.forward`."""
        size = state.size(1)
        reset_update_in, new_in = input_gates.split([2 * size, size], dim=1)
        reset_update_weight, new_weight = self.state_gates.weight.split([2 * size, size])
        reset_update_bias, new_bias = self.state_gates.bias.split([2 * size, size])
        reset_update = torch.sigmoid(reset_update_in + F.linear(state, reset_update_weight, reset_update_bias))
        reset, update = reset_update.chunk(2, dim=1)
        new = torch.tanh(new_in + F.linear(reset * state, new_weight, new_bias))
        return (1 - update) * new + update * state


class LSTMCell(Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    Rows of every product are in PyTorch's order: input, forget, new, output. A state is ``[output ; memory]``, of size
    ``2 * hidden_size``.

    Args:
        hidden_size: size of the output
    """

    def __init__(self, hidden_size: int):
        super().__init__(hidden_size, gates=4)

    def forward(self, input_gates: Tensor, state: Tensor) -> Tensor:
        """As :meth:`GRUCell.forward`, with ``input_gates`` ``(batch, 4 * hidden_size)``."""
        shown, memory = state.chunk(2, dim=1)
        input_gate, forget, new, output = (input_gates + self.state_gates(shown)).chunk(4, dim=1)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(input_gate) * torch.tanh(new)
        return torch.cat([torch.sigmoid(output) * torch.tanh(memory), memory], dim=1)

    def begin(self, output: Tensor) -> Tensor:
        """``output`` ``(batch, hidden_size)`` beside a memory of zeros."""
        return torch.cat([output, torch.zeros_like(output)], dim=1)

    def output(self, state: Tensor) -> Tensor:
        """The output ``(..., hidden_size)``, without the memory."""
        return state.narrow(-1, 0, self.hidden_size)


class RNNCell(Cell):
    """The plain network s' = tanh(input + U s) (Elman 1990).

    Args:
        hidden_size: size of the state
    """

    def __init__(self, hidden_size: int):
        super().__init__(hidden_size, gates=1)

    def forward(self, input_gates: Tensor, state: Tensor) -> Tensor:
        """As :meth:`GRUCell.forward`, with ``input_gates`` ``(batch, hidden_size)``."""
        return torch.tanh(input_gates + self.state_gates(state))
