"""Ends the threads in which fairseq reads batches ahead, before Python itself ends."""

import atexit
import contextlib
import functools
import queue
import threading
import time
import weakref
from typing import Any, Iterable, Iterator, Optional

from fairseq.data import iterators

PATIENCE = 60.0  # seconds that a thread may need for the batch that it is reading
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
        """Reads, and leaves what it has read from: the last batch is read, but not the end behind it."""
        super().run()
        self._source.close()


class EpochBatchIterator(iterators.EpochBatchIterator):
    """Makes batches as fairseq's does, and takes the processes that read them with it when it goes.

    Fairseq's and its list of batches hold each other, and so wait for the garbage collector; where the training data
    are in shards, every epoch leaves one. The collector closes the queues to the processes before PyTorch can tell
    these to end, and PyTorch then waits five seconds for each, in whatever thread that happens to be.
    """

    def _get_iterator_for_epoch(self, *args: Any, **options: Any) -> iterators.CountingIterator:
        found = super()._get_iterator_for_epoch(*args, **options)
        self.epoch_batch_sampler.ordered_batches = functools.partial(type(self).ordered_batches, weakref.proxy(self))
        return found


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
    iterators.EpochBatchIterator = EpochBatchIterator
    atexit.register(end)
