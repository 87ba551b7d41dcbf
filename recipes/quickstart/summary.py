"""Prints the end of the quickstart: three translations with their alignments, and the scores."""

import argparse
import os
from typing import List

from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.runs import SCORES, read_scores, run_stage
from fairseq_bahdanau.tables import markdown_table
from fairseq_bahdanau.text import stream_parallel_lines


def with_sources(source: str, target: str, links: str) -> str:
    """Writes every target word with the source word that it looked at: ``hat/has gelesen/read``.

    Raises:
        ValueError: links that are not those of these sentences
    """
    words, looked_at = source.split(), {}
    try:
        for link in links.split():
            i, j = map(int, link.split("-"))
            looked_at[j] = words[i]
        return " ".join(f"{word}/{looked_at[j]}" for j, word in enumerate(target.split()))
    except (ValueError, LookupError) as error:
        raise ValueError(f"the links '{links}' do not belong to '{source}' and '{target}'") from error


def summary(runs: List[str], examples: str, aligned: str) -> List[str]:
    """Returns the lines of three translations with their alignments, and of a table of the scores.

    Raises:
        ValueError: what is wrong with a file
    """
    lines = ["", "Three translations, every word with the word that the attention looked at most:"]
    names = [examples, *(os.path.join(aligned, name) for name in ("hypotheses.txt", "alignment.pharaoh"))]
    for source, target, links in stream_parallel_lines(names):
        lines += [f"  {source}", f"  {target}", f"  {with_sources(source, target, links)}", ""]
    metrics = ("BLEU", "chrF2")
    rows = []
    for folder in runs:
        scores = read_scores(folder).metrics
        for metric in metrics:
            if metric not in scores:
                raise ValueError(f"{folder} has no {metric}: {run_stage(SCORES)}")
        rows.append([os.path.basename(folder), *(f"{scores[metric].score:.2f}" for metric in metrics)])
    return [*lines, *markdown_table(["model", *metrics], rows)]


def main() -> None:
    """Prints what the files that the command line names hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", nargs="+", required=True, metavar="DIR", help="folders that hold a scores.json")
    parser.add_argument("--examples", required=True, metavar="FILE", help="the source sentences")
    parser.add_argument("--aligned", required=True, metavar="DIR", help="what cli.align made of them")
    args = parser.parse_args()
    with complaining("summary.py"):
        print("\n".join(summary(args.runs, args.examples, args.aligned)))


if __name__ == "__main__":
    main()
