"""The loop of the default model as one function with a gradient of its own: look, update, generate, step by step.

The numbers of ``BahdanauDecoder.unroll``, from fewer and larger operations. Two things differ from what autograd does:
the products that give the weights' gradients are taken once, over all steps, and the hidden layer of the attention,
``(batch, src_len, attention_dim)``, is computed again where autograd would keep it of every step.

That layer is the dearest part beside the products. It is written as tanh(x) = 2 sigmoid(2x) - 1, since PyTorch's
sigmoid on a CPU is ten times as fast as its tanh; the -1 is the same at all positions, so the softmax does not see it.
"""

from typing import List, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .products import product

PADDING_SCORE = -30000.0  # added to a score: float16 holds the sum, and its exponential is 0 in every type


class FusedLoop(torch.autograd.Function):
    """The steps, which wait for each other; ``FusedDecoder`` prepares what they take.

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
        """All steps; shapes as above."""
        (batch, src_len, attention_dim), tgt_len, hidden_size = keys.shape, embed_gates.size(1), state.size(1)
        columns = bias.repeat(tgt_len, batch, 1)
        columns.narrow(2, attention_dim + hidden_size, 3 * hidden_size).add_(embed_gates.transpose(0, 1))
        states = torch.cat([state.unsqueeze(0), state.new_empty(tgt_len, batch, hidden_size)])
        attention = state.new_empty(tgt_len, batch, src_len)
        padding_scores = state.new_zeros(batch, src_len).masked_fill(padding_mask, PADDING_SCORE).view(-1)
        layer, context = torch.empty_like(keys), values.new_empty(batch, 1, values.size(2))
        query, recurrent, reset, update, new = blocks(columns, attention_dim, hidden_size)
        from_state, from_context, reset_update = runs(columns, attention_dim, hidden_size)
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
        """From the gradients of what :meth:`forward` returns to those of what it takes, in the same order."""
        keys, values, context_weight, weight, energy, columns, states, attention = ctx.saved_tensors
        (tgt_len, batch, _), attention_dim, hidden_size = columns.shape, keys.size(2), states.size(2)
        grad_columns = derivatives(columns, states, attention_dim)
        grad_states = F.pad(states_gradient.transpose(0, 1), (0, 0, 0, 0, 1, 0))  # from s_0 on
        grad_attention = attention_gradient.transpose(0, 1).clone(memory_format=torch.contiguous_format)
        grad_averages = grad_columns.narrow(2, attention_dim + hidden_size, 3 * hidden_size)  # of sum_j a_tj values_j
        if context_weight is not None:
            grad_averages = values.new_empty(tgt_len, batch, values.size(2))
        grad_keys, grad_energy, layer = torch.zeros_like(keys), torch.zeros_like(energy), torch.empty_like(keys)
        # v is a factor of all that passes the attention's layer: here it stands in W_a, after the loop in the results.
        scaled_weight = weight.clone()
        scaled_weight.narrow(0, 0, attention_dim).mul_(energy.unsqueeze(1))
        query, _, _, update, _ = blocks(columns, attention_dim, hidden_size)
        grad_query, *_ = blocks(grad_columns, attention_dim, hidden_size)
        grad_cell = grad_columns.narrow(2, attention_dim, 4 * hidden_size).unflatten(2, (4, hidden_size)).unbind()
        from_state, from_context, _ = runs(grad_columns, attention_dim, hidden_size)
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
        return products(ctx.saved_tensors, grad_columns, grad_averages, grad_s[0], grad_keys, grad_energy)


def blocks(columns: Tensor, attention_dim: int, hidden_size: int) -> List[Tuple[Tensor, ...]]:
    """Query, recurrent, reset, update and new, each as views ``(batch, size)`` of the steps."""
    sizes = [attention_dim] + 4 * [hidden_size]
    return [block.unbind() for block in columns.split(sizes, dim=2)]


def runs(columns: Tensor, attention_dim: int, hidden_size: int) -> List[Tuple[Tensor, ...]]:
    """Neighbours among the blocks: what the state gives, what the context gives, reset and update."""
    after = attention_dim + hidden_size
    places = ((0, after + 2 * hidden_size), (after, 3 * hidden_size), (after, 2 * hidden_size))
    return [columns.narrow(2, start, length).unbind() for start, length in places]


def look_back(
    grad_scores: Tensor,
    query: Tensor,
    keys: Tensor,
    layer: Tensor,
    grad_query: Tensor,
    grad_keys: Tensor,
    grad_energy: Tensor,
) -> None:
    """From the gradient of e_t back to what asked and what was asked; those of query and keys still without v.

    Args:
        grad_scores: of e_t, ``(batch, src_len)``
        query, keys: as in the loop, ``(batch, attention_dim)`` and ``(batch, src_len, attention_dim)``
        layer: memory in the shape of ``keys``
        grad_query: takes the result
        grad_keys, grad_energy: the result is added to these
    """
    # e_tj = 2 v' sigmoid(x), and sigmoid' = sigmoid - sigmoid^2
    torch.add(query.unsqueeze(1), keys, alpha=2, out=layer).sigmoid_()
    grad_energy.addmv_(layer.flatten(0, 1).t(), grad_scores.view(-1))
    layer.addcmul_(layer, layer, value=-1)
    # x = 2 W_a s_{t-1} + 2 (U_a h_j + b_a)
    torch.bmm(grad_scores.unsqueeze(1), layer, out=grad_query.unsqueeze(1))
    grad_keys.addcmul_(grad_scores.unsqueeze(2), layer)


def products(
    saved: Tuple[Tensor, ...],
    grad_columns: Tensor,
    grad_averages: Tensor,
    grad_state: Tensor,
    grad_keys: Tensor,
    grad_energy: Tensor,
) -> Tuple[Optional[Tensor], ...]:
    """What :meth:`FusedLoop.backward` returns: the gradients that are products over all steps, and those given."""
    keys, values, context_weight, _, _, columns, states, attention = saved
    attention_dim, hidden_size = keys.size(2), states.size(2)
    grad_gates = grad_columns.narrow(2, attention_dim + hidden_size, 3 * hidden_size)
    grad_values = torch.bmm(attention.transpose(1, 2), grad_averages.transpose(0, 1))
    grad_context_weight = None
    if context_weight is not None:
        contexts = torch.bmm(attention, values).transpose(0, 1)
        grad_context_weight = product(grad_gates.flatten(0, 1).t(), contexts.flatten(0, 1).t())
    from_state = grad_columns.narrow(2, 0, attention_dim + 3 * hidden_size)
    grad_weight = product(from_state.flatten(0, 1).t(), states.narrow(0, 0, len(columns)).flatten(0, 1).t())
    grad_bias = grad_columns.sum(dim=(0, 1))
    return (
        grad_gates.transpose(0, 1), grad_state, grad_keys, grad_values, grad_context_weight, grad_weight, grad_bias,
        grad_energy, None,
    )  # fmt: skip


def derivatives(columns: Tensor, states: Tensor, attention_dim: int) -> Tensor:
    """The derivative of s_t by each column before its activation, all else being fixed, of all steps at once.

    Args:
        columns: ``(tgt_len, batch, attention_dim + 4 * hidden_size)``
        states: ``(tgt_len + 1, batch, hidden_size)``, from s_0 on

    Returns:
        in the shape of ``columns``, those of the query not filled in
    """
    result, sizes = torch.empty_like(columns), [attention_dim] + 4 * [states.size(2)]
    _, recurrent, reset, update, new = columns.split(sizes, dim=2)
    _, by_recurrent, by_reset, by_update, by_new = result.split(sizes, dim=2)
    # s_t = (1 - update) * new + update * s_{t-1}, new = tanh(x + reset * recurrent), and tanh' = 1 - tanh^2
    torch.mul(1 - update, 1 - new * new, out=by_new)
    torch.mul(by_new, reset, out=by_recurrent)
    # sigmoid' = sigmoid (1 - sigmoid)
    torch.mul(by_recurrent * recurrent, 1 - reset, out=by_reset)
    torch.mul(update * (1 - update), states.narrow(0, 0, len(columns)) - new, out=by_update)
    return result
