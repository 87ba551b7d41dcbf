"""Notes what a training gave on the validation text, and writes the tables of docs/quality.md from the notes.

    bash recipes/multi30k/run.sh RUNG.args --gen-subset valid
    python benchmarks/quality.py note recipes/multi30k/work/en-de/RUNG --table "Multi30k, en-de" --rung "dropout 0.2"
    python benchmarks/quality.py report

Rungs are chosen on the validation text: nothing here reads a score of a test set.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Dict, List, Optional, TypedDict

from conditions import commit, processor
from report import rewritten

from fairseq_bahdanau import runs
from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.fairseq_logs import read_training_log
from fairseq_bahdanau.tables import markdown_table
from fairseq_bahdanau.text import write_lines

ROOT = Path(__file__).resolve().parent.parent
NOTES, PAGE = ROOT / "benchmarks" / "rungs.json", ROOT / "docs" / "quality.md"
BEGIN, END = "<!-- rungs: python benchmarks/quality.py report -->", "<!-- end of rungs -->"
METRICS = ("BLEU", "BLEU, tokenised, lower-cased", "chrF2")  # that a table shows, where its notes have them


class Note(TypedDict):
    """Holds what one training gave on the validation text, and what that depends on."""

    table: str
    rung: str
    seed: str  # as the folder has it, seed1 where it has none
    flags: str
    parameters: int
    epochs: int
    perplexity: float  # after the last epoch, of the last parameters
    scores: Dict[str, float]  # of the mean of the kept checkpoints, by the names of sacrebleu's metrics
    signatures: Dict[str, str]
    search: str
    cpu_minutes: Optional[float]  # None where not all of the training was measured
    commit: str
    processor: str


def note_of(folder: Path, table: str, rung: str, trained_at: str) -> Note:
    """Reads the folder of a run, with the translations of the validation text in ``valid`` there; the rest is told.

    Raises:
        ValueError: something is missing or not what a recipe writes; names the file and the stage to run again
    """
    given = str(folder)
    log = runs.read_file(given, runs.TRAINING_LOG, read_training_log)
    scores = runs.read_scores(str(folder / "valid"))
    costs = runs.read_costs(given)
    worked = [part.cpu_seconds for part in costs if part.cpu_seconds is not None]
    # Of a training that was interrupted, only the last part is measured.
    whole = sum(part.seconds for part in costs) >= sum(epoch.seconds for epoch in log.epochs)
    return Note(
        table=table,
        rung=rung,
        seed=f"seed{folder.name.rpartition('-seed')[2]}" if "-seed" in folder.name else "seed1",
        flags=runs.read_file(given, runs.FLAGS, runs.read_joined),
        parameters=log.parameters,
        epochs=len(log.epochs),
        perplexity=log.validations[-1].perplexity,
        scores={name: metric.score for name, metric in scores.metrics.items()},
        signatures={name: metric.signature for name, metric in scores.metrics.items()},
        search=runs.read_file(str(folder / "valid"), runs.SEARCH, runs.read_joined),
        cpu_minutes=round(sum(worked) / 60, 1) if whole and len(worked) == len(costs) else None,
        commit=trained_at,
        processor=str(processor()),
    )


def read_notes(path: Path) -> List[Note]:
    """Returns all notes, none where there is no file yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def add(path: Path, note: Note) -> None:
    """Adds a note to the file, in the place of an earlier one of the same table, rung and seed."""
    key = (note["table"], note["rung"], note["seed"])
    kept = [one for one in read_notes(path) if (one["table"], one["rung"], one["seed"]) != key]
    lines = [json.dumps(one) for one in [*kept, note]]  # a line each, so that a diff shows which are new
    write_lines(str(path), ["[", ",\n".join(lines), "]"])


def spread(values: List[Optional[float]], form: str) -> str:
    """Writes a figure of several seeds, as mean and deviation; a dash where one of them has none."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "–"
    mean = format(statistics.mean(known), form)
    return mean if len(known) == 1 else f"{mean} ± {format(statistics.stdev(known), form)}"


def row(notes: List[Note], metrics: List[str]) -> List[str]:
    """Writes the row of one rung, from the notes of its seeds, with these metrics."""
    return [
        notes[0]["rung"],
        spread([one["perplexity"] for one in notes], ".2f"),
        *(spread([one["scores"].get(name) for one in notes], ".2f") for name in metrics),
        f"{notes[0]['parameters']:,}",
        spread([one["epochs"] for one in notes], ".0f"),
        spread([one["cpu_minutes"] for one in notes], ".0f"),
        str(len(notes)),
        ", ".join(dict.fromkeys(one["commit"] for one in notes)),
    ]


def tables(notes: List[Note]) -> List[str]:
    """Writes a table for each set of rungs, in the order in which they were noted."""
    lines: List[str] = []
    for table in dict.fromkeys(note["table"] for note in notes):
        here = [note for note in notes if note["table"] == table]
        rungs = dict.fromkeys(note["rung"] for note in here)
        metrics = [name for name in METRICS if any(name in note["scores"] for note in here)]
        head = ("rung", "validation perplexity", *metrics, "parameters", "epochs", "CPU minutes", "seeds", "commit")
        rows = [row([note for note in here if note["rung"] == rung], metrics) for rung in rungs]
        searches = "; ".join(dict.fromkeys(f"`{note['search']}`" for note in here))
        machines = "; ".join(dict.fromkeys(note["processor"] for note in here))
        shown = [name for name in metrics if name.startswith("BLEU")]
        signatures = "; ".join(dict.fromkeys(f"`{note['signatures'][name]}`" for name in shown for note in here))
        lines += [
            f"### {table}",
            "",
            *markdown_table(head, rows),
            "",
            f"{machines}. {searches}. BLEU: {signatures}.",
            "",
        ]
    return lines[:-1] or ["Nothing was noted yet."]


def main() -> None:
    """Notes a run, or writes the page, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    noting = commands.add_parser("note", help="note a finished run")
    noting.add_argument("run", type=Path, metavar="RUN", help="its folder, work/SRC-TGT/MODEL")
    noting.add_argument("--table", required=True, help="the table in which it stands: data and languages")
    noting.add_argument("--rung", required=True, help="what it changes")
    noting.add_argument("--commit", default=commit(ROOT), help="at which it was trained (default: %(default)s)")
    commands.add_parser("report", help="write docs/quality.md")
    args = parser.parse_args()
    with complaining("quality.py"):
        if args.command == "note":
            add(NOTES, note_of(args.run, args.table, args.rung, args.commit))
        else:
            page = rewritten(PAGE.read_text(encoding="utf-8"), tables(read_notes(NOTES)), BEGIN, END)
            write_lines(str(PAGE), page.splitlines())


if __name__ == "__main__":
    main()
