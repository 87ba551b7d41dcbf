"""Two dropouts that the field uses on recurrent models of small corpora, beside the usual one of single numbers."""

import torch
from fairseq.modules.fairseq_dropout import FairseqDropout
from torch import Tensor
from torch.nn import functional as F


class WordDropout(FairseqDropout):
    """Leaves out whole words of a text: all numbers of a word's embedding together.

    Gal and Ghahramani 2016, section 4.2. Deviation, as in Sennrich and Zhang 2019, section 3.5, and their Nematus: every
    place of the text is drawn for itself, not every word of the vocabulary once for all its places, and the words that
    stay are scaled by 1 / (1 - p).
    """

    def forward(self, x: Tensor, inplace: bool = False) -> Tensor:
        """Drops rows of ``x`` ``(..., embed_dim)``, in training."""
        if self.p > 0 and (self.training or self.apply_during_inference):
            return x * F.dropout(torch.ones_like(x[..., :1]), self.p, training=True, inplace=inplace)
        return x


class LockedDropout(FairseqDropout):
    """Drops the same numbers at every place of a sentence (Gal and Ghahramani 2016, section 4.1)."""

    def forward(self, x: Tensor, inplace: bool = False) -> Tensor:
        """Drops columns of every sentence of ``x`` ``(batch, length, dim)``, in training."""
        if self.p > 0 and (self.training or self.apply_during_inference):
            return x * F.dropout(torch.ones_like(x[:, :1]), self.p, training=True, inplace=inplace)
        return x
