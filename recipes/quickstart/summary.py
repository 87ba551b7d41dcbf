"""Prints the end of the quickstart: three translations with their alignments, and the scores."""

import argparse
import os

import without_fairseq  # noqa: F401

from fairseq_bahdanau.runs import read_scores
from fairseq_bahdanau.text import markdown_table, read_lines


def with_sources(source: str, target: str, links: str) -> str:
    """Writes every target word with the source word that it looked at: ``hat/has gelesen/read``."""
    words, looked_at = source.split(), {}
    for link in links.split():
        i, j = map(int, link.split("-"))
        looked_at[j] = words[i]
    return " ".join(f"{word}/{looked_at[j]}" for j, word in enumerate(target.split()))


def main() -> None:
    """Prints what the files that the command line names hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", nargs="+", required=True, metavar="DIR", help="folders that hold a scores.json")
    parser.add_argument("--examples", required=True, metavar="FILE", help="the source sentences")
    parser.add_argument("--aligned", required=True, metavar="DIR", help="what cli.align made of them")
    args = parser.parse_args()

    print("\nThree translations, every word with the word that the attention looked at most:")
    aligned = [read_lines(os.path.join(args.aligned, name)) for name in ("hypotheses.txt", "alignment.pharaoh")]
    for source, target, links in zip(read_lines(args.examples), *aligned):
        print(f"  {source}\n  {target}\n  {with_sources(source, target, links)}\n")
    metrics = ("BLEU", "chrF2")
    rows = []
    for folder in args.runs:
        scores = read_scores(folder).metrics
        rows.append([os.path.basename(folder), *(f"{scores[metric].score:.2f}" for metric in metrics)])
    print("\n".join(markdown_table(["model", *metrics], rows)))


if __name__ == "__main__":
    main()
