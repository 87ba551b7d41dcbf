"""A process ends cleanly though fairseq is still reading batches, as at --max-update."""

import gc
import multiprocessing
import subprocess
import sys
import time

from fairseq.data.iterators import BufferedIterator
from support import environment
from torch.utils.data import DataLoader

import fairseq_bahdanau  # noqa: F401  puts its own thread in the place of fairseq's

# Fairseq's buffer of batches, left after the first: its thread is in PyTorch nearly always.
PROGRAM = """
import sys, threading, torch
import fairseq_bahdanau
from fairseq.data.iterators import BufferedIterator

class Batches:
    def __len__(self):
        return int(sys.argv[1])

    def __iter__(self):
        return (torch.ones(200, 200) @ torch.ones(200, 200) for _ in range(len(self)))

torch.set_num_threads(1)
buffer = BufferedIterator(int(sys.argv[2]), Batches())
first = next(buffer)
assert torch.equal(first, torch.full((200, 200), 200.0)), first
assert any(thread.daemon for thread in threading.enumerate())
print("ends")
"""


def test_a_process_that_ends_while_batches_are_read_is_not_aborted():
    # A thread that computes, and one that waits for room in a full buffer.
    for batches, buffer in ((1_000_000, 1_000_000), (1000, 2)):
        finished = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(batches), str(buffer)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (finished.returncode, finished.stdout) == (0, "ends\n"), finished.stderr


def test_all_batches_are_read_in_order_as_fairseq_reads_them():
    assert list(BufferedIterator(3, list(range(50)))) == list(range(50))


def test_the_processes_that_read_an_epoch_end_with_it():
    """The garbage collector is off: where it is what ends them, it waits for five seconds for each."""
    gc.disable()
    try:
        buffer = BufferedIterator(3, DataLoader(list(range(50)), batch_size=None, num_workers=1))
        assert [int(item) for item in buffer] == list(range(50))
        began = time.monotonic()
        buffer._consumer.join(timeout=4)
        assert not multiprocessing.active_children() and time.monotonic() - began < 4
    finally:
        gc.enable()
