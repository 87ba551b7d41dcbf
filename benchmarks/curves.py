"""How memory and time grow with length: one process per point for memory, turns within one process for time."""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import measure
from matplotlib.figure import Figure
from systems import build, make_dictionary

from fairseq_bahdanau.text import markdown_row, markdown_table

MEMORY_LENGTHS, MEMORY_BATCH, MEMORY_SYSTEMS = (25, 50, 100, 200), 32, ("ours", "reference")
TIME_LENGTHS, TIME_BATCH, TIME_SYSTEMS = (10, 25, 50, 100, 200, 400), 16, ("ours", "lstm")
WORDS = 9800


def peak_of_an_update(system: str, size: str, length: int) -> int:
    """Bytes that the forward and backward pass of one batch need at once, above the model and the batch."""
    dictionary = make_dictionary(WORDS)
    model = build(system, size, dictionary)
    training = measure.Training(model, dictionary.pad())
    training.update(measure.random_batch(dictionary, 2, 3, 3))  # gradients and the optimizer's state are the model's
    batch = measure.random_batch(dictionary, MEMORY_BATCH, length, length)
    before = measure.peak_bytes()
    training.update(batch)
    return measure.peak_bytes() - before


def heading(title: str, columns: Tuple[int, ...]) -> None:
    """Prints the head of a Markdown table whose columns are lengths."""
    print(f"\n{title}\n", *markdown_table(["", *columns], []), sep="\n")


def memory(size: str = "paper") -> Dict[str, Dict[str, List[float]]]:
    """GB of an update by source and target length, of every system; each point in a process of its own."""
    heading(f"Peak above the model, {size}, batch {MEMORY_BATCH}, source and target of this length: GB", MEMORY_LENGTHS)
    results: Dict[str, List[float]] = {}
    for system in MEMORY_SYSTEMS:
        results[system] = []
        for length in MEMORY_LENGTHS:
            command = [sys.executable, str(Path(__file__).resolve()), system, size, str(length)]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            results[system].append(int(printed) / 1e9)
        print(markdown_row([system, *(f"{value:.2f}" for value in results[system])]), flush=True)
    return {"lengths": list(MEMORY_LENGTHS), size: results}


def lengths(rounds: int, size: str = "small") -> Dict[str, Dict[str, List[float]]]:
    """Seconds per sentence of training and of beam search by length, of ours and of fairseq's ``lstm``."""
    dictionary = make_dictionary(WORDS)
    results: Dict[str, Dict[str, List[float]]] = {"training": {}, "beam 5": {}}
    for length in TIME_LENGTHS:
        batch = measure.random_batch(dictionary, TIME_BATCH, length, length)
        sample = {"net_input": {"src_tokens": batch["src_tokens"], "src_lengths": batch["src_lengths"]}}
        trainings, searches = {}, {}
        for system in TIME_SYSTEMS:
            trained = measure.Training(build(system, size, dictionary), dictionary.pad())
            trainings[system] = lambda trained=trained, batch=batch: trained.update(batch)
            search = measure.searcher(build(system, size, dictionary), dictionary, 5, length)
            searches[system] = lambda search=search, sample=sample: search.generate([], sample)
        for name, works in (("training", trainings), ("beam 5", searches)):
            for system, times in measure.interleaved(works, rounds).items():
                results[name].setdefault(system, []).append(statistics.median(times) / TIME_BATCH)
    for name, systems in results.items():
        heading(f"Milliseconds per sentence by length, {size}, {name}, batch {TIME_BATCH}", TIME_LENGTHS)
        for system, values in systems.items():
            print(markdown_row([system, *(f"{1000 * value:.1f}" for value in values)]), flush=True)
    return {"lengths": list(TIME_LENGTHS), **results}


def plot(results: Dict, path: Path) -> None:
    """Draws what of memory and lengths was measured."""
    panels = []
    if "memory" in results:
        panels.append(
            ("peak of an update above the model, GB", results["memory"]["lengths"], results["memory"]["paper"])
        )
    if "lengths" in results:
        for name in ("training", "beam 5"):
            panels.append((f"{name}: seconds per sentence", results["lengths"]["lengths"], results["lengths"][name]))
    if not panels:
        return
    figure = Figure(figsize=(4.5 * len(panels), 3.5))
    axes = figure.subplots(1, len(panels), squeeze=False)
    for axis, (title, ticks, systems) in zip(axes[0], panels):
        for system, values in systems.items():
            axis.plot(ticks, values, marker="o", markersize=3, label=system)
        axis.set(title=title, xlabel="length in words", ylim=(0, None))
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    print(f"\nplot: {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="prints the peak in bytes of one update")
    parser.add_argument("system")
    parser.add_argument("size")
    parser.add_argument("length", type=int)
    args = parser.parse_args()
    print(peak_of_an_update(args.system, args.size, args.length))
