"""What the recipes leave in the folder of a run: scores, translations, and fairseq's logs."""

import json
import os
import re
import statistics
from typing import Dict, List, NamedTuple, Optional, Tuple

from fairseq_bahdanau.cli.files import read_lines


class Metric(NamedTuple):
    """A score of sacrebleu's and the signature that says how it was computed."""

    score: float
    signature: str


class Log(NamedTuple):
    """What a training's log tells.

    ``epochs`` and ``validations`` are in the order of the training; a part that was trained again after an interruption
    counts once.
    """

    parameters: int
    epochs: List[Tuple[int, float, float]]  # updates so far, target tokens a second, seconds of training
    validations: List[Tuple[int, float]]  # updates so far, perplexity


class Run(NamedTuple):
    """One training and its translations."""

    folder: str
    metrics: Dict[str, Metric]
    source: str
    reference: str
    reference_sha256: str
    hypotheses: List[str]
    log: Log
    sentences_per_second: float
    peak_memory_gb: Optional[float]
    search: str
    flags: str

    def figures(self) -> Dict[str, Optional[float]]:
        """The numbers that a comparison shows beside the scores."""
        return {
            "parameters": self.log.parameters,
            "updates": self.log.epochs[-1][0],
            "training seconds": sum(seconds for _, _, seconds in self.log.epochs),
            "tokens/s": statistics.median(rate for _, rate, _ in self.log.epochs),
            "sentences/s": self.sentences_per_second,
            "peak memory, GB": self.peak_memory_gb,
            "validation perplexity": self.log.validations[-1][1],
        }


Systems = Dict[str, List[Run]]  # the runs of every system, a seed each


def read(folder: str, name: str) -> List[str]:
    """The lines of a file of a run.

    Raises:
        ValueError: it is not there
    """
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        raise ValueError(f"{path} is missing: run the recipe to its end")
    return read_lines(path)


def number_after(key: str, line: str) -> float:
    """The number of ``| key 1,234.5 |`` in a line of fairseq's log.

    Raises:
        ValueError: the line has none
    """
    found = re.search(rf"\| {key} ([-\d.,e+]+|inf|nan)", line)
    if found is None:
        raise ValueError(f"no '{key}' in the line '{line}'")
    return float(found[1].replace(",", ""))


def read_log(folder: str) -> Log:
    """Fairseq's ``train.log``.

    Raises:
        ValueError: it is not the log of a training that has ended an epoch and validated
    """
    parameters, epochs, validations = 0, {}, {}
    path = os.path.join(folder, "train.log")
    for number, line in enumerate(read(folder, "train.log"), start=1):
        try:
            counted = re.search(r"num\. shared model params: ([\d,]+)", line)
            if counted:
                parameters = int(counted[1].replace(",", ""))
            epoch = re.search(r"\bepoch (\d+) \| ", line)
            if epoch and " valid on " in line:
                updates = int(number_after("num_updates", line))
                validations[updates] = (updates, number_after("ppl", line))
            elif epoch and "| train_wall " in line:
                values = [number_after(key, line) for key in ("num_updates", "wps", "train_wall")]
                epochs[int(epoch[1])] = (int(values[0]), values[1], values[2])
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    if not (parameters and epochs and validations):
        raise ValueError(f"{path} has no epoch with its end: run the recipe to its end")
    return Log(parameters, [epochs[number] for number in sorted(epochs)], sorted(validations.values()))


def read_peak(folder: str) -> Optional[float]:
    """Gigabytes of the training's largest process; None where nobody has measured them.

    Raises:
        ValueError: a line that recipes/measure.py does not write
    """
    path = os.path.join(folder, "training.jsonl")
    if not os.path.isfile(path):
        return None
    try:
        return max(json.loads(line)["peak_memory_gb"] for line in read_lines(path))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not what recipes/measure.py writes: {error!r}") from error


def read_run(folder: str) -> Run:
    """The folder of a finished run.

    Raises:
        ValueError: something is missing or not what a recipe writes; names the file
    """
    path = os.path.join(folder, "scores.json")
    try:
        scores = json.loads("\n".join(read(folder, "scores.json")))
        metrics = {name: Metric(one["score"], one["signature"]) for name, one in scores.items() if type(one) is dict}
        source, reference = (os.path.normpath(os.path.join(folder, scores[side])) for side in ("source", "reference"))
        sha256 = scores["reference_sha256"]
        metrics["BLEU"]  # which every recipe has
    except (json.JSONDecodeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not what recipes/score.py writes: {error!r}") from error
    named = [name for name in sorted(os.listdir(folder)) if re.fullmatch(r"hypotheses\.\w+", name)]
    if len(named) != 1:
        raise ValueError(
            f"{folder} must have one file hypotheses.LANGUAGE, not {len(named)}: run the recipe to its end"
        )
    rates = [found[1] for line in read(folder, "generate.log")
             if (found := re.search(r"Translated .* \(([\d.,]+) sentences/s", line))]  # fmt: skip
    if not rates:
        raise ValueError(f"{os.path.join(folder, 'generate.log')} does not tell sentences/s: run the recipe to its end")
    return Run(
        folder,
        metrics,
        source,
        reference,
        sha256,
        read(folder, named[0]),
        read_log(folder),
        float(rates[-1].replace(",", "")),
        read_peak(folder),
        " ".join(read(folder, "search.args")),
        "\n".join(read(folder, "flags.args")),
    )


def read_systems(named: List[str]) -> Systems:
    """The runs of every ``NAME=DIR,DIR...``, which are seeds of one system.

    Raises:
        ValueError: another form, a name or folder given twice, or what is wrong with a folder
    """
    systems: Systems = {}
    folders: List[str] = []
    for one in named:
        name, equals, given = one.partition("=")
        if not (name and equals and given):
            raise ValueError(f"--run {one}: must be NAME=DIR, or NAME=DIR,DIR for several seeds")
        if name in systems:
            raise ValueError(f"--run {one}: the name {name} is given twice")
        for folder in given.split(","):
            if os.path.realpath(folder) in folders:
                raise ValueError(f"--run {one}: {folder} is given twice")
            folders.append(os.path.realpath(folder))
        systems[name] = [read_run(folder) for folder in given.split(",")]
    return systems


def require_comparable(systems: Systems) -> None:
    """Checks that all runs were scored on the same text and in the same way.

    Raises:
        ValueError: two that were not; names both
    """
    first, *others = [run for runs in systems.values() for run in runs]
    sources = read_lines(first.source)
    for other in others:
        both = f"{first.folder} and {other.folder}"
        if first.reference_sha256 != other.reference_sha256:
            raise ValueError(f"{both} were scored on different test sets, {first.reference} and {other.reference}")
        if read_lines(other.source) != sources:
            raise ValueError(f"{both} have different sources, {first.source} and {other.source}")
        if list(first.metrics) != list(other.metrics):
            raise ValueError(f"{both} have different scores: {', '.join(first.metrics)}; {', '.join(other.metrics)}")
        for name, metric in first.metrics.items():
            signature = other.metrics[name].signature
            if metric.signature != signature:
                raise ValueError(f"{both} have different signatures of {name}: {metric.signature}; {signature}")
