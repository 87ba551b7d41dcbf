"""Makes the decoder's loop one product and one kernel a step, forwards and backwards, on a GPU.

:func:`unroll` and :func:`unroll_conditional` are twins of those of ``loop.py`` and ``conditional.py``. The values always
contain W_c, and the gradients of keys and v are taken once, over all steps.
"""

from typing import Any, Dict, Optional, Tuple

import torch
import triton
from torch import Tensor
from torch.nn import functional as F

from ..attention import Source
from ..recurrence import State
from . import triton_kernels as kernels
from .columns import in_columns
from .layers import ConditionalLayers, Layers
from .matmul import Product, weight_gradient
from .once import differentiable_once

TILE = 4096  # elements of keys or values that a program has in registers at once
PROGRAMS = 264  # so many keep a GPU busy: two on each of an H100's multiprocessors
BLOCK = 256  # of a GRU that does not look


def tile(src_len: int, *sizes: int) -> Dict[str, int]:
    """Chooses the block of keys and values that a program takes at once, and its warps."""
    source = max(16, triton.next_power_of_2(src_len))
    block = max(16, min(TILE // source, 128, triton.next_power_of_2(max(sizes))))
    return {"SOURCE": source, "BLOCK": block, "STAGES": 1, "num_warps": 8 if source * block >= 4096 else 4}


class Read:
    """Holds what the looks of a loop read, and launches them.

    Args:
        keys: ``(sentences, src_len, attention_dim)``
        values: W_c h_j, ``(sentences, src_len, 3 * hidden_size)``
        energy: v, ``(attention_dim,)``
        padding_mask: ``(sentences, src_len)``, True on padding
    """

    def __init__(self, keys: Tensor, values: Tensor, energy: Tensor, padding_mask: Tensor):
        self.tensors = keys, values, energy, padding_mask.contiguous().view(torch.uint8)
        self.sizes = keys.size(1), keys.size(2), values.size(2) // 3
        self.tile = tile(*self.sizes)

    def forward(
        self,
        t: int,
        look: int,
        products: Tensor,
        columns: Tensor,
        inputs: Optional[Tensor],
        bias: Tensor,
        states: Tuple[Tensor, Tensor],
        attention: Tensor,
        order: Optional[Tensor] = None,
        updates: bool = True,
    ) -> None:
        """Launches :func:`~fairseq_bahdanau.fused.triton_kernels.step_forward`; ``states`` are before and after."""
        rows, steps = attention.shape[:2]
        shares = max(1, min(PROGRAMS // rows, triton.cdiv(self.sizes[2], self.tile["BLOCK"]), 4)) if updates else 1
        kernels.step_forward[rows, shares](
            products, columns, bias if inputs is None else inputs, bias, *states, *self.tensors,
            self.tensors[3] if order is None else order, attention, t, look, rows, steps, *self.sizes,
            HAS_INPUTS=inputs is not None, HAS_ORDER=order is not None, UPDATES=updates, **self.tile,
        )  # fmt: skip

    def backward(self, t: int, look: int, kept: Tuple[Tensor, ...], back: "Back", updates: bool = True) -> None:
        """Launches :func:`~fairseq_bahdanau.fused.triton_kernels.step_backward`; ``kept`` are columns and states."""
        columns, before = kept
        rows, steps = back.attention.shape[:2]
        kernels.step_backward[rows,](
            columns, back.gradient, before, back.by_states, *back.carried(), *self.tensors, back.attention,
            back.by_attention, back.by_scores, t, look, rows, steps, *self.sizes, UPDATES=updates, **self.tile,
        )  # fmt: skip

    def gradients(self, columns: Tensor, back: "Back", by_gates: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Returns the gradients of keys, values and v, when all steps have been gone back.

        Args:
            columns: from the step of the first look on
            by_gates: the gradient of what the looks gave the gates, ``(steps, batch, 3 * hidden_size)``; of one step
                less than looks where the last look entered none
        """
        keys, _, energy, _ = self.tensors
        rows, steps, src_len = back.attention.shape
        source, block = 16, 64
        by_keys, blocks = torch.empty_like(keys), (triton.cdiv(src_len, source), triton.cdiv(keys.size(2), block))
        by_energy = keys.new_empty(rows, blocks[0], keys.size(2), dtype=torch.float32)
        kernels.keys_backward[(rows, *blocks)](
            columns, keys, energy, back.by_scores, by_keys, by_energy, rows, steps, src_len, keys.size(2),
            columns.size(2), SOURCE=source, BLOCK=block, num_warps=4,
        )  # fmt: skip
        attention = back.attention.narrow(1, 0, by_gates.size(0)).transpose(1, 2)
        return by_keys, torch.bmm(attention, by_gates.transpose(0, 1)), by_energy.sum(dim=(0, 1)).to(keys.dtype)


class Back:
    """Holds the gradients of a loop that is gone back.

    The gradient of a state has three parts: what its readers gave, in the type of the loop; what the update gate of the
    next step let pass, which adds up from step to step and is float32; and that step's product, in the loop's type.

    Args:
        columns, attention: as the loop left them
        by_states: ``(batch, steps, hidden_size)``
        by_attention: ``(batch, steps, src_len)``
    """

    def __init__(self, columns: Tensor, attention: Tensor, by_states: Tensor, by_attention: Tensor):
        self.gradient, self.attention = torch.empty_like(columns), attention
        self.by_states, self.by_attention = by_states.contiguous(), by_attention.contiguous()
        self.by_scores = torch.empty_like(self.by_attention, dtype=torch.float32)
        rows, size = columns.size(1), by_states.size(2)
        self.product = columns.new_zeros(rows, size)
        self.carry, self.passed = columns.new_zeros(2, rows, size, dtype=torch.float32).unbind()

    def carried(self) -> Tuple[Tensor, Tensor, Tensor]:
        """Returns the second and third part, and the memory for the next second part."""
        return self.carry, self.product, self.passed

    def multiply(self, by_columns: Tensor, weight: Tensor) -> None:
        """Goes back through a step's product, once its kernel is launched."""
        self.carry, self.passed = self.passed, self.carry
        torch.mm(by_columns, weight, out=self.product)

    def by_state(self) -> Tensor:
        """Returns the gradient of s_0."""
        return (self.carry + self.product).to(self.product.dtype)


def gru_forward(t: int, products: Tensor, columns: Tensor, inputs: Tensor, bias: Tensor, states: Any) -> None:
    """Launches the kernel of this name."""
    rows, size = products.size(0), states[0].size(-1)
    kernels.gru_forward[rows, triton.cdiv(size, BLOCK)](
        products, columns, inputs, bias, *states, t, rows, inputs.size(1), products.size(1) - 3 * size, size, BLOCK=BLOCK
    )


def gru_backward(t: int, columns: Tensor, gradient: Tensor, before: Tensor, back: Back, has_readers: bool) -> None:
    """Launches the kernel of this name."""
    rows, steps, size = back.by_states.shape
    kernels.gru_backward[rows, triton.cdiv(size, BLOCK)](
        columns, gradient, before, back.by_states, *back.carried(), t, rows, steps, columns.size(2) - 4 * size, size,
        HAS_READERS=has_readers, BLOCK=BLOCK,
    )  # fmt: skip


class TritonLoop(torch.autograd.Function):
    """Takes the steps of ``FusedLoop``, whose arguments these are, but for the values, which always contain W_c.

    Energy and the first rows of ``weight`` are v and W_a here, without the factor 2.
    """

    @staticmethod
    def forward(ctx, embed_gates, state, keys, values, energy, weight, bias, first_gates, padding_mask):
        """Takes all steps."""
        (batch, tgt_len, _), size, query_dim = embed_gates.shape, state.size(1), keys.size(2)
        late, read = 0 if first_gates is None else 1, Read(keys, values, energy, padding_mask)
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
                gru_forward(0, products, columns, entered, bias, both)
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
        (batch, tgt_len, size), late, query_dim = states_gradient.shape, ctx.late, source[0].size(2)
        read, back, kept = Read(*source), Back(columns, attention, states_gradient, attention_gradient), (columns, states)
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
                gru_backward(t, columns, back.gradient, states, back, True)
            back.multiply(by_products[t], weight)
        by_gates = back.gradient.narrow(2, query_dim + size, 3 * size).narrow(0, 0, tgt_len)
        by_bias = back.gradient.narrow(2, query_dim, 4 * size).sum(dim=(0, 1))
        return (
            by_gates.transpose(0, 1), back.by_state(), *read.gradients(columns[late:], back, by_gates[late:]),
            weight_gradient(by_product, states.narrow(0, 0, tgt_len + late)), by_bias,
            by_gates[0] if late else None, None,
        )  # fmt: skip


class TritonConditionalLoop(torch.autograd.Function):
    """Takes the steps of ``FusedConditionalLoop`` as :class:`TritonLoop` does those of ``FusedLoop``."""

    @staticmethod
    def forward(ctx, embed_gates, state, keys, values, energy, first_weight, first_bias, weight, bias, padding_mask):
        """Takes all steps."""
        (batch, tgt_len, _), size, query_dim = embed_gates.shape, state.size(1), keys.size(2)
        read = Read(keys, values, energy, padding_mask)
        first_columns = state.new_empty(tgt_len, batch, 4 * size)
        columns = state.new_empty(tgt_len, batch, query_dim + 4 * size)
        first_products, products = state.new_empty(batch, 3 * size), state.new_empty(batch, query_dim + 3 * size)
        states = torch.cat([state.unsqueeze(0), state.new_empty(tgt_len, *state.shape)])
        between = state.new_empty(tgt_len, *state.shape)  # s'_t
        after, s, s_between = states[1:], states.unbind(), between.unbind()
        attention = state.new_empty(batch, tgt_len, keys.size(1))
        for t in range(tgt_len):
            torch.mm(s[t], first_weight.t(), out=first_products)
            gru_forward(t, first_products, first_columns, embed_gates, first_bias, (states, between))
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
        (batch, tgt_len, size), query_dim = states_gradient.shape, source[0].size(2)
        read, back, kept = Read(*source), Back(columns, attention, states_gradient, attention_gradient), (columns, between)
        by_first = torch.empty_like(first_columns)
        by_first_product, by_product = by_first.narrow(2, 0, 3 * size), back.gradient.narrow(2, 0, query_dim + 3 * size)
        by_first_products, by_products = by_first_product.unbind(), by_product.unbind()
        for t in reversed(range(tgt_len)):
            read.backward(t, t, kept, back)
            back.multiply(by_products[t], weight)
            gru_backward(t, first_columns, by_first, states, back, False)
            back.multiply(by_first_products[t], first_weight)
        by_gates = back.gradient.narrow(2, query_dim + size, 3 * size)
        return (
            by_first.narrow(2, size, 3 * size).transpose(0, 1), back.by_state(), *read.gradients(columns, back, by_gates),
            weight_gradient(by_first_product, states.narrow(0, 0, tgt_len)), by_first.sum(dim=(0, 1)),
            weight_gradient(by_product, between), back.gradient.narrow(2, query_dim, 4 * size).sum(dim=(0, 1)), None,
        )  # fmt: skip


def prepare(decoder: Layers, source: Source, dtype: torch.dtype) -> Tuple[Tensor, Tensor, Tensor]:
    """Makes keys, values and v in the type of the loop; the values contain W_c, and are never read on padding."""
    values = Product.apply(source.values.to(dtype), decoder.recurrence.context_gates.weight.to(dtype), None)
    return source.keys.to(dtype).contiguous(), values, decoder.attention.energy.to(dtype)


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


def unroll_conditional(
    decoder: ConditionalLayers, embed_gates: Tensor, last: State, source: Source
) -> Tuple[State, Tensor]:
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
