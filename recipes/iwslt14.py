"""Prepares IWSLT14 German-English as fairseq's ``prepare-iwslt14.sh`` does, but by sacremoses in place of Moses' Perl.

It reads the archive of the evaluation campaign, and writes ``train``, ``valid`` and ``test`` tokenised and lower-cased,
and ``reference``, the test set as it was, without markup.
"""

import argparse
import functools
import html
import os
import re
import sys
import tarfile
from typing import Callable, Dict, Iterator, List, Tuple

import without_fairseq  # noqa: F401
from moses import is_clean_pair, tokenize_chunk
from parallel import cores, in_parallel

from fairseq_bahdanau.text import decode_lines, require_same_number_of_lines, writing

LANGUAGES = ("de", "en")
TESTS = ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")
LONGEST, RATIO, LONGEST_WORD = 175, 1.5, 1000  # words, words to words, characters
EVERY = 23  # of the cleaned lines, which goes to valid
Pair = Tuple[str, str]


def member_lines(archive: tarfile.TarFile, name: str) -> Iterator[str]:
    """Reads the lines of a file of the archive.

    Raises:
        SystemExit: it is not there
        ValueError: it is not UTF-8
    """
    try:
        file = archive.extractfile(f"de-en/{name}")
    except KeyError:
        sys.exit(f"iwslt14.py: {archive.name} has no file de-en/{name}")
    return decode_lines(file, f"de-en/{name}")


def training_text(lines: Iterator[str]) -> List[str]:
    """Drops the lines that describe a talk, and the marks of titles."""
    kept = (line for line in lines if not re.search("<url>|<talkid>|<keywords>", line))
    return [re.sub("</?(title|description)>", "", line) for line in kept]


def test_text(lines: Iterator[str]) -> List[str]:
    """Takes the segments out of the lines of an XML file."""
    segments = (line for line in lines if "<seg id" in line)
    return [re.sub(r'<seg id="[0-9]*">\s*|\s*</seg>\s*', "", line).replace("’", "'") for line in segments]


def read_pairs(archive: tarfile.TarFile, pattern: str, extract: Callable[[Iterator[str]], List[str]]) -> List[Pair]:
    """Reads the sentences of both languages side by side.

    Args:
        archive: the campaign's
        pattern: names of its files, with ``{}`` for the language
        extract: from the lines of a file to its sentences

    Raises:
        SystemExit: a file is not there
        ValueError: the numbers of sentences differ, or a file is not UTF-8
    """
    names = [pattern.format(language) for language in LANGUAGES]
    german, english = (extract(member_lines(archive, name)) for name in names)
    require_same_number_of_lines(names[0], german, names[1], english)
    return list(zip(german, english))


def is_kept(pair: Pair) -> bool:
    """Decides whether a tokenised pair is one to train on: clean as Moses says, and without a word that is too long."""
    words = [side.split() for side in pair]
    if not is_clean_pair([len(side) for side in words], LONGEST, RATIO):
        return False
    return max(len(word) for side in words for word in side) <= LONGEST_WORD


def split_corpus(training: List[Pair], tests: List[Pair], workers: int) -> Dict[str, List[Pair]]:
    """Tokenises, cleans and splits: returns the pairs of ``train``, ``valid`` and ``test``."""
    tokenized = functools.partial(tokenize_chunk, list(LANGUAGES), True)
    # Perl collapses white space when it cleans the training text, and only there.
    collapsed = (tuple(" ".join(side.split()) for side in pair) for pair in in_parallel(tokenized, training, workers))
    kept = [pair for pair in collapsed if is_kept(pair)]
    return {
        "train": [pair for number, pair in enumerate(kept, start=1) if number % EVERY],
        "valid": kept[EVERY - 1 :: EVERY],
        "test": list(in_parallel(tokenized, tests, workers)),
    }


def write_pairs(folder: str, name: str, pairs: List[Pair]) -> None:
    """Writes a split as two files, one for each language."""
    with writing(*(os.path.join(folder, f"{name}.{language}") for language in LANGUAGES)) as files:
        for pair in pairs:
            for file, line in zip(files, pair):
                file.write(line + "\n")


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--archive", required=True, metavar="FILE", help="de-en.tgz")
    parser.add_argument("--output", required=True, metavar="DIR")
    parser.add_argument("--expect", nargs=3, type=int, metavar="N",
                        help="pairs that train, valid and test must have; stops when they have not")  # fmt: skip
    parser.add_argument("--workers", type=int, default=cores(), metavar="N", help="processes (default: all cores)")
    return parser


def main() -> None:
    """Prepares the corpus as the command line says."""
    args = get_parser().parse_args()
    try:
        with tarfile.open(args.archive) as archive:
            training = read_pairs(archive, "train.tags.de-en.{}", training_text)
            tests = [
                pair for test in TESTS for pair in read_pairs(archive, f"IWSLT14.{test}.de-en.{{}}.xml", test_text)
            ]
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        sys.exit(f"iwslt14.py: --archive {args.archive}: {error}")
    splits = split_corpus(training, tests, args.workers)
    counts = [len(pairs) for pairs in splits.values()]
    print(f"iwslt14.py: {counts[0]} train, {counts[1]} valid, {counts[2]} test pairs")
    if args.expect and args.expect != counts:
        expected = " ".join(map(str, args.expect))
        sys.exit(f"iwslt14.py: expected {expected} pairs of train, valid and test: {args.archive} or sacremoses is "
                 "another version; --pairs any takes them as they are")  # fmt: skip
    os.makedirs(args.output, exist_ok=True)
    for name, pairs in splits.items():
        write_pairs(args.output, name, pairs)
    write_pairs(args.output, "reference", [tuple(html.unescape(side) for side in pair) for pair in tests])


if __name__ == "__main__":
    main()
