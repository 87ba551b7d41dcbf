"""The model's equations once more: NumPy, float64, one sentence, one word at a time, nothing shared with the package.

Reads the parameters by the names that checkpoints carry. Every function takes them as a dict of arrays, ``p``.
"""

from typing import NamedTuple

import numpy as np


class Member(NamedTuple):
    """A member of the family, by default that of the options' defaults; what adds parameters is seen from them."""

    cell: str = "gru"  # one of CELLS
    layers: int = 1  # of the encoder
    directions: int = 2  # of each layer
    context: str = "attention"
    order: str = "look-update-generate"
    score: str = "additive"  # one of SCORES
    top_k: int = 0  # of hard attention; 0 is soft attention
    pool_size: int = 2


def parameters(model):
    """The model's parameters as float64 arrays."""
    return {name: tensor.detach().double().numpy() for name, tensor in model.state_dict().items()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    exponentials = np.exp(x - x.max())
    return exponentials / exponentials.sum()


def gru(from_input, W, b, state):
    """PyTorch's GRU: rows are reset, update, new; the reset gate acts after the matrix product."""
    size = len(state)
    reset, update, new = range(size), range(size, 2 * size), range(2 * size, 3 * size)
    r = sigmoid(from_input[reset] + W[reset] @ state + b[reset])
    z = sigmoid(from_input[update] + W[update] @ state + b[update])
    return (1 - z) * np.tanh(from_input[new] + r * (W[new] @ state + b[new])) + z * state


def gru_reset_before(from_input, W, b, state):
    """The paper's GRU, its z being 1 - z here: the reset gate acts before the matrix product."""
    size = len(state)
    reset, update, new = range(size), range(size, 2 * size), range(2 * size, 3 * size)
    r = sigmoid(from_input[reset] + W[reset] @ state + b[reset])
    z = sigmoid(from_input[update] + W[update] @ state + b[update])
    return (1 - z) * np.tanh(from_input[new] + W[new] @ (r * state) + b[new]) + z * state


def lstm(from_input, W, b, state):
    """Rows are input, forget, new, output; a state is [shown ; memory]."""
    shown, memory = np.split(state, 2)
    i, f, new, o = np.split(from_input + W @ shown + b, 4)
    memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(new)
    return np.concatenate([sigmoid(o) * np.tanh(memory), memory])


def rnn(from_input, W, b, state):
    return np.tanh(from_input + W @ state + b)


CELLS = {"gru": gru, "gru_reset_before": gru_reset_before, "lstm": lstm, "rnn": rnn}


def encoder_weights(p, member, layer, way):
    """W and b of a layer's input, then those of its state, in one direction."""
    if member.cell == "gru_reset_before":
        parts = [f"encoder.rnn.layers.{layer}.{way}.{gates}" for gates in ("input_gates", "cell.state_gates")]
        names = [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    else:
        suffix = f"_l{layer}" + "_reverse" * way
        names = [f"encoder.rnn.{kind}{suffix}" for kind in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]
    return [p[name] for name in names]


def encode(p, src, member):
    """``src``, a list of words, to annotations (src_len, directions * hidden) and the state that has read them all."""
    read = [p["encoder.embed_tokens.weight"][word] for word in src]
    for layer in range(member.layers):
        directions = []
        for way in range(member.directions):
            W_in, b_in, W, b = encoder_weights(p, member, layer, way)
            states, state = [], np.zeros(W.shape[1] * (2 if member.cell == "lstm" else 1))
            for x in read[:: -1 if way else 1]:
                state = CELLS[member.cell](W_in @ x + b_in, W, b, state)
                states.append(state[: W.shape[1]])
            directions.append(states[:: -1 if way else 1])
        last_state = directions[-1][0 if member.directions == 2 else -1]
        read = [np.concatenate(states) for states in zip(*directions)]
    return np.array(read), last_state


def additive(p, s, h):
    return p["decoder.attention.energy"] @ np.tanh(
        p["decoder.attention.query_proj.weight"] @ s
        + p["decoder.attention.key_proj.weight"] @ h
        + p["decoder.attention.key_proj.bias"]
    )


def dot(p, s, h):
    return s @ h


def bilinear(p, s, h):
    return s @ p["decoder.attention.key_proj.weight"] @ h


SCORES = {"additive": additive, "dot": dot, "bilinear": bilinear}


def hard(a, top_k):
    kept = np.where(np.argsort(np.argsort(-a)) < top_k, a, 0)
    return kept / kept.sum()


def decode(p, annotations, last_state, prev, member):
    """``prev``, the target shifted right, to logits (tgt_len, vocabulary) and attention (tgt_len, src_len)."""
    n, e = len(p["decoder.initial_state.bias"]), len(last_state)
    c = np.zeros(annotations.shape[1])
    if member.context == "fixed":
        last_state = c = np.concatenate([annotations[-1, :e], annotations[0, e:]])
        a = np.full(len(annotations), 1 / len(annotations))
    s = np.tanh(p["decoder.initial_state.weight"] @ last_state + p["decoder.initial_state.bias"])
    if member.cell == "lstm":
        s = np.concatenate([s, np.zeros(n)])

    def product(name, x):
        return p[f"decoder.recurrence.{name}.weight"] @ x + p.get(f"decoder.recurrence.{name}.bias", 0)

    def update(name, from_input, s):
        weights = p[f"decoder.recurrence.{name}.state_gates.weight"], p[f"decoder.recurrence.{name}.state_gates.bias"]
        return CELLS[member.cell](from_input, *weights, s)

    def look(query):
        a = softmax(np.array([SCORES[member.score](p, query[:n], h) for h in annotations]))
        a = hard(a, member.top_k) if member.top_k else a
        return a, a @ annotations

    logits, attention = [], []
    for word in prev:
        y = p["decoder.embed_tokens.weight"][word]
        if member.context == "fixed":
            s = update("cell", product("embed_gates", y) + product("context_gates", c), s)
        elif member.order == "look-update-generate":
            a, c = look(s)
            s = update("cell", product("embed_gates", y) + product("context_gates", c), s)
        elif member.order == "update-look-generate":
            s = update("cell", product("embed_gates", y) + product("context_gates", c), s)
            a, c = look(s)
        else:
            s = update("cell", product("embed_gates", y), s)
            a, c = look(s)
            s = update("second_cell", product("context_gates", c), s)
        u = (
            p["decoder.readout.state_proj.weight"] @ s[:n]
            + p["decoder.readout.state_proj.bias"]
            + p["decoder.readout.context_proj.weight"] @ c
            + p["decoder.readout.embed_proj.weight"] @ y
        )
        m = np.array([max(u[i : i + member.pool_size]) for i in range(0, len(u), member.pool_size)])
        m = p.get("decoder.factor_proj.weight", np.eye(len(m))) @ m
        logits.append(p["decoder.output_projection.weight"] @ m + p.get("decoder.output_projection.bias", 0))
        attention.append(a)
    return np.array(logits), np.array(attention)
