"""Makes a training that fails say what failed: the layer whose numbers are none, or the process that is missing.

Both stand in for, or beside, something of fairseq or PyTorch that is silent there. They serve every fairseq model.
"""

import os
import sys
import time
from typing import Any, List, Tuple

import torch.distributed as dist
from fairseq.models import FairseqEncoder
from fairseq.nan_detector import NanDetector
from torch import nn

# How long the answers of the others are waited for, in seconds. Who is next to the one that is missing stops first, and
# who waits for those only after them.
WAIT = 5.0


def add_hooks(self: NanDetector, module: nn.Module) -> None:
    """Registers what looks for NaN in the results of a module, and in their gradients where PyTorch can find these.

    Stands in for ``NanDetector.add_hooks``, by which fairseq finds the layer once a gradient is NaN. In the dict of an
    encoder PyTorch's hook finds lists where it looks for a tensor: the command ended with ``StopIteration``.
    """
    if self.forward:
        self.fhooks.append(module.register_forward_hook(self.fhook_fn))
    if self.backward and not isinstance(module, FairseqEncoder):
        self.bhooks.append(module.register_backward_hook(self.bhook_fn))


def is_of_a_connection(error: BaseException) -> bool:
    """Tells whether this process failed because another did not answer, and not by itself."""
    return isinstance(error, RuntimeError) and "gloo" in str(error)


def others(reason: str) -> Tuple[List[int], List[str]]:
    """Asks the other processes of a training over gloo why they stopped.

    Args:
        reason: why this one did, in a line; empty where another did not answer it

    Returns:
        the ranks that are silent, and the reasons of the others, ``rank N stopped with REASON``
    """
    store, rank, silent = (
        dist.distributed_c10d._get_default_store(),
        dist.get_rank(),
        list(range(dist.get_world_size())),
    )
    silent.remove(rank)
    reasons: List[str] = []
    try:
        store.set(f"stopped/{rank}", reason)
        deadline = time.monotonic() + WAIT
        while not reason and silent and time.monotonic() < deadline:
            time.sleep(0.1)
            for other in [other for other in silent if store.check([f"stopped/{other}"])]:
                silent.remove(other)
                of_its_own = store.get(f"stopped/{other}").decode()
                reasons += [f"rank {other} stopped with {of_its_own} (see its own messages)"] if of_its_own else []
    except RuntimeError:  # the store is process 0's
        silent = [0] if 0 in silent else silent
    return silent, reasons


def say_who_is_missing(error: BaseException) -> None:
    """Prints a line that names the processes because of which this one stopped, of a training over gloo."""
    if not dist.is_initialized() or dist.get_backend() != "gloo":
        return
    by_others = is_of_a_connection(error)
    silent, lines = others("" if by_others else f"{type(error).__name__}: {error}".split("\n")[0])
    if by_others and silent and not lines:
        ranks = "ranks " + ", ".join(map(str, silent)) + " do" if silent[1:] else f"rank {silent[0]} does"
        lines.append(f"{ranks} not answer (killed, out of reach, or waiting for one that is)")
    for line in lines:
        advice = "the same commands, given again, go on from the last checkpoint"
        of_all = f"rank {dist.get_rank()} of {dist.get_world_size()}"
        print(f"fairseq_bahdanau: {of_all} stops, since {line}: {advice}", file=sys.stderr, flush=True)


def install() -> None:
    """Makes fairseq's NaN detector work, and an exception that ends this process say who is missing."""
    NanDetector.add_hooks = add_hooks
    before, process = sys.excepthook, os.getpid()

    def excepthook(kind: Any, error: BaseException, trace: Any) -> None:
        before(kind, error, trace)
        if os.getpid() == process:  # and no fork, which knows the same of the training, and is no rank of it
            say_who_is_missing(error)

    sys.excepthook = excepthook
