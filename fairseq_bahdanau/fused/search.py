"""Takes a step of beam search from few operations, with weights that are stacked once; one function for each order.

The formulas are those of the loops. The values contain W_c and V_o, so the average by the attention is the context's
part of gates and readout, and no step makes c_t itself. What a search carries is a dict, as in
:mod:`fairseq_bahdanau.search`; ``NAME_weight`` and ``NAME_bias`` are products that no step changes.
"""

from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..search import begin_search as carry
from ..search import follow, order_of
from .hidden import Hidden
from .layers import ConditionalLayers, Layers
from .loop import padding_scores
from .matmul import linear, packed_product

EncoderOut = Dict[str, List[Tensor]]
Carried = Dict[str, Any]
Stepped = Tuple[Tensor, Tensor]  # features (batch, 1, features) and attention (batch, 1, src_len)


def begin_look_update(decoder: Layers, encoder_out: EncoderOut) -> Carried:
    """Makes what a search in the default order carries."""
    carried, gates = begin(decoder, encoder_out), decoder.recurrence.cell.state_gates
    carried["context"] = None  # no step reads the last one
    stack(carried, "state", [gates.weight, query_weight(decoder, carried)], gates.bias)
    return carried


def look_update(decoder: Layers, words: Tensor, encoder_out: EncoderOut, carried: Carried) -> Stepped:
    """Takes one step as ``BahdanauDecoder.search_step`` does: look, update, generate."""
    state, gates_dim = carried["state"], decoder.recurrence.embed_gates.out_features
    inputs = enter(decoder, words, encoder_out, carried)
    state_gates, query = multiply(carried, "state", state).tensor_split([gates_dim], dim=1)
    attention = look(query, carried)
    inputs.view(attention.size(0), -1, inputs.size(1)).baddbmm_(attention.to(inputs.dtype), carried["values"])
    gates, candidates = inputs.tensor_split([gates_dim], dim=1)
    carried["state"] = state = update(gates, state_gates, state)
    candidates = torch.addmm(candidates, state, carried["readout_weight"].t())
    return features(decoder, candidates), attention.view(state.size(0), 1, -1)


def begin_update_look(decoder: Layers, encoder_out: EncoderOut) -> Carried:
    """Makes what a search in the order update, look, generate carries; its context is W_c c_{t-1}."""
    carried, gates, readout = begin(decoder, encoder_out), decoder.recurrence.cell.state_gates, decoder.readout
    stack(carried, "state", [gates.weight], gates.bias)
    stack(carried, "output", [readout.state_proj.weight, query_weight(decoder, carried)], None)
    carried["context"] = F.linear(carried["context"], decoder.recurrence.context_gates.weight).to(
        carried["values"].dtype
    )
    return carried


def update_look(decoder: Layers, words: Tensor, encoder_out: EncoderOut, carried: Carried) -> Stepped:
    """Takes one step as ``UpdateLookGenerateDecoder.search_step`` does: update, look, generate."""
    state, gates_dim = carried["state"], decoder.recurrence.embed_gates.out_features
    gates, candidates = enter(decoder, words, encoder_out, carried).tensor_split([gates_dim], dim=1)
    carried["state"] = state = update(gates.add_(carried["context"]), multiply(carried, "state", state), state)
    from_state, query = multiply(carried, "output", state).tensor_split([candidates.size(1)], dim=1)
    attention = look(query, carried)
    averages = torch.bmm(attention.to(gates.dtype), carried["values"]).flatten(0, 1)
    carried["context"], from_context = averages.tensor_split([gates_dim], dim=1)
    return features(decoder, candidates.add_(from_state).add_(from_context)), attention.view(state.size(0), 1, -1)


def begin_conditional(decoder: ConditionalLayers, encoder_out: EncoderOut) -> Carried:
    """Makes what a search with the conditional GRU carries."""
    carried, recurrence = begin(decoder, encoder_out), decoder.recurrence
    first, second = recurrence.cell.state_gates, recurrence.second_cell.state_gates
    carried["context"] = None  # no step reads the last one
    stack(carried, "state", [first.weight], first.bias)
    stack(carried, "between", [second.weight, query_weight(decoder, carried)], second.bias)
    bias = F.pad(recurrence.context_gates.bias, (0, decoder.readout.state_proj.out_features))
    carried["context_bias"] = bias.to(carried["values"].dtype)
    return carried


def conditional(decoder: ConditionalLayers, words: Tensor, encoder_out: EncoderOut, carried: Carried) -> Stepped:
    """Takes one step as ``ConditionalGRUDecoder.search_step`` does: update, look, update, generate."""
    state, gates_dim = carried["state"], decoder.recurrence.embed_gates.out_features
    gates, candidates = enter(decoder, words, encoder_out, carried).tensor_split([gates_dim], dim=1)
    state = update(gates, multiply(carried, "state", state), state)
    state_gates, query = multiply(carried, "between", state).tensor_split([gates_dim], dim=1)
    attention = look(query, carried)
    averages = torch.baddbmm(carried["context_bias"], attention.to(gates.dtype), carried["values"]).flatten(0, 1)
    gates, from_context = averages.tensor_split([gates_dim], dim=1)
    carried["state"] = state = update(gates, state_gates, state)
    candidates = torch.addmm(candidates.add_(from_context), state, carried["readout_weight"].t())
    return features(decoder, candidates), attention.view(state.size(0), 1, -1)


def begin(decoder: Layers, encoder_out: EncoderOut) -> Carried:
    """Makes what all orders carry: the state, the context c_0, the source, and the word's product."""
    recurrence, readout = decoder.recurrence, decoder.readout
    last, source = decoder.begin(encoder_out)
    from_context = torch.cat([recurrence.context_gates.weight, readout.context_proj.weight])
    values = linear(source.values, from_context, None).masked_fill(source.padding_mask.unsqueeze(2), 0.0)
    carried: Carried = carry(last.cell, last.context, source._replace(values=values), encoder_out)
    of_sentences = padding_scores(source.padding_mask, source.keys.dtype)
    carried["all_padding_scores"] = of_sentences.view(source.padding_mask.shape)
    word_weights = [recurrence.embed_gates.weight, readout.embed_proj.weight]
    stack(carried, "word", word_weights, torch.cat([recurrence.embed_gates.bias, readout.state_proj.bias]))
    carried["readout_weight"] = readout.state_proj.weight.to(values.dtype)
    carried["hidden"] = Hidden(source.keys)
    carried["energy"] = carried["hidden"].scaled(decoder.attention.energy.to(values.dtype))
    return carried


def query_weight(decoder: Layers, carried: Carried) -> Tensor:
    """Returns W_a, scaled as the hidden layer of this search wants it."""
    return carried["hidden"].scaled(decoder.attention.query_proj.weight)


def stack(carried: Carried, name: str, weights: List[Tensor], bias: Optional[Tensor]) -> None:
    """Makes one product of several of the same inputs; the first have the bias, in the type of the values."""
    dtype, weight = carried["values"].dtype, torch.cat(weights)
    carried[f"{name}_weight"] = weight.to(dtype)
    carried[f"{name}_bias"] = bias if bias is None else F.pad(bias, (0, weight.size(0) - bias.size(0))).to(dtype)
    carried[name + "_product"] = packed_product(
        carried[f"{name}_weight"], carried[f"{name}_bias"], carried["state"].size(0)
    )


def require_gradients(carried: Carried) -> None:
    """Raises ``RuntimeError`` where gradients are wanted, and were not when the products were stacked."""
    if torch.is_grad_enabled() and not carried["has_gradients"]:
        raise RuntimeError("a search that began without gradients gives none: begin it with them, or leave them off")


def multiply(carried: Carried, name: str, inputs: Tensor) -> Tensor:
    """Multiplies by what :func:`stack` has made."""
    inputs = inputs.to(carried["values"].dtype)
    if torch.is_grad_enabled():
        return linear(inputs, carried[f"{name}_weight"], carried[f"{name}_bias"])
    return carried[name + "_product"](inputs)


def enter(decoder: Layers, words: Tensor, encoder_out: EncoderOut, carried: Carried) -> Tensor:
    """Lets the previous word enter, once the groups are those of ``encoder_out``: its gates and C_o E y_{t-1} + b_o."""
    require_gradients(carried)
    if follow(carried, encoder_out) or "padding_scores" not in carried:
        rows = carried["all_padding_scores"].index_select(0, order_of(encoder_out))
        carried["padding_scores"] = rows.view(-1)
    return multiply(carried, "word", decoder.embed_dropout(decoder.embed_tokens(words.squeeze(1))))


def look(query: Tensor, carried: Carried) -> Tensor:
    """Computes a_t of all beams of a sentence with the same keys, ``(groups, beams, src_len)``."""
    keys, padding_mask = carried["keys"], carried["padding_mask"]
    groups, src_len, attention_dim = keys.shape
    layer = carried["hidden"].layer(query.view(groups, -1, 1, attention_dim), keys.unsqueeze(1))
    scores = torch.addmv(carried["padding_scores"], layer.view(-1, attention_dim), carried["energy"])
    return torch.softmax(scores.view(groups, -1, src_len), dim=2).masked_fill(padding_mask.unsqueeze(1), 0.0)


def update(gates: Tensor, state_gates: Tensor, state: Tensor) -> Tensor:
    """Computes s_t = (1 - update) * new + update * s_{t-1} from what enters the gates and what the state gives them."""
    hidden_size = state.size(1)
    reset_update, new = gates.tensor_split([2 * hidden_size], dim=1)
    state_reset_update, recurrent = state_gates.tensor_split([2 * hidden_size], dim=1)
    reset, renew = torch.add(reset_update, state_reset_update).sigmoid_().chunk(2, dim=1)
    return torch.lerp(torch.addcmul(new, reset, recurrent).tanh_(), state, renew)


def features(decoder: Layers, candidates: Tensor) -> Tensor:
    """Computes the features of the next word from u_t."""
    return decoder.factor_proj(decoder.readout_dropout(decoder.readout.pool(candidates))).unsqueeze(1)
