"""Puts runs of the recipes side by side: ``python -m fairseq_bahdanau.cli.compare --help``.

Significance is sacrebleu's paired bootstrap (Koehn 2004), of the first seed of every system against the baseline's.
"""

import argparse
import json
import os
import statistics
from typing import Dict, List, Optional

from matplotlib.figure import Figure
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

from fairseq_bahdanau.cli.files import complete, read_lines, require_same_length, run_and_print, write_text
from fairseq_bahdanau.cli.length_curve import Score, curves, cut, draw, read_borders, require_resamples, titles
from fairseq_bahdanau.cli.runs import Run, Systems, read_systems, require_comparable

TESTED = ("BLEU", "chrF2", "TER")  # other scores are of another text than the hypotheses' file


def options_of(signature: str) -> Dict[str, str]:
    """What a signature of sacrebleu's tells, such as ``case`` and ``tok``."""
    return dict(field.split(":", 1) for field in signature.split("|"))


def build_metric(name: str, signature: str):
    """Sacrebleu's metric with the options that a signature tells."""
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
    recorded = run.metrics[metric].score
    if abs(score - recorded) > 0.0051:  # it was rounded
        raise ValueError(f"{run.folder}: {metric} of hypotheses is {score:.2f}, but scores.json has {recorded:.2f}: "
                         "run the last stage of the recipe again")  # fmt: skip


def significance(systems: Systems, baseline: str, resamples: int) -> Dict[str, Dict[str, float]]:
    """The p-value of every tested score of every system but the baseline.

    Raises:
        ValueError: a score, of any seed, that is not that of the hypotheses beside it
    """
    names = [baseline, *(name for name in systems if name != baseline)]
    first = systems[baseline][0]
    references = read_lines(first.reference)
    for run in (run for runs in systems.values() for run in runs):
        require_same_length(f"hypotheses of {run.folder}", run.hypotheses, first.reference, references)
    metrics = {name: build_metric(name, first.metrics[name].signature) for name in TESTED if name in first.metrics}
    for run in (run for runs in systems.values() for run in runs[1:]):  # the test below scores the first
        for name, metric in metrics.items():
            require_own_score(run, name, metric.corpus_score(run.hypotheses, [references]).score)
    hypotheses = [(name, systems[name][0].hypotheses) for name in names]
    _, results = PairedTest(hypotheses, metrics, [references], "bs", resamples)()
    values: Dict[str, Dict[str, float]] = {name: {} for name in names[1:]}
    for metric in metrics:
        for name, result in zip(names, results[metric]):
            require_own_score(systems[name][0], metric, result.score)
            if name != baseline:
                values[name][metric] = result.p_value
    return values


def spread(values: List[float], form: str) -> str:
    """The mean, with the sample's standard deviation when there are several values."""
    mean = format(statistics.mean(values), form)
    return mean if len(values) == 1 else f"{mean} ± {format(statistics.stdev(values), form)}"


def clock(seconds: float) -> str:
    """Hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def rows(systems: Systems, p_values: Dict[str, Dict[str, float]]) -> List[str]:
    """The lines of a Markdown table, a system each."""
    metrics = list(next(iter(systems.values()))[0].metrics)
    heads = [*metrics, "parameters", "updates", "training", "tokens/s", "sentences/s", "peak memory, GB",
             "validation perplexity", "search"]  # fmt: skip
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for name, runs in systems.items():
        cells = []
        for metric in metrics:
            p_value = p_values.get(name, {}).get(metric)
            tested = "" if p_value is None else f" (p = {p_value:.3f})" if p_value >= 0.001 else " (p < 0.001)"
            cells.append(spread([run.metrics[metric].score for run in runs], ".2f") + tested)
        figures = {key: [run.figures()[key] for run in runs] for key in runs[0].figures()}
        cells += [f"{figures['parameters'][0]:,}", spread(figures["updates"], ",.0f")]
        cells += [clock(statistics.mean(figures["training seconds"])), spread(figures["tokens/s"], ",.0f")]
        cells += [spread(figures["sentences/s"], ".1f")]
        measured = [value for value in figures["peak memory, GB"] if value is not None]
        cells += [f"{max(measured):.2f}" if measured else ""]
        cells += [spread(figures["validation perplexity"], ".2f"), f"`{runs[0].search}`"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def notes(systems: Systems, baseline: str, resamples: int) -> List[str]:
    """What the table means: test set, signatures, significance."""
    first = systems[baseline][0]
    lines = [f"Test set: {os.path.basename(first.reference)}, {len(first.hypotheses)} sentences, SHA-256 "
             f"{first.reference_sha256[:12]}.", ""]  # fmt: skip
    lines += [f"- {name}: `{metric.signature}`" for name, metric in first.metrics.items()]
    if len(systems) > 1:
        lines += [
            "",
            f"p: paired bootstrap of sacrebleu, {resamples} resamples, against {baseline}, the first seed of each.",
        ]
    return lines


def by_length(systems: Systems, borders: List[int], resamples: int) -> Dict[str, List[Optional[Score]]]:
    """BLEU, computed as the signature in scores.json tells, of every bucket of source lengths; of the first seeds.

    Raises:
        ValueError: source and reference have different numbers of lines
    """
    first = next(iter(systems.values()))[0]
    sources, references = read_lines(first.source), read_lines(first.reference)
    require_same_length(first.source, sources, first.reference, references)
    options = options_of(first.metrics["BLEU"].signature)
    hypotheses = {name: runs[0].hypotheses for name, runs in systems.items()}
    if options["case"] == "lc":  # sacrebleu lowers both sides, before it cuts words
        references = [line.lower() for line in references]
        hypotheses = {name: [line.lower() for line in lines] for name, lines in hypotheses.items()}
    return curves(hypotheses, references, cut(sources, borders), options["tok"], resamples)


def picture(systems: Systems, scores: Dict[str, List[Optional[Score]]], names: List[str]) -> Figure:
    """Validation perplexity against updates, every seed, and BLEU against source length, the first seed."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    learning, lengths = figure.subplots(1, 2)
    for number, (name, runs) in enumerate(systems.items()):
        for seed, run in enumerate(runs):
            label = name if seed == 0 else None
            learning.plot(*zip(*run.log.validations), marker=".", color=f"C{number}", label=label)
    learning.set(xlabel="updates", ylabel="validation perplexity", yscale="log")
    learning.grid(alpha=0.3)
    learning.legend()
    draw(lengths, scores, names)
    return figure


def as_json(systems: Systems, p_values: Dict[str, Dict[str, float]]) -> dict:
    """All numbers, seed by seed."""
    return {
        name: {
            "p": p_values.get(name, {}),
            "runs": [
                {
                    "folder": run.folder,
                    "scores": {metric: one._asdict() for metric, one in run.metrics.items()},
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


def run(args: argparse.Namespace) -> List[str]:
    """Compares, writes three files, returns the lines of the Markdown one.

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
    lines = [*rows(systems, p_values), "", *notes(systems, baseline, args.resamples)]
    try:
        os.makedirs(args.output, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--output {args.output}: {error.strerror}") from error
    with complete(os.path.join(args.output, "comparison.png")) as part:
        picture(systems, scores, titles(borders)).savefig(part, format="png", dpi=100)
    lengths = {name: [one and one._asdict() for one in of_system] for name, of_system in scores.items()}
    numbers = json.dumps({"baseline": baseline, "systems": as_json(systems, p_values), "borders": borders,
                          "BLEU by source length": lengths}, indent=2)  # fmt: skip
    write_text(os.path.join(args.output, "comparison.json"), [numbers])
    write_text(os.path.join(args.output, "comparison.md"), lines)
    return lines


def get_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m fairseq_bahdanau.cli.compare",
        description="Compares runs of a recipe: scores with significance, size, time, memory, learning curves, BLEU by "
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
    """Reads the command line (``arguments``, or the program's own), compares, prints."""
    run_and_print(get_parser(), run, arguments)


if __name__ == "__main__":
    main()
