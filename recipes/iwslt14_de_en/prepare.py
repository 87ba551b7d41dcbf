"""IWSLT14 German-English as fairseq's ``prepare-iwslt14.sh`` splits it, but with sacremoses in place of Moses' Perl.

Reads the archive of the evaluation campaign, and writes ``train``, ``valid`` and ``test`` tokenised and lower-cased,
and ``reference``, the test set as it was, without markup.
"""

import argparse
import functools
import html
import io
import os
import re
import sys
import tarfile
from pathlib import Path
from typing import Iterator, List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from lines import cores, in_parallel, writing
from moses import tokenize_chunk

LANGUAGES = ("de", "en")
TESTS = ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")
LONGEST, RATIO, LONGEST_WORD = 175, 1.5, 1000  # words, words to words, characters
EVERY = 23  # of the cleaned lines, which goes to valid
Pair = Tuple[str, str]


def member(archive: tarfile.TarFile, name: str) -> Iterator[str]:
    """The lines of a file of the archive, cut at ``\\n`` alone.

    Raises:
        SystemExit: it is not there
    """
    try:
        file = archive.extractfile(f"de-en/{name}")
    except KeyError:
        sys.exit(f"prepare.py: {archive.name} has no file de-en/{name}")
    return (line.rstrip("\n") for line in io.TextIOWrapper(file, encoding="utf-8", newline="\n"))


def training_text(lines: Iterator[str]) -> List[str]:
    """The lines without those that describe a talk, and without the marks of titles."""
    kept = (line for line in lines if not re.search("<url>|<talkid>|<keywords>", line))
    return [re.sub("</?(title|description)>", "", line) for line in kept]


def test_text(lines: Iterator[str]) -> List[str]:
    """The segments of an XML file."""
    segments = (line for line in lines if "<seg id" in line)
    return [re.sub(r'<seg id="[0-9]*">\s*|\s*</seg>\s*', "", line).replace("’", "'") for line in segments]


def both(archive: tarfile.TarFile, pattern: str, extract) -> List[Pair]:
    """The lines of both languages side by side.

    Raises:
        SystemExit: their numbers differ
    """
    german, english = (extract(member(archive, pattern.format(language))) for language in LANGUAGES)
    if len(german) != len(english):
        names = " and ".join(pattern.format(language) for language in LANGUAGES)
        sys.exit(f"prepare.py: {names} of {archive.name} have {len(german)} and {len(english)} lines")
    return list(zip(german, english))


def fits(pair: Pair) -> bool:
    """Whether Moses' ``clean-corpus-n.perl`` would keep the pair."""
    counts = [len(side.split()) for side in pair]
    if not 1 <= min(counts) <= max(counts) <= LONGEST or max(counts) > RATIO * min(counts):
        return False
    return max(len(word) for side in pair for word in side.split()) <= LONGEST_WORD


def write(folder: str, name: str, pairs: List[Pair]) -> None:
    """Writes the two files of a split."""
    with writing(*(os.path.join(folder, f"{name}.{language}") for language in LANGUAGES)) as files:
        for pair in pairs:
            for file, line in zip(files, pair):
                file.write(line + "\n")


def main() -> None:
    """Reads the command line and prepares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--archive", required=True, metavar="FILE", help="de-en.tgz")
    parser.add_argument("--output", required=True, metavar="DIR")
    parser.add_argument("--expect", nargs=3, type=int, metavar="N",
                        help="pairs that train, valid and test must have; stops when they have not")  # fmt: skip
    parser.add_argument("--workers", type=int, default=cores(), metavar="N", help="processes (default: all cores)")
    args = parser.parse_args()
    try:
        with tarfile.open(args.archive) as archive:
            training = both(archive, "train.tags.de-en.{}", training_text)
            tests = [pair for test in TESTS for pair in both(archive, f"IWSLT14.{test}.de-en.{{}}.xml", test_text)]
    except (OSError, tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        sys.exit(f"prepare.py: --archive {args.archive}: {error}")
    tokenized = functools.partial(tokenize_chunk, list(LANGUAGES), True)
    # Perl collapses white space when it cleans the training text, and only there.
    cleaned = [tuple(" ".join(side.split()) for side in pair) for pair in in_parallel(tokenized, training, args.workers)
               if fits(pair)]  # fmt: skip
    splits = {
        "train": [pair for number, pair in enumerate(cleaned, start=1) if number % EVERY],
        "valid": cleaned[EVERY - 1 :: EVERY],
        "test": list(in_parallel(tokenized, tests, args.workers)),
    }
    counts = [len(pairs) for pairs in splits.values()]
    print(f"prepare.py: {counts[0]} train, {counts[1]} valid, {counts[2]} test pairs")
    if args.expect and args.expect != counts:
        expected = " ".join(map(str, args.expect))
        sys.exit(f"prepare.py: expected {expected} pairs of train, valid and test: {args.archive} or sacremoses is "
                 "another version; --pairs any takes them as they are")  # fmt: skip
    os.makedirs(args.output, exist_ok=True)
    for name, pairs in splits.items():
        write(args.output, name, pairs)
    write(args.output, "reference", [tuple(html.unescape(side) for side in pair) for pair in tests])


if __name__ == "__main__":
    main()
