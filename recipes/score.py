"""Scores translations of fairseq-generate against a reference, by sacrebleu: BLEU, chrF and TER of detokenised text.

A model of tokenised text is scored twice: as it is against the tokenised reference, which is what most papers report,
and detokenised against the untouched one. The two are never to be compared. Where the tokenisation cannot be undone,
the first is all.
"""

import argparse
import os
import re
from typing import Any, Dict, List, Tuple

import sacrebleu

from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.portable.moses import detokenize
from fairseq_bahdanau.runs import Metric, Scores, checksum
from fairseq_bahdanau.text import read_lines, stream_lines, writing


def read_hypotheses(path: str) -> list:
    """Reads the detokenised hypotheses (``D-`` lines) of fairseq-generate, in the order of the corpus.

    Raises:
        ValueError: when their numbers are not 0, 1, 2 and so on: some sentence was dropped, or came twice; or a line
            that fairseq did not write
    """
    found = []
    for line_number, line in enumerate(stream_lines(path), start=1):
        if line.startswith("D-"):
            number, *fields = line[2:].split("\t", 2)
            if not number.isdecimal() or len(fields) != 2:
                raise ValueError(f"{path}, line {line_number}: not a line of fairseq-generate: D-NUMBER, score, text, "
                                 "with tabs between")  # fmt: skip
            found.append((int(number), fields[1]))
    if not found:
        raise ValueError(f"{path} has no hypotheses: no line of it begins with D-")
    found.sort()
    for expected, (number, _) in enumerate(found):
        if number != expected:
            raise ValueError(f"{path} has no hypothesis of sentence {expected}; fairseq drops some without "
                             "--required-batch-size-multiple 1")  # fmt: skip
    return [text for _, text in found]


def read_references(path: str, hypotheses: list, generated: str) -> list:
    """Reads the lines of a reference, as many as there are hypotheses.

    Raises:
        ValueError: there are more or fewer of them than hypotheses
    """
    references = read_lines(path)
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses in {generated}, but {len(references)} references in "
                         f"{path}; fairseq drops some without --required-batch-size-multiple 1")  # fmt: skip
    return references


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
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
    parser.add_argument("--language", default="", metavar="LANG", help="of the reference (zh is cut as Chinese)")
    parser.add_argument("--tokens", action="store_true", help="all text is tokens, and stays so: BLEU of these alone")
    return parser


def usual_metrics(args: argparse.Namespace) -> List[Tuple[str, Any]]:
    """Makes sacrebleu's metrics of text as people read it; of tokens, BLEU alone.

    Args:
        args: of the command line
    """
    if args.tokens:
        print("score.py: nothing here undoes the tokens of this language: BLEU alone, of the tokens as they are")
        return [("BLEU", sacrebleu.BLEU(lowercase=args.lowercase, tokenize="none", force=True))]
    language = re.split("[-_]", args.language)[0]
    tokenize = "zh" if language == "zh" else "13a"
    # Of Japanese and Korean sacrebleu says that it has something better, whose packages are not installed here.
    bleu = sacrebleu.BLEU(lowercase=args.lowercase, force=args.force, tokenize=tokenize, trg_lang=language)
    metrics = [("BLEU", bleu), ("chrF2", sacrebleu.CHRF(lowercase=args.lowercase))]
    return metrics if language == "zh" else [*metrics, ("TER", sacrebleu.TER())]  # which counts words between spaces


def score_all(
    args: argparse.Namespace, hypotheses: List[str], references: List[str]
) -> Tuple[List[str], Dict[str, Metric]]:
    """Scores the hypotheses by every metric, and prints each score.

    Args:
        args: of the command line
        hypotheses: as the model wrote them
        references: the untouched ones

    Returns:
        the detokenised hypotheses, and the scores by their names

    Raises:
        ValueError: there are more or fewer tokenised references than hypotheses
    """
    scored = []
    if args.moses:
        tokenized = read_references(args.tokenized_reference, hypotheses, args.generated)
        name = "BLEU, tokenised, lower-cased" if args.lowercase else "BLEU, tokenised"
        scored.append((name, sacrebleu.BLEU(tokenize="none", force=True), hypotheses, tokenized))
        hypotheses = [detokenize(line, args.moses) for line in hypotheses]
    scored += [(name, metric, hypotheses, references) for name, metric in usual_metrics(args)]
    metrics = {}
    for name, metric, system, reference in scored:
        score = metric.corpus_score(system, [reference]).score
        metrics[name] = Metric(round(score, 2), str(metric.get_signature()))
        print(f"{name} = {score:.2f}  {metric.get_signature()}")
    return hypotheses, metrics


def score(args: argparse.Namespace) -> None:
    """Scores the translations that the command line names, and writes them and their scores.

    Raises:
        ValueError: what is wrong with a file
    """
    hypotheses = read_hypotheses(args.generated)
    references = read_references(args.reference, hypotheses, args.generated)
    if not os.path.isfile(args.source):
        raise ValueError(f"--source {args.source}: no such file")
    hypotheses, metrics = score_all(args, hypotheses, references)
    folder = os.path.dirname(os.path.abspath(args.scores))
    scores = Scores(
        sentences=len(references),
        source=os.path.relpath(args.source, folder),
        reference=os.path.relpath(args.reference, folder),
        reference_sha256=checksum(references),
        metrics=metrics,
    )
    with writing(args.hypotheses, args.scores) as (text, numbers):
        text.writelines(f"{line}\n" for line in hypotheses)
        numbers.write(scores.to_json())


def main() -> None:
    """Scores as the command line says."""
    parser = get_parser()
    args = parser.parse_args()
    if (args.moses is None) != (args.tokenized_reference is None):
        parser.error("--moses LANG and --tokenized-reference FILE go together")
    if args.tokens and args.moses:
        parser.error("--tokens leaves them as they are, --moses LANG undoes them: give one")
    with complaining("score.py"):
        score(args)


if __name__ == "__main__":
    main()
