"""A process ends cleanly though fairseq is still reading batches, as at --max-update."""

import gc
import multiprocessing
import os
import subprocess
import sys
import time

import pytest
import torch
from fairseq.data import iterators
from support import environment
from torch.utils.data import DataLoader, Dataset, TensorDataset

import fairseq_bahdanau  # noqa: F401  puts its own thread in the place of fairseq's

# Fairseq's buffer of batches, left after the first: its thread is in PyTorch nearly always.
PROGRAM = """
import sys, threading, torch
import fairseq_bahdanau.plugin
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
    assert list(iterators.BufferedIterator(3, list(range(50)))) == list(range(50))


@pytest.fixture
def no_collector():
    """The garbage collector runs when a test says so, and not before."""
    gc.disable()
    yield
    gc.enable()


def ended_after(act) -> float:
    """Seconds that something took which was to end all processes that read; at most 4 seconds are waited for them."""
    began = time.monotonic()
    act()
    while multiprocessing.active_children() and time.monotonic() < began + 4:
        time.sleep(0.01)
    return time.monotonic() - began


def test_the_processes_that_read_an_epoch_end_with_it(no_collector):
    buffer = iterators.BufferedIterator(3, DataLoader(list(range(50)), batch_size=None, num_workers=1))
    assert [int(item) for item in buffer] == list(range(50))
    assert ended_after(buffer._consumer.join) < 4


def test_the_processes_that_read_an_epoch_end_though_its_iterator_is_kept(no_collector):
    """As it is until the garbage collector finds it, behind every epoch of data in shards."""
    epochs = iterators.EpochBatchIterator(
        dataset=TensorDataset(torch.arange(50)),
        collate_fn=lambda rows: int(rows[0][0]),
        batch_sampler=[[number] for number in range(50)],
        num_workers=1,
        buffer_size=2,
        persistent_workers=True,
        reuse_dataloader=True,
    )
    for _ in range(2):
        batches = epochs.next_epoch_itr(shuffle=False)
        first = next(batches)
        (process,) = multiprocessing.active_children()  # it waits for room in the buffer
        assert [first, *batches] == list(range(50))
        assert ended_after(lambda: None) < 4 and process.exitcode == 0
    assert epochs.end_of_epoch()


class Kept(DataLoader):
    """Keeps its iterator, as whatever holds a frame of PyTorch's does."""

    def __iter__(self):
        self.kept = super().__iter__()
        return self.kept


def test_the_processes_that_read_an_epoch_end_though_what_they_read_by_is_kept(no_collector):
    loader = Kept(list(range(50)), batch_size=None, num_workers=1)
    buffer = iterators.BufferedIterator(3, loader)
    assert [int(item) for item in buffer] == list(range(50))
    assert ended_after(buffer._consumer.join) < 4
    assert loader.kept is not None


class Pinned:
    """Tells in which process it is ended, as memory that CUDA has pinned would, by an abort."""

    def __init__(self, folder):
        self.folder = folder

    def __del__(self):
        (self.folder / str(os.getpid())).touch()


class Collecting(Dataset):
    """Collects garbage in the process that reads it."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        gc.collect()
        return index


def test_a_process_that_reads_leaves_the_garbage_of_the_one_that_trains_alone(no_collector, tmp_path):
    cycle = [Pinned(tmp_path)]
    cycle.append(cycle)
    del cycle
    assert [int(item) for item in DataLoader(Collecting(), batch_size=None, num_workers=1)] == [0, 1, 2]
    assert list(tmp_path.iterdir()) == []
    gc.collect()
    assert [file.name for file in tmp_path.iterdir()] == [str(os.getpid())]
