"""Makes the loop of the conditional GRU a function with a gradient of its own: update, look, update, generate."""

from typing import Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..attention import Source
from ..recurrence import State
from .columns import filled, in_columns
from .gradients import LooksBack, StepsBack, with_energy
from .hidden import Hidden
from .layers import ConditionalLayers
from .loop import Looks, Steps
from .once import differentiable_once
from .prepare import Prepared, prepare


class FusedConditionalLoop(torch.autograd.Function):
    """Takes the steps: s'_t = GRU_1(E y_{t-1}, s_{t-1}), s'_t looks, s_t = GRU_2(c_t, s'_t).

    Args:
        embed_gates: of the first GRU, ``(batch, tgt_len, 3 * hidden_size)``
        state: s_0 ``(batch, hidden_size)``
        keys, values, context_weight, energy: as :class:`~fairseq_bahdanau.fused.prepare.Prepared` has them
        first_weight: U_1 ``(3 * hidden_size, hidden_size)``, in the order of the first GRU's columns
        first_bias: of these ``(4 * hidden_size,)``
        weight: the scaled W_a above U_2 ``(attention_dim + 3 * hidden_size, hidden_size)``, in the order of the columns
        bias: of the second GRU's columns ``(attention_dim + 4 * hidden_size,)``
        padding_mask: ``(batch, src_len)``, True on padding

    Returns:
        states ``(batch, tgt_len, hidden_size)`` and attention ``(batch, tgt_len, src_len)``
    """

    @staticmethod
    def forward(
        ctx,
        embed_gates,
        state,
        keys,
        values,
        context_weight,
        energy,
        first_weight,
        first_bias,
        weight,
        bias,
        padding_mask,
    ):
        """Takes all steps; shapes as above."""
        batch, tgt_len, _ = embed_gates.shape
        first_columns, columns = filled(first_bias, embed_gates.transpose(0, 1)), bias.repeat(tgt_len, batch, 1)
        states = torch.cat([state.unsqueeze(0), state.new_empty(tgt_len, *state.shape)])
        between = state.new_empty(tgt_len, *state.shape)  # s'_t
        s, s_between = states.unbind(), between.unbind()
        first, second = Steps(first_columns, first_weight, s, s_between), Steps(columns, weight, s_between, s[1:])
        looks = Looks(Prepared(keys, values, context_weight, energy), padding_mask, tgt_len)
        for t in range(tgt_len):
            first.multiply(t)
            first.move(t)
            second.multiply(t)
            looks.look(t, second.query[t])
            looks.add_average(t, second.from_input[t])
            second.move(t)
        attention = looks.masked()
        ctx.save_for_backward(
            keys,
            values,
            context_weight,
            energy,
            first_weight,
            weight,
            first_columns,
            columns,
            states,
            between,
            attention,
        )
        return states.narrow(0, 1, tgt_len).transpose(0, 1), attention

    @staticmethod
    @differentiable_once
    def backward(ctx, states_gradient, attention_gradient):
        """Goes back from the gradients of what :meth:`forward` returns to those of what it takes, in the same order."""
        keys, values, context_weight, energy, first_weight, weight, *kept = ctx.saved_tensors
        first_columns, columns, states, between, attention = kept
        tgt_len, attention_dim = columns.size(0), keys.size(2)
        looks = LooksBack(Prepared(keys, values, context_weight, energy), attention, attention_gradient)
        first = StepsBack(first_columns, first_weight, states.narrow(0, 0, tgt_len))
        second = StepsBack(columns, with_energy(weight, energy), between)
        queries = columns.narrow(2, 0, attention_dim).unbind()
        by_states = F.pad(states_gradient.transpose(0, 1), (0, 0, 0, 0, 1, 0))  # from s_0 on
        by_s, by_between = by_states.unbind(), torch.zeros_like(between).unbind()
        for t in reversed(range(tgt_len)):
            second.move(t, by_s[t + 1], by_between[t])
            looks.add_average(t, second.from_input[t])
            looks.look(t, queries[t], second.query[t])
            second.multiply(t, by_between[t])
            first.move(t, by_between[t], by_s[t])
            first.multiply(t, by_s[t])

        second.gradient.narrow(2, 0, attention_dim).mul_(energy)
        return (
            first.gates().transpose(0, 1), by_s[0], *looks.sources(second.gates()),
            first.weight(), first.bias(), second.weight(), second.bias(), None,
        )  # fmt: skip


def unroll(decoder: ConditionalLayers, embed_gates: Tensor, last: State, source: Source) -> Tuple[State, Tensor]:
    """Takes all time steps as ``ConditionalGRUDecoder`` does, in the type of ``embed_gates``, a product's."""
    recurrence, dtype = decoder.recurrence, embed_gates.dtype
    prepared = prepare(decoder, source, embed_gates.size(1), dtype)
    query_weight, hidden_size = decoder.attention.query_proj.weight, recurrence.cell.hidden_size
    first, second = recurrence.cell.state_gates, recurrence.second_cell.state_gates
    first_weight, first_bias = in_columns(first.weight, first.bias)
    second_weight, second_bias = in_columns(second.weight, second.bias)
    # One product for query and state gates; the context's gates have a bias here.
    weight = torch.cat([Hidden(prepared.keys).scaled(query_weight), second_weight])
    bias = F.pad(second_bias + F.pad(recurrence.context_gates.bias, (hidden_size, 0)), (query_weight.size(0), 0))
    cells = (part.to(dtype) for part in (first_weight, first_bias, weight, bias))
    states, attention = FusedConditionalLoop.apply(
        embed_gates, last.cell.to(dtype), *prepared, *cells, source.padding_mask
    )
    return State(states, torch.bmm(attention, source.values.to(dtype))), attention
