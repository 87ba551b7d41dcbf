"""How the command-line tools read and write."""

import argparse
import contextlib
import os
import sys
from typing import Callable, Iterator, List, Optional


def read_lines(path: str) -> List[str]:
    """The lines of a UTF-8 file, or of standard input where ``path`` is ``-``.

    Lines are cut at ``\\n`` alone and a carriage return counts as a space, so that no line is ever split or lost.

    Raises:
        ValueError: a file that is not there, or not UTF-8
    """
    try:
        if path == "-":
            content = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                content = file.read()
        text = content.decode("utf-8").replace("\r", " ")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text, at byte {error.start}") from error
    return text[: -1 if text.endswith("\n") else None].split("\n") if text else []


@contextlib.contextmanager
def complete(path: str) -> Iterator[str]:
    """The name of a file to write instead of ``path``. When the block ends it takes that name, or is removed if there
    was an error."""
    part = f"{path}.part"
    try:
        yield part
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)


def write_text(path: str, lines: List[str]) -> None:
    """Writes these lines to a file that is either complete or not there."""
    with complete(path) as part, open(part, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def require_same_length(first: str, first_lines: List[str], second: str, second_lines: List[str]) -> None:
    """Checks two files that belong together line by line.

    Raises:
        ValueError: their numbers of lines differ; names both
    """
    if len(first_lines) != len(second_lines):
        raise ValueError(f"{first} has {len(first_lines)} lines, but {second} has {len(second_lines)}")


def run_and_print(
    parser: argparse.ArgumentParser,
    function: Callable[[argparse.Namespace], List[str]],
    arguments: Optional[List[str]],
) -> None:
    """Reads the command line (``arguments``, or the program's own) and prints the lines that a function makes of it; a
    ValueError of its becomes a complaint of one line."""
    args = parser.parse_args(arguments)
    try:
        lines = function(args)
    except ValueError as error:
        parser.error(str(error))
    print("\n".join(lines))
