"""Registers two tasks, each of which is fairseq's translation task and one thing more.

``translation_unk`` has a ``--replace-unk`` that works: fairseq's own looks up the aligned source word in an alignment
that its search leaves empty (fairseq issue 3533). ``translation_sorted_within`` makes batches as the paper does.
"""

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
from fairseq.data import BaseWrapperDataset, LanguagePairDataset
from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import Tensor


@register_task("translation_unk", dataclass=TranslationConfig)
class TranslationUnkTask(TranslationTask):
    """Gives every target word the source word that it attends to most (Luong et al. 2015, section 3.3; Jean et al.
    2015, section 3.3), so that ``--replace-unk DICTIONARY`` (or ``''`` to copy) can replace ``<unk>`` by it."""

    aligns_words = True  # so that --replace-unk is let in

    def build_generator(self, models, args, seq_gen_cls=None, extra_gen_cls_kwargs=None, prefix_allowed_tokens_fn=None):
        """Builds fairseq's generator, and notes whether ``--replace-unk`` is given.

        Raises:
            ValueError: with ``--print-alignment``, whose form of alignment ``--replace-unk`` cannot read
        """
        self.replaces = getattr(args, "replace_unk", None) is not None
        self.known = len(self.source_dictionary)
        if self.replaces and getattr(args, "print_alignment", None):
            raise ValueError(
                "--replace-unk and --print-alignment exclude each other: run fairseq-generate once for each"
            )
        return super().build_generator(models, args, seq_gen_cls, extra_gen_cls_kwargs, prefix_allowed_tokens_fn)

    def get_interactive_tokens_and_lengths(
        self, lines: List[str], encode_fn: Callable[[str], str]
    ) -> Tuple[List[Tensor], List[int]]:
        """Turns lines into tokens as fairseq does; with ``--replace-unk``, unknown words keep their spelling.

        fairseq-interactive spells a source from its tokens. So the dictionary learns the unknown words of these lines,
        in place of those of the lines before; the model does not see their numbers.
        """
        dictionary = self.source_dictionary
        for word in dictionary.symbols[self.known :]:
            del dictionary.indices[word]
        del dictionary.symbols[self.known :], dictionary.count[self.known :]
        tokens = [dictionary.encode_line(encode_fn(line), add_if_not_exist=self.replaces).long() for line in lines]
        return tokens, [len(sentence) for sentence in tokens]

    def inference_step(
        self, generator, models, sample, prefix_tokens=None, constraints=None
    ) -> List[List[Dict[str, Any]]]:
        """Searches as fairseq does; with ``--replace-unk``, also aligns every hypothesis.

        Its ``alignment`` is then a source position for each target token.
        """
        if self.replaces:
            src_tokens = sample["net_input"]["src_tokens"]
            src_tokens = src_tokens.masked_fill(src_tokens >= self.known, self.source_dictionary.unk())
            sample = {**sample, "net_input": {**sample["net_input"], "src_tokens": src_tokens}}
        hypotheses = super().inference_step(generator, models, sample, prefix_tokens, constraints)
        if self.replaces:
            for src_tokens, of_sentence in zip(sample["net_input"]["src_tokens"], hypotheses):
                for hypothesis in of_sentence:
                    hypothesis["alignment"] = self.most_attended(hypothesis["attention"], src_tokens)
        return hypotheses

    def most_attended(self, attention: Tensor, src_tokens: Tensor) -> List[int]:
        """Finds the most attended source word of every target token; ``</s>`` is none, unless there is no other.

        Args:
            attention: ``(src_len, tgt_len)``, rows in the order of ``src_tokens``
            src_tokens: ``(src_len,)``, padded

        Returns:
            positions that count the source's words from 0, without padding
        """
        is_word = src_tokens.ne(self.source_dictionary.pad())
        attention = attention[is_word]
        return attention[: max(1, attention.size(0) - 1)].argmax(dim=0).tolist()


class SortedWithin(BaseWrapperDataset):
    """Orders pairs at random, and sorts them by length within parts of so many, but not over all.

    Args:
        dataset: the pairs
        sentences: how many are sorted together
    """

    def __init__(self, dataset: LanguagePairDataset, sentences: int):
        super().__init__(dataset)
        self.sentences = sentences

    def ordered_indices(self) -> np.ndarray:
        """Returns the order in which batches are cut, ``(len(self),)``; the caller, fairseq, seeds NumPy."""
        order = np.random.permutation(len(self))
        longer = self.sizes.max(axis=1)  # of source and target, which are both padded
        parts = np.split(order, range(self.sentences, len(order), self.sentences))
        return np.concatenate([part[np.argsort(longer[part], kind="stable")] for part in parts])


@dataclass
class TranslationSortedWithinConfig(TranslationConfig):
    """Adds ``--sort-within`` to the options of fairseq's translation task."""

    sort_within: int = field(
        default=1600,
        metadata={"help": "training pairs that are sorted by length together; the paper: 20 batches of 80"},
    )


@register_task("translation_sorted_within", dataclass=TranslationSortedWithinConfig)
class TranslationSortedWithinTask(TranslationUnkTask):
    """Cuts batches from ``--sort-within`` random training pairs sorted by length (Bahdanau et al. 2014, appendix B.2),
    where fairseq sorts all of them, so that a batch is always of one length and the same company.

    Deviation: fairseq shuffles the batches anew in every epoch; the paper shuffled the corpus once.
    """

    def load_dataset(self, split, epoch=1, combine=False, **kwargs):
        """Loads a data set as fairseq does, and wraps the training set in :class:`SortedWithin`.

        Raises:
            ValueError: ``--sort-within`` less than 1
        """
        if self.cfg.sort_within < 1:
            raise ValueError(f"--sort-within must be at least 1, not {self.cfg.sort_within}")
        super().load_dataset(split, epoch, combine, **kwargs)
        if split == self.cfg.train_subset:
            self.datasets[split] = SortedWithin(self.datasets[split], self.cfg.sort_within)


from . import plugin  # noqa: E402, F401  all else that registers itself, for who begins with this module
