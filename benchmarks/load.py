"""Has ``recipes/translate.py`` translate many lines, and watches its memory, its order and its progress.

``python benchmarks/load.py CHECKPOINT TEXT --lines 100000 --picture FILE``: the lines of TEXT come again and again, in
random order. It prints how many lines a second came out, and the largest memory of the process in the second tenth
and in the last of the time; it fails where a line is lost, comes out of order, or is translated otherwise than before.
"""

import argparse
import logging
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List, NamedTuple

from matplotlib.figure import Figure

from fairseq_bahdanau.text import read_lines

ROOT = Path(__file__).resolve().parents[1]
PAGE_MB = 4096 / 1e6


class Moment(NamedTuple):
    """A moment tells how many lines had come out by then, and how much memory the process had."""

    seconds: float
    lines: int
    memory_mb: float


def memory_mb(process: int) -> float:
    """Returns the resident memory of a process, as Linux counts it."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_MB


def translate(command: List[str], lines: List[str]) -> tuple:
    """Runs the program on the lines; returns what came out, and a moment for every thousand lines."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        began = time.monotonic()
        with subprocess.Popen([*command, "--input", file.name], stdout=subprocess.PIPE, text=True) as process:
            found, moments = [], []
            for line in process.stdout or ():
                found.append(line.rstrip("\n"))
                if len(found) % 1000 == 0:
                    moments.append(Moment(time.monotonic() - began, len(found), memory_mb(process.pid)))
    if process.returncode:
        sys.exit(f"load.py: translate.py ended with {process.returncode} after {len(found)} lines")
    return found, moments


def require_order(lines: List[str], found: List[str]) -> None:
    """Stops unless every line has the translation that it had the first time."""
    if len(lines) != len(found):
        sys.exit(f"load.py: {len(lines)} lines in, {len(found)} lines out")
    first: dict = {}
    for number, (line, translation) in enumerate(zip(lines, found), start=1):
        if first.setdefault(line, translation) != translation:
            sys.exit(f"load.py: line {number}, '{line}', is now '{translation}', and was '{first[line]}'")


def draw(moments: List[Moment], path: str) -> None:
    """Draws memory against lines."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([moment.lines for moment in moments], [moment.memory_mb for moment in moments])
    axes.set(xlabel="lines translated", ylabel="memory of the process, MB", ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Translates as many lines as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", help="that a recipe has trained")
    parser.add_argument("text", help="lines of its source language")
    parser.add_argument("--lines", type=int, default=100000, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--picture", metavar="FILE", help="of memory against lines")
    args, given = parser.parse_known_args()
    logging.getLogger().setLevel(logging.WARNING)  # importing fairseq has told matplotlib to say all it does
    text = read_lines(args.text)
    lines = random.Random(1).choices(text, k=args.lines)
    command = [sys.executable, str(ROOT / "recipes" / "translate.py"), args.checkpoint, *given]
    found, moments = translate(command, lines)
    require_order(lines, found)
    tenth = max(1, len(moments) // 10)
    early, late = (max(moment.memory_mb for moment in part) for part in (moments[tenth : 2 * tenth], moments[-tenth:]))
    print(f"{len(found)} lines in order, {len(found) / moments[-1].seconds:.1f} lines/s with its start; "
          f"memory {early:.0f} MB in the second tenth, {late:.0f} MB in the last")  # fmt: skip
    if args.picture:
        draw(moments, args.picture)


if __name__ == "__main__":
    main()
