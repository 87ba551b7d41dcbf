"""Says where the code in Triton can run. Elsewhere ``--recurrence triton`` runs the other fused code."""

import functools
import importlib
import importlib.util
import os
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from ..recurrence import State

INTERPRET = "TRITON_INTERPRET"  # environment variable; "1" runs Triton's kernels on a CPU, slowly
OLDEST = (3, 3)  # from this version on, that of PyTorch 2.7, a compiled kernel takes what triton_launch.py hands it


class Twins(NamedTuple):
    """Names the twins of an order of a step."""

    unroll: Callable[..., Tuple[State, Tensor]]
    begin_search: Callable[..., Dict[str, Any]]
    search_step: Callable[..., Tuple[Tensor, Tensor]]


def hindrance(tensor: Tensor) -> Optional[str]:
    """Returns what hinders Triton from reading such a tensor, to be read behind its name; None where nothing does."""
    missing = lack_of_triton()
    if missing is not None:
        return missing
    if tensor.device.type != "cuda" and os.environ.get(INTERPRET) != "1":
        return f"has no code for the device {tensor.device.type}"
    if tensor.device.type == "cuda" and tensor.device.index != torch.cuda.current_device():
        return f"launches on the current device, which {tensor.device} is not (torch.cuda.set_device)"
    if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"has no code for {tensor.dtype}"
    return None


@functools.lru_cache(maxsize=None)  # a loop asks for every batch
def lack_of_triton() -> Optional[str]:
    """Returns what hinders Triton on any device, to be read behind its name; None where nothing does."""
    if importlib.util.find_spec("triton") is None:
        return "is not installed"
    version = importlib.import_module("triton").__version__
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        return f"is {version}, and 3.3 is the oldest that can be used"
    return None


def twins(order: str) -> Twins:
    """Returns the twins of an order in Triton, which is imported here and nowhere else."""
    from . import triton_conditional, triton_loop, triton_search

    of_orders = {
        "look-update-generate": Twins(triton_loop.unroll, triton_search.begin_look_update, triton_search.look_update),
        "update-look-generate": Twins(
            functools.partial(triton_loop.unroll, looks_late=True),
            triton_search.begin_update_look,
            triton_search.update_look,
        ),
        "update-look-update-generate": Twins(
            triton_conditional.unroll, triton_search.begin_conditional, triton_search.conditional
        ),
    }
    return of_orders[order]
