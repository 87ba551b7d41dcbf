"""How a system is measured: whole updates of training, searches of a forced length, peaks of memory."""

import resource
import statistics
import time
from typing import Callable, Dict, List

import torch
from fairseq.data import Dictionary
from fairseq.models import FairseqEncoderDecoderModel
from fairseq.sequence_generator import SequenceGenerator
from torch import Tensor

from fairseq_bahdanau.losses import blockwise_loss

LABEL_SMOOTHING, CLIP_NORM = 0.1, 1.0
# Source and target words of five batches of 80 captions, like Multi30k's sorted by length.
BATCHES = ((10, 9), (13, 12), (15, 14), (18, 16), (23, 21))


def random_batch(dictionary: Dictionary, sentences: int, source: int, target: int) -> Dict[str, Tensor]:
    """Sentences of random words, ``</s>`` included, longest first, the source padded left, as fairseq makes them.

    Four of five have these lengths, the others are one word shorter.
    """
    columns = {}
    for name, length in (("src_tokens", source), ("target", target)):
        words = torch.randint(dictionary.nspecial, len(dictionary), (sentences, length))
        words[:, -1] = dictionary.eos()
        words[4 * sentences // 5 :, 0] = dictionary.pad()
        columns[name] = words
    shorter = columns["target"][:, :1].eq(dictionary.pad())
    columns["target"] = torch.where(shorter, columns["target"].roll(-1, dims=1), columns["target"])
    prev = columns["target"].roll(1, dims=1)
    prev[:, 0] = dictionary.eos()
    columns["prev_output_tokens"] = prev.masked_fill(columns["target"].eq(dictionary.pad()), dictionary.pad())
    columns["src_lengths"] = columns["src_tokens"].ne(dictionary.pad()).sum(dim=1)
    return columns


class Training:
    """Updates of a model by Adam, as fairseq makes them; without its bookkeeping, which is the same for all.

    Args:
        model: is put into training mode
        padding_idx: of the target dictionary
    """

    def __init__(self, model: FairseqEncoderDecoderModel, padding_idx: int):
        self.model = model.train()
        self.padding_idx = padding_idx
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def update(self, batch: Dict[str, Tensor]) -> None:
        """Forward, backward, clip, step."""
        logits = self.model(batch["src_tokens"], batch["src_lengths"], batch["prev_output_tokens"])[0]
        losses, _ = blockwise_loss(logits.flatten(0, 1), batch["target"].flatten(), LABEL_SMOOTHING, self.padding_idx)
        self.optimizer.zero_grad()
        losses.sum().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()


def searcher(model: FairseqEncoderDecoderModel, dictionary: Dictionary, beam: int, words: int) -> SequenceGenerator:
    """The search of fairseq (of JoeyNMT, for its model), in which every hypothesis has exactly so many words."""
    if not isinstance(model, FairseqEncoderDecoderModel):
        from joey import JoeySearch  # only here, as nobody else needs JoeyNMT installed

        return JoeySearch(model, beam, words)
    return SequenceGenerator(
        [model.eval()], dictionary, beam_size=beam, max_len_a=0, max_len_b=words, min_len=words, max_len=words + 2
    )


def seconds(work: Callable[[], None]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(works: Dict[str, Callable[[], None]], rounds: int) -> Dict[str, List[float]]:
    """Seconds of every work in every round, the works taking turns, after one call of each that does not count."""
    for work in works.values():
        work()
    times: Dict[str, List[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return times


def spread(values: List[float]) -> str:
    """Median, and in brackets the least and the greatest."""
    return f"{statistics.median(values):.4g} ({min(values):.4g} – {max(values):.4g})"


def peak_bytes() -> int:
    """The most memory that this process has had at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
