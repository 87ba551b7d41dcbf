"""Makes the loop of the default model one function with a gradient of its own: look, update, generate, step by step.

:func:`unroll` gives the numbers of ``BahdanauDecoder.unroll`` from fewer and larger operations. Two things differ from
what autograd does: the products that give the weights' gradients are taken once, over all steps, and the hidden layer
of the attention, ``(batch, src_len, attention_dim)``, is computed again where autograd would keep it of every step.

That layer is the dearest part beside the products. It is written as tanh(x) = 2 sigmoid(2x) - 1, since PyTorch's
sigmoid on a CPU is faster than its tanh; the -1 is the same at all positions, so the softmax does not see it.
"""

from typing import List, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..attention import Source
from ..recurrence import State
from .gradients import batched_gradients, derivatives, look_back
from .layers import Layers
from .matmul import Product

PADDING_SCORE = -30000.0  # added to a score: float16 holds the sum, and its exponential is 0 in every type


class FusedLoop(torch.autograd.Function):
    """Takes the steps, which wait for each other, from what :func:`unroll` has prepared.

    Of every step one row of ``columns`` is kept, ``query | recurrent | reset | update | new``, where ``recurrent`` is
    the state's part of ``new``. The product with the state gives the first four, that with the context the last three.

    Args:
        embed_gates: ``(batch, tgt_len, 3 * hidden_size)``
        state: s_0 ``(batch, hidden_size)``
        keys: ``(batch, src_len, attention_dim)``
        values: ``(batch, src_len, value_dim)``, what the attention averages, 0 on padding: W_c h_j, or h_j
        context_weight: W_c ``(3 * hidden_size, value_dim)`` for h_j, None where the values contain it
        weight: 2 W_a above U ``(attention_dim + 3 * hidden_size, hidden_size)``, in the order of the columns
        bias: ``(attention_dim + 4 * hidden_size,)``, of the columns
        energy: 2 v ``(attention_dim,)``
        padding_mask: ``(batch, src_len)``, True on padding

    Returns:
        states ``(batch, tgt_len, hidden_size)`` and attention ``(batch, tgt_len, src_len)``
    """

    @staticmethod
    def forward(ctx, embed_gates, state, keys, values, context_weight, weight, bias, energy, padding_mask):
        """Takes all steps; shapes as above."""
        (batch, src_len, attention_dim), tgt_len, hidden_size = keys.shape, embed_gates.size(1), state.size(1)
        columns = bias.repeat(tgt_len, batch, 1)
        columns.narrow(2, attention_dim + hidden_size, 3 * hidden_size).add_(embed_gates.transpose(0, 1))
        states = torch.cat([state.unsqueeze(0), state.new_empty(tgt_len, batch, hidden_size)])
        attention = state.new_empty(tgt_len, batch, src_len)
        padding_scores = state.new_zeros(batch, src_len).masked_fill(padding_mask, PADDING_SCORE).view(-1)
        layer, context = torch.empty_like(keys), values.new_empty(batch, 1, values.size(2))
        query, recurrent, reset, update, new = blocks(columns, attention_dim, hidden_size)
        from_state, from_context, reset_update = slices(columns, attention_dim, hidden_size)
        s, a = states.unbind(), attention.unbind()

        for t in range(tgt_len):
            # 2 W_a s_{t-1}, U s_{t-1} + b
            from_state[t].addmm_(s[t], weight.t())
            # e_tj = 2 v' sigmoid(2 (W_a s_{t-1} + U_a h_j + b_a)), a_t = softmax(e_t)
            torch.add(query[t].unsqueeze(1), keys, alpha=2, out=layer).sigmoid_()
            scores = torch.addmv(padding_scores, layer.view(-1, attention_dim), energy)
            torch.softmax(scores.view(batch, src_len), dim=1, out=a[t])
            # + W_c c_t = sum_j a_tj (W_c h_j), or by way of c_t = sum_j a_tj h_j
            if context_weight is None:
                from_context[t].unsqueeze(1).baddbmm_(a[t].unsqueeze(1), values)
            else:
                torch.bmm(a[t].unsqueeze(1), values, out=context)
                from_context[t].addmm_(context.squeeze(1), context_weight.t())
            # s_t = (1 - update) * new + update * s_{t-1}
            reset_update[t].sigmoid_()
            new[t].addcmul_(reset[t], recurrent[t]).tanh_()
            torch.lerp(new[t], s[t], update[t], out=s[t + 1])

        attention = attention.transpose(0, 1).masked_fill(padding_mask.unsqueeze(1), 0.0).contiguous()
        ctx.save_for_backward(keys, values, context_weight, weight, energy, columns, states, attention)
        return states.narrow(0, 1, tgt_len).transpose(0, 1), attention

    @staticmethod
    @once_differentiable
    def backward(ctx, states_gradient, attention_gradient):
        """Goes back from the gradients of what :meth:`forward` returns to those of what it takes, in the same order."""
        keys, values, context_weight, weight, energy, columns, states, attention = ctx.saved_tensors
        (tgt_len, batch, _), attention_dim, hidden_size = columns.shape, keys.size(2), states.size(2)
        grad_columns = derivatives(columns, states, attention_dim)
        grad_states = F.pad(states_gradient.transpose(0, 1), (0, 0, 0, 0, 1, 0))  # from s_0 on
        grad_attention = attention_gradient.transpose(0, 1).clone(memory_format=torch.contiguous_format)
        grad_averages = grad_columns.narrow(2, attention_dim + hidden_size, 3 * hidden_size)  # of sum_j a_tj values_j
        if context_weight is not None:
            grad_averages = values.new_empty(tgt_len, batch, values.size(2))
        grad_keys, grad_energy, layer = torch.zeros_like(keys), torch.zeros_like(energy), torch.empty_like(keys)
        # Every gradient through the hidden layer carries a factor v. We fold it into W_a for the recurrent part and
        # multiply the other results by it once, below.
        scaled_weight = weight.clone()
        scaled_weight.narrow(0, 0, attention_dim).mul_(energy.unsqueeze(1))
        query, _, _, update, _ = blocks(columns, attention_dim, hidden_size)
        grad_query, *_ = blocks(grad_columns, attention_dim, hidden_size)
        grad_cell = grad_columns.narrow(2, attention_dim, 4 * hidden_size).unflatten(2, (4, hidden_size)).unbind()
        from_state, from_context, _ = slices(grad_columns, attention_dim, hidden_size)
        grad_s, grad_a, grad_average = grad_states.unbind(), grad_attention.unbind(), grad_averages.unbind()
        grad_scores = []

        for t in reversed(range(tgt_len)):
            # s_t = (1 - update) * new + update * s_{t-1}
            grad_cell[t].mul_(grad_s[t + 1].unsqueeze(1))
            grad_s[t].addcmul_(grad_s[t + 1], update[t])
            # W_c c_t
            if context_weight is not None:
                torch.mm(from_context[t], context_weight, out=grad_average[t])
            grad_a[t].unsqueeze(1).baddbmm_(grad_average[t].unsqueeze(1), values.transpose(1, 2))
            # a_t = softmax(e_t): a_tj (g_j - sum_i a_ti g_i), by autograd's own function, which rounds only once
            grad_e = torch._softmax_backward_data(grad_a[t], attention.select(1, t), 1, attention.dtype)
            look_back(grad_e, query[t], keys, layer, grad_query[t], grad_keys, grad_energy)
            grad_scores.append(grad_e)
            # 2 W_a s_{t-1}, U s_{t-1} + b
            grad_s[t].addmm_(from_state[t], scaled_weight)

        grad_columns.narrow(2, 0, attention_dim).mul_(energy)
        grad_keys.mul_(2 * energy)
        grad_energy.sub_(0.5 * torch.stack(grad_scores).sum())  # the -1 of tanh: 0 but for rounding, seen in bf16
        return batched_gradients(ctx.saved_tensors, grad_columns, grad_averages, grad_s[0], grad_keys, grad_energy)


def blocks(columns: Tensor, attention_dim: int, hidden_size: int) -> List[Tuple[Tensor, ...]]:
    """Returns query, recurrent, reset, update and new, each as views ``(batch, size)`` of the steps."""
    sizes = [attention_dim] + 4 * [hidden_size]
    return [block.unbind() for block in columns.split(sizes, dim=2)]


def slices(columns: Tensor, attention_dim: int, hidden_size: int) -> List[Tuple[Tensor, ...]]:
    """Returns neighbouring blocks as views of the steps: those from the state, from the context, reset and update."""
    after = attention_dim + hidden_size
    places = ((0, after + 2 * hidden_size), (after, 3 * hidden_size), (after, 2 * hidden_size))
    return [columns.narrow(2, start, length).unbind() for start, length in places]


def unroll(decoder: Layers, embed_gates: Tensor, last: State, source: Source) -> Tuple[State, Tensor]:
    """Takes all time steps as ``BahdanauDecoder.unroll`` does, in the type of ``embed_gates``, a product's."""
    attention, recurrence, dtype = decoder.attention, decoder.recurrence, embed_gates.dtype
    annotations, context_weight = source.values.to(dtype), recurrence.context_gates.weight
    values, folded = annotations, folds(annotations.size(1), embed_gates.size(1), *context_weight.shape)
    if folded:
        values = Product.apply(annotations, context_weight.to(dtype), None)
    # One product for query and state gates. The recurrent part of new goes first, where the loop wants it.
    query_weight, state_gates = attention.query_proj.weight, recurrence.cell.state_gates
    hidden_size, attention_dim = state_gates.in_features, query_weight.size(0)
    reset_update, new = state_gates.weight.split([2 * hidden_size, hidden_size])
    weight = torch.cat([2 * query_weight, new, reset_update])
    bias = F.pad(state_gates.bias.roll(hidden_size), (attention_dim, hidden_size))
    states, weights = FusedLoop.apply(
        embed_gates,
        last.cell.to(dtype),
        source.keys.to(dtype).contiguous(),
        values.masked_fill(source.padding_mask.unsqueeze(2), 0.0),  # no context in a row that is all padding
        None if folded else context_weight.to(dtype),
        weight.to(dtype),
        bias.to(dtype),
        2 * attention.energy.to(dtype),
        source.padding_mask,
    )
    return State(states, torch.bmm(weights, annotations)), weights


def folds(src_len: int, tgt_len: int, gates: int, annotation_dim: int) -> bool:
    """Tells whether W_c is multiplied with all annotations before the loop, and not with every context within it.

    By the number of multiplications of a sentence, where those before the loop count two thirds: their matrices have
    ``src_len`` times as many rows, and the loop is shorter by an operation.
    """
    before = src_len * annotation_dim * gates + tgt_len * src_len * gates
    within = tgt_len * src_len * annotation_dim + tgt_len * annotation_dim * gates
    return 2 * before < 3 * within
