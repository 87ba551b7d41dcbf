"""The model as two fixed graphs, for ``torch.export``: the encoder, and one decoder step.

Same parameters, same numbers; only what a graph cannot hold is said otherwise: fairseq's dictionaries of state become
arguments and results, and the encoder's packing becomes one pass per direction over words moved to the front.
"""

from typing import Tuple

import torch
from torch import Tensor, nn

from .model import BahdanauModel


class ExportableEncoder(nn.Module):
    """Source tokens to everything that a decoder step needs.

    Args:
        model: in evaluation mode
    """

    def __init__(self, model: BahdanauModel):
        super().__init__()
        self.encoder, self.decoder = model.encoder, model.decoder

    def read(self, embedded: Tensor, direction: str) -> Tensor:
        """One direction's states ``(batch, src_len, hidden_size)`` of ``embedded`` ``(batch, src_len, embed_dim)``."""
        rnn = self.encoder.rnn
        weights = [getattr(rnn, f"{name}_l0{direction}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        start = embedded.new_zeros(1, embedded.size(0), rnn.hidden_size)
        return torch.gru(embedded, start, weights, True, 1, 0.0, False, False, True)[0]

    def forward(self, src_tokens: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encodes ``src_tokens`` ``(batch, src_len)``, padded on either side.

        Returns:
            state s_0 ``(batch, decoder_hidden_size)``, keys ``(batch, src_len, attention_dim)``, annotations
            ``(batch, src_len, annotation_dim)``, padding mask ``(batch, src_len)``
        """
        padding_mask = src_tokens.eq(self.encoder.padding_idx)
        words_first = padding_mask.long().argsort(dim=1, stable=True)
        # Positions of the words from last to first, then of the padding: the order in which the backward state reads.
        columns = torch.arange(src_tokens.size(1), device=src_tokens.device)
        backwards = torch.where(padding_mask, -1, columns).argsort(dim=1, descending=True)
        lengths = src_tokens.size(1) - padding_mask.long().sum(dim=1)
        annotations = []
        for order, direction in ((words_first, ""), (backwards, "_reverse")):
            states = self.read(self.encoder.embed_tokens(src_tokens.gather(1, order)), direction)
            as_given = order.argsort(dim=1).unsqueeze(2).expand_as(states)
            annotations.append(states.gather(1, as_given).masked_fill(padding_mask.unsqueeze(2), 0.0))
        last = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.size(2))
        joined = torch.cat(annotations, dim=2)
        begun = self.decoder.begin({"encoder_out": [joined], "backward_state": [states.gather(1, last).squeeze(1)]})
        return begun["state"], begun["keys"], joined, padding_mask


class ExportableDecoderStep(nn.Module):
    """One step of the decoder.

    Args:
        model: in evaluation mode, without adaptive softmax
    """

    def __init__(self, model: BahdanauModel):
        super().__init__()
        self.decoder = model.decoder

    def forward(
        self, prev_output_tokens: Tensor, state: Tensor, keys: Tensor, annotations: Tensor, padding_mask: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Generates from the previous word.

        Args:
            prev_output_tokens: ``(batch, 1)``
            state, keys, annotations, padding_mask: as :class:`ExportableEncoder` returns them, ``state`` then as the
                previous step returned it

        Returns:
            logits ``(batch, vocabulary)``, attention ``(batch, src_len)``, the new state
        """
        features, attention, state = self.decoder.advance(prev_output_tokens, state, keys, annotations, padding_mask)
        return self.decoder.output_layer(features)[:, 0], attention[:, 0], state


def export(model: BahdanauModel, src_len: int) -> Tuple[torch.export.ExportedProgram, torch.export.ExportedProgram]:
    """Encoder and decoder step as exported programs, for any batch size.

    Args:
        model: is put into evaluation mode
        src_len: number of columns that the encoder takes, at least 2, since ``torch.export`` writes a recurrence out
            step by step; pad shorter sources to it. The decoder step takes any number; with
            hard attention, from --hard-attention-top-k on.

    Raises:
        ValueError: a model with adaptive softmax, whose features are not yet scores of words
    """
    if model.decoder.adaptive_softmax is not None:
        raise ValueError("a model with --adaptive-softmax-cutoff cannot be exported: its decoder ends in features")
    model.eval()
    encoder, step = ExportableEncoder(model), ExportableDecoderStep(model)
    src_tokens = torch.full(
        (3, src_len), model.encoder.dictionary.eos(), device=model.decoder.embed_tokens.weight.device
    )
    batch = torch.export.Dim("batch", min=1)
    columns = torch.export.Dim("src_len", min=max(1, model.decoder.attention.top_k))
    per_sentence, per_word = {0: batch}, {0: batch, 1: columns}
    with torch.no_grad():
        encoded = encoder(src_tokens)
        encoder_program = torch.export.export(encoder, (src_tokens,), dynamic_shapes=(per_sentence,))
        step_program = torch.export.export(
            step,
            (src_tokens[:, :1], *encoded),
            dynamic_shapes=(per_sentence, per_sentence, per_word, per_word, per_word),
        )
    return encoder_program, step_program
