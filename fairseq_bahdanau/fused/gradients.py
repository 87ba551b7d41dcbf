"""Computes gradients of the fused code that are formulas of one step, or products over all of them.

``columns`` are what :class:`~fairseq_bahdanau.fused.loop.FusedLoop` keeps of every step.
"""

from typing import Optional, Tuple

import torch
from torch import Tensor

from .matmul import product


def look_back(
    grad_scores: Tensor,
    query: Tensor,
    keys: Tensor,
    layer: Tensor,
    grad_query: Tensor,
    grad_keys: Tensor,
    grad_energy: Tensor,
) -> None:
    """Goes back through the scores: from d e_t to d query, d keys and d v.

    The factor v of d query and d keys is applied by the caller, after the loop.

    Args:
        grad_scores: d e_t, ``(batch, src_len)``
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


def batched_gradients(
    saved: Tuple[Tensor, ...],
    grad_columns: Tensor,
    grad_averages: Tensor,
    grad_state: Tensor,
    grad_keys: Tensor,
    grad_energy: Tensor,
) -> Tuple[Optional[Tensor], ...]:
    """Computes the gradients that are products over all steps, and returns all of them as ``FusedLoop.backward`` must.

    Args:
        saved: what ``FusedLoop.forward`` has kept
        grad_columns: d columns, ``(tgt_len, batch, attention_dim + 4 * hidden_size)``
        grad_averages: d of what the attention gave, ``(tgt_len, batch, value_dim)``
        grad_state, grad_keys, grad_energy: d s_0, d keys and d 2v, returned as they are
    """
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
    """Differentiates s_t by each column before its activation, all else being fixed, for all steps at once.

    Args:
        columns: ``(tgt_len, batch, attention_dim + 4 * hidden_size)``
        states: ``(tgt_len + 1, batch, hidden_size)``, from s_0 on

    Returns:
        the derivatives, in the shape of ``columns``; those of the query are not filled in
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
