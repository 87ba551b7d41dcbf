"""The decoder's gated recurrent unit: how the state moves on.

Cho et al. 2014 and Bahdanau et al. 2014, appendix A.1.1, with two deviations, both PyTorch's and cuDNN's convention:
the reset gate acts after the matrix product, not before it, and the update gate z is the paper's 1 - z.
"""

import torch
from torch import Tensor, nn


class GRURecurrence(nn.Module):
    """s_t = GRU([E y_{t-1} ; c_t], s_{t-1}), its input product split into a part for the word and one for the context.

    The word's part needs no state and is therefore computed by the caller for all time steps at once. Rows of the
    three weights are in PyTorch's order: reset, update, new.

    Args:
        embed_dim: size of the target word's embedding
        context_dim: size of the context
        hidden_size: size of the state
    """

    def __init__(self, embed_dim: int, context_dim: int, hidden_size: int):
        super().__init__()
        self.embed_gates = nn.Linear(embed_dim, 3 * hidden_size)
        self.context_gates = nn.Linear(context_dim, 3 * hidden_size, bias=False)
        self.state_gates = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, embed_gates: Tensor, context: Tensor, state: Tensor) -> Tensor:
        """One step.

        Args:
            embed_gates: ``(batch, 3 * hidden_size)``, ``self.embed_gates`` of the previous word's embedding
            context: ``(batch, context_dim)``, c_t
            state: ``(batch, hidden_size)``, s_{t-1}

        Returns:
            the new state s_t, ``(batch, hidden_size)``
        """
        return gru(embed_gates + self.context_gates(context), self.state_gates(state), state)


def gru(input_gates: Tensor, state_gates: Tensor, state: Tensor) -> Tensor:
    """The gated unit itself, from its two products ``(batch, 3 * hidden_size)`` and the state before."""
    reset_in, update_in, new_in = input_gates.chunk(3, dim=1)
    reset_rec, update_rec, new_rec = state_gates.chunk(3, dim=1)
    reset = torch.sigmoid(reset_in + reset_rec)
    update = torch.sigmoid(update_in + update_rec)
    new = torch.tanh(new_in + reset * new_rec)
    return (1 - update) * new + update * state
