"""Writes the figures of benchmarks/results into docs/speed.md and README.md, between two marks, and nowhere else.

    python benchmarks/report.py

Whatever stands between the marks is replaced, so no figure is typed; a test holds the pages to this.
"""

import statistics
from pathlib import Path
from typing import Dict, List

import results
from results import Run

from fairseq_bahdanau.tables import markdown_table
from fairseq_bahdanau.text import write_lines

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- figures: python benchmarks/report.py -->", "<!-- end of figures -->"
NOTHING = "Nothing was measured yet."
BASE = "lstm"
# What the README shows: the names of tables, and the heads of their columns.
SHOWN = {
    "Training, small": "training, small",
    "Training, paper": "training, paper",
    "Search with beam 5, small": "beam 5, small",
    "Search with beam 5, paper": "beam 5, paper",
}

Machines = Dict[str, Dict[str, List[Run]]]  # name of a machine, name of a table, runs


def read_all(folder: Path) -> Machines:
    """Reads the results of all machines."""
    return {path.stem: results.read(path) for path in sorted(folder.glob("*.json"))}


def in_full(machines: Machines) -> List[str]:
    """Writes every table of every machine, for docs/speed.md."""
    lines = ["## Measured", ""]
    for machine, tables in machines.items():
        for name, runs in tables.items():
            lines += [*results.markdown(machine, name, runs), ""]
    return lines[:-1] if machines else [*lines, NOTHING]


def ratios(system: str, runs: List[Run]) -> str:
    """Writes how many times as fast as fairseq's ``lstm`` a system was, in every run that has both."""
    figures = [run["figures"][""] for run in runs]
    return " / ".join(
        f"{statistics.median(rows[system]) / statistics.median(rows[BASE]):.2f}"
        for rows in figures
        if system in rows and BASE in rows
    )


def in_short(machines: Machines) -> List[str]:
    """Writes one table of ratios for every machine, for README.md, with what tells whether the machine was quiet."""
    lines: List[str] = []
    for tables in machines.values():
        shown = {head: tables[name] for name, head in SHOWN.items() if name in tables}
        if not shown:
            continue
        runs = [run for several in shown.values() for run in several]
        noises = [
            f"{head}, run {count}: {what}"
            for head, several in shown.items()
            for count, run in enumerate(several, start=1)
            for what in results.noise(run)
        ]
        systems = dict.fromkeys(system for run in runs for system in run["figures"][""])
        rows = [
            [system, *(ratios(system, several) for several in shown.values())]
            for system in systems
            if system != BASE and not system.startswith("products")
        ]
        lines += [
            f"How many times as fast as fairseq's `{BASE}`; two numbers are two runs at different times; a greater "
            "number than ours is faster. [All figures](docs/speed.md). "
            f"{'; '.join(dict.fromkeys(run['processor'] for run in runs))}; cores: {runs[-1]['cores']}, "
            f"threads: {', '.join(dict.fromkeys(str(run['threads']) for run in runs))}; commit "
            f"{', '.join(dict.fromkeys(run['commit'] for run in runs))}."
            + (f" Not a quiet machine: {'; '.join(noises)}." if noises else ""),
            "",
            *markdown_table(["", *shown], rows),
            "",
        ]
    return lines[:-1] or [NOTHING]


def rewritten(page: str, figures: List[str], first: str = BEGIN, last: str = END) -> str:
    """Returns a page with these lines between its marks, which are lines of the page.

    Raises:
        ValueError: not one region of that sort
    """
    before, begin, rest = page.partition(first)
    _, end, after = rest.partition(last)
    if not end or first in rest or last in before + after:
        raise ValueError(f"the page needs one {first} and one {last} after it")
    return "\n".join([before + begin, "", *figures, "", end + after])


def pages(root: Path, machines: Machines) -> Dict[Path, str]:
    """Returns the pages that have figures, as they should be; the README only where it has the first mark."""
    wanted = {root / "docs" / "speed.md": in_full(machines)}
    if BEGIN in (root / "README.md").read_text(encoding="utf-8"):
        wanted[root / "README.md"] = in_short(machines)
    return {path: rewritten(path.read_text(encoding="utf-8"), figures) for path, figures in wanted.items()}


def main() -> None:
    """Rewrites the pages of this repository."""
    for path, page in pages(ROOT, read_all(RESULTS)).items():
        write_lines(str(path), page.splitlines())
        print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
