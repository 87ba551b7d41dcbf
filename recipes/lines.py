"""Text files of one sentence a line, however long: reading, writing, and work on them by several processes."""

import collections
import contextlib
import itertools
import os
from concurrent.futures import ProcessPoolExecutor
from typing import Callable, Iterable, Iterator, List, TextIO, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
CHUNK = 1000  # lines that a process is given at a time


def lines(path: str) -> Iterator[str]:
    """The lines of a UTF-8 file, cut at ``\\n`` alone; a carriage return counts as a space, so that none is split."""
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.rstrip("\n").replace("\r", " ")


@contextlib.contextmanager
def writing(*paths: str) -> Iterator[List[TextIO]]:
    """Opens files to write, which are either complete afterwards or not there."""
    parts = [f"{path}.part" for path in paths]
    try:
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(open(part, "w", encoding="utf-8", newline="\n")) for part in parts]
        for part, path in zip(parts, paths):
            os.replace(part, path)
    finally:
        for part in parts:
            with contextlib.suppress(FileNotFoundError):
                os.remove(part)


def chunks(items: Iterable[Item]) -> Iterator[List[Item]]:
    """The items in lists of :data:`CHUNK`, the last one shorter."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk


def in_parallel(
    function: Callable[[List[Item]], List[Result]], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """What a function makes of the items, chunk by chunk, in their order; few chunks are in memory at a time.

    Args:
        function: from a list of items to a list of results, which may be shorter; of a module, so that it can be sent
        items: read as they are needed
        workers: processes; 1 is this one
    """
    if workers == 1:
        for chunk in chunks(items):
            yield from function(chunk)
        return
    with ProcessPoolExecutor(workers) as pool:
        waiting: collections.deque = collections.deque()
        for chunk in chunks(items):
            waiting.append(pool.submit(function, chunk))
            if len(waiting) > 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def cores() -> int:
    """How many processes this machine has room for."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pairs(*paths: str) -> Iterator[tuple]:
    """The lines of several files that belong together, side by side.

    Raises:
        SystemExit: one file has fewer lines than another
    """
    missing = object()
    for number, row in enumerate(itertools.zip_longest(*map(lines, paths), fillvalue=missing)):
        if missing in row:
            short = paths[row.index(missing)]
            others = " and ".join(path for path in paths if path != short)
            raise SystemExit(f"{short} ends after {number} lines, but {others} goes on: they do not belong together")
        yield row
