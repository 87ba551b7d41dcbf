"""Takes a step of beam search by the kernels of the loop in Triton; one function for each order.

Each function is the twin of that of ``search.py`` with its name. There, on a GPU, every step copies keys and values
for all beams. Here the beams of a sentence read them where they stand, by ``order``, and one kernel does what is
between two products: scores, softmax, the averages by the attention, of which gates and readout have parts, and the
GRU. No gradient goes back through it.
"""

from typing import Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..search import order_of
from .columns import in_columns
from .layers import ConditionalLayers, Layers
from .search import Carried, EncoderOut, Stepped, features, multiply, require_gradients, stack
from .triton_launch import Read, gru_forward


def begin(decoder: Layers, encoder_out: EncoderOut, looking: Tuple[Tensor, ...]) -> Carried:
    """Makes what a search carries: the state of every row, what the looks read, and products that no step changes.

    Args:
        decoder: whose search it is
        encoder_out: of all sentences
        looking: the weights by which the state that looks is multiplied, behind W_a
    """
    recurrence, readout = decoder.recurrence, decoder.readout
    last, source = decoder.begin(encoder_out)
    values = F.linear(source.values, torch.cat([recurrence.context_gates.weight, readout.context_proj.weight]))
    state, order = last.cell.to(values.dtype), order_of(encoder_out)
    energy, hidden_size = decoder.attention.energy.to(values.dtype), recurrence.cell.hidden_size
    carried: Carried = {
        "state": state.index_select(0, order),
        "context": last.context.to(values.dtype).index_select(0, order),
        "values": values,
        "read": Read(hidden_size, source.keys.contiguous(), values, energy, source.padding_mask),
        "readout_weight": readout.state_proj.weight.to(values.dtype),
    }
    word_weights = [recurrence.embed_gates.weight, readout.embed_proj.weight]
    stack(carried, "word", word_weights, torch.cat([recurrence.embed_gates.bias, readout.state_proj.bias]))
    stack(carried, "looking", [decoder.attention.query_proj.weight, *looking], None)
    return carried


def begin_look_update(decoder: Layers, encoder_out: EncoderOut) -> Carried:
    """Makes what a search in the default order carries."""
    gates = decoder.recurrence.cell.state_gates
    weight, bias = in_columns(gates.weight, gates.bias)
    carried = begin(decoder, encoder_out, (weight,))
    carried["context"] = None  # no step reads the last one
    carried["bias"] = bias.to(carried["values"].dtype)
    return carried


def look_update(decoder: Layers, words: Tensor, encoder_out: EncoderOut, carried: Carried) -> Stepped:
    """Takes one step as ``BahdanauDecoder.search_step`` does: look, update, generate."""
    state = carried["state"]
    gates, candidates = enter(decoder, words, carried)
    attention, from_context = look(multiply(carried, "looking", state), state, gates, encoder_out, carried)
    return generate(decoder, candidates.add_(from_context), carried), attention


def begin_update_look(decoder: Layers, encoder_out: EncoderOut) -> Carried:
    """Makes what a search in the order update, look, generate carries; its context is W_c c_{t-1}."""
    carried = begin(decoder, encoder_out, (decoder.readout.state_proj.weight,))
    weight = decoder.recurrence.context_gates.weight.to(carried["values"].dtype)
    carried["context"] = F.linear(carried["context"], weight)
    stack_gru(carried, decoder.recurrence.cell.state_gates)
    return carried


def update_look(decoder: Layers, words: Tensor, encoder_out: EncoderOut, carried: Carried) -> Stepped:
    """Takes one step as ``UpdateLookGenerateDecoder.search_step`` does: update, look, generate."""
    gates, candidates = enter(decoder, words, carried)
    carried["state"] = state = update(gates + carried["context"], carried)
    products = multiply(carried, "looking", state)
    attention, averages = look(products, state, None, encoder_out, carried, updates=False)
    carried["context"], from_context = averages.tensor_split([gates.size(1)], dim=1)
    from_state = products.narrow(1, products.size(1) - candidates.size(1), candidates.size(1))
    return features(decoder, candidates.add_(from_state).add_(from_context)), attention


def begin_conditional(decoder: ConditionalLayers, encoder_out: EncoderOut) -> Carried:
    """Makes what a search with the conditional GRU carries."""
    recurrence = decoder.recurrence
    weight, bias = in_columns(recurrence.second_cell.state_gates.weight, recurrence.second_cell.state_gates.bias)
    carried = begin(decoder, encoder_out, (weight,))
    carried["context"] = None  # no step reads the last one
    bias = bias + F.pad(recurrence.context_gates.bias, (recurrence.cell.hidden_size, 0))
    carried["bias"] = bias.to(carried["values"].dtype)
    stack_gru(carried, recurrence.cell.state_gates)
    return carried


def conditional(decoder: ConditionalLayers, words: Tensor, encoder_out: EncoderOut, carried: Carried) -> Stepped:
    """Takes one step as ``ConditionalGRUDecoder.search_step`` does: update, look, update, generate."""
    gates, candidates = enter(decoder, words, carried)
    state = update(gates, carried)
    attention, from_context = look(multiply(carried, "looking", state), state, None, encoder_out, carried)
    return generate(decoder, candidates.add_(from_context), carried), attention


def stack_gru(carried: Carried, state_gates: torch.nn.Linear) -> None:
    """Keeps U and b of the GRU that updates before the look."""
    weight, bias = in_columns(state_gates.weight, state_gates.bias)
    stack(carried, "gru", [weight], None)
    carried["gru_columns_bias"] = bias.to(carried["values"].dtype)


def enter(decoder: Layers, words: Tensor, carried: Carried) -> Tuple[Tensor, Tensor]:
    """Lets the previous word enter: its gates, contiguous as the kernels want them, and C_o E y_{t-1} + b_o."""
    require_gradients(carried)
    entered = multiply(carried, "word", decoder.embed_dropout(decoder.embed_tokens(words.squeeze(1))))
    gates, candidates = entered.tensor_split([decoder.recurrence.embed_gates.out_features], dim=1)
    return gates.contiguous(), candidates


def update(gates: Tensor, carried: Carried) -> Tensor:
    """Moves the state on by the GRU that updates before the look, ``(rows, hidden_size)``."""
    state = carried["state"]
    products, columns = multiply(carried, "gru", state), state.new_empty(1, state.size(0), 4 * state.size(1))
    before, after = state.unsqueeze(0), torch.empty_like(state).unsqueeze(0)
    arguments = 0, products, columns, gates.unsqueeze(1), carried["gru_columns_bias"], (before, after)
    gru_forward(carried["read"].launch, *arguments)
    return after.squeeze(0)


def look(
    products: Tensor,
    state: Tensor,
    gates: Optional[Tensor],
    encoder_out: EncoderOut,
    carried: Carried,
    updates: bool = True,
) -> Tuple[Tensor, Tensor]:
    """Launches the kernel that looks, and moves the carried state on.

    Args:
        products: what the state that looks was multiplied to, its query first
        state: what the GRU behind the look starts from
        gates: what the word gives that GRU; None where none enters
        encoder_out, carried: whose ``order`` and state are read
        updates: False where there is no GRU behind the look

    Returns:
        attention ``(rows, 1, src_len)``, and the averages of the values that enter no GRU
    """
    read: Read = carried["read"]
    (rows, size), (src_len, query_dim, _), values = state.shape, read.sizes, carried["values"]
    before, after = state.unsqueeze(0), torch.empty_like(state).unsqueeze(0)
    columns, attention = state.new_empty(1, rows, query_dim + 4 * size), state.new_empty(rows, 1, src_len)
    averages = state.new_empty(rows, values.size(2) - (3 * size if updates else 0))
    inputs, bias = gates if gates is None else gates.unsqueeze(1), carried.get("bias", state)
    read.forward(
        0, 0, products, columns, inputs, bias, (before, after), attention, order_of(encoder_out), averages, updates
    )
    if updates:
        carried["state"] = after.squeeze(0)
    return attention, averages


def generate(decoder: Layers, candidates: Tensor, carried: Carried) -> Tensor:
    """Adds U_o s_t to the rest of u_t, and returns the features of the next word."""
    return features(decoder, torch.addmm(candidates, carried["state"], carried["readout_weight"].t()))
