"""Puts runs of the recipes side by side in a table and a picture: ``python -m fairseq_bahdanau.cli.compare --help``.

Significance is sacrebleu's paired bootstrap (Koehn 2004), of the first seed of every system against the baseline's.
"""

import argparse
import json
import math
import os
import statistics
from typing import Any, Dict, List, Optional, Sequence, Tuple

from matplotlib.figure import Figure
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest, Result

from fairseq_bahdanau.cli import make_output_folder, new_parser, run_and_print
from fairseq_bahdanau.cli.doubts import doubts_of_lengths, doubts_of_systems, warn
from fairseq_bahdanau.cli.length_curve import (
    Score,
    add_legend,
    curves,
    cut,
    draw,
    label_of,
    read_borders,
    require_resamples,
    titles,
)
from fairseq_bahdanau.runs import SCORES, Run, Systems, read_systems, require_comparable, run_stage
from fairseq_bahdanau.tables import markdown_table
from fairseq_bahdanau.text import part_names, read_lines, require_same_number_of_lines, write_lines

# Only these can be computed again from the file of hypotheses, which is detokenised; a tokenised BLEU cannot.
TESTED = ("BLEU", "chrF2", "TER")


def options_of(signature: str) -> Dict[str, str]:
    """Reads the fields of a signature of sacrebleu, such as ``case`` and ``tok``."""
    return dict(field.split(":", 1) for field in signature.split("|"))


def build_metric(name: str, signature: str):
    """Makes sacrebleu's metric with the options that a signature tells."""
    options = options_of(signature)
    lowercase = options["case"] == "lc"
    if name == "BLEU":
        return BLEU(lowercase=lowercase, tokenize=options["tok"], force=True)
    return CHRF(lowercase=lowercase) if name == "chrF2" else TER(case_sensitive=not lowercase)


def require_own_score(run: Run, metric: str, score: float) -> None:
    """Checks that a recorded score is that of the hypotheses beside it.

    Raises:
        ValueError: it is not
    """
    recorded = run.scores.metrics[metric].score
    if abs(score - recorded) > 0.0051:  # it was rounded
        raise ValueError(f"{run.folder}: {metric} of hypotheses is {score:.2f}, but {SCORES} has {recorded:.2f}: "
                         f"{run_stage(SCORES)}")  # fmt: skip


def significance(systems: Systems, baseline: str, resamples: int) -> Dict[str, Dict[str, float]]:
    """Tests every system against the baseline; returns the p-value of every score that can be tested.

    Raises:
        ValueError: a score, of any seed, that is not that of the hypotheses beside it
    """
    names = [baseline, *(name for name in systems if name != baseline)]
    first = systems[baseline][0]
    references = read_lines(first.reference)
    for run in (run for runs in systems.values() for run in runs):
        require_same_number_of_lines(f"hypotheses of {run.folder}", run.hypotheses, first.reference, references)
    recorded = first.scores.metrics
    metrics = {name: build_metric(name, recorded[name].signature) for name in TESTED if name in recorded}
    for run in (run for runs in systems.values() for run in runs[1:]):  # the test below scores the first
        for name, metric in metrics.items():
            require_own_score(run, name, metric.corpus_score(run.hypotheses, [references]).score)
    hypotheses: List[Tuple[str, Sequence[str]]] = [(name, systems[name][0].hypotheses) for name in names]
    _, results = PairedTest(hypotheses, metrics, [references], "bs", resamples)()
    values: Dict[str, Dict[str, float]] = {name: {} for name in names[1:]}
    for metric in metrics:
        for name, result in zip(names, results[metric]):
            assert isinstance(result, Result)  # not a system's name, which stands in the same dict
            require_own_score(systems[name][0], metric, result.score)
            if name != baseline:
                assert result.p_value is not None
                values[name][metric] = result.p_value
    return values


def spread(values: List[float], form: str) -> str:
    """Writes the mean, with the sample's standard deviation when there are several values, all of them finite."""
    mean = format(statistics.mean(values), form)
    if len(values) == 1 or not all(map(math.isfinite, values)):
        return mean
    return f"{mean} ± {format(statistics.stdev(values), form)}"


def clock(seconds: float) -> str:
    """Writes seconds as hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def comparison_table(systems: Systems, p_values: Dict[str, Dict[str, float]]) -> List[str]:
    """Returns the lines of a Markdown table, one row for every system."""
    metrics = list(next(iter(systems.values()))[0].scores.metrics)
    heads = [*metrics, "parameters", "updates", "training", "tokens/s", "sentences/s", "peak memory, GB",
             "validation perplexity", "search"]  # fmt: skip
    rows = []
    for name, runs in systems.items():
        cells = []
        for metric in metrics:
            p_value = p_values.get(name, {}).get(metric)
            tested = "" if p_value is None else f" (p = {p_value:.3f})" if p_value >= 0.001 else " (p < 0.001)"
            cells.append(spread([run.scores.metrics[metric].score for run in runs], ".2f") + tested)
        figures = {key: [run.figures()[key] for run in runs] for key in runs[0].figures()}
        cells += [f"{figures['parameters'][0]:,}", spread(figures["updates"], ",.0f")]
        cells += [clock(statistics.mean(figures["training seconds"])), spread(figures["tokens/s"], ",.0f")]
        cells += [spread(figures["sentences/s"], ".1f")]
        measured = [value for value in figures["peak memory, GB"] if value is not None]
        cells += [f"{max(measured):.2f}" if measured else ""]
        cells += [spread(figures["validation perplexity"], ".2f"), f"`{runs[0].search}`"]
        rows.append([name, *cells])
    return markdown_table(["", *heads], rows)


def notes(systems: Systems, baseline: str, resamples: int) -> List[str]:
    """Returns the lines below the table, which say what it means: test set, signatures, significance."""
    first = systems[baseline][0]
    lines = [f"Test set: {os.path.basename(first.reference)}, {len(first.hypotheses)} sentences, SHA-256 "
             f"{first.scores.reference_sha256[:12]}.", ""]  # fmt: skip
    lines += [f"- {name}: `{metric.signature}`" for name, metric in first.scores.metrics.items()]
    if len(systems) > 1:
        lines += [
            "",
            f"p: paired bootstrap of sacrebleu, {resamples} resamples, against {baseline}, the first seed of each.",
        ]
    return lines


def doubts_of_perplexity(systems: Systems) -> List[str]:
    """Asks whether the perplexities of the runs are those of one validation set."""
    runs = [run for of_system in systems.values() for run in of_system]
    found = [
        f"{run.folder}: validated on {', '.join(run.log.subsets)}: the perplexity that is shown is of {run.log.subset}"
        for run in runs
        if len(run.log.subsets) > 1
    ]
    shown = sorted({run.log.subset for run in runs})
    if len(shown) > 1:
        found.append(
            f"the perplexities are of different validation subsets, and not to be compared: {', '.join(shown)}"
        )
    return found


def by_length(systems: Systems, borders: List[int], resamples: int) -> Dict[str, List[Optional[Score]]]:
    """Computes BLEU of every bucket of source lengths, of the first seed of every system, as its signature tells; and
    warns of texts and perplexities that may mean something else than they seem to.

    Raises:
        ValueError: source and reference have different numbers of lines
    """
    first = next(iter(systems.values()))[0]
    sources, references = read_lines(first.source), read_lines(first.reference)
    require_same_number_of_lines(first.source, sources, first.reference, references)
    options = options_of(first.scores.metrics["BLEU"].signature)
    hypotheses = {name: runs[0].hypotheses for name, runs in systems.items()}
    buckets = cut(sources, borders)
    doubts = doubts_of_lengths(first.source, sources, buckets, titles(borders)[0])
    warn("compare", doubts + doubts_of_systems(sources, references, hypotheses) + doubts_of_perplexity(systems))
    if options["case"] == "lc":  # sacrebleu lowers both sides, before it cuts words
        references = [line.lower() for line in references]
        hypotheses = {name: [line.lower() for line in lines] for name, lines in hypotheses.items()}
    return curves(hypotheses, references, buckets, options["tok"], resamples)


def picture(systems: Systems, scores: Dict[str, List[Optional[Score]]], names: List[str]) -> Figure:
    """Draws validation perplexity against updates, of every seed, and BLEU against source length, of the first seed."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    learning, lengths = figure.subplots(1, 2)
    for number, (name, runs) in enumerate(systems.items()):
        for seed, run in enumerate(runs):
            label = label_of(name) if seed == 0 else None
            learning.plot(*zip(*run.log.validations), marker=".", color=f"C{number}", label=label)
    learning.set(xlabel="updates", ylabel="validation perplexity", yscale="log")
    learning.grid(alpha=0.3)
    add_legend(learning)
    draw(lengths, scores, names)
    return figure


def as_json(systems: Systems, p_values: Dict[str, Dict[str, float]]) -> dict:
    """Returns all numbers, seed by seed."""
    return {
        name: {
            "p": p_values.get(name, {}),
            "runs": [
                {
                    "folder": run.folder,
                    "scores": {metric: one._asdict() for metric, one in run.scores.metrics.items()},
                    **run.figures(),
                    "validations": run.log.validations,
                    "search": run.search,
                    "flags": run.flags,
                }
                for run in runs
            ],
        }
        for name, runs in systems.items()
    }


def without_infinity(value: Any) -> Any:
    """Returns what JSON can hold: None for a number that is not finite."""
    if isinstance(value, dict):
        return {name: without_infinity(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_infinity(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def run(args: argparse.Namespace) -> List[str]:
    """Compares the runs and writes three files; returns the lines of the Markdown one.

    Raises:
        ValueError: what is wrong with an option or a folder
    """
    borders = read_borders(args.borders)
    require_resamples(args.resamples)
    systems = read_systems(args.run)
    require_comparable(systems)
    baseline = next(iter(systems)) if args.baseline is None else args.baseline
    if baseline not in systems:
        raise ValueError(f"--baseline {baseline}: no such run; there are {', '.join(systems)}")
    p_values = significance(systems, baseline, args.resamples)
    scores = by_length(systems, borders, args.resamples)
    lines = [*comparison_table(systems, p_values), "", *notes(systems, baseline, args.resamples)]
    make_output_folder(args.output)
    with part_names(os.path.join(args.output, "comparison.png")) as (part,):
        picture(systems, scores, titles(borders)).savefig(part, format="png", dpi=100)
    lengths = {name: [one and one._asdict() for one in of_system] for name, of_system in scores.items()}
    numbers = json.dumps(without_infinity({"baseline": baseline, "systems": as_json(systems, p_values),
                         "borders": borders, "BLEU by source length": lengths}), indent=2, allow_nan=False)  # fmt: skip
    write_lines(os.path.join(args.output, "comparison.json"), [numbers])
    write_lines(os.path.join(args.output, "comparison.md"), lines)
    return lines


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = new_parser(
        "compare",
        "Compares runs of a recipe: scores with significance, size, time, memory, learning curves, BLEU by "
        "length. Writes comparison.md, comparison.json and comparison.png, and prints the first.",
    )
    parser.add_argument("--run", required=True, action="append", metavar="NAME=DIR[,DIR...]",
                        help="a system's folder, or those of its seeds; may be given again")  # fmt: skip
    parser.add_argument("--baseline", metavar="NAME", help="which the others are tested against (default: the first)")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the files go; is made")
    parser.add_argument("--borders", default="5,10,15,20,25", metavar="N,N,...",
                        help="the last source length of every bucket but the last (default: %(default)s)")  # fmt: skip
    parser.add_argument("--resamples", type=int, default=1000, help="corpora drawn for a p-value and an interval "
                        "(default: 1000)")  # fmt: skip
    return parser


def main(arguments: Optional[List[str]] = None) -> None:
    """Prints and writes the comparison that the command line asks for (``arguments``, or the program's own)."""
    run_and_print(get_parser(), run, arguments)


if __name__ == "__main__":
    main()
