"""Two sorts of batches are made here: random words in given lengths, and those that fairseq makes of a real corpus."""

import itertools
import random
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

import torch
from fairseq.data import Dictionary
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import Tensor

WORDS = 9800
SENTENCES = 80
# Source and target words of five batches of captions, like Multi30k's sorted by length.
CAPTIONS = ((10, 9), (13, 12), (15, 14), (18, 16), (23, 21))
# How many batches have random lengths, and between which.
DIFFERENT, SHORTEST, LONGEST = 60, 5, 40
# What fairseq-train is given for a real corpus: --max-tokens, --seed, and its own --required-batch-size-multiple.
MAX_TOKENS, SEED, MULTIPLE, POSITIONS = 1500, 1, 8, 1024

Batch = Dict[str, Tensor]


class Corpus(NamedTuple):
    """Holds batches, and the dictionaries that their words are from."""

    source: Dictionary
    target: Dictionary
    batches: List[Batch]

    def words(self) -> int:
        """Counts the target words that are no padding."""
        return sum(int(batch["target"].ne(self.target.pad()).sum()) for batch in self.batches)


def make_dictionary(words: int) -> Dictionary:
    """Makes a dictionary of so many entries in all."""
    dictionary = Dictionary()
    for number in range(words - len(dictionary)):
        dictionary.add_symbol(f"w{number}")
    return dictionary


def random_batch(dictionary: Dictionary, sentences: int, source: int, target: int) -> Batch:
    """Makes sentences of random words, ``</s>`` included, longest first, the source padded left, as fairseq has them.

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


def of_lengths(lengths: Tuple[Tuple[int, int], ...]) -> Corpus:
    """Makes one random batch for every pair of source and target length."""
    dictionary = make_dictionary(WORDS)
    return Corpus(dictionary, dictionary, [random_batch(dictionary, SENTENCES, *pair) for pair in lengths])


def random_lengths() -> Tuple[Tuple[int, int], ...]:
    """Draws pairs of source and target length, the same at every call."""
    numbers = random.Random(SEED)
    return tuple((numbers.randint(SHORTEST, LONGEST), numbers.randint(SHORTEST, LONGEST)) for _ in range(DIFFERENT))


def of_folder(folder: Path, count: int) -> Corpus:
    """Takes the first batches of the first epoch that fairseq makes of the train split, in the order of its shuffling.

    Args:
        folder: what fairseq-preprocess wrote
        count: how many batches; all of them where the epoch has fewer
    """
    cfg = TranslationConfig(
        data=str(folder),
        train_subset="train",
        dataset_impl=None,
        required_seq_len_multiple=1,
        max_source_positions=POSITIONS,
        max_target_positions=POSITIONS,
    )
    task = TranslationTask.setup_task(cfg)
    task.load_dataset("train")
    epoch = task.get_batch_iterator(
        task.dataset("train"),
        max_tokens=MAX_TOKENS,
        max_positions=(POSITIONS, POSITIONS),
        required_batch_size_multiple=MULTIPLE,
        seed=SEED,
    ).next_epoch_itr(shuffle=True)
    batches = [{**sample["net_input"], "target": sample["target"]} for sample in itertools.islice(epoch, count)]
    return Corpus(task.source_dictionary, task.target_dictionary, batches)
