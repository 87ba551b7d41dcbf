"""Writes the quickstart corpus: generated English and German sentences, and the links between their words."""

import argparse
import os
from typing import NamedTuple, Set

from grammar import links, sentence
from sampler import Sampler

from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.text import write_lines

# How many of a hundred sentences of train and valid have one clause, two, and so on: they are mostly short.
CLAUSES = (56, 27, 9, 4, 2, 1, 1)
WORDS_PER_CLAUSE = 8  # about; the test set has equally many sentences of 1, 2, 3 ... clauses, up to the longest
ATTEMPTS = 2000  # to find one sentence that is new and not too long


class Line(NamedTuple):
    """A line of the corpus is one line of each of its three files."""

    en: str
    de: str
    align: str


class Corpus:
    """A corpus draws sentences, none of them twice in any split."""

    def __init__(self, seed: int, max_words: int):
        self.sampler = Sampler(seed)
        self.max_words = max_words
        self.seen_en: Set[str] = set()
        self.seen_de: Set[str] = set()

    def clauses(self, split: str) -> int:
        """Draws how many clauses the next sentence has."""
        if split == "test":
            return 1 + self.sampler.below(-(-self.max_words // WORDS_PER_CLAUSE))
        return self.sampler.pick([number for number, weight in enumerate(CLAUSES, 1) for _ in range(weight)])

    def line(self, split: str) -> Line:
        """Draws a sentence of at most ``max_words`` words on both sides, neither of which was there before.

        Raises:
            ValueError: none was found
        """
        for _ in range(ATTEMPTS):
            pair = sentence(self.sampler.sentence(self.clauses(split)))
            en, de = (" ".join(word.text for word in words) for words in pair)
            if max(map(len, pair)) <= self.max_words and en not in self.seen_en and de not in self.seen_de:
                self.seen_en.add(en)
                self.seen_de.add(de)
                return Line(en, de, " ".join(f"{i}-{j}" for i, j in links(pair)))
        raise ValueError(f"found only {len(self.seen_en)} different sentences with --max-words {self.max_words}: "
                         "give a greater one, or smaller --train, --valid and --test")  # fmt: skip


def main() -> None:
    """Writes the corpus that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, metavar="DIR", help="{train,valid,test}.{en,de,align} go there")
    parser.add_argument("--seed", type=int, default=1, help="another one gives another corpus (default: 1)")
    parser.add_argument("--train", type=int, default=20000, metavar="N", help="sentence pairs (default: 20000)")
    parser.add_argument("--valid", type=int, default=500, metavar="N", help="sentence pairs (default: 500)")
    parser.add_argument("--test", type=int, default=1000, metavar="N", help="sentence pairs (default: 1000)")
    parser.add_argument("--max-words", type=int, default=60, metavar="N", help="of a sentence (default: 60)")
    args = parser.parse_args()
    least = {"seed": 0, "train": 1, "valid": 1, "test": 1, "max_words": 3}
    for name, value in least.items():
        if getattr(args, name) < value:
            parser.error(f"--{name.replace('_', '-')} must be at least {value}, not {getattr(args, name)}")
    with complaining("generate.py"):
        # Test first: it stays the same whatever the size of the others.
        corpus = Corpus(args.seed, args.max_words)
        splits = {
            split: [corpus.line(split) for _ in range(getattr(args, split))] for split in ("test", "valid", "train")
        }
        try:
            os.makedirs(args.output, exist_ok=True)
        except OSError as error:
            raise ValueError(f"--output {args.output}: {error.strerror}") from error
        for split, lines in splits.items():
            for suffix, column in zip(Line._fields, zip(*lines)):
                write_lines(os.path.join(args.output, f"{split}.{suffix}"), column)


if __name__ == "__main__":
    main()
