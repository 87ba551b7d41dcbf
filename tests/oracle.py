"""The model's equations once more: NumPy, float64, one sentence, one word at a time, nothing shared with the package.

Reads the parameters by the names that checkpoints carry. Every function takes them as a dict of arrays, ``p``.
"""

import numpy as np


def parameters(model):
    """The model's parameters as float64 arrays."""
    return {name: tensor.detach().double().numpy() for name, tensor in model.state_dict().items()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    exponentials = np.exp(x - x.max())
    return exponentials / exponentials.sum()


def gru(from_input, from_state, state):
    """PyTorch's GRU: rows are reset, update, new; the reset gate acts after the matrix product."""
    size = len(state)
    reset = sigmoid(from_input[:size] + from_state[:size])
    update = sigmoid(from_input[size : 2 * size] + from_state[size : 2 * size])
    new = np.tanh(from_input[2 * size :] + reset * from_state[2 * size :])
    return (1 - update) * new + update * state


def encode(p, src):
    """``src``, a list of words, to annotations (src_len, 2 * hidden) and the backward state at the first word."""

    def read(words, direction):
        state, states = np.zeros(p["encoder.rnn.weight_hh_l0"].shape[1]), []
        for word in words:
            x = p["encoder.embed_tokens.weight"][word]
            from_input = p[f"encoder.rnn.weight_ih_l0{direction}"] @ x + p[f"encoder.rnn.bias_ih_l0{direction}"]
            from_state = p[f"encoder.rnn.weight_hh_l0{direction}"] @ state + p[f"encoder.rnn.bias_hh_l0{direction}"]
            state = gru(from_input, from_state, state)
            states.append(state)
        return states

    forward, backward = read(src, ""), read(src[::-1], "_reverse")[::-1]
    return np.array([np.concatenate(pair) for pair in zip(forward, backward)]), backward[0]


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


def decode(p, annotations, backward_state, prev, pool_size, order="look-update-generate", score="additive", top_k=0):
    """``prev``, the target shifted right, to logits (tgt_len, vocabulary) and attention (tgt_len, src_len).

    ``top_k`` 0 is soft attention.
    """
    s = np.tanh(p["decoder.initial_state.weight"] @ backward_state + p["decoder.initial_state.bias"])
    c = np.zeros(annotations.shape[1])

    def product(name, x):
        return p[f"decoder.recurrence.{name}.weight"] @ x + p.get(f"decoder.recurrence.{name}.bias", 0)

    def look(query):
        a = softmax(np.array([SCORES[score](p, query, h) for h in annotations]))
        a = hard(a, top_k) if top_k else a
        return a, a @ annotations

    logits, attention = [], []
    for word in prev:
        y = p["decoder.embed_tokens.weight"][word]
        if order == "look-update-generate":
            a, c = look(s)
            s = gru(product("embed_gates", y) + product("context_gates", c), product("state_gates", s), s)
        elif order == "update-look-generate":
            s = gru(product("embed_gates", y) + product("context_gates", c), product("state_gates", s), s)
            a, c = look(s)
        else:
            s = gru(product("embed_gates", y), product("state_gates", s), s)
            a, c = look(s)
            s = gru(product("context_gates", c), product("second_state_gates", s), s)
        u = (
            p["decoder.readout.state_proj.weight"] @ s
            + p["decoder.readout.state_proj.bias"]
            + p["decoder.readout.context_proj.weight"] @ c
            + p["decoder.readout.embed_proj.weight"] @ y
        )
        m = np.array([max(u[i : i + pool_size]) for i in range(0, len(u), pool_size)])
        m = p.get("decoder.factor_proj.weight", np.eye(len(m))) @ m
        logits.append(p["decoder.output_projection.weight"] @ m)
        attention.append(a)
    return np.array(logits), np.array(attention)
