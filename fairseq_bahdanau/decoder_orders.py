"""The other orders of a decoder step: which state asks the attention.

The default, look, update, generate, is :class:`BahdanauDecoder`. What else these share with it is inherited.
"""

from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from .decoder import BahdanauDecoder
from .recurrence import gru


class UpdateLookGenerateDecoder(BahdanauDecoder):
    """s_t = GRU([E y_{t-1} ; c_{t-1}], s_{t-1}); then s_t looks and gives c_t; both enter the readout.

    The order of the authors' own code (GroundHog, ``experiments/nmt``), in which the query has seen the previous word.
    c_0 is zero. What a step goes on from is the state and the context side by side.
    """

    def begin(self, encoder_out: Dict[str, List[Tensor]]) -> Dict[str, Optional[Tensor]]:
        """As :meth:`BahdanauDecoder.begin`, ``state`` being ``[s_0 ; c_0]``."""
        annotations = encoder_out["encoder_out"][0]
        state = torch.tanh(self.initial_state(encoder_out["backward_state"][0]))
        context = torch.zeros_like(annotations.select(dim=1, index=0))
        return {"state": torch.cat([state, context], dim=1), "keys": self.attention.key_proj(annotations)}

    def unroll(
        self, embed_gates: Tensor, state: Tensor, keys: Tensor, annotations: Tensor, padding_mask: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """As :meth:`BahdanauDecoder.unroll`."""
        context_dim = annotations.size(2)
        state, context = state.split([state.size(1) - context_dim, context_dim], dim=1)
        states: List[Tensor] = []
        contexts: List[Tensor] = []
        attentions: List[Tensor] = []
        for embed_gates_t in embed_gates.unbind(dim=1):
            state = self.recurrence(embed_gates_t, context, state)
            context, attention = self.attention(state, keys, annotations, padding_mask)
            states.append(state)
            contexts.append(context)
            attentions.append(attention)
        last = torch.cat([state, context], dim=1)
        return torch.stack(states, dim=1), torch.stack(contexts, dim=1), torch.stack(attentions, dim=1), last


class ConditionalRecurrence(nn.Module):
    """The two GRUs of a conditional GRU: s'_t = GRU_1(E y_{t-1}, s_{t-1}) and s_t = GRU_2(c_t, s'_t).

    Sennrich et al. 2017 ("Nematus"), section 2; rows and reset gate as in ``recurrence.py``.

    Args:
        embed_dim: size of the target word's embedding
        context_dim: size of the context
        hidden_size: size of the state
    """

    def __init__(self, embed_dim: int, context_dim: int, hidden_size: int):
        super().__init__()
        self.embed_gates = nn.Linear(embed_dim, 3 * hidden_size)
        self.state_gates = nn.Linear(hidden_size, 3 * hidden_size)
        self.context_gates = nn.Linear(context_dim, 3 * hidden_size)
        self.second_state_gates = nn.Linear(hidden_size, 3 * hidden_size)

    def first(self, embed_gates: Tensor, state: Tensor) -> Tensor:
        """s'_t ``(batch, hidden_size)`` from the word's ``embed_gates`` ``(batch, 3 * hidden_size)`` and s_{t-1}."""
        return gru(embed_gates, self.state_gates(state), state)

    def forward(self, context: Tensor, state: Tensor) -> Tensor:
        """s_t ``(batch, hidden_size)`` from the context ``(batch, context_dim)`` and s'_t."""
        return gru(self.context_gates(context), self.second_state_gates(state), state)


class ConditionalGRUDecoder(BahdanauDecoder):
    """s'_t = GRU_1(E y_{t-1}, s_{t-1}); s'_t looks and gives c_t; s_t = GRU_2(c_t, s'_t), which enters the readout.

    Its recurrence is a :class:`ConditionalRecurrence`.
    """

    def unroll(
        self, embed_gates: Tensor, state: Tensor, keys: Tensor, annotations: Tensor, padding_mask: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """As :meth:`BahdanauDecoder.unroll`."""
        states: List[Tensor] = []
        contexts: List[Tensor] = []
        attentions: List[Tensor] = []
        for embed_gates_t in embed_gates.unbind(dim=1):
            query = self.recurrence.first(embed_gates_t, state)
            context, attention = self.attention(query, keys, annotations, padding_mask)
            state = self.recurrence(context, query)
            states.append(state)
            contexts.append(context)
            attentions.append(attention)
        return torch.stack(states, dim=1), torch.stack(contexts, dim=1), torch.stack(attentions, dim=1), state
