"""Prepares the corpora of WMT14: takes files out of archives, cleans parallel text, reads test sets.

Everything streams, so that memory does not grow with the corpus.
"""

import argparse
import functools
import html
import os
import re
import unicodedata
from typing import Iterable, Iterator, List, Optional, Tuple

from parallel import in_parallel
from tar_members import members

from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.portable.cores import cores
from fairseq_bahdanau.portable.moses import detokenize, is_clean_pair, require_language, tokenize
from fairseq_bahdanau.text import part_names, stream_lines, stream_parallel_lines, write_lines, writing

KEPT_CONTROLS = "\u200c\u200d"  # they join letters in some scripts


def extract(archive: str, names: List[str], folder: str) -> None:
    """Takes members out of a tar archive into ``folder``, without their folders; those that end in .gz are unpacked.

    Those that are there already stay as they are; the others appear together or not at all.

    Raises:
        ValueError: a damaged archive, one without a member, or members that cannot be told apart without their folders
    """
    paths = {name: os.path.join(folder, re.sub(r"\.gz$", "", name.rsplit("/", 1)[-1])) for name in names}
    for name, path in paths.items():
        if os.path.basename(path) in ("", ".", "..") or list(paths.values()).count(path) > 1:
            raise ValueError(f"MEMBER {name}: {path} cannot be written, or is another member's too")
    missing = [name for name, path in paths.items() if not os.path.isfile(path)]
    # None has its name before the archive is read to its end, where damage may show.
    with part_names(*(paths[name] for name in missing)) as parts:
        for name, blocks in members(archive, missing):
            with open(parts[missing.index(name)], "wb") as file:
                file.writelines(blocks)


def normalize(line: str) -> str:
    """Removes control characters and repeated white space from a line, and resolves HTML entities."""
    line = html.unescape(line)
    if not line.isascii() or not line.isprintable():
        line = "".join(
            " " if unicodedata.category(c) in ("Cc", "Zs", "Zl", "Zp") else c
            for c in line
            if unicodedata.category(c) != "Cf" or c in KEPT_CONTROLS
        )
    return " ".join(line.split())


def clean_chunk(longest: int, ratio: float, moses: Optional[List[str]], rows: List[tuple]) -> List[Optional[tuple]]:
    """Normalises rows of lines, and tokenises them if ``moses`` names their languages; a row that is not clean by the
    limits on its words becomes None."""
    cleaned: List[Optional[tuple]] = []
    for row in rows:
        row = tuple(map(normalize, row))
        if moses and all(row):
            row = tuple(tokenize(line, language) for line, language in zip(row, moses))
        counts = [len(line.split()) for line in row]
        cleaned.append(row if is_clean_pair(counts, longest, ratio) else None)
    return cleaned


def clean(
    prefixes: List[str], languages: Tuple[str, str], output: str, longest: int, ratio: float, moses: bool, workers: int
) -> Tuple[int, int]:
    """Cleans corpora ``PREFIX.LANGUAGE`` and joins them into one.

    Returns:
        numbers of pairs read and kept

    Raises:
        ValueError: files that do not belong together, or none of their pairs is kept
    """
    rows = (row for prefix in prefixes for row in stream_parallel_lines([f"{prefix}.{lang}" for lang in languages]))
    function = functools.partial(clean_chunk, longest, ratio, list(languages) if moses else None)
    count = kept = 0
    with writing(*(f"{output}.{language}" for language in languages)) as files:
        for row in in_parallel(function, rows, workers):
            count += 1
            if row is not None:
                kept += 1
                for file, line in zip(files, row):
                    file.write(line + "\n")
        if not kept:
            raise ValueError(f"none of {count:,} pairs of {' '.join(prefixes)} is clean: --max-words {longest}, "
                             f"--max-ratio {ratio:g}")  # fmt: skip
    return count, kept


def copy(source: str, output: str, languages: Tuple[str, str]) -> None:
    """Copies a text in two languages, read as every text is, so that what is written is sure to be lines of UTF-8.

    Raises:
        ValueError: a file is missing, not UTF-8, or has more lines than the other
    """
    with writing(*(f"{output}.{language}" for language in languages)) as files:
        for row in stream_parallel_lines([f"{source}.{language}" for language in languages]):
            for file, line in zip(files, row):
                file.write(line + "\n")


def segments(sgm: Iterable[str]) -> Iterator[str]:
    """Yields the segments of a test set in the SGML of WMT, as sacrebleu reads them (entities stay as they are)."""
    for line in sgm:
        if line.startswith("<seg "):
            yield " ".join(re.sub(r"<seg.*?>(.*)</seg>.*?", r"\1", line).split())


def test_set(sgm: str, output: str, expected: int) -> None:
    """Writes the segments of an SGML file as lines.

    Raises:
        ValueError: their number is not the expected one (0: any but none will do), or one is not a line of its own
    """
    for number, line in enumerate(stream_lines(sgm), start=1):
        if "<seg" in line and not re.match(r"<seg .*</seg>", line):
            raise ValueError(f"{sgm}, line {number}: a segment must be a line of its own, from <seg to </seg>")
    found = list(segments(stream_lines(sgm)))
    if not found or expected not in (0, len(found)):
        raise ValueError(f"{sgm} has {len(found)} segments, expected {expected or 'some'}")
    write_lines(output, found)


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    extractor = commands.add_parser("extract", help="take files out of an archive")
    extractor.add_argument("--archive", required=True, metavar="FILE")
    extractor.add_argument("--output", required=True, metavar="DIR", help="where they go, without their folders")
    extractor.add_argument("members", nargs="+", metavar="MEMBER")
    cleaner = commands.add_parser("clean", help="join and clean parallel text")
    cleaner.add_argument("--languages", nargs=2, required=True, metavar="LANG")
    cleaner.add_argument("--output", required=True, metavar="PREFIX", help="PREFIX.LANG are written")
    cleaner.add_argument("--max-words", type=int, default=250, metavar="N", help="of a side (default: 250)")
    cleaner.add_argument("--max-ratio", type=float, default=4.0, metavar="X", help="of the sides (default: 4)")
    cleaner.add_argument("--moses", action="store_true", help="tokenise, and count words after that")
    cleaner.add_argument("--workers", type=int, default=cores(), metavar="N", help="processes (default: all cores)")
    cleaner.add_argument("prefixes", nargs="+", metavar="CORPUS", help="CORPUS.LANG are read")
    reader = commands.add_parser("test-set", help="read an SGML file")
    reader.add_argument("--sgm", required=True, metavar="FILE")
    reader.add_argument("--output", required=True, metavar="FILE")
    reader.add_argument("--segments", type=int, default=0, metavar="N", help="how many there must be (default: any)")
    copier = commands.add_parser("copy", help="copy parallel text, if it is UTF-8 and of one length")
    copier.add_argument("--languages", nargs=2, required=True, metavar="LANG")
    copier.add_argument("--input", required=True, metavar="PREFIX", help="PREFIX.LANG are read")
    copier.add_argument("--output", required=True, metavar="PREFIX", help="PREFIX.LANG are written")
    undoer = commands.add_parser("detokenize", help="undo Moses' tokenisation")
    undoer.add_argument("--language", required=True, metavar="LANG")
    undoer.add_argument("--input", required=True, metavar="FILE")
    undoer.add_argument("--output", required=True, metavar="FILE")
    return parser


def require_possible(args: argparse.Namespace) -> None:
    """Checks the values of options.

    Raises:
        ValueError: names the option
    """
    if args.command in ("clean", "copy") and args.languages[0] == args.languages[1]:
        raise ValueError(f"--languages {' '.join(args.languages)}: must be two")
    if args.command != "clean":
        return
    for name in ("max_words", "max_ratio", "workers"):
        if not getattr(args, name) >= 1:  # nor nan
            raise ValueError(f"--{name.replace('_', '-')} {getattr(args, name)}: must be 1 or more")
    if args.moses:
        for language in args.languages:
            require_language(language)


def prepare(args: argparse.Namespace) -> None:
    """Does what one of the commands asks.

    Raises:
        ValueError: a file that is missing, not UTF-8, or of another length than the one beside it
        OSError: a file cannot be written
    """
    require_possible(args)
    os.makedirs(args.output if args.command == "extract" else os.path.dirname(args.output) or ".", exist_ok=True)
    if args.command == "extract":
        extract(args.archive, args.members, args.output)
    elif args.command == "test-set":
        test_set(args.sgm, args.output, args.segments)
    elif args.command == "copy":
        copy(args.input, args.output, (args.languages[0], args.languages[1]))
    elif args.command == "detokenize":
        require_language(args.language)
        write_lines(args.output, (detokenize(line, args.language) for line in stream_lines(args.input)))
    else:
        languages = (args.languages[0], args.languages[1])
        count, kept = clean(
            args.prefixes, languages, args.output, args.max_words, args.max_ratio, args.moses, args.workers
        )
        print(f"wmt14.py: {kept:,} of {count:,} pairs kept in {args.output}.{{{','.join(languages)}}}")


def main() -> None:
    """Prepares what the command line asks for."""
    args = get_parser().parse_args()
    with complaining("wmt14.py"):
        prepare(args)


if __name__ == "__main__":
    main()
