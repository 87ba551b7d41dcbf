"""Memory is measured here: of whole trainings, and of one update by length; each figure in a process of its own.

``python benchmarks/peaks.py WHAT ARGUMENTS``, the arguments in JSON, is such a process; it prints bytes.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import batches
from measure import Setting, Training
from results import Table
from systems import base_of, build

LENGTHS, LENGTHS_BATCH, LENGTHS_SYSTEMS = (25, 50, 100, 200), 32, ("ours", "reference")


def peak_bytes() -> int:
    """Returns the most memory that this process has had at once.

    It is the peak of the program alone. That of ``getrusage``, ``ru_maxrss``, begins at the peak of the process that
    started it: on Linux a program inherits the number through fork and exec.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE).group(1)) * 1024


def peak_of_an_update(setting: Setting, system: str, size: str, length: int) -> int:
    """Returns the bytes that the forward and backward pass of one batch need at once, above the model and the batch."""
    dictionary = batches.make_dictionary(batches.WORDS)
    training = Training(build(system, size, dictionary, dictionary), dictionary.pad(), setting.loss)
    # Gradients and the optimizer's state are the model's.
    training.update(batches.random_batch(dictionary, 2, 3, 3))
    batch = batches.random_batch(dictionary, LENGTHS_BATCH, length, length)
    before = peak_bytes()
    training.update(batch)
    return peak_bytes() - before


def peak_of_a_training(setting: Setting, system: str, size: str) -> int:
    """Returns the most bytes of this process after an update with every batch, no matter what they are needed for."""
    if setting.data:
        corpus = batches.of_folder(Path(setting.data), batches.DIFFERENT)
    else:
        corpus = batches.of_lengths(batches.random_lengths())
    training = Training(build(system, size, corpus.source, corpus.target), corpus.target.pad(), setting.loss)
    for batch in corpus.batches:
        training.update(batch)
    return peak_bytes()


PEAKS: Dict[str, Callable[..., int]] = {"update": peak_of_an_update, "training": peak_of_a_training}


def gigabytes(what: str, setting: Setting, *arguments: Any) -> List[float]:
    """Measures one of ``PEAKS`` in a process of its own, once: a list of one figure."""
    command = [sys.executable, str(Path(__file__).resolve()), what, json.dumps([setting, *arguments])]
    return [int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.split()[-1]) / 1e9]


def memory(setting: Setting, size: str = "paper") -> Table:
    """Measures GB of an update by source and target length, above the model."""
    figures = {
        f"{length} words": {system: gigabytes("update", setting, system, size, length) for system in LENGTHS_SYSTEMS}
        for length in LENGTHS
    }
    name = f"Peak of an update by length, {size}, batch {LENGTHS_BATCH}{setting.suffix('loss', 'products')}"
    return Table(name, "GB above the model", "reference", figures)


def footprint(setting: Setting, systems: List[str], size: str = "small") -> Table:
    """Measures GB of the process of a training, with 60 batches: of random lengths, or the first of a real corpus."""
    figures = {system: gigabytes("training", setting, system, size) for system in systems}
    name = f"Peak of a training, {size}{setting.suffix('data', 'loss', 'products')}"
    return Table(name, "GB", base_of(systems), {"": figures})


if __name__ == "__main__":
    given, *arguments = json.loads(sys.argv[2])
    setting = Setting(*given)
    setting.apply()
    print(PEAKS[sys.argv[1]](setting, *arguments))
