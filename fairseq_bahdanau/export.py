"""Exports the model as two fixed graphs, the encoder and one decoder step, by ``torch.export``.

Parameters and numbers are the model's; only what a graph cannot hold is said otherwise: fairseq's dictionaries of state
become arguments and results, and the encoder's packing becomes one pass per direction over words moved to the front.
"""

import copy
from typing import Tuple

import torch
from torch import Tensor, nn

from .attention import Source
from .decoder import BahdanauDecoder
from .model import BahdanauModel
from .recurrence import CELLS, State
from .rnn import EncoderLoop, OneWay


def readable(decoder: BahdanauDecoder) -> BahdanauDecoder:
    """Returns the decoder with the same layers and without the fused code.

    A graph for any machine holds none of the operations that are fast on this one.
    """
    twin = copy.copy(decoder)
    twin.fused = None
    return twin


def loop_of(rnn: nn.Module) -> EncoderLoop:
    """Returns the encoder's recurrent layers as a loop with the same parameters."""
    if isinstance(rnn, EncoderLoop):
        return rnn
    assert isinstance(rnn, nn.RNNBase)
    (cell,) = (choice.cell for choice in CELLS.values() if choice.rnn is type(rnn))
    return EncoderLoop.like(rnn, cell)


def require_scores(model: BahdanauModel) -> None:
    """Checks that the decoder ends in scores of words.

    Raises:
        ValueError: a model with adaptive softmax, whose features are not yet scores of words
    """
    if model.decoder.adaptive_softmax is not None:
        raise ValueError("a model with --adaptive-softmax-cutoff cannot be exported: its decoder ends in features")


class ExportableEncoder(nn.Module):
    """Turns source tokens into everything that a decoder step needs.

    Args:
        model: in evaluation mode
    """

    def __init__(self, model: BahdanauModel):
        super().__init__()
        self.encoder, self.decoder = model.encoder, model.decoder
        self.loop = loop_of(model.encoder.rnn)

    def read_way(self, way: OneWay, read: Tensor, order: Tensor, padding_mask: Tensor) -> Tensor:
        """Returns one direction's states ``(batch, src_len, hidden_size)`` over columns that it reads in this order."""
        gates = way.input_gates(read.gather(1, order.unsqueeze(2).expand_as(read)))
        states = torch.stack(way.run_cell(list(gates.unbind(1)), gates.size(0)), dim=1)
        as_given = order.argsort(dim=1).unsqueeze(2).expand_as(states)
        return states.gather(1, as_given).masked_fill(padding_mask.unsqueeze(2), 0.0)

    def forward(self, src_tokens: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Encodes ``src_tokens`` ``(batch, src_len)``, padded on either side.

        Returns:
            state s_0 ``(batch, state size)``, context c_0 ``(batch, annotation_dim)``, keys
            ``(batch, src_len, attention_dim)``, annotations ``(batch, src_len, annotation_dim)``, padding mask
            ``(batch, src_len)``
        """
        padding_mask = src_tokens.eq(self.encoder.padding_idx)
        # Positions of the words from first to last, and from last to first; then of the padding.
        columns = torch.arange(src_tokens.size(1), device=src_tokens.device)
        # (No two keys are equal: ONNX has no stable sort.)
        forwards = torch.where(padding_mask, columns + src_tokens.size(1), columns).argsort(dim=1)
        backwards = torch.where(padding_mask, -1, columns).argsort(dim=1, descending=True)
        read = self.encoder.embed_tokens(src_tokens)
        for ways in self.loop.layers:
            orders = zip(ways, (forwards, backwards))  # type: ignore[call-overload]  # a list of lists of layers
            read = torch.cat([self.read_way(way, read, order, padding_mask) for way, order in orders], dim=2)
        words_first = read.gather(1, forwards.unsqueeze(2).expand_as(read))
        lengths = (src_tokens.size(1) - padding_mask.long().sum(dim=1)).clamp(min=1)
        encoder_out = {
            "encoder_out": [read],
            "encoder_padding_mask": [padding_mask],
            "last_state": [self.encoder.last_state(words_first, lengths)],
        }
        state, source = self.decoder.begin(encoder_out)
        return state.cell, state.context, source.keys, source.values, source.padding_mask


class ExportableDecoderStep(nn.Module):
    """Takes one step of the decoder.

    Args:
        decoder: in evaluation mode, without adaptive softmax
    """

    def __init__(self, decoder: BahdanauDecoder):
        super().__init__()
        self.decoder = readable(decoder)

    def forward(
        self,
        prev_output_tokens: Tensor,
        state: Tensor,
        context: Tensor,
        keys: Tensor,
        annotations: Tensor,
        padding_mask: Tensor,
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """Generates the next word from the previous one.

        Args:
            prev_output_tokens: ``(batch, 1)``
            state, context, keys, annotations, padding_mask: as :class:`ExportableEncoder` returns them, ``state`` and
                ``context`` then as the previous step returned them

        Returns:
            logits ``(batch, vocabulary)``, attention ``(batch, src_len)``, the new state, the new context
        """
        last, source = State(state, context), Source(keys, annotations, padding_mask)
        features, attention, last = self.decoder.advance(prev_output_tokens, last, source)
        return self.decoder.output_layer(features[:, 0]), attention[:, 0], last.cell, last.context


def export(model: BahdanauModel, src_len: int) -> Tuple[torch.export.ExportedProgram, torch.export.ExportedProgram]:
    """Exports encoder and decoder step as programs for any batch size.

    Args:
        model: is put into evaluation mode
        src_len: number of columns that the encoder takes, at least 2, since ``torch.export`` writes a recurrence out
            step by step; pad shorter sources to it. The decoder step takes any number; with
            hard attention, from --hard-attention-top-k on.

    Raises:
        ValueError: a model with adaptive softmax, whose features are not yet scores of words
    """
    require_scores(model)
    model.eval()
    encoder, step = ExportableEncoder(model), ExportableDecoderStep(model.decoder)
    src_tokens = torch.full(
        (3, src_len), model.encoder.dictionary.eos(), device=model.decoder.embed_tokens.weight.device
    )
    batch = torch.export.Dim("batch", min=1)
    attention = model.decoder.attention
    columns = torch.export.Dim("src_len", min=max(1, attention.top_k))
    per_sentence, per_word = {0: batch}, {0: batch, 1: columns}
    with torch.no_grad():
        encoded = encoder(src_tokens)
        encoder_program = torch.export.export(encoder, (src_tokens,), dynamic_shapes=(per_sentence,))
        step_program = torch.export.export(
            step,
            (src_tokens[:, :1], *encoded),
            dynamic_shapes=(per_sentence, per_sentence, per_sentence, per_word, per_word, per_word),
        )
    return encoder_program, step_program
