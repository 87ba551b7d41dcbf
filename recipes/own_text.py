"""Prepares parallel text of one's own: finds and checks its files, and writes ``train``, ``valid`` and ``test``.

Beside them it writes ``reference`` and ``valid-reference``, the texts to score against: as they were given, or
detokenised where they were given as tokens in a language whose tokenisation can be undone. A record, ``given.json``,
says which files all that was made from, so that a work folder is never taken for that of another text.
"""

import argparse
import json
import os
import re
import sys
from typing import Any, Dict, Iterator, List, Tuple

from fetch import describe

from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.portable.moses import LANGUAGES, detokenize, lowercase
from fairseq_bahdanau.text import read_lines, require_same_number_of_lines, stream_lines, stream_parallel_lines, writing

SPLITS = ("train", "valid", "test")
MANY = 0.5  # a share of lines that tells what kind of text it is
# What most lines of a text show that is of the wrong kind; None: whatever --tokenized says.
KINDS = (
    (r"@@ ", None, "is cut into pieces (@@): give it as it was before, since the recipe cuts it itself"),
    (r"▁", None, "is cut into pieces (▁): give it as it was before, since the recipe cuts it itself"),
    (r" [.?!。！？]\s*$", False, "looks tokenised (' .' at the end): --tokenized scores and translates it as such"),
    (r"\w[.?!]\s*$", True, "does not look tokenised (no space before the last '.'): leave out --tokenized"),
)
Pair = Tuple[str, str]


def warn(line: str) -> None:
    """Prints a warning on standard error."""
    print(f"own_text.py: warning: {line}", file=sys.stderr)


# ------------------------------------------------------------------------------------------------- which files


def find_file(split: str, prefix: str, language: str) -> str:
    """Finds the file of one side of a text.

    Raises:
        ValueError: there is none, or two that it may be
    """
    plain = f"{prefix}.{language}"
    found = [path for path in (plain, f"{plain}.gz") if os.path.isfile(path)]
    if not found:
        raise ValueError(f"--{split} {prefix}: there is no file {plain}, nor {plain}.gz")
    if len(found) > 1:
        raise ValueError(f"--{split} {prefix}: there are both {plain} and {plain}.gz: remove one of them")
    return found[0]


def find_files(args: argparse.Namespace) -> Dict[str, List[str]]:
    """Finds the files of both sides of every text."""
    return {split: [find_file(split, getattr(args, split), name) for name in args.languages] for split in SPLITS}


def make_record(args: argparse.Namespace, files: Dict[str, List[str]]) -> Dict[str, Any]:
    """Describes what a work folder is made from: files by path and SHA-256, and how they are treated."""
    return {
        "tokenized": args.tokenized,
        "lowercase": args.lowercase,
        "files": {
            f"{split}.{language}": {"path": os.path.abspath(path), "sha256": describe(path, "")}
            for split, of_split in files.items()
            for language, path in zip(args.languages, of_split)
        },
    }


def require_same_record(path: str, record: Dict[str, Any]) -> None:
    """Checks that the record at a path, if there is one, is of the same text. Files may have moved.

    Raises:
        ValueError: it is of another text, or treats it otherwise; or it is no record
    """
    if not os.path.isfile(path):
        return
    advice = f"name another folder by --work DIR, or remove {os.path.dirname(os.path.abspath(path))}"
    try:
        before = json.loads("\n".join(read_lines(path)))
        for option in ("tokenized", "lowercase"):
            if before[option] != record[option]:
                raise ValueError(f"{path} is of a run with{'' if before[option] else 'out'} --{option}: {advice}")
        old, new = before["files"], record["files"]
        for name in sorted({*old, *new}):
            if name not in old or name not in new:
                raise ValueError(f"{path} is of the languages {languages_of(old)}, not {languages_of(new)}: {advice}")
            if old[name]["sha256"] != new[name]["sha256"]:
                raise ValueError(f"{path} is of another text: {name} was {old[name]['path']}, SHA-256 "
                                 f"{old[name]['sha256'][:12]}, and {new[name]['path']} has "
                                 f"{new[name]['sha256'][:12]}: {advice}")  # fmt: skip
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not what own_text.py writes: {advice}") from error


def languages_of(files: Dict[str, Any]) -> str:
    """Names the languages of the files of a record."""
    return " and ".join(sorted({name.split(".", 1)[1] for name in files}))


# ------------------------------------------------------------------------------------------------- what is in them


def read_pairs(paths: List[str]) -> List[Pair]:
    """Reads a text to validate or test on, of which every line counts.

    Raises:
        ValueError: the sides have different numbers of lines, or none; or a line is blank, which mostly means that the
            sides have shifted, and which nobody could translate or score
    """
    first, second = (read_lines(path) for path in paths)
    require_same_number_of_lines(paths[0], first, paths[1], second)
    if not first:
        raise ValueError(f"{paths[0]} is empty")
    for path, lines in zip(paths, (first, second)):
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                raise ValueError(f"{path}, line {number}: blank, but every line to validate or test on needs its "
                                 "translation (remove the line from both files, if it is blank in both)")  # fmt: skip
    return list(zip(first, second))


def stream_training_pairs(paths: List[str], tests: List[Pair]) -> Iterator[Pair]:
    """Yields the pairs to train on: those without a blank side. Says afterwards how many had one, and how many are in
    the text to test on.

    Raises:
        ValueError: the sides have different numbers of lines, or no pair is left
    """
    first, second = (range(sum(1 for _ in stream_lines(path))) for path in paths)
    require_same_number_of_lines(paths[0], first, paths[1], second)
    known = [{" ".join(line.split()) for line in side} for side in zip(*tests)]
    blank = seen = 0
    for pair in stream_parallel_lines(paths):
        if not all(side.strip() for side in pair):
            blank += 1
            continue
        seen += any(" ".join(side.split()) in lines for side, lines in zip(pair, known))
        yield pair
    if blank == len(first):
        raise ValueError(f"{paths[0]} and {paths[1]} have no pair without a blank side")
    if blank:
        print(f"own_text.py: left out {blank:,} of {len(first):,} pairs to train on, which have a blank side",
              file=sys.stderr)  # fmt: skip
    if seen:
        warn(f"{seen:,} of {len(first) - blank:,} pairs to train on have a line of the test text: its scores are then "
             "not those of new text")  # fmt: skip


def doubt_kind(path: str, lines: List[str], tokenized: bool) -> None:
    """Warns where a text looks like one of another kind than it is said to be."""
    for pattern, if_tokenized, what in KINDS:
        count = sum(re.search(pattern, line) is not None for line in lines)
        if if_tokenized in (None, tokenized) and count > MANY * len(lines):
            warn(f"{path} {what}")


# ------------------------------------------------------------------------------------------------- what is written


def make_references(pairs: List[Pair], args: argparse.Namespace) -> List[tuple]:
    """Returns a text as it is scored against: tokens are undone in the languages where that can be done."""
    undone = [args.tokenized and language in LANGUAGES for language in args.languages]
    return [
        tuple(detokenize(line, name) if undo else line for line, name, undo in zip(pair, args.languages, undone))
        for pair in pairs
    ]


def prepare(args: argparse.Namespace, files: Dict[str, List[str]], record: Dict[str, Any]) -> None:
    """Writes the texts and the record of them, all or nothing.

    Raises:
        ValueError: what is wrong with a file
        OSError: a file cannot be written
    """
    valid, test = read_pairs(files["valid"]), read_pairs(files["test"])
    for path, side in zip(files["test"], zip(*test)):
        doubt_kind(path, list(side), args.tokenized)
    case = lowercase if args.lowercase else str
    texts = {
        "train": stream_training_pairs(files["train"], test),
        "valid": valid,
        "test": test,
        "reference": make_references(test, args),
        "valid-reference": make_references(valid, args),
    }
    os.makedirs(args.output, exist_ok=True)
    names = [os.path.join(args.output, f"{text}.{language}") for text in texts for language in args.languages]
    counts = []
    with writing(*names, args.record) as parts:
        for number, (text, pairs) in enumerate(texts.items()):
            counts.append(0)
            for pair in pairs:
                counts[-1] += 1
                for part, line in zip(parts[2 * number :], pair):
                    part.write(f"{line if text.endswith('reference') else case(line)}\n")
        json.dump(record, parts[-1], indent=2)
    print(f"own_text.py: {counts[0]:,} train, {counts[1]:,} valid, {counts[2]:,} test pairs")


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("command", choices=("check", "prepare"), help="check: whether the record is of these files")
    parser.add_argument("--languages", nargs=2, required=True, metavar="LANG")
    for split in SPLITS:
        parser.add_argument(f"--{split}", required=True, metavar="PREFIX", help="PREFIX.LANG or PREFIX.LANG.gz")
    parser.add_argument("--tokenized", action="store_true", help="the text is tokenised by Moses")
    parser.add_argument("--lowercase", action="store_true", help="lower-case it")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the texts go")
    parser.add_argument("--record", required=True, metavar="FILE", help="where it is written what they were made from")
    return parser


def main() -> None:
    """Prepares the text, or compares its record, as the command line says."""
    args = get_parser().parse_args()
    with complaining("own_text.py"):
        files = find_files(args)
        record = make_record(args, files)
        require_same_record(args.record, record)
        if args.command == "prepare":
            prepare(args, files, record)


if __name__ == "__main__":
    main()
