"""Makes the loop of an order with one update a function with a gradient of its own.

:func:`unroll` gives the numbers of ``BahdanauDecoder.unroll`` from fewer and larger operations. Two things differ from
what autograd does: the products that give the weights' gradients are taken once, over all steps, and the hidden layer
of the attention is computed again where autograd would keep it of every step.
"""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..attention import Source
from ..recurrence import State
from .gru import Steps, StepsBack, filled, in_columns
from .layers import Layers
from .look import Looks, LooksBack
from .matmul import Product
from .once import differentiable_once


class FusedLoop(torch.autograd.Function):
    """Takes the steps, which wait for each other, from what :func:`unroll` has prepared.

    Look, update, generate: every state asks before its word enters. Update, look, generate is the same loop without the
    look of s_0, in whose place c_0 enters, and with a last look of its own.

    Args:
        embed_gates: ``(batch, tgt_len, 3 * hidden_size)``
        state: s_0 ``(batch, hidden_size)``
        keys, values, context_weight, energy: as :class:`~fairseq_bahdanau.fused.look.Looks` takes them
        weight: 2 W_a above U ``(attention_dim + 3 * hidden_size, hidden_size)``, in the order of the columns
        bias: ``(attention_dim + 4 * hidden_size,)``, of the columns
        first_gates: W_c c_0 ``(batch, 3 * hidden_size)`` where s_0 does not look; None where it does
        padding_mask: ``(batch, src_len)``, True on padding

    Returns:
        states ``(batch, tgt_len, hidden_size)`` and attention ``(batch, tgt_len, src_len)``
    """

    @staticmethod
    def forward(ctx, embed_gates, state, keys, values, context_weight, energy, weight, bias, first_gates, padding_mask):
        """Takes all steps; shapes as above."""
        tgt_len, late = embed_gates.size(1), 0 if first_gates is None else 1
        columns = filled(bias, embed_gates.transpose(0, 1))
        states = torch.cat([state.unsqueeze(0), state.new_empty(tgt_len, *state.shape)])
        s, query, last_query = states.unbind(), weight.narrow(0, 0, keys.size(2)), None
        steps, looks = (
            Steps(columns, weight, s, s[1:]),
            Looks(keys, values, context_weight, energy, padding_mask, tgt_len),
        )
        for t in range(tgt_len):
            steps.multiply(t)
            if t >= late:
                looks.look(t - late, steps.query[t])
                looks.add_average(t - late, steps.from_input[t])
            else:
                steps.from_input[t].add_(first_gates)
            steps.move(t)
        if late:
            last_query = torch.mm(s[tgt_len], query.t(), out=state.new_empty(state.size(0), query.size(0)))
            looks.look(tgt_len - 1, last_query)
        attention = looks.masked()
        ctx.late = late
        ctx.save_for_backward(keys, values, context_weight, energy, weight, columns, states, attention, last_query)
        return states.narrow(0, 1, tgt_len).transpose(0, 1), attention

    @staticmethod
    @differentiable_once
    def backward(ctx, states_gradient, attention_gradient):
        """Goes back from the gradients of what :meth:`forward` returns to those of what it takes, in the same order."""
        keys, values, context_weight, energy, weight, columns, states, attention, last_query = ctx.saved_tensors
        tgt_len, attention_dim, late = columns.size(0), keys.size(2), ctx.late
        scaled = with_energy(weight, energy)
        looks = LooksBack(keys, values, context_weight, energy, attention, attention_gradient)
        steps = StepsBack(columns, scaled, states.narrow(0, 0, tgt_len))
        queries = columns.narrow(2, 0, attention_dim).unbind()
        by_states = F.pad(states_gradient.transpose(0, 1), (0, 0, 0, 0, 1, 0))  # from s_0 on
        by_s, by_last_query = by_states.unbind(), None
        if late:
            by_last_query = torch.empty_like(last_query)
            looks.look(tgt_len - 1, last_query, by_last_query)
            by_s[tgt_len].addmm_(by_last_query, scaled.narrow(0, 0, attention_dim))
        for t in reversed(range(tgt_len)):
            steps.move(t, by_s[t + 1], by_s[t])
            if t >= late:
                looks.add_average(t - late, steps.from_input[t])
                looks.look(t - late, queries[t], steps.query[t])
            else:
                steps.query[t].zero_()
            steps.multiply(t, by_s[t])

        steps.gradient.narrow(2, 0, attention_dim).mul_(energy)
        by_gates, by_weight = steps.gates(), steps.weight()
        if by_last_query is not None:
            by_weight.narrow(0, 0, attention_dim).addmm_(by_last_query.mul_(energy).t(), states.select(0, tgt_len))
        by_keys, by_values, by_context_weight, by_energy = looks.sources(by_gates.narrow(0, late, tgt_len - late))
        return (
            by_gates.transpose(0, 1), by_s[0], by_keys, by_values, by_context_weight, by_energy, by_weight,
            steps.bias(), by_gates.select(0, 0) if late else None, None,
        )  # fmt: skip


def with_energy(weight: Tensor, energy: Tensor) -> Tensor:
    """Returns a loop's weight with v folded into its first rows, W_a, as the gradients of queries come without it."""
    scaled = weight.clone()
    scaled.narrow(0, 0, energy.size(0)).mul_(energy.unsqueeze(1))
    return scaled


class Prepared(NamedTuple):
    """Holds what the looks of a loop read, in the type of the loop; fields as ``Looks`` takes them."""

    keys: Tensor
    values: Tensor
    context_weight: Optional[Tensor]
    energy: Tensor


def prepare(decoder: Layers, source: Source, tgt_len: int, dtype: torch.dtype) -> Prepared:
    """Prepares what the looks read; the values are 0 on padding: no context in a row that is all padding."""
    annotations, context_weight = source.values.to(dtype), decoder.recurrence.context_gates.weight.to(dtype)
    values, folded = annotations, folds(annotations.size(1), tgt_len, *context_weight.shape)
    if folded:
        values = Product.apply(annotations, context_weight, None)
    return Prepared(
        source.keys.to(dtype).contiguous(),
        values.masked_fill(source.padding_mask.unsqueeze(2), 0.0),
        None if folded else context_weight,
        2 * decoder.attention.energy.to(dtype),
    )


def unroll(
    decoder: Layers, embed_gates: Tensor, last: State, source: Source, looks_late: bool = False
) -> Tuple[State, Tensor]:
    """Takes all time steps as the decoder's ``unroll`` does, in the type of ``embed_gates``, a product's.

    Args:
        decoder, embed_gates, last, source: as there
        looks_late: whether a state asks after its update, as in ``UpdateLookGenerateDecoder``
    """
    dtype, first_gates = embed_gates.dtype, None
    prepared = prepare(decoder, source, embed_gates.size(1), dtype)
    if looks_late:
        first_gates = F.linear(last.context.to(dtype), decoder.recurrence.context_gates.weight.to(dtype))
    query_weight, state_gates = decoder.attention.query_proj.weight, decoder.recurrence.cell.state_gates
    weight, bias = in_columns(state_gates.weight, state_gates.bias)
    # One product for query and state gates.
    weight, bias = torch.cat([2 * query_weight, weight]).to(dtype), F.pad(bias, (query_weight.size(0), 0)).to(dtype)
    state, padding_mask = last.cell.to(dtype), source.padding_mask
    states, attention = FusedLoop.apply(embed_gates, state, *prepared, weight, bias, first_gates, padding_mask)
    return State(states, torch.bmm(attention, source.values.to(dtype))), attention


def folds(src_len: int, tgt_len: int, gates: int, annotation_dim: int) -> bool:
    """Tells whether W_c is multiplied with all annotations before the loop, and not with every context within it.

    By the number of multiplications of a sentence, where those before the loop count two thirds: their matrices have
    ``src_len`` times as many rows, and the loop is shorter by an operation.
    """
    before = src_len * annotation_dim * gates + tgt_len * src_len * gates
    within = tgt_len * src_len * annotation_dim + tgt_len * annotation_dim * gates
    return 2 * before < 3 * within
