"""Commands and recipes read lines, write files, and take and print small tables by the functions here, all in one way.

The standard library is all that they need, so that a small script can load this file without torch and fairseq.
"""

import contextlib
import errno
import fcntl
import gzip
import itertools
import os
import re
import sys
import zlib
from typing import Iterable, Iterator, List, Sequence, Sized, TextIO

# ---------------------------------------------------------------------------------------------------------- reading


# How files begin that are no text in UTF-8, and what a user does about it.
OTHER_FORMATS = {
    b"\x1f\x8b": "compressed by gzip: decompress it (a file may also be named .gz)",
    b"BZh": "compressed by bzip2: decompress it",
    b"\xfd7zXZ": "compressed by xz: decompress it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: decompress it",
    b"PK\x03\x04": "a zip archive: unpack it",
    b"\xff\xfe": "UTF-16 text: iconv -f UTF-16 -t UTF-8 converts it",
    b"\xfe\xff": "UTF-16 text: iconv -f UTF-16 -t UTF-8 converts it",
}


def require_text(name: str, head: bytes) -> None:
    """Checks the first line of a file, since bytes of another format may by chance be those of a text.

    Raises:
        ValueError: a compressed file, or UTF-16; says what to do
    """
    for signature, advice in OTHER_FORMATS.items():
        letters = signature.isascii() and signature.isalnum()  # with which a text may begin, too
        if head.startswith(signature) and not (letters and head.isascii()):
            raise ValueError(f"{name} is {advice}")
    if head.count(0) * 3 > len(head):
        raise ValueError(f"{name} has a NUL byte in every other place, and is no text in UTF-8 (UTF-16?)")


def decode_lines(file: Iterable[bytes], name: str, errors: str = "strict") -> Iterator[str]:
    r"""Decodes the lines of an open UTF-8 file one by one, without their ends: the one rule by which text is read.

    Lines are cut at ``\n`` alone and a carriage return counts as a space, so that no line is ever split or lost; in
    front of ``\n`` it is part of the line's end. A byte order mark at the head of the file is no part of the text.

    Args:
        file: yields lines as bytes, as every binary file does
        name: what a complaint calls it
        errors: ``replace`` puts a sign in the place of bytes that are not UTF-8, and says so on standard error;
            ``strict`` refuses them

    Raises:
        ValueError: bytes that are not UTF-8, or another format altogether; names the line
    """
    begin = 0
    for number, line in enumerate(file, start=1):
        if number == 1:
            require_text(name, line)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            where = f"{name}, line {number}"
            if errors == "strict":
                raise ValueError(f"{where}: not UTF-8 text, at byte {begin + error.start}") from error
            print(f"{where}: bytes that are not UTF-8 are replaced by \N{REPLACEMENT CHARACTER}", file=sys.stderr)
            text = line.decode("utf-8", errors)
        if number == 1 and text.startswith("\ufeff"):
            text = text[1:]
        yield re.sub(r"\r?\n\Z", "", text).replace("\r", " ")
        begin += len(line)


@contextlib.contextmanager
def open_bytes(path: str) -> Iterator[Iterable[bytes]]:
    """Opens a file, standard input where ``path`` is ``-``, or what ``path.gz`` holds, for its lines as bytes.

    Raises:
        ValueError: a file that is not there, or cannot be decompressed
    """
    try:
        if path == "-":
            yield sys.stdin.buffer
        elif path.endswith(".gz"):
            with gzip.open(path, "rb") as file:
                yield file
        else:
            with open(path, "rb") as file:
                yield file
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or f"not a whole gzip file ({error})"
        raise ValueError(f"cannot read {path}: {reason}") from error


def stream_lines(path: str, errors: str = "strict") -> Iterator[str]:
    r"""Yields the lines of a UTF-8 file as they are needed; see :func:`open_bytes` and :func:`decode_lines`.

    Args:
        path: the file; ``-``: standard input
        errors: as :func:`decode_lines` takes it

    Raises:
        ValueError: a file that is not there, or not UTF-8
    """
    with open_bytes(path) as file:
        yield from decode_lines(file, "standard input" if path == "-" else path, errors)


def read_lines(path: str, errors: str = "strict") -> List[str]:
    """Returns all lines of a UTF-8 file, or of standard input where ``path`` is ``-``; see :func:`stream_lines`."""
    return list(stream_lines(path, errors))


def stream_parallel_lines(paths: Sequence[str]) -> Iterator[tuple]:
    """Yields the lines of several files that belong together side by side, a tuple for every line.

    Raises:
        ValueError: one file has fewer lines than another
    """
    missing = object()
    for number, row in enumerate(itertools.zip_longest(*map(stream_lines, paths), fillvalue=missing)):
        if missing in row:
            short = paths[row.index(missing)]
            others = " and ".join(path for path in paths if path != short)
            raise ValueError(f"{short} ends after {number} lines, but {others} goes on: they do not belong together")
        yield row


def require_same_number_of_lines(first: str, first_lines: Sized, second: str, second_lines: Sized) -> None:
    """Checks two files that belong together line by line.

    Raises:
        ValueError: their numbers of lines differ; names both
    """
    if len(first_lines) != len(second_lines):
        raise ValueError(f"{first} has {len(first_lines)} lines, but {second} has {len(second_lines)}")


# ---------------------------------------------------------------------------------------------------------- writing


UNWRITTEN = b"\x00this file is being written\n"  # what is in a part until somebody writes it


def require_replaceable(path: str) -> None:
    """Checks that a file may take the place of what is at a path: a device, a pipe or a folder would be lost.

    Raises:
        ValueError: there is something else than a file
    """
    of_devices = os.path.realpath(os.path.dirname(os.path.abspath(path))) == "/dev"  # also its links to open files
    if of_devices or (os.path.exists(path) and not os.path.isfile(path)):
        raise ValueError(f"{path} cannot be written: it is a folder or a device, in whose place a file would be put")


@contextlib.contextmanager
def claimed(path: str) -> Iterator[str]:
    """Gives the name of the part of a file that is being written, which no other process has meanwhile.

    A process that is killed leaves the part, and the next one writes it anew.

    Raises:
        ValueError: another process is writing the file
        OSError: the part cannot be made; names the file
    """
    part = f"{path}.part"
    while True:
        try:
            number = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from error
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(number)
            raise ValueError(f"{path} is being written by another process") from error
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS):  # a disk without locks
                os.close(number)
                raise
        # Between the two calls, another process may have finished it, so that this is no part any more.
        if os.path.exists(part) and os.path.samestat(os.stat(part), os.fstat(number)):
            break
        os.close(number)
    try:
        os.ftruncate(number, 0)
        os.pwrite(number, UNWRITTEN, 0)
        yield part
    finally:
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(part), os.fstat(number)):
                os.remove(part)
        os.close(number)


@contextlib.contextmanager
def part_names(*paths: str) -> Iterator[List[str]]:
    """Gives names to write to instead of ``paths``, for a library that opens its files itself.

    When the block ends, the files that it wrote take the names that were asked for, so that these are at every moment
    either as before or complete. After an error or an interruption they are removed.

    Raises:
        ValueError: a device, a pipe or a folder is there, or another process is writing one of them
        OSError: of the block, such as of a full disk; names the first of the paths where the system does not say which
    """
    for path in paths:
        require_replaceable(path)
    with contextlib.ExitStack() as stack:
        try:
            parts = [stack.enter_context(claimed(path)) for path in paths]
            yield parts
            for part, path in zip(parts, paths):
                with open(part, "rb") as file:
                    if file.read(len(UNWRITTEN) + 1) == UNWRITTEN:
                        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
                os.replace(part, path)
        except OSError as error:
            if error.filename is None:
                raise OSError(error.errno, error.strerror, paths[0]) from error
            raise


@contextlib.contextmanager
def writing(*paths: str) -> Iterator[List[TextIO]]:
    """Opens text files to write, which appear together when the block ends, or not at all; see :func:`part_names`."""
    with part_names(*paths) as parts, contextlib.ExitStack() as stack:
        yield [stack.enter_context(open(part, "w", encoding="utf-8", newline="\n")) for part in parts]


def write_lines(path: str, lines: Iterable[str]) -> None:
    """Writes lines to a file, which is afterwards either complete or as before."""
    with writing(path) as (file,):
        file.writelines(f"{line}\n" for line in lines)
