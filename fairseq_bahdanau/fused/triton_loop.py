"""Makes the decoder's loop one product and one kernel a step, forwards and backwards, on a GPU.

:func:`unroll` is the twin of that of ``loop.py``. The values always contain W_c, and the gradients of keys and v are
taken once, over all steps.
"""

from typing import Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..attention import Source
from ..recurrence import State
from .columns import in_columns
from .layers import Layers
from .matmul import weight_gradient
from .once import differentiable_once
from .triton_launch import Back, Read, gru_backward, gru_forward, prepare


class TritonLoop(torch.autograd.Function):
    """Takes the steps of ``FusedLoop``, whose arguments these are, but for the values, which always contain W_c.

    Energy and the first rows of ``weight`` are v and W_a here, without the factor 2.
    """

    @staticmethod
    def forward(ctx, embed_gates, state, keys, values, energy, weight, bias, first_gates, padding_mask):
        """Takes all steps."""
        (batch, tgt_len, _), size, query_dim = embed_gates.shape, state.size(1), keys.size(2)
        late, read = 0 if first_gates is None else 1, Read(size, keys, values, energy, padding_mask)
        columns = state.new_empty(tgt_len + late, batch, query_dim + 4 * size)
        states = torch.cat([state.unsqueeze(0), state.new_empty(tgt_len, *state.shape)])
        both, s, products = (states, states[1:]), states.unbind(), state.new_empty(batch, query_dim + 3 * size)
        attention = state.new_empty(batch, tgt_len, keys.size(1))
        for t in range(tgt_len):
            torch.mm(s[t], weight.t(), out=products)
            if t >= late:
                read.forward(t, t - late, products, columns, embed_gates, bias, both, attention)
            else:
                entered = (embed_gates.select(1, 0) + first_gates).unsqueeze(1)
                gru_forward(read.launch, 0, products, columns, entered, bias, both)
        if late:
            torch.mm(s[tgt_len], weight.t(), out=products)
            read.forward(tgt_len, tgt_len - 1, products, columns, None, bias, both, attention, updates=False)
        ctx.late = late
        ctx.save_for_backward(keys, values, energy, padding_mask, weight, columns, states, attention)
        return states.narrow(0, 1, tgt_len).transpose(0, 1), attention

    @staticmethod
    @differentiable_once
    def backward(ctx, states_gradient, attention_gradient):
        """Goes back from the gradients of what :meth:`forward` returns to those of what it takes, in the same order."""
        *source, weight, columns, states, attention = ctx.saved_tensors
        late, query_dim, kept = ctx.late, source[0].size(2), (columns, states)
        tgt_len, size = states.size(0) - 1, states.size(2)
        read, back = Read(size, *source), Back(columns, attention, states_gradient, attention_gradient)
        by_product = back.gradient.narrow(2, 0, query_dim + 3 * size)
        by_products = by_product.unbind()
        if late:
            back.gradient[tgt_len].zero_()
            back.gradient[0].zero_()
            read.backward(tgt_len, tgt_len - 1, kept, back, updates=False)
            torch.mm(by_products[tgt_len], weight, out=back.product)
        for t in reversed(range(tgt_len)):
            if t >= late:
                read.backward(t, t - late, kept, back)
            else:
                gru_backward(read.launch, t, columns, back.gradient, states, back, True)
            back.multiply(by_products[t], weight)
        by_gates = back.gradient.narrow(2, query_dim + size, 3 * size).narrow(0, 0, tgt_len)
        by_bias = back.gradient.narrow(2, query_dim, 4 * size).sum(dim=(0, 1))
        return (
            by_gates.transpose(0, 1), back.by_state(), *read.gradients(columns[late:], back, by_gates[late:]),
            weight_gradient(by_product, states.narrow(0, 0, tgt_len + late)), by_bias,
            by_gates[0] if late else None, None,
        )  # fmt: skip


def unroll(
    decoder: Layers, embed_gates: Tensor, last: State, source: Source, looks_late: bool = False
) -> Tuple[State, Tensor]:
    """Takes all time steps as ``fused.loop.unroll`` does, with the same arguments."""
    dtype, first_gates = embed_gates.dtype, None
    if looks_late:
        first_gates = F.linear(last.context.to(dtype), decoder.recurrence.context_gates.weight.to(dtype))
    state_gates = decoder.recurrence.cell.state_gates
    weight, bias = in_columns(state_gates.weight, state_gates.bias)
    # One product for query and state gates.
    weight = torch.cat([decoder.attention.query_proj.weight, weight])
    states, attention = TritonLoop.apply(
        embed_gates.contiguous(), last.cell.to(dtype), *prepare(decoder, source, dtype), weight.to(dtype),
        bias.to(dtype), first_gates, source.padding_mask,
    )  # fmt: skip
    return State(states, torch.bmm(attention, source.values.to(dtype))), attention
