"""Runs a command and writes down how long it took, how much of that on processors, and its memory at the most.

``python measure.py --record FILE -- COMMAND ...`` appends a line of JSON to FILE when the command has ended well, so
that a training which was interrupted and went on has a line for its last part only; its exit code is the command's.
"""

import argparse
import resource
import signal
import subprocess
import sys
import time
from typing import Optional

from fairseq_bahdanau.runs import Costs


def main() -> None:
    """Runs and measures the command that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--record", required=True, metavar="FILE", help="a line of JSON is appended to it")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --, with its arguments")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell ignores it on behalf of what it starts in the background
    process: Optional[subprocess.Popen] = None

    def end(*_: object) -> None:  # who ends this process means the command
        if process is None:
            sys.exit(128 + signal.SIGTERM)
        process.terminate()

    signal.signal(signal.SIGTERM, end)
    began = time.monotonic()
    try:
        # The command inherits the recipe's lock on the folder, and keeps it where it outlives the recipe.
        process = subprocess.Popen(args.command, close_fds=False)
    except OSError as error:
        sys.exit(f"measure.py: {args.command[0]}: {error.strerror}")
    code = process.wait()
    if code:
        sys.exit(code if code > 0 else 128 - code)
    # Of the largest process that has ended, and its own children; Linux counts in KiB.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, worked = time.monotonic() - began, used.ru_utime + used.ru_stime
    costs = Costs(round(seconds, 1), round(used.ru_maxrss * 1024 / 1e9, 3), round(worked, 1))
    try:
        costs.append_to(args.record)
    except OSError as error:
        sys.exit(f"measure.py: --record {args.record}: {error.strerror}")


if __name__ == "__main__":
    main()
