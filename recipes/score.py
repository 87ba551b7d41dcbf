"""Scores what fairseq-generate wrote against a reference, with sacrebleu: BLEU, chrF and TER of detokenised text."""

import argparse
import hashlib
import json
import os
import sys

import sacrebleu
from segment import lines


def read_hypotheses(path: str) -> list:
    """The detokenised hypotheses (``D-`` lines) of fairseq-generate, in the order of the corpus.

    Raises:
        SystemExit: when their numbers are not 0, 1, 2 and so on: some sentence was dropped, or came twice
    """
    found = []
    for line in lines(path):
        if line.startswith("D-"):
            number, _, text = line[2:].split("\t", 2)
            found.append((int(number), text))
    found.sort()
    for expected, (number, _) in enumerate(found):
        if number != expected:
            sys.exit(f"score.py: {path} has no hypothesis of sentence {expected}; fairseq drops some without "
                     "--required-batch-size-multiple 1")  # fmt: skip
    return [text for _, text in found]


def write_atomically(path: str, text: str) -> None:
    """Writes a file that is either complete or not there."""
    with open(f"{path}.part", "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    os.replace(f"{path}.part", path)


def main() -> None:
    """Reads the command line, scores, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generated", required=True, metavar="FILE", help="fairseq-generate's generate-test.txt")
    parser.add_argument("--source", required=True, metavar="FILE", help="the source text, noted beside the scores")
    parser.add_argument("--reference", required=True, metavar="FILE", help="the untouched reference text")
    parser.add_argument("--hypotheses", required=True, metavar="FILE", help="where the plain hypotheses go")
    parser.add_argument("--scores", required=True, metavar="FILE", help="where the scores go, as JSON")
    args = parser.parse_args()

    hypotheses, references = read_hypotheses(args.generated), list(lines(args.reference))
    if len(hypotheses) != len(references):
        sys.exit(f"score.py: {len(hypotheses)} hypotheses in {args.generated}, but {len(references)} references in "
                 f"{args.reference}; fairseq drops some without --required-batch-size-multiple 1")  # fmt: skip
    folder = os.path.dirname(os.path.abspath(args.scores))
    scores = {
        "sentences": len(references),
        "source": os.path.relpath(args.source, folder),
        "reference": os.path.relpath(args.reference, folder),
        "reference_sha256": hashlib.sha256("\n".join(references).encode()).hexdigest(),
    }
    for metric in (sacrebleu.BLEU(), sacrebleu.CHRF(), sacrebleu.TER()):
        score = metric.corpus_score(hypotheses, [references])
        scores[score.name] = {"score": round(score.score, 2), "signature": str(metric.get_signature())}
        print(f"{score.name} = {score.score:.2f}  {metric.get_signature()}")
    write_atomically(args.hypotheses, "".join(f"{line}\n" for line in hypotheses))
    write_atomically(args.scores, json.dumps(scores, indent=2) + "\n")


if __name__ == "__main__":
    main()
