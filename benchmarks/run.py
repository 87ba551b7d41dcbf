"""Measures speed and memory beside fairseq's own models, prints tables, and keeps them with their conditions.

    python benchmarks/run.py                                    # everything
    python benchmarks/run.py --only training --data DATA-BIN    # with the batches of a real corpus

All systems of a comparison take turns within one process; figures are medians, with the least and the greatest.

Every table is appended, as soon as it is measured, to the file of this machine, benchmarks/results/MACHINE.json.
MACHINE is the processor's name, family and model and the number of cores, in small letters and digits joined by
hyphens: amd-epyc-25-17-2. The file has the last two runs of a table; python benchmarks/report.py makes pages of it.
"""

import argparse
import logging
import os
import shlex
from pathlib import Path
from typing import Iterator

import conditions
import parts
import peaks
import results
import torch
from measure import DEFAULT_THREADS, LOSSES, Setting
from systems import SIZES, SYSTEMS

PARTS = ["training", "beam", "greedy", "recurrence", "footprint", "memory", "lengths"]
RESULTS = conditions.ROOT / "benchmarks" / "results"


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = result.add_argument
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="which measurements (default: all)")
    add("--size", nargs="+", choices=list(SIZES), default=list(SIZES), help="model sizes (default: both)")
    add("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS[:-1], help="which systems (default: all but joeynmt)")
    add("--rounds", type=int, default=5, help="rounds, in which all systems take turns (default: 5)")
    add("--threads", type=int, default=DEFAULT_THREADS, help="threads of PyTorch (default: its own)")
    add("--loss", choices=list(LOSSES), default="blockwise", help="the loss of all systems: ours, or fairseq's own")
    add("--products", choices=["best", "mm"], default="best", help="mm: every product of ours by torch.mm")
    add("--data", default="", help="a folder of fairseq-preprocess: training and footprint take its batches")
    add("--results", type=Path, default=RESULTS, help="the folder of the results (default: benchmarks/results)")
    return result


def command(args: argparse.Namespace) -> str:
    """Returns the command that measures this, from the repository's folder; of a folder elsewhere only its name."""
    words = ["python", "benchmarks/run.py"]
    for name, value in vars(args).items():
        if name == "results" or value == parser().get_default(name):
            continue
        if name == "data":
            folder = Path(value).resolve()
            inside = conditions.ROOT in folder.parents
            value = str(folder.relative_to(conditions.ROOT)) if inside else folder.name
        words += [f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    return shlex.join(words)


def measured(args: argparse.Namespace, setting: Setting) -> Iterator[results.Table]:
    """Measures what is asked for, one table after the other."""
    for size in args.size:
        if "training" in args.only:
            yield parts.training(size, args.systems, setting)
        for name, beam in (("beam", 5), ("greedy", 1)):
            if name in args.only:
                yield parts.decoding(size, args.systems, setting, beam)
        if "recurrence" in args.only:
            for shape in parts.RECURRENCE_SHAPES:
                yield parts.recurrence(size, shape, setting)
    if "footprint" in args.only:
        yield peaks.footprint(setting, args.systems)
    if "memory" in args.only:
        yield peaks.memory(setting)
    if "lengths" in args.only:
        yield from parts.lengths(setting)


def main() -> None:
    """Measures what is asked for, prints it and keeps it."""
    args = parser().parse_args()
    found = conditions.now(args.threads, command(args))
    logging.disable(logging.INFO)  # fairseq's and JoeyNMT's
    setting = Setting(args.rounds, args.threads, args.loss, args.products, args.data)
    setting.apply()
    torch.manual_seed(1)
    machine = conditions.machine_name(conditions.processor(), os.cpu_count())
    path = args.results / f"{machine}.json"
    for table in measured(args, setting):
        run = results.run_of(table, found)
        results.store(path, table.name, run)
        print(*results.markdown(machine, table.name, [run]), "", sep="\n", flush=True)
    print(f"figures: {path}")


if __name__ == "__main__":
    main()
