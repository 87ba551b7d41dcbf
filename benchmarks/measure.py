"""A system is measured by whole updates of training and by searches of a forced length, in turns with the others."""

import time
from typing import Callable, Dict, List, NamedTuple

import torch
from batches import Batch
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from fairseq.data import Dictionary
from fairseq.models import FairseqEncoderDecoderModel
from fairseq.sequence_generator import SequenceGenerator
from torch import Tensor, nn
from torch.nn import functional as F

from fairseq_bahdanau.fused import matmul
from fairseq_bahdanau.losses import blockwise_loss

LABEL_SMOOTHING, CLIP_NORM = 0.1, 1.0
DEFAULT_THREADS = torch.get_num_threads()  # now, before it is set: one for each core, without hyperthreads


class Setting(NamedTuple):
    """Holds what a run may choose differently; what is not the default stands in the names of the tables."""

    rounds: int
    threads: int
    loss: str  # a key of LOSSES
    products: str  # best; mm: torch.mm for every product of ours
    data: str  # a folder of fairseq-preprocess, or empty: random batches

    def suffix(self, *fields: str) -> str:
        """Returns what the name of a table ends with, if its figures depend on these fields besides threads."""
        others = {
            "data": "real batches" if self.data else "",
            "loss": "" if self.loss == "blockwise" else f"{self.loss}'s loss",
            "products": "" if self.products == "best" else "torch.mm for every product of ours",
        }
        threads = "" if self.threads == DEFAULT_THREADS else f"threads: {self.threads}"
        return "".join(f", {word}" for word in (*map(others.__getitem__, fields), threads) if word)

    def apply(self) -> None:
        """Sets what PyTorch and our package read: threads, and which library our products are taken from."""
        torch.set_num_threads(self.threads)
        if self.products == "mm":
            matmul.HAS_ONEDNN = False


def blockwise(logits: Tensor, target: Tensor, padding_idx: int) -> Tensor:
    """Returns the loss of a batch, summed over its words, by our package."""
    return blockwise_loss(logits, target, LABEL_SMOOTHING, padding_idx)[0].sum()


def fairseq(logits: Tensor, target: Tensor, padding_idx: int) -> Tensor:
    """Returns the loss of a batch, summed over its words, as ``label_smoothed_cross_entropy`` computes it."""
    log_probabilities = F.log_softmax(logits, dim=-1, dtype=torch.float32)
    return label_smoothed_nll_loss(log_probabilities, target, LABEL_SMOOTHING, ignore_index=padding_idx)[0]


LOSSES: Dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {"blockwise": blockwise, "fairseq": fairseq}


class Training:
    """Updates a model by Adam, as fairseq does; without its bookkeeping, which is the same for all.

    Args:
        model: is put into training mode
        padding_idx: of the target dictionary
        loss: one of ``LOSSES``
    """

    def __init__(self, model: nn.Module, padding_idx: int, loss: str):
        self.model = model.train()
        self.padding_idx = padding_idx
        self.loss = LOSSES[loss]
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def update(self, batch: Batch) -> None:
        """Goes forward and back, divides the gradients by the number of target words, clips them, and takes a step."""
        logits = self.model(batch["src_tokens"], batch["src_lengths"], batch["prev_output_tokens"])[0]
        loss = self.loss(logits.flatten(0, 1), batch["target"].flatten(), self.padding_idx)
        self.optimizer.zero_grad()
        loss.backward()
        words = int(batch["target"].ne(self.padding_idx).sum())
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(1 / words)
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()


def searcher(model: nn.Module, dictionary: Dictionary, beam: int, words: int) -> SequenceGenerator:
    """Makes the search of fairseq (of JoeyNMT, for its model) in which every hypothesis has exactly so many words."""
    if not isinstance(model, FairseqEncoderDecoderModel):
        from joey import JoeySearch  # only here, as nobody else needs JoeyNMT installed

        return JoeySearch(model, beam, words)
    return SequenceGenerator(
        [model.eval()], dictionary, beam_size=beam, max_len_a=0, max_len_b=words, min_len=words, max_len=words + 2
    )


def seconds(work: Callable[[], None]) -> float:
    """Returns the wall-clock time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(works: Dict[str, Callable[[], None]], rounds: int) -> Dict[str, List[float]]:
    """Returns the seconds of every work in every round, in which they take turns; a first call does not count."""
    for work in works.values():
        work()
    times: Dict[str, List[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return times
