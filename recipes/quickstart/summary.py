"""Prints the last page of the quickstart: three translations with their alignments, and the scores."""

import argparse
import json
from pathlib import Path
from typing import List


def read(path: Path) -> List[str]:
    """The lines of a file."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def with_sources(source: str, target: str, links: str) -> str:
    """The target words, each with the source word that it looked at: ``hat/has gelesen/read``."""
    words, looked_at = source.split(), {}
    for link in links.split():
        i, j = map(int, link.split("-"))
        looked_at[j] = words[i]
    return " ".join(f"{word}/{looked_at[j]}" for j, word in enumerate(target.split()))


def main() -> None:
    """Reads the command line, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", nargs="+", required=True, metavar="DIR", help="folders that hold a scores.json")
    parser.add_argument("--examples", required=True, metavar="FILE", help="the source sentences")
    parser.add_argument("--aligned", required=True, metavar="DIR", help="what cli.align made of them")
    args = parser.parse_args()

    print("\nThree translations, every word with the word that the attention looked at most:")
    folder = Path(args.aligned)
    for source, target, links in zip(
        read(Path(args.examples)), read(folder / "hypotheses.txt"), read(folder / "alignment.pharaoh")
    ):
        print(f"  {source}\n  {target}\n  {with_sources(source, target, links)}\n")
    print("| model | BLEU | chrF2 |\n|---|---|---|")
    for run in map(Path, args.runs):
        scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
        print(f"| {run.name} | {scores['BLEU']['score']:.2f} | {scores['chrF2']['score']:.2f} |")


if __name__ == "__main__":
    main()
