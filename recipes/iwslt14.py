"""Prepares IWSLT14 German-English as fairseq's ``prepare-iwslt14.sh`` does, without Moses' Perl.

It reads the archive of the evaluation campaign, and writes ``train``, ``valid`` and ``test`` tokenised and lower-cased,
and ``reference``, the test set as it was, without markup.
"""

import argparse
import functools
import html
import io
import os
import re
from typing import Callable, Dict, Iterator, List, Tuple

from parallel import in_parallel
from tar_members import members

from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.portable.cores import cores
from fairseq_bahdanau.portable.moses import is_clean_pair, lowercase, tokenize_chunk
from fairseq_bahdanau.text import decode_lines, require_same_number_of_lines, writing

LANGUAGES = ("de", "en")
TRAINING = "de-en/train.tags.de-en.{}"
TESTS = [
    f"de-en/IWSLT14.{name}.de-en.{{}}.xml"
    for name in ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")
]
LONGEST, RATIO, LONGEST_WORD = 175, 1.5, 1000  # words, words to words, characters
EVERY = 23  # of the cleaned lines, which goes to valid
Pair = Tuple[str, str]


def training_text(lines: Iterator[str]) -> List[str]:
    """Drops the lines that describe a talk, and the marks of titles."""
    kept = (line for line in lines if not re.search("<url>|<talkid>|<keywords>", line))
    return [re.sub("</?(title|description)>", "", line) for line in kept]


def test_text(lines: Iterator[str]) -> List[str]:
    """Takes the segments out of the lines of an XML file."""
    segments = (line for line in lines if "<seg id" in line)
    return [re.sub(r'<seg id="[0-9]*">\s*|\s*</seg>\s*', "", line).replace("’", "'") for line in segments]


def read_pairs(files: Dict[str, bytes], pattern: str, extract: Callable[[Iterator[str]], List[str]]) -> List[Pair]:
    """Reads the sentences of both languages side by side.

    Args:
        files: the campaign's, by their names
        pattern: names of two of them, with ``{}`` for the language
        extract: from the lines of a file to its sentences

    Raises:
        ValueError: the numbers of sentences differ, or are 0, or a file is not UTF-8
    """
    names = [pattern.format(language) for language in LANGUAGES]
    german, english = (extract(decode_lines(io.BytesIO(files[name]), name)) for name in names)
    require_same_number_of_lines(names[0], german, names[1], english)
    if not german:
        raise ValueError(f"{names[0]} has no sentences")
    return list(zip(german, english))


def read_archive(path: str) -> Tuple[List[Pair], List[Pair]]:
    """Reads the pairs to train on, and those of the test sets.

    Raises:
        ValueError: a file of the archive is missing or of another form; begins with the archive
    """
    names = [pattern.format(language) for pattern in (TRAINING, *TESTS) for language in LANGUAGES]
    files = {name: b"".join(blocks) for name, blocks in members(path, names)}
    try:
        tests = [pair for test in TESTS for pair in read_pairs(files, test, test_text)]
        return read_pairs(files, TRAINING, training_text), tests
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def is_kept(pair: Pair) -> bool:
    """Decides whether a tokenised pair is one to train on: clean as Moses says, and without a word that is too long."""
    words = [side.split() for side in pair]
    if not is_clean_pair([len(side) for side in words], LONGEST, RATIO):
        return False
    return max(len(word) for side in words for word in side) <= LONGEST_WORD


def split_corpus(training: List[Pair], tests: List[Pair], workers: int) -> Dict[str, List[Pair]]:
    """Tokenises, cleans, lower-cases and splits: returns the pairs of ``train``, ``valid`` and ``test``."""
    tokenized = functools.partial(tokenize_chunk, list(LANGUAGES))
    # Perl collapses white space when it cleans the training text, and only there.
    collapsed = (tuple(" ".join(side.split()) for side in pair) for pair in in_parallel(tokenized, training, workers))
    kept = [lowercase_pair(pair) for pair in collapsed if is_kept(pair)]
    return {
        "train": [pair for number, pair in enumerate(kept, start=1) if number % EVERY],
        "valid": kept[EVERY - 1 :: EVERY],
        "test": list(map(lowercase_pair, in_parallel(tokenized, tests, workers))),
    }


def lowercase_pair(pair: Pair) -> Pair:
    """Lower-cases both sides."""
    return lowercase(pair[0]), lowercase(pair[1])


def write_splits(folder: str, splits: Dict[str, List[Pair]]) -> None:
    """Writes all splits, each as two files, one for each language, which appear together or not at all."""
    names = [os.path.join(folder, f"{name}.{language}") for name in splits for language in LANGUAGES]
    columns = [side for pairs in splits.values() for side in zip(*pairs)]
    with writing(*names) as files:
        for file, column in zip(files, columns):
            file.writelines(f"{line}\n" for line in column)


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--archive", required=True, metavar="FILE", help="de-en.tgz")
    parser.add_argument("--output", required=True, metavar="DIR")
    parser.add_argument("--expect", nargs=3, type=int, metavar="N",
                        help="pairs that train, valid and test must have; stops when they have not")  # fmt: skip
    parser.add_argument("--workers", type=int, default=cores(), metavar="N", help="processes (default: all cores)")
    return parser


def prepare(args: argparse.Namespace) -> None:
    """Prepares the corpus as the command line says.

    Raises:
        ValueError: what is wrong with the archive, or the numbers of pairs are not the expected ones
        OSError: a file cannot be written
    """
    if args.workers < 1:
        raise ValueError(f"--workers {args.workers}: must be 1 or more")
    training, tests = read_archive(args.archive)
    splits = split_corpus(training, tests, args.workers)
    counts = [len(pairs) for pairs in splits.values()]
    print(f"iwslt14.py: {counts[0]} train, {counts[1]} valid, {counts[2]} test pairs")
    if args.expect and args.expect != counts:
        raise ValueError(f"expected {' '.join(map(str, args.expect))} pairs of train, valid and test: {args.archive} "
                         "or sacremoses is another version; --pairs any takes them as they are")  # fmt: skip
    splits["reference"] = [(html.unescape(german), html.unescape(english)) for german, english in tests]
    os.makedirs(args.output, exist_ok=True)
    write_splits(args.output, splits)


def main() -> None:
    """Prepares the corpus as the command line says."""
    args = get_parser().parse_args()
    with complaining("iwslt14.py"):
        prepare(args)


if __name__ == "__main__":
    main()
