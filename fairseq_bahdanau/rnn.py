"""Does what ``nn.GRU`` does with a packed sequence, for any cell: PyTorch has no module of the paper's GRU.

Where it has a module, :meth:`EncoderLoop.like` takes over its parameters, and the tests hold the two equal.
"""

from typing import Callable, List, Tuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .recurrence import Cell


class OneWay(nn.Module):
    """Reads one layer in one direction.

    Args:
        input_size: size of what is read
        cell: the cell that reads it
        backwards: whether from the last word to the first
    """

    def __init__(self, input_size: int, cell: Cell, backwards: bool):
        super().__init__()
        self.input_gates = nn.Linear(input_size, cell.state_gates.out_features)
        self.cell = cell
        self.backwards = backwards

    def forward(self, gates: List[Tensor]) -> List[Tensor]:
        """Reads the columns of a packed sequence.

        Args:
            gates: of every column ``input_gates`` of what it holds, ``(rows, gates)``; the rows of sentences that have
                ended are no longer there, so that their number never grows

        Returns:
            of every column the cell's output ``(rows, hidden_size)``
        """
        batch = gates[0].size(0)
        if not self.backwards:
            return self.run_cell(gates, batch)
        outputs = self.run_cell(gates[::-1], batch)
        return outputs[::-1]

    def run_cell(self, gates: List[Tensor], batch: int) -> List[Tensor]:
        """Runs the cell over the steps in order.

        Args:
            gates: of every step ``(rows, gates)``, the rows of the sentences that have a word there
            batch: number of all sentences

        Returns:
            of every step the cell's output ``(rows, hidden_size)``
        """
        state = self.cell.begin(gates[0].new_zeros(batch, self.cell.hidden_size))
        outputs: List[Tensor] = []
        for step in gates:
            moved = self.cell(step, state[: step.size(0)])
            # The rows beyond are sentences that have ended, or, backwards, have not begun and are still zero.
            state = torch.cat([moved, state[step.size(0) :]])
            outputs.append(self.cell.output(moved))
        return outputs


class EncoderLoop(nn.Module):
    """Does what ``nn.GRU`` and its like do with a packed sequence, with any cell.

    Args:
        input_size: size of what is read
        hidden_size: size of each direction's output
        cell_class: makes a cell of a size
        layers: how many, each reading all directions of the one below
        bidirectional: whether every layer reads in both directions
    """

    def __init__(
        self, input_size: int, hidden_size: int, cell_class: Callable[[int], Cell], layers: int, bidirectional: bool
    ):
        super().__init__()
        directions = 2 if bidirectional else 1
        self.layers = nn.ModuleList()
        for layer in range(layers):
            below = input_size if layer == 0 else directions * hidden_size
            ways = [OneWay(below, cell_class(hidden_size), backwards) for backwards in (False, True)[:directions]]
            self.layers.append(nn.ModuleList(ways))

    @classmethod
    def like(cls, rnn: nn.RNNBase, cell_class: Callable[[int], Cell]) -> "EncoderLoop":
        """Makes the loop that shares its parameters with PyTorch's module for the same cell."""
        loop = cls(rnn.input_size, rnn.hidden_size, cell_class, rnn.num_layers, rnn.bidirectional)
        for layer, ways in enumerate(loop.layers):
            for way, suffix in zip(ways, ("", "_reverse")):  # type: ignore[call-overload]  # a list of lists of layers
                for linear, side in ((way.input_gates, "ih"), (way.cell.state_gates, "hh")):
                    linear.weight = getattr(rnn, f"weight_{side}_l{layer}{suffix}")
                    linear.bias = getattr(rnn, f"bias_{side}_l{layer}{suffix}")
        return loop

    def forward(self, packed: PackedSequence) -> Tuple[PackedSequence, None]:
        """Returns the top layer's outputs, and nothing in the place of the last states."""
        rows: List[int] = packed.batch_sizes.tolist()
        data = packed.data
        for ways in self.layers:
            outputs: List[Tensor] = []
            for way in ways:  # type: ignore[attr-defined]
                outputs.append(torch.cat(way(list(way.input_gates(data).split(rows)))))
            data = torch.cat(outputs, dim=1)
        return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices), None
