"""Makes ``--no-repeat-ngram-size`` do on a CPU what it says: fairseq's own code compares padding, and does nothing.

fairseq hands it the whole memory of a hypothesis, of which only the beginning is written, and it takes the last words
of that (fairseq issue 5206). On a GPU with fairseq's extension another function is at work, which is left alone.
"""

import math
from typing import List

import torch
from fairseq.ngram_repeat_block import NGramRepeatBlock
from torch import Tensor


def _no_repeat_ngram(
    self: NGramRepeatBlock, tokens: Tensor, lprobs: Tensor, bsz: int, beam_size: int, step: int
) -> Tensor:
    """Makes impossible every word that would complete a run of so many words which the hypothesis has already.

    Stands in for the method of that name, by which TorchScript asks for it.

    Args:
        tokens: ``(batch, max_len + 2)``, written up to ``step``, the first being no word
        lprobs: ``(batch, vocabulary)`` of the next word, changed in place
        bsz, beam_size: their product is ``batch``
        step: how many words there are

    Returns:
        ``lprobs``
    """
    rest = self.no_repeat_ngram_size - 1
    written: List[List[int]] = tokens[:, 1 : step + 1].cpu().tolist()
    for row in range(bsz * beam_size):
        words = written[row]
        banned: List[int] = []
        for start in range(len(words) - rest):
            if words[start : start + rest] == words[len(words) - rest :]:
                banned.append(words[start + rest])
        lprobs[row][torch.tensor(banned, dtype=torch.int64)] = torch.tensor(-math.inf).to(lprobs)
    return lprobs


def install() -> None:
    """Puts :func:`_no_repeat_ngram` in its place."""
    NGramRepeatBlock._no_repeat_ngram = _no_repeat_ngram
