"""The decoder's recurrence: how the state moves on.

Cho et al. 2014 and Bahdanau et al. 2014, appendix A.1.1, with two deviations, both PyTorch's and cuDNN's convention:
the reset gate acts after the matrix product, not before it, and the update gate z is the paper's 1 - z. Other cells,
the paper's among them, are in ``cells.py``.
"""

import torch
from torch import Tensor, nn


class Cell(nn.Module):
    """What cells share: the product with the state, and a state that is shown as it is.

    Args:
        hidden_size: size of what others see of the state
        gates: how many products of this size the cell takes
    """

    def __init__(self, hidden_size: int, gates: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.state_gates = nn.Linear(hidden_size, gates * hidden_size)

    def begin(self, output: Tensor) -> Tensor:
        """A first state that shows ``output`` ``(batch, hidden_size)``."""
        return output

    def output(self, state: Tensor) -> Tensor:
        """What others see of a state ``(..., state size)``: ``(..., hidden_size)``."""
        return state


class GRUCell(Cell):
    """The gated recurrent unit. Rows of every product are in PyTorch's order: reset, update, new.

    Args:
        hidden_size: size of the state
    """

    def __init__(self, hidden_size: int):
        super().__init__(hidden_size, gates=3)

    def forward(self, input_gates: Tensor, state: Tensor) -> Tensor:
        """One step.

        Args:
            input_gates: ``(batch, 3 * hidden_size)``, the input's products
            state: ``(batch, hidden_size)``

        Returns:
            the new state ``(batch, hidden_size)``
        """
        reset_in, update_in, new_in = input_gates.chunk(3, dim=1)
        reset_rec, update_rec, new_rec = self.state_gates(state).chunk(3, dim=1)
        reset = torch.sigmoid(reset_in + reset_rec)
        update = torch.sigmoid(update_in + update_rec)
        new = torch.tanh(new_in + reset * new_rec)
        return (1 - update) * new + update * state


class Recurrence(nn.Module):
    """s_t = GRU([E y_{t-1} ; c_t], s_{t-1}), its input product split into a part for the word and one for the context.

    The word's part needs no state and is therefore computed by the caller for all time steps at once.

    Args:
        embed_dim: size of the target word's embedding
        context_dim: size of the context
        cell: a :class:`GRUCell`, or one of ``cells.py``
    """

    def __init__(self, embed_dim: int, context_dim: int, cell: nn.Module):
        super().__init__()
        gates = cell.state_gates.out_features
        self.embed_gates = nn.Linear(embed_dim, gates)
        self.context_gates = nn.Linear(context_dim, gates, bias=False)
        self.cell = cell

    def forward(self, embed_gates: Tensor, context: Tensor, state: Tensor) -> Tensor:
        """One step.

        Args:
            embed_gates: ``(batch, gates)``, ``self.embed_gates`` of the previous word's embedding
            context: ``(batch, context_dim)``, c_t
            state: ``(batch, state size)``, s_{t-1}

        Returns:
            the new state s_t, ``(batch, state size)``
        """
        return self.cell(embed_gates + self.context_gates(context), state)
