"""Reads the source layer by layer, each way by itself: on a CPU by a GRU with a gradient of its own, else by cuDNN's.

:func:`read` gives the numbers of ``nn.GRU`` with a packed sequence. On a CPU the gradient of ``nn.GRU`` multiplies the
weights' part step by step; here that product is taken once, over all steps, which cuDNN does itself. But for a packed
sequence the host must know the lengths, and so wait for the GPU, and cuDNN has fewer algorithms: there the rows are
read with their padding.
"""

from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn

from .columns import filled, in_columns
from .gradients import StepsBack
from .loop import Steps
from .matmul import Product
from .once import differentiable_once


class FusedGRU(torch.autograd.Function):
    """Reads one layer in one direction, from a state of zeros on.

    Reading backwards is reading forwards over rows whose words stand in reverse, padding remaining at the end.

    Args:
        input_gates: ``(src_len, batch, 3 * hidden_size)``: reset, update, new
        weight: ``(3 * hidden_size, hidden_size)``, in the order of the columns
        bias: ``(4 * hidden_size,)``, likewise
        reverse: which of all words, ``src_len * batch``, stands where every word stood; None to read forwards

    Returns:
        states ``(src_len, batch, hidden_size)``, where their words stood
    """

    @staticmethod
    def forward(ctx, input_gates: Tensor, weight: Tensor, bias: Tensor, reverse: Optional[Tensor]) -> Tensor:
        """Takes all steps; shapes as above."""
        columns = filled(bias, rearranged(input_gates, reverse))
        states = input_gates.new_zeros(len(input_gates) + 1, input_gates.size(1), weight.size(1))
        s = states.unbind()
        steps = Steps(columns, weight, s, s[1:])
        for t in range(len(input_gates)):
            steps.multiply(t)
            steps.move(t)
        ctx.save_for_backward(weight, columns, states, reverse)
        return rearranged(states[1:], reverse)

    @staticmethod
    @differentiable_once
    def backward(ctx, states_gradient: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Goes back from the gradient of the states to those of what :meth:`forward` takes, in the same order."""
        weight, columns, states, reverse = ctx.saved_tensors
        by_states = torch.cat([torch.zeros_like(states[:1]), rearranged(states_gradient, reverse)]).unbind()
        steps = StepsBack(columns, weight, states[:-1])
        for t in reversed(range(len(columns))):
            steps.move(t, by_states[t + 1], by_states[t])
            steps.multiply(t, by_states[t])
        return rearranged(steps.gates(), reverse), steps.weight(), steps.bias(), None


def rearranged(words: Tensor, order: Optional[Tensor]) -> Tensor:
    """Returns ``(src_len, batch, size)`` with the words in this order, ``(src_len * batch,)``; as it is for None."""
    return words if order is None else words.flatten(0, 1).index_select(0, order).view(words.shape)


def reversing(src_len: int, lengths: Tensor) -> Tensor:
    """Returns the order that turns every sentence round, of words ``(src_len, batch)`` seen as one row."""
    batch, device = lengths.size(0), lengths.device
    positions = torch.arange(src_len, device=device).unsqueeze(1)
    turned = torch.where(positions < lengths, lengths - 1 - positions, positions)
    return (turned * batch + torch.arange(batch, device=device)).flatten()


def read_way(words: Tensor, weights: List[Tensor], order: Optional[Tensor]) -> Tensor:
    """Reads one layer in one direction on a CPU.

    Args:
        words: ``(src_len, batch, size)``
        weights: ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh`` of ``nn.GRU``
        order: as ``reverse`` of :class:`FusedGRU`

    Returns:
        states ``(src_len, batch, hidden_size)``, where their words stood
    """
    input_weight, weight, input_bias, bias = weights
    return FusedGRU.apply(Product.apply(words, input_weight, input_bias), *in_columns(weight, bias), order)


def read_way_by_cudnn(words: Tensor, weights: List[Tensor], order: Optional[Tensor]) -> Tensor:
    """Reads as :func:`read_way` does, padding too, by PyTorch's operation, which is cuDNN's on a GPU."""
    # cuDNN wants the weights of a call in one piece of memory. Those of nn.GRU are one piece of all its layers, so
    # PyTorch would copy these at every call, and warn each time.
    pieces = torch.cat([weight.flatten() for weight in weights]).split([weight.numel() for weight in weights])
    compact = [piece.view_as(weight) for piece, weight in zip(pieces, weights)]
    state = words.new_zeros(1, words.size(1), weights[1].size(1))
    trains = torch.is_grad_enabled()  # not whether the model is in training: cuDNN asks what it must keep
    # With biases, of one layer, without dropout, in one direction, time first.
    states, _ = torch.gru(rearranged(words, order), state, compact, True, 1, 0.0, trains, False, False)
    return rearranged(states, order)


def read(rnn: nn.GRU, embedded: Tensor, lengths: Tensor) -> Tensor:
    """Reads the source as ``RecurrentEncoder.read`` does, by all layers of ``rnn``."""
    read_one = read_way if embedded.device.type == "cpu" else read_way_by_cudnn
    annotations, backwards = embedded.transpose(0, 1).contiguous(), reversing(embedded.size(1), lengths)
    for layer in range(rnn.num_layers):
        directions = []
        for suffix, order in (("", None), ("_reverse", backwards))[: 2 if rnn.bidirectional else 1]:
            names = [f"{name}_l{layer}{suffix}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            directions.append(read_one(annotations, [getattr(rnn, name) for name in names], order))
        annotations = torch.cat(directions, dim=2)
    return annotations.transpose(0, 1)
