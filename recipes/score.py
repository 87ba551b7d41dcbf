"""Scores what fairseq-generate wrote against a reference, with sacrebleu: BLEU, chrF and TER of detokenised text.

A model of tokenised text is scored twice: as it is against the tokenised reference, which is what most papers report,
and detokenised against the untouched one. The two are never to be compared.
"""

import argparse
import hashlib
import json
import os
import sys

import sacrebleu
from lines import lines, writing
from moses import detokenize


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


def read_references(path: str, hypotheses: list, generated: str) -> list:
    """The lines of a reference.

    Raises:
        SystemExit: there are more or fewer of them than hypotheses
    """
    references = list(lines(path))
    if len(hypotheses) != len(references):
        sys.exit(f"score.py: {len(hypotheses)} hypotheses in {generated}, but {len(references)} references in "
                 f"{path}; fairseq drops some without --required-batch-size-multiple 1")  # fmt: skip
    return references


def get_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generated", required=True, metavar="FILE", help="fairseq-generate's generate-test.txt")
    parser.add_argument("--source", required=True, metavar="FILE", help="the source text, noted beside the scores")
    parser.add_argument("--reference", required=True, metavar="FILE", help="the untouched reference text")
    parser.add_argument("--hypotheses", required=True, metavar="FILE", help="where the plain hypotheses go")
    parser.add_argument("--scores", required=True, metavar="FILE", help="where the scores go, as JSON")
    parser.add_argument("--force", action="store_true", help="the untouched text is as if tokenised: do not warn")
    parser.add_argument("--lowercase", action="store_true", help="of a model of lower-cased text: ignore case")
    parser.add_argument("--moses", metavar="LANG", help="detokenise the hypotheses, of this language")
    parser.add_argument("--tokenized-reference", metavar="FILE", help="with --moses: also score before detokenising")
    return parser


def main() -> None:
    """Reads the command line, scores, writes and prints."""
    args = get_parser().parse_args()
    hypotheses = read_hypotheses(args.generated)
    references = read_references(args.reference, hypotheses, args.generated)
    found = []
    if args.moses:
        tokenized = read_references(args.tokenized_reference, hypotheses, args.generated)
        name = "BLEU, tokenised, lower-cased" if args.lowercase else "BLEU, tokenised"
        found.append((name, sacrebleu.BLEU(tokenize="none", force=True), hypotheses, tokenized))
        hypotheses = [detokenize(line, args.moses) for line in hypotheses]
    metrics = (
        sacrebleu.BLEU(lowercase=args.lowercase, force=args.force),
        sacrebleu.CHRF(lowercase=args.lowercase),
        sacrebleu.TER(),
    )
    found += [(None, metric, hypotheses, references) for metric in metrics]
    folder = os.path.dirname(os.path.abspath(args.scores))
    scores = {
        "sentences": len(references),
        "source": os.path.relpath(args.source, folder),
        "reference": os.path.relpath(args.reference, folder),
        "reference_sha256": hashlib.sha256("\n".join(references).encode()).hexdigest(),
    }
    for name, metric, system, reference in found:
        score = metric.corpus_score(system, [reference])
        name = name or score.name
        scores[name] = {"score": round(score.score, 2), "signature": str(metric.get_signature())}
        print(f"{name} = {score.score:.2f}  {metric.get_signature()}")
    with writing(args.hypotheses, args.scores) as (text, numbers):
        text.writelines(f"{line}\n" for line in hypotheses)
        json.dump(scores, numbers, indent=2)


if __name__ == "__main__":
    main()
