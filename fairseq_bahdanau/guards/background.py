"""Ends what reads batches ahead for fairseq: threads before Python itself ends, processes with their epoch."""

import atexit
import contextlib
import gc
import os
import queue
import threading
import time
from typing import Any, Iterable, Iterator, Optional

from fairseq.data import iterators
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

PATIENCE = 60.0  # seconds that a thread may need for the batch that it is reading
ending = threading.Event()


def until_the_end(batches: Iterable) -> Iterator:
    """Yields batches until the process ends; what reads them ends with the last, whoever holds the iterator."""
    reader = iter(batches)
    try:
        for batch in reader:
            if ending.is_set():
                return
            yield batch
    finally:
        if isinstance(reader, _MultiProcessingDataLoaderIter):
            reader._shutdown_workers()  # which PyTorch leaves to the iterator's end


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
    """Makes batches as fairseq's does, by processes that end with the epoch that they read.

    Fairseq keeps them for the next epoch; but where the training data are in shards, or --update-epoch-batch-itr is
    given, that comes from a new iterator. The old one then waits for the garbage collector, since exceptions within
    OmegaConf hold the variables of whoever caused them. The collector closes the queues to the processes before PyTorch
    can tell these to end, and PyTorch waits five seconds for each, in whatever thread that happens to be; or it runs in
    a process that was forked meanwhile, which prints "can only test a child process".
    """

    def _get_iterator_for_epoch(self, *args: Any, **options: Any) -> iterators.CountingIterator:
        self.persistent_workers = False
        return super()._get_iterator_for_epoch(*args, **options)


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
    # A process that reads has the garbage of the one that it was forked from. Its collector must not touch that: it
    # would end what belongs to the other. On a GPU, readers died where it had (docs/reliability.md).
    os.register_at_fork(after_in_child=gc.freeze)
    atexit.register(end)
