"""Makes the conditional GRU's loop two products and two kernels a step, as ``triton_loop.py`` has one."""

from typing import Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..attention import Source
from ..recurrence import State
from .columns import in_columns
from .layers import ConditionalLayers
from .matmul import weight_gradient
from .once import differentiable_once
from .triton_launch import Back, Read, gru_backward, gru_forward, prepare


class TritonConditionalLoop(torch.autograd.Function):
    """Takes the steps of ``FusedConditionalLoop`` as :class:`TritonLoop` does those of ``FusedLoop``."""

    @staticmethod
    def forward(ctx, embed_gates, state, keys, values, energy, first_weight, first_bias, weight, bias, padding_mask):
        """Takes all steps."""
        (batch, tgt_len, _), size, query_dim = embed_gates.shape, state.size(1), keys.size(2)
        read = Read(size, keys, values, energy, padding_mask)
        first_columns = state.new_empty(tgt_len, batch, 4 * size)
        columns = state.new_empty(tgt_len, batch, query_dim + 4 * size)
        first_products, products = state.new_empty(batch, 3 * size), state.new_empty(batch, query_dim + 3 * size)
        states = torch.cat([state.unsqueeze(0), state.new_empty(tgt_len, *state.shape)])
        between = state.new_empty(tgt_len, *state.shape)  # s'_t
        after, s, s_between = states[1:], states.unbind(), between.unbind()
        attention = state.new_empty(batch, tgt_len, keys.size(1))
        for t in range(tgt_len):
            torch.mm(s[t], first_weight.t(), out=first_products)
            gru_forward(read.launch, t, first_products, first_columns, embed_gates, first_bias, (states, between))
            torch.mm(s_between[t], weight.t(), out=products)
            read.forward(t, t, products, columns, None, bias, (between, after), attention)
        ctx.save_for_backward(
            keys, values, energy, padding_mask, first_weight, weight, first_columns, columns, states, between, attention
        )
        return states.narrow(0, 1, tgt_len).transpose(0, 1), attention

    @staticmethod
    @differentiable_once
    def backward(ctx, states_gradient, attention_gradient):
        """Goes back from the gradients of what :meth:`forward` returns to those of what it takes, in the same order."""
        *source, first_weight, weight, first_columns, columns, states, between, attention = ctx.saved_tensors
        (tgt_len, _, size), query_dim, kept = between.shape, source[0].size(2), (columns, between)
        read, back = Read(size, *source), Back(columns, attention, states_gradient, attention_gradient)
        by_first = torch.empty_like(first_columns)
        by_first_product, by_product = by_first.narrow(2, 0, 3 * size), back.gradient.narrow(2, 0, query_dim + 3 * size)
        by_first_products, by_products = by_first_product.unbind(), by_product.unbind()
        for t in reversed(range(tgt_len)):
            read.backward(t, t, kept, back)
            back.multiply(by_products[t], weight)
            gru_backward(read.launch, t, first_columns, by_first, states, back, False)
            back.multiply(by_first_products[t], first_weight)
        return (
            by_first.narrow(2, size, 3 * size).transpose(0, 1), back.by_state(),
            *read.gradients(columns, back, back.gradient.narrow(2, query_dim + size, 3 * size)),
            weight_gradient(by_first_product, states.narrow(0, 0, tgt_len)), by_first.sum(dim=(0, 1)),
            weight_gradient(by_product, between), back.gradient.narrow(2, query_dim, 4 * size).sum(dim=(0, 1)), None,
        )  # fmt: skip


def unroll(decoder: ConditionalLayers, embed_gates: Tensor, last: State, source: Source) -> Tuple[State, Tensor]:
    """Takes all time steps as ``fused.conditional.unroll`` does, with the same arguments."""
    recurrence, dtype = decoder.recurrence, embed_gates.dtype
    first, second = recurrence.cell.state_gates, recurrence.second_cell.state_gates
    first_weight, first_bias = in_columns(first.weight, first.bias)
    weight, bias = in_columns(second.weight, second.bias)
    weight = torch.cat([decoder.attention.query_proj.weight, weight])
    bias = bias + F.pad(recurrence.context_gates.bias, (recurrence.cell.hidden_size, 0))
    cells = (part.to(dtype) for part in (first_weight, first_bias, weight, bias))
    states, attention = TritonConditionalLoop.apply(
        embed_gates.contiguous(), last.cell.to(dtype), *prepare(decoder, source, dtype), *cells, source.padding_mask
    )
    return State(states, torch.bmm(attention, source.values.to(dtype))), attention
