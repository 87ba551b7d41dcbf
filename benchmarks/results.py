"""Figures are kept here in a file for each machine, with what they depend on, and written as Markdown tables.

A file has the last two runs of every table: ``{name of a table: [run, run]}``, each with all its rounds.
"""

import json
import statistics
from pathlib import Path
from typing import Dict, List, NamedTuple, TypedDict

from fairseq_bahdanau.tables import markdown_table
from fairseq_bahdanau.text import write_lines

KEPT = 2
# A run is noisy whose load at its start is greater, or in which the rounds of the base differ by more of their median.
QUIET_LOAD, QUIET_ROUNDS = 0.5, 0.15

Figures = Dict[str, Dict[str, List[float]]]  # column, system, rounds


class Conditions(TypedDict):
    """Holds what a figure depends on."""

    date: str
    commit: str
    load: float  # at the start
    processor: str
    cores: int
    threads: int
    torch: str
    python: str
    command: str


class Run(Conditions):
    """Holds one measurement of a table, its columns in ``figures``; ratios are those to ``base``."""

    unit: str
    base: str
    figures: Figures


class Table(NamedTuple):
    """Holds what a part of the benchmarks has measured, without the conditions."""

    name: str
    unit: str
    base: str
    figures: Figures


def run_of(table: Table, conditions: Conditions) -> Run:
    """Joins figures and conditions; six digits are kept."""
    figures = {
        column: {system: [float(f"{value:.6g}") for value in rounds] for system, rounds in systems.items()}
        for column, systems in table.figures.items()
    }
    return {**conditions, "unit": table.unit, "base": table.base, "figures": figures}


def read(path: Path) -> Dict[str, List[Run]]:
    """Returns the runs of every table of a machine's file, none where there is no file yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def store(path: Path, name: str, run: Run) -> None:
    """Appends a run of the table ``name`` to a machine's file; of more than two runs the oldest goes."""
    tables = read(path)
    tables[name] = [*tables.get(name, []), run][-KEPT:]
    path.parent.mkdir(parents=True, exist_ok=True)
    # A run is a line, so that a diff shows which runs are new.
    blocks = (f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, runs)) + "\n]" for name, runs in tables.items())
    write_lines(str(path), ["{", ",\n".join(blocks), "}"])


def noise(run: Run) -> List[str]:
    """Says what tells that the machine was not quiet, with the number; nothing where it was."""
    found = []
    if run["load"] > QUIET_LOAD:
        found.append(f"load {run['load']:.2f} at the start")
    base = run["base"]
    rounds = [systems[base] for systems in run["figures"].values()]
    worst = max((max(values) - min(values)) / statistics.median(values) for values in rounds)
    if worst > QUIET_ROUNDS:
        found.append(f"the rounds of {base} differ by {100 * worst:.1f} %")
    return found


def number(value: float) -> str:
    """Writes a figure with four digits, or all before the point."""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def cell(rounds: List[float], base: List[float]) -> str:
    """Writes the median, the least and the greatest, and how many times the base's median it is."""
    middle = statistics.median(rounds)
    spread = f" ({number(min(rounds))} – {number(max(rounds))})" if len(rounds) > 1 else ""
    return f"{number(middle)}{spread}, {middle / statistics.median(base):.2f}"


def lead(run: Run, column: str, one: str, other: str) -> float:
    """Returns by which part of the other's speed, or memory, one system is better; below 0 where it is worse."""
    mine, theirs = (statistics.median(run["figures"][column][system]) for system in (one, other))
    if run["unit"].startswith("GB"):
        return 1 - mine / theirs
    return mine / theirs - 1 if run["unit"].endswith("/s") else theirs / mine - 1


def better_peers(runs: List[Run]) -> str:
    """Says which peers are better than one of ours, and by how much, however little; or that none is."""
    verb = "needs less memory" if runs[0]["unit"].startswith("GB") else "is faster"
    found: Dict[str, List[str]] = {}
    compared = False
    for count, run in enumerate(runs, start=1):
        for column, systems in run["figures"].items():
            peers = [system for system in systems if not system.startswith(("ours", "products"))]
            for ours in (system for system in systems if system.startswith("ours")):
                for peer in peers:
                    compared = True
                    by = 100 * lead(run, column, peer, ours)
                    if by > 0:
                        size = f"{by:.1f} %" if by >= 0.1 else "less than 0.1 %"
                        where = f" at {column}" if len(run["figures"]) > 1 else ""
                        found.setdefault(f"{peer} {verb} than {ours}", []).append(f"{size}{where} in run {count}")
    if not compared:
        return "No peer was measured beside ours."
    if not found:
        return f"No peer {verb} than ours."
    return " ".join(f"{who} by {' and by '.join(how)}." for who, how in found.items())


def conditions_of(run: Run, count: int) -> str:
    """Writes the line about one run that stands above its table."""
    return (
        f"- run {count}: {run['processor']}; cores: {run['cores']}, threads: {run['threads']}; {run['date']}, "
        f"commit {run['commit']}, load {run['load']:.2f}; torch {run['torch']}, Python {run['python']}; "
        f"`{run['command']}`"
    )


def markdown(machine: str, name: str, runs: List[Run]) -> List[str]:
    """Writes a table with all that belongs to it: heading, conditions, figures, and who is better than ours.

    Args:
        machine: the name of its file
        name: of the table
        runs: one or two
    """
    unit, base = runs[-1]["unit"], runs[-1]["base"]
    noises = [f"run {count}: {what}" for count, run in enumerate(runs, start=1) for what in noise(run)]
    quiet = f" (not a quiet machine: {'; '.join(noises)})" if noises else ""
    columns = list(dict.fromkeys(column for run in runs for column in run["figures"]))
    systems = list(dict.fromkeys(row for run in runs for rows in run["figures"].values() for row in rows))

    def cell_of(run: Run, column: str, system: str) -> str:
        rows = run["figures"].get(column, {})
        return cell(rows[system], rows[run["base"]]) if system in rows else ""

    counted = list(enumerate(runs, start=1))
    if len(columns) == 1:
        head = ["", *(f"run {count}, against {run['base']}" for count, run in counted)]
        rows = [[system, *(cell_of(run, columns[0], system) for run in runs)] for system in systems]
    else:
        head = [f"against {base}", *columns]
        rows = [
            [f"{system}, run {count}", *(cell_of(run, column, system) for column in columns)]
            for system in systems
            for count, run in counted
        ]
    return [
        f"### {machine}: {name}: {unit}{quiet}",
        "",
        *(conditions_of(run, count) for count, run in counted),
        "",
        *markdown_table(head, rows),
        "",
        better_peers(runs),
    ]
