"""Prints and draws BLEU against the length of the source, as figure 2 of Bahdanau et al. 2014 does.

``python -m fairseq_bahdanau.cli.length_curve --help``. Intervals are from the bootstrap (Koehn 2004, "Statistical
significance tests for machine translation evaluation"): sentences of a bucket are drawn with replacement, the same ones
for every system, and scored again from the counts that sacrebleu takes of each sentence. Sources without spaces between
words, and hypotheses of another kind than the reference (cut into pieces, tokenised, empty), are warned of.
"""

import argparse
import os
from typing import Dict, List, NamedTuple, Optional

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sacrebleu.metrics import BLEU

from fairseq_bahdanau.cli import new_parser, run_and_print
from fairseq_bahdanau.cli.doubts import doubts_of_lengths, doubts_of_systems, warn
from fairseq_bahdanau.tables import markdown_table, named_values, showable
from fairseq_bahdanau.text import part_names, read_lines, require_same_number_of_lines

SEED = 12345  # sacrebleu's


class Score(NamedTuple):
    """A score is the BLEU of a bucket of sentences, from 0 to 100, and the ends of its 95 % interval."""

    bleu: float
    low: float
    high: float


def cut(sources: List[str], borders: List[int]) -> List[List[int]]:
    """Puts sentences into buckets by their length: up to the first border, above it up to the second, and so on.

    Args:
        sources: the sentences; a length is a number of words between spaces
        borders: the greatest length of every bucket but the last, rising

    Returns:
        for every bucket the numbers of its sentences, counted from 0
    """
    buckets: List[List[int]] = [[] for _ in range(len(borders) + 1)]
    for number, source in enumerate(sources):
        length = len(source.split())
        buckets[sum(length > border for border in borders)].append(number)
    return buckets


def titles(borders: List[int]) -> List[str]:
    """Names the buckets by their first and last lengths."""
    ranges = [f"{last + 1}–{border}" for last, border in zip([0, *borders], borders)]
    return [*ranges, f"{borders[-1] + 1}–"]


def require_tokenizer(name: str) -> None:
    """Checks that sacrebleu has what a tokeniser of its needs: a package, or a model that it downloads.

    Raises:
        ValueError: it has not; says what is missing
    """
    try:
        BLEU(tokenize=name).corpus_score(["a"], [["a"]])
    except Exception as error:  # each of them fails in its own way
        reason = " ".join(str(error).split())
        raise ValueError(f"--tokenize {name} cannot be used here: {reason or type(error).__name__}") from error


def score(hypotheses: List[str], references: List[str], tokenize: str, resamples: int) -> Score:
    """Computes BLEU of some sentences as sacrebleu does, and an interval from so many drawn corpora of the same size.

    The draws are always the same for the same number of sentences.
    """
    bleu = BLEU(tokenize=tokenize, force=True)
    each = [bleu.corpus_score([hypothesis], [[reference]]) for hypothesis, reference in zip(hypotheses, references)]
    counts = np.array([[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in each])
    drawn = np.random.default_rng(SEED).choice(len(counts), size=(resamples, len(counts)))

    def of_counts(total: np.ndarray) -> float:
        correct, possible, (sys_len, ref_len) = total[:4].tolist(), total[4:8].tolist(), total[8:].tolist()
        return BLEU.compute_bleu(correct, possible, sys_len, ref_len, smooth_method=bleu.smooth_method).score

    scores = sorted(of_counts(counts[sample].sum(axis=0)) for sample in drawn)
    outside = resamples // 40  # 2.5 % on each side
    return Score(of_counts(counts.sum(axis=0)), scores[outside], scores[-1 - outside])


def curves(
    systems: Dict[str, List[str]], references: List[str], buckets: List[List[int]], tokenize: str, resamples: int
) -> Dict[str, List[Optional[Score]]]:
    """Computes the score of every bucket of every system; None where a bucket is empty."""
    return {
        name: [
            score([lines[n] for n in bucket], [references[n] for n in bucket], tokenize, resamples) if bucket else None
            for bucket in buckets
        ]
        for name, lines in systems.items()
    }


def score_table(scores: Dict[str, List[Optional[Score]]], buckets: List[List[int]], names: List[str]) -> List[str]:
    """Returns the lines of a Markdown table, bucket by bucket."""
    rows = []
    for number, (name, bucket) in enumerate(zip(names, buckets)):
        cells = []
        for of_system in scores.values():
            one = of_system[number]
            cells.append("" if one is None else f"{one.bleu:.1f} [{one.low:.1f}, {one.high:.1f}]")
        rows.append([name, len(bucket), *cells])
    return markdown_table(["source words", "sentences", *scores], rows)


def label_of(name: str) -> str:
    """Returns what a legend calls a system: matplotlib leaves out labels that begin with an underscore."""
    return f" {showable(name)}" if name.startswith("_") else showable(name)


def add_legend(axes: Axes) -> None:
    """Adds a legend whose labels are plain text: what stands between two dollar signs is no formula."""
    for text in axes.legend().get_texts():
        text.set_parse_math(False)


def draw(axes: Axes, scores: Dict[str, List[Optional[Score]]], names: List[str]) -> None:
    """Draws a line for every system, with a bar for every interval."""
    for name, of_system in scores.items():
        filled = [(number, one) for number, one in enumerate(of_system) if one is not None]
        below = [max(0.0, one.bleu - one.low) for _, one in filled]
        above = [max(0.0, one.high - one.bleu) for _, one in filled]
        numbers, heights = [number for number, _ in filled], [one.bleu for _, one in filled]
        axes.errorbar(numbers, heights, yerr=[below, above], marker="o", capsize=3, label=label_of(name))
    axes.set(xlabel="words of the source sentence", ylabel="BLEU", ylim=(0, None))
    axes.set_xticks(range(len(names)), names)
    axes.grid(alpha=0.3)
    add_legend(axes)


def require_plot(path: str) -> str:
    """Returns the ending of a picture's name, which names its format.

    Raises:
        ValueError: one that matplotlib does not know, or a folder that is not there
    """
    ending = os.path.splitext(path)[1][1:]
    if ending not in Figure().canvas.get_supported_filetypes():
        raise ValueError(f"--plot {path}: must end in .png, .svg or .pdf")
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise ValueError(f"--plot {path}: there is no such folder")
    return ending


def plot(scores: Dict[str, List[Optional[Score]]], names: List[str], path: str) -> None:
    """Draws the curves into a file; see :func:`require_plot`."""
    figure, ending = Figure(figsize=(6, 4), layout="constrained"), require_plot(path)
    draw(figure.add_subplot(), scores, names)
    with part_names(path) as (part,):
        figure.savefig(part, format=ending, dpi=100)


def read_systems(given: List[str], source_path: str, sources: List[str]) -> Dict[str, List[str]]:
    """Reads the hypotheses of every ``--system NAME=FILE``.

    Raises:
        ValueError: another form, a name given twice, or another number of lines than the source has
    """
    systems: Dict[str, List[str]] = {}
    for name, path in named_values("--system", given, "NAME=FILE").items():
        systems[name] = read_lines(path)
        require_same_number_of_lines(f"--system {path}", systems[name], f"--source {source_path}", sources)
    return systems


def read_borders(text: str) -> List[int]:
    """Reads the lengths of ``--borders``.

    Raises:
        ValueError: another form, or not rising
    """
    if not all(border.isdecimal() for border in text.split(",")):
        raise ValueError(f"--borders {text}: must be numbers with commas between")
    borders = [int(border) for border in text.split(",")]
    if borders != sorted(set(borders)) or borders[0] < 1:
        raise ValueError(f"--borders {text}: must rise, from 1 or more")
    return borders


def require_resamples(number: int) -> None:
    """Checks that ``--resamples`` draws enough corpora.

    Raises:
        ValueError: too few for an interval
    """
    if number < 40:
        raise ValueError(f"--resamples {number}: a 95 % interval needs at least 40")


def run(args: argparse.Namespace) -> List[str]:
    """Scores the systems by length and draws the curves; returns the lines of the table.

    Raises:
        ValueError: what is wrong with an option or a file
    """
    borders = read_borders(args.borders)
    require_resamples(args.resamples)
    require_tokenizer(args.tokenize)
    if args.plot is not None:
        require_plot(args.plot)
    sources, references = read_lines(args.source), read_lines(args.reference)
    if not sources:
        raise ValueError(f"--source {args.source} is empty")
    require_same_number_of_lines(f"--reference {args.reference}", references, f"--source {args.source}", sources)
    systems = read_systems(args.system, args.source, sources)
    buckets = cut(sources, borders)
    doubts = doubts_of_lengths(f"--source {args.source}", sources, buckets, titles(borders)[0])
    called = {f"--system {name}": lines for name, lines in systems.items()}
    warn("length_curve", doubts + doubts_of_systems(sources, references, called))
    scores = curves(systems, references, buckets, args.tokenize, args.resamples)
    if args.plot is not None:
        plot(scores, titles(borders), args.plot)
    return score_table(scores, buckets, titles(borders))


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = new_parser(
        "length_curve",
        "Prints sacrebleu's BLEU of several systems by the length of the source sentence, with 95 % "
        "intervals from the bootstrap, the same sentences drawn for every system. All files hold one sentence a line.",
    )
    parser.add_argument("--source", required=True, metavar="FILE", help="source text, whose words are counted")
    parser.add_argument("--reference", required=True, metavar="FILE", help="its translation by people, untouched")
    parser.add_argument("--system", required=True, action="append", metavar="NAME=FILE",
                        help="a system's hypotheses, detokenised; may be given again")  # fmt: skip
    parser.add_argument("--borders", default="10,20,30,40,50,60", metavar="N,N,...",
                        help="the last length of every bucket but the last (default: %(default)s)")  # fmt: skip
    parser.add_argument("--tokenize", default="13a", choices=sorted(BLEU.TOKENIZERS), help="sacrebleu's tokenizer")
    parser.add_argument("--resamples", type=int, default=1000, help="corpora drawn for an interval (default: 1000)")
    parser.add_argument("--plot", metavar="FILE", help="draw the curves into this .png, .svg or .pdf")
    return parser


def main(arguments: Optional[List[str]] = None) -> None:
    """Prints and draws the curves that the command line asks for (``arguments``, or the program's own)."""
    run_and_print(get_parser(), run, arguments)


if __name__ == "__main__":
    main()
