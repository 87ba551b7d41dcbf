"""Speed and memory beside fairseq's own models: tables, a JSON file, a plot.

    python benchmarks/run.py                      # everything
    python benchmarks/run.py --only memory lengths --json memory.json

All systems of a comparison take turns within one process; figures are medians, with the least and the greatest.
"""

import argparse
import json
import logging
import os
import platform
import statistics
from pathlib import Path
from typing import Dict, List

import floor
import measure
import torch
from curves import lengths, memory, plot
from systems import SIZES, SYSTEMS, build, make_dictionary

from fairseq_bahdanau.attention import Source
from fairseq_bahdanau.recurrence import State
from fairseq_bahdanau.text import markdown_table

WORDS = 9800
SENTENCES = 80


def machine() -> Dict[str, str]:
    """What a figure depends on."""
    model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    product = torch.randn(1024, 1024)
    best = min(measure.seconds(lambda: torch.mm(product, product)) for _ in range(20))
    return {
        "processor": model[0] if model else platform.processor(),
        "threads": str(torch.get_num_threads()),
        "cores": str(os.cpu_count()),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "product 1024": f"{2 * 1024**3 / best / 1e9:.0f} GFLOP/s",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def rates(times: Dict[str, List[float]], amount: int) -> Dict[str, List[float]]:
    """Amounts per second instead of seconds."""
    return {name: [amount / value for value in values] for name, values in times.items()}


def training(size: str, systems: List[str], rounds: int) -> Dict[str, List[float]]:
    """Target words per second of whole updates; ``products`` is the floor under ours."""
    dictionary = make_dictionary(WORDS)
    batches = [measure.random_batch(dictionary, SENTENCES, *lengths) for lengths in measure.BATCHES]
    works = {}
    for system in systems:
        trained = measure.Training(build(system, size, dictionary), dictionary.pad())
        works[system] = lambda trained=trained: [trained.update(batch) for batch in batches]
    parts = [floor.update(SIZES[size], SENTENCES, *lengths, WORDS) for lengths in measure.BATCHES]
    works["products"] = floor.all_of([work for part in parts for work in part])
    words = sum(int(batch["target"].ne(dictionary.pad()).sum()) for batch in batches)
    return rates(measure.interleaved(works, rounds), words)


def decoding(size: str, systems: List[str], rounds: int, beam: int) -> Dict[str, List[float]]:
    """Sentences per second of fairseq's search, every translation 25 words long."""
    dictionary = make_dictionary(WORDS)
    batch = measure.random_batch(dictionary, SENTENCES, 16, 25)
    sample = {"net_input": {"src_tokens": batch["src_tokens"], "src_lengths": batch["src_lengths"]}}
    works = {}
    for system in systems:
        search = measure.searcher(build(system, size, dictionary), dictionary, beam, words=25)
        works[system] = lambda search=search: search.generate([], sample)
    return rates(measure.interleaved(works, rounds), SENTENCES)


def recurrence(size: str, batch: int, source: int, target: int, rounds: int) -> Dict[str, List[float]]:
    """Seconds of the decoder's loop and its keys, forward and backward, and of their products alone."""
    dictionary = make_dictionary(100)
    _, encoder, hidden, _, _ = SIZES[size]
    inputs = [torch.randn(batch, target, 3 * hidden), torch.randn(batch, hidden), torch.randn(batch, 2 * encoder)]
    annotations = torch.randn(batch, source, 2 * encoder)
    padding_mask = torch.zeros(batch, source, dtype=torch.bool)
    works = {}
    for system in ("ours", "reference"):
        decoder = build(system, size, dictionary).train().decoder

        def run(decoder=decoder) -> None:
            embed_gates, state, context, values = (part.clone().requires_grad_() for part in (*inputs, annotations))
            seen = Source(decoder.attention.make_keys(values), values, padding_mask)
            states, _ = decoder.unroll(embed_gates, State(state, context), seen)
            (states.cell.sum() + states.context.sum()).backward()

        works[system] = run
    works["products"] = floor.all_of(floor.recurrence(SIZES[size], batch, source, target))
    return measure.interleaved(works, rounds)


def table(title: str, results: Dict[str, List[float]], base: str) -> str:
    """Writes a Markdown table: medians, their spread, and how many times that of ``base`` they are."""
    middle = statistics.median(results[base])
    rows = [
        [name, measure.spread(values), f"{statistics.median(values) / middle:.2f}"] for name, values in results.items()
    ]
    return "\n".join([f"\n{title}\n", *markdown_table(["", "median (least – greatest)", f"against {base}"], rows)])


def main() -> None:
    """Measures what is asked for, and prints and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("training", "beam", "greedy", "recurrence", "memory", "lengths")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="which measurements (default: all)")
    parser.add_argument(
        "--size", nargs="+", choices=list(SIZES), default=list(SIZES), help="model sizes (default: both)"
    )
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=SYSTEMS,
        default=SYSTEMS[:-1],
        help="what is compared (default: all but joeynmt)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds, in which all systems take turns (default: 3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of PyTorch")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where the figures go")
    parser.add_argument("--plot", type=Path, default=Path("benchmarks.png"), help="where memory and lengths are drawn")
    args = parser.parse_args()
    logging.disable(logging.INFO)  # JoeyNMT's
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    systems, results = list(args.systems), {"machine": machine()}
    print(results["machine"], flush=True)

    def report(name: str, title: str, base: str, figures: Dict[str, List[float]]) -> None:
        results[name] = figures
        print(table(title, figures, base), flush=True)

    base = "lstm" if "lstm" in systems else systems[0]
    for size in args.size:
        if "training" in args.only:
            figures = training(size, systems, args.rounds)
            report(f"training {size}", f"Training, {size}: target words/s", base, figures)
        for name, beam in (("beam", 5), ("greedy", 1)):
            if name in args.only:
                title = f"Search with beam {beam}, {size}: sentences/s"
                report(f"{name} {size}", title, base, decoding(size, systems, args.rounds, beam))
        if "recurrence" in args.only:
            for shape in ((80, 20, 18), (32, 100, 100)):
                title = f"The recurrence alone, {size}, batch, source, target {shape}: seconds"
                report(f"recurrence {size} {shape}", title, "products", recurrence(size, *shape, args.rounds))
    if "memory" in args.only:
        results["memory"] = memory()
    if "lengths" in args.only:
        results["lengths"] = lengths(args.rounds)
    plot(results, args.plot)
    args.json.write_text(json.dumps(results, indent=2) + "\n")
    print(f"\nfigures: {args.json}")


if __name__ == "__main__":
    main()
