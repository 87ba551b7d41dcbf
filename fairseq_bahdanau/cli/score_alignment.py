"""Scores word links against a gold standard: ``python -m fairseq_bahdanau.cli.score_alignment --help``."""

import argparse
from typing import Dict, List, Optional, Set

from fairseq_bahdanau.alignment.links import Link, read_pharaoh
from fairseq_bahdanau.alignment.scores import finish, flip, grow_diag, score
from fairseq_bahdanau.cli import new_parser, run_and_print
from fairseq_bahdanau.text import markdown_table, read_lines, require_same_number_of_lines


def read_links(flag: str, path: str) -> list:
    """Reads sure and possible links of every line of a file.

    Raises:
        ValueError: what is wrong with it; names flag, file and line
    """
    found = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            found.append(read_pharaoh(line))
        except ValueError as error:
            raise ValueError(f"{flag} {path}, line {number}: {error}") from error
    return found


def read_hypothesis(flag: str, path: str, gold_path: str, golds: list) -> List[Set[Link]]:
    """Reads the links of every line of a file, whose lines are those of the gold standard.

    Raises:
        ValueError: another number of lines, or a link that is only possible
    """
    found = read_links(flag, path)
    require_same_number_of_lines(f"{flag} {path}", found, f"--gold {gold_path}", golds)
    for number, (sure, possible) in enumerate(found, start=1):
        if possible != sure:
            raise ValueError(f"{flag} {path}, line {number}: only a gold standard has possible links (i?j)")
    return [sure for sure, _ in found]


def score_table(gold_path: str, hypothesis_path: str, reverse_path: Optional[str]) -> List[str]:
    """Returns the lines of a Markdown table: precision, recall and alignment error rate (AER) of each alignment.

    Raises:
        ValueError: what is wrong with a file
    """
    golds = read_links("--gold", gold_path)
    forward = read_hypothesis("--hypothesis", hypothesis_path, gold_path, golds)
    alignments: Dict[str, List[Set[Link]]] = {"hypothesis": forward}
    if reverse_path is not None:
        backward = [flip(links) for links in read_hypothesis("--reverse", reverse_path, gold_path, golds)]
        grown = [grow_diag(*pair) for pair in zip(forward, backward)]
        alignments["reverse"] = backward
        alignments["grow-diag"] = grown
        alignments["grow-diag-final"] = [finish(*triple) for triple in zip(grown, zip(forward, backward))]
    rows = []
    for name, links in alignments.items():
        try:
            quality = score(links, golds)
        except ValueError as error:
            raise ValueError(f"--gold {gold_path}: {error}") from error
        rows.append([name, sum(map(len, links)), *(f"{fraction:.4f}" for fraction in quality)])
    return markdown_table(["alignment", "links", "precision", "recall", "AER"], rows)


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = new_parser(
        "score_alignment",
        "Precision, recall and alignment error rate (AER; Och and Ney 2003) of the links of a corpus, one "
        "sentence a line, words counted from 0, source word first. Every side of every file must have the same words.",
    )
    parser.add_argument(
        "--gold", required=True, metavar="FILE", help="gold standard: i-j is a sure link, i?j a possible"
    )
    parser.add_argument("--hypothesis", required=True, metavar="FILE", help="links i-j, as cli.align writes them")
    parser.add_argument("--reverse", metavar="FILE",
                        help="links of the model that translates the other way, as it wrote them, with its own source "
                        "first; adds rows for them and for grow-diag of both (Koehn et al. 2003)")  # fmt: skip
    return parser


def main(arguments: Optional[List[str]] = None) -> None:
    """Prints the scores of the links that the command line names (``arguments``, or the program's own)."""
    run_and_print(get_parser(), lambda args: score_table(args.gold, args.hypothesis, args.reverse), arguments)


if __name__ == "__main__":
    main()
