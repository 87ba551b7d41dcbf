"""The modules here are command-line tools: ``python -m fairseq_bahdanau.cli.average --help``.

This file holds what they share.
"""

import argparse
import logging
import os
from typing import Callable, List, Optional

from fairseq_bahdanau.complaints import complaining

# Importing fairseq tells every library to log all it does (fairseq/models/wav2vec/wav2vec2_classification.py), and
# matplotlib, when it is imported after that, does.
logging.getLogger("matplotlib").setLevel(logging.WARNING)


def log_as_fairseq() -> None:
    """Logs from that level on from which fairseq's own commands do, whatever importing fairseq has set.

    Raises:
        ValueError: the environment names no level
    """
    level = os.environ.get("LOGLEVEL", "INFO")
    try:
        logging.getLogger().setLevel(level.upper())
    except ValueError as error:
        raise ValueError(f"LOGLEVEL={level} in the environment is no level, such as INFO or WARNING") from error


def new_parser(tool: str, description: str) -> argparse.ArgumentParser:
    """Makes the parser of a tool's command line, still without options.

    Args:
        tool: the name of its module
        description: what it does, for ``--help``
    """
    return argparse.ArgumentParser(prog=f"python -m fairseq_bahdanau.cli.{tool}", description=description)


def run_and_print(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], List[str]],
    arguments: Optional[List[str]],
) -> None:
    """Parses a command line, runs a function on it, and prints the lines that it returns.

    An error of the function is printed as one line, and the exit code is 2.

    Args:
        parser: of the command line
        run: from the parsed options to lines
        arguments: of the command line; None: the program's own
    """
    args = parser.parse_args(arguments)
    with complaining(f"{parser.prog}: error", code=2):
        log_as_fairseq()
        print("\n".join(run(args)))


def make_output_folder(path: str) -> None:
    """Makes the folder that ``--output`` names.

    Raises:
        ValueError: it cannot be made; names the option
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--output {path}: {error.strerror}") from error
