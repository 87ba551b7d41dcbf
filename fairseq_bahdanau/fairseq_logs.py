"""Functions here read the logs of fairseq-train (``--log-format simple``) and of fairseq-generate."""

import re
from typing import Dict, List, NamedTuple

from .text import stream_lines


class Epoch(NamedTuple):
    """An epoch's line in the log tells how far the training was at its end, how fast it went, and how long it took."""

    updates: int  # since the training began
    tokens_per_second: float  # of the target
    seconds: float


class Validation(NamedTuple):
    """A validation's line in the log tells how far the training was, and how well the model predicted."""

    updates: int  # since the training began
    perplexity: float


class TrainingLog(NamedTuple):
    """A log tells the size of the model and how the training went, in order.

    A part that was trained again after an interruption counts once, as it was the last time. Where a training has
    validated on several subsets (``--valid-subset valid,valid1``), the validations are those of ``valid``, or of the
    first one that the log names, by which fairseq chooses its best checkpoint.
    """

    parameters: int
    epochs: List[Epoch]
    validations: List[Validation]
    subset: str  # of the validations
    subsets: List[str]  # all on which the training has validated


def number_after(key: str, line: str) -> float:
    """Returns the number of ``| key 1,234.5 |`` in a line of fairseq's log.

    Raises:
        ValueError: the line has none
    """
    found = re.search(rf"\| {key} ([-\d.,e+]+|inf|nan)", line)
    if found is None:
        raise ValueError(f"no '{key}' in the line '{line}'")
    return float(found[1].replace(",", ""))


def read_training_log(path: str) -> TrainingLog:
    """Reads the log of a training that has validated and ended an epoch.

    Raises:
        ValueError: it has not, or a line lacks a number; names the file
    """
    parameters = 0
    epochs: Dict[int, Epoch] = {}  # by their number
    validations: Dict[str, Dict[int, Validation]] = {}  # by their subset, and by the updates before them
    for number, line in enumerate(stream_lines(path), start=1):
        try:
            counted = re.search(r"num\. shared model params: ([\d,]+)", line)
            if counted:
                parameters = int(counted[1].replace(",", ""))
            epoch = re.search(r"\bepoch (\d+) \| ", line)
            validated = re.search(r" valid on '([^']*)' subset", line)
            if epoch and validated:
                updates = int(number_after("num_updates", line))
                of_subset = validations.setdefault(validated[1], {})
                of_subset[updates] = Validation(updates, number_after("ppl", line))
            elif epoch and "| train_wall " in line:
                trained, rate, seconds = (number_after(key, line) for key in ("num_updates", "wps", "train_wall"))
                epochs[int(epoch[1])] = Epoch(int(trained), rate, seconds)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    if not (parameters and epochs and validations):
        raise ValueError(f"{path} has no epoch with its end")
    subset = "valid" if "valid" in validations else next(iter(validations))
    of_epochs = [epochs[number] for number in sorted(epochs)]
    return TrainingLog(parameters, of_epochs, sorted(validations[subset].values()), subset, list(validations))


def read_translation_rate(path: str) -> float:
    """Reads how many sentences a second fairseq-generate has translated, from what it printed.

    Raises:
        ValueError: no line tells it; names the file
    """
    rates: List[str] = []
    for line in stream_lines(path):
        rates += re.findall(r"Translated .* \(([\d.,]+) sentences/s", line)
    if not rates:
        raise ValueError(f"{path} does not tell sentences/s")
    return float(rates[-1].replace(",", ""))
