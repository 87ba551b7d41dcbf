"""Functions here make batches of fairseq out of lines of text, as fairseq-interactive does."""

from typing import Callable, Iterable, List, NamedTuple, Optional, Tuple

import torch
from fairseq import utils
from fairseq.data import Dictionary, LanguagePairDataset, data_utils
from fairseq.tasks.translation import TranslationTask
from fairseq.tokenizer import tokenize_line
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from fairseq_bahdanau.alignment.links import EOS


def line_coders(cfg: DictConfig, task: TranslationTask) -> Tuple[Callable, Callable]:
    """Makes two functions, from a line of input to pieces and back, as ``--tokenizer``, ``--bpe`` and
    ``--post-process`` ask for.

    Raises:
        ValueError: no such model of pieces
    """
    try:
        steps = [step for step in (task.build_tokenizer(cfg.tokenizer), task.build_bpe(cfg.bpe)) if step is not None]
    except (OSError, OmegaConfBaseException) as error:
        raise ValueError(f"--tokenizer or --bpe: {str(error).splitlines()[0]}") from error

    def encode_line(line: str) -> str:
        for step in steps:
            line = step.encode(line)
        return line

    def decode_line(line: str) -> str:
        line = data_utils.post_process(line, cfg.common_eval.post_process)
        for step in reversed(steps):
            line = step.decode(line)
        return line

    return encode_line, decode_line


class Sentence(NamedTuple):
    """A sentence is held as its pieces, of which ``</s>`` is the last, and as their numbers in the dictionary."""

    pieces: List[str]
    tokens: Tensor  # (len(pieces),)


def encode(name: str, line: str, dictionary: Dictionary, longest: Tuple[int, str]) -> Sentence:
    """Makes a sentence out of pieces with spaces between.

    Args:
        name: of the line, for a complaint
        longest: the greatest number of tokens, and what says so

    Raises:
        ValueError: more tokens
    """
    tokens = dictionary.encode_line(line, add_if_not_exist=False).long()
    if len(tokens) > longest[0]:
        raise ValueError(f"{name}: {len(tokens)} tokens, but {longest[1]} at most {longest[0]}")
    return Sentence([*tokenize_line(line), EOS], tokens)


def count_unknown(sentences: Iterable[Sentence], dictionary: Dictionary) -> Tuple[int, int]:
    """Counts the unknown tokens and all tokens of sentences, ``</s>`` not."""
    unknown = tokens = 0
    for sentence in sentences:
        unknown += int(sentence.tokens.eq(dictionary.unk()).sum())
        tokens += len(sentence.tokens) - 1
    return unknown, tokens


def make_batches(cfg: DictConfig, task: TranslationTask, sources: List[Sentence], targets: Optional[List[Sentence]]):
    """Yields batches of the sentences, on the device, padded on the side that ``--left-pad-source`` says."""
    dataset = LanguagePairDataset(
        [sentence.tokens for sentence in sources],
        [len(sentence.tokens) for sentence in sources],
        task.source_dictionary,
        None if targets is None else [sentence.tokens for sentence in targets],
        None if targets is None else [len(sentence.tokens) for sentence in targets],
        task.target_dictionary,
        left_pad_source=cfg.task.left_pad_source,
        shuffle=False,
        pad_to_multiple=cfg.task.required_seq_len_multiple,
    )
    batch_size = cfg.dataset.batch_size
    if batch_size is None and cfg.dataset.max_tokens is None:
        batch_size = 1  # as fairseq-interactive
    # The task would keep every data set that it has seen.
    iterator = task.get_batch_iterator(
        dataset, max_tokens=cfg.dataset.max_tokens, max_sentences=batch_size, disable_iterator_cache=True
    )
    for batch in iterator.next_epoch_itr(shuffle=False):
        yield utils.move_to_cuda(batch) if torch.cuda.is_available() and not cfg.common.cpu else batch
