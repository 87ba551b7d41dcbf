"""The other orders of a decoder step: which state asks the attention.

The default, look, update, generate, is :class:`BahdanauDecoder`. These differ from it in nothing but their step.
"""

from typing import Tuple

from torch import Tensor, nn

from .decoder import BahdanauDecoder
from .recurrence import Cell, Recurrence


class UpdateLookGenerateDecoder(BahdanauDecoder):
    """s_t = GRU([E y_{t-1} ; c_{t-1}], s_{t-1}); then s_t looks and gives c_t; both enter the readout.

    The order of the authors' own code (GroundHog, ``experiments/nmt``), in which the query has seen the previous word.
    c_0 is zero, our choice.
    """

    def step(
        self,
        embed_gates: Tensor,
        state: Tensor,
        context: Tensor,
        keys: Tensor,
        annotations: Tensor,
        padding_mask: Tensor,
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """As :meth:`BahdanauDecoder.step`."""
        state = self.recurrence(embed_gates, context, state)
        query = self.recurrence.cell.output(state)
        context, attention = self.attention(query, keys, annotations, padding_mask)
        return state, context, attention


class ConditionalRecurrence(Recurrence):
    """The two GRUs of a conditional GRU: s'_t = GRU_1(E y_{t-1}, s_{t-1}) and s_t = GRU_2(c_t, s'_t).

    Sennrich et al. 2017 ("Nematus"), section 2.

    Args:
        embed_dim: size of the target word's embedding
        context_dim: size of the context
        cell, second_cell: the two
    """

    def __init__(self, embed_dim: int, context_dim: int, cell: Cell, second_cell: Cell):
        super().__init__(embed_dim, context_dim, cell)
        self.context_gates = nn.Linear(context_dim, second_cell.state_gates.out_features)
        self.second_cell = second_cell

    def first(self, embed_gates: Tensor, state: Tensor) -> Tensor:
        """s'_t ``(batch, state size)`` from the word's ``embed_gates`` ``(batch, gates)`` and s_{t-1}."""
        return self.cell(embed_gates, state)

    def second(self, context: Tensor, state: Tensor) -> Tensor:
        """s_t ``(batch, state size)`` from the context ``(batch, context_dim)`` and s'_t."""
        return self.second_cell(self.context_gates(context), state)


class ConditionalGRUDecoder(BahdanauDecoder):
    """s'_t = GRU_1(E y_{t-1}, s_{t-1}); s'_t looks and gives c_t; s_t = GRU_2(c_t, s'_t), which enters the readout.

    Its recurrence is a :class:`ConditionalRecurrence`.
    """

    def step(
        self,
        embed_gates: Tensor,
        state: Tensor,
        context: Tensor,
        keys: Tensor,
        annotations: Tensor,
        padding_mask: Tensor,
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """As :meth:`BahdanauDecoder.step`."""
        state = self.recurrence.first(embed_gates, state)
        query = self.recurrence.cell.output(state)
        context, attention = self.attention(query, keys, annotations, padding_mask)
        return self.recurrence.second(context, state), context, attention
