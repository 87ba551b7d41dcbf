"""The encoder turns source words into annotations.

Bahdanau et al. 2014, section 3.2 and appendix A.2.1. Deviation: by default PyTorch's GRU, whose reset gate acts after
the matrix product.
"""

from typing import Any, Dict, List, Optional

import torch
from fairseq.data import Dictionary
from fairseq.models import FairseqEncoder
from fairseq.modules.fairseq_dropout import FairseqDropout
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .search import order_of


class RecurrentEncoder(FairseqEncoder):
    """Reads the source, its ``</s>`` included, by default in both directions.

    Padding may stand left, right or anywhere, lengths need not be sorted: the words of a row are moved to its front,
    read, and the annotations moved back, so that column j of every output belongs to column j of ``src_tokens``.

    Args:
        dictionary: of the source language
        embed_tokens: its embedding
        rnn: what reads it, an ``nn.GRU``, ``nn.LSTM``, ``nn.RNN`` or
            :class:`~fairseq_bahdanau.rnn.EncoderLoop`
        fused: a :class:`~fairseq_bahdanau.fused.Fused`, which knows the same numbers faster; None runs ``rnn`` itself
        hidden_size: size of each direction's state
        bidirectional: whether ``rnn`` reads in both directions
        embed_dropout, annotation_dropout: probabilities
        max_source_positions: longest source that is accepted, in tokens
    """

    def __init__(
        self,
        dictionary: Dictionary,
        embed_tokens: nn.Embedding,
        rnn: nn.Module,
        fused: Any,
        hidden_size: int,
        bidirectional: bool,
        embed_dropout: float,
        annotation_dropout: float,
        max_source_positions: int,
    ):
        super().__init__(dictionary)
        self.padding_idx = dictionary.pad()
        self.max_source_positions = max_source_positions
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        self.embed_tokens = embed_tokens
        self.rnn = rnn
        self.fused = fused
        self.embed_dropout = FairseqDropout(embed_dropout, module_name=RecurrentEncoder.__name__)
        self.annotation_dropout = FairseqDropout(annotation_dropout, module_name=RecurrentEncoder.__name__)

    def forward(self, src_tokens: Tensor, src_lengths: Optional[Tensor] = None) -> Dict[str, List[Tensor]]:
        """Encodes a batch.

        Args:
            src_tokens: ``(batch, src_len)``
            src_lengths: not used, fairseq passes it; the padding itself says more

        Returns:
            a dict of one-element lists (fairseq's form, which TorchScript can type):
            ``encoder_out`` the annotations h_j ``(batch, src_len, annotation_dim)``, 0 on padding, ``annotation_dim``
            being ``hidden_size`` times the number of directions;
            ``encoder_padding_mask`` ``(batch, src_len)``, True on padding;
            ``last_state`` ``(batch, hidden_size)``, the state that has read everything: the backward state at the
            first source word, or in one direction the forward state at the last
        """
        padding_mask = src_tokens.eq(self.padding_idx)
        words_first = padding_mask.long().argsort(stable=True, dim=1, descending=False)
        embedded = self.embed_dropout(self.embed_tokens(src_tokens.gather(1, words_first)))

        lengths = (src_tokens.size(1) - padding_mask.sum(dim=1)).clamp(min=1)  # a row of padding is read as one word
        annotations = self.read(embedded, lengths)
        last_state = self.last_state(annotations, lengths)

        as_given = words_first.argsort(dim=1).unsqueeze(2).expand_as(annotations)
        annotations = annotations.gather(1, as_given).masked_fill(padding_mask.unsqueeze(2), 0.0)
        return {
            "encoder_out": [self.annotation_dropout(annotations)],
            "encoder_padding_mask": [padding_mask],
            "last_state": [last_state],
        }

    def read(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Reads the source by the recurrent layers.

        Args:
            embedded: ``(batch, src_len, embed_dim)``, words first
            lengths: ``(batch,)``, at least 1

        Returns:
            annotations ``(batch, src_len, annotation_dim)``, words first, with anything in place of the padding
        """
        if not torch.jit.is_scripting():
            if self.fused is not None:
                if self.fused.reads(self.rnn, embedded):
                    return self.fused.read(self.rnn, embedded, lengths)
        # Packing wants lengths on the CPU.
        packed = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=embedded.size(1))[0]

    def last_state(self, annotations: Tensor, lengths: Tensor) -> Tensor:
        """Returns the state that has read everything, ``(batch, hidden_size)``.

        Args:
            annotations: ``(batch, src_len, annotation_dim)``, words first
            lengths: ``(batch,)``
        """
        if self.bidirectional:
            return annotations.select(1, 0).narrow(1, self.hidden_size, self.hidden_size)
        last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, self.hidden_size)
        return annotations.gather(1, last).squeeze(1)

    @torch.jit.export
    def reorder_encoder_out(self, encoder_out: Dict[str, List[Tensor]], new_order: Tensor) -> Dict[str, List[Tensor]]:
        """Picks the rows ``new_order`` ``(new_rows,)`` without a copy.

        All tensors stay, and ``order`` says which sentence of theirs every row reads (``search.py``).
        """
        reordered: Dict[str, List[Tensor]] = {}
        for name, tensors in encoder_out.items():
            reordered[name] = tensors
        reordered["order"] = [order_of(encoder_out).index_select(0, new_order)]
        return reordered

    def max_positions(self) -> int:
        """Returns the longest source that is accepted, in tokens."""
        return self.max_source_positions
