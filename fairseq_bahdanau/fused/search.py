"""Takes a step of beam search by the default model, from few operations and weights that are stacked once."""

from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..search import begin_search as carry
from ..search import follow
from .layers import Layers
from .loop import PADDING_SCORE
from .matmul import linear


def begin_search(decoder: Layers, encoder_out: Dict[str, List[Tensor]]) -> Dict[str, Any]:
    """Makes what a search carries from step to step, and adds what no step changes.

    Weights are stacked: one product for all that enters from the word, one for all from the state. The values contain
    W_c and V_o, and the context is None, since no step reads c_{t-1}.
    """
    recurrence, readout, attention = decoder.recurrence, decoder.readout, decoder.attention
    state, source = decoder.begin(encoder_out)
    from_context = torch.cat([recurrence.context_gates.weight, readout.context_proj.weight])
    values = F.linear(source.values, from_context).masked_fill(source.padding_mask.unsqueeze(2), 0.0)
    carried: Dict[str, Any] = carry(state.cell, None, source._replace(values=values), encoder_out)
    dtype = values.dtype
    state_gates, query_weight = recurrence.cell.state_gates, attention.query_proj.weight
    carried.update(
        word_weight=torch.cat([recurrence.embed_gates.weight, readout.embed_proj.weight]).to(dtype),
        word_bias=torch.cat([recurrence.embed_gates.bias, readout.state_proj.bias]).to(dtype),
        state_weight=torch.cat([state_gates.weight, 2 * query_weight]).to(dtype),
        state_bias=F.pad(state_gates.bias, (0, query_weight.size(0))).to(dtype),
        energy=2 * attention.energy.to(dtype),
    )
    return carried


def search_step(
    decoder: Layers,
    prev_output_tokens: Tensor,
    encoder_out: Dict[str, List[Tensor]],
    carried: Dict[str, Any],
) -> Tuple[Tensor, Tensor]:
    """Takes one step of a search as ``BahdanauDecoder.search_step`` does, from what :func:`begin_search` made.

    The formulas are those of :class:`~fairseq_bahdanau.fused.loop.FusedLoop`.
    """
    moved = follow(carried, encoder_out) or "padding_scores" not in carried
    state, keys, values, padding_mask = (carried[name] for name in ("state", "keys", "values", "padding_mask"))
    (rows, hidden_size), (groups, src_len, attention_dim) = state.shape, keys.shape
    if moved:
        scores = torch.zeros_like(padding_mask, dtype=keys.dtype).masked_fill(padding_mask, PADDING_SCORE)
        carried["padding_scores"] = scores.repeat_interleave(rows // groups, dim=0).view(-1)

    embedded = decoder.embed_dropout(decoder.embed_tokens(prev_output_tokens.squeeze(1)))
    inputs = linear(embedded.to(values.dtype), carried["word_weight"], carried["word_bias"])
    from_state = linear(state.to(values.dtype), carried["state_weight"], carried["state_bias"])
    state_gates, new_recurrent, query = from_state.split([2 * hidden_size, hidden_size, attention_dim], dim=1)
    # e_tj and a_t, of all beams of a sentence with the same keys
    layer = torch.add(query.view(groups, -1, 1, attention_dim), keys.unsqueeze(1), alpha=2).sigmoid_()
    scores = torch.addmv(carried["padding_scores"], layer.view(-1, attention_dim), carried["energy"])
    attention = torch.softmax(scores.view(groups, -1, src_len), dim=2).masked_fill(padding_mask.unsqueeze(1), 0.0)
    # W_c c_t and V_o c_t
    inputs.view(groups, -1, inputs.size(1)).baddbmm_(attention.to(values.dtype), values)
    gates, new, candidates = inputs.split([2 * hidden_size, hidden_size, inputs.size(1) - 3 * hidden_size], dim=1)
    # s_t = (1 - update) * new + update * s_{t-1}
    reset, update = torch.add(gates, state_gates).sigmoid_().chunk(2, dim=1)
    new = torch.addcmul(new, reset, new_recurrent).tanh_()
    state = torch.lerp(new, state, update)
    # u_t = U_o s_t + V_o c_t + C_o E y_{t-1} + b_o
    readout = decoder.readout.pool(torch.addmm(candidates, state, decoder.readout.state_proj.weight.t()))
    features = decoder.factor_proj(decoder.readout_dropout(readout)).unsqueeze(1)
    carried["state"] = state
    return features, attention.view(rows, 1, src_len)
