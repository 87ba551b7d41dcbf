"""Scores word links against a gold standard: ``python -m fairseq_bahdanau.cli.score_alignment --help``.

It warns of files that would be scored, and mean something else than they are taken for: words counted from 1, links of
the other direction, no link at all.
"""

import argparse
from typing import Dict, List, Optional, Set

from fairseq_bahdanau.alignment.links import Link, read_pharaoh
from fairseq_bahdanau.alignment.scores import finish, flip, grow_diag, score
from fairseq_bahdanau.cli import new_parser, run_and_print
from fairseq_bahdanau.cli.doubts import doubts_of_indices, doubts_of_links, warn
from fairseq_bahdanau.tables import markdown_table
from fairseq_bahdanau.text import read_lines, require_same_number_of_lines


def read_links(flag: str, path: str, first: int) -> list:
    """Reads sure and possible links of every line of a file.

    Args:
        flag: that names it
        path: the file
        first: the number that its first word has; links that are returned count from 0

    Raises:
        ValueError: what is wrong with it; names flag, file and line
    """
    found = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            found.append(tuple(count_from_0(links, first) for links in read_pharaoh(line)))
        except ValueError as error:
            raise ValueError(f"{flag} {path}, line {number}: {error}") from error
    return found


def count_from_0(links: Set[Link], first: int) -> Set[Link]:
    """Moves links whose words count from ``first``.

    Raises:
        ValueError: a word with a lower number
    """
    if any(min(link) < first for link in links):
        raise ValueError(f"a word 0, where words count from {first}")
    return {(source - first, target - first) for source, target in links}


def read_hypothesis(flag: str, path: str, first: int, gold_path: str, golds: list) -> List[Set[Link]]:
    """Reads the links of every line of a file, whose lines are those of the gold standard.

    Raises:
        ValueError: another number of lines, or a link that is only possible
    """
    found = read_links(flag, path, first)
    require_same_number_of_lines(f"{flag} {path}", found, f"--gold {gold_path}", golds)
    for number, (sure, possible) in enumerate(found, start=1):
        if possible != sure:
            raise ValueError(f"{flag} {path}, line {number}: only a gold standard has possible links (i?j)")
    return [sure for sure, _ in found]


def doubts(args: argparse.Namespace, golds: list, forward: list, backward: Optional[list]) -> List[str]:
    """Returns what makes one doubt that the files are what they are taken for; see ``cli/doubts.py``."""
    gold, hypothesis, reverse = f"--gold {args.gold}", f"--hypothesis {args.hypothesis}", f"--reverse {args.reverse}"
    links = {gold: [possible for _, possible in golds], hypothesis: forward}
    if backward is not None:
        links[reverse] = backward
    advice = {} if args.gold_index_from else {gold: "--gold-index-from 1"}
    if not args.hypothesis_index_from:
        advice.update(dict.fromkeys([name for name in links if name != gold], "--hypothesis-index-from 1"))
    found = doubts_of_indices(advice, links)
    shifted = not found
    found += doubts_of_links(hypothesis, forward, golds, shifted, "is it of the model that translates the other way?")
    if backward is not None:
        found += doubts_of_links(reverse, backward, golds, shifted, "they must have their own source first")
    return found


def score_table(args: argparse.Namespace) -> List[str]:
    """Returns the lines of a Markdown table: precision, recall and alignment error rate (AER) of each alignment.

    Raises:
        ValueError: what is wrong with a file
    """
    golds = read_links("--gold", args.gold, args.gold_index_from)
    if not any(sure for sure, _ in golds):
        raise ValueError(f"--gold {args.gold}: there is no sure link (i-j)")
    first = args.hypothesis_index_from
    forward = read_hypothesis("--hypothesis", args.hypothesis, first, args.gold, golds)
    alignments: Dict[str, List[Set[Link]]] = {"hypothesis": forward}
    backward = None
    if args.reverse is not None:
        backward = [flip(links) for links in read_hypothesis("--reverse", args.reverse, first, args.gold, golds)]
        grown = [grow_diag(*pair) for pair in zip(forward, backward)]
        alignments["reverse"] = backward
        alignments["grow-diag"] = grown
        alignments["grow-diag-final"] = [finish(*triple) for triple in zip(grown, zip(forward, backward))]
    warn("score_alignment", doubts(args, golds, forward, backward))
    rows = [
        [name, sum(map(len, links)), *(f"{fraction:.4f}" for fraction in score(links, golds))]
        for name, links in alignments.items()
    ]
    return markdown_table(["alignment", "links", "precision", "recall", "AER"], rows)


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = new_parser(
        "score_alignment",
        "Precision, recall and alignment error rate (AER; Och and Ney 2003) of the links of a corpus, one "
        "sentence a line, words counted from 0, source word first. Every side of every file must have the same words. "
        "A file that seems to count from 1, or to be of the other direction, is warned of.",
    )
    parser.add_argument(
        "--gold", required=True, metavar="FILE", help="gold standard: i-j is a sure link, i?j a possible"
    )
    parser.add_argument("--hypothesis", required=True, metavar="FILE", help="links i-j, as cli.align writes them")
    parser.add_argument("--reverse", metavar="FILE",
                        help="links of the model that translates the other way, as it wrote them, with its own source "
                        "first; adds rows for them and for grow-diag of both (Koehn et al. 2003)")  # fmt: skip
    parser.add_argument("--gold-index-from", type=int, choices=(0, 1), default=0,
                        help="the number of a sentence's first word in --gold (default: 0)")  # fmt: skip
    parser.add_argument("--hypothesis-index-from", type=int, choices=(0, 1), default=0,
                        help="the same of --hypothesis and --reverse (default: 0)")  # fmt: skip
    return parser


def main(arguments: Optional[List[str]] = None) -> None:
    """Prints the scores of the links that the command line names (``arguments``, or the program's own)."""
    run_and_print(get_parser(), score_table, arguments)


if __name__ == "__main__":
    main()
