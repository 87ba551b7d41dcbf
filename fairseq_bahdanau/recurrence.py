"""The recurrence moves the decoder's state on, step by step.

Cho et al. 2014 and Bahdanau et al. 2014, appendix A.1.1, with two deviations of the default cell, both the convention
of PyTorch and cuDNN: the reset gate acts after the matrix product, not before it, and the update gate z is the paper's
1 - z. The other cells of the family follow it.
"""

from typing import Callable, Dict, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .plain import is_linear


class State(NamedTuple):
    """Holds what a decoder step hands to the next one. Over many steps, a dimension of time stands behind the batch."""

    cell: Tensor  # (batch, state size): s_t, with the memory where the cell has one
    context: Tensor  # (batch, annotation_dim): c_t


class Cell(nn.Module):
    """Holds what cells share: the product with the state, U s + b, and the default that all of the state is shown.

    Args:
        hidden_size: size of what others see of the state
        gates: how many products of this size the cell takes
    """

    def __init__(self, hidden_size: int, gates: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.state_gates = nn.Linear(hidden_size, gates * hidden_size)

    def forward(self, input_gates: Tensor, state: Tensor) -> Tensor:
        """Takes one step.

        Args:
            input_gates: ``(batch, gates * hidden_size)``, the input's products x
            state: ``(batch, state size)``, s_{t-1}

        Returns:
            the new state s_t, ``(batch, state size)``
        """
        raise NotImplementedError

    def begin(self, output: Tensor) -> Tensor:
        """Makes a first state that shows ``output`` ``(batch, hidden_size)``."""
        return output

    def output(self, state: Tensor) -> Tensor:
        """Returns what others see of a state ``(..., state size)``: ``(..., hidden_size)``."""
        return state


class GRUCell(Cell):
    """Moves a state on by the gated recurrent unit: s_t = (1 - z) * tanh(x + r * (U s_{t-1} + b)) + z * s_{t-1}.

    Rows of every product are in PyTorch's order: reset r, update z, new.

    Args:
        hidden_size: size of the state
    """

    def __init__(self, hidden_size: int):
        super().__init__(hidden_size, gates=3)

    def forward(self, input_gates: Tensor, state: Tensor) -> Tensor:
        """As :meth:`Cell.forward`."""
        reset_in, update_in, new_in = input_gates.chunk(3, dim=1)
        reset_rec, update_rec, new_rec = self.state_gates(state).chunk(3, dim=1)
        reset = torch.sigmoid(reset_in + reset_rec)
        update = torch.sigmoid(update_in + update_rec)
        new = torch.tanh(new_in + reset * new_rec)
        return (1 - update) * new + update * state


class ResetBeforeGRUCell(GRUCell):
    """Moves a state on by the paper's GRU (appendix A.1.1): its reset gate acts before the product, U (r * s_{t-1}).

    Deviation: the update gate z is the paper's 1 - z, as in :class:`GRUCell`. The parameters are those of
    :class:`GRUCell`, but not exchangeable with trained ones.
    """

    def forward(self, input_gates: Tensor, state: Tensor) -> Tensor:
        """As :meth:`Cell.forward`."""
        size = state.size(1)
        reset_update_in, new_in = input_gates.split([2 * size, size], dim=1)
        reset_update = torch.sigmoid(reset_update_in + self.rows(0, 2 * size, state))
        reset, update = reset_update.chunk(2, dim=1)
        new = torch.tanh(new_in + self.rows(2 * size, 3 * size, reset * state))
        return (1 - update) * new + update * state

    def rows(self, start: int, end: int, inputs: Tensor) -> Tensor:
        """Computes the rows from ``start`` to ``end`` of U x + b: of a layer that can be split, no others."""
        if not torch.jit.is_scripting():
            if not is_linear(self.state_gates):
                return self.state_gates(inputs).narrow(1, start, end - start)
        weight, bias = (part.narrow(0, start, end - start) for part in (self.state_gates.weight, self.state_gates.bias))
        return F.linear(inputs, weight, bias)


class LSTMCell(Cell):
    """Moves a state on by long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

    Rows of every product are in PyTorch's order: input, forget, new, output. A state is ``[output ; memory]``, of size
    ``2 * hidden_size``.

    Args:
        hidden_size: size of the output
    """

    def __init__(self, hidden_size: int):
        super().__init__(hidden_size, gates=4)

    def forward(self, input_gates: Tensor, state: Tensor) -> Tensor:
        """As :meth:`Cell.forward`."""
        shown, memory = state.chunk(2, dim=1)
        input_gate, forget, new, output = (input_gates + self.state_gates(shown)).chunk(4, dim=1)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(input_gate) * torch.tanh(new)
        return torch.cat([torch.sigmoid(output) * torch.tanh(memory), memory], dim=1)

    def begin(self, output: Tensor) -> Tensor:
        """Makes a first state of ``output`` ``(batch, hidden_size)`` and a memory of zeros."""
        return torch.cat([output, torch.zeros_like(output)], dim=1)

    def output(self, state: Tensor) -> Tensor:
        """Returns the output ``(..., hidden_size)``, without the memory."""
        return state.narrow(-1, 0, self.hidden_size)


class RNNCell(Cell):
    """Moves a state on by the plain network s_t = tanh(x + U s_{t-1} + b) (Elman 1990).

    Args:
        hidden_size: size of the state
    """

    def __init__(self, hidden_size: int):
        super().__init__(hidden_size, gates=1)

    def forward(self, input_gates: Tensor, state: Tensor) -> Tensor:
        """As :meth:`Cell.forward`."""
        return torch.tanh(input_gates + self.state_gates(state))


class Recurrence(nn.Module):
    """Moves the state on, s_t = GRU([E y_{t-1} ; c_t], s_{t-1}), by whatever cell.

    The input's product is split into a part for the word and one for the context. The word's part needs no state, so
    the caller computes it for all time steps at once.

    Args:
        embed_dim: size of the target word's embedding
        context_dim: size of the context
        hidden_size: size of the state, as others see it
        cell_class: makes a cell of that size
    """

    def __init__(self, embed_dim: int, context_dim: int, hidden_size: int, cell_class: Callable[[int], Cell]):
        super().__init__()
        cell = cell_class(hidden_size)
        gates = cell.state_gates.out_features
        self.embed_gates = nn.Linear(embed_dim, gates)
        self.context_gates = nn.Linear(context_dim, gates, bias=False)
        self.cell = cell

    def forward(self, embed_gates: Tensor, context: Tensor, state: Tensor) -> Tensor:
        """Takes one step.

        Args:
            embed_gates: ``(batch, gates)``, ``self.embed_gates`` of the previous word's embedding
            context: ``(batch, context_dim)``, c_t
            state: ``(batch, state size)``, s_{t-1}

        Returns:
            the new state s_t, ``(batch, state size)``
        """
        return self.cell(embed_gates + self.context_gates(context), state)


class ConditionalRecurrence(Recurrence):
    """Moves the state on twice: s'_t = GRU_1(E y_{t-1}, s_{t-1}), then s_t = GRU_2(c_t, s'_t).

    The conditional GRU of Sennrich et al. 2017 ("Nematus"), section 2.

    Args:
        embed_dim, context_dim, hidden_size, cell_class: as :class:`Recurrence` takes them; both cells are of one class
    """

    def __init__(self, embed_dim: int, context_dim: int, hidden_size: int, cell_class: Callable[[int], Cell]):
        super().__init__(embed_dim, context_dim, hidden_size, cell_class)
        second_cell = cell_class(hidden_size)
        # In place of the one above, with a bias. Made and thrown away, that one took part in the random numbers.
        self.context_gates = nn.Linear(context_dim, second_cell.state_gates.out_features)
        self.second_cell = second_cell

    def first(self, embed_gates: Tensor, state: Tensor) -> Tensor:
        """Returns s'_t ``(batch, state size)`` from the word's ``embed_gates`` ``(batch, gates)`` and s_{t-1}."""
        return self.cell(embed_gates, state)

    def second(self, context: Tensor, state: Tensor) -> Tensor:
        """Returns s_t ``(batch, state size)`` from the context ``(batch, context_dim)`` and s'_t."""
        return self.second_cell(self.context_gates(context), state)


class CellChoice(NamedTuple):
    """Names a cell of the decoder, and PyTorch's module that is the same in the encoder, if there is one."""

    cell: Callable[[int], Cell]  # the class, of a size
    rnn: Optional[Callable[..., nn.RNNBase]]


# The choices of --cell and --gru-reset, and which of them go together.
CELLS: Dict[Tuple[str, str], CellChoice] = {
    ("gru", "after"): CellChoice(GRUCell, nn.GRU),
    ("gru", "before"): CellChoice(ResetBeforeGRUCell, None),
    ("lstm", "after"): CellChoice(LSTMCell, nn.LSTM),
    ("rnn", "after"): CellChoice(RNNCell, nn.RNN),
}
