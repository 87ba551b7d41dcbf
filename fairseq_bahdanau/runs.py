"""A run is one training, its translations of the test set and their scores; this is the format of a run's folder.

The stages of a recipe write it, and comparisons read it. Names of files and keys are written down here, writer beside
reader. The standard library is all that this file needs.
"""

import errno
import hashlib
import json
import os
import re
import statistics
from typing import Any, Callable, Dict, List, NamedTuple, Optional, TypeVar

from .fairseq_logs import TrainingLog, read_training_log, read_translation_rate
from .tables import named_values
from .text import read_lines

# The files of a run, and the stage of a recipe that writes each; fairseq writes the logs, recipes/stages.sh the flags.
SCORES, HYPOTHESES = "scores.json", "hypotheses.LANGUAGE"
FLAGS, TRAINING_LOG, TRAINING_COSTS = "flags.args", "train.log", "training.jsonl"
SEARCH, TRANSLATION_LOG = "search.args", "generate.log"
STAGES = {
    **dict.fromkeys((FLAGS, TRAINING_LOG, TRAINING_COSTS), "train"),
    **dict.fromkeys((SEARCH, TRANSLATION_LOG), "translate"),
    **dict.fromkeys((SCORES, HYPOTHESES), "score"),
}
Content = TypeVar("Content")


class Metric(NamedTuple):
    """A metric is held as its score and sacrebleu's signature, which says how that was computed."""

    score: float
    signature: str


class Scores(NamedTuple):
    """The scores of a run say what its translations are worth, and on which text."""

    sentences: int
    source: str  # a path, relative to the folder of the run
    reference: str  # likewise
    reference_sha256: str  # of its lines, joined by line feeds
    metrics: Dict[str, Metric]  # one is called BLEU

    def to_json(self) -> str:
        """Writes the scores as the content of ``scores.json``: the texts, and beside them every metric by its name."""
        fields = self._asdict()
        metrics = {name: metric._asdict() for name, metric in fields.pop("metrics").items()}
        return json.dumps({**fields, **metrics}, indent=2)

    @classmethod
    def from_json(cls, content: str) -> "Scores":
        """Reads what :meth:`to_json` has written.

        Raises:
            ValueError, KeyError, AttributeError: something else
        """
        given = json.loads(content)
        metrics = {name: Metric(one["score"], one["signature"]) for name, one in given.items() if type(one) is dict}
        metrics["BLEU"]  # which every recipe has
        for name, (score, signature) in metrics.items():
            if type(score) not in (int, float) or not all(":" in field for field in signature.split("|")):
                raise ValueError(f"{name} has the score {score!r} and the signature {signature!r}")
        return cls(**{field: given[field] for field in cls._fields[:-1]}, metrics=metrics)


class Costs(NamedTuple):
    """The costs of a command are how long it ran, the memory of its largest process, and the work of its processors."""

    seconds: float
    peak_memory_gb: float
    cpu_seconds: Optional[float] = None

    def append_to(self, path: str) -> None:
        """Appends the costs to a file as a line of JSON, all of it or nothing; several machines may do so at once.

        Raises:
            OSError: the file cannot be written, or there is no room for the line
        """
        line = json.dumps(self._asdict()).encode() + b"\n"
        with open(path, "ab", buffering=0) as file:
            before = file.tell()
            if file.write(line) != len(line):
                file.truncate(before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    @classmethod
    def from_json(cls, line: str) -> "Costs":
        """Reads a line that :meth:`append_to` has written.

        Raises:
            ValueError, KeyError, TypeError: something else
        """
        given = json.loads(line)
        return cls(given["seconds"], given["peak_memory_gb"], given.get("cpu_seconds"))


class Run(NamedTuple):
    """A run is one training and its translations, as the folder of a run holds them."""

    folder: str
    scores: Scores
    source: str  # paths that can be opened
    reference: str
    hypotheses: List[str]
    log: TrainingLog
    sentences_per_second: float
    peak_memory_gb: Optional[float]  # of the training; None where nobody has measured it
    search: str
    flags: str

    def figures(self) -> Dict[str, Any]:
        """Returns the numbers that a comparison shows beside the scores."""
        return {
            "parameters": self.log.parameters,
            "updates": self.log.epochs[-1].updates,
            "training seconds": sum(epoch.seconds for epoch in self.log.epochs),
            "tokens/s": statistics.median(epoch.tokens_per_second for epoch in self.log.epochs),
            "sentences/s": self.sentences_per_second,
            "peak memory, GB": self.peak_memory_gb,
            "validation perplexity": self.log.validations[-1].perplexity,
        }


def checksum(lines: List[str]) -> str:
    """Returns the SHA-256 of a text's lines, joined by line feeds."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def run_stage(file: str) -> str:
    """Says which stage of the recipe writes a file of a run."""
    return f"run the recipe's stage '{STAGES[file]}'"


def read_file(folder: str, file: str, read: Callable[[str], Content]) -> Content:
    """Reads a file of a run by a function of its path.

    Raises:
        ValueError: it is missing, or not what a recipe writes; names the file and the stage to run again
    """
    path = os.path.join(folder, file)
    if not os.path.isfile(path):
        raise ValueError(f"{path} is missing: {run_stage(file)}")
    try:
        return read(path)
    except (KeyError, AttributeError, TypeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not what a recipe writes ({error!r}): {run_stage(file)}") from error
    except ValueError as error:
        raise ValueError(f"{error}: {run_stage(file)}") from error


def read_joined(path: str) -> str:
    """Returns the content of a text file, without the last line's end."""
    return "\n".join(read_lines(path))


def read_scores(folder: str) -> Scores:
    """Reads the scores of a run.

    Raises:
        ValueError: they are missing, or not what a recipe writes
    """
    return read_file(folder, SCORES, lambda path: Scores.from_json(read_joined(path)))


def read_peak_memory(folder: str) -> Optional[float]:
    """Reads the gigabytes of the largest process of a training, or None where nobody has measured them.

    Raises:
        ValueError: what was measured is not what a recipe writes
    """
    costs = read_costs(folder)
    return max(part.peak_memory_gb for part in costs) if costs else None


def read_costs(folder: str) -> List[Costs]:
    """Reads what a training has cost: of one that was interrupted, its last part alone; none where nobody has measured.

    Raises:
        ValueError: what was measured is not what a recipe writes
    """
    if not os.path.isfile(os.path.join(folder, TRAINING_COSTS)):
        return []
    costs = read_file(folder, TRAINING_COSTS, lambda path: [Costs.from_json(line) for line in read_lines(path)])
    if not costs:
        raise ValueError(f"{os.path.join(folder, TRAINING_COSTS)} is empty: {run_stage(TRAINING_COSTS)}")
    return costs


def read_run(folder: str) -> Run:
    """Reads the folder of a finished run.

    Raises:
        ValueError: something is missing or not what a recipe writes; names the file and the stage to run again
    """
    scores = read_scores(folder)
    names = [name for name in sorted(os.listdir(folder)) if re.fullmatch(r"hypotheses\.[\w-]+", name)]
    if len(names) != 1:
        raise ValueError(f"{folder} must have one file {HYPOTHESES}, not {len(names)}: {run_stage(HYPOTHESES)}")
    return Run(
        folder=folder,
        scores=scores,
        source=os.path.normpath(os.path.join(folder, scores.source)),
        reference=os.path.normpath(os.path.join(folder, scores.reference)),
        hypotheses=read_lines(os.path.join(folder, names[0])),
        log=read_file(folder, TRAINING_LOG, read_training_log),
        sentences_per_second=read_file(folder, TRANSLATION_LOG, read_translation_rate),
        peak_memory_gb=read_peak_memory(folder),
        search=read_file(folder, SEARCH, read_joined),
        flags=read_file(folder, FLAGS, read_joined),
    )


Systems = Dict[str, List[Run]]  # the runs of every system, a seed each


def read_systems(given: List[str]) -> Systems:
    """Reads the runs of every ``--run NAME=DIR,DIR...``, which are seeds of one system.

    Raises:
        ValueError: another form, a name or folder given twice, or what is wrong with a folder
    """
    systems: Systems = {}
    seen: List[str] = []
    for name, folders in named_values("--run", given, "NAME=DIR, or NAME=DIR,DIR for several seeds").items():
        for folder in folders.split(","):
            if not folder:
                raise ValueError(f"--run {name}={folders}: the name of a folder is empty")
            if os.path.realpath(folder) in seen:
                raise ValueError(f"--run {name}={folders}: {folder} is given twice")
            seen.append(os.path.realpath(folder))
        systems[name] = [read_run(folder) for folder in folders.split(",")]
        require_seeds(systems[name])
    return systems


def require_seeds(runs: List[Run]) -> None:
    """Checks that the runs of one system can be seeds of one model.

    Raises:
        ValueError: they differ in more; names two folders
    """
    for run in runs[1:]:
        for what, one, other in (
            ("parameters", runs[0].log.parameters, run.log.parameters),
            ("options of the search", runs[0].search, run.search),
        ):
            if one != other:
                raise ValueError(f"{runs[0].folder} and {run.folder} are no seeds of one system: {what} {one}; {other}")


def require_comparable(systems: Systems) -> None:
    """Checks that all runs were scored on the same text, that which is there now, and in the same way.

    Raises:
        ValueError: two that were not; names both
    """
    first, *others = [run for of_system in systems.values() for run in of_system]
    if checksum(read_lines(first.reference)) != first.scores.reference_sha256:
        raise ValueError(f"{first.reference} is not the text on which {first.folder} was scored: {run_stage(SCORES)}")
    sources = read_lines(first.source)
    for other in others:
        both = f"{first.folder} and {other.folder}"
        if first.scores.reference_sha256 != other.scores.reference_sha256:
            raise ValueError(f"{both} were scored on different test sets, {first.reference} and {other.reference}")
        if read_lines(other.source) != sources:
            raise ValueError(f"{both} have different sources, {first.source} and {other.source}")
        metrics, other_metrics = first.scores.metrics, other.scores.metrics
        if list(metrics) != list(other_metrics):
            raise ValueError(f"{both} have different scores: {', '.join(metrics)}; {', '.join(other_metrics)}")
        for name, metric in metrics.items():
            signature = other_metrics[name].signature
            if metric.signature != signature:
                raise ValueError(f"{both} have different signatures of {name}: {metric.signature}; {signature}")
