"""Ends the threads in which fairseq reads batches ahead, before Python itself ends."""

import atexit
import contextlib
import queue
import threading
import time
from typing import Any, Iterable, Iterator, Optional

from fairseq.data import iterators

PATIENCE = 10.0  # seconds that a thread may need for the batch that it is reading
ending = threading.Event()


def until_the_end(batches: Iterable) -> Iterator:
    """Yields batches until the process ends."""
    for batch in batches:
        if ending.is_set():
            return
        yield batch


class BackgroundConsumer(iterators.BackgroundConsumer):
    """Reads batches ahead as fairseq's does, and ends with the process.

    A training that stops within an epoch, as at ``--max-update``, leaves the thread reading. Python ends such a thread
    when it asks for the interpreter's lock next; if that is on the way back from PyTorch, whose code must not be left
    so, the whole process is aborted: "terminate called without an active exception", exit code 134.
    """

    def __init__(self, queue: queue.Queue, source: Iterable, max_len: Optional[int], cuda_device: Any):
        super().__init__(queue, until_the_end(source), max_len, cuda_device)

    def run(self) -> None:
        super().run()
        # The last batch is read, but not the end behind it. What is left there has processes of its own, which it ends
        # when it goes: at once here, but only after five seconds where the garbage collector comes upon it.
        self._source.close()


def end() -> None:
    """Asks all such threads to end, makes room for what they hold, and waits for them."""
    ending.set()
    deadline = time.monotonic() + PATIENCE
    for thread in threading.enumerate():
        while isinstance(thread, BackgroundConsumer) and thread.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                thread._queue.get_nowait()
            thread.join(0.01)


def install() -> None:
    """Makes fairseq read by these threads, which end with the process."""
    iterators.BackgroundConsumer = BackgroundConsumer
    atexit.register(end)
