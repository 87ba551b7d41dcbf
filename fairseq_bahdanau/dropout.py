"""Word dropout leaves whole words out of what a model reads, so that it does not learn a small corpus by heart."""

import torch
from fairseq.modules.fairseq_dropout import FairseqDropout
from torch import Tensor
from torch.nn import functional as F


class WordDropout(FairseqDropout):
    """Leaves out whole words of a text: all numbers of a word's embedding together.

    Gal and Ghahramani 2016, section 4.2; for translation Sennrich and Zhang 2019. Deviation, as in the latter's
    Nematus: every place of the text is drawn for itself, not every word of the vocabulary for all its places, and the
    words that stay are scaled by 1 / (1 - p).
    """

    def forward(self, x: Tensor, inplace: bool = False) -> Tensor:
        """Drops rows of ``x`` ``(..., embed_dim)``, in training; never in place, whatever ``inplace`` says."""
        if self.p > 0 and (self.training or self.apply_during_inference):
            return x * F.dropout(torch.ones_like(x[..., :1]), self.p, training=True)
        return x
