"""Makes the loop of an order with one update a function with a gradient of its own.

:func:`unroll` gives the numbers of ``BahdanauDecoder.unroll`` from fewer and larger operations. Two things differ from
what autograd does: the products that give the weights' gradients are taken once, over all steps, and the hidden layer
of the attention, ``(batch, src_len, attention_dim)``, is computed again where autograd would keep it of every step.
"""

from typing import Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..attention import Source, unseen
from ..recurrence import State
from .columns import blocks, filled, in_columns, slices
from .gradients import LooksBack, StepsBack, with_energy
from .hidden import Hidden
from .layers import Layers
from .matmul import adding_product
from .once import differentiable_once
from .prepare import Prepared, prepare


class Steps:
    """Takes steps forwards: s_t = (1 - update) * new + update * s_{t-1}, new = tanh(x + reset * (U s_{t-1} + b)).

    Args:
        columns: ``(steps, batch, query_dim + 4 * hidden_size)``, which has in it what enters from outside
        weight: ``(query_dim + 3 * hidden_size, hidden_size)``, in the order of the columns
        before: the state ``(batch, hidden_size)`` before every step
        after: memory for that after every step
    """

    def __init__(self, columns: Tensor, weight: Tensor, before: Sequence[Tensor], after: Sequence[Tensor]):
        hidden_size = weight.size(1)
        query_dim = weight.size(0) - 3 * hidden_size
        self.before, self.after = before, after
        self.query, self.recurrent, self.reset, self.renew, self.new = blocks(columns, query_dim, hidden_size)
        self.from_state, self.from_input, self.gates = slices(columns, query_dim, hidden_size)
        self.add_product = adding_product(weight, columns.size(1))

    def multiply(self, t: int) -> None:
        """Adds what the state gives to step ``t``: its query, and its part of the gates."""
        self.add_product(self.from_state[t], self.before[t])

    def move(self, t: int) -> None:
        """Computes the state after step ``t``, once all has entered the columns."""
        self.gates[t].sigmoid_()
        self.new[t].addcmul_(self.reset[t], self.recurrent[t]).tanh_()
        torch.lerp(self.new[t], self.before[t], self.renew[t], out=self.after[t])


def padding_scores(padding_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Makes what is added to all scores of a look, ``(rows * src_len,)``, so that its softmax sees no padding."""
    return torch.zeros_like(padding_mask, dtype=dtype).masked_fill(unseen(padding_mask), float("-inf")).view(-1)


class Looks:
    """Looks once a step: a_t = softmax of e_tj = v' tanh(W_a s + U_a h_j + b_a), then the average by a_t.

    Args:
        read: what it reads of the source
        padding_mask: ``(batch, src_len)``, True on padding
        steps: how many there will be
    """

    def __init__(self, read: Prepared, padding_mask: Tensor, steps: int):
        self.keys, self.values, self.context_weight, self.energy = keys, values, context_weight, _ = read
        batch, src_len, self.attention_dim = keys.shape
        self.attention = keys.new_empty(steps, batch, src_len)
        self.rows = self.attention.unbind()
        self.padding_mask, self.hidden = padding_mask, Hidden(keys)
        self.padding_scores = padding_scores(padding_mask, keys.dtype)
        self.layer, self.average = torch.empty_like(keys), values.new_empty(batch, 1, values.size(2))
        self.add_product = None if context_weight is None else adding_product(context_weight, batch)

    def look(self, t: int, query: Tensor) -> None:
        """Computes a_t of ``query``, by the scaled W_a, ``(batch, attention_dim)``."""
        layer = self.hidden.layer(query.unsqueeze(1), self.keys, out=self.layer)
        scores = torch.addmv(self.padding_scores, layer.view(-1, self.attention_dim), self.energy)
        torch.softmax(scores.view(self.padding_mask.shape), dim=1, out=self.rows[t])

    def add_average(self, t: int, gates: Tensor) -> None:
        """Adds W_c c_t to ``gates``: sum_j a_tj (W_c h_j), or by way of c_t = sum_j a_tj h_j."""
        attention = self.rows[t].unsqueeze(1)
        if self.context_weight is None and gates.device.type != "cpu":
            gates.unsqueeze(1).baddbmm_(attention, self.values)
            return
        # On a CPU MKL would write to the columns, which are no tensor of their own, one sentence after the other.
        average = torch.bmm(attention, self.values, out=self.average).squeeze(1)
        gates.add_(average) if self.add_product is None else self.add_product(gates, average)

    def masked(self) -> Tensor:
        """Returns the attention ``(batch, steps, src_len)``, 0 on padding and in a row that is all padding."""
        return self.attention.transpose(0, 1).masked_fill(self.padding_mask.unsqueeze(1), 0.0).contiguous()


class FusedLoop(torch.autograd.Function):
    """Takes the steps, which wait for each other, from what :func:`unroll` has prepared.

    Look, update, generate: every state asks before its word enters. Update, look, generate is the same loop without the
    look of s_0, in whose place c_0 enters, and with a last look of its own.

    Args:
        embed_gates: ``(batch, tgt_len, 3 * hidden_size)``
        state: s_0 ``(batch, hidden_size)``
        keys, values, context_weight, energy: as :class:`~fairseq_bahdanau.fused.prepare.Prepared` has them
        weight: the scaled W_a above U ``(attention_dim + 3 * hidden_size, hidden_size)``, in the order of the columns
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
            Looks(Prepared(keys, values, context_weight, energy), padding_mask, tgt_len),
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
        looks = LooksBack(Prepared(keys, values, context_weight, energy), attention, attention_gradient)
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
    weight = torch.cat([Hidden(prepared.keys).scaled(query_weight), weight]).to(dtype)
    bias = F.pad(bias, (query_weight.size(0), 0)).to(dtype)
    state, padding_mask = last.cell.to(dtype), source.padding_mask
    states, attention = FusedLoop.apply(embed_gates, state, *prepared, weight, bias, first_gates, padding_mask)
    return State(states, torch.bmm(attention, source.values.to(dtype))), attention
