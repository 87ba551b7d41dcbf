"""``in_parallel`` spreads work on long lists over several processes, in order and in little memory."""

import collections
import itertools
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Callable, Iterable, Iterator, List, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
CHUNK = 1000  # items that a process is given at a time


def chunks(items: Iterable[Item]) -> Iterator[List[Item]]:
    """Yields the items in lists of :data:`CHUNK`, the last one shorter."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk


def in_parallel(
    function: Callable[[List[Item]], List[Result]], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yields what a function makes of the items, chunk by chunk, in their order; few chunks are in memory at a time.

    Args:
        function: from a list of items to a list of results, which may be shorter; of a module, so that it can be sent
        items: are taken as they are needed
        workers: processes; 1 is this one

    Raises:
        ValueError: there are to be no processes, or one of them was killed
    """
    if workers < 1:
        raise ValueError(f"--workers {workers}: must be 1 or more")
    if workers == 1:
        for chunk in chunks(items):
            yield from function(chunk)
        return
    waiting: collections.deque = collections.deque()
    try:
        with ProcessPoolExecutor(workers) as pool:
            for chunk in chunks(items):
                waiting.append(pool.submit(function, chunk))
                if len(waiting) > 2 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise ValueError(f"one of --workers {workers} processes was killed: too little memory?") from error
